#!/bin/sh
# New parameters for what runs: what cannot be costs nobody a record, and leaves what was; what can be goes on with its
# counters and readers.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_cable
# No word of the stacks' own among the frames that are counted.
quiet='echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'
sh -c "$quiet" && t_in far sh -c "$quiet"
t_mount
t_read dev/near/all got.raw
READER=$BG
sent=0
numbers() {
	t_frames -n far mark far "mark-$1-begin" "mark-$1-end"
	sent=$((sent + 2))
}
has() {
	grep -aq "$1" got.raw
}
refused() {
	t_errno "$1" sh -c "env printf '%s\n' '$2' >'$P/dev/near/.params'"
	t_has "$2: why" "$(tail -n 1 "$P/.errors")" "$3"
	t_eq "$2: the old ones stay" "$(cat "$P/dev/near/.params")" "$before"
}
before=$(cat "$P/dev/near/.params")
numbers one
t_wait_for 10 has mark-one-end

# While they are refused frames flow, and none is missing: it is not even stopped.
programs() {
	awk '$1 == "kernel.seen" { print $2 }' "$P/dev/near/.stats"
}
refused EINVAL snaplen=wide snaplen
refused EINVAL direction=up direction
refused EINVAL nosuch=1 nosuch
refused ENOENT netns=nowhere nowhere
numbers two
t_wait_for 10 has mark-two-end
t_eq "it was not attached anew" "$(programs)" "$sent"
echo snaplen=262144 >"$P/dev/near/.params"
echo snaplen=262144 >"$P/dev/near/.params"
before=$(cat "$P/dev/near/.params")
numbers three
t_wait_for 10 has mark-three-end

# A namespace that is there, but has no such device: it cannot start there, and goes on here.
ip netns add empty
t_cleanup ip netns del empty
refused ENODEV netns=empty near
numbers four
t_wait_for 10 has mark-four-end
t_alive() {
	kill -0 "$1" 2>/dev/null
}
t_ok "the reader reads on" t_alive "$READER"
t_eq "its books" "$(t_reader dev/near "$READER" delivered) $(t_reader dev/near "$READER" lost)" "$sent 0"
t_eq "the source counts on" "$(t_stat dev/near in)" "$sent"

# While frames flow: what the program can do itself changes without a gap, device or hook.
kill "$READER"
active() {
	[ "$(t_stat "$1" active)" = 1 ]
}
change() { # SOURCE, until the file `over` is there
	changes=0
	while ! [ -e over ]; do
		for text in snaplen=100 direction=in snaplen=262144 direction=inout snaplen=60; do
			case $1,$text in netfilter*,direction*) continue ;; esac
			echo "$text" >"$P/$1/.params"
			changes=$((changes + 1))
			: >changing
		done
	done
}
for source in dev/near netfilter_in; do
	rm -f over changing
	seen=$(t_stat "$source" seen)
	cat "$P/$source/all" >/dev/null &
	READER=$!
	t_wait_for 10 active "$source"
	(t_wait_for 10 test -e changing; if [ $source = dev/near ]; then
		t_in far python3 "$TOP/tests/tools/tally.py" send 50000
	else
		ip link set lo up
		python3 "$TOP/tests/tools/tally.py" udp 50000
	fi; touch over) &
	SENDER=$!
	change "$source"
	t_done "$SENDER" 60
	all_seen() {
		[ "$(t_stat "$source" kernel.seen)" -ge 50000 ]
	}
	t_wait_for 20 all_seen
	t_note "$source: $changes changes; $(tr '\n' ' ' <"$P/$source/.stats")"
	t_eq "$source: each frame was seen, by one attachment" "$(t_stat "$source" kernel.seen)" 50000
	t_eq "$source: ... and came, or was lost for want of room" "$(($(t_stat "$source" seen) - seen))" 50000
	t_ok "$source: there were many changes" test "$changes" -ge 10
	kill "$READER"
done
