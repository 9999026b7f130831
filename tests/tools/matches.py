"""matches - does match:EXPR keep exactly the packets that `tcpdump -O -r F -w - EXPR` keeps?

    matches.py MOUNT FOLDER

For each link type in FOLDER one pipeline is made, accept:LINK/unpcap, with a directory match:EXPR for every expression
below it and a reader on each one's all.pcapng. All files of that link type are poured in, one after the other, under
one generation, then copies of their packets cut off at every length. The oracle is tcpdump on the same packets.
Where tcpdump refuses an expression for a link type, the directory is refused or stays empty.
"""
import errno
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402
from pouring import Failure, Reader, by_link, difference, escape, pour, tcpdump  # noqa: E402

EXPRESSIONS = """
tcp
udp
icmp
icmp6
arp
rarp
ip
ip6
igmp
ip proto 50
ip proto 89 or ip proto 103
ip6 proto 17
ip6 protochain 17
ip protochain 6
proto \\sctp
ip proto 47
host 10.9.0.1
src host 10.9.0.2
dst host 10.9.0.2
ip host 192.168.0.1 or ip6 host fd09::1
net 10.9.0.0/16
net 10
src net 192.168.0.0 mask 255.255.0.0
ip6 net fd09::/64
port 80
src port 53
dst port 53
tcp port 80
tcp src port 179
udp port 53 or udp port 67
portrange 20-1024
tcp dst portrange 80-443
udp portrange 6000-7000
less 64
greater 128
len > 100 and len < 1000
ip[0] & 0xf != 5
ip[6:2] & 0x1fff = 0
ip[6:2] & 0x3fff != 0
ip[2:2] > 576
ip[8] < 5
tcp[tcpflags] & (tcp-syn|tcp-fin) != 0
tcp[tcpflags] & tcp-ack != 0 and tcp[13] & 8 != 0
tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)
tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420
icmp[icmptype] = icmp-echo
icmp[icmptype] != icmp-echo and icmp[icmptype] != icmp-echoreply
icmp6[icmp6type] = icmp6-echo
udp[4:2] > 40
ip6[6] = 6
not ip
not (tcp or udp) and ip
tcp and not port 22
ether proto 0x0806
ether proto \\ip
ether host 02:00:00:00:00:0a
ether src 02:00:00:00:00:0b
ether dst ff:ff:ff:ff:ff:ff
ether multicast
ether broadcast
ether[0] & 1 = 0 and ip[16] >= 224
ether[12:2] > 1500
ether[100:4] != 0
ip multicast
ip6 multicast
ip broadcast or ip[16:4] = 0xffffffff
broadcast or multicast
vlan
vlan 42
vlan and ip
vlan 100 and vlan 42 and tcp
mpls
mpls 16 and host 10.9.0.1
pppoes and ip
pppoed
llc
llc and stp
stp
iso
clnp
esis or isis
ip host 10.9.0.1 and tcp port 80 and tcp[13] = 2
(src host 10.9.0.1 and dst port 80) or (src port 80 and dst host 10.9.0.1)
1 = 1
len / 2 * 2 = len
ip[0:4] >> 24 = 0x45
ip[1] = 0xc0 or ip6[0] & 0x0f != 0
link[0] & 0x80 != 0
inbound
type mgt
wlan host ff:ff:ff:ff:ff:ff
geneve
ip proto 17 and ip[9] = 17
ah or esp
pim or vrrp
""".strip().split("\n")

CUTS = 132  # every length up to here
CUT_PACKETS = 40  # packets of a link type that are cut
def run_link(mount, link, files, counts):
    """files: name -> bytes, all of this link type."""
    source = f"{mount}/accept:link{link}"
    base = f"{source}/unpcap"
    os.makedirs(base)
    readers, refused = {}, {}
    for e in EXPRESSIONS:
        path = f"{base}/match:{escape(e)}"
        try:
            os.mkdir(path)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise Failure(f"mkdir {path}: {error}") from error
            refused[e] = True
            continue
        readers[e] = Reader(path + "/all.pcapng")
    everything = Reader(base + "/all.pcapng")

    seen = []
    hold = os.open(source + "/all", os.O_WRONLY)
    for name in sorted(files):
        seen += tcpdump(files[name]) or []
        with open(source + "/all", "wb", buffering=0) as pipe:
            pour(pipe, files[name])
    cut = [pfscap.Packet(p.data[:n], p.time, p.wire_len, p.link)
           for p in seen[:CUT_PACKETS] for n in range(min(CUTS, len(p.data)))]
    with open(source + "/all", "wb", buffering=0) as pipe:
        pour(pipe, pfscap.pcap(cut, nano=True, link=link))
    os.close(hold)

    seen += cut
    failures = []

    def check(what, got, want):
        text = difference(what, got, want)
        if text:
            failures.append(text)
        return not text

    check("all packets", everything.packets(), seen)
    merged = pfscap.pcap(seen, nano=True, link=link)
    for e in EXPRESSIONS:
        want = tcpdump(merged, e)
        if e in refused:
            counts["refused"] += 1
            if want is not None:
                failures.append(f"{e}: mkdir says EINVAL, tcpdump takes it")
        elif want is None:
            counts["empty"] += 1
            check(f"{e}, which tcpdump refuses", readers[e].packets(), [])
        elif check(e, readers[e].packets(), want):
            counts["equal"] += 1
            counts["packets"] += len(want)
            if 0 < len(want) < len(seen):
                counts["used"].add(e)
    for e in EXPRESSIONS:
        if e not in refused:
            os.rmdir(f"{base}/match:{escape(e)}")
    os.rmdir(base)
    os.rmdir(source)
    return len(seen), failures


def main():
    mount, folder = sys.argv[1:3]
    links, unreadable = by_link(folder)
    n = sum(map(len, links.values()))
    own = pfscap.assortment()
    links.setdefault(pfscap.ETHER, {})["own"] = pfscap.pcap(own, nano=True)
    for link in (pfscap.NULL, pfscap.RAW, pfscap.LOOP, pfscap.SLL):
        links.setdefault(link, {})["own"] = pfscap.pcap(pfscap.relinked(own, link), nano=True)

    counts = {"equal": 0, "refused": 0, "empty": 0, "packets": 0, "used": set()}
    failures = []
    for link in sorted(links):
        try:
            packets, found = run_link(mount, link, links[link], counts)
        except Failure as e:
            packets, found = 0, [str(e)]
        for text in found:
            print(f"not ok: link type {link}: {text}")
        print(f"{'not ok' if found else 'ok'}: link type {link}: {len(links[link])} files, {packets} packets", flush=True)
        failures += found
    print(f"{n} files, {unreadable} that tcpdump cannot read; {len(links)} link types, {len(EXPRESSIONS)} expressions: "
          f"{counts['equal']} equal ({counts['packets']} packets), refused {counts['refused']}, "
          f"empty {counts['empty']}; {len(counts['used'])} expressions tell packets apart")
    if failures:
        sys.exit(1)
    if len(counts["used"]) < 60:
        sys.exit("too few expressions tell packets apart")


main()
