#!/bin/sh
# t093 - a saved tree made again is the same one: devices, hooks, classes that were given away, odd names, modes, owners
. "$T_LIB"
t_need_root
t_mount
mkdir second
"$PIPESFS" mount second
t_cleanup "$PIPESFS" umount second

tab=$(printf 'a\tb')
mkdir -p "$P/dev/lo/tcp/httpplus" "$P/netfilter_in/ip" "$P/accept/unpcap/port" "$P/accept:$tab/lines/grep: a'\"\\#|" \
	"$P/accept:é " "$P/accept/unpcap/exec:sh -c \"echo a%2cb\",as=pcap"
chmod 0755 "$P/dev" "$P/dev/lo"
chmod 1751 "$P/accept:$tab/lines"
chown 65534:4242424 "$P/accept/unpcap" "$P/netfilter_in"
mkdir "$P/accept/unpcap/port/443" "$P/accept/unpcap/port/80"
chmod 0711 "$P/accept/unpcap/port/443"
chown 65534 "$P/accept/unpcap/port/443"

"$PIPESFS" save "$P" >saved
t_ok "it is made again" "$PIPESFS" restore -f saved second
"$PIPESFS" save second >again
sed 1d saved >want
sed 1d again >got
t_same "the same text" got want

# NAME: its directories, but for the class that was only looked for, with mode and owner
shape() {
	(cd "$1" && find . -type d ! -path ./accept/unpcap/port/80 -printf '%m %U:%G %p\n' | sort)
}
shape "$P" >want
shape second >got
t_same "the same tree" got want
t_has "devices are in it" "$(cat got)" './dev/lo/tcp/httpplus'
t_has "and a class that was given away" "$(cat got)" '711 65534:0 ./accept/unpcap/port/443'
