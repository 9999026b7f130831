"""staying - what stays while others come and go loses no number

    staying.py DIRECTORY SECONDS    of device `near`, whose other end `far` is in the namespace far

Packets flow, nobody reads them: the kernel counts them for a counter, for directories on the way and for classes. Beside
these readers of other directories come and go. In the end every number is that of the packets sent.
"""
import os
import subprocess
import sys
import time

TOP, SECONDS = sys.argv[1], float(sys.argv[2])
SEND = """
import select, socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
udp = b"\\xff" * 6 + b"\\2\\0\\0\\0\\0\\1\\x08\\0" + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 48, 1, 0, 64, 17, 0, b"\\n\\0\\0\\1", b"\\n\\0\\0\\2")
frame = udp + struct.pack(">HHHH", 53, 1000, 28, 0) + bytes(20)
n = 0
while not select.select([0], [], [], 0)[0]:
    for i in range(100):
        s.send(frame)
    n += 100
print(n)
"""


def number(path, name):
    with open(f"{TOP}/{path}/.stats", encoding="utf-8") as f:
        return next((int(line.split()[1]) for line in f if line.split()[0] == name), 0)


def open_at(path):
    os.makedirs(f"{TOP}/{path}", exist_ok=True)
    return os.open(f"{TOP}/{path}/all", os.O_RDONLY | os.O_NONBLOCK)


os.makedirs(f"{TOP}/udp/port/9")
os.mkdir(f"{TOP}/udp/count")
stays = os.open(f"{TOP}/udp/port/9/all", os.O_RDONLY | os.O_NONBLOCK)
sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
end, rounds = time.monotonic() + SECONDS, 0
while time.monotonic() < end:
    others = [open_at(f"match:tcp port {1 + (rounds + i) % 9}") for i in range(3)]
    for fd in others:
        os.close(fd)
    rounds += 1
sent = int(sender.communicate(b"\n")[0])
end = time.monotonic() + 10
while number(".", "seen") < sent and time.monotonic() < end:
    time.sleep(0.01)
names = [(".", "seen"), ("udp", "in"), ("udp", "out"), ("udp/count", "records"), ("udp/port", "in"), ("udp/port/53", "in"), ("udp/port/1000", "in")]
said = {f"{path} {name}": number(path, name) for path, name in names}
if set(said.values()) != {sent}:
    sys.exit(f"WRONG: {sent} were sent, {rounds} rounds: {said}")
print(f"{sent} packets, {rounds} rounds; lost in the ring: {number('.', 'kernel.lost')}")
