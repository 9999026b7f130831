#!/bin/sh
# A reader leaves a directory that sorts, and the next program takes its time, because it has large filters: the one before it
# runs on and counts, for nobody. As with kernel=off, packets that come then are in no class and in no number.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
t_mount
timeout 60 python3 "$TOP/tests/tools/leaving.py" "$P/dev/near" >leaving.out 2>&1 || t_fail "$(cat leaving.out)"
t_note "$(cat leaving.out)"
