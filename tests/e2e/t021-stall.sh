#!/bin/sh
# A streams process that runs but does not answer (it is frozen) is ended after stall=; with
# stall=0 it is left alone, and `pipesfs abort` frees who waits.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need_root

group=/sys/fs/cgroup/pfs-stall-$$
mkdir "$group" 2>/dev/null || t_skip "needs a cgroup2 at /sys/fs/cgroup that can be written"
t_cleanup rmdir "$group"
t_cleanup sh -c "echo 0 >$group/cgroup.freeze"
[ -w "$group/cgroup.freeze" ] || t_skip "needs the cgroup2 freezer"

begin() {
	t_start "$@"
	cat "$P/accept/all" >out 2>err &
	R=$!
	t_cleanup kill -9 $R
	t_blocked $R
	echo "$STREAMS" >"$group/cgroup.procs"
	echo 1 >"$group/cgroup.freeze"
	t_wait_for 5 grep -q 'frozen 1' "$group/cgroup.events"
}

gone() {
	! t_alive "$1"
}

begin -o stall=0.6
t_wait_for 4 gone "$STREAMS"
echo 0 >"$group/cgroup.freeze"
t_nobody "a frozen streams is killed after stall=" $R
t_rc $R
t_has "... who waited was told" "$(cat err)" 'connection abort'

begin -o stall=0
sleep 2
t_ok "stall=0: nobody is killed" t_alive "$STREAMS"
t_ok "abort ends" t_ends 2 "$PIPESFS" abort "$P"
echo 0 >"$group/cgroup.freeze"
t_nobody "abort of a frozen mount" $R

# What is slow is not stalled: thawed in time, it goes on.
begin -o stall=3
sleep 1
echo 0 >"$group/cgroup.freeze"
sleep 3
t_ok "a short freeze is forgiven" t_alive "$STREAMS"
"$PIPESFS" umount "$P"
t_nobody "after a short freeze" $R
