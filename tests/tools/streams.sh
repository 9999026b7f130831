# streams.sh - words about readers, daemons and captures, beside tests/harness/lib.sh
#
#     . "$T_LIB"
#     . "$TOP/tests/tools/streams.sh"
#
#   capture ...                 tests/tools/capture
#   t_read PATH FILE            cat PATH > FILE in the background; returns when the stream is
#                               open, so that all that follows is in FILE; pid in $BG
#   t_opened PID PATH           has that process opened the path below $P?
#   t_done PID                  wait for a background process; its status
#   t_stat DIR NAME             a number of DIR/.stats, 0 when it is not there
#   t_reader DIR PID KEY        a value from that reader's line in DIR/.readers
#   t_daemons                   pids of this test's pipesfs processes
#   t_attached                  what the daemons hold of the kernel: packet sockets, BPF programs,
#                               maps and links (those of other programs on the machine come and go)
#   t_reason NAME PATH PART     .errors has a line about PATH in which PART occurs
#   t_memory NAME KIB LIMIT     at most LIMIT; a sanitizer's own memory is nobody's fault
#   t_cable                     a cable from device `near` here to `far` in the namespace far;
#                               Ethernet only, no addresses: nobody else speaks on it
#   t_send FRAME FROM TO        a frame into the cable at far for each i from FROM on, below TO; FRAME is its bytes, as Python
#                               says them
#   t_seen N                    so many were seen by the program in the kernel at near
#   t_frames [-n NS] ...        tests/tools/frames.py, in that namespace
#   t_pcaps                     folder of foreign captures in $PCAPS, or our own in their place
# shellcheck shell=sh

capture() {
	python3 "$TOP/tests/tools/capture" "$@"
}

# The kernel shows "(deleted)" behind it once the name was looked up again.
t_opened() {
	for t_fd in /proc/"$1"/fd/*; do
		t_link=$(readlink "$t_fd") || continue
		case $t_link in
		"$P/$2" | "$P/$2 (deleted)") return 0 ;;
		esac
	done
	return 1
}

t_read() {
	cat "$P/$1" >"$2" &
	BG=$!
	t_cleanup kill "$BG"
	t_wait_for 10 t_opened "$BG" "$1"
}

# Like wait, but with a deadline: a stream that never ends fails the test.
t_done() {
	t_limit=$(t_seconds "${2:-20}")
	if ! timeout "$t_limit" tail --pid="$1" -f /dev/null; then
		t_fail "process $1 has not ended after $t_limit s: $(tr '\0' ' ' <"/proc/$1/cmdline")"
	fi
	t_got=0
	wait "$1" || t_got=$?
	return "$t_got"
}

t_stat() {
	awk -v name="$2" '$1 == name { n = $2 } END { print n + 0 }' "$P/$1/.stats"
}

t_reader() {
	sed -n "s/.* pid=$2 .* $3=\([^ ]*\).*/\1/p" "$P/$1/.readers"
}

t_daemons() {
	for t_dir in /proc/[0-9]*; do
		case $(cat "$t_dir/comm" 2>/dev/null) in
		pipesfs*) tr '\0' '\n' 2>/dev/null <"$t_dir/environ" | grep -qx "T_MARKER=$T_MARKER" && echo "${t_dir#/proc/}" ;;
		esac
	done
	return 0
}

t_attached() {
	echo "packet sockets:"
	sed 1d /proc/net/packet | cut -d ' ' -f 2-
	echo "programs, maps, links:"
	for t_pid in $(t_daemons); do
		cat /proc/"$t_pid"/fdinfo/* 2>/dev/null | grep -E '^(prog_id|map_id|link_id|link_type):' | sort || true
	done
}

t_reason() {
	t_has "$1" "$(cat "$P/.errors")" "$2"
	t_has "$1: why" "$(grep -F -e "$2" "$P/.errors" | tail -n 1)" "$3"
}

t_memory() {
	if [ "$2" -gt "$3" ] && grep -q -e __asan_init -e __tsan_init "$PIPESFS"; then
		t_note "sanitized: $1: $2 KiB, limit $3 KiB"
		return
	fi
	t_ok "$1: $2 KiB of $3" test "$2" -le "$3"
}

t_cable() {
	t_need_root
	ip netns add far
	t_cleanup ip netns del far
	ip link add near type veth peer name far netns far
	ip -n far link set far addrgenmode none
	ip link set near addrgenmode none
	ip -n far link set far arp off up
	ip link set near arp off up
	t_wait_for 5 sh -c 'ip link show near | grep -q LOWER_UP && ip -n far link show far | grep -q LOWER_UP'
}

t_send() {
	ip netns exec far python3 -c "import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('far', 0))
for i in range($2, $3):
    s.send($1)"
}

t_seen() {
	[ "$(t_stat dev/near kernel.seen)" = "$1" ]
}

t_frames() {
	if [ "$1" = -n ]; then
		t_ns=$2
		shift 2
		t_in "$t_ns" python3 "$TOP/tests/tools/frames.py" "$@"
	else
		python3 "$TOP/tests/tools/frames.py" "$@"
	fi
}

t_pcaps() {
	PCAPS=${PFS_PCAPS:-}
	if [ -n "$PCAPS" ] && [ -d "$PCAPS" ]; then
		t_note "captures from PFS_PCAPS"
		return
	fi
	PCAPS=$TMPDIR/pcaps
	mkdir -p "$PCAPS"
	for t_kind in pcap nano big bignano pcapng bigng microng; do
		capture make "$PCAPS/$t_kind.cap" "$t_kind"
	done
	t_note "captures of our own: PFS_PCAPS is not set"
}
