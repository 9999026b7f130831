#!/bin/sh
# needs: user
# timeout: 180
# The commands a newcomer types first: demo, demo --live, ls, stat, doctor; as root and as an
# ordinary user, with no network and no questions.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump

pipesfs() {
	"$PIPESFS" "$@"
}

# --- demo -----------------------------------------------------------------------------------

mounts() {
	grep -c pipesfs /proc/self/mountinfo || true
}

demo() {
	who=$1
	shift
	mounted=$(mounts)
	start=$(date +%s)
	"$@" "$PIPESFS" demo </dev/null >"demo.$who" 2>&1 || t_fail "demo as $who: status $? $(cat "demo.$who")"
	t_ok "demo as $who: under a minute" test $(($(date +%s) - start)) -le "$(t_seconds 60)"
	t_eq "demo as $who: leaves no mount" "$(mounts)" "$mounted"
	t_has "demo as $who: shows its pipeline" "$(cat "demo.$who")" accept/unpcap/ip/httpplus
	t_has "demo as $who: shows GET requests" "$(cat "demo.$who")" 'GET /'
	t_has "demo as $who: tcpdump or tshark reads it" "$(cat "demo.$who")" all.pcapng
	t_fails "demo as $who: prints no control characters but colours" grep -q "$(printf '[\001-\010\013-\032\034-\037]')" "demo.$who"
}
demo me
if [ "$(id -u)" = 0 ]; then
	demo user t_as_user
	mounted=$(mounts)
	"$PIPESFS" demo --live </dev/null >live 2>&1 || t_fail "demo --live: status $? $(cat live)"
	t_has "demo --live: in and out" "$(cat live)" netfilter_
	t_has "demo --live: GET requests" "$(cat live)" 'GET /'
	t_eq "demo --live: leaves no mount" "$(mounts)" "$mounted"
	t_eq "demo --live: leaves no namespace" "$(ip netns list)" ''
	t_fails "demo --live needs root" t_as_user "$PIPESFS" demo --live
fi

# --- ls and stat ------------------------------------------------------------------------------

t_mount
mkdir -p "$P/accept/unpcap/ip/httpplus"
capture make in.pcap
t_read accept/unpcap/ip/httpplus/all out
cat in.pcap >"$P/accept/all"
t_done "$BG"
out=$("$PIPESFS" ls "$P") || t_fail "ls: status $?"
for word in accept unpcap ip httpplus; do
	t_has "ls shows $word" "$out" $word
done
out=$("$PIPESFS" stat "$P/accept/unpcap") || t_fail "stat: status $?"
t_has "stat shows what unpcap made" "$out" "$(capture count in.pcap)"
t_fails "ls of no mount" "$PIPESFS" ls /
t_fails "stat of what is not there" "$PIPESFS" stat "$P/accept/nothing"

# --- doctor --------------------------------------------------------------------------------------

out=$("$PIPESFS" doctor 2>&1) || t_fail "doctor: status $? $out"
for word in fuse bpf kernel; do
	t_has "doctor speaks of $word" "$(echo "$out" | tr '[:upper:]' '[:lower:]')" $word
done
if [ "$(id -u)" = 0 ]; then
	t_ok "doctor as an ordinary user" t_as_user "$PIPESFS" doctor
fi

# --- usage ------------------------------------------------------------------------------------------

t_ok "help" "$PIPESFS" --help
t_ok "version" "$PIPESFS" --version
t_fails "an unknown command" pipesfs no-such-command
t_fails "mount on nothing" pipesfs mount "$TMPDIR/not-there"
t_fails "umount of what is no mount" pipesfs umount "$TMPDIR"
