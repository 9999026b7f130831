#!/bin/sh
# Filters that run in the kernel keep what they keep in the engine, record for record and number for number: random trees,
# malformed packets, readers who come and go. PFS_AGREE_SECONDS for each source.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount
python3 "$TOP/tests/tools/agree.py" "$P" dev/near "${PFS_AGREE_SECONDS:-2}" || t_fail "a device"
python3 "$TOP/tests/tools/agree.py" "$P" netfilter_pre "${PFS_AGREE_SECONDS:-2}" || t_fail "a hook"
