#!/bin/sh
# More classes are read, and more directories sort, than the kernel's program has room for: the engine does the rest, with the
# same records and numbers.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount

# words LOW HIGH N: each port from LOW, below HIGH, N times
words() {
	seq -f "9,%.0f,$3,20" "$1" $(($2 - 1))
}
send() {
	# shellcheck disable=SC2046 # words
	t_frames -n far ports far $(words "$@")
}
seen() {
	[ "$(t_stat dev/near seen)" = "$1" ]
}
mkdir -p "$P/dev/near/port/9" "$P/dev/near/host/10.0.0.1" "$P/dev/near/srcport/9" "$P/dev/near/proto/udp"
mkdir -p "$P/dev/near/dstport/1"
for class in port/9 host/10.0.0.1 srcport/9 proto/udp dstport/1; do
	t_read "dev/near/$class/all" "${class%%/*}"
done
t_has "one too many" "$(cat "$P/dev/near/.program")" "; 1 filters run in the engine"
send 1 5 50
t_wait_for 10 seen 200
size() {
	[ "$(wc -c <"$1")" = "$2" ]
}
for class in port/9 host/10.0.0.1 srcport/9 proto/udp; do
	t_eq "$class" "$(t_stat "dev/near/$class" in)" 200
	t_wait_for 10 size "${class%%/*}" 12400
done
t_eq "dstport" "$(t_stat dev/near/dstport/1 in)" 50
t_wait_for 10 size dstport 3100
# More values than classes: what has none is the engine's to count.
send 1000 7000 1
t_wait_for 20 seen 6200
t_eq "classes" "$(t_stat dev/near/dstport classes)" 4096
t_eq "beyond them" "$(t_stat dev/near/dstport unclassed.full)" 1908
rmdir "$P/dev/near/port" "$P/dev/near/host" "$P/dev/near/srcport" "$P/dev/near/proto"
rmdir "$P/dev/near/dstport"

cat >many.py <<'EOF'
import concurrent.futures, os, re, subprocess, sys, time
top, N = sys.argv[1], 200
def reader(i):
    os.makedirs(f"{top}/dstport/{i + 1000}", exist_ok=True)
    return os.open(f"{top}/dstport/{i + 1000}/all", os.O_RDONLY | os.O_NONBLOCK)
with concurrent.futures.ThreadPoolExecutor(20) as pool:
    fds = list(pool.map(reader, range(N)))
said = open(f"{top}/.program").readline()
subprocess.run(sys.argv[2:], check=True)
got, end = [0] * N, time.monotonic() + 20
while min(got) < 5 * 62 and time.monotonic() < end:
    for i, fd in enumerate(fds):
        try:
            got[i] += len(os.read(fd, 1 << 20))
        except BlockingIOError:
            pass
few = re.match("; ([0-9]+) filters run in the engine", said)
print("few" if few and 0 < int(few[1]) < 20 else said.strip(), set(got), flush=True)
EOF
# shellcheck disable=SC2046 # words
python3 many.py "$P/dev/near" ip netns exec far python3 "$TOP/tests/tools/frames.py" ports far $(words 1000 1200 5) >said
t_eq "each reader's bytes, few of them by the engine" "$(cat said)" "few {310}"
for port in 1000 1100 1199; do
	t_eq "counted of $port" "$(t_stat "dev/near/dstport/$port" in)" 5
done
