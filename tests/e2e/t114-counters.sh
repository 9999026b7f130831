#!/bin/sh
# Counters below a device: only their numbers leave the kernel, and their readers get lines of them all the same.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount

echo snaplen=64 >"$P/dev/near/.params"
mkdir -p "$P/dev/near/udp/packetcount" "$P/dev/near/udp/bytecount" "$P/dev/near/packetcount"
t_read dev/near/udp/packetcount/all lines
cat >send.py <<'EOF'
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
def frame(protocol):
    head = bytes.fromhex("4500005600010000") + bytes((64, protocol)) + bytes(2) + bytes((10, 0, 0, 1, 10, 0, 0, 2))
    return bytes.fromhex("ffffffffffff0200000000010800") + head + bytes(66)
for i in range(300):
    s.send(frame(6))
    s.send(frame(17))
EOF
ip netns exec far python3 send.py
counted() {
	[ "$(t_stat dev/near kernel.seen)" = "$1" ]
}
t_wait_for 10 counted 600
t_eq "all" "$(t_stat dev/near/packetcount packets)" 600
t_eq "UDP" "$(t_stat dev/near/udp/packetcount packets)" 300
t_eq "what came to it" "$(t_stat dev/near/udp/packetcount in)" 300
t_eq "on the wire" "$(t_stat dev/near/udp/bytecount wire)" 30000
t_eq "as far as it was seen" "$(t_stat dev/near/udp/bytecount captured)" 19200
t_eq "left the kernel" "$(t_stat dev/near kernel.copied)" 0
lines_say() {
	tail -n 1 lines | grep -q "\"packets\":$1}"
}
t_wait_for 10 lines_say 300

# With a reader beside them some come, and each is counted once.
t_read dev/near/udp/all udp.pcap
ip netns exec far python3 send.py
t_wait_for 10 counted 1200
t_eq "left the kernel, with a reader" "$(t_stat dev/near kernel.copied)" 300
came() {
	[ "$(t_stat dev/near/udp/packetcount packets) $(t_stat dev/near/udp/bytecount wire)" = "600 60000" ] &&
		[ "$(t_stat dev/near/udp/bytecount captured)" = 38400 ]
}
t_wait_for 10 came
kill "$BG"
wait "$BG" || true
unread() {
	[ "$(t_stat dev/near/udp readers)" = 0 ]
}
t_wait_for 10 unread
ip netns exec far python3 send.py
t_wait_for 10 counted 1800
t_eq "all, in the end" "$(t_stat dev/near/packetcount packets)" 1800
t_eq "UDP, in the end" "$(t_stat dev/near/udp/packetcount packets)" 900
t_eq "left the kernel, in the end" "$(t_stat dev/near kernel.copied)" 300
t_wait_for 10 lines_say 900
t_eq "who comes is told" "$(head -n 1 "$P/dev/near/udp/packetcount/all.json" | sed 's/.*"packets"/packets/')" "packets:900}"
