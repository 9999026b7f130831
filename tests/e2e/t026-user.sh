#!/bin/sh
# needs: user
# What an ordinary user mounts: it works without any privilege, ends like root's, and
# nobody else may enter. And root's mount, used by ordinary users.
# shellcheck disable=SC2119 # t_start without arguments is meant
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need fusermount3 setpriv
[ -w /dev/fuse ] || t_skip "needs a /dev/fuse that users may open"

as_user() {
	t_as_user "$@"
}
as_user true
ROOT_P=$P
export P="$U/p"
as_user mkdir "$P"
t_cleanup sh -c "fusermount3 -u -z $P || umount -l $P"

user_start() {
	t_got=0
	as_user "$PIPESFS" mount "$P" >mount.log 2>&1 || t_got=$?
	[ $t_got = 0 ] || t_fail "a user's mount: status $t_got: $(cat mount.log)"
	as_user cat "$P/.control" >control
	KEEPER=$(sed -n 's/^keeper //p' control)
	STREAMS=$(sed -n 's/^streams //p' control)
	as_user mkdir "$P/accept"
}

begin() {
	user_start
	rm -f "$U/reader"
	as_user sh -c "echo \$\$ >'$U/reader'; exec cat '$P/accept/all'" >out 2>err &
	B=$!
	t_wait_for 5 test -s "$U/reader"
	R=$(cat "$U/reader")
	t_cleanup kill -9 "$R"
	t_blocked "$R"
}

if ! as_user "$PIPESFS" mount "$P" >mount.log 2>&1; then
	grep -q 'Operation not permitted\|Permission denied' mount.log && t_skip "users may not mount here: $(cat mount.log)"
	t_fail "a user's mount: $(cat mount.log)"
fi
t_ok "pipesfs umount by the user" as_user "$PIPESFS" umount "$P"

begin
if [ "$(id -u)" = 0 ]; then
	t_errno EACCES ls "$P"
	t_eq "streams has no capability" "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$STREAMS/status")" 0000000000000000
fi
t_eq "the user owns it" "$(as_user stat -c %u "$P/accept")" "$(as_user id -u)"
as_user sh -c "echo through a user\'s pipe >'$P/accept/all'"
t_rc $B
t_eq "data flows" "$(cat out)" "through a user's pipe"
as_user sh -c "cat '$P/netfilter_in/all'" >out 2>&1 && t_fail "a user reads the network"
echo "ok: the network is not for users: $(cat out)"
as_user fusermount3 -u "$P"
t_nobody "fusermount3 -u"

begin
as_user "$PIPESFS" umount "$P"
t_nobody "pipesfs umount with a reader" "$R"
t_rc $B
t_eq "... which got end of file" "$RC $(cat err)" '0 '

begin
kill -9 "$STREAMS"
t_nobody "kill -9 of a user's streams" "$R"

begin
kill -9 "$KEEPER"
t_nobody "kill -9 of a user's keeper" "$R"

begin
kill -STOP "$STREAMS"
t_nobody "SIGSTOP of a user's streams" "$R"

begin
kill -STOP "$KEEPER"
as_user "$PIPESFS" umount "$P"
t_nobody "umount with a stopped keeper of a user" "$R"

begin
kill -STOP "$KEEPER" "$STREAMS"
as_user "$PIPESFS" abort "$P" || true
t_nobody "abort of a user's mount that hangs" "$R"

if [ "$(id -u)" = 0 ]; then
	begin
	"$PIPESFS" umount "$P"
	t_nobody "root ends a user's mount" "$R"
	t_rc $B
	t_eq "... cleanly, where the kernel tells whose it is" "$RC $(cat err)" '0 '
fi
[ "$(id -u)" = 0 ] || exit 0

# --- root's mount, used by ordinary users --------------------------------------------------

P=$ROOT_P
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_start
id=$(t_as_user id -u)

t_ok "a user makes a directory" t_as_user mkdir "$P/accept:mine"
t_eq "which is the user's own" "$(stat -c %u "$P/accept:mine")" "$id"
t_errno EACCES t_as_user ls "$P/accept"
t_errno EACCES t_as_user mkdir "$P/netfilter_in/ip"
t_errno EPERM t_as_user rmdir "$P/accept"
t_errno EACCES t_as_user cat "$P/.control"

t_as_user mkdir "$P/nosuch" 2>/dev/null && t_fail "nosuch"
mkdir "$P/nosuchroot" 2>/dev/null && t_fail "nosuchroot"
t_eq "a user reads his own refusals" "$(t_as_user grep -c 'nosuch ' "$P/.errors")" 1
t_fails "... and no others" t_as_user grep -q nosuchroot "$P/.errors"
t_eq "root reads all" "$(grep -c 'nosuch' "$P/.errors")" 2

t_ok "chmod gives it away" chmod 755 "$P/netfilter_in"
t_eq "... with its pipes" "$(stat -c %a "$P/netfilter_in/all")" 644
t_ok "chown too" chown "$id" "$P/netfilter_in"
t_eq "... with its pipes" "$(stat -c %u "$P/netfilter_in/all")" "$id"
t_errno EPERM t_as_user chown 0 "$P/accept:mine"
t_ok "a user changes the mode of his own" t_as_user chmod 750 "$P/accept:mine"
t_eq "... which shows" "$(stat -c %a "$P/accept:mine")" 750

caps=$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$STREAMS/status")
kept=$(capsh --decode="$caps" 2>/dev/null | sed 's/.*=//' || true)
t_note "streams keeps $caps: $kept"
t_eq "streams cannot do what it need not" "$(printf '%x\n' $((0x$caps & ~0xc0002830c4)))" 0
caps=$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$KEEPER/status")
t_eq "nor can the keeper" "$(printf '%x\n' $((0x$caps & ~0x200004)))" 0
"$PIPESFS" umount "$P"
t_nobody "the end"
