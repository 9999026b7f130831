#!/bin/sh
# needs: user
# Hundreds of opens at a time, killed at random; interrupted ones; nobody waits for another.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need python3 bash
[ "$(uname -m)" = x86_64 ] || t_skip "the numbers of system calls are those of x86-64"

t_peer GREET greet
t_peer FULL full
t_ok "hundreds, killed at random" portal "$TOP/tests/tools/opens.py" many "$GREET" "$FULL"
t_ok "interrupted" portal "$TOP/tests/tools/opens.py" interrupt "$FULL"

# A reader that waits for who never comes ends with its signal, and the port is free again.
"$PIPESFS" portal cat /p/tcplisten/127.0.0.1/0 &
reader=$!
listens() {
	pid=$(t_servers | sed -n 's/^pipesfs-opener //p')
	[ -n "$pid" ] || return 1
	inodes=$(find "/proc/$pid/fd" -printf '%l\n' 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\].*/\1/p' | tr '\n' '|')
	awk -v inodes="|$inodes" '$4 == "0A" && index(inodes, "|" $10 "|") { n++ } END { exit !n }' /proc/net/tcp /proc/net/tcp6
}
t_wait_for 10 listens
kill -TERM $reader
got=0
wait $reader || got=$?
t_eq "SIGTERM ends it" $got 143
t_wait_for 5 t_no_servers

# Python and the shell see what they are used to.
t_status 124 "timeout(1) ends one that waits" portal timeout 0.3 cat "/p/tcp/127.0.0.1/$FULL"
t_wait_for 5 t_no_servers
