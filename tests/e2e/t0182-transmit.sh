#!/bin/sh
# transmit keeps the pace it is told, and counts what does not fit the wire.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need tcpdump
t_cable
t_mount

capture paced paced.pcap 21 20
replay() {
	mkdir -p "$P/accept/unpcap/transmit:near,speed=$1"
	t_in far tcpdump --immediate-mode -U -Q in -i far -c 21 -w "speed.$1" udp dst port 6000 2>listening &
	BG=$!
	t_cleanup kill "$BG"
	t_wait_for 10 grep -q 'listening on' listening
	cat paced.pcap >"$P/accept/all"
	t_done "$BG" || t_fail "speed=$1: $(cat listening)"
	t_ok "speed=$1: every frame" capture frames "speed.$1" paced.pcap
	span=$(capture span "speed.$1")
	# Never faster than told, but for the last half millisecond of each wait; a busy machine is slower.
	t_ok "speed=$1: $span ms, wanted $2" test "$span" -ge $(($2 * 9 / 10)) -a "$span" -le $(($2 * 3 + 200))
	rmdir "$P/accept/unpcap/transmit:near,speed=$1"
}
replay 1x 400
replay 2x 200
replay 50pps 400
replay max 0
# What does not fit the wire is counted, and the rest goes out.
mkdir "$P/accept/unpcap/transmit:near"
capture make assortment.pcap
cat assortment.pcap >"$P/accept/all"
out() {
	[ $(($(t_stat accept/unpcap/transmit:near sent) + $(t_stat accept/unpcap/transmit:near lost))) = "$(capture count assortment.pcap)" ]
}
t_wait_for 10 out
t_ok "transmit: frames that are none are lost, the others sent" test "$(t_stat accept/unpcap/transmit:near lost)" -le 3
