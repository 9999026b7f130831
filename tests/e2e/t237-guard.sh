#!/bin/sh
# A rule that would cut off the session of whoever makes it is refused, by which way ever it comes about; force=1 does it.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3
t_cable
ip addr add 10.9.0.1/24 dev near
ip addr add fd09::1/64 dev near nodad
ip -n far addr add 10.9.0.2/24 dev far
ip -n far addr add fd09::2/64 dev far nodad
ip link set near arp on
ip -n far link set far arp on
ip -n far link set lo up
t_mount
python3 "$TOP/tests/tools/guarded.py" "$P" || t_fail "the guard"
