#!/bin/sh
# fsx finds what it wrote, and what fsstress has left is the same above and, scrambled, below, while a filter in a process
# comes and goes. XFSTESTS=DIR is a checkout of xfstests, built. PFS_SOAK: for how many seconds (5).
# timeout: 4000
. "$T_LIB"
t_need_root
fsx=${XFSTESTS:-}/ltp/fsx fsstress=${XFSTESTS:-}/ltp/fsstress
if [ ! -x "$fsx" ] || [ ! -x "$fsstress" ]; then
	t_skip "XFSTESTS names no folder with xfstests, built"
fi

filters=$T_BUILD/src
seconds=${PFS_SOAK:-5}
mkdir tree below
mount --bind tree below
t_cleanup umount -l below
"$PIPESFS" redirect --load "$filters/scrambleflt.so,$TMPDIR/tree" --listen socket tree
t_cleanup umount -l tree
mkdir tree/stress saved

PIPESFS_URFS=$TMPDIR/socket
export PIPESFS_URFS
: >go

# A filter that is asked about everything, for a moment; it is told to go, or killed.
comes_and_goes() {
	n=0
	how=TERM
	while [ -e go ]; do
		"$filters/udummyflt" -o "$TMPDIR/log" "$TMPDIR/tree" &
		until [ -s log ]; do
			ls tree >/dev/null
			kill -0 $! || return
		done
		kill -$how $!
		wait $! || :
		rm log
		n=$((n + 1))
		echo $n >came
		case $how in
		TERM) how=KILL ;;
		*) how=TERM ;;
		esac
	done
}

# SEED OPTION...: until time is over, another file each time.
writes() {
	n=$1
	shift
	while [ -e go ]; do
		"$fsx" -q -N 3000 -S "$n" -P saved "$@" "tree/fsx.$n" >"saved/$n.out" 2>&1 || {
			echo "seed $n" >>wrong
			return
		}
		rm -f tree/fsx."$n"*
		n=$((n + 100))
	done
}

comes_and_goes &
running=$!
writes 1 &
running="$running $!"
writes 2 -W -R &
running="$running $!"
writes 3 -Z -r 4096 -w 4096 -t 4096 &
running="$running $!"

"$fsstress" -d "$TMPDIR/tree/stress" -p 4 -n 1000000 -s 1 >fsstress.out 2>&1 &
stress=$!
until=$(($(date +%s) + seconds))
over() {
	[ "$(date +%s)" -ge "$until" ]
}
t_wait_for $((seconds + 30)) over
rm go
kill "$stress"
wait "$stress" || :
for pid in $running; do
	wait "$pid" || :
done
[ ! -e wrong ] || cat saved/"$(sed -n 's/seed //p' wrong | head -n 1)".out
t_ok "fsx has found what it wrote" test ! -e wrong
t_note "$(cat came) times a filter came and went"

# What lies there, of each regular file: its path and bytes, as they were written.
sums() { # DIR
	(cd "$1" && find stress -type f | sort | tr '\n' '\0' | xargs -0 -r cksum)
}
swapped=$(awk 'BEGIN { for (i = 0; i < 256; i++) printf "\\%03o", int(i / 16) + i % 16 * 16 }')
unscrambled() {
	(cd below && find stress -type f | sort | while IFS= read -r t_file; do
		echo "$(LC_ALL=C tr '\000-\377' "$swapped" <"$t_file" | cksum) $t_file"
	done)
}
sync tree
sums tree >above.out
unscrambled >below.out
t_note "fsstress has left $(wc -l <above.out) files"
t_ok "above and below is the same" diff above.out below.out
