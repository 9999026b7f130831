#!/bin/sh
# Two CPUs write BPF rings at once, each its own flows, and one flow moves between them. Every record comes, each flow that
# stays on a CPU in its order, with and without latency=; and `reordered` is exactly how many came after a younger one.
# timeout: 180
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 taskset
cpus=$(python3 -c 'import os; print(*sorted(os.sched_getaffinity(0))[:2])')
first=${cpus% *} second=${cpus#* }
[ "$first" != "$second" ] || t_skip "needs two CPUs"
count=6000
t_cable

# ready FILE...
ready() {
	for f; do
		grep -q ready "$f" || return 1
	done
}

# round NAME LATENCY: in $LATE what the stream shows, in $COUNTED what the source says
round() {
	t_mount -o "ring=32M,latency=$2"
	t_read dev/near/all.pcapng "$1.pcapng"
	reader=$BG
	grep -q '^kernel.seen' "$P/dev/near/.stats" || t_skip "without eBPF there is one ring"
	rm -f go
	mkfifo go
	senders=
	for flow in 0 1 2 3 4; do
		case $flow in
		0 | 2) on=$first ;;
		1 | 3) on=$second ;;
		4) on=$first,$second ;;
		esac
		t_in far python3 "$TOP/tests/tools/flows.py" send far "$on" $flow $count <go >"ready.$flow" &
		senders="$senders $!"
	done
	exec 3>go
	t_wait_for 30 ready ready.0 ready.1 ready.2 ready.3 ready.4
	exec 3>&-
	for pid in $senders; do
		t_done "$pid" 60 || t_fail "$1: a sender failed"
	done
	t_wait_for 30 delivered
	t_eq "$1: the kernel had room for all" "$(t_stat dev/near kernel.lost)" 0
	COUNTED=$(t_stat dev/near reordered)
	t_ok "umount ends the stream" "$PIPESFS" umount "$P"
	t_done "$reader" || t_fail "$1: the reader's stream broke off"
	python3 "$TOP/tests/tools/flows.py" judge "$1.pcapng" $count 0 1 2 3 >late 2>&1 || {
		cat late
		t_fail "$1: flows"
	}
	LATE=$(cat late)
	t_eq "$1: as many came late as are counted" "$COUNTED" "$LATE"
	t_note "$1: $LATE of $((5 * count)) came late"
}

delivered() {
	[ "$(t_reader dev/near "$reader" delivered)" = $((5 * count)) ]
}

round "waiting for nothing" 0
round "with the default" 1ms
# Who is stopped for longer than that between a record's place and its end is not waited for: that is one now and then.
t_ok "the default puts in order: $LATE of $((5 * count)) came late" test "$LATE" -le $((count / 100))
