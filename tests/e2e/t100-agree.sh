#!/bin/sh
# Filters that run in the kernel keep what they keep in the engine, record for record and number for number: random trees,
# malformed packets, readers who come and go. PFS_AGREE_SECONDS for each source.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount
for source in dev/near dev/any netfilter_pre; do
	python3 "$TOP/tests/tools/agree.py" "$P" "$source" "${PFS_AGREE_SECONDS:-1}" || t_fail "$source"
done
