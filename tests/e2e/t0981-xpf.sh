#!/bin/sh
# needs: user
# xPF: the examples of pf-xpf(7) count and keep what tcpdump's expressions say, by hand and in the tree; numbers stay
# from packet to packet, begin anew with another program, and what is wrong changes nothing.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump

"$PIPESFS" demo --capture in.pcap >/dev/null
all=$(capture count in.pcap)

# The n-th example of the page's section.
example() {
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$TOP/man/pf-xpf.7" |
		awk -v n="$1" '/^\.Bd/ { k++; inside = 1; next } /^\.Ed/ { inside = 0 } inside && k == n' |
		sed 's/^\\&//'
}

matching() {
	"$PIPESFS" filter --numbers --run in.pcap "$1" | wc -l
}

for n in 1 2 3 4; do
	example $n >$n.xpf
	t_ok "example $n compiles" "$PIPESFS" filter -l xpf -f $n.xpf --dump opt
	"$PIPESFS" filter -l xpf -f $n.xpf --dump ebpf >$n.ebpf
done
t_eq "numbers by hand" "$("$PIPESFS" filter -l xpf -f 1.xpf -r in.pcap | sed -n '1p;2p')" "0 of $all packets
packets $all"
t_eq "the first 20, by hand" "$("$PIPESFS" filter -l xpf -f 2.xpf -r in.pcap)" "20 of $all packets"
t_has "the loop is one in eBPF, too" "$(cat 4.ebpf)" may_goto
t_fails "classic BPF has no memory" "$PIPESFS" filter -l xpf -f 1.xpf --dump cbpf

# --- in the tree ------------------------------------------------------------------------------

# The program as .params takes it.
params() {
	sed 's/%/%25/g;s/$/%0a/;1s/^/program=/' "$1" | tr -d '\n'
}

cell() {
	sed -n "s/^cell\.$2 //p" "$1/.stats"
}

t_mount
mkdir "$P/pcap:in.pcap"
source="$P/pcap:in.pcap"
dir="$source/xpf:ret #0"
mkdir "$dir"
once() { # it is a consumer: the file runs through it as soon as it is there
	[ "$(t_stat pcap:in.pcap in)" = "$all" ]
}
t_wait_for 20 once
params 1.xpf >one
cat one >"$dir/.params"
cat "$dir/all.pcapng" >got.pcapng
t_eq "nothing passes" "$(capture count got.pcapng)" 0
t_eq "packets" "$(cell "$dir" packets)" "$all"
# A header of 24 bytes, and one of 16 in front of each packet; none is cut.
t_eq "bytes" "$(cell "$dir" bytes)" $(($(wc -c <in.pcap) - 24 - all * 16))
t_has "the code" "$(cat "$dir/.program")" 'set m0['
before=$(cat "$dir/.stats")
echo 'program=.memory 1%0ald P[1]%0aret a' >bad
t_fails "a bad one is refused" cp bad "$dir/.params"
t_has "with a sentence" "$(tail -n 1 "$P/.errors")" 'there is no P[1], only 0 to 0'
t_eq "and changes nothing" "$(cat "$dir/.stats")" "$before"
params 3.xpf >three
cat three >"$dir/.params"
t_eq "another program begins with zeros" "$(cell "$dir" tcp) $(cell "$dir" udp)" "0 0"
cat "$dir/all.pcapng" >/dev/null
t_eq "a histogram" "$(cell "$dir" tcp) $(cell "$dir" udp)" \
	"$(matching 'ether proto 0x800 and tcp') $(matching 'ether proto 0x800 and udp')"

params 2.xpf >two
cat two >"$dir/.params"
cat "$dir/all.pcapng" >got.pcapng
t_eq "the first 20" "$(capture count got.pcapng)" 20
params 4.xpf >four
cat four >"$dir/.params"
cat "$dir/all.pcapng" >got.pcapng
wscale=$(tcpdump -n -v -r in.pcap tcp 2>/dev/null | grep -c wscale || true)
t_eq "options are found by going through them" "$(capture count got.pcapng)" "$wscale"
t_note "$wscale packets with the window scale option"

long='xpf:.memory 2 .name64 bytes 0 ld len addm64 P[0] ret #0'
mkdir "$source/$long"
# Its directory is a consumer: the file runs through it.
sum() {
	[ "$(cell "$source/$long" bytes)" -gt 0 ]
}
t_wait_for 20 sum
t_errno EINVAL mkdir "$source/xpf:ld P[0] ret a"
t_has "no memory" "$(tail -n 1 "$P/.errors")" 'no memory is declared: .memory WORDS'
