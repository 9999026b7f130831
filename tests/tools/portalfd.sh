# portalfd.sh - for tests of `pipesfs portal`; after lib.sh
# shellcheck shell=sh

# The program under test, with the prefix that nothing is mounted on.
portal() {
	"$PIPESFS" portal -v -- "$@"
}

# t_peer NAME WHAT: starts tests/tools/peer.py; its port is in the variable NAME.
t_peer() {
	rm -f "$TMPDIR/port.$1"
	t_bg "$TOP/tests/tools/peer.py" "$TMPDIR/port.$1" "$2"
	t_wait_for 10 test -s "$TMPDIR/port.$1"
	eval "$1=\$(cat '$TMPDIR/port.$1')"
}

# t_status WANT NAME CMD...: its exit status.
t_status() {
	t_want=$1
	t_what=$2
	shift 2
	t_got=0
	"$@" >"$TMPDIR/.out" 2>&1 || t_got=$?
	if [ "$t_got" != "$t_want" ]; then
		sed 's/^/#   /' "$TMPDIR/.out" | head -n 20
		t_fail "$t_what: status $t_got, not $t_want: $*"
	fi
	echo "ok: $t_what"
}

# Processes of ours that serve: none of them in this test's namespaces (or of this user) is left.
t_servers() {
	for t_dir in /proc/[0-9]*; do
		read -r t_name 2>/dev/null <"$t_dir/comm" || continue
		case $t_name in
		pipesfs-portal | pipesfs-opener) ;;
		*) continue ;;
		esac
		tr '\0' '\n' 2>/dev/null <"$t_dir/environ" | grep -qx "T_MARKER=$T_MARKER" || continue
		sed -n 's/^State:[[:space:]]*//p' "$t_dir/status" 2>/dev/null | grep -q '^[ZX]' && continue
		printf '%s %s\n' "$t_name" "${t_dir#/proc/}"
	done
}

t_no_servers() {
	[ -z "$(t_servers)" ]
}
