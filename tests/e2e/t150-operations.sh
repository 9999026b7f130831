#!/bin/sh
# The operations that a filter of files was asked about are records of the graph: read as lines and as JSON, filtered by
# directories below, of trees that come later, too; and its end is their end.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need jq

# streams FILE OUT: a reader that is there when this returns
streams() {
	t_before=$(readers)
	t_bg sh -c "exec cat '$1' >$2"
	t_wait_for 10 more_readers "$t_before"
}
readers() {
	cat "$R/acc/.readers" "$R/acc/"*/.readers 2>/dev/null | grep -c lossy || :
}
more_readers() {
	[ "$(readers)" -gt "$1" ]
}

mkdir -p "tree/a b" later
T=$PWD/tree
printf one >tree/file
printf two >tree/secret
printf three >later/file
printf 'deny=EPERM op=read path=%s/secret\ndefault allow\n' "$T" >rules
t_mount
R=$P/redirfs
ctl load acc "$filters/accessflt.so,-r,$PWD/rules" security
ctl load dummy "$filters/udummyflt.so,-o,/dev/null" transparent
for t_filter in acc dummy; do
	ctl setpath $t_filter "$T" include subtree
	ctl activate $t_filter
done

t_eq "streams beside the files that control" "$(find "$R/acc" -mindepth 1 -maxdepth 1 -printf "%f\n" | sort | tr '\n' ' ')" \
	".params .readers .stats active all all.json all.txt deadline exclude from hooks include paths policy priority remove unregister "
t_eq "its owner's alone" "$(stat -c %a,%u "$R/acc")" 700,0
t_as_user sh -c "cat '$R/acc/all'" 2>/dev/null && t_fail "anybody reads what others do"
cat tree/file >/dev/null
t_eq "nobody reads: nothing comes" "$(grep '^in ' "$R/acc/.stats")" 'in 0'

# --- what is told ----------------------------------------------------------------------------------

mkdir "$R/acc/grep:secret"
streams "$R/acc/all" all
streams "$R/acc/all.json" json
streams "$R/acc/all.txt" txt
streams "$R/acc/grep:secret/all.json" below
t_odd="a b/Grüße
\\x"
cat tree/file >/dev/null
mv tree/file "tree/$t_odd"
cat tree/secret 2>/dev/null && t_fail "it was to be denied"
t_wait_for 10 grep -q EPERM below
t_wait_for 10 grep -q EPERM json
t_wait_for 10 grep -q ' EPERM ' all
t_wait_for 10 grep -q ' EPERM ' txt

says() { # NAME WANT FILTER FILE
	t_eq "$1" "$(jq -r --arg to "$T/$t_odd" "$3" "$4" | sort -u)" "$2"
}
says "an open: who, what, where, how" "/usr/bin/cat 0 $T/file 0 continued" \
	"select(.operation == \"open\" and .result == 0) | \"\(.exe) \(.uid) \(.path) \(.result) \(.verdict)\"" json
says "... how long, and when" true \
	'select(.operation == "open") | .duration > 0 and .duration < 5 and (.time | startswith("20")) and .pid > 1' json
says "a rename has both its names, whatever they are" true \
	"select(.operation == \"rename\") | .path == \"$T/file\" and .path2 == \$to" json
says "what the filter stopped" "open -1 EPERM stopped" \
	'select(.error == "EPERM") | "\(.operation) \(.result) \(.error) \(.verdict)"' json
t_eq "the same as a line" "$(grep -c " 0 /usr/bin/cat open EPERM 0\.[0-9]* stopped $T/secret\$" all)" 1
t_has "in a line a blank is no blank" "$(grep ' rename ' all)" "$T/file $T/a\\040b/Grüße\\012\\134x"
t_eq "all.txt has nothing that a terminal obeys" "$(LC_ALL=C grep -c '[^ -~]' txt || :)" 0
t_has "... and no letter beyond ASCII" "$(grep ' rename ' txt)" 'Gr\xc3\xbc\xc3\x9fe\012'
says "a directory below has what it keeps" "$T/secret" '.path' below
t_ok "each is a line of JSON" jq -es 'length >= 3' json

# --- trees come, filters go --------------------------------------------------------------------------

ctl setpath acc "$PWD/later" include subtree
cat later/file >/dev/null
t_wait_for 10 grep -q "$PWD/later/file" json
echo "ok: a tree that comes later is told of, too"
t_errno ENOTEMPTY rmdir "$R/acc"
t_has "it does not go with what works on it" "$(tail -n 1 "$P/.errors")" "directories in it"
t_ok "the same of others" ctl list
rmdir "$R/acc/grep:secret"
streams "$R/acc/all" last
t_last=$BG
ctl unload acc
gone() {
	! kill -0 "$t_last" 2>/dev/null
}
t_wait_for 10 gone
echo "ok: readers get the end of file when the filter goes"
t_fails "... and its directory is gone" test -e "$R/acc"
ctl load acc "$filters/accessflt.so,-r,$PWD/rules" security
t_ok "one of the same name may come" test -e "$R/acc/all.json"
