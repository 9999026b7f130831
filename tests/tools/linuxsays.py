"""linuxsays - what this kernel makes of segments and fragments that overlap

    linuxsays.py tcp CAPTURE ANSWERS [SEED [CASES]]    connections; ANSWERS: {"port": "what a program read", ...}
    linuxsays.py frag CAPTURE ANSWERS [SEED [CASES]]   datagrams; ANSWERS: ["payload in hex", ...] in their order

Packets are written into a TUN device of this network namespace, as if they came from elsewhere, and into CAPTURE with
what the kernel answers. Overlapping data differs, so that it shows whose bytes were taken. Needs root and a namespace of
its own.
"""
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402

HERE4, THERE4 = "10.8.0.1", "10.8.0.2"
HERE6, THERE6 = "fd08::1", "fd08::2"
PORT = 7000
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Tun:
    """A TUN device with our addresses; keeps all that went through it."""

    def __init__(self):
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, 0x400454ca, struct.pack("16sH", b"says0", 0x1001))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
        for command in (f"addr add {HERE4}/24 dev says0", f"-6 addr add {HERE6}/64 dev says0 nodad",
                        "link set says0 addrgenmode none", "link set says0 up", "link set lo up"):
            subprocess.run(["ip", *command.split()], check=True)
        with open("/proc/sys/net/ipv4/ipfrag_max_dist", "w", encoding="ascii") as f:
            f.write("0")
        self.packets = []
        self.time = 1700000000 * 10**9

    def keep(self, data):
        self.time += 1000
        self.packets.append(pfscap.Packet(data, self.time, link=pfscap.RAW))

    def send(self, data):
        self.keep(data)
        os.write(self.fd, data)

    def receive(self, seconds=0.0):
        """What the kernel sends; waits for the first of it."""
        out = []
        while select.select([self.fd], [], [], 0 if out else seconds)[0]:
            data = os.read(self.fd, 65536)
            self.keep(data)
            out.append(data)
        return out

    def save(self, name):
        with open(name, "wb") as f:
            f.write(pfscap.pcap(self.packets, nano=True, link=pfscap.RAW))


# --- TCP -----------------------------------------------------------------------------------------

class Talk:
    """One connection into the kernel; we make up its segments."""

    def __init__(self, tun, listener, port):
        self.tun, self.port = tun, port
        self.isn = random.choice([random.getrandbits(32), 2**32 - random.randrange(1, 300)])
        self.ack = 0
        packets = self.send(-1, b"", SYN)
        while not self.ack:
            self.ack = self.answer(packets or tun.receive(5))
            packets = []
        self.send(0, b"", ACK)
        self.socket = listener.accept()[0]
        self.socket.settimeout(10)

    def answer(self, packets):
        if not packets:
            sys.exit("no answer to a SYN")
        for data in packets:
            if data[0] == 0x45 and data[9] == 6 and data[33] & 0x3f == SYN | ACK and \
                    data[22:24] == struct.pack(">H", self.port):
                return struct.unpack_from(">I", data, 24)[0] + 1
        return 0

    def send(self, at, data, flags=ACK):
        seg = pfscap.tcp(data, self.port, PORT, flags, (self.isn + 1 + at) % 2**32, self.ack % 2**32, THERE4, HERE4)
        self.tun.send(pfscap.ip4(seg, 6, THERE4, HERE4))
        return self.tun.receive()


def letters(at, n, turn):
    """Bytes for [at, at + n) as the segment number `turn` has them."""
    return bytes(33 + (at + i + turn * 17) % 90 for i in range(n))


def tcp_case(talk):
    size = random.randrange(8, 120)
    turn = 0
    for _ in range(random.randrange(1, 25)):
        at = random.randrange(1, size)
        n = random.randrange(1, 1 + min(size - at, random.choice([4, 20, 60])))
        fin = FIN if at + n == size and random.random() < 0.3 else 0
        turn += 1
        talk.send(at, letters(at, n, turn), ACK | fin)
        if random.random() < 0.1:  # some of it becomes the next
            turn += 1
            talk.send(0, letters(0, random.randrange(1, min(12, size + 1)), turn))
    # Everything once more, from the front, so that it ends.
    at = 0
    while at < size:
        n = min(random.randrange(1, 40), size - at)
        turn += 1
        talk.send(at, letters(at, n, turn))
        at += n
    talk.send(size, b"", ACK | FIN)
    got = b""
    while part := talk.socket.recv(65536):
        got += part
    talk.socket.close()
    talk.tun.receive()
    return got


def run_tcp(tun, cases):
    listener = socket.create_server((HERE4, PORT), backlog=64)
    answers = {}
    for i in range(cases):
        port = 10000 + i
        answers[port] = tcp_case(Talk(tun, listener, port)).decode("latin-1")
    return answers


# --- fragments ---------------------------------------------------------------------------------------

def frag_packet(six, ident, at, data, more):
    if not six:
        return pfscap.ip4(data, 17, THERE4, HERE4, ident, (0x2000 if more else 0) | at // 8)
    return pfscap.ip6(struct.pack(">BBHI", 17, 0, at | more, ident) + data, 44, THERE6, HERE6)


def run_frag(tun, cases):
    sockets = []
    for family, addr in ((socket.AF_INET, HERE4), (socket.AF_INET6, HERE6)):
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.bind((addr, PORT))
        s.setblocking(False)
        sockets.append(s)
    answers = []
    for i in range(cases):
        six = random.random() < 0.5
        payload = random.randbytes(random.randrange(16, 400))
        src, dst = (THERE6, HERE6) if six else (THERE4, HERE4)
        whole = pfscap.udp(payload, 20000 + i % 1000, PORT, src, dst)
        size = len(whole)
        cuts, at = [], 0
        while at < size:
            n = min(8 * random.randrange(1, 12), size - at)
            cuts.append((at, n))
            at += n
        order = list(cuts)
        if random.random() < 0.7:
            random.shuffle(order)
        for _ in range(random.choice([0, 0, 0, 1, 2])):  # again, perhaps other parts of it
            at = 8 * random.randrange(0, (size + 7) // 8)
            again = (at, min(8 * random.randrange(1, 12), size - at)) if random.random() < 0.5 else random.choice(cuts)
            order.insert(random.randrange(len(order) + 1), again)
        for at, n in order:
            more = at + n < size
            if random.random() < 0.01:
                more = not more
            if n == size and not more:
                more = True  # that would be no fragment
            data = whole[at:at + n]
            if more and len(data) % 8 and six:
                data = data[:len(data) & ~7] or bytes(8)
            tun.send(frag_packet(six, i + 1, at, data, more))
        tun.receive()
        for s in sockets:
            try:
                while True:
                    answers.append(s.recv(65536).hex())
            except BlockingIOError:
                pass
    return answers


def main():
    what, capture, answers = sys.argv[1:4]
    random.seed(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    cases = int(sys.argv[5]) if len(sys.argv) > 5 else 300
    tun = Tun()
    said = {"tcp": run_tcp, "frag": run_frag}[what](tun, cases)
    tun.save(capture)
    with open(answers, "w", encoding="utf-8") as f:
        json.dump(said, f)


main()
