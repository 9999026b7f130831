#!/bin/sh
# Sockets as directories: tcp:, tcplisten:, udp:, unix: at the root and below a pipeline.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/names.sh"
t_need_root
t_need python3 socat setpriv
t_names
end() {
	python3 "$TOP/tests/tools/tcpend.py" "$@"
}
# What listens is there when this returns; its pid in $BG.
other() {
	: >ready
	end "$@" >ready &
	BG=$!
	t_cleanup kill "$BG"
	t_wait_for 10 grep -q ready ready
}
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_mount

# --- sources -------------------------------------------------------------------------------------

mkdir -p "$P/tcplisten:ANY:5140/lines/grep:error"
t_read tcplisten:ANY:5140/lines/grep:error/all out.txt
end say 5140 "an error
nothing
another error, not ended" 20
lines() {
	[ "$(tr -d '\n' <"$1" | wc -c)" -ge "$2" ]
}
t_wait_for 10 lines out.txt 640
t_eq "lines of twenty clients, none mixed" "$(sed 's/endedan/ended\nan/g; s/ended$/ended/' out.txt | sed 's/endedanother/ended\nanother/g' |
	sort | uniq -c | tr -s ' ')" " 20 an error
 20 another error, not ended"
t_eq "each was a connection" "$(t_stat tcplisten:ANY:5140 connections)" 20
t_errno EADDRINUSE mkdir "$P/tcplisten:ANY:5140,clients=3"
t_reason "the same port again" "tcplisten:ANY:5140,clients=3" "in use"
kill "$BG"

# Nobody reads: clients and what they say wait.
end say 5140 "early error
"
t_read tcplisten:ANY:5140/lines/grep:error/all out.txt
t_wait_for 10 grep -qx "early error" out.txt
echo "ok: what came while nobody read"
rm -r "$P/tcplisten:ANY:5140"
t_fails "with the directory the port is free" end say 5140 x

other serve 4711 "hello from there
" 3
mkdir "$P/tcp:localhost:4711"
for i in 1 2 3; do
	t_eq "a connection, the $i. time" "$(timeout 20 cat "$P/tcp:localhost:4711/all")" "hello from there"
done
t_done "$BG"
t_eq "nobody is there any more: the end" "$(timeout 20 cat "$P/tcp:localhost:4711/all")" ""
t_has "... and why" "$(cat "$P/tcp:localhost:4711/.stats")" "error Connection refused"
t_errno ECONNREFUSED mkdir "$P/tcp:127.0.0.1:4711"
t_errno ENOENT mkdir "$P/tcp:no.such.host.invalid:80"
t_errno EHOSTUNREACH mkdir "$P/tcp:broken.example:80"
t_errno EINVAL mkdir "$P/tcp:localhost"
t_errno EADDRNOTAVAIL mkdir "$P/tcplisten:192.0.2.1:80"
t_reason "a host that is none" "tcp:no.such.host.invalid:80" "no.such.host.invalid"

mkdir -p "$P/udp:ANY:5140/grep:error"
t_read udp:ANY:5140/grep:error/all out.txt
end udp 5140 "<13>an error
" 10
end udp 5140 "<13>nothing
" 10
t_wait_for 10 lines out.txt 120
t_eq "datagrams" "$(sort out.txt | uniq -c | tr -s ' ')" " 10 <13>an error"
t_read udp:ANY:5140/grep:error/all.json out.json
end udp 5140 'error 2'
t_wait_for 10 grep -q 'error 2' out.json
t_has "each knows who has sent it" "$(cat out.json)" '"from":"127.0.0.1:'

socat UNIX-LISTEN:sock,fork SYSTEM:"echo unix" &
t_cleanup kill $!
t_wait_for 5 test -S sock
U1=unix:$(printf %s "$PWD/sock" | sed 's,/,%2f,g')
mkdir "$P/$U1"
t_eq "a Unix socket" "$(timeout 20 cat "$P/$U1/all")" unix
t_errno ENOENT mkdir "$P/unix:%2fno%2fsuch"
t_errno EINVAL mkdir "$P/unix:sock"

# --- sinks -----------------------------------------------------------------------------------------

other collect 9999 one two
mkdir -p "$P/accept/lines/grep:error/tcp:127.0.0.1:9999"
printf 'an error\nnothing\n' >"$P/accept/all"
t_wait_for 10 grep -qx "an error" one
printf 'second error\n' >"$P/accept/all"
t_done "$BG"
t_eq "one generation, one connection" "$(cat one)" "an error"
t_eq "... and the next" "$(cat two)" "second error"
printf 'third error\n' >"$P/accept/all"
lost() {
	[ "$(t_stat accept/lines/grep:error/tcp:127.0.0.1:9999 lost.not-connected)" = "$1" ]
}
t_wait_for 10 lost 1
t_has "what finds nobody is lost, counted and told" "$(cat "$P/.errors")" "records are lost"
rm -r "$P/accept"

mkdir -p "$P/accept:many/tcplisten:127.0.0.1:9998"
for i in 1 2 3; do
	socat -u TCP:127.0.0.1:9998 "CREATE:client$i" &
done
clients() {
	[ "$(t_stat accept:many/tcplisten:127.0.0.1:9998 open)" = "$1" ]
}
t_wait_for 10 clients 3
head -c 3000000 /dev/urandom >in
cat in >"$P/accept:many/all"
t_wait_for 20 clients 0
for i in 1 2 3; do
	t_wait_for 10 cmp in client$i
	t_same "client $i of three" in client$i
done

socat -u UDP-RECV:9997 CREATE:datagrams &
BG=$!
t_cleanup kill "$BG"
t_wait_for 10 grep -q ':270D ' /proc/net/udp
mkdir -p "$P/accept:udp/lines/udp:127.0.0.1:9997"
seq 1 100 >"$P/accept:udp/all"
t_wait_for 10 lines datagrams 192
seq 1 100 >want
t_same "a datagram for each record" datagrams want

# --- as whom ---------------------------------------------------------------------------------------

alice() {
	setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all -- "$@"
}
echo 1024 >/proc/sys/net/ipv4/ip_unprivileged_port_start
t_errno EACCES alice mkdir "$P/tcplisten:127.0.0.1:999"
t_ok "root takes a port below 1024" mkdir "$P/tcplisten:127.0.0.1:999"
chmod 600 sock
rmdir "$P/$U1"
t_errno EACCES alice mkdir "$P/$U1"
alice mkdir "$P/tcplisten:127.0.0.1:5000"
t_has "the socket is hers" "$(awk '$2 ~ /:1388$/ { print $8 }' /proc/net/tcp)" 1001
t_fails "and nobody else's to read" setpriv --reuid 1002 --regid 1002 --clear-groups --inh-caps=-all -- cat "$P/tcplisten:127.0.0.1:5000/all"

# --- the language -------------------------------------------------------------------------------------

"$PIPESFS" run -p "$P" 'tcplisten ANY 5141 | lines | grep error' >run.txt 2>run.err &
BG=$!
t_cleanup kill "$BG"
listens() {
	grep -q ":$1 .* 0A " /proc/net/tcp /proc/net/tcp6
}
t_wait_for 10 listens 1415
end say 5141 "run error
no
"
t_wait_for 10 grep -qx "run error" run.txt
kill -INT "$BG"
t_done "$BG" || true
t_wait_for 10 sh -c '! grep -q ":1415 .* 0A " /proc/net/tcp /proc/net/tcp6'
echo "ok: run 'tcplisten ANY 5141 | lines | grep error'"

other collect 9996 packets
"$PIPESFS" run -p "$P" 'dev lo | tcp | port 4712 | tcp:127.0.0.1:9996,as=pcap' 2>run.err &
BG=$!
t_cleanup kill "$BG"
: >ready
end serve 4712 "to be seen" >ready &
t_cleanup kill $!
t_wait_for 10 grep -q ready ready
attached() {
	# The packet socket comes first, what takes packets after it, and then it is active.
	{ [ "$(wc -l </proc/net/packet)" -gt 1 ] && [ "$(t_stat "run:$BG/dev:lo" active 2>/dev/null)" = 1 ]; } || ! kill -0 "$BG"
}
t_wait_for 10 attached
socat -u TCP:127.0.0.1:4712 - >seen
t_wait_for 10 grep -q "to be seen" packets
kill -INT "$BG"
t_done "$BG" || true
if command -v tcpdump >/dev/null; then
	t_has "run 'dev lo | tcp | port 4712 | tcp:...,as=pcap'" "$(tcpdump -n -r packets 2>/dev/null)" "127.0.0.1.4712"
fi
