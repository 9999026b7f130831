#!/bin/sh
# Large filters whose readers come and go in bursts: who changes the tree meanwhile does not wait for the programs that are
# made for them, every reader gets every record from when its open returns, and what is too large runs in the engine.
# PFS_BURST_FILTERS, PFS_BURST_SECONDS.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount
python3 "$TOP/tests/tools/bursts.py" "$P" "${PFS_BURST_FILTERS:-16}" "${PFS_BURST_SECONDS:-0.5}" >bursts.out 2>&1 || {
	head -n 30 bursts.out
	t_fail "a burst of readers"
}
t_note "$(cat bursts.out)"
