#!/bin/sh
# timeout: 60
# What was mounted by processes that were all killed at one instant: doctor tells of it, and whoever mounts or redirects
# there takes it away first, and says so. What is alive, or not ours, stays.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need_root

mkdir tree tree/sub other
echo original >tree/file
t_cleanup sh -c "umount -l $TMPDIR/tree; umount -l $TMPDIR/other; umount -l $P; :"

redirected() { # how often
	grep -c " $TMPDIR/tree .*fuse.redirfs" /proc/self/mountinfo
}
dead_there() {
	stat -f "$1" 2>&1 | grep -q 'not connected'
}
redirect_dead() {
	"$PIPESFS" redirect tree
	t_keeper=$(pgrep -x -r S,R,D,T pipesfs-keeper)
	t_server=$(pgrep -x -r S,R,D,T pipesfs-redir)
	kill -STOP "$t_keeper" # or it would detach between the two
	kill -9 "$t_server" "$t_keeper" || :
	t_wait_for 5 dead_there tree
}
said_removed() { # NAME FILE DIRECTORY
	t_eq "$1: says what it took away" "$(cat "$2")" "pipesfs: removed a dead mount from $3"
}
doctor() {
	"$PIPESFS" doctor 2>&1 | tr -s ' \n' ' '
}

t_has "doctor: nothing is dead" "$(doctor)" "none is left of a process that was killed"

# --- redirected trees ------------------------------------------------------------------------------------

redirect_dead
t_has "doctor finds it" "$(doctor)" "1, on $TMPDIR/tree"
t_has "... and says what helps" "$(doctor)" "pipesfs umount $TMPDIR/tree"
"$PIPESFS" redirect tree 2>log
said_removed "redirect of a dead tree" log "$TMPDIR/tree"
t_eq "... only one is there" "$(redirected)" 1
t_eq "... and it works" "$(cat tree/file)" original
"$PIPESFS" umount tree

redirect_dead
"$PIPESFS" redirect tree/sub 2>log
said_removed "redirect of a directory in a dead tree" log "$TMPDIR/tree"
t_eq "... the tree is the original" "$(cat tree/file)" original
"$PIPESFS" umount tree/sub

redirect_dead
"$PIPESFS" mount tree 2>log
said_removed "mount on a dead tree" log "$TMPDIR/tree"
t_ok "... it is mounted" test -e tree/.control
"$PIPESFS" umount tree
t_eq "... and below it is the original" "$(cat tree/file)" original

# --- mounts --------------------------------------------------------------------------------------------------

t_start
SPAWN=$(pgrep -P "$STREAMS" -x pipesfs-spawn)
kill -STOP "$KEEPER" "$SPAWN"
kill -9 "$STREAMS" "$KEEPER" "$SPAWN" || :
t_wait_for 5 dead_there "$P"
t_has "doctor finds a dead mount" "$(doctor)" "1, on $P"
mkdir -p "$P/accept" 2>/dev/null || :
"$PIPESFS" redirect "$P" 2>log
said_removed "redirect of a dead mount" log "$P"
"$PIPESFS" umount "$P"

# --- what stays ------------------------------------------------------------------------------------------------

"$PIPESFS" redirect tree
"$PIPESFS" redirect tree 2>log
t_eq "a tree that lives stays below another" "$(redirected) $(cat log)" "2 "
"$PIPESFS" umount tree
"$PIPESFS" umount tree

redirect_dead
mount -t tmpfs none tree
"$PIPESFS" redirect tree 2>log
t_eq "a dead tree that something else covers is left alone" "$(cat log)" ""
"$PIPESFS" umount tree
umount tree
t_ok "... and is dead still" dead_there tree
"$PIPESFS" umount tree
t_eq "pipesfs umount takes it away" "$(cat tree/file)" original
