"""verdicts - random rules: what passes, and what each of them counts, is what tcpdump says of their expressions

    verdicts.py MOUNT HOOK [SECONDS]    HOOK: netfilter_in or netfilter_pre

Packets for us come by `near` (02:00:00:00:00:0b, 10.9.0.1, fd09::1), from the namespace far; raw sockets behind the hooks
get what was not dropped. Rules are `drop` and `pass` below filters; they are made, moved and removed between the packets. A
packet for which a `pass` holds goes on; else one for which a `drop` holds does not; else it goes on. What an expression
says of a packet is asked of `tcpdump -O -r`. PFS_AGREE_SEED is the seed.
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

P, HOOK = sys.argv[1], sys.argv[2]
SECONDS = float(sys.argv[3]) if sys.argv[3:] else 1
SEED = int(os.environ.get("PFS_AGREE_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
TOP = f"{P}/{HOOK}"
PACKETS = 60
PROTOCOLS = [1, 6, 17, 47, 58, 200]
HEAD = bytes.fromhex("02000000000b 020000000001")
SEND = """
import os, socket, struct, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one after the other
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
while head := sys.stdin.buffer.read(2):
    s.send(sys.stdin.buffer.read(struct.unpack("<H", head)[0]))
"""
WORDS = ["tcp", "udp", "icmp", "ip", "ip6", "port 53", "dst port 80", "src port 1000", "udp port 443", "greater 100", "less 60",
         "ip[8] < 64", "host 10.9.0.2", "src net 10.9.0.0/25", "tcp[13] & 2 != 0", "portrange 50-90", "ip proto 47", "ip6 proto 6",
         "len % 3 = 1", "udp[4:2] > 20", "ip[2:2] > 64", "ip6[6] = 58", "ip[1] = 0x10", "ip6 host fd09::3", "proto 200"]
SIMPLE = {"ip": "ip", "ip6": "ip6", "tcp": "tcp", "udp": "udp", "icmp": "icmp", "count": ""}
dice = random.Random(SEED)


def fail(sentence):
    print(f"WRONG: {sentence} (PFS_AGREE_SEED={SEED})")
    sys.exit(1)


# --- packets ---------------------------------------------------------------------------------

def packet(ident):
    """Right in all that the kernel looks at before a hook; who it is stands in its last bytes."""
    payload = bytes(dice.choice([0, 1, 8, 30, 200])) + struct.pack(">I", ident)
    proto = dice.choice([6, 6, 17, 17, 1, 47, 200])
    sport, dport = (dice.choice([53, 80, 1000, 443, 60, 65535]) for _ in range(2))
    six = dice.random() < 0.3
    segment = payload
    if proto == 6:
        segment = struct.pack(">HHIIBBHHH", sport, dport, 1, 2, 5 << 4, dice.randrange(64), 100, 0, 0) + payload
    elif proto == 17:
        segment = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    elif proto == 1:
        proto = 58 if six else 1
        segment = struct.pack(">BBH", 0, 0, 0) + bytes(4) + payload
    if six:
        source = dice.choice(["fd09::2", "fd09::3"])
        if proto == 58:  # raw sockets look at its sum
            segment = segment[:2] + struct.pack(">H", pfscap.transport_sum(segment, proto, source, "fd09::1")) + segment[4:]
        return 0x86DD, pfscap.ip6(segment, proto, source, "fd09::1")
    whole = bytearray(pfscap.ip4(segment, proto, dice.choice(["10.9.0.2", "10.9.0.200"]), "10.9.0.1", ttl=dice.choice([1, 64, 255])))
    whole[1] = dice.choice([0, 0x10])
    whole[10:12] = bytes(2)
    struct.pack_into(">H", whole, 10, pfscap.checksum(whole[:20]))
    return 0x800, bytes(whole)


def listeners():
    """Raw sockets of all protocols: they have what LOCAL_IN accepted."""
    made = []
    for family, protocols in ((socket.AF_INET, PROTOCOLS), (socket.AF_INET6, PROTOCOLS)):
        for proto in protocols:
            s = socket.socket(family, socket.SOCK_RAW, proto)
            s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            s.setblocking(False)
            made.append(s)
    return made


def drained(sockets):
    got = []
    for s in sockets:
        while True:
            try:
                got.append(struct.unpack(">I", s.recv(2048)[-4:])[0])
            except BlockingIOError:
                break
    return got


class Oracle:
    """Which of the packets an expression is true of."""

    def __init__(self, packets):
        with open("verdicts.pcap", "wb") as f:
            f.write(pfscap.pcap([pfscap.Packet(p, link=pfscap.RAW) for _, p in packets], link=pfscap.RAW))
        self.known = {"": set(range(len(packets)))}

    def of(self, expression):
        if expression not in self.known:
            r = subprocess.run(["tcpdump", "-O", "-r", "verdicts.pcap", "-w", "-", expression], capture_output=True, check=False)
            if r.returncode:
                fail(f"tcpdump: {expression}: {r.stderr.decode()[:200]}")
            self.known[expression] = {struct.unpack(">I", p.data[-4:])[0] for p in pfscap.read(r.stdout)}
        return self.known[expression]


# --- rules -----------------------------------------------------------------------------------

def expression():
    words = [dice.choice(["", "not "]) + dice.choice(WORDS) for _ in range(dice.choice([1, 1, 2, 3]))]
    return dice.choice([" and ", " or "]).join(words)


def place():
    """Filters one below the other: the path, and their expressions."""
    names, expressions = [], []
    for _ in range(dice.choice([0, 1, 1, 2, 3])):
        if dice.random() < 0.6:
            expressions.append(expression())
            names.append("match:" + expressions[-1].replace("%", "%25").replace("/", "%2f"))
        else:
            names.append(dice.choice(sorted(SIMPLE)))
            expressions.append(SIMPLE[names[-1]])
    return "/".join([TOP, *names]), expressions


def numbers(path):
    with open(f"{path}/.stats", encoding="utf-8") as f:
        got = dict(line.split(None, 1) for line in f if len(line.split(None, 1)) == 2)
    return int(got.get("packets", 0)), int(got.get("undecided", 0))


class Rules:
    def __init__(self):
        self.of, self.made = {}, 0  # path: expressions

    def add(self, kind):
        where, expressions = place()
        if not os.path.isdir(f"{where}/{kind}"):
            os.makedirs(f"{where}/{kind}")
            self.made += 1
        self.of[f"{where}/{kind}"] = expressions

    def move(self):
        was = dice.choice(sorted(self.of))
        kind = os.path.basename(was)
        where, expressions = place()
        if not os.path.isdir(f"{where}/{kind}"):
            os.makedirs(where, exist_ok=True)
            os.rename(was, f"{where}/{kind}")
            del self.of[was]
            self.of[f"{where}/{kind}"] = expressions

    def change(self):
        for _ in range(dice.randrange(1, 5)):
            way = dice.random()
            if len(self.of) < 2 or (way < 0.5 and len(self.of) < 14):
                self.add("drop" if dice.random() < 0.7 else "pass")
            elif way < 0.7:
                self.move()
            else:
                gone = dice.choice(sorted(self.of))
                os.rmdir(gone)
                del self.of[gone]

    def holding(self, oracle):
        """{path: numbers of the packets for which it holds}"""
        return {path: set.intersection(oracle.of(""), *map(oracle.of, expressions)) for path, expressions in self.of.items()}


def judge(rules, oracle, sent, got, before):
    """All that was sent, what came, and what the rules had counted before."""
    holds = rules.holding(oracle)
    passed = set().union(*(h for path, h in holds.items() if path.endswith("/pass")))
    dropped = set().union(*(h for path, h in holds.items() if path.endswith("/drop"))) - passed
    if sorted(got) != sorted(sent - dropped):
        lost, extra = sorted(sent - dropped - set(got))[:5], sorted(set(got) & dropped)[:5]
        fail(f"packets {lost} were dropped, {extra} were not, {len(got)} of {len(sent) - len(dropped)} came, below "
             f"{sorted(p[len(TOP):] for p in rules.of)}")
    for path, hold in holds.items():
        now = numbers(path)
        want = len(hold if path.endswith("/pass") else hold - passed)
        if now[0] - before[path][0] != want or now[1] != before[path][1]:
            fail(f"{path} counts {now[0] - before[path][0]} packets, not {want}; undecided {now[1]}")
    return len(dropped), len(passed)


def main():
    packets = [packet(i) for i in range(PACKETS)]
    oracle, rules, sockets = Oracle(packets), Rules(), listeners()
    marks = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B6))
    marks.bind(("near", 0x88B6))
    sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND], stdin=subprocess.PIPE)
    frames = [HEAD + struct.pack(">H", kind) + p for kind, p in packets] + [HEAD + b"\x88\xb6" + bytes(46)]
    everything = b"".join(struct.pack("<H", len(f)) + f for f in frames)
    end, rounds, dropped, passed = time.monotonic() + SECONDS, 0, 0, 0
    while rounds < 3 or time.monotonic() < end or (rounds < 100 and not (dropped and passed)):
        rules.change()
        before = {path: numbers(path) for path in rules.of}
        sender.stdin.write(everything)
        sender.stdin.flush()
        marks.recv(100)
        d, p = judge(rules, oracle, set(range(PACKETS)), drained(sockets), before)
        rounds, dropped, passed = rounds + 1, dropped + d, passed + p
    sender.stdin.close()
    sender.wait()
    for path in sorted(rules.of):
        os.rmdir(path)
    if not dropped or not passed:
        fail("no rule has done anything")
    print(f"{HOOK}: {rounds} sets of rules, {rules.made} made; of {rounds * PACKETS} packets {dropped} dropped, {passed} passed by a rule")


main()
