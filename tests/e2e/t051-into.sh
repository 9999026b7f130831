#!/bin/sh
# into: branches that come together, packets and bytes; by which paths a directory is found; circles
# through every way into the tree; a target that goes; whose it is.
# shellcheck disable=SC2119 # t_start without arguments is meant
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need setpriv tcpdump
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_cleanup t_unmount "$P"
t_start
alice() {
	setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all -- "$@"
}
slashes() {
	printf '%s' "$1" | sed 's|/|%2f|g'
}

# Two branches of one capture, joined: all of both, with their times, and one end.
capture make in.pcap
mkdir -p "$P/accept:j/unpcap" "$P/accept:i/unpcap/tcp" "$P/accept:i/unpcap/udp"
mkdir "$P/accept:i/unpcap/tcp/into:accept:j%2funpcap" "$P/accept:i/unpcap/udp/into:accept:j%2funpcap"
for n in 1 2; do
	t_read accept:i/unpcap/tcp/all.pcapng tcp.pcapng
	TCP=$BG
	t_read accept:i/unpcap/udp/all.pcapng udp.pcapng
	UDP=$BG
	t_read accept:j/unpcap/all.pcapng out.pcapng
	cat in.pcap >"$P/accept:i/all"
	t_done "$BG"
	t_done "$TCP"
	t_done "$UDP"
	tcpdump -n -e -tt -r out.pcapng 2>/dev/null | sort >out.txt
	(tcpdump -n -e -tt -r tcp.pcapng && tcpdump -n -e -tt -r udp.pcapng) 2>/dev/null | sort >want.txt
	t_same "tcp and udp joined are tcp or udp ($n)" out.txt want.txt
done
t_ok "there were some" test -s want.txt
t_eq "they were counted" "$(($(t_stat accept:i/unpcap/tcp/into:accept:j%2funpcap joined) + $(t_stat accept:i/unpcap/udp/into:accept:j%2funpcap joined)))" "$((2 * $(wc -l <want.txt)))"

# Ways to name it: the mount, a bind mount of it or of a part, links to either.
mkdir "$P/accept:a" "$P/accept:b" "$TMPDIR/bind" "$TMPDIR/part"
mount --bind "$P" "$TMPDIR/bind"
t_cleanup umount "$TMPDIR/bind"
mount --bind "$P/accept:b" "$TMPDIR/part"
t_cleanup umount "$TMPDIR/part"
ln -s "$P/accept:b" link
ln -s "$TMPDIR/bind" far
for way in accept:b "$P/accept:b" "$TMPDIR/bind/accept:b" "$TMPDIR/part" "$TMPDIR/link" "$TMPDIR/far//./accept:b"; do
	name="into:$(slashes "$way")"
	mkdir "$P/accept:a/$name"
	t_eq "into ${way#"$TMPDIR"}" "$(sed -n 's/^target //p' "$P/accept:a/$name/.stats")" /accept:b
	# Back again, by the same way: a circle.
	back=$(printf '%s' "$way" | sed 's/accept:b/accept:a/; s/part$/bind\/accept:a/; s/link$/bind\/accept:a/')
	t_errno ELOOP mkdir "$P/accept:b/into:$(slashes "$back")"
	rmdir "$P/accept:a/$name"
done
t_has "... and .errors says so" "$(tail -n 1 "$P/.errors")" circle
t_errno EINVAL mkdir "$P/accept:a/into:%2ftmp"
t_errno ENOENT mkdir "$P/accept:a/into:accept:none"
t_errno EINVAL mkdir "$P/accept:a/into:accept:a"

# A target that goes: the writer is not stalled, and is told.
mkdir "$P/accept:b/into:accept:j"
mkdir "$P/accept:a/into:accept:b"
rmdir "$P/accept:b/into:accept:j"
rmdir "$P/accept:b"
t_ok "writing goes on" t_ends 20 sh -c "head -c 64M /dev/zero >'$P/accept:a/all'"
lost() {
	[ "$(t_stat accept:a/into:accept:b lost.target-removed)" -gt 0 ]
}
t_wait_for 5 lost
t_has ".errors says why" "$(tail -n 1 "$P/.errors")" "its target has been removed"

# To join is to write.
alice mkdir "$P/accept:hers"
t_errno EACCES alice mkdir "$P/accept:hers/into:accept:j"
chmod 733 "$P/accept:j"
t_ok "who may write may join" alice mkdir "$P/accept:hers/into:accept:j"
"$PIPESFS" umount "$TMPDIR/bind" >/dev/null 2>&1 || true
