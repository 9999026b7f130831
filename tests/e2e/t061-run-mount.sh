#!/bin/sh
# serial
# timeout: 240
# `pipesfs run` in a mounted tree: equal pipelines of one user are one, each goes with its program, however that ends,
# and says the counts that tcpdump says.
# shellcheck disable=SC2010,SC2016 # names of ours; what is in single quotes is for the sh that runs it
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/mount.sh"
t_need_root
t_need tcpdump jq

ip link set lo up
export TMPDIR="$TMPDIR/tmp"
mkdir "$TMPDIR"
t_mount
capture spread in.pcap 2000 200

# start_run NAME PIPELINE [OPTION...]: in the background; returns when it reads. $RUN is its process, $DIR its directory.
start_run() {
	name=$1
	pipeline=$2
	shift 2
	"$PIPESFS" run "$@" "$pipeline" >"$name.out" 2>"$name.err" </dev/null &
	RUN=$!
	DIR=run:$RUN
	t_cleanup kill -9 $RUN
	t_wait_for 10 reading "$RUN"
}

reading() {
	kill -0 "$1" || t_fail "run has ended: $(cat "$name.err")"
	[ "$(cat "$P/run:$1"/*/.stats 2>/dev/null | awk '$1 == "active" { n = $2 } END { print n + 0 }')" = 1 ] || return 1
	readlink /proc/"$1"/fd/* | grep -q "^$P/run:$1/.*/all" # the source is active before the open has returned
}

# Datagrams to a port where nobody is: one packet each on lo, beside what the kernel answers. Not all at once: tcpdump
# leaves some of a burst in its ring until the next packet comes.
sends() {
	python3 -c '
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(int(sys.argv[1])):
    s.sendto(b"%0100d" % i, ("127.0.0.1", 9))
    time.sleep(0.002)' "$1"
}

lines() {
	[ "$(wc -l <"$1")" = "$2" ]
}

# --- where -----------------------------------------------------------------------------------------------

start_run one 'dev lo | udp' -o json
t_ok "the mount that is there is used" test -d "$P/$DIR/dev:lo/udp"
t_eq "the directory is the user's alone" "$(stat -c '%a %u' "$P/$DIR")" '700 0'
kill $RUN
t_done $RUN
t_fails "it goes with the program" test -e "$P/$DIR"
start_run one 'dev lo | udp' -o json -p "$P/netfilter_in"
t_ok "the mount that is asked for" test -d "$P/$DIR/dev:lo/udp"
kill $RUN
t_done $RUN
t_eq "a private one in any case" "$("$PIPESFS" run -P -o json 'pcapin in.pcap | head 1' | wc -l; ls "$P" | grep -c run: || true)" '1
0'
t_fails "one that is none" "$PIPESFS" run -p / 'pcapin in.pcap'

# --- sharing ------------------------------------------------------------------------------------------------

idle=$(t_attached)
start_run a 'dev lo | udp | head 100000' -o json
a=$RUN
t_attached >attached.one
start_run b 'dev/lo | udp |( head 100000 + snap 60 )' -o json
b=$RUN
t_eq "two runs share their source" "$(t_stat "run:$a/dev:lo" shared) $(t_stat "run:$b/dev:lo" shared)" '2 2'
t_eq "... and the filter below it" "$(t_stat "run:$a/dev:lo/udp" shared)" 2
t_eq "... but not what begins to count when it comes" "$(t_stat "run:$b/dev:lo/udp/head:100000" shared)" 1
# The one program is exchanged, for what of the second run it decides, too: for a moment there are both.
exchanged() {
	sed 's/^prog_id:.*/prog_id/' "$@"
}
asked_once() {
	[ "$(t_attached | exchanged)" = "$(exchanged attached.one)" ]
}
t_wait_for 10 asked_once
echo "ok: ... and the kernel is asked once"
t_eq "of each other they see nothing" "$(ls "$P/run:$a/dev:lo/udp" | grep -v '^all' | tr '\n' ' ')" 'head:100000 '
sends 20
t_wait_for 10 lines a.out 20
t_wait_for 10 lines b.out 40
t_eq "each gets every packet once" "$(jq -r .proto a.out | sort | uniq -c | tr -s ' ')" ' 20 udp'
t_errno EBUSY sh -c "echo x >'$P/run:$a/dev:lo/udp/all'"

# Who comes later begins with what comes then.
start_run c 'dev lo | udp | head 3' -o json
c=$RUN
t_eq "a third" "$(t_stat "run:$c/dev:lo" shared)" 3
sends 3
t_done $c
t_eq "... has three" "$(wc -l <c.out)" 3
t_wait_for 10 lines a.out 23
kill -9 "$a"
t_done "$a" || true
t_wait_for 5 sh -c "! test -e '$P/run:$a'"
echo "ok: kill -9 takes the directory away"
t_eq "the other one goes on alone" "$(t_stat "run:$b/dev:lo" shared)" 1
sends 5
t_wait_for 10 lines b.out 56
kill -INT "$b"
t_done "$b"
t_eq "with the last one the kernel is left alone" "$(t_attached)" "$idle"

# Not the same: another argument, another user's, what begins at its beginning.
start_run a 'dev lo snaplen=96 | udp' -o json
a=$RUN
start_run b 'dev lo | udp' -o json
t_eq "other arguments are another source" "$(t_stat "run:$a/dev:lo,snaplen=96" shared)" 1
kill "$a" $RUN
t_done "$a"
t_done $RUN
mkfifo slow
"$PIPESFS" run -o raw 'pcapin in.pcap' >slow &
a=$!
exec 3<slow
t_eq "a file is read from its beginning by each" "$("$PIPESFS" run -o json 'pcapin in.pcap' | wc -l)" 2000
cat <&3 | wc -c >size
exec 3<&-
t_done "$a"
t_eq "... whoever else reads it" "$(cat size)" "$((2000 * 200))"

# --- the goodbye ---------------------------------------------------------------------------------------------

for signal in INT TERM HUP; do
	start_run bye 'dev lo | udp | snap 60' -o pcapng
	tcpdump -U --immediate-mode -i lo -w dump.pcap udp 2>dump.err &
	dump=$!
	t_wait_for 10 grep -q listening dump.err
	sends 30
	for file in bye.out dump.pcap; do
		t_wait_for 10 sh -c "python3 '$TOP/tests/tools/capture' count $file | grep -qx 30"
	done
	kill -s $signal $RUN
	t_done $RUN
	kill -INT $dump
	t_done $dump
	captured=$(capture count bye.out)
	t_eq "SIG$signal: captured, as the file has them" "$(sed -n 's/ packets captured//p' bye.err) $captured" "30 30"
	t_eq "... as many as tcpdump" "$(sed -n 's/ packets captured//p' dump.err)" "$captured"
	seen=$(sed -n 's/ packets received by filter//p' bye.err)
	dropped=$(sed -n 's/ packets dropped by filter//p' bye.err)
	t_ok "... seen: those and what was dropped" test "$seen" = $((captured + dropped))
	t_ok "... which were some" test "$dropped" -gt 0
	t_eq "... none by the kernel" "$(grep -c '^0 packets dropped by kernel$' bye.err)" 1
	t_ok "... and the output is whole" tcpdump -n -r bye.out
done
start_run usr 'dev lo | udp' -o json
sends 4
t_wait_for 10 lines usr.out 4
kill -USR1 $RUN
t_wait_for 10 grep -q '^4 packets captured' usr.err
kill -USR1 $RUN
t_wait_for 10 sh -c '[ $(grep -c "^4 packets captured" usr.err) = 2 ]'
echo "ok: SIGUSR1 tells, as often as asked, and ends nothing"
sends 1
t_wait_for 10 lines usr.out 5
kill $RUN
t_done $RUN
t_eq "what a sink took was captured" "$("$PIPESFS" run -v 'pcapin in.pcap | sample 400 > five.pcap' 2>&1 | head -n 2)" '5 packets captured
2000 packets received by filter'

# --- a quiet pipe --------------------------------------------------------------------------------------------

# Nothing comes, and nobody reads any more: run must not wait for the next packet to notice.
mkfifo out
"$PIPESFS" run -o json 'dev lo | udp' >out 2>quiet.err &
RUN=$!
t_cleanup kill -9 $RUN
exec 3<out
t_wait_for 10 reading $RUN
exec 3<&-
t_done $RUN 10
t_eq "a closed output ends it, without a word" "$(cat quiet.err)" ''

# --- users ---------------------------------------------------------------------------------------------------

chmod 755 "$TMPDIR/.." "$TMPDIR"
cp in.pcap "$P/../user.pcap"
chmod 644 "$P/../user.pcap"
as_user() {
	t_as_user sh -c 'cd /tmp; exec "$@"' sh "$PIPESFS" run -p "$P" -o json "$@"
}
t_as_user true
cp in.pcap "$U/in.pcap"
chmod 644 "$U/in.pcap"
t_eq "a user runs a file in root's mount" "$(as_user "pcapin '$U/in.pcap' | udp" | wc -l)" 2000
t_has "... the network is closed to him" "$(as_user 'netfilter_out | ip' 2>&1 || true)" "network sources belong to root until given away"
t_has "... devices, too" "$(as_user 'dev lo' 2>&1 || true)" "network sources belong to root until given away"
chmod 755 "$P/dev/lo"
# The source may be there before its reader is.
got_one() {
	sends 1
	[ -s user.out ]
}
as_user 'dev lo | udp | head 1' >user.out 2>user.err &
user=$!
t_wait_for 10 got_one
t_done $user || t_fail "$(cat user.err)"
t_has "... what was given to him is his to read" "$(cat user.out)" '"proto":"udp"'
chmod 700 "$P/dev/lo"
start_run root 'dev lo' -o json
t_fails "nobody looks into the run of another" t_as_user ls "$P/$DIR"
kill $RUN
t_done $RUN

# --- .run -------------------------------------------------------------------------------------------------------

t_errno EINVAL cat "$P/.run"
t_has "... the reason" "$(tail -n 1 "$P/.errors")" "opened for reading and writing it makes a run"
python3 - "$P" <<'END'
import errno, os, sys
p = sys.argv[1]
fd = os.open(p + "/.run", os.O_RDWR)
again = os.open(p + "/.run", os.O_RDWR)
name, other = os.read(fd, 100).decode(), os.read(again, 100).decode()
assert name == f"run:{os.getpid()}" and other == name + ".2", (name, other)
os.mkdir(f"{p}/{name}/accept")
try:
    os.write(fd, b"begin")
    raise SystemExit("a word that is none was taken")
except OSError as e:
    assert e.errno == errno.EINVAL
for path, want in ((f"{p}/{name}", errno.EBUSY), (f"{p}/{name}/accept/x", errno.ENOENT)):
    try:
        os.rmdir(path)
        raise SystemExit(path + " could be removed")
    except OSError as e:
        assert e.errno == want, (path, e)
os.write(fd, b"start\n")
os.write(fd, b"end")
assert not os.path.exists(f"{p}/{name}")
os.write(fd, b"end")
try:
    os.mkdir(f"{p}/{name}/accept")
    raise SystemExit("made in a run that is over")
except OSError as e:
    assert e.errno == errno.ENOENT, e
os.close(again)
END
t_wait_for 5 sh -c "! ls '$P' | grep run:"
echo "ok: .run as it is described"

# --- the mount goes -------------------------------------------------------------------------------------------

start_run last 'dev lo' -o json
"$PIPESFS" umount "$P"
t_done $RUN || true
t_eq "a run ends with its mount" "$(cat last.err)" ''
t_start
start_run last 'dev lo' -o json
kill -9 "$STREAMS"
status=0
t_done $RUN || status=$?
t_eq "... also when that is killed" "$status" 1
t_has "... and says so" "$(cat last.err)" "the mount at $P has ended"
t_eq "nothing was made privately" "$(ls "$TMPDIR" | grep -c pipesfs-run || true)" 0
