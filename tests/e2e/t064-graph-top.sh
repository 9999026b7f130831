#!/bin/sh
# needs: user
# timeout: 240
# The running graph, as a table, a drawing and JSON, and watched in a terminal of 80 by 24.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need jq
export LC_ALL=C.UTF-8

pipesfs() {
	"$PIPESFS" "$@"
}

capture spread in.pcap 300 200
t_mount
t_fails "no mount to look at" pipesfs graph /
mkdir -p "$P/accept/unpcap/udp/head:100000" "$P/accept:quiet" "$P/accept/unpcap/count"
cat "$P/accept/unpcap/udp/all" >/dev/null &
reader=$!
t_cleanup kill $reader
t_wait_for 10 t_opened $reader accept/unpcap/udp/all
mkfifo fifo
cat fifo >"$P/accept/all" &
t_cleanup kill $!
exec 3>fifo
cat in.pcap >&3
t_wait_for 10 sh -c "grep -qx 'out 300' '$P/accept/unpcap/udp/.stats'"

# --- graph ------------------------------------------------------------------------------------------------

out=$(pipesfs graph "$P")
t_has "graph: the tree" "$out" "    ├── udp "
t_has "... with its titles" "$out" "in/s    out/s  bytes/s     lost reads  runs"
t_has "... where it runs" "$(echo "$out" | grep unpcap)" " pulling"
t_has "... who reads" "$(echo "$out" | grep udp)" " 1  inline"
t_has "... what somebody made, though it is idle" "$out" "accept:quiet"
t_eq "... without sources that are idle" "$(echo "$out" | grep -c netfilter || true)" 0
t_has "... unless asked for" "$(pipesfs graph -a "$P")" netfilter_out
t_eq "a part of it" "$(pipesfs graph "$P/accept/unpcap/udp" | sed 1,2d | cut -d ' ' -f 1,2 | head -n 1)" "udp "
t_eq "JSON is .graph.json" "$(pipesfs graph --json "$P" | jq -r '.nodes[] | select(.path == "/accept/unpcap/udp") | .out')" 300
t_has "dot is .graph.dot" "$(pipesfs graph --dot "$P")" "digraph"
if command -v dot >/dev/null; then
	t_has "a drawing" "$(pipesfs graph --svg "$P")" "</svg>"
	pipesfs graph --svg "$P" 2>err | head -n 1 >/dev/null
	t_eq "... that nobody looks at to its end" "$(cat err)" ''
fi
status=0
PATH=/nowhere "$PIPESFS" graph --svg "$P" >out 2>err || status=$?
t_eq "without graphviz it says what to do" "$status $(cat err)" \
	"1 pipesfs: graphviz draws it, and is not installed; --dot prints what it would draw"
t_fails "one form at a time" pipesfs graph --dot --json "$P"

# --- top, where it is no terminal ------------------------------------------------------------------------

out=$(pipesfs top -i 0.2 "$P" </dev/null)
t_has "top: one table" "$out" "directory  "
t_has "... with what is used" "$(echo "$out" | head -n 1)" "readers, - lost/s"
t_eq "... one" "$(echo "$out" | grep -c in/s)" 1
t_eq "several" "$(pipesfs top -i 0.1 -n 3 "$P" | grep -c in/s)" 3
t_has "sorted, by path" "$(pipesfs top -i 0.1 -s out "$P")" "/accept/unpcap/udp/head:100000 "
t_eq "filtered" "$(pipesfs top -i 0.1 -f quiet "$P" | sed 1,2d | cut -d ' ' -f 1 | tr -d '\n')" accept:quiet
pipesfs top -i 0.1 -n 0 "$P" 2>err | head -n 1 >/dev/null
t_eq "... until nobody reads it" "$(cat err)" ''
t_fails "no such order" pipesfs top -s size "$P"
t_fails "no such time" pipesfs top -i 0 "$P"

# --- top, in a terminal ----------------------------------------------------------------------------------

python=
for try in /usr/bin/python3 python3; do
	if "$try" -c 'import pyte' 2>/dev/null; then
		python=$try
		break
	fi
done
[ -n "$python" ] || t_skip "needs python3-pyte"
screen() {
	"$python" "$TOP/tests/tools/screen.py" "$@"
}

screen 80x24 'wait q end' show 'keys <down>' 'wait /accept/unpcap: filter, running' \
	'keys <down>' 'wait /accept/unpcap/udp' 'wait pid=' show 'keys q' end -- "$PIPESFS" top -i 0.2 "$P" >shown
t_has "80 by 24: what is watched" "$(sed -n 1p shown)" " directories, "
t_eq "... how" "$(sed -n 2p shown)" "every 0.2 s, by tree"
t_has "... the titles" "$(sed -n 3p shown)" "directory "
t_has "... the tree" "$(sed -n 6p shown)" "    ├── udp "
t_has "... the keys" "$(sed -n 24p shown)" "q end  s sort"
t_eq "no line is wider" "$(sed -n 1,48p shown | grep -cE '^.{81}' || true)" 0
t_has "readers of the chosen one" "$(sed -n 25,48p shown)" "pid=$reader command=cat policy=reliable"
t_eq "q ends it, and gives the terminal back" "$(tail -n 1 shown)" "0 restored"
t_eq "sort, filter, idle" "$(screen 80x24 'wait unpcap' 'keys ss' 'wait by out' 'wait /accept/unpcap/udp' 'keys /' \
	'keys quie' 'wait only quie' 'gone /accept/unpcap' 'keys <back>et<enter>' 'wait only quiet' 'gone unpcap' 'keys <esc>' 'wait /accept/unpcap' \
	'keys ssss' 'wait by tree' 'keys a' 'wait idle too' 'wait netfilter_in' 'keys h' 'wait choose a directory' \
	'keys h' 'gone choose a directory' 'keys -' 'wait every 0.2 s' 'keys +' 'wait every 0.4 s' 'keys  ' 'wait STANDING STILL' \
	'keys q' end -- "$PIPESFS" top -i 0.4 "$P")" "0 restored"
wide="directory$(printf '%*s' 65 '')in/s"
t_eq "another size is used, and a small one does no harm" "$(screen 80x24 'wait unpcap' 'size 120x10' "wait $wide" \
	'size 40x6' "gone $wide" 'wait unpcap' 'size 20x3' 'size 80x24' 'wait /accept: source' 'keys q' end -- \
	"$PIPESFS" top -i 0.2 "$P")" "0 restored"
for signal in INT TERM HUP QUIT; do
	t_eq "SIG$signal gives the terminal back" "$(SCREEN_TERM=xterm screen 80x24 'wait unpcap' "signal $signal" end -- "$PIPESFS" top "$P")" "0 restored"
done
t_eq "after so many readings, too" "$(SCREEN_TERM=xterm screen 80x24 end -- "$PIPESFS" top -n 2 -i 0.1 "$P")" "0 restored"
t_has "in a terminal that nobody knows it is a table" "$(screen 80x24 'wait in/s' show end -- env TERM=nonsense "$PIPESFS" top -i 0.1 "$P")" "directory"

# The end of the mount.
status=0
SCREEN_TERM=xterm screen 80x24 'wait unpcap' 'keys ss' 'wait by out' show end -- "$PIPESFS" top -i 0.2 "$P" >shown 2>err &
shown=$!
t_wait_for 20 grep -q 'by out' shown
"$PIPESFS" umount "$P"
t_done $shown || true
t_eq "a mount that goes ends it, with the terminal as it was" "$(tail -n 1 shown)" "1 restored"
