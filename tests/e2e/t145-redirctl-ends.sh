#!/bin/sh
# Redirected trees of a mount end: when their process, its keeper, both, the mount's streams or keeper are killed, by
# umount and abort of either. The originals are there again, nobody hangs.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root

original() {
	! redirected tree && [ "$(cat tree/file)" = original ]
}
server() {
	pgrep -x -r S,R,D,T pipesfs-redir
}
# The keeper of the tree, not that of the mount.
its_keeper() {
	awk '/^PPid/ { print $2 }' "/proc/$(server)/status"
}
none_left() {
	! server
}

mkdir tree
echo original >tree/file
t_cleanup sh -c "umount -l $TMPDIR/tree; :"
t_cleanup sh -c "umount -l $P; :"

busy() {
	sh -c 'while echo x >tree/busy.$1 && cat tree/busy.$1; do :; done' sh "$1" >"busy.$1.out" 2>&1 &
	BUSY="$BUSY $!"
}
under_load() {
	BUSY=
	rm -f tree/busy.*
	for t_i in 1 2; do
		busy $t_i
	done
	t_wait_for 5 test -s tree/busy.2
}
free() { # NAME
	for t_pid in $BUSY; do
		kill "$t_pid" 2>/dev/null || :
	done
	for t_pid in $BUSY; do
		wait "$t_pid" 2>/dev/null || :
	done
	echo "ok: $1: nobody waits"
}
ended() { # NAME
	t_wait_for 1 original
	echo "ok: $1: the original is there within a second"
	free "$1"
	t_wait_for 2 none_left
	echo "ok: $1: no process is left"
}

begin() {
	t_start
	ctl load dummy "$filters/udummyflt.so,-o,$PWD/log" transparent
	ctl setpath dummy "$TMPDIR/tree" include subtree
	ctl activate dummy
	redirected tree || t_fail "it is not redirected"
}

# --- its process dies: the mount goes on, and the next change begins it again ---------------------------------

begin
again() { # NAME PIDS
	t_name=$1
	shift
	under_load
	kill -9 "$@" || : # of two the second may have ended with the first
	ended "$t_name"
	ctl deadline dummy 4s
	t_ok "$t_name: the next change begins it again" redirected tree
	t_eq "$t_name: ... and the filter runs" "$(cat tree/file; ctl stat dummy | grep -c 'hooked 1')" "original
1"
	ctl deadline dummy 5s
}
again "kill -9 of the process" "$(server)"
again "kill -9 of its keeper" "$(its_keeper)"
again "kill -9 of both" "$(server)" "$(its_keeper)"
under_load
"$PIPESFS" umount tree
ended "pipesfs umount of the tree"
ctl deadline dummy 4s
under_load
kill -STOP "$(server)"
"$PIPESFS" abort tree
ended "pipesfs abort of a tree whose process is stopped"
"$PIPESFS" umount "$P"

# --- the mount ends ----------------------------------------------------------------------------------------------

begin
under_load
"$PIPESFS" umount "$P"
ended "pipesfs umount of the mount"
for t_who in KEEPER STREAMS; do
	begin
	under_load
	eval "kill -9 \$$t_who"
	ended "kill -9 of the mount's $t_who"
	t_wait_for 2 sh -c "! grep -q ' $P ' /proc/self/mountinfo"
done
t_fails "pipesfs umount says what is no mount of ours" "$PIPESFS" umount tree
