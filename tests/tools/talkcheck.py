"""talkcheck - what pipesfs and tshark made of the conversations of talks.py

    talkcheck.py stream TRUTH STREAM                   bytes and gaps of every side
    talkcheck.py http TRUTH HTTP.json                  every message, where it is, what it says
    talkcheck.py follow CAPTURE STREAM                 the same bytes as `tshark -z follow,tcp,raw`
    talkcheck.py fields CAPTURE HTTP.json [OPTION...]  the same messages as `tshark -Y http`, by stream and side

STREAM.json and STREAM.raw are all.json and all of a stream directory: the text in JSON does not tell UTF-8 from Latin-1.
"""
import collections
import json
import subprocess
import sys


def rows(name):
    with open(name, encoding="utf-8") as f:
        for line in f:
            yield json.loads(line)


def load(name):
    with open(name, encoding="utf-8") as f:
        return json.load(f)


def ends(r):
    """Addresses and ports of side a, then of b."""
    src, dst = (r["src"], r["sport"]), (r["dst"], r["dport"])
    return (src, dst) if r["side"] == "a" else (dst, src)


def sides_of(name):
    """{ends: {side: [(offset, bytes or gap)]}} in the order of the file."""
    out = collections.OrderedDict()
    with open(name + ".raw", "rb") as raw:
        for r in rows(name + ".json"):
            sides = out.setdefault((ends(r), r["stream"]), {"a": [], "b": []})
            sides[r["side"]].append((r["offset"], r["gap"] if "gap" in r else raw.read(r["len"])))
        if raw.read(1):
            fail("more bytes than records")
    return out


def fail(*words):
    sys.exit(" ".join(str(w) for w in words))


def check_stream(truth, name):
    ours = {k[0]: v for k, v in sides_of(name).items()}
    gaps = 0
    for talk in load(truth):
        key = ((talk["ip"][0], talk["ports"][0]), (talk["ip"][1], talk["ports"][1]))
        for side in "ab":
            want, at, missing = talk[side].encode("latin-1"), 0, []
            for offset, data in ours[key][side]:
                if offset != at:
                    fail(key, side, "offset", offset, "not", at)
                if isinstance(data, int):
                    missing.append([at, at + data])
                    at += data
                    continue
                if data != want[at:at + len(data)]:
                    fail(key, side, "other bytes at", at)
                at += len(data)
            if at != len(want):
                fail(key, side, "ends at", at, "not", len(want))
            if missing != talk["gaps"][side]:
                fail(key, side, "gaps", missing, "not", talk["gaps"][side])
            gaps += len(missing)
    print(len(ours), "connections,", gaps, "gaps")


def check_http(truth, name):
    ours = collections.defaultdict(list)
    for r in rows(name):
        ours[ends(r), r["side"]].append(r)
    whole = 0
    for talk in load(truth):
        key = ((talk["ip"][0], talk["ports"][0]), (talk["ip"][1], talk["ports"][1]))
        by_offset = {s: {r["offset"]: r for r in ours[key, s]} for s in "ab"}
        for m in talk["messages"]:
            torn = any(a < m["to"] and b > m["from"] for a, b in talk["gaps"][m["side"]])
            r = by_offset[m["side"]].pop(m["from"], None)
            if torn:
                continue
            # After a gap, or without its request, a response may be taken for another one's answer.
            before = any(s != m["side"] or a < m["from"] for s in "ab" for a, b in talk["gaps"][s])
            if not r and before:
                continue
            if not r:
                fail(key, "misses", m)
            for word in ("method", "host", "path", "status", "head"):
                if word in m and r.get(word) != m[word]:
                    fail(key, word, r, "not", m)
            if r["len"] != m["to"] - m["from"] and not before:
                fail(key, "length", r, "not", m)
            whole += r["len"] == m["to"] - m["from"]
        if not any(talk["gaps"].values()) and any(by_offset.values()):
            fail(key, "too many", by_offset)
    total = sum(len(t["messages"]) for t in load(truth))
    print(whole, "of", total, "messages whole")
    if whole < total * 0.9:
        fail("too few")


# --- tshark ------------------------------------------------------------------------------------------

def tshark(capture, *options):
    r = subprocess.run(["tshark", "-r", capture, *options], capture_output=True, text=True, check=True)
    return r.stdout


def conversations(capture):
    """[((ip, port), (ip, port))] by tcp.stream; the first is who sent the first packet."""
    out = {}
    fields = ("tcp.stream", "ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport")
    for line in tshark(capture, "-Y", "tcp", "-T", "fields", *[w for f in fields for w in ("-e", f)]).splitlines():
        n, a4, a6, ap, b4, b6, bp = line.split("\t")
        if n and "," not in line:
            out.setdefault(int(n), (((a4 or a6), int(ap)), ((b4 or b6), int(bp))))
    return out


def check_follow(capture, name):
    ours, theirs = sides_of(name), conversations(capture)
    todo = collections.defaultdict(list)
    for (key, _), sides in ours.items():
        todo[frozenset(key)].append((key, sides))
    taps = [w for n in theirs for w in ("-z", f"follow,tcp,raw,{n}")]
    text = tshark(capture, "-q", *taps)
    compared = total = 0
    found = {}
    for part in text.split("=" * 67 + "\n"):
        lines = part.splitlines()
        if not lines or not lines[0].startswith("Follow:"):
            continue
        nodes = [line.split(": ", 1)[1] for line in lines[:4] if line.startswith("Node ")]
        data = {"0": b"", "1": b""}
        for line in lines[4:]:
            data["1" if line.startswith("\t") else "0"] += bytes.fromhex(line.strip())
        found.setdefault(tuple(nodes), []).append((data["0"], data["1"]))
    for n, ((a, ap), (b, bp)) in theirs.items():
        names = [f"[{x}]:{p}" if ":" in x else f"{x}:{p}" for x, p in ((a, ap), (b, bp))]
        pieces = found.get(tuple(names)) or found.get(tuple(names[::-1])) or [(b"", b"")]
        flip = tuple(names) not in found
        zero, one = pieces.pop(0)
        mine = todo[frozenset(((a, ap), (b, bp)))]
        if not zero and not one:
            continue
        if not mine:
            fail("stream", n, names, "is not there at all")
        key, sides = mine.pop(0)
        want = {key[0]: None, key[1]: None}
        want[(a, ap)], want[(b, bp)] = (one, zero) if flip else (zero, one)
        for side, end in zip("ab", key):
            while sides[side] and isinstance(sides[side][-1][1], int):
                sides[side].pop()  # tshark does not tell of what is missing at the end
            got = b"".join(b"[%d bytes missing in capture file]\0" % d if isinstance(d, int) else d for _, d in sides[side])
            if got != want[end]:
                at = next((i for i, (x, y) in enumerate(zip(got, want[end])) if x != y), min(len(got), len(want[end])))
                fail("stream", n, names, side, "differs at", at, "lengths", len(got), len(want[end]),
                     got[at:at + 20], want[end][at:at + 20])
            total += len(got)
        compared += 1
    print(compared, "connections,", total, "bytes")


def check_fields(capture, name, *options):
    wanted = ("http.request.method", "http.request.uri", "http.host", "http.response.code", "http.content_length_header")
    ours = collections.defaultdict(lambda: collections.defaultdict(list))
    for r in rows(name):
        if r["http"] == "part":
            continue
        words = (r.get("method"), r.get("path"), r.get("host"), r.get("status"), r.get("content_length"))
        for field, word in zip(wanted, words):
            if word is not None:
                ours[(r["src"], r["sport"], r["dst"], r["dport"])][field].append(str(word))
    theirs = collections.defaultdict(lambda: collections.defaultdict(list))
    places = ("ip.src", "ipv6.src", "tcp.srcport", "ip.dst", "ipv6.dst", "tcp.dstport")
    text = tshark(capture, *options, "-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "http", "-T", "fields",
                  *[w for f in places + wanted for w in ("-e", f)])
    for line in text.splitlines():
        a4, a6, ap, b4, b6, bp, *words = line.split("\t")
        for field, word in zip(wanted, words):
            if word:
                theirs[(a4 or a6), int(ap), (b4 or b6), int(bp)][field] += word.split(",")
    for key in set(ours) | set(theirs):
        for field in wanted:
            if ours[key][field] != theirs[key][field]:
                fail(key, field, "ours", ours[key][field], "tshark's", theirs[key][field])
    print(sum(len(v["http.request.method"]) + len(v["http.response.code"]) for v in ours.values()), "messages")


what = sys.argv[1]
{"stream": check_stream, "http": check_http, "follow": check_follow, "fields": check_fields}[what](*sys.argv[2:])
