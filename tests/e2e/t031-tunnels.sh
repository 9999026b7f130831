#!/bin/sh
# timeout: 240
# tunnel=: ip ip6 tcp udp icmp arp vlan give the packets that are inside; of packets built here byte for byte, of other
# people's what tshark finds, of the kernel's own tunnels what was sent through them.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need tcpdump tshark

t_pcaps
t_mount
t_ok "packets in tunnels" python3 "$TOP/tests/tools/tunnels.py" "$P" "$PCAPS"
t_note "$(cat "$TMPDIR/.out")"

mkdir -p "$P/accept/unpcap"
t_errno EINVAL mkdir "$P/accept/unpcap/tcp,tunnel=gtp"
t_reason "what there is" tcp,tunnel=gtp 'gre vxlan'
mkdir "$P/accept/unpcap/tcp"
t_ok "it can be changed" sh -c "echo tunnel=gre+vxlan >'$P/accept/unpcap/tcp/.params'"
t_eq "... and says so" "$(cat "$P/accept/unpcap/tcp/.params")" tunnel=gre+vxlan
t_fails 'not to what there is not' sh -c "echo tunnel=x >'$P/accept/unpcap/tcp/.params'"

# --- live: GRE from a raw socket, VXLAN by the kernel if it can, between two namespaces ---------------

t_netns_pair
vxlan=yes
for end in "$NS_A 1 2" "$NS_B 2 1"; do
	# shellcheck disable=SC2086
	set -- $end
	ip -n "$1" link add vx1 type vxlan id 9 local "10.9.0.$2" remote "10.9.0.$3" dstport 4789 2>/dev/null || vxlan=
	[ -z "$vxlan" ] && break
	ip -n "$1" link set vx1 addrgenmode none
	ip -n "$1" addr add "10.78.0.$2/24" dev vx1
	ip -n "$1" link set vx1 up
done
t_unmount "$P"
t_in "$NS_B" "$PIPESFS" mount "$P"

# Below netfilter packets begin at the IP header, what was inside VXLAN too.
mkdir -p "$P/netfilter_in/icmp,tunnel=yes/host" "$P/dev/vb/icmp,tunnel=vxlan" "$P/dev/vb/arp,tunnel=any"
t_read netfilter_in/icmp,tunnel=yes/all.pcapng inner.pcapng
t_read dev/vb/icmp,tunnel=vxlan/all.pcapng frames.pcapng
t_read dev/vb/arp,tunnel=any/all.pcapng arps.pcapng
t_read netfilter_in/icmp,tunnel=yes/host/all /dev/null

count_is() {
	[ "$(tshark -r "$1" 2>/dev/null | wc -l)" = "$2" ]
}
hosts() {
	tshark -r "$1" -T fields -e frame.protocols -e ip.src -e icmp.type 2>/dev/null | sort | uniq -c | awk '{ $1 = $1; print }'
}

t_in "$NS_A" python3 - "$TOP/tests/tools" <<'END'
import socket, struct, sys
sys.path.insert(0, sys.argv[1])
import pfscap as c
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
for i in range(3):
    inner = c.ip4(struct.pack(">BBHHH", 8, 0, 0, 1, i) + b"inside", 1, "10.77.0.1", "10.77.0.2")
    s.sendto(struct.pack(">HH", 0, 0x800) + inner, ("10.9.0.2", 0))
END
t_wait_for 10 count_is inner.pcapng 3
t_eq "netfilter_in: out of GRE" "$(hosts inner.pcapng)" "3 raw:ip:icmp:data 10.77.0.1 8"
t_ok "classes below see what is inside" test -d "$P/netfilter_in/icmp,tunnel=yes/host/10.77.0.1"
t_fails "... and not what is around it" ls "$P/netfilter_in/icmp,tunnel=yes/host/10.9.0.1"

if [ -z "$vxlan" ]; then
	t_note "this kernel has no VXLAN"
	exit 0
fi
t_in "$NS_A" timeout 20 python3 - <<'END' || t_fail "no answer through VXLAN"
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
for i in range(3):
    echo = struct.pack(">BBHHH", 8, 0, 0xf7ff - i - 0x123, 0x123, i)
    s.sendto(echo, ("10.78.0.2", 0))
    while s.recv(2048)[20] != 0:
        pass
END
t_wait_for 10 count_is inner.pcapng 6
t_eq "netfilter_in: out of VXLAN, from the IP header on" "$(hosts inner.pcapng)" "3 raw:ip:icmp 10.78.0.1 8
3 raw:ip:icmp:data 10.77.0.1 8"
t_wait_for 10 count_is frames.pcapng 6
t_eq "dev: both directions of VXLAN, as frames" "$(hosts frames.pcapng)" "3 eth:ethertype:ip:icmp 10.78.0.1 8
3 eth:ethertype:ip:icmp 10.78.0.2 0"
t_ok "dev: ARP inside" sh -c "tshark -r arps.pcapng -T fields -e arp.src.proto_ipv4 2>/dev/null | grep -qx 10.78.0.1"
