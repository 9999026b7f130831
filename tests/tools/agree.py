"""agree - what the kernel decides is what the engine decides

    agree.py MOUNT SOURCE [SECONDS]    SOURCE: `dev/near`, `dev/any` or netfilter_pre

The same random tree of filters below SOURCE and below a second one like it with kernel=off, the same readers, and then
the same packets: generated, malformed, cut off at any length. Every reader has to get the same bytes from both, in the
same order, and every directory has to have the same numbers. In between readers come and go. PFS_AGREE_SEED is the seed.

Without eBPF (PIPESFS_NO_EBPF) the kernel lets through what anybody wants: of the numbers those of `count` are the same.
"""
import os
import random
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402

P, SOURCE = sys.argv[1], sys.argv[2]
SECONDS = float(sys.argv[3]) if sys.argv[3:] else 2
SEED = int(os.environ.get("PFS_AGREE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
dice = random.Random(SEED)
TOPS = [f"{P}/{SOURCE}", f"{P}/{SOURCE},kernel=off"]
IP = SOURCE.startswith("netfilter")
CLASSIC = bool(os.environ.get("PIPESFS_NO_EBPF"))
MARKS = "/match:ether proto 0x88b6/count"  # says without eBPF that all that was sent has been through
SEND = """
import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
while True:
    head = sys.stdin.buffer.read(2)
    if len(head) < 2:
        break
    n, = struct.unpack("<H", head)
    if n:
        s.send(sys.stdin.buffer.read(n))
    else:
        sys.stdout.write("done\\n")
        sys.stdout.flush()
"""
FILTERS = ["ip", "ip6", "tcp", "udp", "icmp", "count", "count", "snap", "snap", "snap", "sample", "sample", "dstport", "host", "port", "port", "port,max=3", "srcport",
           "proto", "udp,tunnel=any",
           "packetcount", "packetcount", "bytecount", "dpf:9:8 == 17", "dpf:shift (0:8 & 0xf) << 2, 2:16 == 53",
           "xpf:ldb [9] jeq #6, yes, no yes: ret #1 no: ret #0", "bpf:ld type ret a", "bpf:ldb [9] jeq #17, yes ret #0 yes: ret #1",
           "cspf:PUSHWORD+6, PUSHLIT|EQ, 0x0800"]
FILTERS += [] if IP else ["arp", "vlan", "vlan:42"]
CLASSES = {"dstport": ["53", "80"], "srcport": ["1000", "53"], "port": ["53", "80", "443", "7"],
           "proto": ["tcp", "udp", "gre", "200"], "host": ["10.0.0.1", "192.0.0.2", "100::2", "10.9.9.9"]}
SNAPLENS = [262144, 262144, 70]
NUMBERS = {"packetcount": ["in", "packets"], "bytecount": ["in", "wire", "captured"]}  # lines come by the clock
WORDS = ["tcp", "udp", "port 53", "dst port 80", "src port 1000", "ip6", "greater 100", "less 60", "ip[8] < 64", "icmp",
         "host 10.0.0.1", "net 10.0.0.0%2f8", "tcp[13] & 2 != 0", "portrange 50-90", "ip proto 17", "ip6 proto 6",
         "len % 3 = 1", "udp[4:2] > 20", "inbound", "outbound", "ip[2:2] > 64", "ip[6:2] & 0x1fff = 0"]
WORDS += ["ip6[40] = 0"] if IP else ["ether[12:2] = 0x800", "vlan", "vlan 42 and udp", "arp", "ether proto 0x88b5"]


def fail(sentence):
    print(f"WRONG: {sentence} (PFS_AGREE_SEED={SEED})")
    sys.exit(1)


# --- packets ---------------------------------------------------------------------------------

def packet():
    payload = bytes(dice.randrange(256) for _ in range(dice.choice([0, 1, 8, 30, 200])))
    ports = [dice.choice([53, 80, 1000, 443, 65535, 0]) for _ in range(2)]
    proto = dice.choice([6, 17, 17, 1, 47, 132])
    l4 = struct.pack(">HH", *ports) + {
        6: struct.pack(">IIBBHHH", 1, 2, 5 << 4, dice.randrange(64), 100, 0, 0),
        17: struct.pack(">HH", 8 + len(payload), 0)}.get(proto, b"\0" * 12)
    if dice.random() < 0.7:
        options = b"\1" * (4 * dice.choice([0, 0, 0, 1, 10]))
        flags = dice.choice([0, 0, 0, 0x4000, 0x2000, 0x2001, 5])
        head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(l4) + len(payload),
                           1, flags, dice.choice([1, 64, 255]), proto, 0, bytes([10, 0, 0, dice.randrange(1, 4)]),
                           bytes([dice.choice([10, 192]), 0, 0, dice.randrange(1, 4)])) + options
        total = pfscap.checksum(head)
        return 0x800, head[:10] + struct.pack(">H", total) + head[12:] + l4 + payload
    if IP or dice.random() < 0.7:
        chain, inner = b"", l4 + payload
        kind = proto
        for _ in range(dice.choice([0, 0, 0, 1, 2])):
            extension = dice.choice([0, 43, 60, 44])
            chain = struct.pack(">BBHI", kind, 0, dice.choice([0, 0, 8]) if extension == 44 else 0, 0) + chain
            kind = extension
        body = chain + inner
        return 0x86dd, struct.pack(">IHBB", 6 << 28, len(body), kind, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + body
    if dice.random() < 0.5:
        return 0x806, struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + bytes(20)
    return dice.choice([0x88b5, 100, 0x8847]), payload + bytes(4)


def frame():
    kind, body = packet()
    tags = [(dice.choice([0x8100, 0x88a8]), dice.choice([42, 7])) for _ in range(dice.choice([0, 0, 0, 1, 2]))]
    whole = b"\xff" * 6 + b"\2\0\0\0\0\1"
    for tpid, number in [] if IP else tags:
        whole += struct.pack(">HH", tpid, number)
    whole += struct.pack(">H", kind) + body
    if dice.random() < 0.2 and not IP:
        whole = whole[:dice.randrange(15, len(whole) + 1)] if len(whole) > 15 else whole
    if dice.random() < 0.2:
        whole = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(14 if IP else 12, len(whole))
            whole[at] = dice.choice([0, 255, 6, 17, dice.randrange(256)])
        whole = bytes(whole)
    if whole[12:14] == b"\x88\xb6":
        return frame()  # those are the marks
    return whole if len(whole) > 14 else whole + bytes(15 - len(whole))


MARK = b"\xff" * 6 + b"\2\0\0\0\0\1" + b"\x88\xb6" + bytes(46)
marks = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88b6))
marks.bind(("near", 0x88b6))
sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)


def send(frames):
    """Returns when they have been through: the kernel itself drops some that are too malformed, before we see them."""
    for f in [*frames, MARK, MARK]:
        sender.stdin.write(struct.pack("<H", len(f)) + f)
    sender.stdin.write(b"\0\0")
    sender.stdin.flush()
    sender.stdout.readline()
    marks.recv(100)
    marks.recv(100)


# --- the tree --------------------------------------------------------------------------------

def stats(path):
    with open(f"{path}/.stats", encoding="utf-8") as f:
        return dict(line.split(None, 1) for line in f if len(line.split(None, 1)) == 2)


def number(path, name):
    return int(stats(path).get(name, "0"))


class Tree:
    def __init__(self):
        self.dirs, self.readers, self.got, self.classes = [""], {}, {}, set()
        for _ in range(dice.randrange(3, 14)):
            self.grow()

    def grow(self):
        above = dice.choice([d for d in self.dirs if d.count("/") < 4 and d.split("/")[-1] not in NUMBERS])
        of = CLASSES.get(self.field(above), [])
        if of and dice.random() < 0.7:
            name = dice.choice(of)
        elif dice.random() < 0.5:
            word = dice.choice(WORDS)
            name = "match:" + (word if dice.random() < 0.6 else f"not ({word}) or {dice.choice(WORDS)}")
        else:
            name = dice.choice(FILTERS)
        if name == "snap":
            name = f"snap:{dice.choice([dice.randrange(1, 90), 14, 20, 34, 38, 40, 54, 64, 1000])}"
        if name == "sample":
            n = dice.choice([1, 2, 3, 7, 50])
            name = f"sample:{n},phase={dice.randrange(n)}" if dice.random() < 0.3 else f"sample:{n}"
        path = f"{above}/{name}"
        if path in self.dirs:
            return
        made = [self.make(top + path) for top in TOPS]
        if made[0] != made[1]:
            fail(f"mkdir {path}: {made[0]} with the kernel, {made[1]} without")
        if made[0]:
            return  # no such packets there, say
        self.dirs.append(path)
        if name in CLASSES.get(self.field(above), []):
            self.classes.add(path)

    def field(self, path):
        return path.split("/")[-1].split(",")[0]

    def make(self, path):
        """Why it could not be made, or None: it is there."""
        try:
            os.mkdir(path)
        except FileExistsError:
            if self.field(os.path.dirname(path)) not in CLASSES:
                fail(f"{path} was there before")  # else it is a class that has come by itself
        except OSError as error:
            return error.strerror
        return None

    def open(self, path):
        if path in self.readers or path.split("/")[-1] in NUMBERS:
            return
        name = dice.choice(["all", "all", "all.json"])
        self.readers[path] = [os.open(f"{top}{path}/{name}", os.O_RDONLY | os.O_NONBLOCK) for top in TOPS]
        self.got[path] = [b"", b""]

    def close(self, path):
        self.drain()
        self.compare(path)
        for fd in self.readers.pop(path):
            os.close(fd)
        del self.got[path]
        # Closing comes to the filesystem a moment later.
        wait("it was closed", lambda: all(number(top + path, "readers") == 0 for top in TOPS))

    def drain(self):
        for path, fds in self.readers.items():
            for i, fd in enumerate(fds):
                while True:
                    try:
                        more = os.read(fd, 1 << 20)
                    except BlockingIOError:
                        break
                    if not more:
                        fail(f"{path}: its stream has ended")
                    self.got[path][i] += more

    def settled(self):
        """Has every record that was seen come to every reader?"""
        for top in TOPS:
            stats(top)  # waits for what was counted and is still on its way to them
        self.drain()
        for top in TOPS:
            for path in self.readers:
                with open(f"{top}{path}/.readers", encoding="utf-8") as f:
                    if any(" lag=0 " not in line for line in f):
                        return False
        return True

    def said(self, path):
        """What the two readers have got; times and devices are not the same."""
        return [[line.split(b'"len":', 1)[-1] for line in x.splitlines()] if x[:1] == b"{" else x for x in self.got[path]]

    def alike(self):
        """A view's lag is that of what it has made: it may have more to make."""
        self.drain()
        return all(a == b for a, b in map(self.said, self.readers))

    def compare(self, path):
        a, b = self.said(path)
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            fail(f"{path}: the kernel gives {len(a)}, the engine {len(b)}; they differ at {at}: "
                 f"{a[at:at + 1]!r} {b[at:at + 1]!r}")

    def check(self):
        for path in self.readers:
            self.compare(path)
        if CLASSIC:
            for path in self.dirs:
                a, b = (number(top + path, "records") for top in TOPS)
                if path.endswith("/count") and a != b:
                    fail(f"{path}: {a} records with the kernel, {b} without")
            return
        for path in self.dirs:
            a, b = (stats(top + path) for top in TOPS)
            for key in NUMBERS.get(path.split("/")[-1], a):
                # By how much what was decided in the kernel is seen by nobody else, and what is of the moment.
                if key.split(".")[0] in ("kernel", "reordered", "wakeups", "programs", "priority", "created"):
                    continue
                if a[key] != b.get(key):
                    fail(f"{path}: {key} is {a[key].strip()} with the kernel, {b.get(key)} without")

    def end(self):
        for path in list(self.readers):
            self.close(path)
        for path in sorted(self.dirs, key=lambda d: -d.count("/")):
            if path and path not in self.classes:  # those go with what they are classes of
                for top in TOPS:
                    os.rmdir(top + path)


def came(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def wait(what, condition):
    if not came(condition, 20):
        fail(f"it has not come to pass in 20 s: {what}; {through()} have, {[stats(t) for t in TOPS]}")


def through():
    """How many packets have come through, as far as all know it."""
    return [number(top + MARKS, "records") if CLASSIC else number(top, "seen") for top in TOPS]


def program():
    with open(f"{TOPS[0]}/.program", encoding="utf-8") as f:
        return f.readline()


def kept():
    if CLASSIC:
        return number(TOPS[1], "kernel.copied") - number(TOPS[0], "kernel.copied")
    return number(TOPS[0], "kernel.seen") - number(TOPS[0], "kernel.copied")


trees = records = decided = changes = 0
start = time.monotonic()
if not os.path.isdir(TOPS[1]):
    os.mkdir(TOPS[1])
for word in FILTERS:  # trees leave out what cannot be made: that must not be because of a mistake here
    if word.split(":")[0] in ("bpf", "cspf", "dpf", "xpf"):
        os.makedirs(f"{P}/accept/unpcap/{word}")
        os.rmdir(f"{P}/accept/unpcap/{word}")
for top in TOPS if CLASSIC else []:
    os.makedirs(top + MARKS)
# A tree may be such that everything is wanted.
while time.monotonic() < start + SECONDS or (decided == 0 and trees < 50):
    for top in TOPS:  # what was cut off counts on the wire
        with open(f"{top}/.params", "w", encoding="utf-8") as f:
            f.write(f"snaplen={SNAPLENS[trees % len(SNAPLENS)]}\n")
    tree = Tree()
    # Sometimes nobody reads, and only a count wants it at all.
    if dice.random() < 0.8 or not any(d.endswith("count") for d in tree.dirs):
        tree.open(dice.choice(tree.dirs))
    for _ in range(3):
        for _ in range(dice.randrange(3)):
            changes += 1
            if dice.random() < 0.3 and len(tree.readers) > 1:
                tree.close(dice.choice(list(tree.readers)))
            elif dice.random() < 0.3:
                tree.grow()
            else:
                tree.open(dice.choice(tree.dirs))
        before, kernel = through(), [number(top, "kernel.seen") for top in TOPS]
        frames = [frame() for _ in range(200)]
        send(frames)
        if CLASSIC:
            wait(f"the marks have come, since {before}", lambda: all(n - b == 2 for n, b in zip(through(), before)))
        wait("both have seen the same", lambda: len({n - b for n, b in zip(through(), before)}) == 1)
        if not CLASSIC:
            seen = [number(top, "kernel.seen") - s for top, s in zip(TOPS, kernel)]
            wait("all is known", lambda: [n - b for n, b in zip(through(), before)] == seen)
        wait("all were read", tree.settled)
        came(tree.alike, 5)
        if not CLASSIC:
            wait("the program is made", lambda: "being made" not in program())
            if "engine:" in program():
                fail(f"nothing is decided: {program()}")
        tree.check()
        records += len(frames)
    decided += kept()
    tree.end()
    trees += 1
sender.stdin.close()
sender.wait()
if decided == 0:
    fail("the kernel has decided nothing")
print(f"ok: {SOURCE}: {trees} trees, {changes} changes, {records} packets; of these the kernel kept {decided} to itself")
