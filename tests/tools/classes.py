"""classes - do the class directories hold exactly the packets that tcpdump keeps?

    classes.py MOUNT FOLDER

For each link type in FOLDER one pipeline accept:LINK/unpcap is made twice. The first time all files of that link type
run through classifiers with nobody in their classes, and the classes that have appeared are listed. The second
time a reader is on each of the busiest ones before any traffic, made with mkdir; what they get is compared with
tcpdump -O on the same packets. VLAN tags are looked behind here, in tcpdump's language that is said for each depth.
Packets with IPv6 extension headers are left out: tcpdump does not look for ports behind them, the classifiers do.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402
from pouring import Failure, Reader, by_link, difference, pour, tcpdump  # noqa: E402

MOST = 14  # classes of each classifier that are read
# Where libpcap is known to look in the wrong place (src/packet/link_i.h): RFC 1051's ARCnet, 802.11 with HT control.
OTHERWISE = {"arcnet-rfc1051-arp-icmp-http.pcap", "ieee802.11_htc.pcap"}

PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58, "igmp": 2, "gre": 47, "esp": 50, "ah": 51, "eigrp": 88, "ospf": 89,
             "pim": 103, "vrrp": 112, "sctp": 132, "ipip": 4, "ip6-in-ip": 41, "dccp": 33, "rsvp": 46, "none": 59,
             "mobility": 135, "udplite": 136, "l2tp": 115, "ipcomp": 108, "mpls-in-ip": 137}


def proto(name):
    number = PROTOCOLS.get(name, name)
    return f"ip proto {number} or ip6 proto {number}"


def flow(name):
    """Both directions of 10.0.0.1:5000-10.0.0.2:80-tcp, 10.0.0.1-10.0.0.2-icmp ..."""
    ends, kind = [], ""
    rest = name
    for _ in range(2):
        if rest.startswith("["):
            address, rest = rest[1:].split("]", 1)
        else:
            cut = min(i for i in (rest.find(":"), rest.find("-"), len(rest)) if i >= 0)
            address, rest = rest[:cut], rest[cut:]
        port = None
        if rest.startswith(":"):
            port, _, rest = rest[1:].partition("-")
            rest = "-" + rest
        ends.append((address, port))
        rest = rest[1:]
    kind = rest or "tcp"  # below tcp no flow says it
    (a, p), (b, q) = ends
    one = f"src host {a} and dst host {b}" + (f" and src port {p} and dst port {q}" if p else "")
    two = f"src host {b} and dst host {a}" + (f" and src port {q} and dst port {p}" if p else "")
    return f"(ip or ip6) and ({proto(kind)}) and (({one}) or ({two}))"


CLASSIFIERS = [
    ("tcp/dstport", lambda c: f"tcp dst port {c}"),
    ("tcp/srcport", lambda c: f"tcp src port {c}"),
    ("udp/sourceport", lambda c: f"udp src port {c}"),
    ("port", lambda c: f"(tcp or udp or sctp) and port {c}"),
    ("host", lambda c: f"host {c}"),
    ("ip/host", lambda c: f"ip host {c}"),
    ("ip6/host", lambda c: f"ip6 host {c}"),
    ("proto", proto),
    ("tcp/flow", flow),
]
# Before there is any, whether it comes or not.
ALWAYS = [("tcp/dstport", "80"), ("udp/port", "53"), ("tcp/port", "443"), ("host", "10.9.0.1"), ("proto", "icmp")]
EXPRESSIONS = dict(CLASSIFIERS)
EXPRESSIONS["udp/port"] = lambda c: f"udp port {c}"
EXPRESSIONS["tcp/port"] = lambda c: f"tcp port {c}"


def behind_tags(expression):
    return f"({expression}) or (vlan and (({expression}) or (vlan and ({expression}))))"


def oracle(data, expression):
    """Packets that tcpdump keeps; where the link type knows no tags, without them. None: it refuses."""
    kept = tcpdump(data, behind_tags(expression))
    return tcpdump(data, expression) if kept is None else kept


def plain(packets, link):
    """Without IPv6 extension headers, and without what is no whole IPv4 header: libpcap reads ports behind those, too."""
    data = pfscap.pcap(packets, nano=True, link=link)
    odd = oracle(data, "(ip6 and (ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 44 or ip6[6] = 60)) or (ip and ip[0] & 0xf < 5) or "
                       "(ip and ip[2:2] > 0 and ip[2:2] < 20)")
    if odd is None:
        return packets
    keys = {(p.time, p.data) for p in odd}
    return [p for p in packets if (p.time, p.data) not in keys]


def run(source, packets, link, names):
    """Pours the packets in with readers on these classes: {(classifier, class): packets}, and what was listed after."""
    base = f"{source}/unpcap"
    readers = {}
    for classifier, name in names:
        path = f"{base}/{classifier}/{name}"
        os.makedirs(path, exist_ok=True)
        readers[classifier, name] = Reader(path + "/all.pcapng")
    everything = Reader(base + "/all.pcapng")
    for classifier, _ in CLASSIFIERS:
        os.makedirs(f"{base}/{classifier}", exist_ok=True)
        readers[classifier, None] = Reader(f"{base}/{classifier}/all.pcapng")
    with open(source + "/all", "wb", buffering=0) as pipe:
        pour(pipe, pfscap.pcap(packets, nano=True, link=link))
    text = difference("all packets", everything.packets(), packets)
    if text:
        raise Failure(text)
    return {key: r.packets() for key, r in readers.items()}


def listed(base, classifier):
    """name -> packets, of the classes there are now."""
    folder = f"{base}/{classifier}"
    found = {}
    for name in os.listdir(folder):
        if os.path.isdir(f"{folder}/{name}"):
            with open(f"{folder}/{name}/.stats", encoding="ascii") as f:
                found[name] = dict(line.split() for line in f)
    return {name: int(stats["in"]) for name, stats in found.items()}


def run_link(mount, link, files, counts):
    packets = []
    for name in sorted(set(files) - OTHERWISE):
        packets += tcpdump(files[name]) or []
    packets = plain(packets, link)
    data = pfscap.pcap(packets, nano=True, link=link)
    failures = []

    source = f"{mount}/accept:first{link}"
    os.makedirs(source + "/unpcap")
    run(source, packets, link, [])
    names = {key: None for key in ALWAYS}
    appeared = {}
    for classifier, _ in CLASSIFIERS:
        classes = listed(source + "/unpcap", classifier)
        appeared.update({(classifier, c): n for c, n in classes.items()})
        for c in sorted(classes, key=lambda c: (-classes[c], c))[:MOST]:
            names[classifier, c] = None

    source = f"{mount}/accept:second{link}"
    os.makedirs(source + "/unpcap")
    got = run(source, packets, link, names)
    for classifier, name in names:
        expression = EXPRESSIONS[classifier](name)
        want = oracle(data, expression)
        if want is None:
            counts["refused"] += 1
            continue
        text = difference(f"{classifier}/{name} against {expression}", got[classifier, name], want)
        if not text and appeared.get((classifier, name), len(want)) != len(want):
            text = f"{classifier}/{name}: its .stats said {appeared[classifier, name]} packets, it has {len(want)}"
        if text:
            failures.append(text)
        else:
            counts["classes"] += 1
            counts["packets"] += len(want)
            counts["used"].add(classifier)
    # All that tcpdump would find is in some class, and nothing else is.
    for classifier, _ in CLASSIFIERS:
        text = f"{classifier}: a class that nobody listed at first"
        if set(listed(source + "/unpcap", classifier)) - {c for k, c in appeared if k == classifier} - \
           {c for k, c in names if k == classifier}:
            failures.append(text)
    return len(packets), failures


def main():
    mount, folder = sys.argv[1:3]
    links, unreadable = by_link(folder)
    own = pfscap.assortment()
    links.setdefault(pfscap.ETHER, {})["own"] = pfscap.pcap(own, nano=True)
    for link in (pfscap.NULL, pfscap.RAW, pfscap.LOOP, pfscap.SLL):
        links.setdefault(link, {})["own"] = pfscap.pcap(pfscap.relinked(own, link), nano=True)
    counts = {"classes": 0, "packets": 0, "refused": 0, "used": set()}
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
    print(f"{len(links)} link types, {unreadable} files that tcpdump cannot read: {counts['classes']} classes equal "
          f"({counts['packets']} packets), {counts['refused']} that tcpdump cannot express")
    if failures:
        sys.exit(1)
    if len(counts["used"]) < len(CLASSIFIERS):
        sys.exit(f"never compared: {set(dict(CLASSIFIERS)) - counts['used']}")


if __name__ == "__main__":
    main()
