#!/bin/sh
# needs: user
# timeout: 300
# srcport dstport port host proto flow: classes appear with traffic or by mkdir, hold exactly what tcpdump keeps, have one
# name each, are bounded and go when they are idle; nothing of this needs root.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump

t_pcaps
t_mount
before=$(t_daemons)

# --- every capture there is, against tcpdump ------------------------------------------------------

t_ok "classes hold what tcpdump keeps" python3 "$TOP/tests/tools/classes.py" "$P" "$PCAPS"
t_note "$(tail -n 1 "$TMPDIR/.out")"

# --- names and directories ------------------------------------------------------------------------

"$PIPESFS" demo --capture trace.pcap >/dev/null
mkdir -p "$P/accept/unpcap/tcp/dstport" "$P/accept/unpcap/host" "$P/accept/unpcap/proto"
D=$P/accept/unpcap/tcp/dstport
t_eq "nothing before traffic" "$(ls "$D")" "$(printf 'all\nall.json\nall.pcapng\nall.txt')"
t_fails "a class that nobody has seen is not there" ls "$D/80"
t_ok "... until it is made" mkdir "$D/80"
t_errno EEXIST mkdir "$D/80"
t_errno EINVAL mkdir "$D/0443"
t_reason "one name for each value" dstport/0443 "'443'"
t_errno EINVAL mkdir "$P/accept/unpcap/host/::0001"
t_reason "one name for each address" host/::0001 "'::1'"
t_errno ENOENT mkdir "$D/65536"
t_errno EINVAL mkdir "$P/accept/unpcap/tcp/dstport,max=0"
t_errno EINVAL mkdir "$P/accept/unpcap/proto/6"
t_reason "a protocol has a name" proto/6 "'tcp'"

t_read accept/unpcap/tcp/dstport/80/all.pcapng 80.pcapng
eighty=$BG
t_read accept/unpcap/tcp/dstport/all.pcapng ports.pcapng
all=$BG
t_read accept/unpcap/proto/all.pcapng /dev/null
protos=$BG
cat trace.pcap >"$P/accept/all"
t_done "$eighty" && t_done "$all" && t_done "$protos"
tcpdump -O --nano -r trace.pcap -w want.pcap 'tcp dst port 80 or (vlan and tcp dst port 80)' 2>/dev/null
t_ok "port 80, read before there was any" capture same 80.pcapng want.pcap
t_eq "counters of a class that is read" "$(t_stat accept/unpcap/tcp/dstport/80 in)" "$(capture count want.pcap)"
t_ok "443 has appeared" test -d "$D/443"
t_ok "so have protocols" test -d "$P/accept/unpcap/proto/udp" -a -d "$P/accept/unpcap/proto/icmp"
tcpdump -O --nano -r trace.pcap -w want443.pcap 'tcp dst port 443 or (vlan and tcp dst port 443)' 2>/dev/null
t_eq "counters of one that nobody read" "$(t_stat accept/unpcap/tcp/dstport/443 in)" "$(capture count want443.pcap)"
t_errno EEXIST mkdir "$D/443"

# A class is a place like any other.
mkdir -p "$D/443/head:2"
t_read accept/unpcap/all /dev/null # what head leaves is for somebody else
everything=$BG
t_read accept/unpcap/tcp/dstport/443/head:2/all.pcapng two.pcapng
cat trace.pcap >"$P/accept/all"
t_done "$BG" && t_done "$everything"
t_eq "two packets of 443" "$(capture count two.pcapng)" 2
t_errno ENOTEMPTY rmdir "$D/443"
rmdir "$D/443/head:2" "$D/443"
t_fails "removed" ls "$D/443"
mkdir "$P/accept/unpcap/proto/tcp:" # the filter, not the class
t_eq "type: forces the filter" "$(sed -n 1p "$P/accept/unpcap/proto/tcp:/.params")" 'arg='
t_ok "rm -r takes all of them" rm -r "$D"

# --- bounded ---------------------------------------------------------------------------------------

mkdir -p "$P/accept/unpcap/flow,max=5"
t_read 'accept/unpcap/flow,max=5/all.pcapng' flows.pcapng
cat trace.pcap >"$P/accept/all"
t_done "$BG"
t_eq "five classes" "$(find "$P/accept/unpcap/flow,max=5" -mindepth 1 -maxdepth 1 -type d | wc -l)" 5
t_ok "the others are counted" test "$(t_stat 'accept/unpcap/flow,max=5' unclassed.full)" -gt 100
t_ok "and nothing is missing" capture same flows.pcapng trace.pcap
t_eq "nothing lost" "$(t_stat 'accept/unpcap/flow,max=5' lost)" 0
t_errno ENOSPC mkdir "$P/accept/unpcap/flow,max=5/10.255.0.1:1-10.255.0.2:2"
echo max=6 >"$P/accept/unpcap/flow,max=5/.params"
t_ok "room for one more" mkdir "$P/accept/unpcap/flow,max=5/10.255.0.1:1-10.255.0.2:2"
t_fails "max= below what there is" sh -c "echo max=2 >'$P/accept/unpcap/flow,max=5/.params'"

# --- expire= ----------------------------------------------------------------------------------------

E=$P/accept/unpcap/host,expire=1
mkdir -p "$E"
mkdir "$E/192.0.2.99"
t_read 'accept/unpcap/host,expire=1/all.pcapng' hosts.pcapng
all=$BG
exec 9>"$P/accept/all" # the generation goes on
cat trace.pcap >&9
packets=$(capture count trace.pcap)
all_in() {
	[ "$(t_stat 'accept/unpcap/host,expire=1' in)" = "$packets" ]
}
t_wait_for 10 all_in
t_ok "many hosts" test "$(find "$E" -mindepth 1 -maxdepth 1 -type d | wc -l)" -gt 10
t_read 'accept/unpcap/host,expire=1/192.0.2.7/all.pcapng' kept.pcapng 9>&-
kept=$BG
t_wait_for 20 sh -c "[ \$(find '$E' -mindepth 1 -maxdepth 1 -type d | wc -l) = 2 ]"
t_eq "left: the one made by hand, and the one that is read" \
	"$(find "$E" -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | tr '\n' ' ')" '192.0.2.7 192.0.2.99 '
tail -c +25 trace.pcap >&9
exec 9>&-
t_done "$all" && t_done "$kept"
tcpdump -O --nano -r trace.pcap -w host.pcap 'host 192.0.2.7 or (vlan and host 192.0.2.7)' 2>/dev/null
t_ok "what was read through all that is its own, and whole" capture same kept.pcapng host.pcap

t_eq "the same daemons as before" "$(t_daemons)" "$before"
