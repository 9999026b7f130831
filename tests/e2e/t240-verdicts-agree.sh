#!/bin/sh
# Random rules of drop and pass below the hooks: what goes on and what each counts is what tcpdump says of their expressions.
# PFS_AGREE_SECONDS for each hook.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_need tcpdump
t_cable
ip link set near address 02:00:00:00:00:0b
ip addr add 10.9.0.1/24 dev near
ip addr add fd09::1/64 dev near nodad
t_mount
for hook in netfilter_in netfilter_pre; do
	python3 "$TOP/tests/tools/verdicts.py" "$P" $hook "${PFS_AGREE_SECONDS:-1}" >said || {
		cat said
		t_fail "$hook"
	}
	t_note "$(cat said)"
done
