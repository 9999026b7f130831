#!/bin/sh
# timeout: 120
# Block mode: a program that takes blocks as libpcap does on FreeBSD has the packets that all.pcapng has, from a file, below a
# filter, with small blocks and large ones; who does not give blocks back holds nobody up; live, the time-out brings what
# is there.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
capture=$TOP/tests/tools/capture
zbuf=$T_BUILD/src/example-zbuf
[ -x "$zbuf" ] || t_skip "the library was not built"
t_cable
t_mount
mkdir -p "$P/accept/unpcap/tcp"
"$capture" big file.pcap 8 >/dev/null

# both DIR PACKETS TIMEOUT BLOCK: a zbuf and a cat of the same directory, while the file is poured
both() {
	"$zbuf" "$P/$1/all" got.pcap "$3" "$4" 2>err &
	client=$!
	cat "$P/$1/all.pcapng" >want.pcapng &
	cat=$!
	t_wait_for 20 grep -q command=example-zbuf "$P/$1/.readers"
	t_wait_for 20 grep -q command=cat "$P/$1/.readers"
	cat file.pcap >"$P/accept/all"
	wait $client || t_fail "zbuf: $(cat err)"
	wait $cat
	t_ok "$1, blocks of $4: what all.pcapng has" "$capture" same want.pcapng got.pcap
	t_eq "... all of it" "$("$capture" count got.pcap)" "$2"
}

all=$("$capture" count file.pcap)
tcpdump -r file.pcap -w tcp.pcap tcp 2>/dev/null
both accept/unpcap "$all" 1000 0
both accept/unpcap/tcp "$("$capture" count tcp.pcap)" 1000 65536
both accept/unpcap/tcp "$("$capture" count tcp.pcap)" 1 4096
t_ok "hundreds of blocks" grep -Eq "packets in [0-9]{3,} blocks" err

# --- nobody waits for who gives nothing back ----------------------------------------------------

# Stopped with both blocks: a lossy reader.
"$zbuf" "$P/accept/unpcap/all,policy=lossy" stuck.pcap 1000 4096 2>err &
stuck=$!
t_cleanup kill -9 $stuck
t_wait_for 20 grep -q command=example-zbuf "$P/accept/unpcap/.readers"
kill -STOP $stuck
cat "$P/accept/unpcap/all.pcapng" >want.pcapng &
cat=$!
t_wait_for 20 grep -q command=cat "$P/accept/unpcap/.readers"
cat file.pcap >"$P/accept/all"
wait $cat
t_eq "a stopped lossy one disturbs nobody" "$("$capture" count want.pcapng)" "$all"
kill -CONT $stuck
wait $stuck || t_fail "zbuf: $(cat err)"
t_ok "... and goes on when it is continued" test "$("$capture" count stuck.pcap)" -gt 0

# Killed: gone from the books, and a reliable one holds its writer no more.
"$zbuf" "$P/accept/unpcap/all" stuck.pcap 1000 4096 2>err &
stuck=$!
t_wait_for 20 grep -q command=example-zbuf "$P/accept/unpcap/.readers"
kill -STOP $stuck
kill -9 $stuck
wait $stuck || :
t_wait_for 20 sh -c "! grep -q example-zbuf '$P/accept/unpcap/.readers'"
cat "$P/accept/unpcap/all.pcapng" >want.pcapng &
cat=$!
t_wait_for 20 grep -q command=cat "$P/accept/unpcap/.readers"
cat file.pcap >"$P/accept/all"
wait $cat
t_eq "a killed one neither" "$("$capture" count want.pcapng)" "$all"

# --- live ----------------------------------------------------------------------------------------

"$zbuf" "$P/dev/near/all" live.pcap 50 2>err &
client=$!
cat "$P/dev/near/all.pcapng" >live.pcapng &
cat=$!
t_cleanup kill $client $cat
t_wait_for 20 grep -q command=example-zbuf "$P/dev/near/.readers"
t_wait_for 20 grep -q command=cat "$P/dev/near/.readers"
t_frames -n far mark far incoming
t_frames mark near outgoing
delivered() {
	grep example-zbuf "$P/dev/near/.readers" | grep -q "delivered=2 "
}
t_wait_for 20 delivered
t_wait_for 20 sh -c "[ \"\$($capture count live.pcapng)\" = 2 ]"
kill $client
wait $client || t_fail "zbuf: $(cat err)"
t_ok "live: what all.pcapng has" "$capture" frames live.pcapng live.pcap

# --- refused ---------------------------------------------------------------------------------------

stranger() {
	setpriv --reuid 1001 --regid 1001 --clear-groups "$@"
}
t_fails "a view has no blocks" "$zbuf" "$P/accept/unpcap/all.pcapng" /dev/null 1000
t_has "... and it is told so" "$("$zbuf" "$P/accept/unpcap/all.pcapng" /dev/null 1000 2>&1 || :)" "has a beginning"
t_errno EINVAL "$zbuf" "$P/accept/unpcap/all" /dev/null 1000 5000   # no such size
t_errno ENOTTY "$zbuf" file.pcap /dev/null
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_ok "a stranger may look" stranger stat "$P/accept"
t_errno EACCES stranger "$zbuf" "$P/accept/unpcap/all" /dev/null
