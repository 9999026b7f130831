#!/bin/sh
# pjdfstest says the same of a redirected tree as of the filesystem below it: on tmpfs and on the disk's, by passthrough
# and through filters. PJDFSTEST=DIR is a checkout of it (github.com/pjd/pjdfstest), built. Takes half an hour.
# timeout: 5000
. "$T_LIB"
t_need_root
[ -x "${PJDFSTEST:-}/pjdfstest" ] || t_skip "PJDFSTEST names no folder with pjdfstest, built"

filters=$T_BUILD/src
mkdir memory disk
mount -t tmpfs memory memory
t_cleanup umount -l memory

checks() {
	"$TOP/tests/tools/pjdfstest.sh" "$PJDFSTEST" "$1" >"$2"
}

redirected() { # DIR OPTION...
	t_dir=$1
	shift
	mkdir -p "$t_dir"
	"$PIPESFS" redirect "$@" "$t_dir"
	t_cleanup umount -l "$t_dir"
}

mkdir memory/plain disk/plain
redirected "$TMPDIR/memory/tree"
redirected "$TMPDIR/disk/tree"
redirected "$TMPDIR/disk/filters" --load "$filters/scrambleflt.so,$TMPDIR/disk/filters" \
	--load "$filters/udummyflt.so,-o,/dev/null,$TMPDIR/disk/filters"

# Most of its time it sleeps.
t_running=
for t_at in memory/plain memory/tree disk/plain disk/tree disk/filters; do
	checks "$t_at" "${t_at%/*}.${t_at#*/}" &
	t_running="$t_running $!"
done
for t_at in $t_running; do
	wait "$t_at"
done
for t_at in memory.tree disk.tree disk.filters; do
	t_note "$t_at: $(grep -c ' ok ' $t_at) checks pass, $(grep -c ' not ok ' $t_at) do not"
	t_ok "$t_at is as below" diff "${t_at%.*}.plain" $t_at
done
