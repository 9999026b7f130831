#!/bin/sh
# What the kernel counts for those who stay is complete, however often others come and go beside them. PFS_STAYING_SECONDS.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount
timeout 60 python3 "$TOP/tests/tools/staying.py" "$P/dev/near" "${PFS_STAYING_SECONDS:-1}" >staying.out 2>&1 || t_fail "$(cat staying.out)"
t_note "$(cat staying.out)"
