"""pfscap - capture files and packets for the tests, with nothing but Python

Independent of the code under test: reads pcap (all magics, both byte orders) and pcapng, writes both, builds packets.

    for p in pfscap.read("x.pcapng"): p.time, p.wire_len, p.data, p.link, p.name, p.direction
"""
import socket
import struct
import zlib

ETHER, NULL, RAW, SLL, LOOP = 1, 0, 101, 113, 108


class Packet:
    """One packet: time in ns, length on the wire, bytes, link type, interface name, direction (None, 1 in, 2 out)."""
    __slots__ = ("time", "wire_len", "data", "link", "name", "direction", "dropped")

    def __init__(self, data, time=0, wire_len=None, link=ETHER, name=None, direction=None, dropped=None):
        self.data = bytes(data)
        self.time = time
        self.wire_len = len(self.data) if wire_len is None else wire_len
        self.link = link
        self.name = name
        self.direction = direction
        self.dropped = dropped

    def key(self):
        """What must be equal for two packets to be the same one."""
        return (self.time, self.wire_len, self.data, self.link)

    def __repr__(self):
        way = {None: "", 1: " in", 2: " out"}.get(self.direction, " ?")
        return (f"time {self.time} wire {self.wire_len} cap {len(self.data)} link {self.link} "
                f"{self.name or ''}{way} {self.data[:48].hex()}{'...' if len(self.data) > 48 else ''}")


class Malformed(Exception):
    """The file does not add up; .packets holds what came before."""

    def __init__(self, text, packets=()):
        super().__init__(text)
        self.packets = list(packets)


# --- reading -----------------------------------------------------------------------------

def read(source):
    """All packets of a file name, or of bytes. Malformed when it ends badly."""
    if isinstance(source, bytes):
        data = source
    else:
        with open(source, "rb") as f:
            data = f.read()
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        return _read_pcapng(data)
    return _read_pcap(data)


PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000, 16), b"\xa1\xb2\xc3\xd4": (">", 1000, 16),
    b"\x4d\x3c\xb2\xa1": ("<", 1, 16), b"\xa1\xb2\x3c\x4d": (">", 1, 16),
    b"\x34\xcd\xb2\xa1": ("<", 1000, 24), b"\xa1\xb2\xcd\x34": (">", 1000, 24),
}


def _read_pcap(data):
    if data[:4] not in PCAP_MAGICS or len(data) < 24:
        raise Malformed("no capture file")
    order, unit, header = PCAP_MAGICS[data[:4]]
    snaplen, link = struct.unpack_from(order + "II", data, 16)
    if not 0 < snaplen <= 0x7fffffff:
        snaplen = 0x7fffffff
    link &= 0x03ffffff
    packets, at = [], 24
    while at < len(data):
        if at + header > len(data):
            raise Malformed("cut off in a packet header", packets)
        sec, sub, caplen, wire = struct.unpack_from(order + "IIII", data, at)
        at += header
        if at + caplen > len(data):
            raise Malformed("cut off in a packet", packets)
        # Bytes beyond the file's own snapshot length are passed over, as libpcap does.
        kept = data[at:at + min(caplen, snaplen)]
        packets.append(Packet(kept, sec * 1000000000 + sub * unit, wire, link))
        at += caplen
    return packets


def _options(order, data, at, end):
    while at + 4 <= end:
        code, length = struct.unpack_from(order + "HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4:at + 4 + length]
        at += 4 + (length + 3 & ~3)


def pcapng_blocks(data):
    """(type, byte order, body) of every block."""
    at, order = 0, "<"
    while at < len(data):
        if at + 12 > len(data):
            raise Malformed("cut off in a block header")
        if data[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        kind, length = struct.unpack_from(order + "II", data, at)
        if length < 12 or length % 4 or at + length > len(data):
            raise Malformed(f"block of {length} bytes at {at}")
        if struct.unpack_from(order + "I", data, at + length - 4)[0] != length:
            raise Malformed(f"trailing length of the block at {at} differs")
        yield kind, order, data[at + 8:at + length - 4]
        at += length


class Interface:
    def __init__(self, order, body):
        self.link, _, self.snaplen = struct.unpack_from(order + "HHI", body)
        self.name, self.per_second, self.offset, self.filter, self.os = None, 10**6, 0, None, None
        self.resolution = 6
        for code, value in _options(order, body, 8, len(body)):
            if code == 2:
                self.name = value.decode()
            elif code == 9:
                self.resolution = value[0]
                self.per_second = 2**(value[0] & 127) if value[0] & 128 else 10**value[0]
            elif code == 14:
                self.offset = struct.unpack(order + "q", value)[0]

    def time(self, units):
        return self.offset * 10**9 + units * 10**9 // self.per_second


def _read_pcapng(data):
    packets, interfaces = [], []
    try:
        for kind, order, body in pcapng_blocks(data):
            if kind == 0x0a0d0d0a:
                interfaces = []
            elif kind == 1:
                interfaces.append(Interface(order, body))
            elif kind == 6:
                number, high, low, caplen, wire = struct.unpack_from(order + "IIIII", body)
                if number >= len(interfaces) or 20 + caplen > len(body):
                    raise Malformed("packet block does not add up")
                i = interfaces[number]
                direction, dropped = None, None
                for code, value in _options(order, body, 20 + (caplen + 3 & ~3), len(body)):
                    if code == 2:
                        direction = struct.unpack(order + "I", value)[0] & 3 or None
                    elif code == 4:
                        dropped = struct.unpack(order + "Q", value)[0]
                packets.append(Packet(body[20:20 + caplen], i.time(high << 32 | low), wire, i.link, i.name,
                                      direction, dropped))
            elif kind == 3:
                wire = struct.unpack_from(order + "I", body)[0]
                i = interfaces[0]
                caplen = min(wire, i.snaplen or wire, len(body) - 4)
                packets.append(Packet(body[4:4 + caplen], 0, wire, i.link, i.name))
    except Malformed as e:
        raise Malformed(str(e), packets) from e
    return packets


def interfaces(source):
    """The interface descriptions of a pcapng file."""
    with open(source, "rb") as f:
        data = f.read()
    return [Interface(order, body) for kind, order, body in pcapng_blocks(data) if kind == 1]


# --- writing -----------------------------------------------------------------------------

def pcap(packets, order="<", nano=False, link=None, snaplen=262144):
    """A capture file as bytes."""
    packets = list(packets)
    if link is None:
        link = packets[0].link if packets else ETHER
    magic, unit = (0xa1b23c4d, 1) if nano else (0xa1b2c3d4, 1000)
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)]
    for p in packets:
        out.append(struct.pack(order + "IIII", p.time // 10**9, p.time % 10**9 // unit, len(p.data), p.wire_len))
        out.append(p.data)
    return b"".join(out)


def _block(order, kind, body):
    body += b"\0" * (-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def _option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)


def pcapng(packets, order="<", resolution=9):
    """The same as pcapng: one interface per (name, link type), times in 10^-resolution."""
    out = [_block(order, 0x0a0d0d0a, struct.pack(order + "IHHq", 0x1a2b3c4d, 1, 0, -1))]
    numbers = {}
    for p in packets:
        key = (p.name, p.link)
        if key not in numbers:
            numbers[key] = len(numbers)
            options = _option(order, 9, bytes([resolution]))
            if p.name:
                options += _option(order, 2, p.name.encode())
            out.append(_block(order, 1, struct.pack(order + "HHI", p.link, 0, 262144) + options + b"\0\0\0\0"))
        units = p.time // 10**(9 - resolution)
        body = struct.pack(order + "IIIII", numbers[key], units >> 32, units & 0xffffffff, len(p.data), p.wire_len)
        body += p.data + b"\0" * (-len(p.data) % 4)
        if p.direction:
            body += _option(order, 2, struct.pack(order + "I", p.direction)) + b"\0\0\0\0"
        out.append(_block(order, 6, body))
    return b"".join(out)


# --- packets -----------------------------------------------------------------------------

MAC_A, MAC_B = b"\x02\0\0\0\0\x0a", b"\x02\0\0\0\0\x0b"


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ether(payload, kind=0x0800, src=MAC_A, dst=MAC_B, vlans=()):
    """vlans: (tag protocol, tag control) pairs, outermost first."""
    tags = b"".join(struct.pack(">HH", tpid, tci) for tpid, tci in vlans)
    return dst + src + tags + struct.pack(">H", kind) + payload


def ip4(payload, proto=17, src="10.9.0.1", dst="10.9.0.2", ident=1, fragment=0, options=b"", ttl=64):
    options += b"\0" * (-len(options) % 4)
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, fragment,
                       ttl, proto, 0, socket.inet_aton(src), socket.inet_aton(dst)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(payload, proto=17, src="fd09::1", dst="fd09::2"):
    return struct.pack(">IHBB", 6 << 28, len(payload), proto, 64) + socket.inet_pton(socket.AF_INET6, src) + \
        socket.inet_pton(socket.AF_INET6, dst) + payload


def transport_sum(segment, proto, src, dst):
    """The field is zero in the segment."""
    family = socket.AF_INET6 if ":" in src else socket.AF_INET
    pseudo = socket.inet_pton(family, src) + socket.inet_pton(family, dst)
    pseudo += struct.pack(">IHBB" if family == socket.AF_INET6 else ">BBH",
                          *((len(segment), 0, 0, proto) if family == socket.AF_INET6 else (0, proto, len(segment))))
    return checksum(pseudo + segment) or 0xffff


def udp(payload, sport=5000, dport=6000, src="10.9.0.1", dst="10.9.0.2"):
    seg = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    return seg[:6] + struct.pack(">H", transport_sum(seg, 17, src, dst)) + seg[8:]


def tcp(payload, sport=40000, dport=80, flags=0x18, seq=1, ack=1, src="10.9.0.1", dst="10.9.0.2"):
    seg = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0) + payload
    return seg[:16] + struct.pack(">H", transport_sum(seg, 6, src, dst)) + seg[18:]


def udp4(payload, **ports):
    return ether(ip4(udp(payload, **ports)))


def assortment():
    """Ethernet frames of every kind that the filters know, in a fixed order, with times 1 ms + 1 ns apart."""
    http = b"GET /index.html HTTP/1.1\r\nHost: example.net\r\nUser-Agent: t\r\n\r\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    dns = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\7example\3net\0\0\1\0\1"
    arp = struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + MAC_A + socket.inet_aton("10.9.0.1") + bytes(6) + \
        socket.inet_aton("10.9.0.2")
    icmp = struct.pack(">BBHHH", 8, 0, 0, 1, 1) + bytes(range(40))
    icmp6 = struct.pack(">BBHHH", 128, 0, 0, 1, 1) + b"six"
    syn = tcp(b"", flags=2)
    frames = [
        ether(ip4(syn, 6)),
        ether(ip4(tcp(b"", sport=80, dport=40000, flags=0x12, src="10.9.0.2", dst="10.9.0.1"), 6, "10.9.0.2",
                  "10.9.0.1"), src=MAC_B, dst=MAC_A),
        ether(ip4(tcp(http), 6)),
        ether(ip4(tcp(reply, sport=80, dport=40000, src="10.9.0.2", dst="10.9.0.1"), 6, "10.9.0.2", "10.9.0.1"),
              src=MAC_B, dst=MAC_A),
        ether(ip4(tcp(b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b"), 6)),
        ether(ip4(tcp(b"", flags=0x11), 6)),
        ether(ip4(tcp(b"", flags=4, dport=443), 6)),
        ether(ip4(udp(dns, dport=53))),
        ether(ip4(udp(b"x" * 18, sport=68, dport=67))),
        ether(ip4(udp(b"options", dport=7), options=b"\x94\4\0\0")),
        ether(ip4(udp(b"f" * 1400)[:1208], fragment=0x2000, ident=77)),
        ether(ip4(b"f" * 200, fragment=151, ident=77)),
        ether(ip4(icmp[:2] + struct.pack(">H", checksum(icmp)) + icmp[4:], 1)),
        ether(ip4(b"\x16\0\0\0" + socket.inet_aton("239.1.1.1"), 2, dst="239.1.1.1"), dst=b"\1\0\x5e\1\1\1"),
        ether(ip6(tcp(http, src="fd09::1", dst="fd09::2"), 6), 0x86dd),
        ether(ip6(udp(b"six", src="fd09::1", dst="fd09::2")), 0x86dd),
        ether(ip6(icmp6, 58), 0x86dd),
        ether(ip6(b"\x11\0\1\4\0\0\0\0" + udp(b"hop", src="fd09::1", dst="fd09::2"), 0), 0x86dd),
        ether(ip6(b"\x06\0\0\1\0\0\0\5" + syn, 44), 0x86dd),
        ether(arp, 0x806, dst=b"\xff" * 6),
        ether(ip4(udp(b"tagged")), vlans=[(0x8100, 42)]),
        ether(ip6(udp(b"tag6", src="fd09::1", dst="fd09::2")), 0x86dd, vlans=[(0x8100, 0x6000 | 7)]),
        ether(ip4(tcp(http), 6), vlans=[(0x88a8, 100), (0x8100, 42)]),
        ether(struct.pack(">I", 16 << 12 | 0x1ff) + ip4(udp(b"mpls")), 0x8847),
        ether(struct.pack(">BBHHH", 0x11, 0, 9, 30, 0x21) + ip4(udp(b"pppoe")), 0x8864),
        ether(struct.pack(">BBHHH", 0x11, 9, 0, 0, 0), 0x8863),
        MAC_B + MAC_A + struct.pack(">H", 38) + b"\x42\x42\3" + bytes(35),
        ether(b"\0" * 46, 0x88cc, dst=b"\1\x80\xc2\0\0\x0e"),
        ether(ip4(b"\0" * 32, 47)),
        ether(ip4(struct.pack(">HHII", 9, 9, 1, 0) + bytes(20), 132)),
        ether(b"\x45"),
        ether(b""),
        b"\xff" * 13,
    ]
    start = 1700000000 * 10**9 + 123456000
    return [Packet(f, start + i * 1000001 // 1000 * 1000) for i, f in enumerate(frames)]


def relinked(packets, link):
    """The IP packets among Ethernet ones under another link type."""
    out = []
    for p in packets:
        kind = struct.unpack_from(">H", p.data, 12)[0] if len(p.data) >= 14 else 0
        body = p.data[14:]
        if kind not in (0x800, 0x86dd):
            continue
        if link == RAW:
            data = body
        elif link == NULL:
            data = struct.pack("<I", 2 if kind == 0x800 else 10) + body
        elif link == LOOP:
            data = struct.pack(">I", 2 if kind == 0x800 else 30) + body
        elif link == SLL:
            data = struct.pack(">HHH", 0, 1, 6) + p.data[6:12] + b"\0\0" + struct.pack(">H", kind) + body
        else:
            raise ValueError(link)
        out.append(Packet(data, p.time, len(data), link))
    return out


def spread(n, size=200):
    """n distinct UDP packets whose payload starts with their number."""
    frames = []
    for i in range(n):
        head = b"%08d " % i
        frames.append(Packet(udp4(head + b"." * max(0, size - 42 - len(head)), sport=1024 + i % 60000),
                             1700000000 * 10**9 + i * 1000))
    return frames


def difference(got, want):
    """None when two packet lists are the same, else one sentence."""
    for i, (a, b) in enumerate(zip(got, want)):
        if a.key() != b.key():
            return f"packet {i} differs:\n  got  {a!r}\n  want {b!r}"
    if len(got) != len(want):
        return f"{len(got)} packets instead of {len(want)}"
    return None


def digest(packets):
    """One number for a packet list, to compare large ones by."""
    total = 0
    for p in packets:
        total = zlib.crc32(repr(p.key()).encode(), total)
    return total
