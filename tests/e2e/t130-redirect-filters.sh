#!/bin/sh
# Filters on a redirected tree, from a shared object and in a process of their own: what goes through scrambleflt is plain
# above and scrambled below, however it is written and read; udummyflt sees what is done.
. "$T_LIB"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need python3


mkdir tree below
mount --bind tree below
t_cleanup umount -l below
t_cleanup umount -l tree
echo before >tree/before

# FILE: what lies below, its halves swapped back.
swapped=$(awk 'BEGIN { for (i = 0; i < 256; i++) printf "\\%03o", int(i / 16) + i % 16 * 16 }')
unscrambled() {
	LC_ALL=C tr '\000-\377' "$swapped" <"$1"
}

# The same bytes above, and below, but scrambled.
lies() { # NAME FILE WHAT
	t_ok "$3: above" cmp "$2" "tree/$1"
	unscrambled "below/$1" >unscrambled.out
	t_ok "$3: below it is scrambled" cmp "$2" unscrambled.out
	t_fails "$3: and not plain" cmp -s "$2" "below/$1"
}

seq 1 50000 >plain

data() { # WHAT
	cp plain tree/copy
	lies copy plain "$1: cp"

	cp plain odd
	for t_at in 1 4095 4097 70001; do
		head -c 12345 /dev/urandom >piece
		for t_to in odd tree/copy; do
			dd if=piece of=$t_to bs=1009 seek=$t_at oflag=seek_bytes conv=notrunc status=none
		done
	done
	lies copy odd "$1: dd at odd offsets"
	t_eq "$1: read at an odd offset" "$(dd if=tree/copy bs=333 skip=70003 count=5 iflag=skip_bytes status=none | cksum)" \
		"$(dd if=odd bs=333 skip=70003 count=5 iflag=skip_bytes status=none | cksum)"

	echo "at the end" >>odd
	echo "at the end" >>tree/copy
	lies copy odd "$1: append"

	truncate -s 1234 odd tree/copy
	truncate -s 9876 odd tree/copy
	lies copy odd "$1: truncate, and a hole"

	python3 - odd tree/copy <<-'END'
		import mmap, sys
		for name in sys.argv[1:]:
		    with open(name, "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
		        assert m[:] == f.read()
		        m[4000:4010] = b"0123456789"
	END
	lies copy odd "$1: mmap"

	python3 - tree <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR, 0o600)
		os.write(fd, b"named later\n")
		os.link(f"/proc/self/fd/{fd}", sys.argv[1] + "/named", src_dir_fd=fd, follow_symlinks=True)
	END
	echo "named later" >named
	lies named named "$1: a file that gets its name later"

	t_eq "$1: what was there before is read scrambled" "$(cat tree/before)" "$(unscrambled below/before)"
	rm tree/copy tree/named odd
	t_eq "$1: what is removed is gone" "$(ls below)" before
}

of_udummyflt() { # WHAT
	echo x >tree/seen
	rm tree/seen
	sync tree
	t_ok "$1: udummyflt sees what is made" grep -q "^post DIR_IOP_CREATE pid=.* uid=0 $TMPDIR/tree/seen = 0" log
	t_ok "$1: what is written" grep -q "^pre REG_FOP_WRITE pid=.* $TMPDIR/tree/seen" log
	t_ok "$1: and what is removed" grep -q "^post .*_IOP_UNLINK pid=.* $TMPDIR/tree/seen = 0" log
	rm log
}

# --- shared objects ---

"$PIPESFS" redirect --load "$filters/scrambleflt.so,$TMPDIR/tree" tree
data "shared object"
umount tree
t_eq "the original is there again" "$(cat tree/before)" before

"$PIPESFS" redirect --load "$filters/scrambleflt.so,$TMPDIR/tree" \
	--load "$filters/udummyflt.so,-o,$TMPDIR/log,$TMPDIR/tree" tree
data "with udummyflt"
of_udummyflt "shared object"
umount tree

# --- processes of their own ---

scrambles() {
	echo a >tree/probe && [ "$(cat below/probe)" != a ]
}

"$PIPESFS" redirect --listen socket tree
PIPESFS_URFS=$TMPDIR/socket t_bg "$filters/scrambleflt" "$TMPDIR/tree"
t_wait_for 5 scrambles
rm tree/probe
data "process"

PIPESFS_URFS=$TMPDIR/socket t_bg "$filters/udummyflt" -o "$TMPDIR/log" "$TMPDIR/tree"
t_wait_for 5 sh -c 'cat tree/before >/dev/null && test -s log'
of_udummyflt "process"
umount tree
t_wait_for 2 test ! -e socket
t_eq "after the processes, too" "$(cat tree/before)" before

# --- what the filter's own process and its children do goes past it, and past what others see ---

mkfifo ask answer
"$PIPESFS" redirect --listen socket tree
# shellcheck disable=SC2016 # it is for that sh
PIPESFS_URFS=$TMPDIR/socket t_bg sh -c 'while read -r line <ask; do sh -c "$line" >answer; done &
	exec "$0" "$1"' "$filters/scrambleflt" "$TMPDIR/tree"
t_wait_for 5 scrambles
child() {
	echo "$1" >ask
	cat answer
}
echo own >tree/own
t_eq "others read what they wrote" "$(cat tree/own)" own
t_eq "a child of the filter reads what lies below" "$(child 'cat tree/own' | cksum)" "$(cksum <below/own)"
t_eq "others still read what they wrote" "$(cat tree/own)" own
child 'echo raw >tree/own'
t_eq "what it writes lies below as it is" "$(cat below/own)" raw
t_eq "and is seen by others through the filter" "$(cksum <tree/own)" "$(unscrambled below/own | cksum)"
rm tree/own tree/probe
umount tree

# --- an ordinary user, a tree of his own ---

if t_as_user sh -c 'exec 3<>/dev/fuse' 2>/dev/null && t_as_user test -r "$filters/scrambleflt.so"; then
	t_as_user mkdir "$U/tree"
	t_as_user "$PIPESFS" redirect --load "$filters/scrambleflt.so,$U/tree" "$U/tree"
	t_cleanup umount -l "$U/tree"
	t_as_user cp plain "$U/tree/his"
	t_ok "a user's own tree: above" t_as_user cmp plain "$U/tree/his"
	t_as_user fusermount3 -u "$U/tree"
	unscrambled "$U/tree/his" >unscrambled.out
	t_ok "a user's own tree: below it is scrambled" cmp plain unscrambled.out
else
	t_note "/dev/fuse, or the filters, are not for ordinary users here"
fi

# --- what does not load is said, and nothing stays redirected ---

t_has "no such filter" "$("$PIPESFS" redirect --load nothing.so tree 2>&1)" "cannot load nothing.so: No such file"
echo "no program" >text.so
t_has "no shared object" "$("$PIPESFS" redirect --load text.so tree 2>&1)" "text.so"
cp "$filters/scrambleflt.so" others.so
chmod 666 others.so
t_has "one that others may write" "$("$PIPESFS" redirect --load others.so tree 2>&1)" \
	"may be written by others than its owner"
t_eq "the tree is as it was" "$(cat tree/before)" before
