#!/bin/sh
# The manual of liburfs, as it is installed: man finds it, and that of the packet filters, by each name that the libraries
# export; it speaks of all of them; its example is built by the commands that stand there and does what is said there, as a
# shared object and as a program.
. "$T_LIB"
t_need_root
t_need cc meson pkg-config nm man
[ -f "${PIPESFS%/*}/build.ninja" ] || t_skip "not a build directory"
! t_sanitized || t_skip "a program without the sanitizer would have to load it first"

root=$TMPDIR/root
DESTDIR=$root meson install -C "${PIPESFS%/*}" --skip-subprojects --no-rebuild >log 2>&1 || t_fail "$(tail -n 3 log)"

# --- the names ---

sed -n 's/^\t\([a-z_]*\);$/\1/p' "$TOP/src/urfs/liburfs.map" | sort >exported
grep -oE 'u?rfs_[a-z_]+\(' "$TOP/include/pipesfs/urfs.h" | tr -d '(' | sort -u >declared
t_same "liburfs exports what the header declares" exported declared

section() { # NAME
	awk -v name="$1" '/^\.Sh/ { inside = $2 == name } inside && ($1 == ".Fn" || $1 == ".Nm") { print $2 }' "$TOP/man/urfs.3" |
		grep -E '^u?rfs_' | sort -u
}
for where in NAME SYNOPSIS DESCRIPTION; do
	section $where >said
	t_same "all of that is in urfs(3), $where" exported said
done

pages=$(find "$root" -type d -path '*/share/man')
for library in liburfs.so libpipesfs-pf.so; do
	nm -D --defined-only "$(find "$root" -name $library)" | awk '$2 == "T" { print $3 }' >names
	t_ok "$library exports functions" test -s names
	# shellcheck disable=SC2046 # words
	man -M "$pages" -w 3 $(cat names) >found || t_fail "man does not find each function of $library"
	while read -r name && read -r page <&3; do
		grep -qE "^\.Nm $name( |$)" "$page" || t_fail "man finds $page for $name, which does not name it"
	done <names 3<found
done

# --- the example ---

t_examples urfs.3 example
pc=$(find "$root" -name liburfs.pc)
PKG_CONFIG_PATH=${pc%/*}
lib=$(find "$root" -name liburfs.so)
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR="$root" LD_LIBRARY_PATH="${lib%/*}"
mv example2 flt.c
sed -n 's/^\$ cc/cc -Wall -Wextra -Werror/p' example1 >build.sh
t_eq "there is a command for each kind" "$(grep -c . build.sh)" 2
t_ok "they build it" sh -e build.sh

mkdir tree
t_cleanup sh -c "umount -l $TMPDIR/tree 2>/dev/null; :"
refused() {
	[ "$({ echo more >>tree/probe.final; } 2>&1 | sed 's/.*: //')" = "Operation not permitted" ]
}
does() { # WHAT
	t_ok "$1: it can be made" sh -c 'echo first >tree/it.final'
	t_errno EPERM sh -c 'echo more >>tree/it.final'
	t_errno EPERM truncate -s 0 tree/it.final
	t_errno EPERM chmod 600 tree/it.final
	t_errno EPERM rm -f tree/it.final
	t_errno EPERM mv tree/it.final tree/other
	t_eq "$1: and read" "$(cat tree/it.final)" first
	t_ok "$1: another name may all of that" sh -c 'echo a >tree/a && echo b >>tree/a && mv tree/a tree/b && rm tree/b'
}

"$PIPESFS" redirect --load "flt.so,.final,$TMPDIR/tree" tree
does "shared object"
umount tree
rm tree/it.final

"$PIPESFS" redirect --listen socket tree
echo probe >tree/probe.final
PIPESFS_URFS=$TMPDIR/socket t_bg ./flt .final "$TMPDIR/tree"
t_wait_for 10 refused
does "program"
kill "$BG"
t_ok "it ends by a signal" wait "$BG"
t_ok "and has taken its filter with it" rm tree/it.final tree/probe.final
umount tree
t_has "arguments that are wrong" "$("$PIPESFS" redirect --load flt.so tree 2>&1)" "Invalid argument"

# --- a shared object that opens, loops and closes as if it were a program ---

cat >own.c <<'END'
#include <pipesfs/urfs.h>

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	rfs_filter filter;

	(void)argc;
	(void)argv;
	if (urfs_filter_alloc(&filter, conn) || urfs_main(conn, filter) != -EOPNOTSUPP || urfs_dispatch(conn) != -EOPNOTSUPP)
		return 0;
	urfs_stop(conn);
	urfs_close(conn);
	return -EUCLEAN;
}
RFS_MAIN(start)
END
mv own.c flt.c
sed -n 2p build.sh >module.sh
sh -e module.sh
t_has "its close is left to the process" "$("$PIPESFS" redirect --load flt.so tree 2>&1)" "Structure needs cleaning"
