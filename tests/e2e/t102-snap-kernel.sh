#!/bin/sh
# snap: is decided in the kernel: what is below it sees the packet as it is cut, those beside it the whole, and no more
# of it leaves the kernel than somebody gets.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount

D=dev/near
send() { # HOW MANY of 1000 bytes, of UDP to port 53
	t_send 'bytes.fromhex("ffffffffffff02000000000108004500038400010000401100000a0000010a00000200070035") + bytes(962)' 0 "$1"
}
mkdir -p "$P/$D/snap:100/match:udp and udp[62:4] = 0/count" "$P/$D/snap:100/match:udp and udp[63:4] = 0/count" \
	"$P/$D/snap:100/bytecount" "$P/$D/match:udp[60] = 0/snap:20/udp/count" "$P/$D/snap:42/dstport/53/count"
send 50
t_wait_for 10 t_seen 50
t_eq "the last bytes" "$(t_stat "$D/snap:100/match:udp and udp[62:4] = 0/count" records)" 50
t_eq "and one more" "$(t_stat "$D/snap:100/match:udp and udp[63:4] = 0/count" records)" 0
t_eq "cut twice, no port is seen" "$(t_stat "$D/match:udp[60] = 0/snap:20/udp/count" records)" 0
t_eq "who is beside sees the whole" "$(t_stat "$D/match:udp[60] = 0/snap:20" out)" 50
t_eq "its bytes" "$(t_stat "$D/match:udp[60] = 0/snap:20" bytes)" 1000
t_eq "a class below" "$(t_stat "$D/snap:42/dstport/53/count" records)" 50
t_eq "counted on the wire" "$(t_stat $D/snap:100/bytecount wire)" 50000
t_eq "and as it is cut" "$(t_stat $D/snap:100/bytecount captured)" 5000
t_eq "left the kernel" "$(t_stat $D kernel.copied)" 0
t_has "and that is shown" "$(grep "snap:42 " "$P/$D/.graph")" " kernel"
t_has "below it, too" "$(grep "dstport " "$P/$D/.graph")" " kernel"

# --- with a reader -----------------------------------------------------------------------------------------
t_read "$D/snap:100/all" cut
t_has "no more is copied than he gets" "$(cat "$P/$D/.program")" "no more of it than somebody gets"
send 10
length() {
	[ "$(stat -c %s "$1")" = "$2" ]
}
t_wait_for 10 length cut 1000
t_eq "all of it counts where it was not cut" "$(t_stat $D bytes)" 60000
t_read "$D/match:udp[60] = 0/all" whole
send 10
t_wait_for 10 length whole 10000
t_wait_for 10 length cut 2000

# --- N is changed ------------------------------------------------------------------------------------------
echo arg=104 >"$P/$D/snap:100/.params"
send 10
t_wait_for 10 length cut 3040
t_wait_for 10 length whole 20000
t_eq "now it is there" "$(t_stat "$D/snap:100/match:udp and udp[63:4] = 0/count" records)" 10
