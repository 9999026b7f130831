"""leaving - what a program counts that is about to be replaced is for nobody

    leaving.py DIRECTORY    of device `near`, whose other end `far` is in the namespace far

A reader below `port` leaves beside readers of large filters. Until the program without `port` is there the old one runs, and
packets are sent in that time: it was so if kernel.generation is still the same afterwards. It may take a few rounds to be
quick enough.
"""
import os
import struct
import subprocess
import sys
import time

TOP, LARGE, ROUNDS, FRAMES = sys.argv[1], 6, 20, 50
BYTES = 62 * FRAMES  # of the frames with ports
SEND = """
import os, socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
body = struct.pack(">HHHH", 53, 1000, 28, 0) + bytes(20)
udp = b"\\xff" * 6 + b"\\2\\0\\0\\0\\0\\1\\x08\\0" + struct.pack(">BBHHHBBH4s4s", 0x45, 0, 48, 1, 0, 64, 17, 0, b"\\n\\0\\0\\1", b"\\n\\0\\0\\2") + body
arp = udp[:12] + b"\\x08\\x06" + bytes(46)
while sys.stdin.buffer.read(1):
    for i in range(%d):
        s.send(udp)
        s.send(arp)
    sys.stdout.write("done\\n")
    sys.stdout.flush()
""" % FRAMES
NAMES = [("port/53", "in"), ("port/1000", "bytes"), ("port", "unclassed.other"), ("port", "in")]


def number(path, name):
    with open(f"{TOP}/{path}/.stats", encoding="utf-8") as f:
        return next((int(line.split()[1]) for line in f if line.split()[0] == name), 0)


def wait(what, condition):
    end = time.monotonic() + 10
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"it has not come to pass in 10 s: {what}")
        time.sleep(0.001)


def send():
    seen = number(".", "kernel.seen")
    sender.stdin.write(b"x")
    sender.stdin.flush()
    sender.stdout.readline()
    wait("all were seen", lambda: number(".", "kernel.seen") == seen + 2 * FRAMES)


def open_at(path):
    os.makedirs(f"{TOP}/{path}", exist_ok=True)
    return os.open(f"{TOP}/{path}/all", os.O_RDONLY | os.O_NONBLOCK)


def numbers():
    """A class that has not been seen has none."""
    return [number(path, name) if os.path.isdir(f"{TOP}/{path}") else 0 for path, name in NAMES]


sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
large = [open_at("match:" + " or ".join(f"tcp port {1000 + 16 * i + k}" for k in range(7))) for i in range(LARGE)]
same = False
for i in range(ROUNDS):
    reader = open_at("port/53")
    before = numbers()
    send()  # `port` learns its classes, and counts: somebody is there
    # What came undecided is counted by the engine, in its own time.
    after = [n + more for n, more in zip(before, (FRAMES, BYTES, FRAMES, 2 * FRAMES))]
    wait(f"{NAMES} are {after}, for somebody is there (now {numbers()})", lambda: numbers() == after)
    os.close(reader)
    wait("nobody is there", lambda: number("port/53", "readers") == 0)
    generation, before = number(".", "kernel.generation"), numbers()
    send()
    same = number(".", "kernel.generation") == generation
    if numbers() != before:
        sys.exit(f"WRONG: {NAMES}: {before}, and {numbers()} after packets that nobody was there for; the old program runs: {same}")
    if same:
        break
if not same:
    sys.exit("the old program was never still there: nothing is shown")
print(f"round {i + 1}: the old program counted on")
