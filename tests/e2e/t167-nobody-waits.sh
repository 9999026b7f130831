#!/bin/sh
# However a redirected tree, or a filter of it, ends under load: soon four who open, read, write and remove there all the
# time have got along, nobody is in state D, the original is there where it should be, and no process is left.
# PFS_WITHIN: how soon, in seconds (5). PFS_REPEATS: how often each (1), with those that t121, t131 and t145 do once.
#
#	PFS_REPEATS=100 PFS_WITHIN=1 tests/harness/run -v t167
# timeout: 10000
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need python3

# Where nobody waits for a disk, either.
mkdir tree
mount -t tmpfs tree tree
t_cleanup umount -l tree
echo original >tree/file
t_cleanup sh -c "umount -l $TMPDIR/tree 2>/dev/null; :"
t_cleanup sh -c "umount -l $P 2>/dev/null; :"

server() {
	pgrep -x -r S,R,D,T pipesfs-redir
}
its_keeper() {
	awk '/^PPid/ { print $2 }' "/proc/$(server)/status"
}
no_server() {
	! server
}
nothing_left() {
	! server && ! pgrep -x -r S,R,D,T pipesfs-keeper && ! t_mounted
}

# --- four who are there all the time, and count their rounds ------------------------------------------------------

cat >busy.py <<'END'
import os, struct, sys, time
me = int(sys.argv[1])
rounds = os.open("rounds", os.O_RDWR)
n = 0
while True:
    try:
        with open(f"tree/busy.{me}", "w") as f:
            f.write("x")
        with open("tree/file") as f:
            f.read()
        os.unlink(f"tree/busy.{me}")
    except OSError:
        time.sleep(0.001)
    n += 1
    os.pwrite(rounds, struct.pack("Q", n), 8 * me)
END
head -c 32 /dev/zero >rounds
BUSY=
for t_n in 0 1 2 3; do
	python3 busy.py $t_n &
	BUSY="$BUSY $!"
done
# shellcheck disable=SC2086 # four numbers
t_cleanup kill $BUSY
rounds() {
	od -An -v -w32 -t u8 rounds
}
since_now() {
	# shellcheck disable=SC2046 # likewise
	set -- $(rounds)
	was_0=$1 was_1=$2 was_2=$3 was_3=$4
}
# Each has done a whole round since.
all_got_along() {
	# shellcheck disable=SC2046 # likewise
	set -- $(rounds)
	[ "$1" -gt $((was_0 + 1)) ] && [ "$2" -gt $((was_1 + 1)) ] && [ "$3" -gt $((was_2 + 1)) ] && [ "$4" -gt $((was_3 + 1)) ]
}
under_load() {
	since_now
	t_wait_for 20 all_got_along
}

# But for those four, who get along: they wait for one another where they make files.
# shellcheck disable=SC2013 # they are numbers
nobody_in_d() {
	# shellcheck disable=SC2013 # numbers
	for t_pid in $(grep -l '^State:.D' /proc/[0-9]*/status | cut -d / -f 3); do
		case "$BUSY " in
		*" $t_pid "*) ;;
		*)
			cat "/proc/$t_pid/comm" "/proc/$t_pid/stack"
			return 1
			;;
		esac
	done
}
as_it_should() { # original|redirected
	if [ "$1" = original ]; then
		! redirected tree && [ "$(cat tree/file)" = original ]
	else
		redirected tree
	fi
}
within=${PFS_WITHIN:-5}
longest=0
ended() { # NAME original|redirected|nothing
	since_now
	began=$(awk '{ printf "%d", $1 * 1000 }' /proc/uptime)
	[ "$2" = nothing ] || t_wait_for "$within" as_it_should "$2"
	t_wait_for "$within" all_got_along
	t_wait_for "$within" nobody_in_d
	took=$(($(awk '{ printf "%d", $1 * 1000 }' /proc/uptime) - began))
	[ $took -le $longest ] || longest=$took
	[ "$2" != original ] || t_wait_for "$within" no_server
	[ "$round" -gt 1 ] || echo "ok: $1 ($took ms)"
}

# --- a tree by itself -----------------------------------------------------------------------------------------

begin() { # OPTION...
	"$PIPESFS" redirect "$@" tree
	redirected tree || t_fail "not redirected"
	under_load
}
proof() {
	[ -n "${PFS_REPEATS:-}" ]
}
by_itself_usual() {
	for how in KILL STOP TERM; do
		begin
		kill -$how "$(server)"
		ended "its server gets SIG$how" original
	done
	for how in KILL TERM; do
		begin
		kill -$how "$(its_keeper)"
		ended "its keeper gets SIG$how" original
	done
	begin
	umount -l tree
	ended "it is unmounted" original
}
by_itself() {
	! proof || by_itself_usual
	begin
	keeper=$(its_keeper)
	kill -STOP "$keeper"
	kill -9 "$(server)"
	# Who is stopped takes nothing away, but nobody waits for him.
	ended "its keeper is stopped, and its server killed" nothing
	kill -CONT "$keeper"
	ended "and its keeper goes on" original
	begin
	kill -STOP "$(server)"
	"$PIPESFS" abort tree
	ended "its server is stopped, and it is aborted" original
}

# --- a filter in a process, in the middle of a callback --------------------------------------------------------

PIPESFS_URFS=$TMPDIR/socket
export PIPESFS_URFS
# It says what it sees into a pipe that is full: there it stays.
mkfifo pipe
held() {
	grep -q pipe_write /proc/"$FILTER"/task/*/wchan
}
filter() { # OPTION...
	exec 5<>pipe
	"$filters/udummyflt" -o "$TMPDIR/pipe" "$@" "$TMPDIR/tree" 2>/dev/null &
	FILTER=$!
	t_wait_for 10 held
}
filter_gone() {
	kill -9 "$FILTER" 2>/dev/null || :
	wait "$FILTER" 2>/dev/null || :
	exec 5<&-
}
of_filter() {
	begin --listen socket
	filter -p error -t 600000
	kill -9 "$FILTER"
	ended "a filter is killed while it is asked" redirected tree
	filter_gone
	umount -l tree
	ended "and the tree unmounted" original

	begin --listen socket
	filter -p error -t 600000
	kill -STOP "$FILTER"
	# Who waits for it is freed by its deadline, or the end of the tree.
	kill -9 "$(server)"
	ended "a filter is stopped while it is asked, then the server is killed" original
	filter_gone

	# Each call takes its deadlines then.
	proof || return 0
	for policy in open closed error; do
		begin --listen socket
		filter -p $policy -t 20
		kill -STOP "$FILTER"
		ended "a filter is late ($policy)" redirected tree
		filter_gone
		ended "a filter is late ($policy), then killed" redirected tree
		umount -l tree
		ended "and the tree unmounted" original
	done
}

# --- the trees of a mount ----------------------------------------------------------------------------------------

gone() {
	! t_mounted
}
begin_mount() {
	t_start
	ctl load dummy "$filters/udummyflt.so,-o,/dev/null" transparent
	ctl setpath dummy "$TMPDIR/tree" include subtree
	ctl activate dummy
	redirected tree || t_fail "not redirected"
	under_load
}
ended_mount() { # NAME original|redirected
	ended "$@"
	! t_mounted || "$PIPESFS" umount "$P"
	t_wait_for "$within" nothing_left
}
of_mount_usual() {
	begin_mount
	kill -9 "$STREAMS"
	ended_mount "of the mount, streams is killed" original
	begin_mount
	kill -9 "$KEEPER"
	ended_mount "of the mount, the keeper is killed" original
	begin_mount
	kill -9 "$(server)"
	ended_mount "of the mount, the server of the tree is killed" original
	begin_mount
	kill -9 "$(its_keeper)"
	ended_mount "of the mount, the keeper of the tree is killed" original
	begin_mount
	"$PIPESFS" umount tree
	ended_mount "of the mount, the tree is unmounted" original
	begin_mount
	"$PIPESFS" umount "$P"
	ended_mount "the mount is unmounted" original
}
of_mount() {
	! proof || of_mount_usual
	begin_mount
	kill -STOP "$STREAMS"
	t_wait_for 10 gone # its keeper sees that it does not answer
	ended_mount "of the mount, streams is stopped" original
	begin_mount
	kill -STOP "$(server)"
	ended_mount "of the mount, the server of the tree is stopped" original
	begin_mount
	ctl unload dummy
	ended_mount "redirctl unload" original
	begin_mount
	ctl deactivate dummy
	ended_mount "redirctl deactivate" original
}

round=1
while [ $round -le "${PFS_REPEATS:-1}" ]; do
	by_itself
	of_filter
	of_mount
	[ $((round % 10)) != 0 ] || t_note "$round times; the longest that one of them took was $longest ms"
	round=$((round + 1))
done
t_note "$((round - 1)) times; the longest that one of them took was $longest ms"
echo "ok: nobody waits"
