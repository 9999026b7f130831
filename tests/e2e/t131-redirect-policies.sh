#!/bin/sh
# A filter's process that is killed or stopped is felt as its policy says, within its deadline, and no longer than it is
# away; who waits for it is freed by its death and by the end of the redirection.
. "$T_LIB"
. "$TOP/tests/tools/filters.sh"
t_need_root


mkdir tree
echo text >tree/file
t_cleanup umount -l tree
"$PIPESFS" redirect --listen socket tree
export PIPESFS_URFS="$TMPDIR/socket"

asked() {
	cat tree/file >/dev/null && test -s log
}

start() { # OPTION...
	rm -f log
	t_bg "$filters/udummyflt" -o "$TMPDIR/log" "$@" "$TMPDIR/tree"
	FILTER=$BG
	t_wait_for 5 asked
}

killed() {
	kill -9 "$FILTER"
	wait "$FILTER" || :
}

# What `cat` says now: "text", or the error.
result() {
	{ cat tree/file 2>&1; } | sed 's/.*: //'
}

went() {
	[ "$(result)" = "$1" ]
}

stopped() {
	! grep -h '^State:' "/proc/$FILTER/task/"*/status | grep -v 'T (stopped)'
}

stop() {
	kill -STOP "$FILTER"
	t_wait_for 5 stopped
}

policy() { # WORD RESULT
	start -p "$1" -t 100
	t_eq "$1: it works" "$(result)" text
	stop
	t_eq "$1: stopped" "$(result)" "$2"
	kill -CONT "$FILTER"
	t_wait_for 5 went text
	echo "ok: $1: goes on, and all is well"
	killed
	t_wait_for 5 went "$2"
	echo "ok: $1: killed: $2"
	start -p "$1" -t 100
	t_eq "$1: started again" "$(result)" text
	# It takes itself out of the configuration.
	kill "$FILTER"
	wait "$FILTER" || :
	t_wait_for 5 went text
	echo "ok: $1: it has left"
}

policy open text
policy closed "Operation not permitted"
policy error "Input/output error"

# --- who waits is freed ---

# A process that waits in the tree for a filter that is stopped and has time.
waits() {
	cat tree/file >waiting 2>&1 &
	WAITING=$!
	t_wait_for 5 sh -c "grep -q request_wait_answer /proc/$WAITING/stack"
}

start -p error -t 600000
stop
waits
killed
t_fails "by the death of the filter" wait "$WAITING"
t_has "with its policy" "$(cat waiting)" "Input/output error"

start -p error -t 600000
stop
waits
kill "$(pgrep -x pipesfs-keeper)"
t_fails "by the end of the redirection" wait "$WAITING"
t_wait_for 3 sh -c '! pgrep -x pipesfs-redir'
t_eq "and the original is there" "$(cat tree/file)" text
killed

# --- what is open with a filter that has gone is not read without it ---

plain=$(cksum <tree/file)
"$PIPESFS" redirect --listen socket tree
t_bg "$filters/scrambleflt" "$TMPDIR/tree"
FILTER=$BG
scrambled() {
	[ "$(cksum <tree/file)" != "$plain" ]
}
t_wait_for 5 scrambled
echo more >tree/more
sync tree/more
exec 3<tree/more
exec 4>>tree/more
killed
gone() {
	! cat tree/file
}
t_wait_for 5 gone
t_has "writing fails" "$(sh -c 'echo x >&4' 2>&1)" "I/O error"
exec 4>&-
python3 -c 'import os; os.posix_fadvise(3, 0, 0, os.POSIX_FADV_DONTNEED)'
t_has "reading fails" "$(cat <&3 2>&1)" "Input/output error"
exec 3<&-
umount tree
