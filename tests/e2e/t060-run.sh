#!/bin/sh
# needs: user
# timeout: 240
# `pipesfs run` where nothing is mounted: what comes out is what tcpdump gives, in every form; what is wrong points at
# its place; nothing is left behind.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump jq

run() {
	"$PIPESFS" run "$@"
}

capture make in.pcap nano
capture spread many.pcap 5000 900
mkdir tmp
export TMPDIR="$TMPDIR/tmp"

gone() {
	[ -z "$(t_daemons)" ] && [ -z "$(ls "$TMPDIR")" ]
}

# Who was killed goes in its own time, but soon.
nothing_left() {
	t_wait_for 5 gone
	echo "ok: $1: no process and no directory is left"
	t_eq "$1: no mount is left" "$(grep -c pipesfs-run /proc/self/mountinfo || true)" 0
}

# --- as tcpdump -----------------------------------------------------------------------------------

as_tcpdump() {
	tcpdump -O -r in.pcap --time-stamp-precision=nano -w want.pcap "$1" 2>/dev/null
	run "pcapin in.pcap | match '$1'" >got.pcapng 2>err || t_fail "run $1: $(cat err)"
	t_ok "as tcpdump: $1" capture same got.pcapng want.pcap
}

for expr in 'tcp' 'udp port 53' 'ip6' 'host 10.0.0.1 or arp' 'tcp[13] & 2 != 0' 'len > 200 and not vlan' 'icmp or icmp6'; do
	as_tcpdump "$expr"
done
run 'pcapin many.pcap' >got.pcapng
t_ok "every packet of a larger file" capture same got.pcapng many.pcap
nothing_left "files"

# Streamline's own example. tcpdump has to be told to look behind VLAN tags.
"$PIPESFS" demo --capture trace.pcap >/dev/null
tcpdump -r trace.pcap --time-stamp-precision=nano -w want.pcap 'tcp dst port 80 or (vlan and tcp dst port 80)' 2>/dev/null
run 'pcapin trace.pcap | tcp | dstport |80' >got.pcapng
t_ok "a class is a condition" capture same got.pcapng want.pcap
t_eq "... and a stage may follow it" "$(run 'pcapin trace.pcap | tcp | dstport |80 inspect' | grep -c '^20')" "$(capture count want.pcap)"
t_eq "... there were some" "$(run -o json 'pcapin trace.pcap | tcp | dstport | 80 | httpplus |get head 5' | jq -r .method | sort | uniq -c | tr -s ' ')" ' 5 GET'
tcpdump -r trace.pcap --time-stamp-precision=nano -w want.pcap 'tcp dst port 80 or tcp dst port 443 or (vlan and (tcp dst port 80 or tcp dst port 443))' 2>/dev/null
run -o json 'pcapin trace.pcap | tcp | dstport | ( 80 + |443 )' >got.json
t_eq "two classes" "$(wc -l <got.json)" "$(capture count want.pcap)"

# --- forms -----------------------------------------------------------------------------------------

t_eq "raw: the bytes" "$(run -o raw 'pcapin many.pcap' | md5sum)" "$(capture bytes many.pcap >/dev/null; tcpdump -r many.pcap -w - 2>/dev/null | python3 -c '
import struct, sys, hashlib
d = sys.stdin.buffer.read(); at = 24; h = hashlib.md5()
while at < len(d):
    n = struct.unpack_from("<I", d, at + 8)[0]
    h.update(d[at + 16:at + 16 + n]); at += 16 + n
print(h.hexdigest(), " -")')"
t_eq "json: an object a packet" "$(run -o json 'pcapin many.pcap' | jq -r .proto | sort | uniq -c | tr -s ' ')" " 5000 udp"
t_eq "txt: a line for each, and its bytes below" "$(run -o txt 'pcapin many.pcap' | grep -c '^20')" 5000
t_eq "no packets: the bytes as they are" "$(run 'pcapin many.pcap | inspect' | grep -c '^20')" 5000
t_eq "packets and text together: text" "$(run 'pcapin many.pcap | ( head 1 + head 2 | inspect )' | grep -c '^20')" 3
t_fails "a form that is none" run -o pcap 'pcapin many.pcap'
t_fails "no capture stream of what is no packet" run -o pcapng 'pcapin many.pcap | inspect'
t_eq "... with the reason" "$(run -o pcapng 'pcapin many.pcap | inspect' 2>&1 | head -n 1)" \
	"pipesfs: column 20: 'pcapng' does not fit here: 'inspect' gives text"

# --- branches ------------------------------------------------------------------------------------------

run 'pcapin in.pcap | ( tcp + udp )' >got.pcapng
run 'pcapin in.pcap | tcp' >tcp.pcapng
run 'pcapin in.pcap | udp' >udp.pcapng
capture list tcp.pcapng >want
capture list udp.pcapng >>want
capture list got.pcapng >got
sort -o want want
sort -o got got
t_same "branches: the packets of both, each whole" got want
t_ok "... tcpdump reads it" tcpdump -n -r got.pcapng
t_eq "... one section" "$(od -An -tx4 -v -w4 got.pcapng | grep -c 0a0d0d0a)" 1
t_eq "what follows a group follows each branch" \
	"$(run -o json 'pcapin many.pcap | ( head 3 + head 5 ) | head 2' | wc -l)" 4
t_eq "a packet that two branches want comes twice" "$(run -o json 'pcapin many.pcap | ( udp + ip )' | wc -l)" 10000
t_eq "sources side by side" "$(run -o json '( pcapin in.pcap + pcapin many.pcap ) | udp' | wc -l)" \
	"$(($(run -o json 'pcapin in.pcap | udp' | wc -l) + 5000))"
t_eq "a branch that ends early ends alone" "$(run -o json 'pcapin many.pcap | ( head 1 + udp )' | wc -l)" 5001

# --- files -----------------------------------------------------------------------------------------------

run 'pcapin many.pcap | ( > all.pcap + head 7 > "seven packets.pcapng" + head 2 )' -o json >two 2>err || t_fail "$(cat err)"
t_ok "> FILE, all of it when run returns" capture same all.pcap many.pcap
t_eq "... a name with blanks" "$(capture count 'seven packets.pcapng')" 7
t_eq "... and what else comes out" "$(wc -l <two)" 2
run 'pcapin in.pcap | tcp > all.pcap append=0'
t_eq "... anew" "$(capture count all.pcap)" "$(capture count tcp.pcapng)"

# --- the standard input ------------------------------------------------------------------------------------

run 'accept | unpcap | udp' <many.pcap >got.pcapng
t_ok "accept reads the standard input" capture same got.pcapng many.pcap
t_eq "bytes through accept" "$(printf 'some\0bytes' | run 'accept' | od -c)" "$(printf 'some\0bytes' | od -c)"
t_eq "more of them than any buffer" "$(head -c 60000000 /dev/zero | run 'accept' | wc -c)" 60000000
t_fails "two cannot have it" run 'accept + accept:b' </dev/null
t_eq "a reader that has enough ends it" "$(yes | timeout 20 "$PIPESFS" run 'accept | head 1' | head -n 1)" y

# --- what is wrong ----------------------------------------------------------------------------------------

# wrong STATUS PIPELINE SENTENCE
wrong() {
	status=0
	run "$2" >out 2>err </dev/null || status=$?
	t_eq "status of: $2" "$status" "$1"
	t_eq "... and why" "$(cat err)" "$3"
	t_eq "... and nothing else" "$(cat out)" ''
}
wrong 2 'pcapin in.pcap | | tcp' "pipesfs: column 18: a stage is missing before this bar
  pcapin in.pcap | | tcp
                   ^"
wrong 1 'pcapin in.pcap | tcpp' "pipesfs: column 18: there is no filter 'tcpp'; did you mean 'tcp'?
  pcapin in.pcap | tcpp
                   ^"
wrong 1 'pcapin in.pcap | tcp | httpplus |gte' "pipesfs: column 34: there is no filter or class 'gte'; did you mean 'get'?
  pcapin in.pcap | tcp | httpplus |gte
                                   ^"
wrong 1 'ip' "pipesfs: column 1: 'ip' is a filter: it goes below a source, as in accept/ip
  ip
  ^"
wrong 1 'pcapin nowhere' "pipesfs: column 1: nowhere: No such file or directory
  pcapin nowhere
  ^"
wrong 1 'pcapin in.pcap | head x' "$(run 'pcapin in.pcap | head x' 2>&1 || true)"
t_has "... in its own words" "$(cat err)" "column 18"
printf '# a comment\npcapin in.pcap\n  | tcp\n  | tcpp\n' >bad.pipe
status=0
run -f bad.pipe 2>err || status=$?
t_eq "in a file: the line, too" "$(head -n 1 err)" "pipesfs: bad.pipe:4:5: there is no filter 'tcpp'; did you mean 'tcp'?"
t_eq "control characters do not reach the terminal" "$(run "$(printf 'a\033[31mb | c')" 2>&1 | grep -c "$(printf '\033')" || true)" 0
t_fails "no pipeline" run
t_fails "none in the file" run -f /dev/null
t_fails "two sources of the text" run -f bad.pipe 'pcapin in.pcap'
nothing_left "refused"

printf '# from a file\npcapin in.pcap | tcp\n\npcapin many.pcap | ( # two\n head 1\n head 2 )\n' >good.pipe
t_eq "pipelines from a file, side by side" "$(run -o json -f good.pipe | wc -l)" "$(($(capture count tcp.pcapng) + 3))"
t_eq "the same, from the standard input" "$(run -o json -f - <good.pipe | wc -l)" "$(($(capture count tcp.pcapng) + 3))"
t_eq "a dry run only tells" "$(run -n -f good.pipe)" "pcapin:in.pcap
pcapin:in.pcap/tcp
pcapin:many.pcap
pcapin:many.pcap/head:1
pcapin:many.pcap/head:2"

# --- ends --------------------------------------------------------------------------------------------------

run 'pcapin many.pcap' | head -c 1000 >/dev/null
nothing_left "a closed output"
status=0
run 'pcapin many.pcap' 2>err >/dev/full || status=$?
t_eq "a full disk is said" "$status: $(cat err)" "1: pipesfs: cannot go on: No space left on device"
t_eq "no standard input is an empty one" "$(run accept <&-)" ''

# Input that goes on for ever, and somebody who has had enough.
mkfifo input
for signal in INT TERM HUP KILL; do
	yes >input 2>/dev/null &
	t_cleanup kill $!
	rm -f out # the one of before says nothing
	"$PIPESFS" run 'accept | ( head 1 + count )' <input >out 2>err &
	pid=$!
	t_wait_for 10 test -s out
	kill -s $signal $pid
	status=0
	t_done $pid 10 || status=$?
	if [ $signal = KILL ]; then
		t_eq "kill -9" "$status" 137
	else
		t_eq "SIG$signal ends it well" "$status" 0
		t_has "... with a goodbye" "$(cat err)" "records captured"
	fi
	nothing_left "SIG$signal"
done
