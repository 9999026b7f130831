#!/bin/sh
# needs: user
# Every way to say the same path, and what is none; memory that is not there, threads that rewrite the path.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need python3
[ "$(uname -m)" = x86_64 ] || t_skip "the numbers of system calls are those of x86-64"

t_peer GREET greet
mkdir tmp
export TMPDIR="$PWD/tmp"
t_ok "paths" portal "$TOP/tests/tools/opens.py" paths "$GREET"
t_ok "hostile memory" portal "$TOP/tests/tools/opens.py" hostile "$GREET"

got=0
portal "$TOP/tests/tools/opens.py" stuck "$GREET" >stuck.out 2>&1 || got=$?
case $got in
0) echo "ok: an open that is stuck holds up no other" ;;
77) t_note "$(cat stuck.out)" ;;
*) t_fail "stuck: $(cat stuck.out)" ;;
esac
t_wait_for 5 t_no_servers
