#!/bin/sh
# The merged program changes under load: whoever stays misses nothing and gets nothing twice, whoever comes gets a run
# without gaps, the books are right, and nothing is left in the kernel. PFS_RESHAPE_SECONDS.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount
attached=$(t_attached)
python3 "$TOP/tests/tools/reshaped.py" "$P" "${PFS_RESHAPE_SECONDS:-2}" >reshaped.out 2>&1 || {
	cat reshaped.out
	t_fail "something was missing, or too much"
}
t_note "$(tail -n 1 reshaped.out)"

# With its last consumer the device is let go: programs, maps and rings go.
find "$P/dev/near" -mindepth 1 -depth -type d -exec rmdir {} +
idle() {
	[ "$(t_attached)" = "$attached" ]
}
t_wait_for 10 idle
