#!/bin/sh
# t072 - portal.conf: rules of one's own, no injection, first match, reload, the check
# shellcheck disable=SC2016 # names that a shell would expand
. "$T_LIB"

t_need_root
cd "$TMPDIR" || exit
cat >portal.conf <<CONF
# rules
gz/        rfilter  gz/ gzip -dc
gz/        file     gz/
upper/     rfilter  upper/ tr a-z A-Z
say/       rfilter  say/ printf '<%s>' %s
into/      wfilter  into/ dd status=none of=%p
^v[0-9]+/  file     v
echo-only/ tcplisten echo-only/ linger=0.1
pipe/      pipe     pipe/
fs/        file     fs/
CONF
sed -i 's/<%s>/<%%s>/' portal.conf
t_mount -o "portals=$PWD/portal.conf"

echo hello >plain && gzip -k plain
cp plain.gz 'odd name; $(touch injected) `touch injected` "q'"'"'.gz'
t_eq "a provider of one's own" "$(cat "$P/gz$PWD/plain.gz")" hello
t_eq "no shell sees the path" "$(cat "$P/gz$PWD/odd name; \$(touch injected) \`touch injected\` \"q'.gz")" hello
t_fails "... nor was anything run" test -e injected -o -e /injected
t_eq "the path is one word" "$(cat "$P/say/a b  c'd\"")" "<a b  c'd\">"
t_errno EINVAL cat "$P/say/-n"
t_errno EACCES sh -c "echo x >'$P/gz$PWD/plain.gz'"
echo words | tee "$P/into$PWD/written" >/dev/null
t_wait_for 5 cmp -s written - <<X
words
X
echo "ok: a wfilter"
t_errno EACCES cat "$P/into$PWD/written"
t_has "a regular expression" "$(ls "$P")" gz
t_errno ENOENT ls "$P/tcp"
t_errno ENOENT ls "$P/v1x"

echo 'tcp/ tcp tcp/' >portal.conf
kill -HUP "$(sed -n 's/keeper //p' "$P/.control")"
t_wait_for 5 test -d "$P/tcp"
t_errno ENOENT ls "$P/gz"
echo "ok: SIGHUP reads it again"
echo 'tcp/ nonsense' >portal.conf
kill -HUP "$(sed -n 's/streams //p' "$P/.control")"
sleep 0.3
t_ok "what cannot be understood changes nothing" test -d "$P/tcp"

t_fails "the check finds it" "$PIPESFS" mount --check-config portal.conf
t_has "... and says where" "$("$PIPESFS" mount --check-config portal.conf 2>&1 || true)" "portal.conf:1: there is no provider 'nonsense'"
printf 'tcp/ tcp tcp/\ntcp/x file tcp/\n' >portal.conf
t_ok "the check passes" "$PIPESFS" mount --check-config portal.conf
t_has "... and doubts" "$("$PIPESFS" mount --check-config portal.conf 2>&1)" 'portal.conf:2:'
t_has "a file that is not there is refused at mount" "$("$PIPESFS" mount -o portals=/no/such "$P" 2>&1 || true)" '/no/such'
