#!/bin/sh
# needs: user
# pipesfs filter --set: each filter of a set accepts what it accepts alone, as one program; what is wrong is said.
. "$T_LIB"

filter() {
	"$PIPESFS" filter "$@"
}

"$PIPESFS" demo --capture in.pcap >/dev/null

# --- counts -------------------------------------------------------------------------------------

{
	echo "# families of endpoints, and what has nothing to do with them"
	for i in 22 53 80 443 2048 8080; do
		echo "tcp dst port $i"
		echo "udp port $i"
		echo "host 192.0.2.$((i % 12)) and port $i"
	done
	echo
	printf '%s\n' icmp 'not ip6' 'ip[8] > 60' 'vlan and ip' 'greater 1000' 'tcp dst port 80'
} >many
filter --set many --run in.pcap >got
grep -v "^#" many | sed '/^$/d' | while read -r expr; do
	printf '%s\t%s\n' "$(filter --run in.pcap "$expr" | cut -d' ' -f1)" "$expr"
done >want
t_same "as many as each alone" got want
t_ok "some of them have some" grep -q '^[1-9]' got
for engine in interp native; do
	[ $engine = interp ] || [ "$(uname -m)" = x86_64 ] || continue
	filter --set many --run in.pcap --engine $engine >got
	t_same "... with $engine" got want
done
filter --set many --run in.pcap --without all >got
t_same "... without any pass" got want

# --- what is made of it -------------------------------------------------------------------------

filter --set many >listing
t_ok "one program asks tables" grep -q 'find t[0-9]*\[' listing
filter --set many --dump dot >listing
t_ok "a drawing" grep -q '^digraph' listing
filter --dump merged 'tcp port 80' >listing
t_ok "one is a set, too" grep -q 'result 0' listing
filter --set many --explain >listing
t_ok "explained" grep -q '^24 filters, ' listing
if command -v z3 >/dev/null; then
	head -12 many >few
	filter --set few --prove >proved
	t_eq "each is proved" "$(grep -c ' in the set differ: never$' proved)" "$(grep -vc '^#' few)"
fi

# --- what is wrong ------------------------------------------------------------------------------

says() {
	want=$1 status=$2
	shift 2
	got=0
	filter "$@" >out 2>err || got=$?
	t_eq "$want: status" $got "$status"
	t_ok "$want: said" grep -q "$want" err
}

printf 'tcp\n\nnonsense (\n' >bad
says "line 3: " 1 --set bad
echo '# none' >none
says "there is no filter in it" 1 --set none
says "No such file" 1 --set missing
says "there are --dump, --explain, --prove and --run" 2 --set many --bench
says "there is no stage 'x86' of a set" 1 --set many --dump x86
