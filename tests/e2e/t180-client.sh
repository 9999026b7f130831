#!/bin/sh
# timeout: 120
# libpipesfs: what a client takes from memory is what `cat` reads, of a source, below a filter, lossy and reliable; the books
# show it; a client that closes or is killed is gone from them.
. "$T_LIB"
t_mount
follow=$T_BUILD/src/example-follow
[ -x "$follow" ] || t_skip "the library was not built"

# started FILE DIR: a follower, and a cat, of the same directory, which are there
follow() {
	"$follow" "$1" >got 2>err &
	client=$!
	cat "$2/all" >want &
	cat=$!
	t_wait_for 20 grep -q command=example-follow "$2/.readers"
	t_wait_for 20 grep -q command=cat "$2/.readers"
}
finish() {
	wait $client || {
		cat err
		t_fail "the client ended with an error: $1"
	}
	wait $cat
	t_same "$1" got want
}

mkdir "$P/accept" "$P/accept/lines"
seq 1 300000 >numbers

follow "$P/accept/all" "$P/accept"
t_has "the books show the client" "$(cat "$P/accept/.readers")" "command=example-follow view=copy policy=reliable"
cp numbers "$P/accept/all"
finish "bytes of a source"
t_eq "nothing was lost" "$(cat err)" "lost 0"
t_same "all of it" want numbers

follow "$P/accept/lines/all" "$P/accept/lines"
cp numbers "$P/accept/all"
finish "records of a filter"
t_same "all of them" want numbers
