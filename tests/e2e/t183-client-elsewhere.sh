#!/bin/sh
# timeout: 120
# A client in another network namespace, where the abstract name is not, comes by the file, or is told; which is gone with its mount, or, if
# that was killed, with the next one. Without descriptors left the mount does not run in circles, and goes on when there are some.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/mount.sh"
t_need_root
t_need unshare prlimit setpriv
follow=$T_BUILD/src/example-follow
[ -x "$follow" ] || t_skip "the library was not built"
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
dir=/run/pipesfs/clients
files() {
	for t_pid in $(t_daemons); do
		readlink "/proc/$t_pid/fd"/* | sed -n 's/^socket:\[\(.*\)\]$/\1/p'
	done | sort >sockets
	awk -v dir="$dir/" 'index($8, dir) == 1 { sub(/\.new$/, "", $8); print $7, $8 }' /proc/net/unix | sort | join sockets - |
		cut -d ' ' -f 2 | sort -u
}
t_mount
mkdir "$P/accept"
chmod 755 "$P/accept"
mine=$(files)
t_ok "one file" test "$(echo "$mine" | wc -w)" = 1
t_ok "it is there" test -S "$mine"

seq 100000 >numbers
unshare --net "$follow" "$P/accept/all" >got 2>err &
client=$!
t_wait_for 20 grep -q command=example-follow "$P/accept/.readers"
cp numbers "$P/accept/all"
t_done $client || t_fail "in another network namespace: $(cat err)"
t_same "in another network namespace" got numbers

unshare --mount sh -c 'mount -t tmpfs none /run && exec "$@"' - "$follow" "$P/accept/all" >got 2>err &
client=$!
t_wait_for 20 grep -q command=example-follow "$P/accept/.readers"
cp numbers "$P/accept/all"
t_done $client || t_fail "who does not see the file: $(cat err)"
t_same "who does not see the file comes by the abstract name" got numbers

# A mount of its own: others use this directory.
unshare --mount sh -c 'mount -t tmpfs none /run && mkdir -m 700 /run/pipesfs && exec "$@"' - \
	setpriv --reuid 65534 --regid 65534 --clear-groups "$follow" "$P/accept/all" >got 2>err &
client=$!
t_wait_for 20 grep -q command=example-follow "$P/accept/.readers"
cp numbers "$P/accept/all"
t_done $client || t_fail "who may not search for the file: $(cat err)"
t_same "who may not search for the file comes by the abstract name" got numbers

unshare --net --mount sh -c 'mount -t tmpfs none /run && exec "$@"' - "$follow" "$P/accept/all" >got 2>err &&
	t_fail "a client that can reach neither got something"
t_has "who can reach neither is told" "$(cat err)" "another network namespace, or has ended, and its socket $mine cannot be reached"

streams=
for pid in $(t_daemons); do
	[ "$(cat "/proc/$pid/comm")" = pipesfs-streams ] && streams=$pid
done
before=$(prlimit --pid "$streams" --nofile --noheadings --raw -o SOFT)
"$follow" "$P/accept/all" >first 2>err & # the ring is there
first=$!
t_wait_for 20 grep -q command=example-follow "$P/accept/.readers"
prlimit --pid "$streams" --nofile=16: # less than there are, but as many as poll(2) is asked about
"$follow" "$P/accept/all" >got 2>err &
client=$!
waits() { # not taken in yet: no inode
	awk -v name="$mine" 'index($8, name) == 1 && $7 == 0' /proc/net/unix | grep -q .
}
t_wait_for 20 waits
ticks() {
	awk '{ print $14 + $15 }' "/proc/$streams/stat"
}
start=$(ticks)
sleep 1 # of which it may use little
used=$(($(ticks) - start))
t_ok "it does not run in circles: $used ticks in a second" test "$used" -lt 10
prlimit --pid "$streams" --nofile="$before":
both() {
	[ "$(grep -c command=example-follow "$P/accept/.readers")" = 2 ]
}
t_wait_for 20 both
cp numbers "$P/accept/all"
t_done $client || t_fail "after it had no descriptors: $(cat err)"
t_same "after it had no descriptors" got numbers
t_done $first
t_same "and who was there already" first numbers

# shellcheck disable=SC2046 # numbers; streams first, which would take its file away if it saw the others go
kill -9 "$streams" $(t_daemons | grep -vx "$streams") 2>killed || true # or they have gone with it
gone() {
	[ -z "$(t_daemons)" ]
}
t_wait_for 20 gone
t_ok "who is killed leaves it" test -S "$mine"
umount -l "$P" 2>umount.err || true # or spawn, the last to go, has
t_mount
t_ok "the next one takes it away" test ! -e "$mine"
mine=$(files)
t_ok "and has its own" test -S "$mine"
umount "$P"
t_wait_for 20 test ! -e "$mine"
