#!/bin/sh
# timeout: 60
# Clients that do what they should not: they write where they may not, come with wrong tokens, say nonsense in their page, sleep for
# ever, are stopped. Each harms itself, and others get everything.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need python3
follow=$T_BUILD/src/example-follow
[ -x "$follow" ] || t_skip "the library was not built"
t_mount
liar=$TOP/tests/tools/client.py
mkdir "$P/accept"
seq 1 3000000 >numbers # more than the ring of the copy holds

t_ok "what is mapped cannot be written" python3 "$liar" seals "$P/accept/all"
t_ok "tokens" python3 "$liar" tokens "$P/accept/all"
t_ok "loans" env DAEMONS="$(t_daemons)" python3 "$liar" loans "$P/accept/all"

# beside WHAT...: a good client and a cat get everything
beside() {
	"$follow" "$P/accept/all" >got 2>err &
	good=$!
	cat "$P/accept/all" >want &
	cat=$!
	t_wait_for 20 grep -q command=example-follow "$P/accept/.readers"
	t_wait_for 20 grep -q command=cat "$P/accept/.readers"
	t_ends 60 cp numbers "$P/accept/all"
	wait $good || t_fail "a good client $1: $(cat err)"
	wait $cat
	t_same "a good client $1" got numbers
	t_same "cat $1" want numbers
}

for how in lie hang; do
	fifo=fifo.$how
	mkfifo "$fifo"
	python3 "$liar" "$how" "$P/accept/all" lossy <"$fifo" >here &
	bad=$!
	exec 7>"$fifo"
	t_wait_for 20 grep -q here here
	[ $how = lie ] || kill -STOP $bad
	beside "beside one that does: $how"
	awk '/python/ { n++; for (i = 1; i <= NF; i++) { split($i, a, "="); v[a[1]] = a[2] }
		wrong += v["seen"] == 0 || v["seen"] != v["delivered"] + v["lost"] + v["lag"] }
		END { exit wrong || n != 1 }' "$P/accept/.readers" ||
		t_fail "the books: $(cat "$P/accept/.readers")"
	kill -CONT $bad
	exec 7>&-
	wait $bad || t_fail "the bad client says an error"
done

# One that the writers have to wait for holds them up, and no longer than it lives.
mkfifo stuck
python3 "$liar" hang "$P/accept/all" reliable <stuck >here &
bad=$!
exec 7>stuck
t_wait_for 20 grep -q here here
cat "$P/accept/all" >zeros &
cat=$!
t_wait_for 20 grep -q command=cat "$P/accept/.readers"
head -c 100000000 /dev/zero >"$P/accept/all" &
writer=$!
# Others have got something, and get no more: the writer is there, and waits.
stuck() {
	got=$(wc -c <zeros)
	[ "$got" -gt 0 ] && sleep 0.2 && [ "$(wc -c <zeros)" = "$got" ] && [ "$got" -lt 100000000 ] && kill -0 $writer
}
t_wait_for 20 stuck
kill -9 $bad
wait $bad || :
exec 7>&-
wait $writer $cat
t_eq "what waited has come" "$(wc -c <zeros)" 100000000
nobody() {
	[ -z "$(cat "$P/accept/.readers")" ]
}
t_wait_for 20 nobody

# Of a reliable one's nonsense some says that it holds a lot: the others come through all the same.
mkfifo lies
python3 "$liar" lie "$P/accept/all" reliable <lies >here &
bad=$!
exec 7>lies
t_wait_for 20 grep -q here here
beside "beside a reliable liar"
exec 7>&-
wait $bad
