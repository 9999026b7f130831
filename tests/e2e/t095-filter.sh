#!/bin/sh
# needs: user
# timeout: 180
# pipesfs filter: every stage of a filter is the same filter, and tcpdump's; what is wrong is said, with a right status.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump

filter() {
	"$PIPESFS" filter "$@"
}

numbers() {
	filter --numbers --run in.pcap "$@"
}

# What tcpdump without its optimiser keeps of a file.
kept() {
	tcpdump -O -r in.pcap -w kept.pcap "$1" 2>/dev/null
	capture count kept.pcap
}

"$PIPESFS" demo --capture in.pcap >/dev/null
all=$(capture count in.pcap)
t_eq "the empty filter takes everything" "$(filter -r in.pcap '')" "$all of $all packets"

# --- one filter, in every form ------------------------------------------------------------------

while read -r expr; do
	numbers "$expr" >want
	t_eq "$expr: as many as tcpdump keeps" "$(wc -l <want)" "$(kept "$expr")"
	t_eq "... and says so" "$(filter -r in.pcap "$expr")" "$(wc -l <want) of $all packets"
	numbers --without all --engine interp "$expr" >plain
	t_same "... without any pass, interpreted" plain want
	filter --dump cbpf "$expr" | numbers -l bpf -f - >again
	t_same "... as the classic BPF that it becomes" again want
	for form in -d -dd -ddd; do
		tcpdump -O "$form" -y EN10MB "$expr" 2>/dev/null >listing
		numbers -l bpf -f listing >again
		t_same "... as tcpdump $form prints it" again want
	done
	for stage in ir opt ebpf x86 dot; do
		filter -d $stage "$expr" >listing
		t_ok "... dump $stage" test -s listing
	done
done <<'END'
tcp port 80
udp port 53 or icmp
not ip6 and tcp[tcpflags] & (tcp-syn|tcp-fin) != 0
ip[2:2] > 576 or host 192.0.2.7
vlan and ip
END
[ "$(wc -l <want)" -gt 0 ] || t_fail "no packet in a VLAN"

# libpcap's code for these reads a scratch word that it has only written behind Geneve.
for expr in arp ip 'ip6 and udp'; do
	t_eq "geneve or $expr" "$(filter -r in.pcap "geneve or $expr")" "$(kept "geneve or $expr") of $all packets"
done
t_eq "a file without an end" "$(timeout 20 "$PIPESFS" filter -l bpf -f /dev/zero 2>&1 || true)" "pipesfs: /dev/zero is too large"

# Arguments are joined; one that begins with a dash comes behind --.
t_eq "words" "$(filter -r in.pcap tcp port 80)" "$(filter -r in.pcap 'tcp port 80')"
printf 'ldb [23]\njeq #6, yes, no\nyes: ret #100\nno: ret #0\n' >program
t_eq "assembler" "$(filter -l bpf -f program -r in.pcap)" "$(filter -r in.pcap 'ether[23] = 6')"
t_eq "bytes, in this machine's order" \
	"$(printf '\60\0\0\0\27\0\0\0\25\0\0\1\6\0\0\0\6\0\0\0\144\0\0\0\6\0\0\0\0\0\0\0' | filter -l bpf -f - -r in.pcap)" \
	"$(filter -r in.pcap 'ether[23] = 6')"

# A loop can be run, but classic BPF cannot say it.
t_eq "protochain" "$(filter -r in.pcap 'ip6 protochain 6')" "$(kept 'ip6 protochain 6') of $all packets"
t_fails "protochain in classic BPF" filter -d cbpf 'ip6 protochain 6'

# --- what it tells ------------------------------------------------------------------------------

filter --explain 'tcp port 80' >said
t_has "explain: what a pass is for" "$(cat said)" 'bounds: bounds checks are merged'
t_has "... what it took away" "$(cat said)" '    - if fits 14'
t_ok "... sizes, beside libpcap's" grep -qE '^classic BPF: [0-9]+ instructions; libpcap.s optimiser leaves [0-9]+$' said
t_ok "... never more than libpcap" test "$(sed -n 's/^classic BPF: \([0-9]*\).*/\1/p' said)" -le "$(sed -n 's/.*leaves //p' said)"
filter --bench 'tcp port 80' >said
t_eq "bench: a line for each engine" "$(grep -c 'interpreter' said)" 3
t_eq "... who agree" "$(sed -n '/interpreter\|native/s/.* //p' said | sort -u | wc -l)" 1
filter --bench --run in.pcap -l bpf -f program >said
t_ok "bench: of a capture, of classic BPF" grep -q '^interpreter' said
"$PIPESFS" help filter | sed -n '/^Passes/,$s/^  \([a-z]*\) .*/\1/p' | sort >passes
"$PIPESFS" complete -- filter --without= | sed 's/.*=//' | grep -v '^all$' | sort >offered
t_same "the passes that are offered are those that there are" offered passes
while read -r pass; do
	numbers --without "$pass" 'ip[2:2] > 576 or host 192.0.2.7' >again
	numbers 'ip[2:2] > 576 or host 192.0.2.7' >want
	t_same "without $pass" again want
done <passes

# --- link types ---------------------------------------------------------------------------------

capture make any.pcapng pcapng
t_eq "each packet as its interface says" "$(filter -r any.pcapng '')" "$(capture count any.pcapng) of $(capture count any.pcapng) packets"
t_has "another kind of packets" "$(filter -y 101 -d cbpf ip)" '[0]'

# --- what is wrong ------------------------------------------------------------------------------

refused() {
	status=$1
	part=$2
	shift 2
	got=0
	filter "$@" >out 2>err </dev/null || got=$?
	t_eq "status of: filter $*" "$got" "$status"
	t_has "... and the sentence" "$(cat err)" "$part"
	t_eq "... and no output" "$(cat out)" ''
}
refused 2 'say which filter'
refused 2 "there is no stage 'c'" -d c ip
refused 2 "there is no language 'x'" -l x ip
refused 2 "there is no pass 'x'" --without fold,x ip
refused 2 "there is no engine" --engine fast ip
refused 2 'is no link type' -y 70000 ip
refused 2 'not both' -f program ip
refused 2 'one of' -d ir --explain ip
refused 1 'syntax error' 'ip and and'
refused 1 'not looked up' host example.com
refused 1 'nothing: No such file' -f nothing
refused 1 'nothing: No such file' -r nothing ip
refused 1 'made-up traffic is Ethernet' --bench -y 101 ip
printf 'ldb [0]\nldq [3]\nret #0\n' >program
refused 1 "line 2, column" -l bpf -f program
printf 'ret #0\nldb [0]\n' >program
refused 1 'the last instruction is no return' -l bpf -f program
head -c 1000 /dev/urandom | tr '\0' 1 >junk
refused 1 'junk:' -r junk -n ip
head -c 100001 in.pcap >cut.pcap
got=0
filter -n -r cut.pcap '' >out 2>err || got=$?
t_eq "a file that ends too early" "$got $(cat err)" "1 pipesfs: cut.pcap: it ends in the middle of a packet"
t_ok "... after what there was" test -s out
got=0
filter ip >/dev/full 2>err || got=$?
t_eq "a full device" "$got $(cat err)" "1 pipesfs: standard output: No space left on device"

# --- proof --------------------------------------------------------------------------------------

if command -v z3 >/dev/null; then
	t_eq "never, five times" "$(filter --prove 'tcp port 80' | grep -c ': never$')" 5
else
	t_note "z3 is not here: nothing is proved"
fi
refused 2 'take no capture' --prove -r in.pcap ip
