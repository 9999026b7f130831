#!/bin/sh
# serial
# exec: commands in a pipeline: as whom they run, what they get, how they end, and that nothing of
# them is left.
# shellcheck disable=SC2119 # t_start without arguments is meant
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need setpriv gzip tcpdump socat
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"

# Whoever keeps the log: lines sent there come to a file. The machine may have a keeper of its own, or what one left
# behind: the whole test has a /dev to itself.
if [ -z "${T_OWN_DEV:-}" ]; then
	T_OWN_DEV=1 exec unshare -m --propagation private sh "$0"
fi
mkdir dev
mount -t tmpfs -o mode=755 dev dev
for I in null zero full random urandom tty fuse; do
	touch "dev/$I" && mount --bind "/dev/$I" "dev/$I"
done
cp -a /dev/fd /dev/stdin /dev/stdout /dev/stderr dev
mount --rbind dev /dev
socat -u UNIX-RECV:/dev/log,mode=666 OPEN:log,creat,append 2>/dev/null &
t_cleanup kill $!
t_wait_for 5 test -S /dev/log
t_cleanup t_unmount "$P"
t_start
alice() {
	setpriv --reuid 1001 --regid 1001 --groups 1001,1234 --inh-caps=-all -- "$@"
}

# through DIR COMMAND: in.txt is written there, out.txt is what came out.
through() {
	mkdir "$P/$1/exec:$2"
	t_read "$1/exec:$2/all" out.txt
	cat in.txt >"$P/$1/all"
	t_done "$BG"
}

seq 1 300000 >in.txt
through accept "gzip -c"
gunzip -c <out.txt >plain.txt
t_same "through gzip" in.txt plain.txt
rmdir "$P/accept/exec:gzip -c"

mkdir -p "$P/accept:two/exec:gzip -1/exec:gunzip"
t_read "accept:two/exec:gzip -1/exec:gunzip/all" out.txt
cat in.txt >"$P/accept:two/all"
t_done "$BG"
t_same "through two commands" in.txt out.txt

W="exec:printf '%25s|' \"two words\" \$HOME *"
mkdir "$P/accept/$W"
t_eq "words, and no shell" "$(cat "$P/accept/$W/all")" "two words|\$HOME|*|"

# Packets as a capture file for who wants one; a user's tcpdump, as root's wants to become another.
capture make in.pcap
C="accept:cap/unpcap/exec:tcpdump -n -r -,as=pcap"
alice mkdir -p "$P/$C"
alice cat "$P/$C/all" >out.txt &
BG=$!
runs() {
	[ "$(t_stat "$C" pid)" != 0 ]
}
t_wait_for 10 runs
cat in.pcap >"$P/accept:cap/all"
t_done "$BG"
tcpdump -n -r in.pcap >want.txt 2>/dev/null
t_same "as=pcap: tcpdump says the same of the stream and of the file" out.txt want.txt

# --- as whom ------------------------------------------------------------------------------

t_ok "a user makes a source" alice mkdir "$P/accept:hers"
alice mkdir "$P/accept:hers/exec:cat %2fproc%2fself%2fstatus"
alice cat "$P/accept:hers/exec:cat %2fproc%2fself%2fstatus/all" >status
field() {
	sed -n "s/^$1:[[:space:]]*//p" "$2" | tr '\t' ' ' | sed 's/ *$//'
}
t_eq "his command has his uid" "$(field Uid status)" "1001 1001 1001 1001"
t_eq "... his gid" "$(field Gid status)" "1001 1001 1001 1001"
t_eq "... his groups" "$(field Groups status)" "1001 1234"
t_eq "... no capability" "$(field CapPrm status)$(field CapEff status)" 00000000000000000000000000000000
t_eq "... and no way to get one" "$(field NoNewPrivs status)" 1
mkdir "$P/accept/exec:cat %2fproc%2fself%2fstatus"
cat "$P/accept/exec:cat %2fproc%2fself%2fstatus/all" >status
t_eq "root's has root's uid" "$(field Uid status)" "0 0 0 0"
t_eq "... and no capability either" "$(field CapPrm status)$(field CapEff status)" 00000000000000000000000000000000
echo secret >secret
chmod 600 secret
hidden=$(pwd | sed 's|/|%2f|g')%2fsecret
alice mkdir "$P/accept:hers/exec:cat $hidden"
t_eq "what he may not read his command may not" "$(alice cat "$P/accept:hers/exec:cat $hidden/all")" ""
t_has "... and says so" "$(alice tail -n 2 "$P/.errors")" "Permission denied"
alice mkdir "$P/accept:hers/exec:sh -c \"ulimit -n\""
t_eq "his limits" "$(alice sh -c "ulimit -n 77; rmdir '$P/accept:hers/exec:sh -c \"ulimit -n\"'; mkdir '$P/accept:hers/exec:sh -c \"ulimit -n\"'; cat '$P/accept:hers/exec:sh -c \"ulimit -n\"/all'")" 77
t_errno EPERM unshare -m mkdir "$P/accept/exec:true"
t_has "who lives elsewhere is told" "$(tail -n 1 "$P/.errors")" namespace
t_errno ENOENT mkdir "$P/accept/exec:no-such-command"
t_has "a misspelt one is refused by mkdir" "$(tail -n 1 "$P/.errors")" no-such-command

# --- how it ends ----------------------------------------------------------------------------

mkdir "$P/accept/exec:sh -c 'echo half; echo oops >&2; exit 3'"
t_eq "a failing command's output" "$(cat "$P/accept/exec:sh -c 'echo half; echo oops >&2; exit 3'/all")" half
t_has "its status is in .errors" "$(tail -n 1 "$P/.errors")" "EIO sh ended with status 3"
t_has "its stderr is in .errors" "$(tail -n 2 "$P/.errors" | head -n 1)" "- oops"
t_wait_for 5 grep -q 'pipesfs\[[0-9]*\]: uid 0, pid [0-9]*, /accept/exec:.*: oops' log
echo "ok: and in syslog: $(grep -a oops log | head -n 1)"
t_eq "its status is in .stats" "$(t_stat "accept/exec:sh -c 'echo half; echo oops >&2; exit 3'" exit)" 3

mkdir "$P/accept:dies" "$P/accept:dies/exec:cat"
t_read accept:dies/exec:cat/all out.txt
yes >"$P/accept:dies/all" &
W=$!
t_cleanup kill $W
flows() {
	[ -s out.txt ]
}
t_wait_for 10 flows
kill -9 "$(t_stat accept:dies/exec:cat pid)"
t_done "$BG"
t_has "killed in the middle: the reader comes to the end, and .errors says why" "$(tail -n 1 "$P/.errors")" "cat was killed by signal 9"
kill $W

mkdir "$P/accept:again" "$P/accept:again/exec:head -n 1,restart=yes"
t_read "accept:again/exec:head -n 1,restart=yes/all" out.txt
exec 9>"$P/accept:again/all"
lines() {
	[ "$(wc -l <out.txt)" = "$1" ]
}
for n in 1 2 3; do
	echo $n >&9
	t_wait_for 20 lines $n
done
exec 9>&-
t_done "$BG"
t_eq "restart=yes: each takes its line" "$(tr '\n' ' ' <out.txt)" "1 2 3 "

# --- nothing is left ------------------------------------------------------------------------

alive() {
	kill -0 "$1" 2>/dev/null && ! grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status"
}
gone() {
	! alive "$1"
}
mkdir "$P/accept:stay" "$P/accept:stay/exec:sh -c 'sleep 1000 & sleep 1000'"
D="accept:stay/exec:sh -c 'sleep 1000 & sleep 1000'"
stays() {
	C=$(t_stat "$D" pid)
	[ "$C" != 0 ]
}
t_read "$D/all" out.txt
t_wait_for 5 stays
t_eq "its reader is in .readers" "$(t_reader "$D" "$BG" policy)" reliable
kill "$BG"
t_wait_for 10 gone "$C"
echo "ok: it goes with its last reader"
t_read "$D/all" out.txt
t_wait_for 5 stays
rmdir "$P/$D"
t_done "$BG"
t_wait_for 10 gone "$C"
echo "ok: it goes with its directory"
t_eq "nobody of its group is left" "$(pgrep -g "$C" | wc -l)" 0

mkdir "$P/$D"
t_read "$D/all" out.txt
t_wait_for 5 stays
kill -9 "$STREAMS"
t_wait_for 10 gone "$C"
echo "ok: it goes with a daemon that was killed"
t_nobody "kill -9 with a command" "$BG"
