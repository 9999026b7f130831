#!/bin/sh
# Sixteen readers of a device cost the kernel side what one costs. A reader that looks away
# while far more than a ring goes by is told exactly what it lost, and what it gets is whole.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_cable

t_mount
capture big burst.pcap 4 >/dev/null
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
		[ "$(wc -c <"near.$i")" = "$bytes" ] || return 1
	done
}
t_wait_for 20 all_have
t_eq "sixteen readers: the kernel handed each frame over once" "$(t_stat dev/near in) $(t_stat dev/near bytes)" "$frames $bytes"
# shellcheck disable=SC2086
kill $readers
t_unmount "$P"

# A reader looks away while far more than a ring goes by. What the kernel could not keep is counted
# by the source, what was overwritten before it came back by the reader.
t_mount
mkfifo orders
python3 "$TOP/tests/tools/slow.py" "$P/dev/near/all" slow.raw <orders >answers &
raw=$!
t_cleanup kill "$raw"
exec 7>orders
t_wait_for 10 grep -q open answers
t_frames -n far send far burst.pcap 16
sent=$((frames * 16))
all_seen() {
	[ $(($(t_stat dev/near in) + $(t_stat dev/near lost))) = $sent ]
}
t_wait_for 20 all_seen
seen=$(t_stat dev/near in)
no_lag() {
	echo now >&7
	[ "$(t_reader dev/near "$raw" lag)" = 0 ]
}
t_wait_for 20 no_lag
written() {
	[ "$(tail -n 1 answers)" = "$(wc -c <slow.raw)" ]
}
t_wait_for 20 written
got=$(capture walk slow.raw) || t_fail "a torn frame: $got"
t_note "$sent sent, $seen seen; $got read whole; $(tr '\n' ';' <"$P/dev/near/.readers")"
t_eq "a slow reader of a device is lossy" "$(t_reader dev/near "$raw" policy)" lossy
t_eq "delivered is what it got" "$(t_reader dev/near "$raw" delivered)" "$got"
t_eq "delivered + lost = seen" $((got + $(t_reader dev/near "$raw" lost))) "$seen"
t_ok "it did lose some" test "$got" -lt "$seen"
exec 7>&-
t_done "$raw"
