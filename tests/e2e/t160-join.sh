#!/bin/sh
# A filter in a process of its own joins a mount: it is in the registry, is changed by redirctl, asked by all trees without
# streams in between, fails by its policy when it dies, and comes again under its name with its paths.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/filters.sh"
t_need_root
t_need python3

mkdir -p one two below
mount --bind one below
t_cleanup umount -l below
t_cleanup sh -c "umount -l $TMPDIR/one; umount -l $TMPDIR/two; :"
echo first >one/file
echo second >two/file

listed() { # WORDS
	[ "$(ctl list)" = "$1" ]
}
start() { # WORDS of the program
	"$@" >prog.out 2>&1 &
	FILTER=$!
	t_cleanup sh -c "kill -9 $FILTER 2>/dev/null; :"
}
# When there is a prompt answer: it is ready.
saw() {
	cat "$1/file" >/dev/null && grep -q "REG_FOP_OPEN .* $TMPDIR/$1/file" log
}

# --- a filter before any tree; then paths by redirctl --------------------------------------------------------

t_cleanup sh -c "umount -l $P; :"
t_start
t_eq "the socket is its owner's alone" "$(stat -c '%U %a' "$PIPESFS_URFS")" "root 600"
start "$filters/udummyflt" -o "$TMPDIR/log"
t_wait_for 10 listed "udummyflt 500000000 1 pid=$FILTER"
echo "ok: it is in the list with its pid"
t_eq "... and in JSON" "$(ctl --json list)" "[{\"name\":\"udummyflt\",\"priority\":500000000,\"active\":true,\"pid\":$FILTER}]"
t_has "what it hooks is said" "$(ctl hooks udummyflt)" "post ANY_FOP_READ"
t_eq "its directory says where it is from" "$(cat "$P/redirfs/udummyflt/from")" "pid $FILTER"
t_eq "... and its policy" "$(ctl policy udummyflt)" open
t_fails "it has no path: nothing is redirected" redirected one
ctl setpath udummyflt "$TMPDIR/one" include subtree
t_ok "setpath redirects when it returns" redirected one
t_wait_for 10 saw one
echo "ok: it is asked"
ctl setpath udummyflt "$TMPDIR/two" include subtree
t_wait_for 10 saw two
t_eq "two trees, one filter" "$(ctl stat udummyflt | grep -c 'hooked 2 pres [1-9]')" 1

# streams has neither end of a channel: what it has of sockets and memory is as before.
channels() {
	find "/proc/$1/fd" -lname '/memfd:urfs*' 2>/dev/null | wc -l
}
t_eq "streams has no memory of theirs" "$(channels "$STREAMS")" 0
kill -STOP "$STREAMS"
t_eq "streams stopped: the tree goes on" "$(cat one/file)" first
kill -CONT "$STREAMS"

ctl deactivate udummyflt
t_eq "deactivate: listed so" "$(ctl list)" "udummyflt 500000000 0 pid=$FILTER"
t_fails "... and nothing is redirected" redirected one
ctl activate udummyflt
t_ok "activate" redirected two
ctl priority udummyflt 12345
ctl policy udummyflt EACCES
t_eq "priority, policy: as redirctl says" "$(ctl list; ctl policy udummyflt)" "udummyflt 12345 1 pid=$FILTER
EACCES"

# --- it dies -----------------------------------------------------------------------------------------------------

kill -9 "$FILTER"
wait "$FILTER" 2>/dev/null || :
t_wait_for 10 listed "udummyflt 12345 1 gone"
echo "ok: killed, it is listed as gone"
t_errno EACCES cat one/file
t_errno EACCES cat two/file
mkdir three
t_cleanup sh -c "umount -l $TMPDIR/three; :"
echo third >three/file
ctl setpath udummyflt "$TMPDIR/three" include subtree
t_errno EACCES cat three/file
echo "ok: a tree that was made without it fails by its policy, too"
ctl deadline udummyflt 2s

# --- it comes again -----------------------------------------------------------------------------------------------

rm -f log
start "$filters/udummyflt" -o "$TMPDIR/log"
t_wait_for 10 listed "udummyflt 12345 1 pid=$FILTER"
t_wait_for 10 saw three
t_wait_for 10 saw one
t_eq "it has its paths, policy, deadline" "$(ctl paths udummyflt | tr '\n' ' ')$(ctl policy udummyflt) $(ctl deadline udummyflt)" \
	"$TMPDIR/one 0x6 $TMPDIR/two 0x6 $TMPDIR/three 0x6 EACCES 2s"
start2() {
	"$filters/udummyflt" >second.out 2>&1
}
t_fails "a second one of that name is refused" start2
t_has "... and told" "$(cat second.out)" "File exists"

# Of its own accesses, and of data: a second program, which changes bytes.
start "$filters/scrambleflt" "$TMPDIR/one"
SCRAMBLE=$FILTER
scrambles() {
	echo a >one/probe && [ "$(cat below/probe)" != a ]
}
t_wait_for 10 scrambles
seq 1 20000 >plain
cp plain one/copy
t_ok "data through two processes" cmp plain one/copy
t_fails "... scrambled below" cmp -s plain below/copy
t_eq "two filters by their order" "$(ctl list | sed 's/=.*//')" "udummyflt 12345 1 pid
scrambleflt 1900000000 1 pid"

# --- it ends properly ----------------------------------------------------------------------------------------------

kill "$SCRAMBLE"
wait "$SCRAMBLE" 2>/dev/null || :
only_one() {
	[ "$(ctl list | wc -l)" = 1 ] && [ ! -e "$P/redirfs/scrambleflt" ]
}
t_wait_for 10 only_one
echo "ok: one that ends takes its filter and its directory along"
ctl unload udummyflt
original() {
	! redirected one && ! redirected two && ! redirected three
}
t_ok "unloaded by redirctl: the originals are there" original

# --- the mount ends ------------------------------------------------------------------------------------------------

start "$filters/udummyflt" "$TMPDIR/two"
t_wait_for 10 redirected two
"$PIPESFS" umount "$P"
t_wait_for 10 test ! -e "$PIPESFS_URFS"
t_rc "$FILTER"
t_has "its end is told" "$(cat prog.out)" "pipesfs has ended"
t_eq "the original is there" "$(cat two/file)" second
