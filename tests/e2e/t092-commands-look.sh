#!/bin/sh
# t092 - the commands that look open no portal: ls, stat, save and completion on a tree with portals in it
. "$T_LIB"
t_need_root

cat >portal.conf <<CONF
act/  rfilter  act/ touch $TMPDIR/acted
fs/   file     fs/
CONF
t_mount -o "portals=$TMPDIR/portal.conf"
mkdir -p "$P/accept/lines"

t_has "ls" "$("$PIPESFS" ls -a "$P")" 'act'
t_has "ls of the portals themselves" "$("$PIPESFS" ls -a "$P/act")" 'act'
t_has "rates" "$("$PIPESFS" ls -a -i 0.01 "$P")" 'lines'
t_has "stat" "$("$PIPESFS" stat "$P/act" "$P/accept")" 'accept'
t_ok "save" "$PIPESFS" save "$P"
t_ok "completion" "$PIPESFS" complete -- pipesfs ls "$P/act/"
t_fails "no command was run" test -e acted
t_eq "and nothing was refused" "$(cat "$P/.errors")" ''
cat "$P/act/x"
t_ok "opening one acts" t_wait_for 5 test -e acted
