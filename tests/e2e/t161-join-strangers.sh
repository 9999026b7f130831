#!/bin/sh
# Where filters join, strangers harm nobody: garbage, half-open connections, other users, a filter that is stopped, one that
# dies again and again, trees that come and go under one filter, which keeps nothing of those that have gone.
# timeout: 60
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need python3

mkdir -p one
t_cleanup sh -c "umount -l $TMPDIR/one; :"
echo first >one/file
t_cleanup sh -c "umount -l $P; :"
t_start
start() {
	"$filters/udummyflt" -o "$TMPDIR/log" "$@" &
	FILTER=$!
	t_cleanup sh -c "kill -9 $FILTER 2>/dev/null; :"
}
asked() {
	cat one/file >/dev/null && grep -q "REG_FOP_OPEN .* $TMPDIR/one/file" log
}

# --- strangers ---

python3 "$TOP/tests/tools/strangers.py" "$PIPESFS_URFS" >said &
STRANGERS=$!
start -p closed "$TMPDIR/one"
t_wait_for 10 asked
echo "ok: a filter joins while 200 strangers are connected"
wait "$STRANGERS"
t_eq "each was hung up on" "$(cat said)" "garbage ended
too long ended
an empty greeting ended
another version ended
no greeting ended
a size that is none ended
half-open 200"
few() {
	[ "$(find "/proc/$STREAMS/task" -mindepth 1 -maxdepth 1 | wc -l)" -lt 100 ]
}
t_wait_for 10 few
echo "ok: ... and none of their threads is left when somebody else comes"
t_errno EACCES t_as_user env PIPESFS_URFS="$PIPESFS_URFS" python3 -c "
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.connect('$PIPESFS_URFS')"
t_eq "the filter is asked all the time" "$(cat one/file)" first

# --- stopped ---

kill -STOP "$FILTER"
t_wait_state "$FILTER" T
ctl deadline udummyflt 100ms
t_errno EPERM cat one/file
t_ok "redirctl answers" t_ends 10 ./redirctl -m "$P" policy udummyflt open
t_eq "... and what is refused may be done now" "$(cat one/file)" first
t_has "whether it may be changed it does not say" "$(ctl deactivate udummyflt 2>&1)" "does not say whether it may be changed"
kill -CONT "$FILTER"
ctl deadline udummyflt 5s
t_wait_for 10 asked

# --- trees that come and go ---

channels() {
	grep -c memfd:urfs "/proc/$FILTER/maps" || :
}
for _ in 1 2 3; do
	ctl deactivate udummyflt
	ctl activate udummyflt
done
t_wait_for 10 asked
one_channel() {
	[ "$(channels)" = 1 ]
}
t_wait_for 10 one_channel
echo "ok: of trees that have gone the filter keeps nothing"

# --- dies again and again ---

files() {
	find "/proc/$STREAMS/fd" -mindepth 1 | wc -l
}
BEFORE=$(files)
ctl policy udummyflt closed
for _ in 1 2 3 4 5; do
	kill -9 "$FILTER"
	wait "$FILTER" 2>/dev/null || :
	t_wait_for 10 sh -c "./redirctl -m $P list | grep -q gone"
	! cat one/file 2>/dev/null || t_fail "closed, and yet open"
	rm -f log
	start
	t_wait_for 10 asked 2>/dev/null
done
t_ok "five times killed and started: streams has no more descriptors" test "$(files)" -le $((BEFORE + 2))
t_eq "... its paths are there once" "$(ctl paths udummyflt)" "$TMPDIR/one 0x6"
