#!/bin/sh
# What scanflt does at its limits: a scanner that is killed or stopped, a rule that takes too long, files that are too large, a
# cache that is full, many who open one file; and what its tool says of rules.
. "$T_LIB"
t_need_root

filters=$T_BUILD/src
[ -e "$filters/scanflt" ] || t_skip "libyara is not there: scanflt was not built"

mkdir tree
t_cleanup umount -l tree
echo text >tree/file
cat >quick.yar <<'END'
rule quick { strings: $a = "EVIL" condition: $a }
END
# For each byte of the file a loop over all of it.
cat >slow.yar <<'END'
rule slow { condition: for any i in (0..filesize) : (for any j in (0..filesize) : (uint8(i) + uint8(j) == 1000)) }
END
number() { sed -n "s/^$1 //p" numbers; }
number_is() { [ "$(number "$1")" = "$2" ]; }

"$PIPESFS" redirect --listen socket tree
export PIPESFS_URFS="$TMPDIR/socket"
start() { # OPTION...
	rm -f numbers
	t_bg "$filters/scanflt" -s numbers -l log "$@" "$TMPDIR/tree"
	FILTER=$BG
	# It serves once it has been asked.
	# shellcheck disable=SC2016 # it is for that sh
	t_wait_for 5 sh -c 'cat tree/file >/dev/null; [ "$(sed -n "s/^opens //p" numbers)" -gt 0 ]'
}
leave() {
	kill "$FILTER"
	wait "$FILTER" || :
}
result() {
	{ cat tree/file 2>&1; } | sed 's/.*: //'
}
went() {
	[ "$(result)" = "$1" ]
}
stopped() {
	! grep -h '^State:' "/proc/$FILTER/task/"*/status | grep -v 'T (stopped)'
}

# --- killed, stopped ---

policy() { # WORD RESULT
	start -r quick.yar -f "$1" -t 200
	t_eq "$1: it works" "$(result)" text
	kill -STOP "$FILTER"
	t_wait_for 5 stopped
	t_eq "$1: stopped" "$(t_ends 3 sh -c 'cat tree/file 2>&1 || :' | sed 's/.*: //')" "$2"
	kill -9 "$FILTER"
	wait "$FILTER" || :
	t_wait_for 5 went "$2"
	echo "ok: $1: killed: $2"
	start -r quick.yar
	t_eq "$1: started again" "$(result)" text
	leave
}
policy open text
policy closed "Operation not permitted"

# --- too slow: what the configuration says, in its time; others do not wait for it ---

head -c 200000 /dev/zero >tree/long
head -c 2000 /dev/zero >tree/shared
slow() { # ACTION RESULT SCANS
	cat tree/long >out 2>&1 &
	t_slow=$!
	t_wait_for 5 number_is scanned "$3"
	t_eq "slow, $1: another file meanwhile" "$(result)" text
	t_ok "slow, $1: it is still being scanned" kill -0 "$t_slow"
	wait "$t_slow" || :
	t_has "slow, $1" "$(tr -d '\0' <out | head -c 200)" "$2"
	t_ok "slow, $1: said" grep -q "^$1 expired op=read .*path=$TMPDIR/tree/long" log
}
# conf_is LINE...: as one
conf_is() {
	{ echo "rules $TMPDIR/slow.yar" && printf '%s\n' "$@"; } >conf.new
	mv conf.new conf
}
conf_is 'max-time 1' 'on-expiry deny'
start -c conf -t 70000
slow deny "Operation not permitted" 2
conf_is 'max-time 1' 'on-expiry allow'
t_wait_for 5 number_is reloads 1
slow allow "" 3

# --- many open one file: one scan ---

conf_is 'max-time 71'
t_wait_for 5 number_is refused 1
t_ok "more time than anybody waits: refused" grep -q 'max-time 71: who opens waits 70 seconds' log
conf_is 'max-time 60'
t_wait_for 5 number_is reloads 2
t_from=$(number scanned)
t_opens=$(($(number opens) + 8))
t_readers=
for t_i in 1 2 3 4 5 6 7 8; do
	cat tree/shared >/dev/null &
	t_readers="$t_readers $!"
done
for t_i in $t_readers; do
	wait "$t_i"
done
t_wait_for 5 number_is opens "$t_opens"
t_eq "eight readers: one scan" "$(number scanned)" $((t_from + 1))
leave

# --- too large; a cache that is full ---

printf 'rules %s\nmax-size 1K\non-large deny\ncache 3\n' "$TMPDIR/quick.yar" >conf
start -c conf
t_has "too large, and denied" "$(cat tree/long 2>&1)" "Operation not permitted"
t_ok "said" grep -q "^deny too-large op=read" log
for t_i in 1 2 3 4 5 6 7 8 9; do
	echo "$t_i" >tree/small$t_i
done
echo EVIL >tree/small5
for t_round in 1 2; do
	t_eq "full, $t_round" "$(cat tree/small[1-46-9] | tr -d '\n')" 12346789
	t_has "full, $t_round: what is bad" "$(cat tree/small5 2>&1)" "Operation not permitted"
done
t_wait_for 5 number_is entries 3
t_ok "results had to go" [ "$(number evicted)" -gt 0 ]
leave

# --- wrong from the beginning ---

wrong() { # SENTENCE ARGUMENT...
	t_want=$1
	shift
	t_has "refused: $*" "$("$filters/scanflt" "$@" 2>&1 || :)" "$t_want"
}
echo 'max-size' >bad.conf
echo 'rule x { condition: y }' >bad.yar
echo 'include "quick.yar"' >include.yar
wrong "bad.conf: line 1: 'max-size' needs a value" -c bad.conf "$TMPDIR/tree"
wrong 'bad.yar: line 1: undefined identifier "y"' -r bad.yar "$TMPDIR/tree"
: >empty.yar
wrong "empty.yar: there is no rule in it" -r empty.yar "$TMPDIR/tree"
wrong "include.yar: line 1:" -r include.yar "$TMPDIR/tree"
wrong "none.yar: No such file" -r none.yar "$TMPDIR/tree"
wrong "usage:" -r quick.yar -c conf "$TMPDIR/tree"
t_has "in a shared object, too" "$("$PIPESFS" redirect --load "$filters/scanflt.so,-r,$TMPDIR/bad.yar,$TMPDIR/tree" tree 2>&1)" \
	'undefined identifier "y"'

# --- the tool ---

unset PIPESFS_URFS
umount tree
tests() { # STATUS ARGUMENT...
	t_want=$1
	shift
	t_got=0
	"$filters/scanflt" --test "$@" >out 2>&1 || t_got=$?
	t_eq "--test $*: status" "$t_got" "$t_want"
}
echo "an EVIL file" >evil
tests 0 quick.yar
t_eq "rules are counted" "$(cat out)" "1 rules"
tests 0 quick.yar tree/file
t_ok "clean, with the time" grep -q '^allow clean - [0-9.]* ms path=tree/file$' out
tests 1 quick.yar tree/file evil
t_ok "denied, with the rule" grep -q '^deny found quick [0-9.]* ms path=evil$' out
tests 1 -c conf tree/long
t_ok "too large" grep -q '^deny too-large - ' out
tests 2 quick.yar none
tests 2 bad.yar evil
t_has "what is wrong" "$(cat out)" 'line 1: undefined identifier "y"'
