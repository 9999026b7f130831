#!/bin/sh
# needs: user
# Which of the common tools open at once, and which ask first: what the manual says of both is so.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need bash python3

t_peer GREET greet
portal=/p/tcp/127.0.0.1/$GREET
want="hello $GREET"
page=$TOP/man/pipesfs.8

# works NAME CMD...: it is in the manual's first list, and prints the greeting.
works() {
	name=$1
	shift
	if ! command -v "$1" >/dev/null; then
		t_note "no $1 here"
		return
	fi
	sed -n '/^Without a mount work/,/^With one only/p' "$page" | sed 'y/,./\n\n/' | sed 's/^ *//' | grep -qxF "$name" ||
		t_fail "pipesfs(8) does not say that $name works"
	t_eq "$name" "$(portal "$@" 2>&1)" "$want"
}

# asks CMD...: it is in the second list, and does not find it.
asks() {
	if ! command -v "$1" >/dev/null; then
		t_note "no $1 here"
		return
	fi
	sed -n '/^With one only/,/^\.Pp/p' "$page" | sed 'y/,./\n\n/' | sed 's/^With one only://; s/^ *//' | grep -qE "^(and )?$1( |\$)" ||
		t_fail "pipesfs(8) does not say that $1 asks first"
	t_fails "$1 asks first" portal timeout 5 "$@"
}

works cat cat "$portal"
works head head -n 1 "$portal"
works tail tail -n 1 "$portal"
works dd dd if="$portal" status=none
works grep grep hello "$portal"
works sed sed p -n "$portal"
works awk awk 1 "$portal"
works cut cut -c 1- "$portal"
works comm comm "$portal" /dev/null
works jq jq -R -r . "$portal"
works python python3 -c "print(open('$portal').read(), end='')"
works perl perl -e "open(F, '<', '$portal') or die; print <F>"
t_eq "tee" "$(portal sh -c "echo $want | tee '/p/pipe/usr/bin/tee $PWD/tee.out'; cat tee.out >/dev/null")" "$want"
t_eq "wc" "$(portal wc -l "$portal" | sed 's/ .*//')" 1
t_eq "md5sum" "$(portal md5sum "$portal" | sed 's/ .*//')" "$(echo "$want" | md5sum | sed 's/ .*//')"
t_has "od" "$(portal od -c "$portal")" "h   e   l   l   o"
t_eq "a shell's <" "$(portal sh -c "read -r x <$portal; echo \"\$x\"")" "$want"
t_eq "bash's too" "$(portal bash -c "mapfile -t x <$portal; echo \"\${x[0]}\"")" "$want"

asks cp "$portal" copy
asks diff "$portal" /dev/null
asks sort "$portal"
asks ls "$portal"
asks stat "$portal"
asks test -e "$portal"
asks tar cf copy.tar "$portal"

# Programs that hold no shared library open nothing before their own files: nothing is preloaded, nothing linked.
if command -v busybox >/dev/null; then
	t_eq "a static program" "$(portal busybox head -n 1 "$portal")" "$want"
fi
t_wait_for 5 t_no_servers
