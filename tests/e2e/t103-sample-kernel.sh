#!/bin/sh
# sample: right below a device counts in the kernel, where one in N is copied and the others are not; N changes, readers
# come and go, and none is counted twice or passed over.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount

D=dev/near
send() { # FROM TO: each says its number, every third behind a tag
	t_send 'b"\xff" * 6 + bytes(6) + (b"\x81\0\0\x07" if i % 3 == 0 else b"") + b"\x88\xb5" + i.to_bytes(4, "big") + bytes(60)' "$@"
}
numbers() {
	python3 -c '
import sys
frames, at = open(sys.argv[1], "rb").read(), 0
while at < len(frames):
    tag = 4 if frames[at + 12:at + 14] == b"\x81\x00" else 0
    print(int.from_bytes(frames[at + 14 + tag:at + 18 + tag], "big"), end=" ")
    at += 78 + tag' "$1"
}
say() {
	[ "$(numbers "$1")" = "$2" ]
}

# --- of all packets, also those with a tag, which a filter beside is unsure of -------------------------------
mkdir -p "$P/$D/sample:10/count" "$P/$D/sample:10/snap:20/sample:2/count" "$P/$D/udp/count" "$P/$D/udp/sample:2/count"
t_read $D/sample:10/all ten
t_has "it is counted in the kernel" "$(cat "$P/$D/.program")" "every 10-th"
t_has "and that is shown" "$(grep "sample:10 " "$P/$D/.graph")" " kernel"
t_has "behind what may be unsure it is not" "$(grep -c "sample:2 .*kernel" "$P/$D/.graph")" 1
send 1 101
t_wait_for 10 t_seen 100
t_wait_for 10 say ten "10 20 30 40 50 60 70 80 90 100 "
t_eq "in" "$(t_stat $D/sample:10 in)" 100
t_eq "out" "$(t_stat $D/sample:10 out)" 10
t_eq "and below" "$(t_stat $D/sample:10/count records) $(t_stat $D/sample:10/snap:20/sample:2 in)" "10 10"

# --- N is changed, another comes, and goes: it goes on counting ------------------------------------------------
send 101 105
t_wait_for 10 t_seen 104
echo arg=3 >"$P/$D/sample:10/.params"
mkdir "$P/$D/sample:4"
send 105 111
t_wait_for 10 say ten "10 20 30 40 50 60 70 80 90 100 105 108 "
rmdir "$P/$D/sample:4"
printf 'arg=10\nphase=1\n' >"$P/$D/sample:10/.params" || t_fail "params"
send 111 122
t_wait_for 10 say ten "10 20 30 40 50 60 70 80 90 100 105 108 111 121 "
t_eq "all were counted" "$(t_stat $D/sample:10 in)" 121

# --- it goes elsewhere, its parameters are written, others come and go, and two CPUs send: each is counted once --------
mkdir "$P/$D/count"
mv "$P/$D/sample:10" "$P/$D/count/sample:10"
t_has "still there" "$(grep "sample:10 " "$P/$D/.graph")" " kernel"
printf 'arg=10\nphase=0\n' >"$P/$D/count/sample:10/.params" || t_fail "params"
send 200 4200 &
first=$!
send 10000 14000 &
second=$!
for i in 1 2 3; do
	mkdir -p "$P/$D/sample:$i/count" "$P/$D/sample:3,random=1/count" "$P/$D/udp/sample:2/count"
	printf 'arg=10\n' >"$P/$D/count/sample:10/.params"
	rmdir "$P/$D/sample:$i/count" "$P/$D/sample:$i" "$P/$D/sample:3,random=1/count" "$P/$D/sample:3,random=1"
done
wait $first $second
t_wait_for 10 t_seen 8121
t_eq "in" "$(t_stat $D/count/sample:10 in)" 8121
t_eq "out" "$(t_stat $D/count/sample:10/count records)" 814

# --- at random -----------------------------------------------------------------------------------------------
mkdir -p "$P/$D/sample:4,random=1/count"
t_has "it is decided in the kernel, too" "$(cat "$P/$D/.program")" "one of 4, at random"
send 0 4000
t_wait_for 10 t_seen 12121
n=$(t_stat "$D/sample:4,random=1/count" records)
[ "$n" -gt 700 ] || t_fail "one in four at random: $n of 4000"
[ "$n" -lt 1300 ] || t_fail "one in four at random: $n of 4000"

# --- in the kernel and the engine it is the same: the number goes along ----------------------------------------
mkdir "$P/$D/sample:7" "$P/$D/sample:7/count"
send 0 3
t_wait_for 10 t_seen 12124
echo kernel=off >"$P/$D/.params" || t_fail "kernel=off"
grep "sample:7 .* kernel" "$P/$D/.graph" && t_fail "it is still in the kernel"
send 0 3
counted() {
	[ "$(t_stat $D/sample:7 in)" = "$1" ]
}
t_wait_for 10 counted 6
t_eq "none has passed" "$(t_stat $D/sample:7 out)" 0
echo kernel=on >"$P/$D/.params" || t_fail "kernel=on"
send 0 1
t_wait_for 10 counted 7
t_eq "the seventh has" "$(t_stat $D/sample:7/count records)" 1
