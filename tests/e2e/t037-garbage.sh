#!/bin/sh
# Whatever packets hold: every line of all.json is JSON, all.txt has no control character, and the mount stays.
# needs: user
# timeout: 300
# shellcheck disable=SC2016 # it is for another sh
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need python3 jq
t_mount

# Garbage and nearly right packets: TCP with binary payloads, halves of HTTP and DNS, fragments, truncated ones.
python3 - "$TOP" <<'PYTHON'
import os, random, struct, sys
sys.path.insert(0, sys.argv[1] + "/tests/tools")
import pfscap
random.seed(7)
words = [b"GET / HTTP/1.1\r\nHost: \x00\x1b[2J\xff\"\\\r\n\r\n", b"HTTP/1.1 200 \x07\r\nContent-Length: 5\r\n\r\n\xc3(",
         b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"\r\n\t\x1b]0;x\x07", bytes(range(256)),
         b"\0\x1d\x12\x34\x81\x80\0\1\0\1\0\0\3\x1b[m\3\"\\\x7f\0\0\1\0\1\xc0\x0c\0\5\0\1\0\0\0\1\0\2\xc0\x0c"]
frames = []
for i in range(4000):
    body = b"".join(random.choice(words) for _ in range(random.randrange(4))) + random.randbytes(random.randrange(60))
    port = random.choice([80, 53, 8080])
    seg = pfscap.tcp(body, 40000 + i % 50, port, random.choice([2, 16, 16, 16, 17, 4, 255]), random.randrange(3000), 1)
    frame = random.choice([
        lambda: pfscap.ether(pfscap.ip4(seg, 6)),
        lambda: pfscap.ether(pfscap.ip4(pfscap.udp(body[:1400], 1000 + i % 9, 53))),
        lambda: pfscap.ether(pfscap.ip4(body[:1400], 17, ident=i % 5, fragment=random.choice([0x2000, 1, 0x2001, 9]))),
        lambda: pfscap.ether(pfscap.ip6(struct.pack(">BBHI", 6, 0, random.choice([1, 8, 9, 0]), i % 5) + body[:1400], 44), 0x86dd),
    ])()
    if random.random() < 0.1:
        frame = bytearray(frame)
        frame[random.randrange(len(frame))] ^= 1 << random.randrange(8)
    frames.append(pfscap.Packet(bytes(frame)[:random.choice([9999, 9999, 9999, 60, 30])], 10**18 + i * 10**6, len(frame)))
open("garbage.pcap", "wb").write(pfscap.pcap(frames, nano=True))
PYTHON

n=0
for path in stream defrag stream/httpplus stream/dns stream/a 'stream/grep:a' dns 'grep:a' httpplus stream/unpcap defrag/stream/http; do
	n=$((n + 1))
	mkdir -p "$P/accept:$n/unpcap/$path"
	t_read "accept:$n/unpcap/$path/all.json" out.json
	json=$BG
	t_read "accept:$n/unpcap/$path/all.txt" out.txt
	txt=$BG
	cat garbage.pcap >"$P/accept:$n/all"
	t_done "$json"
	t_done "$txt"
	t_ok "$path: every line is JSON ($(wc -l <out.json))" sh -c 'jq -c . out.json | wc -l | grep -qx "$(wc -l <out.json)"'
	t_fails "$path: no control character in text" grep -aq "$(printf '[\001-\010\013-\037\177-\377]')" out.txt
	rm -r "$P/accept:$n"
done

# Bytes that are no capture, straight into what takes byte streams.
head -c 300000 /dev/urandom >noise
for path in httpplus dns 'grep:a'; do
	n=$((n + 1))
	mkdir -p "$P/accept:$n/$path"
	t_read "accept:$n/$path/all.json" out.json
	json=$BG
	cat noise garbage.pcap >"$P/accept:$n/all"
	t_done "$json"
	t_ok "$path on noise: every line is JSON" sh -c 'jq -c . out.json | wc -l | grep -qx "$(wc -l <out.json)"'
done
t_ok "the mount is there" ls "$P/.filters/stream"
