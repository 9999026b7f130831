#!/bin/sh
# execve closes what shall not stay open, and what /proc says of a process in the midst of it is not to be had before it goes
# on: who answers that close must not ask. Filters in both places, one that wants to know its caller's program among them.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need python3


mkdir tree
t_cleanup umount -l tree
echo 'deny exe=/nowhere/at/all op=remove' >rules

# Each kind of descriptor: written to, locked, mapped. Later than what is known of a caller is remembered.
cat >into.py <<'END'
import fcntl, mmap, os, sys, time
a = os.open(sys.argv[1] + "/a", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
os.write(a, bytes(8192))
fcntl.lockf(a, fcntl.LOCK_EX)
m = mmap.mmap(a, 8192)
m[5] = 7
b = os.open(sys.argv[1] + "/a", os.O_RDONLY | os.O_CLOEXEC)
time.sleep(0.2)
os.execv("/bin/echo", ["echo", "the other program"])
END
other() {
	grep -q "the other program" said
}
# Who waits so cannot be killed; who looks for him in /proc waits, too: without the tree's process all go on.
closes() { # WHAT
	for _ in 1 2 3 4 5; do
		python3 into.py tree >said &
		t_pid=$!
		(t_wait_for 10 other) || {
			t_daemons | xargs -r kill -9
			t_fail "$1: execve has not come back"
		}
		wait $t_pid
	done
	echo "ok: $1"
}

t_ok "with shared objects" "$PIPESFS" redirect --load "$filters/udummyflt.so,-o,$TMPDIR/log,$TMPDIR/tree" \
	--load "$filters/accessflt.so,-r,$TMPDIR/rules,$TMPDIR/tree" tree
closes "shared objects"
grep -q FLUSH log || t_fail "udummyflt was not asked about the close"
umount tree

rm -f log
"$PIPESFS" redirect --listen socket tree
PIPESFS_URFS=$TMPDIR/socket t_bg "$filters/udummyflt" -o "$TMPDIR/log" "$TMPDIR/tree"
opened() {
	rm -f tree/seen && echo x >tree/seen && grep -q CREATE log
}
t_wait_for 10 opened
closes "a process"
grep -q FLUSH log || t_fail "udummyflt was not asked about the close"
