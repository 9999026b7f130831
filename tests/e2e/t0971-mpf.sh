#!/bin/sh
# needs: user
# The examples of pf-mpf(7): as a filter, and as a directory whose classes are sessions; fragments follow their first one.
. "$T_LIB"
t_need tcpdump

filter() {
	"$PIPESFS" filter "$@"
}

t_examples pf-mpf.7 example

# --- by itself ----------------------------------------------------------------------------------

"$PIPESFS" demo --capture in.pcap >/dev/null
t_eq "the keys of a program alone are a filter" "$(filter -l mpf -f example1 -r in.pcap)" \
	"$(filter -r in.pcap 'ip proto 6 and ip[6:2] & 0x1fff = 0 and tcp dst port 80')"
t_ok "... that keeps something" test "$(filter -l mpf -f example1 -r in.pcap | sed 's/ .*//')" -gt 0
for example in example1 example2; do
	for stage in ir opt cbpf ebpf x86 dot smt; do
		filter -l mpf -f $example -d $stage >listing
		t_ok "$example, dump $stage" test -s listing
	done
	if command -v z3 >/dev/null; then
		filter -l mpf -f $example --prove >proved
		t_eq "$example is proved" "$(grep -vc ': never$' proved)" 0
		t_ok "... in all stages" test "$(wc -l <proved)" -ge 3
	fi
done
t_has "what is wrong is said" "$(filter -l mpf 'key #1 ret #0' 2>&1 || :)" 'a key of nothing'

# --- sessions are classes -----------------------------------------------------------------------

# UDP over IPv4: to port 53 whole; to 80 in three fragments, the first one last; to 99, where nobody is, first one last.
# A fragment without a first one. Identification says which.
python3 - frag.pcap <<'END'
import struct, sys
out = open(sys.argv[1], "wb")
out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
def send(n, ident, at, more, data):
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(data), ident, at // 8 | (0x2000 if more else 0), 64, 17, 0,
                     bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2]))
    frame = bytes(12) + b"\x08\x00" + ip + data
    out.write(struct.pack("<IIII", 1000 + n, 0, len(frame), len(frame)) + frame)
def udp(port, n): return struct.pack(">HHHH", 4000, port, 8 + n, 0)
send(0, 1, 0, False, udp(53, 8) + b"a" * 8)
send(1, 2, 16, False, b"c" * 8)
send(1, 2, 8, True, b"b" * 8)
send(2, 3, 8, False, b"x" * 8)
send(2, 2, 0, True, udp(80, 16))
send(3, 3, 0, True, udp(99, 8))
send(3, 2, 8, True, b"d" * 8)
send(3, 4, 8, False, b"y" * 8)
END

escape() {
	sed 's/;.*//; s/%/%25/g; s/$/%0a/' "$1" | tr -d '\n\t'
}

# How many are there, in all of these directories?
readers() {
	want=$1
	shift
	for dir in "$@"; do
		cat "$dir/.readers"
	done >.readers
	[ "$(grep -c cat .readers)" = "$want" ]
}

t_mount
mkdir "$P/accept:a"
mkdir "$P/accept:a/unpcap"
d="$P/accept:a/unpcap/mpf:ret #0"
t_errno EINVAL mkdir "$d"
t_has "a program has to ask for sessions" "$(cat "$P/.errors")" 'asks for no session'
printf 'ld #0\nst M[0]\nmatch_imm #1, 1\nkey #53\n' >short
d="$P/accept:a/unpcap/mpf:$(escape short)"
mkdir "$d"
echo "program=$(escape example2)" >"$d/.params"
t_eq "its own key is a class" "$(find "$d" -mindepth 1 -maxdepth 1 -type d -name '[0-9]*' | sed 's/.*\///')" 53
mkdir "$d/80"
t_errno ENOENT ls "$d/80-1"
t_has ".program shows both ways" "$(cat "$d/.program")" '# without one'
cat "$d/53/all.txt" >got.53 &
cat "$d/80/all.pcapng" >got.80 &
cat "$d/all.pcapng" >got.all &
t_wait_for 10 readers 3 "$d" "$d/53" "$d/80"
cat frag.pcap >"$P/accept:a/all"
wait
t_eq "port 53 has its packet" "$(grep -c '10.0.0.1' got.53)" 1
t_eq "port 80 has four fragments" "$(filter -r got.80 '')" "4 of 4 packets"
t_eq "... the first one first, the others as they came" \
	"$(tcpdump -nn -v -r got.80 2>/dev/null | grep -o 'offset [0-9]*' | tr '\n' ' ')" "offset 0 offset 16 offset 8 offset 8 "
t_eq "all of both in the directory itself" "$(filter -r got.all '')" "5 of 5 packets"
grep -E '^(in|out|lost|sessions|kept|postponed|registered)' "$d/.stats" >stats
t_eq "the books: two waited in vain" "$(awk '/^lost\.incomplete/ { print $2 }' stats)" 2
t_eq "... in" "$(awk '/^in / { print $2 }' stats)" 8
t_eq "... out" "$(awk '/^out / { print $2 }' stats)" 5
t_eq "... sessions" "$(awk '/^sessions/ { print $2 }' stats)" 2
t_eq "... postponed" "$(awk '/^postponed/ { print $2 }' stats)" 4

# A session that goes, and one that comes, while it runs.
rmdir "$d/80"
mkdir "$d/99"
cat "$d/99/all.pcapng" >got.99 &
cat "$d/all.pcapng" >got.all &
t_wait_for 10 readers 2 "$d" "$d/99"
cat frag.pcap >"$P/accept:a/all"
wait
t_eq "port 99 has its fragments, the first one first" \
	"$(tcpdump -nn -v -r got.99 2>/dev/null | grep -o 'offset [0-9]*' | tr '\n' ' ')" "offset 0 offset 8 "
t_eq "port 80 is nobody's" "$(filter -r got.all '')" "3 of 3 packets"
