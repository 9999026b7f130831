#!/bin/sh
# Every way in which a mount ends, with a reader blocked in it: who waits is freed within a
# second, with end of file when the daemon can still say so, and nothing is left.
# shellcheck disable=SC2119 # t_start without arguments is meant
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need_root

# begin: a mount with a blocked reader $R
begin() {
	t_start
	cat "$P/accept/all" >out 2>err &
	R=$!
	t_cleanup kill -9 $R
	t_blocked $R
}

# said STATUS WORD: how the reader ended
said() {
	t_rc $R
	t_eq "... the reader's status" "$RC" "$1"
	[ -z "$2" ] || t_has "... what it said" "$(cat err)" "$2"
}

aborted='connection abort'

# --- on purpose --------------------------------------------------------------------------

for sig in TERM INT; do
	begin
	kill -$sig "$KEEPER"
	t_nobody "SIG$sig to the keeper" $R
	said 0 ''
	begin
	kill -$sig "$STREAMS"
	t_nobody "SIG$sig to streams" $R
	said 0 ''
done

begin
t_ok "pipesfs umount with a reader" t_ends 5 "$PIPESFS" umount "$P"
t_nobody "pipesfs umount" $R
said 0 ''

begin
t_errno 'target is busy' umount "$P"
t_ok "umount says busy and harms nobody" t_alive $R
kill $R
t_wait_for 5 umount "$P"
t_nobody "umount(8)" $R

t_start
t_ok "umount(8) of an idle mount" umount "$P"
t_nobody "umount(8) of an idle mount"

begin
umount -l "$P"
t_ok "umount -l: the reader may go on" t_alive $R
t_ok "... and streams with it" t_alive "$STREAMS"
kill $R
t_nobody "umount -l, once the last file is closed" $R

begin
cd "$P/accept" || exit
"$PIPESFS" umount "$P"
cd "$TMPDIR" || exit
t_nobody "pipesfs umount with a working directory in it" $R

"$PIPESFS" mount -f "$P" 2>log &
F=$!
t_wait_for 5 test -e "$P/.control"
t_pids
t_eq "in the foreground the keeper is the command" "$KEEPER" $F
kill -INT $F
t_nobody "Ctrl-C in the foreground" $F
t_rc $F
t_eq "... its status" $RC 0

# --- by violence ---------------------------------------------------------------------------

begin
kill -9 "$STREAMS"
t_nobody "kill -9 of streams" $R
said 1 "$aborted"

begin
kill -9 "$KEEPER"
t_nobody "kill -9 of the keeper" $R
said 0 ''

begin
kill -STOP "$KEEPER"
kill -9 "$STREAMS" "$KEEPER" || : # the second may have ended with the first
t_nobody "kill -9 of both, and a third detaches" $R
said 1 "$aborted"

begin
SPAWN=$(pgrep -P "$STREAMS" -x pipesfs-spawn)
kill -STOP "$KEEPER" "$SPAWN"
kill -9 "$STREAMS" "$KEEPER" "$SPAWN" || : # the second may have ended with the first
t_wait_for 2 sh -c "! kill -0 $R"
said 1 "$aborted"
t_ok "all three killed: the dead mount is still there" t_mounted
t_fails "... and dead" ls "$P"
t_start
t_has "mount cleans it first, and says so" "$(cat "$TMPDIR/mount.log")" 'removed a dead mount'
t_eq "... only one mount is there" "$(grep -cF " $P " /proc/self/mountinfo)" 1
"$PIPESFS" umount "$P"
t_nobody "a mount over a dead one"

begin
kill -STOP "$STREAMS"
t_nobody "SIGSTOP of streams" $R
said 1 "$aborted"

begin
kill -STOP "$STREAMS"
sleep 0.1
kill -CONT "$STREAMS"
sleep 1
t_ok "a short stop is forgiven" t_alive "$STREAMS"
t_ok "... and the mount works" ls "$P/accept"
"$PIPESFS" umount "$P"
t_nobody "after a short stop" $R

begin
kill -STOP "$KEEPER"
t_ok "a stopped keeper: the mount works" t_ends 5 ls -l "$P/accept"
echo hello >"$P/accept/all"
t_wait_for 5 grep -q hello out
t_rc $R
t_eq "... a reader gets its data and end of file" $RC 0
t_ok "... umount works" umount "$P"
t_nobody "a stopped keeper does not stay behind"

begin
kill -STOP "$KEEPER"
kill -9 "$STREAMS"
t_wait_for 1 sh -c "! kill -0 $R"
said 1 "$aborted"
kill -CONT "$KEEPER"
t_nobody "a stopped keeper and a killed streams" $R

# --- both stopped: the commands still end ------------------------------------------------------

begin
kill -STOP "$KEEPER" "$STREAMS"
t_ok "abort of a mount that hangs" t_ends 2 "$PIPESFS" abort "$P"
t_nobody "pipesfs abort" $R
said 1 "$aborted"

begin
kill -STOP "$KEEPER" "$STREAMS"
t_ok "umount of a mount that hangs" t_ends 4 "$PIPESFS" umount "$P"
t_wait_for 1 sh -c "! kill -0 $R"
said 1 "$aborted"
t_fails "... is detached" t_mounted
kill -CONT "$KEEPER" "$STREAMS"
t_nobody "... and ends when it is continued" $R

begin
umount -f "$P" 2>/dev/null || true
t_nobody "umount -f" $R
said 1 "$aborted"

# fusectl, as an administrator would
begin
mount -t fusectl none /sys/fs/fuse/connections 2>/dev/null || true
abort=/sys/fs/fuse/connections/$(mountpoint -d "$P" | cut -d : -f 2)/abort
if [ -w "$abort" ]; then
	echo 1 >"$abort"
	t_nobody "an abort through fusectl" $R
	said 1 "$aborted"
else
	t_note "no fusectl here"
	"$PIPESFS" umount "$P"
fi
