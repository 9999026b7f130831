#!/bin/sh
# mkdir opens files as its caller. A file that never answers (a stopped filesystem) costs its
# caller an interrupt or some seconds, and others little: the kernel holds the parent
# directory's lock meanwhile.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need_root
t_need bindfs
t_mount
t_pids

mkdir below above
echo x >below/file
bindfs -f below above >bindfs.log 2>&1 &
B=$!
t_cleanup umount -l "$TMPDIR/above"
t_cleanup kill -9 $B
t_wait_for 5 test -e above/file
kill -STOP $B
hung=$P/pcap:$(printf '%s' "$TMPDIR" | sed 's|/|%2f|g')%2fabove%2ffile

milliseconds() {
	begun=$(date +%s%N)
	"$@" 2>err || true
	echo $((($(date +%s%N) - begun) / 1000000))
}

took=$(milliseconds timeout -s INT 0.5 mkdir "$hung")
t_ok "Ctrl-C ends mkdir at once ($took ms)" test "$took" -lt "$(t_seconds 1500 | cut -d . -f 1)"
t_fails "nothing was made" test -e "$hung"

took=$(milliseconds mkdir "$hung")
t_has "left alone it is given up" "$(cat err)" 'timed out'
t_ok "... within seconds ($took ms)" test "$took" -lt "$(t_seconds 7000 | cut -d . -f 1)"
t_has "... with a sentence" "$(tail -n 1 "$P/.errors")" 'does not answer'

# Twenty in a loop: the lock is not held for a minute.
took=$(milliseconds sh -c "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do mkdir '$hung'; done")
t_ok "twenty more take little ($took ms)" test "$took" -lt "$(t_seconds 5000 | cut -d . -f 1)"
t_ok "others are served" t_ends 2 ls -l "$P/dev/lo"
t_ok "streams is alive" t_alive "$STREAMS"

# While one waits below one directory, others work in other directories.
mkdir -p "$P/accept"
sleep 10
mkdir "$hung" 2>/dev/null &
M=$!
t_wait_for 5 t_in_fuse $M
t_ok "mkdir elsewhere" t_ends 2 mkdir "$P/accept/unpcap"
t_ok "a stream elsewhere" t_ends 2 sh -c "echo hello >'$P/accept/all' && head -c 5 '$P/accept/all' >/dev/null"
kill -CONT $B
t_rc $M
t_ok "a file that answers in time is opened ($RC)" t_alive "$STREAMS"
"$PIPESFS" umount "$P"
t_nobody "umount" $M
