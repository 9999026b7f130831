#!/bin/sh
# t073 - portals of a root daemon give an ordinary user what that user alone could do, and no more
. "$T_LIB"

t_need_root
t_need python3 setpriv unshare
t_mount
cd "$TMPDIR" || exit
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"

t_eq "a command is the user" "$(t_as_user cat "$P/pipe/usr/bin/id -u")" "$(id -u nobody)"
t_eq "with his groups" "$(setpriv --reuid nobody --regid nogroup --groups 1234,4321 cat "$P/pipe/usr/bin/id -G")" \
	"$(id -g nobody) 1234 4321"
t_eq "root's is root" "$(cat "$P/pipe/usr/bin/id -u")" 0
t_errno EACCES t_as_user cat "$P/fs/etc/shadow"
t_errno EACCES t_as_user cat "$P/fs/etc/../etc/shadow"
t_errno EACCES t_as_user cat "$P/fs/etc%2fshadow"
t_errno EACCES t_as_user cat "$P/fs/etc/%2e%2e/etc/shadow"
ln -s /etc/shadow shadow
t_errno EACCES t_as_user cat "$P/fs$TMPDIR/shadow"
t_ok "root may read it" sh -c "cat '$P/fs/etc/shadow' >/dev/null"
mkdir secret && chmod 700 secret && echo x >secret/file
t_errno EACCES t_as_user cat "$P/fs$TMPDIR/secret/file"
t_errno EACCES t_as_user sh -c "exec 3<>'$P/tcplisten/ANY/99'"
t_errno EPERM t_as_user sh -c "exec 3<>'$P/tcp/127.0.0.1/25/priv'"
t_errno EACCES t_as_user sh -c "echo x >'$P/fs/etc/passwd'"
t_errno EACCES t_as_user cat "$P/unix$TMPDIR/secret/s"

# --- what a user creates is his ---------------------------------------------------------------------

t_as_user sh -c "umask 077; echo made >'$P/fs$U/new'"
t_eq "a new file is the user's, with his umask" "$(stat -c '%U %a' "$U/new")" 'nobody 600'
printf 'two\nlines' >"$U/two
lines"
t_eq "a newline in a name" "$(t_as_user cat "$P/fs$U/two
lines")" 'two
lines'

# --- commands cannot keep what they never had -----------------------------------------------------------

t_eq "no capability, no group of root's" \
	"$(t_as_user cat "$P/pipe/bin/grep ^Cap /proc/self/status" | grep -v CapBnd | grep -cv 0000000000000000)" 0
t_fails "there is no way back" t_as_user cat "$P/pipe/usr/bin/setpriv --reuid 0 true"
t_eq "only three descriptors" "$(t_as_user cat "$P/pipe/bin/ls /proc/self/fd" | tr '\n' ' ')" '0 1 2 3 '
t_eq "a clean environment" \
	"$(t_as_user env LD_PRELOAD=/evil PATH=/evil SECRET=1 cat "$P/pipe/usr/bin/env" | cut -d= -f1 | grep -cE 'LD_|SECRET')" 0
t_eq "... PATH is not the caller's" "$(t_as_user env PATH="/evil:$PATH" cat "$P/pipe/usr/bin/env" | grep '^PATH=')" \
	'PATH=/usr/local/bin:/usr/bin:/bin'
t_eq "the caller's limits hold" "$(t_as_user sh -c "ulimit -n 77; cat '$P/pipe/bin/sh -c \"ulimit -Hn\"'")" 77
t_eq "no_new_privs too" \
	"$(t_as_user setpriv --no-new-privs cat "$P/pipe/bin/grep NoNewPrivs /proc/self/status" | tr -d '\t')" NoNewPrivs:1
t_eq "it may not be traced" "$(t_as_user cat "$P/pipe/bin/sh -c 'cat /proc/\$PPID/environ 2>&1 | grep -c denied'")" 1

# --- who is not quite who his uid says -----------------------------------------------------------------

t_errno EPERM setpriv --bounding-set -net_raw cat "$P/fs/etc/passwd"
t_errno EPERM setpriv --bounding-set -all cat "$P/pipe/usr/bin/id -u"
t_errno EPERM unshare -m cat "$P/fs/etc/passwd"
t_errno EPERM unshare -u cat "$P/fs/etc/passwd"
t_has "... and is told why" "$(cat "$P/.errors")" 'mnt namespace'
t_has "... in words" "$(cat "$P/.errors")" 'capabilit'
mkdir jail && mount --rbind / jail && t_cleanup umount -l "$PWD/jail"
t_errno EPERM chroot jail cat "$P/fs/etc/passwd"

# --- another network -----------------------------------------------------------------------------------

ip netns add other
t_cleanup ip netns del other
t_errno ENETUNREACH nsenter --net=/run/netns/other cat "$P/tcp/127.0.0.1/80"
t_eq "a caller's network is the portal's" "$(nsenter --net=/run/netns/other cat "$P/pipe/bin/readlink /proc/self/ns/net")" \
	"$(nsenter --net=/run/netns/other readlink /proc/self/ns/net)"

# --- with no look at the caller's path ---------------------------------------------------------------------

cat >blind.py <<'PY'
import ctypes, os, sys
# Not dumpable, and so not to be looked at by an ordinary daemon; root looks anyway.
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
print(os.read(os.open(sys.argv[1], os.O_RDONLY), 100).decode(), end="")
PY
t_eq "a caller that hides its memory" "$(python3 blind.py "$P/pipe/bin/echo a/b")" a/b
