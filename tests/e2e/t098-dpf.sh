#!/bin/sh
# needs: user
# DPF: the examples of pf-dpf(7) keep what expressions keep, by hand and in the tree; a long list goes through .params;
# what is wrong is said, and changes nothing.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump

"$PIPESFS" demo --capture in.pcap >/dev/null
all=$(capture count in.pcap)

# --- the manual's examples --------------------------------------------------------------------

# The n-th example of the page's section.
example() {
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/p' "$TOP/man/pf-dpf.7" |
		awk -v n="$1" '/^\.Bd/ { k++; inside = 1; next } /^\.Ed/ { inside = 0 } inside && k == n'
}

numbers() {
	"$PIPESFS" filter --numbers --run in.pcap "$@"
}

host=$(tcpdump -n -r in.pcap -c 1 'ip and tcp and ip[0] = 0x45' 2>/dev/null | sed -n 's/.* IP \([0-9.]*\)\.[0-9]* >.*/\1/p')
t_ok "the capture has TCP" test -n "$host"
while IFS='|' read -r n expression; do
	program=$(example "$n" | sed "s/10\.0\.0\.1/$host/")
	numbers "$(echo "$expression" | sed "s/HOST/$host/")" >want
	numbers -l dpf "$program" >got
	t_same "$program" got want
	t_note "$(wc -l <got) packets"
done <<'END'
1|ether proto 0x800 and tcp and ether[26:4] = ether[26:4] and ip src HOST
2|ether proto 0x800 and udp dst port 53
3|ether[12:2] = 0x86dd and ip6[6] = 6 and ether[56:2] = 80
END
example 4 | sed -n 's/^\$ pipesfs //p' >commands
t_eq "two commands" "$(wc -l <commands)" 2
t_has "the first" "$(eval "\"$PIPESFS\" $(sed -n 1p commands)")" 'jeq      #0x806'
if command -v z3 >/dev/null; then
	eval "\"$PIPESFS\" $(sed -n 2p commands)" >proof
	t_ok "the second" grep -q 'as it was said .*: never$' proof
	t_fails "... and nothing else" grep -v ': never$' proof
fi

# --- in the tree ------------------------------------------------------------------------------

t_mount
short='dpf:12:16 == 0x800'
long='12:16 == 0x800, 23:8 == 17, 20:16 & 0x1fff == 0, shift 14, shift (0:8 & 0xf) << 2, 2:16 == 53'
kept() {
	cat "$1/all.pcapng" >got.pcapng
	capture count got.pcapng
}
mkdir "$P/pcap:in.pcap" "$P/pcap:in.pcap/$short"
dir="$P/pcap:in.pcap/$short"
t_eq "as many as the expression" "$(kept "$dir")" "$(numbers 'ether proto 0x800' | wc -l)"
t_has "the code" "$(cat "$dir/.program")" 'load16[12] == 0x800'
t_has "tests" "$(cat "$dir/.stats")" 'tests 2'
printf '# name servers\n%s\n' "$(echo "$long" | tr ',' '\n')" >endpoint.dpf
example 5 | sed -n '/mkdir/d;s/\\e/\\/g;s/^\$ //p' | sed "s|/p/dev/eth0|$P/pcap:in.pcap|" >commands
t_eq "the manual says how" "$(wc -l <commands)" 2
t_ok "... and it is so" sh commands
t_eq "the long one is in force" "$(kept "$dir")" "$(numbers -l dpf "$long" | wc -l)"
t_has "and shown" "$(cat "$dir/.params")" '0x1fff == 0%0a'
before=$(cat "$dir/.program")
echo 'program=12:16 == 0x10000' >bad
t_fails "a bad one is refused" cp bad "$dir/.params"
t_has "with a sentence" "$(tail -n 1 "$P/.errors")" 'column 17: the field can never have this value'
t_eq "and changes nothing" "$(cat "$dir/.program")" "$before"
t_errno EINVAL mkdir "$P/pcap:in.pcap/dpf:12:16 = 5"
t_has "its place is said" "$(tail -n 1 "$P/.errors")" 'column 7: what should the field be? == is missing'
t_errno EINVAL mkdir "$P/pcap:in.pcap/dpf"
t_has "a program is missing" "$(tail -n 1 "$P/.errors")" 'dpf:PROGRAM needs a program'
mkdir "$P/pcap:in.pcap/dpf,program=0:8 & 1 == 0"
t_eq "by its parameter" "$(kept "$P/pcap:in.pcap/dpf,program=0:8 & 1 == 0")" \
	"$(numbers 'ether[0] & 1 = 0' | wc -l)"
t_ok "some and not all" test "$(numbers 'ether[0] & 1 = 0' | wc -l)" -gt 0
t_note "of $all packets"
