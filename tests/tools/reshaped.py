"""reshaped - the merged program of a device is changed while numbered frames go through it

    reshaped.py MOUNT [SECONDS [sparse]]    device `near` there, whose other end `far` is in the namespace far

Some readers stay: each has to get every number, once and in order. Others come and go below filters that are made, given
other parameters, moved and removed: each has to get a run of numbers without a gap, whenever it came. A reader whose
filter keeps every third number has to get just those. At least half of the changes have to be of what the program is
asked, and no program may serve more than those who waited for it.
Sparse: of those who stay nobody wants more than every third, so that who comes finds most of what was before not there.
"""
import os
import random
import struct
import subprocess
import sys
import threading
import time

P = sys.argv[1]
SECONDS = float(sys.argv[2]) if sys.argv[2:] else 2
SPARSE = "sparse" in sys.argv
TOP, SIZE = f"{P}/dev/near", 64
SEND = f"""
import socket, struct, sys, time
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
import pfscap
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
frame = pfscap.udp4(bytes({SIZE} - 42))
assert len(frame) == {SIZE}
end, n = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    for _ in range(50):
        # Every third has another port, and another length in its UDP header than it has: filters can tell.
        s.send(frame[:36] + struct.pack(">H", 2000 + (n % 3 == 0)) + struct.pack(">H", 22 + (n % 3 == 0)) + frame[40:42] + struct.pack("<Q", n) + frame[50:])
        n += 1
    time.sleep(0.002)
print(n)
"""
THIRD, CLASS = "match:udp[4:2] = 23", "dstport/2001"
failures = []


def stat(name, path=TOP):
    with open(f"{path}/.stats", encoding="utf-8") as f:
        return next((int(line.split()[1]) for line in f if line.split()[0] == name), 0)


def fail(sentence):
    failures.append(sentence)
    print("WRONG: " + sentence, flush=True)


class Reader:
    """All numbers that come, a step apart from each other."""
    def __init__(self, path, step=1):
        self.path, self.step, self.first, self.next, self.rest = path, step, None, None, b""
        self.fd = os.open(path + "/all", os.O_RDONLY | os.O_NONBLOCK)

    def read(self):
        try:
            data = self.rest + os.read(self.fd, 1 << 20)
        except BlockingIOError:
            return False
        for at in range(0, len(data) - SIZE + 1, SIZE):
            n, = struct.unpack_from("<Q", data, at + 42)
            if self.next is None:
                self.first = n
                if n % self.step:
                    fail(f"{self.path}: {n} is not for it")
            elif n != self.next:
                fail(f"{self.path}: {n} came where {self.next} belongs, {self.step} apart since {self.first}")
            self.next = n + self.step
        self.rest = data[len(data) // SIZE * SIZE:]
        return True

    def close(self):
        os.close(self.fd)


def change(who, stop, changes):
    dice, i = random.Random(who), 0
    while not stop.is_set():
        i += 1
        name = dice.choice([f"match:len >= {i % 60} and {who} = {who}", THIRD + f" and {who} = {who}", f"count,x{i}", CLASS])
        step = 3 if name.startswith(THIRD) or name == CLASS else 1
        name = "count" if name.startswith("count") else name
        if SPARSE:
            name, step = dice.choice([THIRD + f" and {who} = {who}", CLASS]), 3
        base = f"{TOP}/{dice.choice(['udp', 'ip', 'ip/udp'])}/match:{who} < {who + 1}"
        os.makedirs(f"{base}/{name}", exist_ok=True)
        r = Reader(f"{base}/{name}", step)
        if SPARSE:  # a directory that was in the program, and that nobody has read
            on_the_way = Reader(base)
            time.sleep(0.02)
            on_the_way.read()
            on_the_way.close()
            changes[who] += 2
        for _ in range(dice.randrange(4)):
            r.read()
            time.sleep(0.002)
        if name.startswith("match:len") and dice.random() < 0.5:
            with open(f"{base}/{name}/.params", "w", encoding="ascii") as f:
                f.write(f"arg=len >= {i % 50}\n")
            changes[who] += 1
        if dice.random() < 0.5 and name != CLASS:
            to = f"{TOP}/match:{who} = {who}"
            os.makedirs(to, exist_ok=True)
            os.rename(f"{base}/{name}", f"{to}/{name}")
            base = to
            changes[who] += 1
        r.read()
        r.close()
        while stat("readers", f"{base}/{name}"):
            time.sleep(0.001)
        os.rmdir(f"{base}/{name}")
        changes[who] += 2


def main():
    os.makedirs(f"{TOP}/ip/udp/count", exist_ok=True)
    os.makedirs(f"{TOP}/udp/{THIRD}", exist_ok=True)
    os.makedirs(f"{TOP}/udp/{CLASS}", exist_ok=True)
    steady = [Reader(f"{TOP}/udp/{THIRD}", 3), Reader(f"{TOP}/udp/{CLASS}", 3)]
    if not SPARSE:
        steady += [Reader(TOP), Reader(f"{TOP}/ip/udp"), Reader(f"{TOP}/ip/udp/count")]
    thirds = stat("in", f"{TOP}/udp/{CLASS}")
    books = {(path, name): stat(name, TOP + path) for path in ("", "/ip", "/ip/udp", "/ip/udp/count")
             for name in ("seen", "in", "out", "lost")}
    before, stop, changes = (stat("kernel.generation"), stat("kernel.changes")), threading.Event(), [0] * 4
    threads = [threading.Thread(target=change, args=(w, stop, changes)) for w in range(4)]
    sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND, str(SECONDS)], stdout=subprocess.PIPE)
    for t in threads:
        t.start()
    while sender.poll() is None:
        if not any([r.read() for r in steady]):
            time.sleep(0.001)
    stop.set()
    for t in threads:
        t.join()
    sent = int(sender.stdout.read())
    end = time.monotonic() + 20
    while any(r.next is None or r.next < sent for r in steady) and time.monotonic() < end:
        for r in steady:
            r.read()
    for r in steady:
        if r.first != 0 or r.next is None or not sent <= r.next < sent + 3:
            fail(f"{r.path}: from {r.first} to {r.next}, of {sent}")
    swaps, taken = stat("kernel.generation") - before[0], stat("kernel.changes") - before[1]
    # A program serves those who wait for it together: four at most here, and who leaves waits for nothing.
    if 2 * taken < sum(changes) or 8 * swaps < taken:
        fail(f"{sum(changes)} changes, {taken} of what the kernel is asked, and only {swaps} programs")
    for (path, name), was in books.items():
        want = 0 if name == "lost" or name == "seen" and path else sent
        if stat(name, TOP + path) - was != want:
            fail(f"near{path}: {name} is {stat(name, TOP + path) - was}, not {want}")
    thirds = stat("in", f"{TOP}/udp/{CLASS}") - thirds
    if thirds != (sent + 2) // 3:
        fail(f"{thirds} were counted in the class, of {(sent + 2) // 3}")
    print(f"{sent} frames, {sum(changes)} changes, {taken} of them in the kernel by {swaps} programs")
    sys.exit(bool(failures))


main()
