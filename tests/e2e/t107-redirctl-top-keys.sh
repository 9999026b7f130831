#!/bin/sh
# timeout: 120
# redirctl top on a terminal: q ends it, the terminal is as it was on every way out; and what was lost for its streams is a
# line, with the number that .stats says.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
t_need_root
t_need jq
t_need python3
. "$TOP/tests/tools/filters.sh"
python=
for try in /usr/bin/python3 python3; do
	if "$try" -c 'import pyte' 2>/dev/null; then
		python=$try
		break
	fi
done
[ -n "$python" ] || t_skip "needs python3-pyte"
screen() {
	SCREEN_TERM=xterm "$python" "$TOP/tests/tools/screen.py" "$@"
}

mkdir tree
echo original >tree/file
t_cleanup sh -c "umount -l $TMPDIR/tree; umount -l $P; :"
t_start
echo 'default allow' >rules
ctl load acc "$filters/accessflt.so,-r,$PWD/rules" security
ctl setpath acc "$TMPDIR/tree" include subtree
ctl activate acc

# --- keys ------------------------------------------------------------------------------------------------

t_bg sh -c "while :; do cat '$TMPDIR/tree/file' || exit; done >/dev/null"
busy=$BG
t_eq "q ends it, and gives the terminal back" \
	"$(screen 100x24 'wait acc              open' 'keys q' end -- ./redirctl -m "$P" -d 0.2 top)" "0 restored"
t_eq "q in the middle of a long interval" "$(screen 100x24 'keys q' end -- ./redirctl -m "$P" -d 60 top)" "0 restored"
t_eq "another key does not" \
	"$(screen 100x24 'wait acc              open' 'keys x<enter>' 'wait acc              open' 'keys q' end -- ./redirctl -m "$P" -d 0.2 top)" "0 restored"
for signal in INT TERM HUP; do
	t_has "SIG$signal gives the terminal back" \
		"$(screen 100x24 'wait acc              open' "signal $signal" end -- ./redirctl -m "$P" -d 0.2 top)" "restored"
done
shown=$(screen 100x24 'wait acc              open' 'keys typed' show 'keys q' end -- ./redirctl -m "$P" -d 0.2 top)
t_eq "keys are not shown" "$(echo "$shown" | grep -c typed || :)" 0
t_ok "without a terminal to read from it goes on" sh -c "timeout 2 ./redirctl -m '$P' -d 0.2 top </dev/null >top; [ \$? = 124 ] && grep -q 'acc  *open' top"
kill "$busy"

# --- losses -------------------------------------------------------------------------------------------------

# The ring of operations takes no more while streams does not run; those who work in the tree do not wait for it.
lost() {
	sed -n 's/^lost //p' "$P/redirfs/acc/.stats"
}
said_lost() {
	[ "$(jq -s 'map(select(.lost) | .lost) | add // 0' top)" -gt 0 ]
}
read_by() {
	grep -q lossy "$P/redirfs/acc/.readers" 2>/dev/null
}
deep=tree
for _ in 1 2 3 4 5 6 7 8 9 10; do # a record says the path
	deep=$deep/$(printf '%0200d' 0)
done
mkdir -p "$deep"
echo far >"$deep/file"
t_bg sh -c "exec ./redirctl -m '$P' --json -d 0.5 top >top"
t_wait_for 10 read_by
before=$(lost)
kill -STOP "$KEEPER" "$STREAMS"
t_ok "whoever works in the tree gets along" python3 - "$deep/file" <<'END'
import os, sys
for _ in range(5000):
    os.close(os.open(sys.argv[1], os.O_RDONLY))
END
kill -CONT "$STREAMS" "$KEEPER"
t_wait_for 20 said_lost
echo "ok: what was lost is told"
all_told() {
	[ "$(jq -s 'map(select(.lost) | .lost) | add // 0' top)" = $(($(lost) - before)) ]
}
t_wait_for 20 all_told
echo "ok: ... all of it: $(($(lost) - before))"
t_ok "it goes on" kill "$BG"
t_eq "... of that filter alone" "$(jq -r 'select(.lost) | .filter' top | sort -u)" acc
