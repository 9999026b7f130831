#!/bin/sh
# needs: user
# timeout: 180
# Sixteen readers of one directory each get every byte; the bytes are in memory once; the
# second to sixteenth reader cost the source nothing.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"

MIB=${T013_MIB:-64}
t_mount
mkdir "$P/accept"

# Proportional share of all mappings, and pages of shared memory files that nobody maps.
memory() {
	# shellcheck disable=SC2046
	python3 "$TOP/tests/tools/memory.py" $(t_daemons)
}

# Pours the file in with $1 readers at work; each one's sum must be the file's.
pour() {
	readers=
	for i in $(seq "$1"); do
		sha256sum <"$P/accept/all" >"sum.$i" &
		readers="$readers $!"
		t_cleanup kill $!
		t_wait_for 10 t_opened $! accept/all
	done
	t_ok "write with $1 readers" sh -c "cat big >'$P/accept/all'"
	for reader in $readers; do
		t_done "$reader" 60 || t_fail "reader $reader of $1 failed"
	done
	for i in $(seq "$1"); do
		[ "$(cut -d ' ' -f 1 "sum.$i")" = "$want" ] || t_fail "reader $i of $1 got other bytes"
	done
	echo "ok: $1 readers, each every byte"
}

# Not zeros, and no block like another.
head -c $((MIB << 20)) /dev/urandom >big
want=$(sha256sum <big | cut -d ' ' -f 1)

# The first pour touches the whole ring and the buffers of as many threads as there will be:
# afterwards only readers can make a difference.
pour 16
in0=$(t_stat accept in)
bytes0=$(t_stat accept bytes)
pour 1
in1=$(($(t_stat accept in) - in0))
bytes1=$(($(t_stat accept bytes) - bytes0))
one=$(memory)
pour 16
in2=$(($(t_stat accept in) - in0 - in1))
bytes2=$(($(t_stat accept bytes) - bytes0 - bytes1))
sixteen=$(memory)

t_note "KiB with one reader $one, with sixteen $sixteen"
t_sanitized || t_memory "bytes once in memory" "$sixteen" $((one + 16 * 256))
t_eq "the source carried the bytes once for sixteen readers" "$bytes2" "$bytes1"
t_eq "... and no byte more than were written" "$bytes2" "$((MIB << 20))"
t_note "records: $in1 with one reader, $in2 with sixteen"

# While they read: one stream, sixteen readers in .readers, the ring's bytes counted once.
readers=
for i in $(seq 16); do
	cat "$P/accept/all" >"part.$i" &
	readers="$readers $!"
	t_cleanup kill $!
	t_wait_for 10 t_opened $! accept/all
done
t_eq "sixteen are listed" "$(grep -c cat "$P/accept/.readers")" 16
exec 8>"$P/accept/all"
head -c 1000000 big >&8
all_have() {
	for i in $(seq 16); do
		[ "$(wc -c <"part.$i")" = 1000000 ] || return 1
	done
}
t_wait_for 20 all_have
busy=$(memory)
t_sanitized || t_memory "bytes once while they read" "$busy" $((one + 16 * 256))
exec 8>&-
for reader in $readers; do
	t_done "$reader" || t_fail "a reader failed"
done
for i in $(seq 16); do
	head -c 1000000 big | cmp - "part.$i" || t_fail "reader $i got other bytes"
done
