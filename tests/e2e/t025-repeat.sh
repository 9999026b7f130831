#!/bin/sh
# timeout: 400
# A hundred times: a mount with a blocked reader, a reader in poll and a parked writer, and a
# fault. A second later nobody waits, nobody is in state D, nothing is mounted, and no
# program of the kernel's is left.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need_root

REPEATS=${T025_REPEATS:-100}
export T_QUIET=1

# What streams holds in the kernel: "prog 17", "link 4", one a line.
held() {
	cat /proc/"$STREAMS"/fdinfo/* 2>/dev/null | sed -n 's/^\(prog\|link\)_id:[[:space:]]*/\1 /p' | sort -u
}

freed() {
	while read -r kind id; do
		! bpftool "$kind" show id "$id" >/dev/null 2>&1 || return 1
	done <ids
}

begin() {
	t_start -o ring=4M
	mkdir "$P/accept:full"
	cat "$P/accept/all" >/dev/null 2>&1 &
	W1=$!
	python3 -c "
import os, select, sys
p = select.poll()
p.register(os.open('$P/accept/all', os.O_RDONLY), select.POLLIN)
p.poll()" 2>/dev/null &
	W2=$!
	dd if=/dev/zero of="$P/accept:full/all" bs=1M count=64 status=none 2>/dev/null &
	W3=$!
	# A source of the kernel's is attached as long as somebody reads it.
	cat "$P/netfilter_in/all" >/dev/null 2>&1 &
	W4=$!
	t_blocked $W1
	t_blocked $W3
	t_wait_for 5 grep -q python "$P/accept/.readers"
}

# Killing the waiters themselves does not end the mount: that is done afterwards.
fault() {
	case $1 in
	0) kill -9 "$STREAMS" ;;
	1) kill -9 "$KEEPER" ;;
	2) kill -STOP "$STREAMS" ;;
	3) "$PIPESFS" umount "$P" ;;
	4) "$PIPESFS" abort "$P" ;;
	5) kill -TERM "$KEEPER" ;;
	6)
		kill -STOP "$KEEPER"
		"$PIPESFS" umount "$P"
		;;
	7)
		kill -9 $W1 $W2 $W3 $W4
		t_wait_for 1 gone $W1 $W2 $W3 $W4
		"$PIPESFS" umount "$P"
		;;
	8)
		umount -l "$P"
		kill -INT $W1 $W2 $W3 $W4
		kill $W1 $W2 $W3 $W4
		;;
	9) umount -f "$P" 2>/dev/null || true ;;
	esac
}

gone() {
	for pid; do
		! t_alive "$pid" || return 1
	done
}

i=0 programs=0
while [ $i -lt "$REPEATS" ]; do
	begin
	held >ids
	programs=$((programs + $(wc -l <ids)))
	fault $((i % 10))
	t_nobody "repeat $i, fault $((i % 10))" $W1 $W2 $W3 $W4
	if command -v bpftool >/dev/null; then
		t_wait_for 2 freed
	fi
	i=$((i + 1))
done
wait
echo "ok: $REPEATS repeats of ten faults; $programs programs and links were attached, none is left"
