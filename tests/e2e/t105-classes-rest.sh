#!/bin/sh
# timeout: 90
# A class that goes leaves its cell in the kernel, and a packet that is just being looked up may count there still: the
# next class takes another cell, even by the same number, until the kernel has been waited for. Then it is used again.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
[ "$(uname -m)" = x86_64 ] || t_skip "the tool knows x86-64"
t_cable
t_mount

STREAMS=$(sed -n 's/^streams //p' "$P/.control")
# The map, the cell in front of each line.
cells() {
	python3 "$TOP/tests/tools/bpfmap.py" "$STREAMS" pfs_classes | sort | awk '{ print $NF, $0 }'
}
# The cell of the one class that came since the map was as in `before`.
new_cell() {
	cells | grep -vxFf before | cut -d ' ' -f 1
}
dir=$P/dev/near/dstport,max=4
mkdir -p "$dir/1"
t_read "dev/near/dstport,max=4/1/all" one.pcap
cells >before
[ -s before ] || t_fail "there is no such map"

mkdir "$dir/2"
first=$(new_cell)
[ -n "$first" ] || t_fail "the class is not in the map"
t_eq "one more is in the map" "$(cells | wc -l)" $(($(wc -l <before) + 1))
rmdir "$dir/2"
t_eq "a class that is gone is not in the map" "$(new_cell)" ""

# Another class at once. A machine that stands still for that moment may have waited for the kernel: then once more.
differs() {
	mkdir "$dir/2"
	first=$(new_cell)
	python3 -c 'import os, sys; os.rmdir(sys.argv[1]); os.mkdir(sys.argv[2])' "$dir/2" "$dir/3"
	second=$(new_cell)
	[ "$second" != "$first" ] || rmdir "$dir/3"
	[ "$second" != "$first" ]
}
t_wait_for 20 differs
echo "ok: the next one has another cell"
again() {
	rmdir "$dir/3"
	mkdir "$dir/3"
	[ "$(new_cell)" = "$first" ]
}
t_wait_for 20 again
echo "ok: after a while its cell is used again"

# More of them in a moment than there are cells: all are counted all the same.
i=0
while [ $i -lt 600 ]; do
	mkdir "$dir/4"
	rmdir "$dir/4"
	i=$((i + 1))
done
mkdir "$dir/4"
t_frames -n far ports far 9,4,20,20
four() {
	[ "$(t_stat "dev/near/dstport,max=4/4" in)" = 20 ]
}
t_wait_for 10 four
t_eq "one that follows on many is counted" "$(t_stat "dev/near/dstport,max=4/4" in)" 20
