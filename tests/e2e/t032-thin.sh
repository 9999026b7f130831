#!/bin/sh
# needs: user
# sample rate dedup lines chunks: what remains of a stream is what sed, editcap, head and split would leave of it.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need editcap tshark

t_mount
mkdir -p "$P/accept/lines" "$P/accept/unpcap"

# Writes FILE to accept and reads what comes out of PATH.
through() { # PATH INPUT OUTPUT
	t_read "$1" "$3"
	cat "$2" >"$P/accept/all"
	t_done "$BG" || t_fail "the reader of $1 did not end"
}

# --- lines, and what counts them --------------------------------------------------------------------

seq 1 20000 >numbers
printf 'no newline' >>numbers
through accept/lines/all numbers out
t_same "lines: the same bytes" out numbers
mkdir "$P/accept/lines/sample:7" "$P/accept/lines/sample:7,phase=1" "$P/accept/lines/head:3"
through 'accept/lines/sample:7/all' numbers out
sed -n '0~7p' numbers >want
t_same "sample:7 is sed -n 0~7p" out want
through 'accept/lines/sample:7,phase=1/all' numbers out
sed -n '1~7p' numbers >want
t_same "phase=1 is sed -n 1~7p" out want
t_eq "dropped, not lost" "$(t_stat 'accept/lines/sample:7' lost) $(t_stat 'accept/lines/sample:7' dropped)" "0 17144"

# Two processes at once: no line is made of two.
t_read accept/lines/all both
python3 - "$P/accept/all" <<'END'
import os, sys
a, b = (os.open(sys.argv[1], os.O_WRONLY) for _ in range(2))
for i in range(3000):
    for fd, c in ((a, b"a"), (b, b"b")):
        os.write(fd, c * (i % 50))
        if i % 3 == 0:
            os.write(fd, b"\n")
for fd in (a, b):
    os.write(fd, b"\n")
os.close(a)
os.close(b)
END
t_done "$BG"
t_fails "no line is mixed" grep -q -e 'a.*b' -e 'b.*a' both
t_eq "all of it" "$(wc -c <both)" $((2 * (3000 * 49 / 2 + 1001)))

# With O_DIRECT a read is a line.
python3 - "$P/accept/lines/all" "$P/accept/all" <<'END' || t_fail "reads are not lines"
import os, sys
r = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
w = os.open(sys.argv[2], os.O_WRONLY)
os.write(w, b"one\ntwo\n\nfo")
os.write(w, b"ur\nfive")
os.close(w)
got = []
while part := os.read(r, 4096):
    got.append(part)
if got != [b"one\n", b"two\n", b"\n", b"four\n", b"five"]:
    sys.exit(str(got))
END
echo "ok: with O_DIRECT a read is a line"

# --- chunks -------------------------------------------------------------------------------------------

head -c 1000003 /dev/urandom >random
mkdir "$P/accept/chunks:1000" "$P/accept/chunks:1000/head:3"
through 'accept/chunks:1000/all' random out
t_same "chunks: the same bytes" out random
t_read 'accept/chunks:1000/all' /dev/null # what head leaves is for somebody else
rest=$BG
through 'accept/chunks:1000/head:3/all' random out
head -c 3000 random >want
t_same "three chunks of 1000" out want
t_done "$rest"

# --- dedup: against editcap, which compares whole packets with a few before them -----------------------------

capture make trace.pcap pcap
"$PIPESFS" demo --capture demo.pcap >/dev/null
editcap -F pcap demo.pcap once.pcap
python3 - "$TOP/tests/tools" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import pfscap
packets = pfscap.read("once.pcap")
twice = []
for p in packets: # a second tap sees everything again, a few us later
    twice += [p, pfscap.Packet(p.data, p.time + 3000, p.wire_len)]
open("twice.pcap", "wb").write(pfscap.pcap(twice))
routed = []
for p in packets: # behind a router: other MACs, TTL one less, another checksum
    d = bytearray(p.data)
    d[0:12] = b"\2\0\0\0\0\x55\2\0\0\0\0\x66"
    if d[12:14] == b"\x08\0":
        d[22] -= 1
        d[24:26] = b"\xab\xcd"
    elif d[12:14] == b"\x86\xdd":
        d[21] -= 1
    routed += [p, pfscap.Packet(d, p.time + 3000, p.wire_len)]
open("routed.pcap", "wb").write(pfscap.pcap(routed))
END
mkdir "$P/accept/unpcap/dedup:1" "$P/accept/unpcap/dedup:1,compare=all"
editcap -F pcap -w 0.001 twice.pcap want.pcap >/dev/null 2>&1
through 'accept/unpcap/dedup:1,compare=all/all.pcapng' twice.pcap out.pcapng
t_ok "compare=all is editcap -w" capture same out.pcapng want.pcap
through 'accept/unpcap/dedup:1/all.pcapng' twice.pcap out.pcapng
t_ok "two taps are one" test "$(capture count out.pcapng)" -le "$(capture count once.pcap)"
through 'accept/unpcap/dedup:1/all.pcapng' once.pcap single.pcapng
t_ok "... the same as one alone" capture same out.pcapng single.pcapng
through 'accept/unpcap/dedup:1/all.pcapng' routed.pcap out.pcapng
tshark -r single.pcapng -Y ip -w single-ip.pcap 2>/dev/null
tshark -r out.pcapng -Y 'ip && !vlan' -w out-ip.pcap 2>/dev/null
tshark -r single.pcapng -Y 'ip && !vlan' -w single-ip.pcap 2>/dev/null
t_ok "before and behind a router are one" capture same out-ip.pcap single-ip.pcap
through 'accept/unpcap/dedup:1,compare=all/all.pcapng' routed.pcap out.pcapng
t_ok "... but for compare=all" test "$(capture count out.pcapng)" -gt "$(($(capture count once.pcap) * 19 / 10))"

# --- rate: by the time of the records --------------------------------------------------------------------

python3 - "$TOP/tests/tools" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
import pfscap
packets = [pfscap.Packet(b"%060d" % i, 10**18 + i * 10**6) for i in range(10000)] # 10 s, 1000/s
open("steady.pcap", "wb").write(pfscap.pcap(packets))
END
mkdir "$P/accept/unpcap/rate:100" "$P/accept/unpcap/rate:600%2fm,burst=10"
through 'accept/unpcap/rate:100/all.pcapng' steady.pcap out.pcapng
n=$(capture count out.pcapng)
t_ok "rate:100 of 10 s: $n" test "$n" -ge 1098 -a "$n" -le 1100
through 'accept/unpcap/rate:600%2fm,burst=10/all.pcapng' steady.pcap out.pcapng
n=$(capture count out.pcapng)
t_ok "rate:600/m of 10 s: $n" test "$n" -ge 108 -a "$n" -le 110
through 'accept/unpcap/rate:100/all.pcapng' steady.pcap again.pcapng
through 'accept/unpcap/rate:100/all.pcapng' steady.pcap out.pcapng
t_ok "always the same ones" capture same again.pcapng out.pcapng
t_eq "dropped, not lost" "$(t_stat accept/unpcap/rate:100 lost)" 0

t_errno EINVAL mkdir "$P/accept/unpcap/rate:x"
t_reason "rate says what it takes" rate:x 'rate:100%2fs'
t_errno EINVAL mkdir "$P/accept/unpcap/lines"
t_reason "packets have no lines" unpcap/lines 'does not fit here'
