#!/bin/sh
# needs: user
# timeout: 240
# match:EXPR keeps what tcpdump keeps, of every capture there is, also of cut-off packets;
# captures that do not add up end in a clear error or a counted loss, never in a crash.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need tcpdump

t_pcaps
t_mount
before=$(t_daemons)

failed=
python3 "$TOP/tests/tools/matches.py" "$P" "$PCAPS" || failed="match differs from tcpdump"
python3 "$TOP/tests/tools/malformed.py" "$P" "$PCAPS" || failed="$failed; a malformed capture went wrong"
t_eq "the same daemons as before" "$(t_daemons)" "$before"
[ -z "$failed" ] || t_fail "$failed"
