#!/bin/sh
# timeout: 180
# Live sources: a device, all devices, lo and the netfilter hooks give what tcpdump gives,
# for IPv4 and IPv6, with their parameters; they are attached only while somebody consumes;
# without eBPF the devices work too.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need tcpdump
t_cable
ip addr add 10.9.0.1/24 dev near
ip addr add fd09::1/64 dev near nodad
ip -n far addr add 10.9.0.2/24 dev far
ip -n far addr add fd09::2/64 dev far nodad
ip link set near arp on
ip -n far link set far arp on

idle() {
	t_attached >now
	cmp -s now idle
}

# --- devices: the same as tcpdump on the same device --------------------------------------

devices() {
	mode=$1
	t_mount
	t_attached >idle

	tcpdump --immediate-mode -U --time-stamp-precision=nano -i near -w dump.pcap 2>dump.err &
	dump=$!
	t_cleanup kill "$dump"
	t_wait_for 10 grep -q 'listening on' dump.err
	t_read dev/near/all.pcapng near.pcapng
	near=$BG
	t_read dev/any/all.pcapng any.pcapng
	any=$BG
	mkdir "$P/dev/lo/udp"
	t_read dev/lo/udp/all.pcapng lo.pcapng
	lo=$BG
	t_attached >busy
	t_fails "$mode: attached while read" cmp -s idle busy

	t_frames -n far mark far mark-start
	t_frames -n far send far assortment.pcap
	t_frames send near assortment.pcap
	t_frames -n far vlan far mark-vlan
	t_frames udp ::1 9 mark-lo
	t_frames udp fd09::2 9 mark-six
	t_wait_for 10 grep -aq mark-six near.pcapng # its neighbour may have to be asked for twice, a second apart
	t_frames -n far mark far mark-end
	ended() {
		grep -aq mark-end near.pcapng && grep -aq mark-end dump.pcap && grep -aq mark-end any.pcapng && grep -aq mark-lo lo.pcapng
	}
	t_wait_for 10 ended
	kill "$dump" "$near" "$any" "$lo"
	wait "$dump" || true

	python3 "$TOP/tests/tools/samewire.py" near.pcapng dump.pcap mark-start mark-end near || t_fail "$mode: near differs from tcpdump"
	echo "ok: $mode: near: the frames that tcpdump sees, in order, at the same times"
	python3 "$TOP/tests/tools/samewire.py" any.pcapng dump.pcap mark-start mark-end near || t_fail "$mode: any differs from tcpdump"
	echo "ok: $mode: any: the same frames of near"
	t_eq "$mode: lo once" "$(capture find lo.pcapng mark-lo | wc -l)" 1
	t_wait_for 10 idle
	echo "ok: $mode: detached when the readers left"
	t_eq "$mode: no loss" "$(t_stat dev/near lost)" 0

	# A counter consumes too, without a reader.
	mkdir "$P/dev/near/count"
	t_attached >counting
	t_fails "$mode: a counter attaches" cmp -s idle counting
	t_frames -n far mark far one two three
	counted() {
		[ "$(t_stat dev/near/count records)" -ge 3 ]
	}
	t_wait_for 10 counted
	rmdir "$P/dev/near/count"
	t_wait_for 10 idle
	echo "ok: $mode: its end detaches"

	# Parameters.
	echo snaplen=60 >"$P/dev/near/.params"
	t_read dev/near/all.pcapng snap.pcapng
	t_frames -n far mark far "mark-snap-$(printf '%0100d' 7)"
	t_wait_for 10 grep -aq mark-snap snap.pcapng
	kill "$BG"
	t_has "$mode: snaplen cuts, the true length stays" "$(capture find snap.pcapng mark-snap)" 'wire 152 cap 60 '
	echo snaplen=262144 >"$P/dev/near/.params"

	for way in in out; do
		echo "direction=$way" >"$P/dev/near/.params"
		t_read dev/near/all.pcapng "$way.pcapng"
		t_frames mark near mark-out
		t_frames -n far mark far mark-in
		t_frames mark near mark-out
		t_frames -n far mark far mark-in
		twice() {
			[ "$(capture find "$way.pcapng" mark- | wc -l)" = 2 ]
		}
		t_wait_for 10 twice
		kill "$BG"
		t_eq "$mode: direction=$way" "$(grep -ao 'mark-[a-z]*' "$way.pcapng" | sort -u)" "mark-$way"
	done
	echo direction=inout >"$P/dev/near/.params"

	# Promiscuous while read, as with tcpdump; not when told so.
	promiscuous() {
		ip -d link show near | grep -q 'promiscuity [1-9]'
	}
	t_read dev/near/all p.raw
	t_ok "$mode: promiscuous while read" promiscuous
	kill "$BG"
	t_wait_for 10 idle
	t_fails "$mode: not afterwards" promiscuous
	echo promisc=off >"$P/dev/near/.params"
	t_read dev/near/all p.raw
	t_fails "$mode: promisc=off" promiscuous
	kill "$BG"
	t_wait_for 10 idle

	t_unmount "$P"
}

capture wire assortment.pcap
devices eBPF
export PIPESFS_NO_EBPF=1
devices fallback
unset PIPESFS_NO_EBPF

# --- another network namespace ---------------------------------------------------------------

t_mount
t_attached >idle
echo netns=far >"$P/dev/lo/.params"
ip -n far link set lo up
t_read dev/lo/all lo-far.raw
t_in far python3 "$TOP/tests/tools/frames.py" udp 127.0.0.1 9 mark-far-lo
t_frames udp 127.0.0.1 9 mark-near-lo
t_wait_for 10 grep -aq mark-far-lo lo-far.raw
t_fails "netns=: only there" grep -aq mark-near-lo lo-far.raw
kill "$BG"
t_wait_for 10 idle

# --- netfilter hooks --------------------------------------------------------------------------

readers=
for hook in in out pre post forward; do
	t_read "netfilter_$hook/all.pcapng" "$hook.pcapng"
	readers="$readers $BG"
done
t_attached >busy
t_fails "hooks are attached while read" cmp -s idle busy

t_frames udp 10.9.0.2 9 to-far-4
t_frames udp fd09::2 9 to-far-6
t_frames -n far udp 10.9.0.1 9 from-far-4
t_frames -n far udp fd09::1 9 from-far-6
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip netns add third
t_cleanup ip netns del third
ip link add mid type veth peer name end netns third
ip link set mid up
ip -n third link set end up
t_wait_for 5 sh -c 'ip link show mid | grep -q LOWER_UP'
ip addr add 10.8.0.1/24 dev mid
ip addr add fd08::1/64 dev mid nodad
ip -n third addr add 10.8.0.2/24 dev end
ip -n third addr add fd08::2/64 dev end nodad
ip -n far route add default via 10.9.0.1
ip -n far -6 route add default via fd09::1
t_frames -n far udp 10.8.0.2 9 through-4
t_frames -n far udp fd08::2 9 through-6

# ICMP errors quote what they answer; only UDP packets count.
words() {
	tcpdump -nn -r "$1.pcapng" -w - 'udp' 2>/dev/null | grep -aoE '(to|from)-far-[46]|through-[46]' | sort -u | tr '\n' ' '
}
has_all() {
	[ "$(words "$hook")" = "$want" ]
}
while read -r hook want; do
	want="$want "
	t_wait_for 10 has_all
	echo "ok: netfilter_$hook: $want"
	t_eq "netfilter_$hook: starts at the IP header" "$(capture list "$hook.pcapng" | sed 's/.*link \([0-9]*\) .*/\1/' | sort -u)" 101
done <<-'HOOKS'
	in from-far-4 from-far-6
	out to-far-4 to-far-6
	pre from-far-4 from-far-6 through-4 through-6
	post through-4 through-6 to-far-4 to-far-6
	forward through-4 through-6
HOOKS
t_has "nanoseconds, raw IP" "$(capture interfaces in.pcapng | head -n 1)" ' 101 9'
# shellcheck disable=SC2086
kill $readers
t_wait_for 10 idle
echo "ok: hooks are detached when nobody reads"

mkdir "$P/netfilter_in/udp" "$P/netfilter_in/icmp"
t_read netfilter_in/udp/all udp.raw
t_read netfilter_in/icmp/all icmp.raw
t_frames -n far ping 10.9.0.1 only-ping
t_frames -n far udp 10.9.0.1 9 only-udp
t_wait_for 10 grep -aq only-udp udp.raw
t_wait_for 10 grep -aq only-ping icmp.raw
t_fails "udp has no ping" grep -aq only-ping udp.raw
