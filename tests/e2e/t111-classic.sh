#!/bin/sh
# Without the right to load eBPF a packet socket's classic filter lets through what anybody wants, and nothing else comes into
# the ring: what readers get is what they get without any filter. PFS_AGREE_SECONDS for each source.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 ss
t_cable

# How many instructions the packet sockets' filters have that look at anything.
filters() {
	t_got=$(ss -0 -b | grep -c 'bpf filter ([1-9][0-9]\+)') || true
	echo "$t_got"
}

export PIPESFS_NO_EBPF=1
t_mount
before=$(filters)
mkdir -p "$P/dev/near/udp" "$P/dev/near/tcp"
t_read dev/near/udp/all udp.pcap
reader=$BG
grep -q 'lets through what anybody wants' "$P/dev/near/.program" || t_fail "$(cat "$P/dev/near/.program")"
grep -q '^([0-9]*) jeq' "$P/dev/near/.program" || t_fail "no listing: $(cat "$P/dev/near/.program")"
t_eq "the socket has a filter" "$(filters)" $((before + 1))
cat >send.py <<'EOF'
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
def frame(protocol):
    head = bytes.fromhex("4500002800010000") + bytes((64, protocol)) + bytes(2) + bytes((10, 0, 0, 1, 10, 0, 0, 2))
    return bytes.fromhex("ffffffffffff0200000000010800") + head + bytes((3, 232, 0, 53, 0, 20, 0, 0)) + bytes(12)
for i in range(500):
    s.send(frame(6))
for i in range(20):
    s.send(frame(17))
EOF
ip netns exec far python3 send.py
all_udp() {
	[ "$(t_stat dev/near/udp out)" = 20 ]
}
t_wait_for 10 all_udp
t_eq "frames in the ring, of 520" "$(t_stat dev/near kernel.copied)" 20
# Who comes has what he wants from then on.
t_read dev/near/tcp/all tcp.pcap
other=$BG
ip netns exec far python3 send.py
all_tcp() {
	[ "$(t_stat dev/near/tcp out)" = 500 ] && [ "$(t_stat dev/near/udp out)" = 40 ]
}
t_wait_for 10 all_tcp
t_eq "frames in the ring with both" "$(t_stat dev/near kernel.copied)" 540
kill "$reader" "$other"
wait "$reader" "$other" || true
# A count is what it is for: it counts what nobody reads.
mkdir -p "$P/dev/near/ip/count/udp"
t_read dev/near/ip/count/udp/all udp.pcap
ip netns exec far python3 send.py
all_counted() {
	[ "$(t_stat dev/near/ip/count/udp out)" = 20 ]
}
t_wait_for 10 all_counted
t_eq "counted, of 520 of which 20 are read" "$(t_stat dev/near/ip/count records)" 520
kill "$BG"
wait "$BG" || true

# The random trees begin with nothing.
rmdir "$P/dev/near/ip/count/udp" "$P/dev/near/ip/count" "$P/dev/near/ip" "$P/dev/near/udp" "$P/dev/near/tcp"
for source in dev/near dev/any; do
	python3 "$TOP/tests/tools/agree.py" "$P" "$source" "${PFS_AGREE_SECONDS:-0.5}" || t_fail "$source"
done

# `any`: the filter is for Ethernet; what a tunnel shows begins at the IP header and comes all the same.
cat >tun.py <<'EOF'
import fcntl, os, struct, subprocess, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"classic", 0x1001))
subprocess.run(["ip", "link", "set", "classic", "up"], check=True)
os.write(tun, bytes.fromhex("450000280001000040110000") + bytes((10, 0, 0, 1, 10, 0, 0, 2, 3, 232, 0, 53, 0, 20, 0, 0)) + bytes(12))
EOF
if [ -w /dev/net/tun ]; then
	mkdir -p "$P/dev/any/udp"
	t_read dev/any/udp/all any.raw
	python3 tun.py
	any_udp() {
		[ "$(t_stat dev/any/udp out)" -ge 1 ]
	}
	t_wait_for 10 any_udp
	grep -q 'hatype\|#0x304' "$P/dev/any/.program" || t_fail "$(cat "$P/dev/any/.program")"
else
	t_note "no /dev/net/tun: devices that are not Ethernet are not tried"
fi
