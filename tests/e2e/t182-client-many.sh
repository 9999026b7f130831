#!/bin/sh
# timeout: 120
# Sixteen clients of one directory get the same from one copy, one of them goes along when the directory is moved. The library
# exports what its header declares and its manual names, links to nothing but libc, and its header is C++, too.
. "$T_LIB"
t_need cc nm
follow=$T_BUILD/src/example-follow
[ -x "$follow" ] || t_skip "the library was not built"
t_mount
mkdir "$P/accept" "$P/accept/lines" "$P/accept/snap:4"
seq 1 200000 >numbers

clients=
for n in $(seq 16); do
	"$follow" "$P/accept/lines/all" >got"$n" 2>err"$n" &
	clients="$clients $!"
done
there() {
	[ "$(grep -c 'command=example-follow view=copy' "$P/accept/lines/.readers")" = 16 ]
}
t_wait_for 30 there

cp numbers "$P/accept/all"
for client in $clients; do
	wait "$client" || t_fail "a client ended with an error"
done
for n in $(seq 16); do
	cmp numbers got"$n" || t_fail "client $n got something else"
	t_eq "client $n lost nothing" "$(cat err"$n")" "lost 0"
done

"$follow" "$P/accept/lines/all" >got 2>err &
client=$!
t_wait_for 20 grep -q command=example-follow "$P/accept/lines/.readers"
exec 7>"$P/accept/all"
cat numbers >&7
mv "$P/accept/lines" "$P/accept/snap:4/lines"
t_has "the books go along" "$(cat "$P/accept/snap:4/lines/.readers")" command=example-follow
exec 7>&-
wait $client || t_fail "the client of a moved directory: $(cat err)"
t_same "what came to the old place" got numbers

library=$T_BUILD/src/libpipesfs.so
if [ ! -e "$library" ]; then
	t_note "the library was not built: what it exports is not looked at"
	exit 0
fi
nm -D --defined-only "$library" | sed -n 's/.* T \(pfs_[a-z_]*\)@.*/\1/p' | sort >exported
sed -n 's/^[a-z].*[ *]\(pfs_[a-z_]*\)(.*/\1/p' "$TOP/include/pipesfs/pipesfs.h" \
	"$TOP/include/pipesfs/producer.h" "$TOP/include/pipesfs/zbuf.h" | sort >declared
sed -n 's/^\.Nm \(pfs_[a-z_]*\).*/\1/p' "$TOP/man/pipesfs.3" "$TOP/man/pfs_producer.3" \
	"$TOP/man/pfs_blocks.3" | sort >named
t_same "it exports what the headers declare" exported declared
t_same "and its manuals name" exported named
t_eq "it needs nothing but libc" "$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p')" libc.so.6
echo '#include <pipesfs/pipesfs.h>' >h.cc
! command -v c++ >/dev/null || t_ok "the header is C++" c++ -std=c++98 -Wall -Wextra -pedantic -Wno-long-long -I"$TOP/include" -fsyntax-only h.cc
echo '#include <pipesfs/pipesfs.h>' >h.c
t_ok "and C99" cc -std=c99 -Wall -Wextra -pedantic -I"$TOP/include" -fsyntax-only h.c
