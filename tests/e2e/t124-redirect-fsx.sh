#!/bin/sh
# fsx finds what it wrote, and what fsstress has left is the same above and, scrambled, below, while another filter comes and
# goes: one in a process, that ends or is killed; then one that redirctl activates and deactivates. XFSTESTS=DIR is a
# checkout of xfstests, built. PFS_SOAK: for how many seconds each (3); half an hour of proof is
#
#	XFSTESTS=~/xfstests PFS_SOAK=600 tests/harness/run -v t124
# timeout: 4000
. "$T_LIB"
. "$TOP/tests/tools/redirctl.sh"
t_need_root
fsx=${XFSTESTS:-}/ltp/fsx fsstress=${XFSTESTS:-}/ltp/fsstress
if [ ! -x "$fsx" ] || [ ! -x "$fsstress" ]; then
	t_skip "XFSTESTS names no folder with xfstests, built"
fi

filters=$T_BUILD/src
seconds=${PFS_SOAK:-3}
mkdir tree below
mount --bind tree below
t_cleanup umount -l below
mkdir saved

# A filter that is asked about everything, for a moment; it is told to go, or killed.
by_process() {
	n=0
	how=TERM
	while [ -e go ]; do
		"$filters/udummyflt" -o "$TMPDIR/log" "$TMPDIR/tree" 2>udummyflt.err &
		# The name of one that was killed is its own until its death has been noticed: then another may have it.
		until [ -s log ] || ! kill -0 $! 2>/dev/null; do
			ls tree >/dev/null
		done
		kill -$how $! 2>/dev/null || :
		wait $! 2>/dev/null || :
		[ -s log ] || continue
		rm log
		n=$((n + 1))
		echo $n >came
		case $how in
		TERM) how=KILL ;;
		*) how=TERM ;;
		esac
	done
}

asked() {
	ls tree >/dev/null && test -s log
}
by_redirctl() {
	n=0
	while [ -e go ]; do
		ctl activate dummy
		t_wait_for 10 asked
		ctl deactivate dummy
		: >log
		n=$((n + 1))
		echo $n >came
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

over() {
	[ "$(date +%s)" -ge "$until" ]
}

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

soak() { # process|redirctl
	mkdir tree/stress
	rm -rf saved/* came
	: >go
	by_"$1" &
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
	t_wait_for $((seconds + 30)) over
	rm go
	kill "$stress"
	wait "$stress" || :
	for pid in $running; do
		wait "$pid" || :
	done
	if [ -e wrong ]; then
		wrong=saved/$(sed -n 's/seed //p' wrong | head -n 1)
		grep -vE '^[0-9]+\(' "$wrong.out" || :
		tail -n 30 "$wrong.out"
	fi
	t_ok "$1: fsx has found what it wrote" test ! -e wrong
	t_note "$(cat came) times a filter came and went"
	t_ok "$1: which it did all the time" test "$(cat came)" -ge $((seconds / 5))
	sync tree
	sums tree >above.out
	unscrambled >below.out
	t_note "fsstress has left $(wc -l <above.out) files"
	t_ok "$1: above and below is the same" diff above.out below.out
}

"$PIPESFS" redirect --load "$filters/scrambleflt.so,$TMPDIR/tree" --listen socket tree
t_cleanup sh -c "umount -l $TMPDIR/tree 2>/dev/null; :"
PIPESFS_URFS=$TMPDIR/socket
export PIPESFS_URFS
soak process
umount tree
rm -rf tree/*

t_mount
ctl load scramble "$filters/scrambleflt.so" encryption
ctl setpath scramble "$TMPDIR/tree" include subtree
ctl activate scramble
ctl load dummy "$filters/udummyflt.so,-o,$TMPDIR/log" transparent
ctl setpath dummy "$TMPDIR/tree" include subtree
soak redirctl
