#!/bin/sh
# The study of how kernel and processes talk: each mechanism that this machine offers carries 64 B and 64 KiB, and what came is
# what was sent (the program compares, and ends with a sentence where it is not). What is missing says why. Then the command,
# and what it leaves: JSON lines that make sense, and nothing in the system.
. "$T_LIB"
t_need jq python3

study=$T_BUILD/bench/bench-interspace
[ -x "$study" ] || t_skip "the benchmarks were not built"
"$study" -s 64,65536 >said

# fields WHAT MECHANISM: of its figures
fields() {
	awk -F '\t' -v what="$1" -v name="$2" '$1 == "figure" && $2 == name && $3 == what { print $4 }' said | tr '\n' ' '
}
t_eq "each is there or says why not" "$(awk -F '\t' '
	$1 == "info" { all[$2] = 1 } $1 == "missing" && length($3) > 5 || $1 == "figure" && $6 > 0 { told[$2] = 1 }
	END { for (name in all) if (!told[name]) print name }' said)" ""
for name in memcpy syscall procfs pipe "eventfd + shm" "unix stream" "unix seqpacket"; do
	t_eq "$name: read" "$(fields read "$name")" "64 65536 "
	t_eq "$name: written" "$(fields write "$name")" "64 65536 "
done
t_eq "a pipe's round trip, on two CPUs or one, and on one" "$(fields other pipe) $(fields same pipe)" "64  64 "
if [ "$(id -u)" = 0 ]; then
	for name in sysfs "BPF ring buffer" FUSE; do
		grep -q "^missing	$name	" said || t_eq "$name: read" "$(fields read "$name")" "64 65536 "
	done
	t_eq "no trace instance is left" "$(find /sys/kernel/tracing/instances -name 'interspace-*' 2>/dev/null || :)" ""
	t_eq "no mount is left" "$(grep interspace /proc/self/mountinfo || :)" ""
fi

t_fails "a size that is none" "$study" -s 100
t_fails "a bandwidth of nothing" "$study" -s 64 -x

# --- the command -------------------------------------------------------------------------------------

mkdir -p build/bench
ln -s "$study" build/bench/bench-interspace
cp "$PIPESFS" build/pipesfs
env INTERSPACE="pipe,memcpy" build/pipesfs bench --quick interspace >table
t_has "a table" "$(cat table)" "round trip of 64 bytes"
t_has "what has none, and why" "$(cat table)" "none: nobody answers"
t_eq "the ratios of what there is" "$(grep -c 'waking another CPU.* pipe (one CPU) : pipe (two CPUs)' table)" 1
t_eq "JSON lines: what was measured" "$(jq -r 'select(.mechanism == "pipe" and .ns > 0) | "\(.what) \(.size)"' \
	build/bench/interspace.jsonl | sort | tr '\n' ' ')" "other 64 read 64 read 65536 same 64 write 64 write 65536 "
t_fails "no such benchmark" build/pipesfs bench nosuch
t_errno ENOENT env PIPESFS_BENCH=/nonexistent/run build/pipesfs bench interspace
