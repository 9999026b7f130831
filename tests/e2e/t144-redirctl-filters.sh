#!/bin/sh
# Filters that run: loaded, given paths, activated, deactivated and unloaded by redirctl while the tree is used; refused
# ones change nothing.
. "$T_LIB"
. "$TOP/tests/tools/filters.sh"
t_need_root

seen() {
	grep -q "$1" log
}

mkdir -p tree/sub other below
T=$PWD/tree
mount --bind tree below
t_cleanup umount -l below
t_cleanup sh -c "umount -l $T; umount -l $PWD/other; :"
echo one >tree/file
echo other >other/file
t_mount

# --- one filter, its life ---------------------------------------------------------------------------

ctl load dummy "$filters/udummyflt.so,-o,$PWD/log" transparent
t_eq "where it is from, with its arguments" "$(cat "$P/redirfs/dummy/from")" "$filters/udummyflt.so,-o,$PWD/log"
ctl setpath dummy "$T" include subtree
ctl setpath dummy "$T/sub" exclude subtree
t_fails "an inactive filter redirects nothing" redirected tree
ctl activate dummy
t_ok "activate: the tree is redirected when it returns" redirected tree
t_eq "... and is what it was" "$(cat tree/file)" one
echo two >tree/sub/file
t_ok "the filter sees what is included" seen "REG_FOP_OPEN .* $T/file"
t_fails "... and not what is excluded" seen "REG_FOP_OPEN .* $T/sub/file"
t_eq "stat: it runs" "$(ctl stat dummy | grep -c 'hooked 1 pres [1-9]')" 1
ctl rempath dummy "$T/sub"
cat tree/sub/file >/dev/null
t_ok "a path that is no longer excluded is seen" seen "REG_FOP_OPEN .* $T/sub/file"
ctl setpath dummy "$PWD/other" include single
t_ok "a second tree" redirected other
t_eq "... which is what it was" "$(cat other/file)" other
t_eq "a process each" "$(pgrep -c -x pipesfs-redir)" 2

# --- a second, that changes data, under load ----------------------------------------------------------

load() {
	i=0
	while [ -e go ]; do
		if ! echo "$1 $i" >"tree/load.$1" || [ "$(cat "tree/load.$1")" != "$1 $i" ]; then
			echo "$1 $i: $(cat "tree/load.$1" 2>&1)" >>wrong
			return
		fi
		i=$((i + 1))
	done
	echo $i >"did.$1"
}
# Filters come and go, those that take data only between deactivate and activate: files that are open go on with them.
echo default allow >allow
touch go
load 1 &
L1=$!
load 2 &
L2=$!
t_wait_for 5 test -s tree/load.2
for t_i in 1 2 3; do
	ctl load again$t_i "$filters/accessflt.so,-r,$PWD/allow" security
	ctl setpath again$t_i "$T" include subtree
	ctl activate again$t_i
	ctl deactivate dummy
	ctl priority again$t_i $((700 + t_i))
	ctl activate dummy
	ctl deactivate again$t_i
	ctl unload again$t_i
done
rm go
wait $L1
wait $L2
t_fails "a busy tree notices no load, activation, change of order, unload" test -e wrong
t_ok "... and was busy" test "$(cat did.1)" -gt 3

ctl load scramble "$filters/scrambleflt.so" encryption
ctl setpath scramble "$T" include subtree
ctl activate scramble
echo plain >tree/new
t_eq "a data filter: plain above" "$(cat tree/new)" plain
t_eq "... scrambled below" "$(od -An -tx1 below/new | tr -d ' ')" 07c61696e6a0
ctl deactivate scramble
t_eq "deactivated: as it lies" "$(od -An -tx1 tree/new | tr -d ' ')" 07c61696e6a0
ctl activate scramble
t_eq "activated again" "$(cat tree/new)" plain
t_eq "two filters, in their order" "$(ctl list | tr '\n' ';')" "dummy 500000000 1;scramble 1900000000 1;"
ctl unload scramble
rm tree/new

# --- refused: nothing has changed ---------------------------------------------------------------------

cp "$filters/udummyflt.so" cut.so
truncate -s 1000 cut.so
said "half a shared object is refused when a process should load it" "cut.so is no shared object, or not all of one" sh -c "
	./redirctl -m $P load cut cut.so 1 && ./redirctl -m $P setpath cut $T include subtree"
t_eq "... it has no paths" "$(ctl paths cut)" ''
said "arguments that it does not like" "does not start: Invalid argument" sh -c "
	./redirctl -m $P load wrong $filters/udummyflt.so,-x 2 && ./redirctl -m $P setpath wrong $T include subtree"
said "a file that it needs" "No such file" sh -c "
	./redirctl -m $P load rules $filters/accessflt.so,-r,$PWD/none security && ./redirctl -m $P setpath rules $T include single"
t_eq "the others run as before" "$(cat tree/file; ctl stat dummy | grep -c 'hooked 2')" "one
1"
ctl unload cut
ctl unload wrong
ctl unload rules

# --- accessflt: rules of the administrator --------------------------------------------------------------

printf 'deny=EPERM op=write path=%s/file\n' "$T" >rules
ctl load access "$filters/accessflt.so,-r,$PWD/rules" security
ctl setpath access "$T" include subtree
ctl activate access
t_errno EPERM sh -c "echo no >>'$T/file'"
t_eq "accessflt: what no rule denies is done" "$(cat tree/file)" one
printf 'deny=EPERM op=read path=%s/file\n' "$T" >rules.new
mv rules.new rules
denied() {
	! cat tree/file 2>/dev/null
}
t_wait_for 3 denied
t_ok "accessflt: new rules are taken" sh -c "echo two >>'$T/file'"
ctl deactivate access
t_eq "deactivated it denies nothing" "$(tail -n 1 tree/file)" two
ctl unload access

# --- the end --------------------------------------------------------------------------------------------

exec 3<tree/file
ctl unload dummy
t_fails "the last filter has gone: the original is there" redirected tree
t_eq "... what was open is served until it is closed" "$(head -n 1 <&3)" one
exec 3<&-
none_left() {
	! pgrep -x -r S,R,D,T pipesfs-redir
}
t_wait_for 2 none_left
echo "ok: ... and no process is left"
t_eq "nothing is told of a death" "$(grep -c 'has ended' "$P/.errors")" 0
