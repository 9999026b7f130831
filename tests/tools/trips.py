"""trips - frames into a device, and the stream of what was captured of them, which is standard input

    trips.py DEVICE time N        one frame after the other has come; prints what the quickest quarter took at most, in us
    trips.py DEVICE sizes FILE    frames of all lengths, some with a VLAN tag, fifty at a time; what came is in FILE
    trips.py DEVICE burst N       N frames of 9,000 bytes at once; nothing is read
"""
import os
import random
import socket
import struct
import sys
import time

HEAD = b"\xff" * 6 + b"\2" * 6


def frame(length, rng, tag=None):
    head = HEAD + (b"\x81\0" + struct.pack(">H", tag) if tag else b"") + b"\x88\xb5"
    return head + rng.randbytes(length - len(head))


def read(n):
    data = b""
    while len(data) < n:
        more = os.read(0, 16384)
        if not more:
            sys.exit(f"the stream ended, {len(data)} bytes of {n}")
        data += more
    return data


def main():
    device, what = sys.argv[1:3]
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.bind((device, 0))
    rng = random.Random(7)
    if what == "time":
        times = []
        for _ in range(int(sys.argv[3])):
            f = frame(64, rng)
            start = time.perf_counter()
            s.send(f)
            if read(64) != f:
                sys.exit("another frame came back")
            times.append(time.perf_counter() - start)
        print(int(sorted(times)[len(times) // 4] * 1e6))
    elif what == "sizes":
        # Around the length of a slot, where its header lies as well, and of a page.
        lengths = [60, 64, 1514, *range(1900, 2060), 4096, 8999, 9014] + [rng.randrange(60, 9014) for _ in range(400)]
        frames = [frame(n, rng, 42 if n % 3 == 0 else None) for n in lengths]
        with open(sys.argv[3], "wb") as f:
            for at in range(0, len(frames), 50):
                for x in frames[at:at + 50]:
                    s.send(x)
                data = read(sum(map(len, frames[at:at + 50])))
                if data != b"".join(frames[at:at + 50]):
                    sys.exit(f"frames {at} to {at + 50} are not what was sent")
                f.write(data)
    else:
        f = frame(9000, rng)
        for _ in range(int(sys.argv[3])):
            s.send(f)


main()
