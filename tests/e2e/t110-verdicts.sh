#!/bin/sh
# drop and pass below the netfilter hooks: what they do, what they count, who is not asked, and when they end.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
ip netns add far
t_cleanup ip netns del far
ip link add near type veth peer name far netns far
ip addr add 10.9.0.1/24 dev near
ip addr add fd09::1/64 dev near nodad
ip -n far addr add 10.9.0.2/24 dev far
ip -n far addr add fd09::2/64 dev far nodad
ip link set lo up
ip link set near up
ip -n far link set far up
pings() {
	ip netns exec far python3 "$TOP/tests/tools/ping.py" "$1" "${2:-1}" 1
}
dropped() {
	got=0
	ip netns exec far python3 "$TOP/tests/tools/ping.py" "$1" 2 0.1 || got=$?
	[ "$got" = 2 ]
}
t_wait_for 5 pings 10.9.0.1
t_wait_for 5 pings fd09::1
t_mount

# --- drop: nobody reads ---------------------------------------------------------------------------
R='netfilter_in/icmp/match:src host 10.9.0.2/drop'
t_ok "a rule" mkdir -p "$P/$R"
t_ok "the ping stops" dropped 10.9.0.1
t_ok "another does not" pings fd09::1
t_eq "counted" "$(t_stat "$R" packets) $(t_stat "$R" dropped) $(t_stat "$R" bytes) $(t_stat "$R" undecided)" "2 2 168 0"
t_has "it is in the kernel" "$(cat "$P/netfilter_in/.program")" "the verdict"

# --- who reads gets it all the same ----------------------------------------------------------------
t_read netfilter_in/icmp/all.txt icmp.txt
t_ok "it is dropped still" dropped 10.9.0.1
lines() {
	[ "$(grep -c "10.9.0.2.*10.9.0.1" icmp.txt)" -eq "$1" ]
}
t_wait_for 10 lines 2
t_eq "counted once" "$(t_stat "$R" packets)" 4

# --- pass comes first -----------------------------------------------------------------------------------
t_ok "pass" mkdir "$P/netfilter_in/icmp/pass"
t_ok "it goes again" pings 10.9.0.1 3
t_eq "drop did not count" "$(t_stat "$R" packets)" 4
t_eq "pass did" "$(t_stat netfilter_in/icmp/pass packets)" 3
t_wait_for 10 lines 5
t_ok "and goes" rmdir "$P/netfilter_in/icmp/pass"
t_ok "dropped again" dropped 10.9.0.1
kill "$BG"

# --- mv, .params, rmdir --------------------------------------------------------------------------------
mkdir "$P/netfilter_in/match:dst port 9"
t_ok "mv" mv "$P/$R" "$P/netfilter_in/match:dst port 9/drop"
t_ok "it is another rule now" pings 10.9.0.1
t_ok "and back" mv "$P/netfilter_in/match:dst port 9/drop" "$P/$R"
t_ok "dropped" dropped 10.9.0.1
mkdir "$P/netfilter_in/head:5"
t_errno EINVAL python3 -c 'import os, sys; os.rename(*sys.argv[1:])' "$P/$R" "$P/netfilter_in/head:5/drop"
t_reason "a mv to where a state is" "head:5" "cannot run there"
t_ok "it is where it was" dropped 10.9.0.1
t_errno EINVAL sh -c "echo tunnel=yes | tee '$P/netfilter_in/icmp/.params'"
t_ok "a filter above that could not run there stays as it was" dropped 10.9.0.1
t_errno EOPNOTSUPP sh -c "echo kernel=off | tee '$P/netfilter_in/.params'"
t_ok "nor is the hook left to the engine" dropped 10.9.0.1
t_ok "rmdir" rmdir "$P/$R"
t_ok "the ping goes on" pings 10.9.0.1

# --- where none can be ------------------------------------------------------------------------------------
for above in head:5 sample:2 port port/443 icmp,tunnel=yes; do
	[ -d "$P/netfilter_in/$above" ] || mkdir -p "$P/netfilter_in/$above"
	t_errno EINVAL mkdir "$P/netfilter_in/$above/drop"
done
t_errno EINVAL mkdir "$P/dev/lo/drop"

# --- a packet that was cut short ---------------------------------------------------------------------------
t_ok "what is behind the cut is not there" mkdir -p "$P/netfilter_in/snap:20/match:ip and icmp[0] = 8/drop"
t_ok "so it passes" pings 10.9.0.1
t_ok "what is before it is" mkdir "$P/netfilter_in/snap:20/match:ip[9] = 1" "$P/netfilter_in/snap:20/match:ip[9] = 1/drop"
t_ok "dropped" dropped 10.9.0.1
t_ok "the cut is moved" sh -c "echo arg=9 >'$P/netfilter_in/snap:20/.params'"
t_ok "it passes" pings 10.9.0.1
t_ok "rmdir" rmdir "$P/netfilter_in/snap:20/match:ip[9] = 1/drop"

# --- IPv6, and what cannot be decided ---------------------------------------------------------------------
t_ok "IPv6" mkdir -p "$P/netfilter_in/match:icmp6 and ip6[40] = 128/drop"
t_ok "dropped" dropped fd09::1
t_ok "IPv4 is not" pings 10.9.0.1
t_ok "a rule that is unsure of extension headers" mkdir -p "$P/netfilter_in/udp/drop"
send_odd() {
	ip netns exec far python3 -c '
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, bytes(8))
s.sendto(b"x", ("fd09::1", 9))'
}
t_ok "sent" send_odd
odd() {
	[ "$(t_stat netfilter_in/udp/drop undecided) $(t_stat netfilter_in/udp/drop packets)" = "$1" ]
}
t_wait_for 10 odd "1 0"
# By its next header, so that what neighbours say meanwhile is not in its numbers.
sure="netfilter_in/match:ip6[6] = 60/drop"
t_ok "who is sure of it" mkdir -p "$P/$sure"
t_ok "sent" send_odd
t_wait_for 10 odd "2 0"
t_eq "is not kept from it" "$(t_stat "$sure" packets) $(t_stat "$sure" undecided)" "1 0"

# --- the process ends --------------------------------------------------------------------------------------
t_ok "a rule for all" mkdir "$P/netfilter_in/drop"
t_ok "all is dropped" dropped 10.9.0.1
for pid in $(t_daemons); do
	kill -9 "$pid" || : # one ends when the other is gone
done
t_wait_for 10 pings 10.9.0.1
echo "ok: with the process its verdicts are gone"
