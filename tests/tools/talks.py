"""talks - random HTTP conversations over TCP, captured badly, and what was really said

    talks.py CAPTURE TRUTH [--seed N] [--talks N] [--faults WORD,...] [--bytes N] [--polite]

WORDS: late (segments overtake each other), twice, overlap (parts are sent again with what is new), lost (they arrive, but
are not in the capture). --polite: nothing that tshark 4.0 misreads (pipelines, start lines in bodies, trailers, lengths in
answers without a body). TRUTH is JSON, a list of

    {"ip": [a, b], "ports": [a, b], "a": text, "b": text, "gaps": {"a": [[from, to], ...], "b": ...},
     "messages": [{"side": "a", "from": 0, "to": 99, "head": 40, "method", "host", "path", or "status"}, ...]}

where texts are bytes as Latin-1 and gaps are what no captured segment holds. The capture is as the receivers' ends see it:
acknowledgements follow what they acknowledge.
"""
import argparse
import json
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu".split()


def text(n):
    return "/".join(random.choice(WORDS) for _ in range(n))


# --- what is said -----------------------------------------------------------------------------------

def body_of(limit, polite):
    n = random.choice([0, 1, random.randrange(100), random.randrange(2000), random.randrange(limit)])
    if random.random() < 0.5:
        return random.randbytes(n)
    return (" ".join(random.choices(WORDS, k=n // 4 + 1)).encode() + (b"" if polite else b"\r\n\r\nHTTP/1.1 200 OK\r\n"))[:n]


def chunked(body, polite):
    out, at = b"", 0
    while at < len(body):
        n = random.randrange(1, min(4000, len(body) - at) + 1)
        out += b"%x%s\r\n" % (n, random.choice([b"", b";name=value"])) + body[at:at + n] + b"\r\n"
        at += n
    return out + b"0\r\n" + random.choice([b"", b"" if polite else b"Trailer: x\r\n"]) + b"\r\n"


def headers(n=None):
    return "".join(f"X-{random.choice(WORDS)}: {text(random.randrange(1, 9))}\r\n" for _ in range(n or random.randrange(6)))


def request(limit, polite):
    method = random.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
    host, path = f"{random.choice(WORDS)}.example", "/" + text(random.randrange(1, 6)) + random.choice(["", "?a=b&c=%20"])
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n" + headers()
    body = b""
    if method in ("POST", "PUT"):
        body = body_of(limit, polite)
        if random.random() < 0.3:
            head, body = head + "Transfer-Encoding: chunked\r\n", chunked(body, polite)
        else:
            head += f"Content-Length: {len(body)}\r\n"
    head = (head + "\r\n").encode()
    return {"method": method, "host": host, "path": path, "head": len(head)}, head + body


def response(method, limit, last, polite):
    status = random.choice([200, 200, 200, 204, 304, 404, 500])
    head, body = f"HTTP/1.1 {status} Reason\r\n" + headers(), body_of(limit, polite)
    if method == "HEAD" or status in (204, 304):
        head += random.choice([f"Content-Length: {len(body)}\r\n", "Transfer-Encoding: chunked\r\n", ""]) \
            if (status == 304 or method == "HEAD") and not polite else ""
        body = b""
    elif last and random.random() < 0.3:
        head = head.replace("HTTP/1.1", "HTTP/1.0")
    elif random.random() < 0.3:
        head, body = head + "Transfer-Encoding: chunked\r\n", chunked(body, polite)
    else:
        head += random.choice(["", "Content-Encoding: gzip\r\n" if status == 200 and random.random() < 0.1 else ""])
        head += f"Content-Length: {len(body)}\r\n"
    head = (head + "\r\n").encode()
    return {"status": status, "head": len(head)}, head + body


def conversation(limit, polite):
    """(side, bytes) in the order they are sent, and the messages."""
    said, messages, at = [], [], [0, 0]

    def add(side, message, data):
        message.update(side="ab"[side], to=at[side] + len(data), **{"from": at[side]})
        at[side] += len(data)
        messages.append(message)
        if said and said[-1][0] == side:
            said[-1][1] += data
        else:
            said.append([side, data])

    rounds = random.randrange(1, 6)
    for i in range(rounds):
        asked = []
        pipelined = 1 if polite else random.choice([1, 1, 1, 2, 5])
        for _ in range(pipelined):
            message, data = request(limit, polite)
            add(0, message, data)
            asked.append(message["method"])
        for j, method in enumerate(asked):
            if random.random() < 0.1:
                add(1, {"status": 100, "head": 25}, b"HTTP/1.1 100 Continue\r\n\r\n")
            add(1, *response(method, limit, i == rounds - 1 and j == len(asked) - 1, polite))
    return said, messages


# --- how it is sent and captured ------------------------------------------------------------------------

class Talk:
    def __init__(self, number, faults, limit, polite):
        self.faults = faults
        six = random.random() < 0.3
        base = "fd09::" if six else "10.9.0."
        self.ip = [base + str(1 + number % 50), base + str(100 + number % 7)]
        self.ports = [20000 + number, random.choice([80, 8080])]
        self.isn = [random.choice([random.getrandbits(32), 2**32 - random.randrange(1, 20000)]) for _ in range(2)]
        self.said, self.messages = conversation(limit, polite)
        self.text = [b"".join(d for s, d in self.said if s == side) for side in (0, 1)]
        self.seen = [bytearray(len(t)) for t in self.text]  # captured
        self.here = [bytearray(len(t)) for t in self.text]  # arrived
        self.acked = [0, 0]
        self.fin = [0, 0]

    def packet(self, side, flags, at=0, data=b""):
        src, dst = self.ip[side], self.ip[1 - side]
        seq = (self.isn[side] + 1 + at) % 2**32 if not flags & SYN else self.isn[side]
        ack = (self.isn[1 - side] + 1 + self.acked[1 - side] + self.fin[1 - side]) % 2**32 if flags & ACK else 0
        seg = pfscap.tcp(data, self.ports[side], self.ports[1 - side], flags, seq, ack, src, dst)
        if ":" in src:
            return pfscap.ether(pfscap.ip6(seg, 6, src, dst), 0x86dd)
        return pfscap.ether(pfscap.ip4(seg, 6, src, dst))

    def arrive(self, side, at, n):
        """One segment; yields what the capture has of it, and perhaps an acknowledgement."""
        for i in range(at, at + n):
            self.here[side][i] = 1
        gone = self.here[side].find(0, self.acked[side])
        lost = "lost" in self.faults and random.random() < 0.02
        if not lost:
            for i in range(at, at + n):
                self.seen[side][i] = 1
            yield self.packet(side, ACK | PSH, at, self.text[side][at:at + n])
        self.acked[side] = gone if gone >= 0 else len(self.text[side])
        if random.random() < 0.5:
            yield self.packet(1 - side, ACK, self.sent[1 - side])

    def burst(self, side, start, end):
        mss = random.choice([100, 536, 1000, 1460])
        segments, at = [], start
        while at < end:
            n = min(random.randrange(1, mss + 1) if random.random() < 0.3 else mss, end - at)
            segments.append((at, n))
            if "twice" in self.faults and random.random() < 0.05:
                segments.append((at, n))
            if "overlap" in self.faults and random.random() < 0.1:
                back = max(start, at - random.randrange(1, 2 * mss))
                segments.append((back, min(at + n - back, 1460)))
            at += n
        if "late" in self.faults:
            for i in range(len(segments) - 1):
                if random.random() < 0.1:
                    j = min(len(segments) - 1, i + random.randrange(1, 4))
                    segments[i], segments[j] = segments[j], segments[i]
        for at, n in segments:
            yield from self.arrive(side, at, n)
        self.sent[side] = end
        yield self.packet(1 - side, ACK, self.sent[1 - side])

    def packets(self):
        self.sent = [0, 0]
        yield self.packet(0, SYN)
        yield self.packet(1, SYN | ACK)
        yield self.packet(0, ACK)
        for side, data in self.said:
            yield from self.burst(side, self.sent[side], self.sent[side] + len(data))
        for side in (1, 0):
            yield self.packet(side, FIN | ACK, self.sent[side])
            self.fin[side] = 1
        yield self.packet(1, ACK, self.sent[1] + 1)

    def truth(self):
        gaps = {}
        for side in (0, 1):
            found, at = [], self.seen[side].find(0)
            while at >= 0:
                end = self.seen[side].find(1, at)
                end = end if end >= 0 else len(self.seen[side])
                found.append([at, end])
                at = self.seen[side].find(0, end)
            gaps["ab"[side]] = found
        return {"ip": self.ip, "ports": self.ports, "a": self.text[0].decode("latin-1"),
                "b": self.text[1].decode("latin-1"), "gaps": gaps, "messages": self.messages}


def main():
    p = argparse.ArgumentParser()
    p.add_argument("capture")
    p.add_argument("truth")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--talks", type=int, default=50)
    p.add_argument("--faults", default="")
    p.add_argument("--bytes", type=int, default=20000)
    p.add_argument("--polite", action="store_true")
    args = p.parse_args()
    random.seed(args.seed)
    talks = [Talk(i, args.faults.split(","), args.bytes, args.polite) for i in range(args.talks)]
    running, waiting, packets, now = [], list(talks), [], 1700000000 * 10**9
    while running or waiting:
        if waiting and len(running) < 8:
            running.append(waiting.pop(0).packets())
        one = random.choice(running)
        for _ in range(random.randrange(1, 4)):
            frame = next(one, None)
            if frame is None:
                running.remove(one)
                break
            now += random.randrange(1000, 1000000)
            packets.append(pfscap.Packet(frame, now))
    with open(args.capture, "wb") as f:
        f.write(pfscap.pcap(packets, nano=True))
    with open(args.truth, "w", encoding="utf-8") as f:
        json.dump([t.truth() for t in talks], f)


main()
