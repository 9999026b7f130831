#!/bin/sh
# needs: user
# The examples of pf-cspf(7) mean what the manual says, through every stage and in the tree; what is wrong is said.
. "$T_LIB"

filter() {
	"$PIPESFS" filter "$@"
}

numbers() {
	filter --numbers --run in.pcap "$@"
}

"$PIPESFS" demo --capture in.pcap >/dev/null

# --- the manual's examples ----------------------------------------------------------------------

t_examples pf-cspf.7 example
n=0
while read -r expr; do
	n=$((n + 1))
	numbers "$expr" >want
	t_ok "example $n keeps something" test -s want
	numbers -l cspf -f example$n >got
	t_same "example $n is '$expr'" got want
	numbers -l cspf -f example$n --without all --engine interp >got
	t_same "... without any pass, interpreted" got want
	filter -l cspf -f example$n --dump cbpf >listing
	numbers -l bpf -f listing >got
	t_same "... as the classic BPF that it becomes" got want
	for stage in ir opt ebpf x86 dot smt; do
		filter -l cspf -f example$n -d $stage >listing
		t_ok "... dump $stage" test -s listing
	done
done <<'END'
ether[12:2] = 0x800
ether[12:2] = 0x800 and ether[23] = 6
ether[12:2] = 0x800 or ether[12:2] = 0x806
ether[12:2] = 0x800 and ether[14 + (ether[14] & 15) * 4 + 2 : 2] = 80
ether[12:2] = 0x800
END
t_eq "all examples were tried" "$n" "$(find . -name 'example*' | wc -l)"

if command -v z3 >/dev/null; then
	t_eq "--prove: the words, the graphs, the code" "$(filter -l cspf -f example4 --prove | grep -c ': never$')" 5
fi

# --- words in bytes, byte order, link types -----------------------------------------------------

if [ "$(printf '\1\0' | od -An -d | tr -d ' ')" = 1 ]; then
	printf '\26\0\1\4\0\10' >words
else
	printf '\0\26\4\1\10\0' >words
fi
numbers -l cspf -f words >got
t_same "bytes, in this machine's order" got want
numbers -l cspf '.order little PUSHWORD+6 PUSHLIT|EQ 0x0008' >got
t_same ".order little" got want
t_eq "no link header" "$(numbers -l cspf -y 101 'PUSHHDR+6, PUSHONE')" ""

# --- what is refused ----------------------------------------------------------------------------

t_fails "a name" filter -l cspf 'PUSHWARD+6'
t_has "... says which" "$(filter -l cspf 'PUSHWARD+6' 2>&1)" "there is no 'PUSHWARD'"
printf 'PUSHZERO\nEQ\nEQ\n' >bad
t_fails "a stack that is empty" filter -l cspf -f bad
t_has "... says where" "$(filter -l cspf -f bad 2>&1)" 'line 3'

# --- in the tree --------------------------------------------------------------------------------

t_mount
d="$P/accept:a/unpcap/cspf:PUSHWORD+6, PUSHLIT|EQ, 0x0800"
mkdir -p "$d"
t_has ".program" "$(cat "$d/.program")" 'if load16[12] == 0x800'
sed 's/%/%25/g; s/$/%0a/' example2 | tr -d '\n' >escaped
echo "program=$(cat escaped)" >"$d/.params"
cat in.pcap >"$P/accept:a/all" &
cat "$d/all.pcapng" >got.pcapng
wait $!
numbers -l cspf -f example2 | wc -l >want
"$PIPESFS" filter --numbers -r got.pcapng '' | wc -l >got
t_same "what a directory keeps" got want
printf 'program=PUSH' >bad
t_errno EINVAL dd if=bad "of=$d/.params" status=none conv=notrunc
t_has "... and .errors says why" "$(cat "$P/.errors")" "there is no 'PUSH'"
