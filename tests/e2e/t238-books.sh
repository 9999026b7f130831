#!/bin/sh
# What a hook's program counted until the kernel let go is in the books, however often the hook is attached anew: every
# packet was dropped and counted, or it came through.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
ip addr add 10.9.0.1/24 dev near
ip -n far addr add 10.9.0.2/24 dev far
ip link set near arp on
ip -n far link set far arp on
t_mount
mkdir -p "$P/netfilter_in/match:udp dst port 7777/drop"
cat >flood.py <<'END'
import socket, subprocess, sys
P = sys.argv[1]
SEND = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("10.9.0.1", 7777))
for n in range(20000):
    try:
        s.send(b"x")
    except ConnectionRefusedError:
        s.send(b"x")
    if n % 50 == 0:
        time.sleep(0.0005)
"""
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
s.bind(("10.9.0.1", 7777))
s.setblocking(False)
sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND])
came = changes = 0


def drain():
    global came
    while True:
        try:
            s.recv(10)
        except BlockingIOError:
            return
        came += 1


while sender.poll() is None:
    with open(f"{P}/netfilter_in/.params", "w", encoding="ascii") as f:
        f.write(f"prio={-300 - changes % 2}\n")
    changes += 1
    drain()
assert sender.returncode == 0
drain()
with open(f"{P}/netfilter_in/match:udp dst port 7777/drop/.stats", encoding="utf-8") as f:
    dropped = next(int(line.split()[1]) for line in f if line.startswith("packets "))
print(f"{changes} times attached: {dropped} dropped and {came} came through, of 20000")
sys.exit(dropped + came != 20000 or not came or not dropped or changes < 2)
END
python3 flood.py "$P" >flood.out || {
	cat flood.out
	t_fail "packets that are in no book"
}
t_note "$(cat flood.out)"
