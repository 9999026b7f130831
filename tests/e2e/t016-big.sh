#!/bin/sh
# needs: user
# serial
# timeout: 300
# A capture of 1 GiB through accept/unpcap/ip/tcp: every packet, in memory that the rings
# bound. A slow reliable reader slows the writer and loses nothing. A slow lossy reader is
# told exactly what it lost.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump

MIB=${T016_MIB:-1024}
[ "$(df -Pm . | awk 'END { print $4 }')" -ge $((3 * MIB + 1024)) ] || t_skip "needs $((3 * MIB + 1024)) MiB of disk"
RING=$((16 << 10)) # KiB: the default
t_mount

# shellcheck disable=SC2046
memory() {
	python3 "$TOP/tests/tools/memory.py" $(t_daemons)
}

peak() {
	for pid in $(t_daemons); do
		awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status"
	done | awk '{ n += $1 } END { print n }'
}

# shellcheck disable=SC2046
set -- $(capture big big.pcap "$MIB")
packets=$1 tcps=$2
t_note "$MIB MiB: $packets packets, $tcps of them TCP"

# --- the whole, at full speed ---------------------------------------------------------------

mkdir -p "$P/accept/unpcap/ip/tcp"
idle=$(memory)
idle_peak=$(peak)
tcpdump -nn -r "$P/accept/unpcap/ip/tcp/all.pcapng" -w tcp.pcap 2>tcpdump.err &
reader=$!
t_cleanup kill "$reader"
t_wait_for 10 t_opened "$reader" accept/unpcap/ip/tcp/all.pcapng
start=$(date +%s)
t_ok "1 GiB written" sh -c "cat big.pcap >'$P/accept/all'"
t_done "$reader" 100 || t_fail "tcpdump: $(cat tcpdump.err)"
t_note "$(($(date +%s) - start)) s; memory idle $idle KiB, now $(memory) KiB, peak $(peak) KiB"
t_eq "unpcap made every packet" "$(t_stat accept/unpcap out)" "$packets"
t_eq "tcp passed on as many" "$(t_stat accept/unpcap/ip/tcp out)" "$tcps"
t_eq "nothing was lost" "$(t_stat accept/unpcap lost) $(t_stat accept/unpcap/ip lost) $(t_stat accept/unpcap/ip/tcp lost)" '0 0 0'
tcpdump -nn -r big.pcap -w want.pcap tcp 2>/dev/null
tail -c +25 tcp.pcap >got.packets
tail -c +25 want.pcap >want.packets
t_same "the very packets that tcpdump keeps" got.packets want.packets
rm tcp.pcap want.pcap got.packets want.packets

# One ring for the writer, one for the view; everything else is pointers. Resident, not
# proportional: a mapping twice in a row shows twice.
t_sanitized || t_memory "memory stayed within the rings" "$(memory)" $((idle + 3 * RING))
t_memory "it never was more" "$(peak)" $((idle_peak + 5 * RING))

# --- a slow reliable reader ------------------------------------------------------------------

mkfifo orders
python3 "$TOP/tests/tools/slow.py" "$P/accept/all" slow.out <orders >answers &
slow=$!
t_cleanup kill "$slow"
exec 7>orders
t_wait_for 10 grep -q open answers
head -c $((200 << 20)) big.pcap >part.pcap
cat part.pcap >"$P/accept/all" &
writer=$!
t_cleanup kill "$writer"

written() {
	awk '$1 == "wchar:" { print $2 }' "/proc/$writer/io"
}
# Waits until the writer makes no progress: twice the same sum, then again.
stands() {
	then=$(written)
	for _ in 1 2 3 4 5; do
		sleep 0.05
		[ "$(written)" = "$then" ] || return 1
	done
}
t_wait_for 20 stands
first=$(written)
t_ok "the writer waits when the ring is full ($((first >> 20)) MiB)" test "$first" -le $((2 * RING << 10))
t_ok "... but not before" test "$first" -ge $((RING << 9))
echo $((64 << 20)) >&7
t_wait_for 20 grep -q "^$((64 << 20))$" answers
t_wait_for 20 stands
second=$(written)
t_ok "it goes on as far as the reader went" test $((second - first)) -ge $((48 << 20))
t_ok "... and no further" test $((second - first)) -le $((80 << 20))
echo all >&7
exec 7>&-
t_done "$writer" 60 || t_fail "the writer failed"
t_done "$slow" 60 || t_fail "the slow reader failed"
t_same "it lost nothing" slow.out part.pcap
rm slow.out

# --- a slow lossy reader ----------------------------------------------------------------------

mkfifo orders2
python3 "$TOP/tests/tools/slow.py" "$P/accept/unpcap/all,policy=lossy" lossy.out <orders2 >answers2 &
slow=$!
t_cleanup kill "$slow"
exec 7>orders2
t_wait_for 10 grep -q open answers2
before=$(t_stat accept/unpcap out)
t_ends 100 sh -c "cat part.pcap >'$P/accept/all'"
echo "ok: nobody waits for a lossy reader"
echo all >&7
t_wait_for 60 grep -q '^end' answers2
# Now: what cat wrote last may not have been taken out of the ring when it ended.
seen=$(($(t_stat accept/unpcap out) - before))

policy=$(t_reader accept/unpcap "$slow" policy)
delivered=$(t_reader accept/unpcap "$slow" delivered)
lost=$(t_reader accept/unpcap "$slow" lost)
t_eq "it is listed as lossy" "$policy" lossy
exec 7>&-
t_done "$slow" || t_fail "the lossy reader failed"
got=$(capture walk lossy.out) || t_fail "a torn frame: $got"
t_note "$seen records seen, $got read whole; .readers: $delivered delivered, $lost lost"
t_ok "it did lose some" test "$lost" -gt 0
t_eq "delivered is what it got" "$delivered" "$got"
t_eq "delivered + lost = seen" "$((delivered + lost))" "$seen"
