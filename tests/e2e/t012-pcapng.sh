#!/bin/sh
# tcpdump, tshark and capinfos read all.pcapng, live and finished: nanoseconds, direction,
# interface names, VLAN tags where they belong, each packet of lo once.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need tcpdump tshark capinfos
t_cable
t_mount

# --- live: what the tools take from a stream that has not ended ---------------------------

tcpdump --nano -nn -tt -e -r "$P/dev/near/all.pcapng" -l -c 3 >tcpdump.txt 2>tcpdump.err &
dump=$!
tshark -l -r "$P/dev/near/all.pcapng" -c 3 -T fields -e frame.time_epoch -e frame.interface_name \
	-e frame.packet_flags_direction -e vlan.id -e udp.payload >tshark.txt 2>tshark.err &
shark=$!
cat "$P/dev/near/all.pcapng" >live.pcapng &
copy=$!
t_cleanup kill "$dump" "$shark" "$copy"
for reader in "$dump" "$shark" "$copy"; do
	t_wait_for 10 t_opened "$reader" dev/near/all.pcapng
done

t_frames -n far mark far incoming
t_frames mark near outgoing
t_frames -n far vlan far tagged
t_done $dump || t_fail "tcpdump: $(cat tcpdump.err)"
t_done $shark || t_fail "tshark: $(cat tshark.err)"

t_ok "tcpdump shows nanoseconds" grep -Eq '^[0-9]{10}\.[0-9]{9} ' tcpdump.txt
t_ok "... that are not rounded microseconds" sh -c "grep -Ev '^[0-9.]*000 ' tcpdump.txt | grep -q ."
t_has "tcpdump shows the tag" "$(cat tcpdump.txt)" 'vlan 42'
t_eq "tshark: the interface" "$(cut -f 2 tshark.txt | sort -u)" near
t_eq "tshark: in, out, in" "$(cut -f 3 tshark.txt | sed 's/^0x0*//' | tr '\n' ' ')" '1 2 1 '
t_eq "tshark: the payload" "$(sed -n 1p tshark.txt | cut -f 5)" "$(printf incoming | od -An -tx1 | tr -d ' \n')"

# --- finished: a stream cut at a block boundary is a file ---------------------------------

whole() {
	[ "$(capture count live.pcapng)" = 4 ]
}
t_wait_for 10 whole
kill $copy
wait $copy || true
capture list live.pcapng >list.txt
t_has "802.1Q stays where it was" "$(sed -n 3p list.txt)" 02000000000b02000000000a8100002a0800
t_has "802.1ad and 802.1Q stay where they were" "$(sed -n 4p list.txt)" 02000000000b02000000000a88a800648100002a0800
t_eq "one interface, Ethernet, 10^-9" "$(capture interfaces live.pcapng)" 'near 1 9'
t_eq "directions" "$(sed 's/.*link 1 near \([a-z]*\) .*/\1/' list.txt | tr '\n' ' ')" 'in out in in '
now=$(date +%s)
age=$((now - $(sed -n '1s/time \([0-9]*\)[0-9]\{9\} .*/\1/p' list.txt)))
t_ok "the time is now, not since boot" test "$age" -ge 0 -a "$age" -lt 600

t_ok "capinfos takes it" capinfos live.pcapng
t_has "capinfos: nanoseconds" "$(capinfos live.pcapng)" 'nanoseconds (9)'
t_has "capinfos: the name" "$(capinfos live.pcapng)" 'Name = near'
t_has "capinfos: the count" "$(capinfos -Mc live.pcapng)" '4'
t_ok "tcpdump takes it" tcpdump -r live.pcapng
t_ok "tshark takes it" tshark -r live.pcapng
t_eq "tshark sees no malformed packet" "$(tshark -r live.pcapng -Y _ws.malformed 2>/dev/null | wc -l)" 0

# --- a capture file through unpcap: its own times and lengths ---------------------------------

mkdir -p "$P/accept/unpcap"
for kind in pcap nano bignano pcapng; do
	capture make "in.$kind" "$kind"
	t_read accept/unpcap/all.pcapng "out.$kind"
	cat "in.$kind" >"$P/accept/all"
	t_done "$BG" || t_fail "the reader of $kind did not end"
	t_ok "$kind: the same packets" capture same "out.$kind" "in.$kind"
	t_ok "$kind: tcpdump, tshark and capinfos" sh -c "tcpdump --nano -r out.$kind -w re.$kind && tshark -r out.$kind && capinfos out.$kind"
	t_ok "$kind: tcpdump read the same" capture same "re.$kind" "in.$kind"
done
mkdir "$P/pcap:$(pwd | sed 's|/|%2f|g')%2fin.nano"
t_ok "pcap:FILE gives it too" sh -c "timeout 20 cat '$P/pcap:$(pwd | sed 's|/|%2f|g')%2fin.nano/all.pcapng' >file.pcapng"
t_ok "pcap:FILE: the same packets" capture same file.pcapng in.nano

# A stream without a packet is a file too.
t_read accept/unpcap/all.pcapng empty.pcapng
capture spread none.pcap 0
cat none.pcap >"$P/accept/all"
t_done "$BG" || t_fail "the reader of nothing did not end"
t_ok "capinfos and tcpdump take an empty stream" sh -c 'capinfos empty.pcapng && tcpdump -r empty.pcapng'

# --- lo shows every packet twice; we do not ---------------------------------------------------

t_read dev/lo/all.pcapng lo.pcapng
lo=$BG
t_read dev/any/all.pcapng any.pcapng
any=$BG
t_frames udp 127.0.0.1 9 four-1 four-2 four-3 four-4 four-5
t_frames udp ::1 9 six-1 six-2 six-3 six-4 six-5
t_frames -n far mark far any-in
lo_done() {
	grep -aq six-5 lo.pcapng && grep -aq six-5 any.pcapng && grep -aq any-in any.pcapng
}
t_wait_for 10 lo_done
kill "$lo" "$any"
tshark -r lo.pcapng -Y 'udp.dstport == 9 and not icmp and not icmpv6' -T fields -e udp.payload 2>/dev/null >payloads
t_eq "lo: ten datagrams, each once" "$(sort -u payloads | wc -l) $(wc -l <payloads)" '10 10'
tshark -r any.pcapng -Y 'udp.dstport == 9 and not icmp and not icmpv6' -T fields -e udp.payload 2>/dev/null >payloads
t_eq "any: the same ten, each once" "$(sort -u payloads | wc -l) $(wc -l <payloads)" '10 10'
t_has "any: each device under its own name" "$(capture interfaces any.pcapng | cut -d ' ' -f 1 | tr '\n' ' ')" near
t_has "any: lo too" "$(capture interfaces any.pcapng | cut -d ' ' -f 1 | tr '\n' ' ')" lo
t_ok "any: tshark reads both interfaces" sh -c 'tshark -r any.pcapng -T fields -e frame.interface_name | sort -u | grep -x near'

t_eq "no loss was reported" "$(t_stat dev/near lost) $(t_stat dev/lo lost)" '0 0'
