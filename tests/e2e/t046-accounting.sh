#!/bin/sh
# The books of a source under more than can be read, with readers who come and go: every record that it saw is delivered,
# filtered, or lost for a reason, by a count of the test's own.
# timeout: 240
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount -o ring=4M
for policy in lossy reliable; do
	python3 "$TOP/tests/tools/tally.py" "$P" 150000 $policy >tally.out 2>&1 || {
		cat tally.out
		t_fail "with a slow reader that is $policy"
	}
	echo "ok: with a slow reader that is $policy"
	t_note "$(grep sent tally.out)"
	find "$P/dev/near" -mindepth 1 -depth -type d -exec rmdir {} +
done
