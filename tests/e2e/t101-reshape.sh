#!/bin/sh
# The merged program changes under load: whoever stays misses nothing and gets nothing twice, whoever comes gets a run
# without gaps, the books are right, and nothing is left in the kernel. PFS_RESHAPE_SECONDS.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
# What was captured waits a little, so that there is something from before each change.
t_mount -o latency=20ms
attached=$(t_attached)
for how in full sparse; do
	python3 "$TOP/tests/tools/reshaped.py" "$P" "${PFS_RESHAPE_SECONDS:-1}" $how >reshaped.out 2>&1 || {
		head -n 30 reshaped.out
		t_fail "$how: something was missing, or too much"
	}
	t_note "$how: $(tail -n 1 reshaped.out)"
done

# With its last consumer the device is let go: programs, maps and rings go.
find "$P/dev/near" -mindepth 1 -depth -type d -exec rmdir {} +
idle() {
	[ "$(t_attached)" = "$attached" ]
}
t_wait_for 10 idle
