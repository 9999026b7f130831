"""tally - the books of a source, checked by a count of our own

    tally.py MOUNT FRAMES POLICY    device `near` there, whose other end `far` is in the namespace far

Sends numbered frames, faster than some can read; readers come and go. One is slow: POLICY lossy, and it loses some;
reliable, and the source does, which cannot wait. Each counts what it gets by the numbers in the
frames. Then every sum of docs/accounting.md has to come out, to the frame. Status 1 and a sentence if one does not.
"""
import os
import random
import struct
import subprocess
import sys
import threading
import time

SIZE = 214
SEND = f"""
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
head = b"\\xff" * 6 + b"\\2" + b"\\0" * 5 + b"\\x88\\xb5"
for i in range(int(sys.argv[1]), int(sys.argv[2])):
    s.send(head + struct.pack("<Q", i) + bytes({SIZE} - 22))
"""
if sys.argv[1] == "send":  # the frames alone: tally.py send N
    sys.argv[1:] = ["0", sys.argv[2]]
    exec(SEND)
    sys.exit(0)
if sys.argv[1] == "udp":  # datagrams to ourselves
    import socket
    taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taker.bind(("127.0.0.1", 9))  # or each would be answered
    to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for n in range(int(sys.argv[2])):
        to.sendto(struct.pack("<Q", n) + bytes(SIZE), ("127.0.0.1", 9))
    sys.exit(0)
P, FRAMES, POLICY = sys.argv[1], int(sys.argv[2]), sys.argv[3]
TOP = f"{P}/dev/near"
SLOW = float(os.environ.get("T_SLOW", "1"))
failures = []


def equal(what, got, want):
    print(f"{'ok' if got == want else 'WRONG'}: {what}: {got}" + ("" if got == want else f", not {want}"), flush=True)
    if got != want:
        failures.append(what)


def stats(path):
    with open(f"{path}/.stats", encoding="utf-8") as f:
        words = (line.split(None, 1) for line in f)
        return {w[0]: int(w[1]) for w in words if len(w) == 2 and w[1].strip().lstrip("-").isdigit()}


def since(base, now):
    return {k: v - base.get(k, 0) for k, v in now.items()}


def wait(seconds, what, condition):
    end = time.monotonic() + seconds * SLOW
    while not condition():
        if time.monotonic() > end:
            failures.append(f"waited in vain until {what}")
            print(failures[-1])
            return
        time.sleep(0.02)


class Reader(threading.Thread):
    """Counts the frames and the numbers that are not among them. nap: seconds after each read."""

    def __init__(self, path, size=1 << 17, nap=0.0, seconds=None, name="all"):
        super().__init__(daemon=True)
        self.dir, self.fd = path, os.open(f"{path}/{name}", os.O_RDONLY | os.O_NONBLOCK)
        self.size, self.nap, self.seconds = size, nap, seconds
        self.frames, self.bytes, self.last, self.torn = 0, b"", None, 0
        self.go = True

    def take(self):
        try:
            data = os.read(self.fd, self.size)
        except BlockingIOError:
            return False
        self.bytes += data
        n = len(self.bytes) // SIZE
        for i in range(n):
            number, = struct.unpack_from("<Q", self.bytes, i * SIZE + 14)
            if self.bytes[i * SIZE + 12:i * SIZE + 14] != b"\x88\xb5" or (self.last is not None and number <= self.last):
                self.torn += 1
            self.last = number
        self.frames += n
        self.bytes = self.bytes[n * SIZE:]
        return bool(data)

    def run(self):
        end = None if self.seconds is None else time.monotonic() + self.seconds
        while self.go and (end is None or time.monotonic() < end):
            if not self.take():
                time.sleep(0.002)
            time.sleep(self.nap)


def read_apart(path, seconds, out, seed):
    """A process that comes, reads for a while, says what it got and what the books say of it, and goes."""
    program = os.path.abspath(__file__)
    out.append(subprocess.run([sys.executable, program, P, "0", "", path, str(seconds), str(seed)], capture_output=True, text=True,
                              check=False, timeout=60 * SLOW))


def comer(path, seconds, seed):
    chance = random.Random(seed)
    r = Reader(path, size=chance.choice([1000, 50000, 1 << 17]), nap=chance.choice([0, 0, 0.01]), seconds=seconds)
    r.run()
    line = None
    with open(f"{path}/.readers", encoding="utf-8") as f:
        for text in f:
            if f"pid={os.getpid()} " in text:
                line = dict(w.split("=", 1) for w in text.split() if "=" in w)
    good = line and int(line["delivered"]) == r.frames and r.torn == 0
    good = good and int(line["seen"]) == int(line["delivered"]) + int(line["lost"]) + int(line["lag"])
    print(r.frames, r.torn, line)
    sys.exit(0 if good else 1)


def own_line(reader):
    """Of a Reader of this process: the only one that has its directory and its descriptor."""
    with open(f"{reader.dir}/.readers", encoding="utf-8") as f:
        lines = [dict(w.split("=", 1) for w in text.split() if "=" in w) for text in f if f"pid={os.getpid()} " in text]
    return [{k: int(x[k]) for k in ("delivered", "lost", "lag", "seen")} for x in lines]


def main():
    thinned = f"{TOP}/sample:3"
    kept = f"{thinned}/match:ether proto 0x88b5"
    watched, slow_dir = f"{TOP}/head:100000000", f"{TOP}/snap:{SIZE}"
    for path in (kept, watched, slow_dir):
        os.makedirs(path)
    base = stats(TOP)

    def source():
        return since(base, stats(TOP))

    fast, filtered = Reader(watched), Reader(kept)
    slow = Reader(slow_dir, size=SIZE * 3, nap=0.02, name=f"all,policy={POLICY}")
    for r in (fast, filtered, slow):
        r.start()
    out, comers = [], []
    chance = random.Random(46)
    sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND, "0", str(FRAMES)])
    due = 0
    while sender.poll() is None:
        t = threading.Thread(target=read_apart, args=(chance.choice([TOP, watched, thinned, kept]), chance.random() / 2, out,
                                                     chance.randrange(1 << 30)))
        t.start()
        comers.append(t)
        due += FRAMES // 12
        wait(60, "some frames more have come", lambda due=due: sender.poll() is not None or source()["seen"] >= due)
    for t in comers:
        t.join()
    wait(30, "the source has seen all", lambda: source()["in"] + source()["lost"] >= FRAMES)
    for r in (fast, filtered):
        wait(30, "the fast ones have read all", lambda r=r: own_line(r)[0]["lag"] == 0)
    slow.go = False
    slow.join()

    s, a, k = source(), stats(thinned), stats(kept)
    print(f"{FRAMES} sent; {s}; fast {fast.frames}, slow {slow.frames}, filtered {filtered.frames}, {len(out)} came and went")
    equal("source: seen = sent", s["seen"], FRAMES)
    equal("source: seen = in + lost + unwanted", s["in"] + s["lost"] + s["unwanted"], s["seen"])
    equal("source: lost = the sum of its reasons", sum(v for n, v in s.items() if n.startswith("lost.")), s["lost"])
    equal("a source gives what it took", s["out"], s["in"])
    equal("sample: in = what came out above", a["in"], s["out"])
    equal("sample: in = out + dropped + lost", a["out"] + a["dropped"] + a["lost"], a["in"])
    equal("match: in = out + dropped + lost", k["out"] + k["dropped"] + k["lost"], k["in"])
    equal("match: in = what came out above", k["in"], a["out"])
    for name, r, above in (("fast", fast, stats(watched)), ("filtered", filtered, k), ("slow", slow, stats(slow_dir))):
        line = own_line(r)[0]
        equal(f"{name}: seen = what came out", line["seen"], above["out"])
        equal(f"{name}: delivered = what it has got", line["delivered"], r.frames)
        equal(f"{name}: nothing torn, twice or out of order", r.torn, 0)
        equal(f"{name}: sent = delivered + filtered + lost + lag",
              line["delivered"] + line["lost"] + line["lag"] + s["lost"] + s["unwanted"] + (a["dropped"] + k["dropped"] if r is filtered else 0), FRAMES)
    waits = own_line(slow)[0]
    before = slow.frames
    slow.size = 1 << 17
    while slow.take():
        pass
    now = own_line(slow)[0]
    equal("slow: what waited for it, it got or lost", slow.frames - before + now["lost"] - waits["lost"], waits["lag"])
    equal("slow: nothing waits any more", now["lag"], 0)
    equal("slow: it has lost some", now["lost"] > 0, POLICY == "lossy")
    if POLICY == "reliable":
        equal("source: it has lost some for want of room", s.get("lost.ring-full", 0) > 0, True)
    bad = [o for o in out if o.returncode]
    equal("those who came and went: their books were right", len(bad), 0)
    for o in bad[:3]:
        print(o.stdout, o.stderr)
    equal("there were some", len(out) > 3, True)

    # Nobody is there: nothing is seen, and nothing is counted.
    for r in (fast, filtered, slow):
        r.go = False
        r.join()
        os.close(r.fd)
    wait(10, "it is detached", lambda: stats(TOP)["active"] == 0)
    before = stats(TOP)
    subprocess.run(["ip", "netns", "exec", "far", sys.executable, "-c", SEND, "0", "1000"], check=True)
    equal("detached: the books rest", stats(TOP)["seen"], before["seen"])
    equal("... and come out", before["in"] + before["lost"] + before["unwanted"], before["seen"])
    sys.exit(1 if failures else 0)


if len(sys.argv) > 4:
    comer(sys.argv[4], float(sys.argv[5]), int(sys.argv[6]))
main()
