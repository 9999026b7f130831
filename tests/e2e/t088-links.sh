#!/bin/sh
# Symbolic links in the tree: aliases of directories and pipes, views through portals.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 setpriv
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_mount

# --- aliases of directories and pipes ---------------------------------------------------------------

mkdir -p "$P/accept/lines/grep:error" "$P/accept:two"
ln -s accept/lines/grep:error "$P/errors"
ln -s "$P/accept/lines" "$P/accept:two/lines"
t_eq "what it says" "$(readlink "$P/errors")" accept/lines/grep:error
t_eq "ls -l" "$(stat -c '%F %N' "$P/errors")" "symbolic link '$P/errors' -> 'accept/lines/grep:error'"
t_has "it is listed" "$(ls "$P")" errors
t_eq "as a link" "$(find "$P" -maxdepth 1 -type l)" "$P/errors"
cat "$P/errors/all" >out.txt &
BG=$!
t_wait_for 10 t_opened "$BG" accept/lines/grep:error/all
printf 'an error\nnothing\n' >"$P/accept/all"
t_done "$BG"
t_eq "reading through one" "$(cat out.txt)" "an error"
cat "$P/accept:two/lines/all" >out.txt &
BG=$!
t_wait_for 10 t_opened "$BG" accept/lines/all
printf 'line\n' >"$P/accept/all"
t_done "$BG"
t_eq "... from another directory" "$(cat out.txt)" line
mkdir "$P/errors/head:1"
t_ok "mkdir below one is mkdir there" test -d "$P/accept/lines/grep:error/head:1"
t_errno EEXIST ln -sT x "$P/errors"
t_errno EEXIST ln -sT x "$P/accept"
t_errno EEXIST ln -sT x "$P/tcp"
t_errno EEXIST ln -sT x "$P/.errors"
t_errno EEXIST mkdir "$P/errors"
t_errno ENOENT cat "$P/accept:two/lines/nothing/all"
ln -s loop "$P/loop"
mv "$P/loop" "$P/accept:two/loop2"
t_eq "a link is moved" "$(readlink "$P/accept:two/loop2")" loop
t_fails "... away" readlink "$P/loop"
mv "$P/accept:two/loop2" "$P/loop"
t_errno ELOOP cat "$P/loop"
rm "$P/loop"

# --- they go --------------------------------------------------------------------------------------------

t_errno ENOTEMPTY rmdir "$P/accept:two"
rm "$P/accept:two/lines"
t_ok "rmdir when it is gone" rmdir "$P/accept:two"
mkdir -p "$P/accept:three/lines"
ln -s /nowhere "$P/accept:three/lines/link"
rm -r "$P/accept:three"
mkdir -p "$P/accept:three/lines"
t_eq "rm -r takes them, and what it names, not" "$(find "$P/accept:three/lines" -maxdepth 1 -name '*link*' | wc -l)" 0
rm -r "$P/accept"
t_errno ENOENT cat "$P/errors/all"
rm "$P/errors"
t_ok "unlink of a pipe still does nothing" rm "$P/accept:three/all"

# --- views -----------------------------------------------------------------------------------------------

cat >passwd2xml <<'AWK'
#!/usr/bin/env -S awk -F: -f
BEGIN { print "<passwd>" }
{ print "<uname>" $1 "</uname>" }
END { print "</passwd>" }
AWK
chmod 755 passwd2xml
ln -s "pipe$PWD/passwd2xml /etc/passwd" "$P/passwd.xml"
t_eq "the XML view of /etc/passwd, in the mount" "$(cat "$P/passwd.xml")" "$(./passwd2xml /etc/passwd)"
ln -s "$P/pipe/bin/dd of=$PWD/copy status=none" "$P/copy"
printf 'to be kept' >"$P/copy"
t_wait_for 10 grep -qx "to be kept" copy
echo "ok: a view that is written"
ln -s "$P/copy" "$P/again"
printf 'once more' >"$P/again"
t_wait_for 10 grep -qx "once more" copy
echo "ok: a link to a link"
ln -s fs/etc "$P/etc"
t_eq "a folder of files" "$(cat "$P/etc/passwd")" "$(cat /etc/passwd)"

# --- who may ---------------------------------------------------------------------------------------------

alice() {
	setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all -- "$@"
}
bob() {
	setpriv --reuid 1002 --regid 1002 --clear-groups --inh-caps=-all -- "$@"
}
alice ln -s fs/etc/hostname "$P/alices"
t_eq "it is hers" "$(stat -c '%u:%g' "$P/alices")" 1001:1001
t_eq "to be read" "$(alice cat "$P/alices")" "$(cat /etc/hostname)"
t_fails "nobody else removes it" bob rm "$P/alices"
t_fails "nor makes one in a directory of another" bob ln -s x "$P/accept:three/x"
cat >many.py <<'PY'
import errno, os, sys
n = 0
try:
    while n < 1000:
        os.symlink("x", f"{sys.argv[1]}/many{n}")
        n += 1
except OSError as e:
    print(n, errno.errorcode[e.errno])
PY
t_eq "a user has so many" "$(alice python3 many.py "$P")" "255 EDQUOT"
t_reason "... no more" many255 "no more"
alice sh -c "rm '$P'/many*"
t_ok "and can make room" alice ln -s x "$P/more"
