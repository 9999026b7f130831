#!/bin/sh
# mv: what is moved goes on with its readers, writers and counters; numbers flow while it is moved about; what is refused,
# and why.
# timeout: 240
# shellcheck disable=SC2119 # t_start without arguments is meant
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 setpriv
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_cleanup t_unmount "$P"
t_start
A=$P/accept:a
B=$P/accept:b
mkdir -p "$A/lines" "$B/lines"

# rename(2) itself: mv(1) says of EINVAL that it is about a subdirectory.
refused() {
	t_errno "$1" python3 "$TOP/tests/tools/rename.py" "$2" "$3" "${4:-0}"
}

# --- one after the other ----------------------------------------------------------------------

mkdir -p "$A/lines/head:1000/count"
t_read accept:a/lines/head:1000/count/all got
READER=$BG
t_read accept:a/lines/head:1000/all above
ABOVE=$BG
exec 7>"$A/all"
seq 1 100 >&7
has_lines() {
	[ "$(wc -l <"$1")" = "$2" ]
}
t_wait_for 10 has_lines got 100
mkdir "$A/lines/head:5000"
mv "$A/lines/head:1000" "$A/lines/head:5000/"
t_ok "it is there" test -e "$A/lines/head:5000/head:1000/count/all"
t_fails "... and not here" test -e "$A/lines/head:1000"
seq 101 200 >&7
exec 7>&-
t_done "$READER"
t_done "$ABOVE"
seq 1 200 >want
t_same "every line once, in order" got want
t_same "... above it, too" above want
t_eq "its counters went along" "$(t_stat accept:a/lines/head:5000/head:1000 in)" 200
t_has "it counts on" "$(cat "$A/lines/head:5000/head:1000/count/.stats")" "records 200"

# The directory is the same one: whoever stands in it goes along.
cd "$A/lines/head:5000/head:1000" || exit
mv "$A/lines/head:5000/head:1000" "$B/lines/"
t_eq "who stands in it goes along" "$(cat .params)" "arg=1000"
t_eq "... and is where it is" "$(/bin/pwd)" "$B/lines/head:1000"
cd "$TMPDIR" || exit
mv "$B/lines/head:1000" "$B/lines/head:%31000" # the same, written otherwise
mv "$B/lines/head:%31000" "$B/lines/head:1000"
rmdir "$A/lines/head:5000"

# Packets to where they begin with IP, and where they do not fit.
t_ok "between hooks and devices" sh -c "mkdir '$P/dev/lo/tcp' && mv '$P/dev/lo/tcp' '$P/netfilter_in/' && mv '$P/netfilter_in/tcp' '$P/netfilter_out/' && rmdir '$P/netfilter_out/tcp'"
mkdir "$P/dev/lo/arp"
refused EINVAL "$P/dev/lo/arp" "$P/netfilter_in/arp"
t_has "why" "$(tail -n 1 "$P/.errors")" "link layer"
mkdir "$P/dev/lo/match:ether broadcast"
refused EINVAL "$P/dev/lo/match:ether broadcast" "$P/netfilter_in/match:ether broadcast"
refused EINVAL "$P/dev/lo/arp" "$A/lines/arp"
t_has "why" "$(tail -n 1 "$P/.errors")" "make it anew"
t_ok "nothing has changed" test -d "$P/dev/lo/arp"

# --- what is refused -------------------------------------------------------------------------------

mkdir -p "$A/lines/count/head:3" "$B/lines/count" "$A/lines/head:3" "$B/lines/head:3/count"
refused EEXIST "$A/lines/count" "$B/lines/count"
refused ENOTEMPTY "$A/lines/head:3" "$B/lines/head:3"
refused EEXIST "$A/lines/head:3" "$B/lines/head:3" 1
refused EINVAL "$A/lines/head:3" "$B/lines/head:3" 2
t_has "exchange: why" "$(tail -n 1 "$P/.errors")" "change places"
refused EINVAL "$A/lines/count" "$A/lines/count/head:3/count"
refused EINVAL "$A/lines/head:3" "$A/lines/head:4"
t_has "another argument: why" "$(tail -n 1 "$P/.errors")" ".params"
refused EINVAL "$A/lines/head:3" "$B/lines/tail:3"
refused EINVAL "$A/lines/head:3" "$P/head:3"
refused EINVAL "$A" "$B/accept:a"
refused EPERM "$A/lines/all" "$B/lines/other"
refused EPERM "$A/lines/.stats" "$B/lines/.other"
refused EBUSY "$P/netfilter_in" "$P/netfilter_new"
mkdir -p "$P/dev/lo/port/443"
refused EINVAL "$P/dev/lo/port/443" "$P/dev/lo/443"
t_has "a class: why" "$(tail -n 1 "$P/.errors")" "class"
mkdir "$A/lines/head:3/into:accept:b"
refused ELOOP "$A/lines/head:3" "$B/head:3"
t_has "a circle: why" "$(tail -n 1 "$P/.errors")" "circle"
rmdir "$A/lines/head:3/into:accept:b"

alice() {
	setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all -- "$@"
}
alice mkdir -p "$P/accept:alice/count"
chmod 755 "$A" "$A/lines"
t_errno EACCES alice mv "$P/accept:alice/count" "$A/lines/count:"
t_errno EACCES alice mv "$A/lines/head:3" "$P/accept:alice/"
t_fails "hers out of /p" alice mv "$P/accept:alice" "$P/accept:bob"
mkdir "$A/lines/head:3/count"
chmod 777 "$A/lines"
t_ok "into what is open to her" alice mv "$P/accept:alice/count" "$A/lines/count:"

# --- while numbers flow ------------------------------------------------------------------------------

t_ok "within a source, among a hundred others" python3 "$TOP/tests/tools/moving.py" within "$P" 12
t_ok "between two" python3 "$TOP/tests/tools/moving.py" between "$P" 8
t_alive "$STREAMS"
