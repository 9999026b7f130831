#!/bin/sh
# A redirected tree is what the directory below it is: each operation done in both, results, errors and attributes
# compared (tests/tools/samefs); by passthrough, through the process, and by an ordinary user.
# needs: user
. "$T_LIB"

mkdir a b below
[ "$(id -u)" != 0 ] || mount -t tmpfs below below
same=$TOP/tests/tools/samefs

# --- the same as below, on two filesystems ---

redirected() { # DIR A OPTION...
	dir=$1 other=$2
	shift 2
	"$PIPESFS" redirect "$@" "$dir" || t_fail "cannot redirect $dir"
	t_cleanup umount -l "$dir"
	t_ok "$dir is as $other${1:+ ($*)}" python3 "$same" "$other" "$dir"
}

gone() {
	! grep -q " $1 .*fuse.redirfs" /proc/self/mountinfo
}

if [ "$(id -u)" = 0 ]; then
	mkdir below/a below/b
	redirected "$TMPDIR/b" "$TMPDIR/a"
	umount b
	gone "$TMPDIR/b"
	rm -rf a b
	mkdir a b
	redirected "$TMPDIR/b" "$TMPDIR/a" --no-passthrough
	redirected "$TMPDIR/below/b" "$TMPDIR/below/a"

	# --- mounts below it are there again, on top; what was mounted on it later, too ---

	mkdir -p tree/sub/in
	mount -t tmpfs sub tree/sub
	echo sub >tree/sub/file
	"$PIPESFS" redirect tree
	t_cleanup umount -l tree
	t_eq "a mount below is seen" "$(cat tree/sub/file)" sub
	t_eq "and is a device of its own" "$([ "$(stat -c %d tree)" != "$(stat -c %d tree/sub)" ] && echo yes)" yes
	umount tree/sub
	t_eq "below it is the directory itself" "$(ls tree/sub)" in
	umount tree
	t_eq "it has gone with the redirection's own" "$(cat tree/sub/file)" sub

	# --- rights are those of the real caller, names in open directories are too ---

	mkdir -m 711 home
	echo secret >home/secret
	chmod 600 home/secret
	"$PIPESFS" redirect home
	t_cleanup umount -l home
	cat home/secret >/dev/null
	t_errno EACCES t_as_user cat home/secret
	t_errno EACCES t_as_user ls home
	chmod 644 home/secret
	t_eq "what was allowed is allowed at once" "$(t_as_user cat home/secret)" secret
fi

# --- an ordinary user, a tree of his own ---

if [ -r /dev/fuse ] && t_as_user sh -c 'exec 3<>/dev/fuse' 2>/dev/null; then
	t_as_user mkdir "$U/tree" "$U/other"
	t_as_user "$PIPESFS" redirect "$U/tree"
	t_cleanup umount -l "$U/tree"
	t_ok "a user's own tree is as below" t_as_user python3 "$same" "$U/other" "$U/tree"
	t_as_user fusermount3 -u "$U/tree"
	t_eq "and it is there afterwards" "$(t_as_user ls "$U/tree" | wc -l)" "$(t_as_user ls "$U/other" | wc -l)"
else
	t_note "/dev/fuse is root's alone here"
fi
