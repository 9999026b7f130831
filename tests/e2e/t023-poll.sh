#!/bin/sh
# needs: user
# poll, select and epoll (both kinds) on streams: they wait, they wake, end of file is
# readable, and O_NONBLOCK says EAGAIN.
. "$T_LIB"
t_mount -o ring=4M
mkdir -p "$P/accept"
timeout "$(t_seconds 60)" python3 "$TOP/tests/tools/poll.py" "$P/accept/all" || t_fail "poll"
