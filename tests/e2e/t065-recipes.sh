#!/bin/sh
# needs: user
# timeout: 240
# The examples of pipesfs-tools(7), tshark in place of wireshark, and capture files and writers in place of eth0.
# shellcheck disable=SC2012,SC2016 # names of ours; what is in single quotes is for another sh
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump tshark jq gzip

page=$TOP/man/pipesfs-tools.7
"$PIPESFS" demo --capture trace.pcap >/dev/null
capture spread many.pcap 5000 900
mkdir bin
ln -s "$PIPESFS" bin/pipesfs
export PATH="$PWD/bin:$PATH"
t_mount
export P

# The page and this test must say the same.
in_the_page() {
	t_ok "the page says: $1" grep -qF -e "$1" "$page"
}

# --- a live view ----------------------------------------------------------------------------------

in_the_page 'all.pcapng | wireshark -k -i -'
mkdir -p "$P/accept/unpcap/tcp"
sh -c 'cat "$P/accept/unpcap/tcp/all.pcapng" | tshark -n -i - -T fields -e frame.number 2>err' >out &
viewer=$!
t_wait_for 20 sh -c "grep -q '^readers [1-9]' '$P/accept/unpcap/tcp/.stats'"
cat trace.pcap >"$P/accept/all"
t_done $viewer 60
t_eq "a view of a directory" "$(wc -l <out)" "$(pipesfs run -o json 'pcapin trace.pcap | tcp' | wc -l)"
in_the_page "pipesfs run 'dev eth0 | tcp | dstport |443' | wireshark -k -i -"
t_eq "a view of a pipeline" "$(pipesfs run 'pcapin trace.pcap | tcp | dstport |443' | tshark -n -i - -T fields -e frame.number 2>err | wc -l)" \
	"$(pipesfs run -o json 'pcapin trace.pcap | tcp | dstport |443' | wc -l)"

# --- two at once ----------------------------------------------------------------------------------------

in_the_page 'tcpdump -n -r /p/dev/eth0/tcp/all.pcapng &'
tcpdump -n -r "$P/accept/unpcap/tcp/all.pcapng" >one 2>/dev/null &
one=$!
tshark -n -r "$P/accept/unpcap/tcp/all.pcapng" -T fields -e ip.src >two 2>/dev/null &
two=$!
t_wait_for 20 sh -c "grep -q '^readers 2' '$P/accept/unpcap/tcp/.stats'"
cat trace.pcap >"$P/accept/all"
t_done $one 60
t_done $two 60
t_eq "two programs, one stream" "$(wc -l <one) $(wc -l <two)" "$(wc -l <out) $(wc -l <out)"

# --- jq ---------------------------------------------------------------------------------------------------

in_the_page "pipesfs run -o json 'pcapin trace.pcap | httpplus |get' |"
t_eq "who is asked most" "$(pipesfs run -o json 'pcapin trace.pcap | httpplus |get' | jq -r .host | sort | uniq -c | sort -rn | awk '{ n += $1 } END { print n }')" \
	"$(pipesfs run -v -o raw 'pcapin trace.pcap | httpplus |get' 2>&1 >/dev/null | sed -n 's/ packets captured//p')"
in_the_page "jq --unbuffered -r 'select(.dns == \"query\") | .name' /p/dev/eth0/all.json"
jq --unbuffered -r 'select(.dns == "query") | .name' "$P/accept/unpcap/all.json" >names &
reader=$!
t_wait_for 20 sh -c "grep -q '^readers 1' '$P/accept/unpcap/.stats'"
cat trace.pcap >"$P/accept/all"
t_done $reader 60
t_ok "names that are asked for" test "$(grep -c example names)" -gt 10

# --- files ---------------------------------------------------------------------------------------------------

in_the_page "pipesfs run 'dev eth0 | tcp | file tcp.pcapng rotate=10M keep=5'"
pipesfs run 'pcapin many.pcap | file ring.pcapng rotate=1M keep=5'
t_eq "a ring of files" "$(find . -name 'ring.?.pcapng' | wc -l)" 5
t_eq "... of that size" "$(find . -name 'ring.?.pcapng' -size +1024k | wc -l)" 0
t_eq "... the newest ends as the stream does" "$(for f in ring.?.pcapng; do
	tcpdump -tt -n -r "$f" 2>/dev/null | tail -n 1
done | sort -n | tail -n 1)" "$(tcpdump -tt -n -r many.pcap 2>/dev/null | tail -n 1)"
in_the_page "| tcpdump -r - -w tcp.pcap -C 10 -W 5"
pipesfs run 'pcapin many.pcap' | tcpdump -r - -w turn.pcap -C 1 -W 3 2>/dev/null
t_eq "files of one size, the last of them" "$(ls turn.pcap* | wc -l)" 3
t_ok "... that can be read" tcpdump -n -r turn.pcap0 -c 1
in_the_page "( > all.pcapng + tcp | dstport |80 > web.pcap )"
pipesfs run 'pcapin trace.pcap | ( > all.pcapng + tcp | dstport |80 > web.pcap )'
t_ok "all in one file" capture same all.pcapng trace.pcap
t_eq "... and some in another" "$(capture count web.pcap)" "$(pipesfs run -o json 'pcapin trace.pcap | tcp | dstport |80' | wc -l)"
in_the_page "timeout 10 cat /p/dev/eth0/all.pcapng > ten.pcapng"

# --- by another way ------------------------------------------------------------------------------------------

in_the_page "| pipesfs run 'accept | unpcap | httpplus'"
t_eq "from elsewhere" "$(tcpdump -U -w - -r trace.pcap 2>/dev/null | pipesfs run 'accept | unpcap | httpplus' -o json | wc -l)" \
	"$(pipesfs run -o json 'pcapin trace.pcap | httpplus' | wc -l)"
in_the_page "zcat trace.pcap.gz | pipesfs run 'accept | unpcap | udp'"
gzip -k many.pcap
zcat many.pcap.gz | pipesfs run 'accept | unpcap | udp' >got.pcapng
t_ok "compressed" capture same got.pcapng many.pcap

# --- what is wrong ---------------------------------------------------------------------------------------------

in_the_page "jq -r '.nodes[] | select(.lost > 0 or .lag > 1000) | .path' /p/.graph.json"
head -c 3000 trace.pcap >cut.pcap
mkdir "$P/pcap:cut.pcap" "$P/pcap:cut.pcap/udp"
cat "$P/pcap:cut.pcap/udp/all" >/dev/null
t_eq "what has lost something" "$(jq -r '.nodes[] | select(.lost > 0 or .lag > 1000) | .path' "$P/.graph.json")" /pcap:cut.pcap
