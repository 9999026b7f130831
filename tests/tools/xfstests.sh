#!/bin/bash
# xfstests.sh - xfstests on redirected trees, or, to compare, on the filesystem below them
#
#	xfstests.sh SUITE BUILD DIR redirected|filters|below CHECK-ARGUMENT...
#
# SUITE: a checkout of git.kernel.org/pub/scm/fs/xfs/xfstests-dev.git, built. BUILD: a build of ours. DIR: for two images of
# ext4, made anew, and the results. As root; mounts are in a namespace of their own, nothing is installed.
#
#	xfstests.sh ~/xfstests build /var/tmp/xt redirected -g generic/quick
#	xfstests.sh ~/xfstests build /var/tmp/xt filters generic/001 generic/013
#
# `filters`: through scrambleflt, udummyflt and accessflt. What fails there and passes below is in docs/redirected-trees.md.
set -eu

if [ -z "${XT_INSIDE:-}" ]; then
	exec env XT_INSIDE=1 unshare --mount --propagation private bash "$0" "$@"
fi
suite=$(realpath "$1") build=$(realpath "$2") dir=$(realpath "$3") how=$4
shift 4

mkdir -p "$dir"/{bin,test,scratch,"results.$how"}
for which in test scratch; do
	rm -f "$dir/$which.img"
	truncate -s 3G "$dir/$which.img"
	mkfs.ext4 -q "$dir/$which.img"
done
export RESULT_BASE="$dir/results.$how" HOST_OPTIONS="$dir/none" TEST_DIR="$dir/test" SCRATCH_MNT="$dir/scratch"
: >"$HOST_OPTIONS"
echo "default allow" >"$dir/rules"
# Its users, for what runs in here.
{ cat /etc/passwd && printf '%s::/:/bin/sh\n' fsgqa:x:31415:31415 fsgqa2:x:31416:31416 123456-fsgqa:x:31417:31417; } >"$dir/passwd"
{ cat /etc/group && printf '%s:\n' fsgqa:x:31415 fsgqa2:x:31416 123456-fsgqa:x:31417; } >"$dir/group"
{ cat /etc/shadow && printf '%s:*:20000:0:99999:7:::\n' fsgqa fsgqa2 123456-fsgqa; } >"$dir/shadow"
for file in passwd group shadow; do
	mount --bind "$dir/$file" "/etc/$file"
done
cd "$suite"
if [ "$how" = below ]; then
	FSTYP=ext4 TEST_DEV=$(losetup -f --show "$dir/test.img")
	SCRATCH_DEV=$(losetup -f --show "$dir/scratch.img")
	trap 'umount -l "$TEST_DIR" "$SCRATCH_MNT" 2>/dev/null; losetup -d "$TEST_DEV" "$SCRATCH_DEV"' EXIT
	export FSTYP TEST_DEV SCRATCH_DEV
	./check "$@"
	exit
fi

# Both have to have names of their own in /proc/mounts. mount(8) looks for its helpers in /sbin only.
sed 's/fsname=redirfs,/fsname=redirf2,/' "$build/pipesfs" >"$dir/bin/pipesfs.redirf2"
cp "$build/pipesfs" "$dir/bin/pipesfs.redirfs"
chmod 755 "$dir"/bin/pipesfs.*
cat >"$dir/bin/mount.fuse.redirfs" <<END
#!/bin/bash
# Remounting is the kernel's: without -i, mount(8) would call this again, and again.
case ,\${4:-}, in *,remount,*) exec mount -i -o "\$4" "\$2" ;; esac
[ $how = redirected ] || filters=(--load "$build/src/scrambleflt.so,\$2" --load "$build/src/udummyflt.so,-o,/dev/null,\$2"
	--load "$build/src/accessflt.so,-r,$dir/rules,\$2")
# The clean-up of some tests unmounts twice, and so what is below.
case \$1 in redirfs) image=test ;; *) image=scratch ;; esac
mountpoint -q "\$2" || mount -o loop "$dir/\$image.img" "\$2"
# A redirected tree has the options of what is below.
options=rw,relatime,dev,suid,exec
case ,\${4:-}, in *atime,*|*,ro,*|*,nosuid,*|*,nodev,*|*,noexec,*) options=\$options,\$4 ;; esac
mount -i -o "remount,\$options" "\$2"
"$dir/bin/pipesfs.\$1" redirect "\${filters[@]}" "\$2" || exit 32
END
chmod 755 "$dir/bin/mount.fuse.redirfs"
mount -t overlay -o "lowerdir=$dir/bin:$(realpath /sbin)" sbin "$(realpath /sbin)"
mount -o loop "$dir/test.img" "$TEST_DIR"
mount -o loop "$dir/scratch.img" "$SCRATCH_MNT"
trap 'umount -l "$TEST_DIR" "$SCRATCH_MNT"; umount -l "$TEST_DIR" "$SCRATCH_MNT"' EXIT
export FSTYP=fuse FUSE_SUBTYP=.redirfs TEST_DEV=redirfs SCRATCH_DEV=redirf2
./check "$@"
