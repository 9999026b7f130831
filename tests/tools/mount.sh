# mount.sh - words about the two processes of a mount, and about nobody hanging
#
#     . "$T_LIB"
#     . "$TOP/tests/tools/mount.sh"
#
#   t_pids                      the processes of the mount at $P: $KEEPER and $STREAMS
#   t_start [OPTION...]         mount, t_pids, and a directory accept
#   t_wait_state PID LETTERS    until the process is in one of these states (S, T, D, Z ...)
#   t_blocked PID               until the process waits inside the mount
#   t_alive PID                 it exists and is no zombie
#   t_nobody NAME PID...        within a second: these processes and those of the mount have
#                               ended, nobody is in state D, nothing is mounted at $P
#   t_rc PID                    the exit status of a background process, in $RC
# shellcheck shell=sh disable=SC2034,SC2119,SC2120 # optional arguments, and variables for the tests

t_pids() {
	KEEPER=$(sed -n 's/^keeper //p' "$P/.control")
	STREAMS=$(sed -n 's/^streams //p' "$P/.control")
}

t_start() {
	[ -e "$P" ] || mkdir -p "$P" 2>/dev/null || true # a dead mount is there and is not
	t_got=0
	"$PIPESFS" mount "$@" "$P" >"$TMPDIR/mount.log" 2>&1 || t_got=$?
	[ $t_got = 0 ] || t_fail "mount: status $t_got: $(cat "$TMPDIR/mount.log")"
	t_pids
	mkdir -p "$P/accept"
}

t_state() {
	sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null
}

t_in_state() {
	case $(t_state "$1") in
	["$2"]) return 0 ;;
	*) return 1 ;;
	esac
}

t_wait_state() {
	t_wait_for 5 t_in_state "$1" "$2"
}

t_in_fuse() {
	case $(cat "/proc/$1/wchan" 2>/dev/null) in
	request_wait_answer | fuse_simple_request | __fuse_simple_request) return 0 ;;
	*) return 1 ;;
	esac
}

# Where the kernel does not tell in which function a process sleeps, a moment must do.
t_blocked() {
	if [ "$(cat /proc/self/wchan 2>/dev/null)" = 0 ] && ! grep -q request_wait_answer /proc/[0-9]*/wchan 2>/dev/null; then
		sleep 0.3
	fi
	t_wait_for 5 t_in_fuse "$1"
}

t_alive() {
	case $(t_state "$1") in
	'' | Z | X) return 1 ;;
	*) return 0 ;;
	esac
}

t_mounted() {
	grep -qF " $P " /proc/self/mountinfo
}

t_left() {
	t_who=
	for t_pid in "$@" "$KEEPER" "$STREAMS"; do
		! t_alive "$t_pid" || t_who="$t_who $t_pid:$(t_state "$t_pid"):$(cat "/proc/$t_pid/comm" 2>/dev/null)"
	done
	for t_status in /proc/[0-9]*/wchan; do
		case $(cat "$t_status" 2>/dev/null) in
		request_wait_answer | fuse_simple_request | __fuse_simple_request)
			t_pid=${t_status%/wchan}
			t_who="$t_who in-fuse:${t_pid#/proc/}"
			;;
		esac
	done
	! t_mounted || t_who="$t_who mounted"
	printf '%s' "$t_who"
}

t_nobody() {
	t_name=$1
	shift
	t_until=$(awk -v n="$(t_seconds 1)" '{ printf "%d", ($1 + n) * 100 }' /proc/uptime)
	while t_still=$(t_left "$@") && [ -n "$t_still" ]; do
		t_over=$(($(awk '{ printf "%d", $1 * 100 }' /proc/uptime) - t_until))
		if [ $t_over -gt 0 ]; then
			# Who runs does not hang: a loaded machine has not let him end yet.
			if [ $t_over -lt 500 ] && ! printf '%s' "$t_still" | tr ' ' '\n' | grep . | grep -qv ':R:'; then
				continue
			fi
			# What is left must not hang the rest of the test.
			kill -9 "$@" "$KEEPER" "$STREAMS" 2>/dev/null || true
			umount -l "$P" 2>/dev/null || fusermount3 -u -z "$P" 2>/dev/null || true
			t_fail "$t_name: a second later there is still$t_still"
		fi
		sleep 0.02
	done
	[ -n "${T_QUIET:-}" ] || echo "ok: $t_name"
}

t_rc() {
	RC=0
	wait "$1" 2>/dev/null || RC=$?
}
