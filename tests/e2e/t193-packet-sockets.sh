#!/bin/sh
# Without eBPF a packet socket's ring hands over blocks of frames, which wait a millisecond at the least; with latency=0 each
# frame has a slot, and is there at once. All lengths come whole either way, also those that no slot holds, with their
# VLAN tags; and who bursts finds each frame in the books.
# timeout: 120
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
ip link set near mtu 9000
ip -n far link set far mtu 9000
export PIPESFS_NO_EBPF=1

trips() {
	t_in far python3 "$TOP/tests/tools/trips.py" far "$@" <"$P/dev/near/all"
}

# one LATENCY: the time of a trip in $US, what came in $LATENCY.all
one() {
	t_mount -o "latency=$1"
	trips time 1000 >us 2>&1 || t_fail "latency=$1: $(cat us)"
	US=$(cat us)
	trips sizes "$1.all" >said 2>&1 || t_fail "latency=$1: $(cat said)"
	t_eq "latency=$1: the books" "$(t_stat dev/near kernel.lost)" 0
	t_read dev/near/all burst
	t_in far python3 "$TOP/tests/tools/trips.py" far burst 2000
	t_wait_for 30 all_there 2000
	t_note "latency=$1: a trip takes $US us; of 2000 at once $(t_stat dev/near kernel.lost) were lost"
	kill "$BG"
	wait "$BG" || :
	t_ok "umount" "$PIPESFS" umount "$P"
}

# Each is lost or whole: to the kernel or to the reader, who is as slow as the machine makes him. (With a reader again the
# socket is another: its numbers begin at 0.)
all_there() {
	copied=$(t_stat dev/near kernel.copied)
	delivered=$(t_reader dev/near "$BG" delivered)
	[ $((copied + $(t_stat dev/near kernel.lost))) = "$1" ] &&
		[ $((delivered + $(t_reader dev/near "$BG" lost))) = "$copied" ] &&
		[ "$(wc -c <burst)" = $((9000 * delivered)) ]
}

one 1ms
blocks=$US
one 0
slots=$US
t_same "the same frames" 1ms.all 0.all
t_ok "a frame that need not wait does not: $slots us, $blocks in blocks" test $((2 * slots)) -lt "$blocks"
