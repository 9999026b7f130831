"""tunnels - does tunnel= of the protocol filters give the packets that are inside?

    tunnels.py MOUNT [FOLDER]

Packets are built here, in every kind of tunnel and in tunnels in tunnels, so that what is inside is known byte by byte;
tshark has to agree that they are what they should be. Then the captures of FOLDER: what the filters find in
tunnels must be what tshark finds there.
"""
import os
import socket
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap as c  # noqa: E402
from pouring import Failure, Reader, by_link, difference, pour, tcpdump  # noqa: E402

FRAMES = "frame"  # what a tunnel carries: Ethernet frames
IP = "ip"         # or IP packets

A, B = "192.0.2.1", "192.0.2.2"


def outer4(payload, proto):
    return c.ether(c.ip4(payload, proto, A, B))


def outer6(payload, proto):
    return c.ether(c.ip6(payload, proto, "2001:db8::1", "2001:db8::2"), 0x86dd)


def udp_to(port, payload):
    return c.udp(payload, 49152, port, A, B)


def ethertype(inner):
    return 0x0800 if inner[0] >> 4 == 4 else 0x86dd


def ppp(inner):
    return struct.pack(">H", 0x21 if inner[0] >> 4 == 4 else 0x57) + inner


def label(value, bottom):
    return struct.pack(">I", value << 12 | bottom << 8 | 64)


def pppoe(inner):
    return struct.pack(">BBHH", 0x11, 0, 7, len(inner)) + inner


# (kind, what it carries, what tshark must call it, how the whole is made of what is inside)
TUNNELS = [
    ("gre", IP, "gre", lambda x: outer4(struct.pack(">HH", 0, ethertype(x)) + x, 47)),
    ("gre", IP, "gre", lambda x: outer4(struct.pack(">HHIII", 0xb000, ethertype(x), 0, 7, 1) + x, 47)),
    ("gre", FRAMES, "gre", lambda x: outer4(struct.pack(">HHI", 0x2000, 0x6558, 5 << 8) + x, 47)),
    ("gre", IP, "gre", lambda x: outer6(struct.pack(">HH", 0, ethertype(x)) + x, 47)),
    ("gre", IP, "gre", lambda x: outer4(struct.pack(">HHHHI", 0x3001, 0x880b, len(x) + 2, 3, 1) + ppp(x), 47)),
    ("gre", IP, "gre", lambda x: outer4(struct.pack(">HHHHII", 0x3081, 0x880b, len(x) + 4, 3, 1, 1) + b"\xff\3" + ppp(x), 47)),
    ("gre", FRAMES, "erspan", lambda x: outer4(struct.pack(">HHIII", 0x1000, 0x88be, 1, 0x10010001, 0) + x, 47)),
    ("gre", FRAMES, "erspan", lambda x: outer4(struct.pack(">HHIIII", 0x1000, 0x22eb, 1, 0x20010001, 0, 0) + x, 47)),
    ("vxlan", FRAMES, "vxlan", lambda x: outer4(udp_to(4789, struct.pack(">II", 0x08000000, 9 << 8) + x), 17)),
    ("vxlan", FRAMES, "", lambda x: outer4(udp_to(8472, struct.pack(">II", 0x08000000, 9 << 8) + x), 17)),
    ("vxlan", IP, "", lambda x: outer4(udp_to(4790, struct.pack(">II", 0x0c000000 | (1 if x[0] >> 4 == 4 else 2), 9 << 8) + x),
                                             17)),
    ("vxlan", FRAMES, "vxlan", lambda x: outer6(udp_to(4789, struct.pack(">II", 0x08000000, 9 << 8) + x), 17)),
    ("geneve", FRAMES, "geneve", lambda x: outer4(udp_to(6081, struct.pack(">HHI", 0, 0x6558, 9 << 8) + x), 17)),
    ("geneve", IP, "geneve", lambda x: outer4(udp_to(6081, struct.pack(">HHIHBBI", 2 << 8, ethertype(x), 9 << 8, 0x102, 1, 1, 7) + x), 17)),
    ("ipip", IP, "ip", lambda x: outer4(x, 4 if x[0] >> 4 == 4 else 41)),
    ("ipip", IP, "", lambda x: outer6(x, 4 if x[0] >> 4 == 4 else 41)),
    ("mpls", IP, "mpls", lambda x: c.ether(label(16, 1) + x, 0x8847)),
    ("mpls", IP, "mpls", lambda x: c.ether(label(17, 0) + label(18, 0) + label(19, 1) + x, 0x8847, vlans=[(0x8100, 5)])),
    ("mpls", FRAMES, "mpls", lambda x: c.ether(label(20, 1) + bytes(4) + x, 0x8847)),
    ("mpls", IP, "mpls", lambda x: outer4(label(21, 1) + x, 137)),
    ("pppoe", IP, "pppoes", lambda x: c.ether(pppoe(ppp(x)), 0x8864)),
    ("pppoe", IP, "pppoes", lambda x: c.ether(pppoe(ppp(x)), 0x8864, vlans=[(0x88a8, 5), (0x8100, 6)])),
]
# Headers that are no packet by themselves between: (kinds, what it carries, how)
MIXED = [
    (("gre", "mpls"), IP, lambda x: outer4(struct.pack(">HH", 0, 0x8847) + label(16, 1) + x, 47)),
    (("pppoe", "mpls"), IP, lambda x: c.ether(pppoe(struct.pack(">H", 0x281) + label(16, 1) + x), 0x8864)),
]

ARP = struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + c.MAC_A + socket.inet_aton("10.0.0.1") + bytes(6) + socket.inet_aton("10.0.0.2")


def inner_packets():
    """(protocols, IP packet or None, frame)"""
    four = [({"ip", "tcp"}, c.ip4(c.tcp(b"inner tcp"), 6)), ({"ip", "udp"}, c.ip4(c.udp(b"inner udp"))),
            ({"ip", "icmp"}, c.ip4(b"\x08\0\0\0\0\1\0\1ping", 1)),
            ({"ip", "tcp"}, c.ip4(b"behind a fragment", 6, fragment=100))]
    six = [({"ip6", "tcp"}, c.ip6(c.tcp(b"inner tcp six", src="fd09::1", dst="fd09::2"), 6)),
           ({"ip6", "udp"}, c.ip6(c.udp(b"inner udp six", src="fd09::1", dst="fd09::2")))]
    out = [(what, p, c.ether(p)) for what, p in four] + [(what, p, c.ether(p, 0x86dd)) for what, p in six]
    out.append(({"arp"}, None, c.ether(ARP, 0x806)))
    out.append(({"ip", "tcp", "vlan7"}, None, c.ether(four[0][1], vlans=[(0x8100, 7)])))
    return out


class Case:
    """A packet and what is in it: levels of (kinds passed to get there, link type, bytes, protocols)."""

    def __init__(self, levels, shark):
        self.levels = levels
        self.shark = shark

    def expected(self, want, kinds):
        """(link type, bytes) of the innermost that is wanted; None."""
        best = None
        for passed, link, data, protocols in self.levels:
            if not passed and "no" not in kinds:
                continue
            if set(passed) - kinds:
                break
            if want in protocols:
                best = (link, data)
        return best


def protocols_of(frame):
    """Of the outer packets built here."""
    kind = struct.unpack_from(">H", frame, 12)[0]
    at, found = 14, set()
    if kind in (0x8100, 0x88a8):
        found.add(f"vlan{struct.unpack_from('>H', frame, 14)[0] & 0xfff}")
    while kind in (0x8100, 0x88a8):
        kind = struct.unpack_from(">H", frame, at + 2)[0]
        at += 4
    if kind == 0x0800:
        found |= {"ip"} | ({"udp"} if frame[at + 9] == 17 else set())
    if kind == 0x86dd:
        found |= {"ip6"} | ({"udp"} if frame[at + 6] == 17 else set())
    return found


def cases():
    out = []
    for what, packet, frame in inner_packets():
        out.append(Case([((), c.ETHER, frame, what)], ""))
        for kind, carries, shark, build in TUNNELS:
            inner = frame if carries == FRAMES else packet
            if inner is None:
                continue
            link = c.ETHER if carries == FRAMES else c.RAW
            whole = build(inner)
            out.append(Case([((), c.ETHER, whole, protocols_of(whole)), ((kind,), link, inner, what)], shark))
            # and that in VXLAN again, and in GRE over IPv6
            twice = TUNNELS[8][3](whole)
            out.append(Case([((), c.ETHER, twice, protocols_of(twice)), (("vxlan",), c.ETHER, whole, protocols_of(whole)),
                             (("vxlan", kind), link, inner, what)], shark))
        for kinds, _, build in MIXED:
            if packet is not None:
                whole = build(packet)
                out.append(Case([((), c.ETHER, whole, protocols_of(whole)), (kinds, c.RAW, packet, what)], ""))
    # Deeper than anybody looks: IP in IP, ten times.
    deep = c.ip4(c.tcp(b"deep"), 6)
    levels = [deep]
    for _ in range(9):
        levels.append(c.ip4(levels[-1], 4))
    whole = c.ether(levels.pop())
    levels = [((), c.ETHER, whole, {"ip"})] + [(("ipip",), c.RAW, p, {"ip"}) for p in reversed(levels)]
    out.append(Case(levels[:9], ""))
    return out


KINDS = {"yes": {"gre", "vxlan", "geneve", "ipip", "mpls", "pppoe", "qinq"}}
KINDS["any"] = KINDS["yes"] | {"no"}
ASKED = ["no", "yes", "any", "gre", "vxlan", "geneve", "ipip", "mpls", "pppoe", "gre+vxlan", "vxlan+no", "pppoe+mpls",
         "gre+mpls", "vxlan+mpls+pppoe+gre+geneve+ipip"]
FILTERS = ["ip", "ip6", "tcp", "udp", "icmp", "arp", "vlan:7"]


def run_built(mount):
    built = cases()
    packets = [c.Packet(case.levels[0][2], (1700000000 + i) * 10**9) for i, case in enumerate(built)]
    source = f"{mount}/accept:built"
    readers = {}
    for f in FILTERS:
        for t in ASKED:
            path = f"{source}/unpcap/{f},tunnel={t}"
            os.makedirs(path)
            readers[f, t] = Reader(path + "/all.pcapng")
    with open(source + "/all", "wb", buffering=0) as pipe:
        pour(pipe, c.pcap(packets, nano=True))
    failures, compared, inside = [], 0, 0
    for (f, t), reader in readers.items():
        kinds = KINDS.get(t) or set(t.split("+"))
        want = []
        for i, case in enumerate(built):
            found = case.expected(f.replace(":", ""), kinds)
            if found:
                link, data = found
                want.append(c.Packet(data, packets[i].time, len(data), link))
                inside += len(data) < len(packets[i].data)
        text = difference(f"{f},tunnel={t}", reader.packets(), want)
        compared += len(want)
        if text:
            failures.append(text)
    print(f"{len(built)} packets, {len(readers)} filters: {compared} packets equal, {inside} of them from inside")
    return failures + shark_built(built)


def tshark(data, *words):
    with tempfile.NamedTemporaryFile(suffix=".pcap") as f:
        f.write(data)
        f.flush()
        r = subprocess.run(["tshark", "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE",
                            "-d", "udp.port==8472,vxlan", "-r", f.name, "-T", "fields", "-E", "separator=|", *words],
                           capture_output=True, text=True, check=False)
    return r.stdout.split("\n")[:-1]


def shark_built(built):
    """Is what we built what we think?"""
    failures = []
    lines = tshark(c.pcap([c.Packet(case.levels[0][2]) for case in built]), "-e", "frame.protocols")
    for case, line in zip(built, lines):
        if case.shark and case.shark not in line.split(":"):
            failures.append(f"tshark does not see {case.shark} in {line}")
    return failures


# --- captures of others --------------------------------------------------------------------------

SHARK_TUNNELS = {"gre", "vxlan", "geneve", "mpls", "pppoes", "erspan"}
FIELDS = {"tcp": ("tcp.srcport", "tcp.dstport"), "udp": ("udp.srcport", "udp.dstport"), "icmp": ("icmp.type", "icmp.code"),
          "ip": ("ip.src", "ip.dst"), "ip6": ("ipv6.src", "ipv6.dst"), "arp": ("arp.src.proto_ipv4", "arp.dst.proto_ipv4")}
LINKS = (1, 9, 101, 113)  # where there are tunnels in what we have
# Packets in packets that no filter looks for: PIM registers, NSH, samples of sFlow, Cisco's metadata, NHRP, Arista's header.
ELSEWHERE = {"pim", "nsh", "sflow", "cmd", "nhrp", "avsp", "data", "osi"}
# tshark of Debian 12 does not know jumbograms of segmentation offload.
BEYOND_TSHARK = {"bigtcp-ipv4-vxlan-ipv4.pcap", "bigtcp-ipv6-geneve-ipv4.pcap", "bigtcp-ipv6-geneve-ipv6.pcap"}


def in_tunnel(protocols, want):
    """Has tshark found it in a tunnel (not quoted by an ICMP error, nor in what is no packet)?"""
    names = protocols.split(":")
    want = {"ip6": "ipv6"}.get(want, want)
    tags = [name for name in names[:names.index("ip") if "ip" in names else None] if name in ("vlan", "ieee8021ad")]
    entered, found = len(tags) > 1, False
    for i, name in enumerate(names):
        entered |= name in SHARK_TUNNELS or (name in ("ip", "ipv6") and any(n in ("ip", "ipv6") for n in names[:i]))
        found |= entered and name == want
        if name in ELSEWHERE or name in ("icmp", "icmpv6"):
            break
    return found


def run_link(mount, link, files):
    packets = []
    for name in sorted(set(files) - BEYOND_TSHARK):
        packets += tcpdump(files[name]) or []
    source = f"{mount}/accept:foreign{link}"
    readers = {}
    for f in FIELDS:
        os.makedirs(f"{source}/unpcap/{f},tunnel=yes")
        readers[f] = Reader(f"{source}/unpcap/{f},tunnel=yes/all.pcapng")
    data = c.pcap(packets, nano=True, link=link)
    with open(source + "/all", "wb", buffering=0) as pipe:
        pour(pipe, data)
    columns = sum((list(x) for x in FIELDS.values()), [])
    lines = [line.split("|") for line in tshark(data, "-e", "frame.protocols", *sum((["-e", x] for x in columns), []))]
    failures, found = [], 0
    for f, reader in readers.items():
        at = 1 + columns.index(FIELDS[f][0])
        want = [tuple(x.split(",")[-1] for x in w[at:at + 2]) for w in lines if in_tunnel(w[0], f)]
        got = reader.packets()
        # What we gave, in tshark's eyes; link types may be mixed.
        ours = tshark(c.pcapng(got), *sum((["-e", x] for x in FIELDS[f]), [])) if got else []
        ours = [tuple(x.split(",")[0] for x in line.split("|")) for line in ours]
        if ours != want:
            failures.append(f"link type {link}: {f}: {len(ours)} packets {ours[:4]}, tshark finds {len(want)} {want[:4]}")
        found += len(want)
    return failures, found


def main():
    mount = sys.argv[1]
    failures = run_built(mount)
    if len(sys.argv) > 2:
        links, _ = by_link(sys.argv[2])
        total = 0
        for link in sorted(set(links) & set(LINKS)):
            try:
                bad, found = run_link(mount, link, links[link])
            except Failure as e:
                bad, found = [str(e)], 0
            failures += bad
            total += found
        print(f"captures of others: {total} packets in tunnels, as tshark finds them")
    for text in failures:
        print(f"not ok: {text}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
