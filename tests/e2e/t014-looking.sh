#!/bin/sh
# Looking acts on nothing: ten walks over the whole tree, with live sources, filters, files
# and views in it, open no packet socket, load no program, make no process, and leave the
# daemons' memory where it was.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_cable
t_mount

mkdir -p "$P/netfilter_in/ip/tcp" "$P/netfilter_out/ip/httpplus" "$P/dev/near/match:tcp port 80" "$P/dev/lo/udp" \
	"$P/accept/unpcap/ip/tcp" "$P/accept:other/unpcapng/inspect"
capture make in.pcap
mkdir "$P/pcap:$(pwd | sed 's|/|%2f|g')%2fin.pcap"
mkdir "$P/pcap:$(pwd | sed 's|/|%2f|g')%2fin.pcap/tcp"

state() {
	t_attached
	echo "other sockets:"
	cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6 /proc/net/raw /proc/net/raw6 | sed 1d | awk '{ print $2, $10 }'
	echo "what the daemons have open:"
	for pid in $(t_daemons); do
		for fd in /proc/"$pid"/fd/*; do
			readlink "$fd" || true
		done | sort
	done
	echo "processes:"
	t_daemons
}

threads() {
	for pid in $(t_daemons); do
		find "/proc/$pid/task" -mindepth 1 -maxdepth 1
	done | wc -l
}

rss() {
	for pid in $(t_daemons); do
		awk '$1 == "VmRSS:" { print $2 }' "/proc/$pid/status"
	done | awk '{ n += $1 } END { print n }'
}

look() {
	find "$P" >/dev/null
	find "$P" -type f -size +1k -newer "$P" >/dev/null
	ls -lR "$P" >/dev/null
	ls -laRi "$P" >/dev/null
	du -a "$P" >/dev/null
	stat "$P"/dev/* "$P"/netfilter_*/all* "$P"/accept/.stats >/dev/null
	find "$P" | python3 -c 'import os, sys
for line in sys.stdin:
    try:
        os.listxattr(line[:-1], follow_symlinks=False)
    except OSError:
        pass'
	test -e "$P/no/such/path" || true
	test -r "$P/dev/near/all.pcapng"
}

# The first walk makes what a walk may keep: inode and dentry records.
look
state >before
before=$(rss)
threads_before=$(threads)
for _ in 1 2 3 4 5 6 7 8 9 10; do
	look
done
state >after
after=$(rss)
if ! cmp -s before after; then
	diff before after | sed 's/^/#   /' || true
	t_fail "looking left something behind"
fi
echo "ok: sockets, programs and processes are the same"
t_note "RSS $before KiB, after ten walks $after KiB; threads $threads_before, $(threads)"
t_sanitized || t_memory "at most 1 MiB more" "$after" $((before + 1024))
t_eq "the walk sees the tree" "$(find "$P" -name httpplus -type d | wc -l)" 1
t_ok "a walk ends" t_ends 20 find "$P"

# What acts is open: the contrast that shows that the state above would have told.
t_read dev/near/all dev.raw
state >reading
t_fails "an open reader attaches something" cmp -s before reading
kill "$BG"
gone() {
	state >ended
	cmp -s before ended
}
t_wait_for 10 gone
echo "ok: and its end detaches it"
