#!/bin/sh
# Why a filter in a shared object does not start is told to whoever needs it, with file, line and column; what is wrong with
# rules that were replaced later is in .errors, with the filter.
. "$T_LIB"
. "$TOP/tests/tools/filters.sh"
t_need_root

mkdir tree
t_cleanup sh -c "umount -l $TMPDIR/tree; :"
echo one >tree/file
t_mount

echo 'deny=EPERM op=sing' >bad
ctl load access "accessflt,-r,$TMPDIR/bad" security
ctl setpath access "$TMPDIR/tree" include subtree
t_fails "rules that are wrong are refused when a tree needs them" ./redirctl -m "$P" activate access
why=$(ctl activate access 2>&1) || :
t_has "redirctl says where" "$why" "accessflt: $TMPDIR/bad: "
t_ok "... with the line" sh -c "echo \"$why\" | grep -qE '1:[0-9]+|line 1'"
t_has ".errors says it, too" "$(cat "$P/.errors")" "accessflt: $TMPDIR/bad: "
ctl unload access
ctl load access "accessflt,-x" security
ctl setpath access "$TMPDIR/tree" include subtree
t_has "arguments that are wrong" "$(ctl activate access 2>&1)" "usage: accessflt"
ctl unload access

echo 'deny=EPERM op=write path=/nowhere' >rules
ctl load access "accessflt,-r,$TMPDIR/rules" security
ctl setpath access "$TMPDIR/tree" include subtree
ctl activate access
t_eq "rules that are right" "$(cat tree/file)" one
cp bad rules.new
mv rules.new rules
told() {
	cat tree/file >/dev/null
	grep -q " /redirfs/access .*accessflt: $TMPDIR/rules: .*; the rules before it stay" "$P/.errors"
}
t_wait_for 10 told
echo "ok: rules that were replaced by wrong ones: .errors says so, of the filter"
t_eq "... and those before it stay" "$(cat tree/file)" one
