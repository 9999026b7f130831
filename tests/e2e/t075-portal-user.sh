#!/bin/sh
# t075 - portals of an ordinary user's mount: his own only, and found without a look into other memory
# needs: user
. "$T_LIB"

t_need python3 fusermount3
[ -w /dev/fuse ] || [ "$(id -u)" = 0 ] || t_skip "needs /dev/fuse"
cd "$TMPDIR" || exit
as() {
	if [ "$(id -u)" = 0 ]; then
		chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
		chmod 666 /dev/fuse
		t_as_user "$@"
	else
		"$@"
	fi
}
as true
M=${U}/p
as mkdir -p "$M"
as "$PIPESFS" mount "$M" || t_skip "an ordinary user cannot mount here"
t_cleanup sh -c "fusermount3 -u -z $M || umount -l $M"

t_eq "a command" "$(as cat "$M/pipe/usr/bin/id -u")" "$(as id -u)"
t_eq "a file" "$(as cat "$M/fs/etc/hostname")" "$(cat /etc/hostname)"
t_errno EACCES as cat "$M/fs/etc/shadow"
cat >"$U/blind.py" <<'PY'
import ctypes, os, sys
# Not dumpable: the daemon cannot read the path, takes the last name for a directory, and is asked again (ESTALE).
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
try:
    print(os.read(os.open(sys.argv[1], os.O_RDONLY), 100).decode(), end="")
except OSError as e:
    print(os.strerror(e.errno))
PY
chmod 644 "$U/blind.py"
t_eq "a caller that cannot be looked at is refused" "$(as python3 "$U/blind.py" "$M/pipe/bin/echo a/b")" 'Operation not permitted'
t_has "... and told why" "$(as cat "$M/.errors")" 'does not show who the caller is'
