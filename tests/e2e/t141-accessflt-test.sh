#!/bin/sh
# needs: user
# accessflt-test: what rules decide, in the words of the manual, and what it says of wrong ones.
. "$T_LIB"

page=$TOP/man/accessflt.8
tool=$T_BUILD/src/accessflt-test
awk '/^\.Bd -literal$/ { f = "rules"; next } /^\.Ed/ { f = "" } f { print > f }' "$page"
t_eq "the manual's rules are right" "$("$tool" rules)" "4 rules"
awk '/^\.Bd -literal -offset/ { f = "session"; next } /^\.Ed/ { f = "" } f { print > f }' "$page"
while read -r dollar line; do
	[ "$dollar" = '$' ] || continue
	read -r want
	# shellcheck disable=SC2086 # words of the manual
	t_eq "$line" "$("$tool" ${line#accessflt-test } || true)" "$want"
done <session

# decides STATUS OUTPUT WHO EXE OP PATH
decides() {
	t_status=$1
	t_want=$2
	shift 2
	t_got=0
	t_out=$("$tool" rules "$@") || t_got=$?
	t_eq "$*: status" "$t_got" "$t_status"
	t_eq "$*" "$t_out" "$t_want"
}
decides 0 'allow line 2: allow exe=/usr/sbin/nginx op=read path=/srv/keys/' 33 /usr/sbin/nginx read /srv/keys/tls.pem
decides 1 'deny=EPERM line 3: deny=EPERM log path=/srv/keys/' 0 /usr/sbin/nginx write /srv/keys/tls.pem
decides 1 'deny=EPERM line 3: deny=EPERM log path=/srv/keys/' root - read /srv/keys/a/b
decides 0 'allow by the default' 0 - list /srv/keys
decides 1 'deny=EACCES line 4: deny log op=exec path=/srv/upload/' 0 - exec /srv/upload/x
decides 0 'allow by the default' 1500 - write /srv/etc/passwd
decides 1 'deny=EACCES line 5: deny uid!=0,1000-1999 op=write,create,remove path=/srv/etc/' 2000 - create /srv/etc/x

# refuses WORDS ARGUMENT...
refuses() {
	t_want=$1
	shift
	t_got=0
	t_out=$("$tool" "$@" 2>&1) || t_got=$?
	t_eq "$*: status" "$t_got" 2
	t_has "$*" "$t_out" "$t_want"
}
printf 'allow\n\ndeny op=reed\n' >wrong
refuses "wrong: line 3: there is no operation 'reed'" wrong
refuses "none: No such file or directory" none
refuses "it is no file" .
refuses "nosuchuser is no user" rules nosuchuser - read /x
refuses "reed no operation" rules 0 - reed /x
refuses "usage:" rules 0
