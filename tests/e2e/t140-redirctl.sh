#!/bin/sh
# Filters of files by the shell and by redirctl: what there is, what may be said of it, and what is refused with which
# words. No filter runs here.
# shellcheck disable=SC2012 # names of ours
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/redirctl.sh"
t_need_root
t_need jq


mkdir -p tree/sub "tree/a b"
touch tree/file scan.so
T=$PWD/tree
t_mount
R=$P/redirfs

# --- the tree ----------------------------------------------------------------------------------------

t_eq "no filters at first" "$(ls "$R")" ''
mkdir "$R/scan,so=$(pwd | sed 's|/|%2f|g')%2fscan.so,priority=security"
t_eq "a filter is there" "$(ls "$R")" scan
t_eq "... with its files" "$(ls -A "$R/scan" | tr '\n' ' ')" \
	".params .readers .stats active all all.json all.txt deadline exclude from hooks include paths policy priority remove unregister "
t_eq "... inactive" "$(cat "$R/scan/active")" 0
t_eq "... first of its group" "$(cat "$R/scan/priority")" 800000000
t_eq "... with the policy of the manual" "$(cat "$R/scan/policy") $(cat "$R/scan/deadline")" 'EIO 5s'
t_eq "... from there" "$(cat "$R/scan/from")" "$PWD/scan.so"
t_eq "... never asked" "$(head -n 8 "$R/scan/.stats" | grep -c ' 0$')" 8
echo "$T" >"$R/scan/include"
echo "$T/sub single" >"$R/scan/exclude"
t_eq "paths as RedirFS said them" "$(cat "$R/scan/paths")" "$T 0x6
$T/sub 0x9"
t_eq "paths as they are written" "$(cat "$R/scan/include" "$R/scan/exclude")" "$T subtree
$T/sub single"
ln -s tree link
echo "$PWD/link/file single" >"$R/scan/include"
t_eq "links are followed" "$(tail -n 1 "$R/scan/paths")" "$T/file 0x5"
printf '%s\n%s\n' "$T/file" "$T/sub" >"$R/scan/remove"
t_eq "paths can be taken away" "$(cat "$R/scan/paths")" "$T 0x6"
printf '%s/a b single\n%s/none\n' "$T" "$T" >several
t_errno ENOENT sh -c "cat several >'$R/scan/include'"
t_eq "a write counts as a whole" "$(cat "$R/scan/paths")" "$T 0x6"
t_has "... and .errors says why" "$(tail -n 1 "$P/.errors")" "/redirfs/scan/include ENOENT $T/none: No such file"
echo 500ms >"$R/scan/deadline"
echo open >"$R/scan/policy"
echo 7 >"$R/scan/priority"
t_eq "settings are kept" "$(cat "$R/scan/deadline" "$R/scan/policy" "$R/scan/priority" | tr '\n' ' ')" '500ms open 7 '

# --- refused -----------------------------------------------------------------------------------------

# refused FILE TEXT WORDS
refused() {
	t_errno EINVAL sh -c "echo '$2' | cat >'$R/scan/$1'"
	t_has "$1 '$2': why" "$(tail -n 1 "$P/.errors")" "/redirfs/scan/$1 EINVAL $3"
}
refused active 2 'active is 0 or 1'
refused active yes 'active is 0 or 1'
refused priority -1 'a priority is a number'
refused deadline 2h 'a deadline is a time'
refused policy EWHAT 'a policy is open'
refused include '' 'a path is missing'
refused include relative 'a path is absolute'
refused include / 'the root directory cannot be redirected'
refused include "$P" "$P is in a pipesfs"
t_errno EACCES sh -c "echo >'$R/scan/paths'"
t_errno EACCES cat "$R/scan/remove"
t_errno ENOENT cat "$R/none/active"
t_errno EPERM touch "$R/scan/new"
t_errno ENOENT mkdir "$R/scan/new"
t_errno EINVAL mkdir "$R/scan2"
t_has "mkdir says what it needs" "$(tail -n 1 "$P/.errors")" "a filter needs a shared object and a priority"
t_errno EEXIST mkdir "$R/other,so=$(pwd | sed 's|/|%2f|g')%2fscan.so,priority=7"
t_has "a priority belongs to one" "$(tail -n 1 "$P/.errors")" "EEXIST the filter 'scan' has priority 7 already"
chmod 666 scan.so
t_errno EPERM mkdir "$R/other,so=$(pwd | sed 's|/|%2f|g')%2fscan.so,priority=8"
chmod 644 scan.so
t_as_user sh -c "! cat '$R/scan/paths' 2>/dev/null && ls '$R' >/dev/null"
chmod 755 "$R/scan"
t_as_user sh -c "cat '$R/scan/paths' >/dev/null && ! echo 1 2>/dev/null >'$R/scan/active' && ! mkdir '$R/x' 2>/dev/null"
echo "ok: others may look when they are let, and change nothing"
rmdir "$R/scan"
t_eq "rmdir unregisters" "$(ls "$R")" ''

# --- redirctl ------------------------------------------------------------------------------------------

ctl load scan scan.so 850000000
ctl load dummy scan.so transparent
t_eq "list, by priority" "$(ctl list)" "dummy 500000000 0
scan 850000000 0"
ctl setpath scan "$T" include subtree
ctl setpath scan 'tree/a b' exclude single
t_eq "paths" "$(ctl paths scan)" "$T 0x6
$T/a b 0x9"
t_eq "list as JSON" "$(ctl --json list | jq -c 'map([.name, .priority, .active])')" \
	'[["dummy",500000000,false],["scan",850000000,false]]'
t_eq "paths as JSON" "$(ctl -j paths scan | jq -r '.[1] | [.path, .include, .subtree] | @csv')" \
	"\"$T/a b\",false,false"
t_eq "stat as JSON" "$(ctl -j stat scan | jq -r '.[0].name + "," + (.[0].pres | tostring)')" scan,0
ctl activate dummy
t_eq "activate" "$(ctl list | head -n 1)" 'dummy 500000000 1'
ctl deactivate dummy
t_eq "deactivate" "$(cat "$R/dummy/active")" 0
ctl priority dummy 12
ctl deadline dummy 1s
ctl policy dummy closed
t_eq "settings" "$(ctl priority dummy) $(ctl deadline dummy) $(ctl policy dummy)" '12 1s closed'
ctl rempath scan 'tree/a b'
t_eq "rempath" "$(ctl paths scan)" "$T 0x6"
t_eq "--dry-run says what a shell would do" "$(ctl -n activate scan; ctl -n unload scan)" \
	"echo '1' > $P/redirfs/scan/active
rmdir $P/redirfs/scan/"
t_eq "... and does nothing" "$(ctl list | tail -n 1)" 'scan 850000000 0'
said "an unknown filter" "there is no filter 'none'" ctl activate none
said "... to paths" "there is no filter 'none'" ctl paths none
said "... to unload" "there is no filter 'none'" ctl unload none
said "... to stat" "there is no filter 'none'" ctl stat none
said "a name that is a path" "there is no filter '../dev'" ctl paths ../dev
said "a used name" "there is a filter 'scan' already" ctl load scan scan.so 99
said "a used priority" "'dummy' has priority 12 already" ctl load third scan.so 12
said "a wrong keyword" "include, exclude" ctl setpath scan "$T" included single
t_eq "usage has a status of its own" "$(ctl paths >/dev/null 2>&1 || echo $?)" 2
t_eq "... so has an unknown command" "$(ctl lists >/dev/null 2>&1 || echo $?)" 2
t_as_user "$PWD/redirctl" -m "$P" activate scan >out 2>&1 && t_fail "a stranger activates a filter"
t_has "a stranger is told" "$(cat out)" "operation not permitted"
ctl unload scan
ctl unload dummy
t_eq "unload" "$(ctl list)" ''

# --- check ------------------------------------------------------------------------------------------------

cat >good.conf <<'END'
# what runs here
load scan /usr/lib/scan.so security
setpath scan /srv include subtree
setpath scan "/srv/a b" exclude single
policy scan closed
deadline scan 2s
activate scan
END
t_ok "a good file" ctl check good.conf
cat >bad.conf <<'END'
load scan /usr/lib/scan.so 1
load scan /usr/lib/scan.so 2
load other /usr/lib/scan.so 1
setpath none /srv include subtree
setpath scan /srv included subtree
setpath scan srv include subtree
activate
no-such
list
deadline scan never
load "open
END
ctl check bad.conf 2>err && t_fail "a bad file is good"
t_eq "each line that is wrong is named" "$(sed 's/^redirctl: bad.conf:\([0-9]*\): .*/\1/' err | tr '\n' ' ')" \
	'2 3 4 5 6 7 8 9 10 11 '
