#!/bin/sh
# timeout: 120
# libpipesfs: what a client takes from memory is what `cat` reads, of a source, below filters, of a view of text and of a device;
# a lossy one knows what it lost; the books agree; a client that closes or is killed is gone from them.
. "$T_LIB"
t_need python3
follow=$T_BUILD/src/example-follow
[ -x "$follow" ] || t_skip "the library was not built"
t_mount

# both DIR NAME: a client and a cat of the same file, which are there
both() {
	rm -f err
	"$follow" "$1/$2" >got 2>err &
	client=$!
	cat "$1/$2" >want &
	cat=$!
	dir=$1
	t_wait_for 20 is_there "$1"
	t_wait_for 20 grep -q command=cat "$1/.readers"
}
is_there() {
	[ ! -s err ] || t_fail "the client says: $(cat err)"
	grep -q command=example-follow "$1/.readers"
}
# same WHAT: they end, and have got the same, which is something
same() {
	wait $client || {
		cat err
		t_fail "the client ended with an error: $1"
	}
	wait $cat
	[ -s want ] || t_fail "nothing came: $1"
	t_same "$1" got want
	t_eq "$1: nothing was lost" "$(cat err)" "lost 0"
	[ ! -e "$dir" ] || t_wait_for 20 nobody
}
nobody() {
	[ -z "$(cat "$dir/.readers")" ]
}

mkdir "$P/accept" "$P/accept/lines" "$P/accept/unpcap" "$P/accept/unpcap/ip"
seq 1 300000 >numbers

both "$P/accept" all
t_has "the books show the client" "$(cat "$P/accept/.readers")" "command=example-follow policy=reliable"
cp numbers "$P/accept/all"
same "bytes of a source"
t_same "all of it" want numbers

both "$P/accept/lines" all
cp numbers "$P/accept/all"
same "records of a filter"

both "$P/accept" all.txt
cp numbers "$P/accept/all"
same "a view of text"

python3 - >packets <<'END'
import struct, sys
out = sys.stdout.buffer
out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
for i in range(20000):
    kind = 0x800 if i % 3 else 0x806
    packet = bytes(12) + struct.pack(">H", kind) + b"\x45" + bytes([0, 0, 20 + i % 200]) + bytes(16 + i % 200)
    out.write(struct.pack("<IIII", i, 0, len(packet), len(packet)) + packet)
END
both "$P/accept/unpcap/ip" all
cp packets "$P/accept/all"
same "packets that lie in the ring of another directory"

# What a view says first cannot be mapped; what is no pipe, either.
t_fails "a capture file" "$follow" "$P/accept/unpcap/all.pcapng"
t_has "says why" "$(cat .out)" "read it"
t_fails "a file of text" "$follow" "$P/accept/.stats"
t_fails "what is not there" "$follow" "$P/accept/nothing"
t_has "says why" "$(cat .out)" "No such file"

# By a link; killed; and with the end of the directory.
ln -s "$P/accept/all" link
dir=$P/accept
"$follow" link >got 2>err &
client=$!
t_wait_for 20 grep -q command=example-follow "$P/accept/.readers"
kill -9 $client
wait $client || :
t_wait_for 20 nobody
"$follow" "$P/accept/lines/all" >got 2>err &
client=$!
t_wait_for 20 grep -q command=example-follow "$P/accept/lines/.readers"
rmdir "$P/accept/lines"
wait $client || t_fail "a directory that goes ends its clients: $(cat err)"

if [ "$(id -u)" = 0 ]; then
	ip link set lo up
	mkdir "$P/dev/lo/udp"
	both "$P/dev/lo/udp" all
	python3 - <<'END'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for i in range(3000):
    s.sendto(b"packet %d." % i, ("127.0.0.1", 9))
END
	t_wait_for 20 grep -qa "packet 2999\." want
	rmdir "$P/dev/lo/udp"
	same "packets of a device"
fi
