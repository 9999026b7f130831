#!/bin/sh
# Sixteen readers of a device cost the kernel side what one costs. Readers that look away while
# far more than a ring goes by are told exactly what they lost, and what they get is whole.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_cable

t_mount
capture big burst.pcap 3 >/dev/null # less than what a ring keeps for slow readers, however slow they are
frames=$(capture count burst.pcap)
bytes=$(capture bytes burst.pcap)
readers=
for i in $(seq 16); do
	t_read dev/near/all "near.$i"
	readers="$readers $BG"
done
t_frames -n far send far burst.pcap
all_have() {
	for i in $(seq 16); do
		[ "$(wc -c <"near.$i")" = "$bytes" ] || { cat "$P/dev/near/.stats" "$P/dev/near/.readers"; wc -c near.*; return 1; }
	done
}
t_wait_for 20 all_have
t_eq "sixteen readers: the kernel handed each frame over once" "$(t_stat dev/near in) $(t_stat dev/near bytes)" "$frames $bytes"
# shellcheck disable=SC2086
kill $readers
t_unmount "$P"

# Readers look away while far more than a ring goes by. What the kernel could not keep is counted
# by the source, what was overwritten before they came back by each of them.
t_mount
mkfifo orders.raw orders.ng
python3 "$TOP/tests/tools/slow.py" "$P/dev/near/all" slow.raw <orders.raw >answers.raw &
raw=$!
python3 "$TOP/tests/tools/slow.py" "$P/dev/near/all.pcapng" slow.ng <orders.ng >answers.ng &
ng=$!
t_cleanup kill "$raw" "$ng"
exec 7>orders.raw 8>orders.ng
t_wait_for 10 grep -q open answers.raw
t_wait_for 10 grep -q open answers.ng
t_frames -n far send far burst.pcap 16
sent=$((frames * 16))
all_seen() {
	[ $(($(t_stat dev/near in) + $(t_stat dev/near lost))) = $sent ]
}
t_wait_for 20 all_seen
seen=$(t_stat dev/near in)
no_lag() {
	echo now >&7
	echo now >&8
	[ "$(t_reader dev/near "$raw" lag) $(t_reader dev/near "$ng" lag)" = '0 0' ]
}
t_wait_for 20 no_lag
got=$(capture walk slow.raw) || t_fail "a torn frame: $got"
t_note "$sent sent, $seen seen; $got read whole; $(tr '\n' ';' <"$P/dev/near/.readers")"
t_eq "a slow reader of a device is lossy" "$(t_reader dev/near "$raw" policy)" lossy
t_eq "delivered is what it got" "$(t_reader dev/near "$raw" delivered)" "$got"
t_eq "delivered + lost = seen" $((got + $(t_reader dev/near "$raw" lost))) "$seen"
packets=$(capture count slow.ng) || t_fail "all.pcapng is no capture file after a gap: $packets"
t_ok "all.pcapng: some was lost" test "$packets" -lt "$seen"
t_eq "all.pcapng: packets + lost packets = seen" $((packets + $(t_reader dev/near "$ng" lost))) "$seen"
if command -v tshark >/dev/null; then
	t_eq "all.pcapng: tshark reads it to its end" "$(tshark -r slow.ng -T fields -e frame.number 2>tshark.err | wc -l)" "$packets"
	t_fails "all.pcapng: ... without complaint" grep -q "slow.ng" tshark.err
	t_has "all.pcapng: the new section says why" "$(grep -a -o '[0-9]* packets before this were lost' slow.ng)" "packets before this"
else
	t_note "no tshark"
fi
exec 7>&- 8>&-
t_done "$raw" || true
t_done "$ng" || true
