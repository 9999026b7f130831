#!/bin/sh
# needs: user
# packetcount bytecount top: numbers that agree with capinfos and tshark, without a reader, in .stats and all.json.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need capinfos tshark

"$PIPESFS" demo --capture trace.pcap >/dev/null
t_mount
N=$P/accept/unpcap
mkdir -p "$N/packetcount" "$N/bytecount" "$N/snap:40/bytecount" "$N/top:dstport,n=1000,keep=64k" "$N/top:host" "$N/top:len,by=bytes" "$N/tcp/packetcount"

t_read accept/unpcap/packetcount/all.json packets.json
reader=$BG
cat trace.pcap >"$P/accept/all"
t_done "$reader"

# The last word of a capture file's numbers.
info() {
	capinfos -TmQ "$@" trace.pcap | sed -n 2p | tr -d '"'
}
number() { # FILE KEY
	tail -n 1 "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$2"
}
packets=$(capinfos -Mc trace.pcap | awk '/packets/ { print $NF }')
bytes=$(capinfos -Md trace.pcap | awk '/Data size/ { print $(NF - 1) }')
settled() {
	[ "$(t_stat accept/unpcap/packetcount packets)" = "$packets" ] && [ "$(t_stat accept/unpcap/bytecount wire)" = "$bytes" ]
}
t_wait_for 10 settled
t_eq "packetcount: as capinfos counts them" "$(number packets.json packets)" "$packets"
t_eq "bytecount: as capinfos adds them up" "$(t_stat accept/unpcap/bytecount wire)" "$bytes"
t_eq "bytes on the wire, whatever was cut off" "$(t_stat accept/unpcap/snap:40/bytecount wire)" "$bytes"
t_eq "and what is left of them" "$(t_stat accept/unpcap/snap:40/bytecount captured)" "$(t_stat accept/unpcap/snap:40 bytes)"
t_eq "every line is JSON" "$(python3 -c 'import json, sys; print(len([json.loads(l) for l in sys.stdin]) > 1)' <packets.json)" True

# Who comes later is told at once, in every view; the accept pipe has no writer, so nothing else comes.
for view in all all.json all.txt; do
	timeout 10 head -n 1 "$N/packetcount/$view" >one
	t_eq "$view begins with the numbers" "$(number one packets)" "$packets"
done

# --- top, against tshark and sort -------------------------------------------------------------------

tshark -r trace.pcap -T fields -e tcp.dstport -e udp.dstport 2>/dev/null | sed 's/,.*//' | tr -d '\t' | grep . | sort | uniq -c |
	awk '{ print $2, $1 }' | sort >want
sed -n 's/^top\.//p' "$N/top:dstport,n=1000,keep=64k/.stats" | sort >got
t_same "top:dstport is tshark | sort | uniq -c" got want
timeout 10 head -n 1 "$N/top:dstport,n=1000,keep=64k/all.json" >one
python3 - <<'END' || t_fail "all.json says something else"
import json
top = json.load(open("one"))
want = dict(line.split() for line in open("want"))
assert {x["dstport"]: x["packets"] for x in top["top"]} == {k: int(v) for k, v in want.items()}, top
assert top["error"] == 0 and top["total"] == sum(map(int, want.values()))
counts = [x["packets"] for x in top["top"]]
assert counts == sorted(counts, reverse=True)
END
echo "ok: all.json says the same, the most frequent first"
first=$(tshark -r trace.pcap -T fields -e ip.src -e ip.dst 2>/dev/null | tr '\t' '\n' | grep . | sort | uniq -c | sort -rn | awk 'NR == 1 { print $2, $1 }')
t_eq "top:host: the busiest one" "$(sed -n 's/^top\.//p' "$N/top:host/.stats" | head -n 1)" "$first"
first=$(tshark -r trace.pcap -T fields -e frame.len 2>/dev/null | awk '{ n[$1] += $1 } END { for (l in n) print l, n[l] }' | sort -k 2,2nr | head -n 1)
t_eq "top:len,by=bytes" "$(sed -n 's/^top\.//p' "$N/top:len,by=bytes/.stats" | head -n 1)" "$first"

# Few counters, bounded error.
mkdir "$N/top:flow,keep=20,n=20"
cat trace.pcap >"$P/accept/all"
more() {
	[ "$(t_stat 'accept/unpcap/top:flow,keep=20,n=20' total)" -gt 4000 ]
}
t_wait_for 10 more
t_ok "the error is at most total / keep" sh -c "[ $(t_stat 'accept/unpcap/top:flow,keep=20,n=20' error) -le $(($(t_stat 'accept/unpcap/top:flow,keep=20,n=20' total) / 20)) ]"
t_eq "counting goes on: twice as many" "$(t_stat accept/unpcap/packetcount packets)" $((2 * packets))

# A source runs for a counter alone.
mkdir -p "$P/pcap:$(pwd | sed 's|/|%2f|g')%2ftrace.pcap/tcp/packetcount"
counted() {
	[ "$(t_stat "pcap:$(pwd | sed 's|/|%2f|g')%2ftrace.pcap/tcp/packetcount" packets)" = "$(t_stat accept/unpcap/tcp out | awk '{ print $1 / 2 }')" ]
}
t_wait_for 10 counted
t_errno EINVAL mkdir "$P/accept/packetcount"
t_reason "bytes are no packets" accept/packetcount 'does not fit here'
t_errno EINVAL mkdir "$N/top:colour"
t_reason "top names its fields" top:colour 'host, srcip'
t_errno EINVAL mkdir "$N/packetcount/tcp"
t_reason "numbers are no packets" packetcount/tcp 'does not fit here'
