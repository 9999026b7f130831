#!/bin/sh
# Where segments and fragments overlap, stream and defrag take the bytes that this kernel gives to its programs.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
[ -c /dev/net/tun ] || t_skip "needs /dev/net/tun"
t_mount

python3 "$TOP/tests/tools/linuxsays.py" tcp tcp.pcap tcp.answers 1 400
mkdir -p "$P/accept:t/unpcap/stream"
t_read accept:t/unpcap/stream/a/all.json tcp.json
cat tcp.pcap >"$P/accept:t/all"
t_done "$BG"
t_ok "400 connections: what the kernel read" python3 - <<'PYTHON'
import collections
import json
got = collections.defaultdict(str)
for line in open("tcp.json"):
    r = json.loads(line)
    assert "gap" not in r, r
    assert r["offset"] == len(got[r["sport"]]), r
    got[r["sport"]] += r["data"]
want = {int(k): v for k, v in json.load(open("tcp.answers")).items()}
assert len(want) == 400
wrong = [k for k in want if got[k] != want[k]]
for k in wrong[:5]:
    print(k, "\n  kernel", want[k], "\n  ours  ", got[k])
assert not wrong, f"{len(wrong)} of {len(want)} differ"
PYTHON

python3 "$TOP/tests/tools/linuxsays.py" frag frag.pcap frag.answers 2 1500
mkdir -p "$P/accept:f/unpcap/defrag/udp"
t_read accept:f/unpcap/defrag/all.pcapng frag.pcapng
cat frag.pcap >"$P/accept:f/all"
t_done "$BG"
t_ok "1500 datagrams: what the kernel received" python3 - "$TOP" <<'PYTHON'
import json
import struct
import sys
sys.path.insert(0, sys.argv[1] + "/tests/tools")
import pfscap
ours = []
for p in pfscap.read("frag.pcapng"):
    six = p.data[0] >> 4 == 6
    if p.data[6 if six else 9] != 17:
        continue
    head = 40 if six else 20
    body = p.data[head:]
    assert struct.unpack_from(">H", p.data, 4 if six else 2)[0] == len(body) + (0 if six else 20)
    assert six or (pfscap.checksum(p.data[:20]) == 0 and p.data[6:8] == b"\0\0"), p
    src, dst = ("fd08::2", "fd08::1") if six else ("10.8.0.2", "10.8.0.1")
    # A program gets what UDP's length and checksum agree with.
    if struct.unpack_from(">H", body, 4)[0] == len(body) and pfscap.transport_sum(body, 17, src, dst) in (0, 0xffff):
        ours.append(body[8:].hex())
kernel = json.load(open("frag.answers"))
assert len(kernel) > 700, len(kernel)
assert ours == kernel, (len(ours), len(kernel), [i for i, (a, b) in enumerate(zip(ours, kernel)) if a != b][:5])
PYTHON
