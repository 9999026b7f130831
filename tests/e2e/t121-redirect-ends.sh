#!/bin/sh
# A redirected tree ends: by umount, by SIGTERM, when its server is killed or stopped, when its keeper is killed. Nobody
# hangs, and the original is there again.
. "$T_LIB"
t_need_root

mkdir tree
echo original >tree/file

redirected() {
	grep -q " $TMPDIR/tree .*fuse.redirfs" /proc/self/mountinfo
}

original() {
	! redirected && [ "$(cat tree/file)" = original ]
}

# The number of the process of that name whose mount is ours: in a process namespace of our own there is one.
pid_of() {
	pgrep -x -r S,R,D,T "$1"
}

none_left() {
	! pid_of pipesfs-redir && ! pid_of pipesfs-keeper
}

start() {
	"$PIPESFS" redirect tree
	redirected || t_fail "not redirected"
	t_eq "$1: it works before" "$(cat tree/file)" original
}

ended() {
	t_wait_for 1 original
	echo "ok: $1: the original is there"
	t_wait_for 2 none_left
	echo "ok: $1: no process is left"
}

t_cleanup sh -c "umount -l $TMPDIR/tree"

start "umount"
umount tree
ended "umount"

start "SIGTERM to the keeper"
kill "$(pid_of pipesfs-keeper)"
ended "SIGTERM to the keeper"

start "SIGTERM to the server, a file open"
exec 3<tree/file
kill "$(pid_of pipesfs-redir)"
ended "SIGTERM to the server, a file open"
exec 3<&-

# Somebody writes all the time: he must get an error, not wait.
busy() {
	sh -c 'i=0; while echo x >tree/busy.$1 && cat tree/busy.$1; do i=$((i + 1)); done; echo "$i"' sh "$1" \
		>"busy.$1.out" 2>&1 &
	BUSY="$BUSY $!"
}

under_load() {
	BUSY=
	start "$1"
	for t_i in 1 2 3; do
		busy $t_i
	done
	t_wait_for 5 test -s tree/busy.3
	shift
	"$@"
}

signal() { # SIGNAL NAME
	kill "-$1" "$(pid_of "$2")"
}

free() {
	# They go on with the original, or have got an error; they wait for nobody.
	for t_pid in $BUSY; do
		kill "$t_pid" 2>/dev/null || :
	done
	for t_pid in $BUSY; do
		wait "$t_pid" 2>/dev/null || :
	done
	echo "ok: $1: nobody waits"
}

under_load "kill -9 of the server" signal KILL pipesfs-redir
ended "kill -9 of the server"
free "kill -9 of the server"

under_load "the server is stopped" signal STOP pipesfs-redir
ended "the server is stopped"
free "the server is stopped"

under_load "kill -9 of the keeper" signal KILL pipesfs-keeper
ended "kill -9 of the keeper"
free "kill -9 of the keeper"

t_errno ENOENT "$PIPESFS" redirect nothing
t_has "a file cannot be redirected" "$("$PIPESFS" redirect tree/file 2>&1)" "is not a directory"
