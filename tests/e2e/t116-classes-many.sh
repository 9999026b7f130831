#!/bin/sh
# More classes are read, and more directories sort, than the kernel's program has room for: the engine does the rest, with the
# same records and numbers.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount

cat >send.py <<'EOF'
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
low, high, n = (int(x) for x in sys.argv[1:])
for _ in range(n):
    for port in range(low, high):
        body = struct.pack(">HHHH", 9, port, 28, 0) + bytes(20)
        head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 48, 1, 0, 64, 17, 0, b"\n\0\0\1", b"\n\0\0\2")
        s.send(b"\xff" * 6 + b"\2\0\0\0\0\1\x08\x00" + head + body)
EOF
seen() {
	[ "$(t_stat dev/near seen)" = "$1" ]
}
mkdir -p "$P/dev/near/port/9" "$P/dev/near/host/10.0.0.1" "$P/dev/near/srcport/9" "$P/dev/near/proto/udp"
mkdir -p "$P/dev/near/dstport/1"
for class in port/9 host/10.0.0.1 srcport/9 proto/udp dstport/1; do
	t_read "dev/near/$class/all" "${class%%/*}"
done
t_has "one too many" "$(cat "$P/dev/near/.program")" "; 1 filters run in the engine"
ip netns exec far python3 send.py 1 5 50
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
ip netns exec far python3 send.py 1000 7000 1
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
subprocess.run(["ip", "netns", "exec", "far", sys.executable, "send.py", "1000", str(1000 + N), "5"], check=True)
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
t_eq "each reader's bytes, few of them by the engine" "$(python3 many.py "$P/dev/near")" "few {310}"
for port in 1000 1100 1199; do
	t_eq "counted of $port" "$(t_stat "dev/near/dstport/$port" in)" 5
done
