#!/bin/sh
# redirctl top: what filters are asked, counted from their streams; filters come and go meanwhile.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need jq

read_by() { # FILTER
	grep -q lossy "$R/$1/.readers" 2>/dev/null
}
# sum FILTER OPERATION MEMBER: of all intervals
sum() {
	jq -s "map(select(.filter == \"$1\" and .operation == \"$2\") | .$3) | add // 0" top
}
has_sum() { # WANT FILTER OPERATION MEMBER
	[ "$(sum "$2" "$3" "$4")" = "$1" ]
}

mkdir tree
T=$PWD/tree
printf one >tree/file
printf two >tree/secret
printf 'deny=EPERM op=read path=%s/secret\ndefault allow\n' "$T" >rules
t_mount
R=$P/redirfs
load() { # FILTER
	ctl load "$1" "$filters/accessflt.so,-r,$PWD/rules" security
	ctl setpath "$1" "$T" include subtree
	ctl activate "$1"
}
load acc

# --- again and again --------------------------------------------------------------------------------

t_bg sh -c "exec ./redirctl -m '$P' --json -d 0.2 top >top"
t_top=$BG
t_wait_for 10 read_by acc
for t_name in file file file secret file secret file secret; do
	cat "tree/$t_name" >/dev/null 2>&1 || [ $t_name = secret ] || t_fail "it was to be allowed"
done
t_wait_for 10 has_sum 8 acc open count
t_eq "each open is counted once" "$(sum acc open count)" 8
t_eq "... what went on" "$(sum acc open continued)" 5
t_eq "... what was stopped" "$(sum acc open stopped)" 3
t_ok "rates and durations are those of the rows" jq -es \
	'all(.[] | select(.operation); .rate > 0 and .count / .rate >= 0.2 and .greatest >= .mean and .mean > 0)' top

load late
t_wait_for 10 read_by late
cat tree/file >/dev/null
t_wait_for 10 has_sum 1 late open count
echo "ok: a filter that comes is seen"
ctl unload late
cat tree/file >/dev/null
t_wait_for 10 has_sum 10 acc open count
load late
t_wait_for 10 read_by late
cat tree/file >/dev/null
t_wait_for 10 has_sum 2 late open count
echo "ok: one that goes and comes again, too"
t_ok "it goes on" kill "$t_top"

# --- once ------------------------------------------------------------------------------------------------

t_bg sh -c "while :; do cat '$T/file'; done >/dev/null"
t_busy=$BG
ctl top --once -d 0.5 acc >once
ctl top --once --json -d 0.5 >both
kill "$t_busy"
t_has "a table" "$(head -n 1 once)" "operation"
t_has "... with a row for each operation" "$(cat once)" "acc              open"
t_eq "... of the named filter alone" "$(grep -c ^late once || :)" 0
t_eq "without names: of all" "$(jq -r 'select(.operation == "open") | .filter' both | sort | tr '\n' ' ')" "acc late "
t_ok "the most frequent first" jq -es 'map(select(.count) | .count) | . == (sort | reverse)' both

# --- what is wrong -----------------------------------------------------------------------------------------

t_rc=0
ctl top nobody 2>errors || t_rc=$?
t_eq "no such filter: it ends" "$t_rc" 1
t_has "... and says so" "$(cat errors)" "there is no filter 'nobody'"
t_rc=0
ctl top -d 0 2>errors || t_rc=$?
t_eq "an interval that is none" "$t_rc" 2
