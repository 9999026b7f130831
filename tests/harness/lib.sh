# lib.sh - what an end-to-end test says; source it first:  . "$T_LIB"
#
# The runner provides TMPDIR (private, the current directory), PIPESFS (the program), TOP
# (the source tree), T_BUILD (the build). A command that fails where no helper expects it fails the test. Wait
# for conditions (t_wait_for), never for time.
#
#   t_mount [OPTION...]         mount at $P, unmounted at the end
#   t_ok NAME CMD...            CMD must succeed
#   t_eq NAME GOT WANT          two strings are equal
#   t_same NAME FILE FILE       two files are equal, byte for byte
#   t_has NAME TEXT PART        PART occurs in TEXT
#   t_errno ERRNO CMD...        CMD must fail, its message naming ERRNO (ENOENT or its text)
#   t_fails NAME CMD...         CMD must fail, however
#   t_ends SECONDS CMD...       CMD must end by itself within SECONDS, with success
#   t_wait_for SECONDS CMD...   until CMD succeeds; fails the test after SECONDS
#   t_bg CMD...                 start in the background, ended at the end; its pid in $BG
#   t_cleanup CMD...            do that at the end, last one first
#   t_netns_pair                two network namespaces, $NS_A and $NS_B, joined by a cable
#   t_in NS CMD...              run in one of them (same mounts)
#   t_as_user CMD...            run as an ordinary user (nobody); $U is a directory of his
#   t_examples PAGE NAME [END]  the page's literal blocks, as files NAME1END, NAME2END ...
#   t_need TOOL...              skip unless these programs exist
#   t_need_root                 skip unless root
#   t_skip REASON               skip
#   t_fail SENTENCE             fail
#   t_note TEXT                 into the log
# shellcheck shell=sh

set -eu

P=$TMPDIR/p
# Where filters of other processes join: not where those of another test do.
export PIPESFS_URFS="$TMPDIR/urfs"
T_CLEANUPS=

# Is this a build with a sanitizer? What memory and threads it has says nothing about ours.
t_sanitized() {
	grep -qaE '__(a|t)san_init' "$PIPESFS"
}

t_note() {
	printf '# %s\n' "$*"
}

t_fail() {
	trap - EXIT
	t_clean_all
	printf 'not ok: %s\n' "$*"
	exit 1
}

t_skip() {
	trap - EXIT
	t_clean_all
	printf 'skip: %s\n' "$*"
	exit 77
}

t_need() {
	for t_tool; do
		command -v "$t_tool" >/dev/null || t_skip "needs $t_tool"
	done
}

t_need_root() {
	[ "$(id -u)" = 0 ] || t_skip "needs root"
}

# --- clean-up ---------------------------------------------------------------------------

# One word, quoted for the shell.
t_quote() {
	printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"
}

t_cleanup() {
	t_line=
	for t_word; do
		t_line="$t_line$(t_quote "$t_word")"
	done
	T_CLEANUPS="$t_line
$T_CLEANUPS"
}

t_clean_all() {
	t_rest=$T_CLEANUPS
	T_CLEANUPS=
	set +e
	while [ -n "$t_rest" ]; do
		t_line=${t_rest%%
*}
		t_rest=${t_rest#*
}
		eval "$t_line"
	done >/dev/null 2>&1
	set -e
}

# A test that ends without t_fail or t_skip: its own status, after the clean-up.
t_at_exit() {
	t_status=$?
	trap - EXIT
	t_clean_all
	if [ $t_status != 0 ] && [ $t_status != 77 ]; then
		echo "not ok: a command failed with status $t_status where none should"
	fi
	exit $t_status
}
trap t_at_exit EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# --- judging ----------------------------------------------------------------------------

t_ok() {
	t_what=$1
	shift
	t_got=0
	"$@" >"$TMPDIR/.out" 2>&1 || t_got=$?
	if [ $t_got != 0 ]; then
		sed 's/^/#   /' "$TMPDIR/.out" | head -n 50
		t_fail "$t_what: status $t_got from: $*"
	fi
	echo "ok: $t_what"
}

t_fails() {
	t_what=$1
	shift
	if "$@" >"$TMPDIR/.out" 2>&1; then
		t_fail "$t_what: this should have failed: $*"
	fi
	echo "ok: $t_what"
}

t_eq() {
	if [ "$2" != "$3" ]; then
		printf '#   got:  %s\n#   want: %s\n' "$2" "$3"
		t_fail "$1"
	fi
	echo "ok: $1"
}

t_same() {
	if ! cmp "$2" "$3" >"$TMPDIR/.out" 2>&1; then
		sed 's/^/#   /' "$TMPDIR/.out"
		t_note "sizes: $(wc -c <"$2") and $(wc -c <"$3")"
		t_fail "$1"
	fi
	echo "ok: $1"
}

t_has() {
	case $2 in
	*"$3"*) echo "ok: $1" ;;
	*)
		printf '#   got: %s\n#   wanted in it: %s\n' "$2" "$3"
		t_fail "$1"
		;;
	esac
}

t_errno_text() {
	case $1 in
	E[A-Z0-9]*) python3 -c 'import errno, os, sys; print(os.strerror(getattr(errno, sys.argv[1])))' "$1" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

t_errno() {
	t_text=$(t_errno_text "$1")
	t_what=$1
	shift
	if "$@" >"$TMPDIR/.out" 2>&1; then
		t_fail "should have failed with $t_what: $*"
	fi
	if ! grep -qF "$t_text" "$TMPDIR/.out"; then
		sed 's/^/#   /' "$TMPDIR/.out" | head -n 20
		t_fail "should have failed with $t_what ($t_text): $*"
	fi
	echo "ok: $t_what from: $*"
}

# Seconds on this machine: sanitized builds get more.
t_seconds() {
	awk -v n="$1" -v slow="${T_SLOW:-1}" 'BEGIN { print n * slow }'
}

t_ends() {
	t_limit=$(t_seconds "$1")
	shift
	t_got=0
	timeout -k 1 "$t_limit" "$@" || t_got=$?
	case $t_got in
	0) ;;
	124 | 137) t_fail "not ended after $t_limit s: $*" ;;
	*) t_fail "status $t_got from: $*" ;;
	esac
}

t_wait_for() {
	t_limit=$(t_seconds "$1")
	shift
	t_end=$(awk -v n="$t_limit" '{ printf "%d", ($1 + n) * 100 }' /proc/uptime)
	while ! "$@" >"$TMPDIR/.out" 2>&1; do
		if [ "$(awk '{ printf "%d", $1 * 100 }' /proc/uptime)" -gt "$t_end" ]; then
			sed 's/^/#   /' "$TMPDIR/.out" | head -n 20
			t_fail "waited $t_limit s in vain for: $*"
		fi
		sleep 0.02
	done
}

# --- manuals ----------------------------------------------------------------------------

t_examples() {
	awk -v name="$2" -v end="${3-}" '/^\.Bd -literal/ { n++; f = name n end; next } /^\.Ed/ { f = "" }
		f { gsub(/\\e/, "\\"); print > f }' "$TOP/man/$1"
}

# --- processes, mounts, networks --------------------------------------------------------

t_bg() {
	"$@" &
	BG=$!
	t_cleanup kill "$BG"
}

t_unmount() {
	"$PIPESFS" umount "$1" || umount -l "$1" || fusermount3 -u -z "$1"
}

t_mount() {
	mkdir -p "$P"
	t_cleanup t_unmount "$P"
	t_got=0
	"$PIPESFS" mount "$@" "$P" >"$TMPDIR/mount.log" 2>&1 || t_got=$?
	if [ $t_got != 0 ]; then
		sed 's/^/#   /' "$TMPDIR/mount.log"
		t_fail "mount: status $t_got from: pipesfs mount $* $P"
	fi
}

t_netns_pair() {
	t_need_root
	NS_A=a NS_B=b
	ip netns add $NS_A
	ip netns add $NS_B
	ip link add va netns $NS_A type veth peer name vb netns $NS_B
	# Only the test speaks on this cable: no address discovery, no multicast reports.
	for t_end in "$NS_A va 1" "$NS_B vb 2"; do
		# shellcheck disable=SC2086
		set -- $t_end
		ip -n "$1" link set "$2" addrgenmode none
		ip -n "$1" addr add "10.9.0.$3/24" dev "$2"
		ip -n "$1" addr add "fd09::$3/64" dev "$2" nodad
		ip -n "$1" link set lo up
		ip -n "$1" link set "$2" up
	done
	t_wait_for 5 sh -c "ip -n $NS_A link show va | grep -q LOWER_UP && ip -n $NS_B link show vb | grep -q LOWER_UP"
	t_cleanup ip netns del $NS_A
	t_cleanup ip netns del $NS_B
}

t_in() {
	t_ns=$1
	shift
	nsenter --net="/run/netns/$t_ns" -- "$@"
}

U=$TMPDIR/user

t_as_user() {
	if [ "$(id -u)" != 0 ]; then
		mkdir -p "$U"
		"$@"
		return
	fi
	if [ ! -d "$U" ]; then
		mkdir "$U"
		chown nobody "$U"
	fi
	HOME=$U TMPDIR=$U setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all -- "$@"
}
