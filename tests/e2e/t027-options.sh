#!/bin/sh
# Mount options, the names under which the program is called, and what is refused in words.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need_root
mkdir -p "$P"

# refused NAME STATUS WORDS COMMAND...
refused() {
	name=$1 want=$2 words=$3
	shift 3
	got=0
	"$@" >said 2>&1 || got=$?
	t_eq "$name: status" $got "$want"
	t_has "$name: $(head -n 1 said)" "$(cat said)" "$words"
	t_fails "$name: nothing is mounted" t_mounted
}

refused "an unknown option" 2 "no mount option 'rnig'" "$PIPESFS" mount -o rnig=4M "$P"
refused "no number" 2 'not a number' "$PIPESFS" mount -o ring=big "$P"
refused "too small" 2 'out of range' "$PIPESFS" mount -o ring=1k "$P"
refused "a missing value" 2 'needs a value' "$PIPESFS" mount -o stall "$P"
refused "a value too many" 2 'takes no value' "$PIPESFS" mount -o ro=1 "$P"
refused "no unit of time" 2 'not a number' "$PIPESFS" mount -o latency=3d "$P"
refused "no directory" 2 'one directory' "$PIPESFS" mount
refused "two directories" 2 'one directory' "$PIPESFS" mount "$P" "$P"
refused "a directory that is not there" 1 'mkdir -p' "$PIPESFS" mount "$P/no"
refused "a file" 1 'not a directory' "$PIPESFS" mount "$TMPDIR/said"
refused "umount of nothing" 1 'no pipesfs is mounted' "$PIPESFS" umount "$P"
refused "abort of nothing" 1 'no pipesfs is mounted' "$PIPESFS" abort "$P"
refused "no command" 2 'no command' "$PIPESFS" mout "$P"

t_start -o ring=4M,memory=64M,nodes=100,latency=500us,stall=3.5,noatime,x-something=1,nofail
refused_again() {
	got=0
	"$PIPESFS" mount "$P" >said 2>&1 || got=$?
	t_eq "mounting twice: status" $got 1
	t_has "mounting twice: $(cat said)" "$(cat said)" 'mounted on'
}
refused_again
t_eq "mounted once" "$(grep -cF " $P " /proc/self/mountinfo)" 1
t_has "the kernel's options arrive" "$(grep -F " $P " /proc/self/mountinfo)" noatime
t_has "type and source" "$(grep -F " $P " /proc/self/mountinfo)" '- fuse.pipesfs pipesfs '

# nodes=: the tree is bounded.
made=0
while mkdir "$P/accept:n$made" 2>err; do
	made=$((made + 1))
	[ $made -lt 200 ] || break
done
t_has "nodes=100: no more than that" "$(cat err)" 'No space left'
t_ok "... nearly that many ($made)" test $made -gt 60
t_has "... and a sentence why" "$(tail -n 1 "$P/.errors")" ENOSPC
"$PIPESFS" umount "$P"
t_nobody "umount"

t_mount -o ro
t_pids
t_errno EROFS mkdir "$P/accept"
"$PIPESFS" umount "$P"
t_nobody "a mount that cannot be written"

# As mount(8) and mount.fuse(8) call it.
ln -s "$PIPESFS" mount.fuse.pipesfs
t_ok "mount.fuse.pipesfs SOURCE DIR -o" ./mount.fuse.pipesfs pipesfs "$P" -o rw,ring=4M,nofail
t_ok "... is mounted" t_mounted
"$PIPESFS" umount "$P"
t_ok "pipesfs SOURCE DIR -o" "$PIPESFS" none "$P" -o rw,dev,suid
t_ok "... is mounted" t_mounted
t_ok "umount(8)" umount "$P"
for i in $(seq 20); do
	"$PIPESFS" mount "$P"
	umount "$P" || t_fail "umount(8) right behind mount, the $i. time"
done
echo "ok: ... right behind mount, twenty times"

t_ok "mount returns although its output is read" t_ends 5 sh -c "x=\$('$PIPESFS' mount '$P' 2>&1); test -z \"\$x\""
t_pids
t_ok "a mount point in a path that is a link" ln -s "$P" link
"$PIPESFS" umount link
t_nobody "umount through a link"

# Something mounted on top is not taken away.
t_start
mount -t tmpfs none "$P"
kill "$KEEPER"
sleep 1
t_eq "what lies on top stays" "$(sed -n "s|.* $P .* - \([^ ]*\) .*|\1|p" /proc/self/mountinfo | tail -n 1)" tmpfs
umount "$P"
umount "$P" 2>/dev/null || true
t_nobody "a mount below another"

# Sixteen mounts at once.
for i in $(seq 16); do
	mkdir -p "$TMPDIR/m$i"
	"$PIPESFS" mount "$TMPDIR/m$i" &
done
wait
t_eq "sixteen mounts" "$(grep -c "fuse.pipesfs" /proc/self/mountinfo)" 16
for i in $(seq 16); do
	"$PIPESFS" umount "$TMPDIR/m$i" &
done
wait
t_eq "none" "$(grep -c "fuse.pipesfs" /proc/self/mountinfo || true)" 0
