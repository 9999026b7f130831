#!/bin/sh
# timeout: 120
# Producers: what they commit comes out as it went in, byte for byte and record for record, one beside `cat >`, and many;
# with small rings and a slow reader; one that is killed ends like a writer that is killed.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
produce=$T_BUILD/src/example-produce
[ -x "$produce" ] || t_skip "the library was not built"
t_mount -o ring=4M
mkdir "$P/accept"
seq 1 400000 >numbers

# reading: a cat of all, which is there
reading() {
	cat "$P/accept/${1-}all" >got &
	cat=$!
	t_wait_for 20 grep -q command=cat "$P/accept/${1-}.readers"
}

for size in "7 4096" "100 65536" "4096" "200000 8388608"; do
	reading
	# shellcheck disable=SC2086
	t_ok "records of $size" "$produce" "$P/accept/all" $size <numbers
	wait $cat
	t_same "... come out" got numbers
done

# --- record for record: each commit is one, as each write(2) would be ---------------------------

mkdir "$P/accept/count"
reading
"$produce" "$P/accept/all" 1000 <numbers
wait $cat
bytes=$(wc -c <numbers)
t_eq "as many records as commits" "$(sed -n 's/^in //p' "$P/accept/count/.stats")" $(((bytes + 999) / 1000))
rmdir "$P/accept/count"

# --- beside a writer, and many -------------------------------------------------------------------

mkdir "$P/accept/lines"
reading lines/
for i in 1 2 3 4; do
	sed "s/^/$i:/" numbers >"in$i"
done
exec 9>"$P/accept/all" # until all are there, the generation goes on
"$produce" "$P/accept/all" 777 65536 <in1 &
p1=$!
"$produce" "$P/accept/all" 4096 <in2 &
p2=$!
"$produce" "$P/accept/all" 60000 <in3 &
p3=$!
cat in4 >"$P/accept/all" &
p4=$!
for p in $p1 $p2 $p3 $p4; do
	wait "$p" || t_fail "one of four"
done
exec 9>&-
wait $cat
for i in 1 2 3 4; do
	grep "^$i:" got >"out$i"
	t_same "stream $i of four, whole and in order" "out$i" "in$i"
done
t_eq "nothing else" "$(wc -l <got)" 1600000
rmdir "$P/accept/lines"

# --- full: nobody reads --------------------------------------------------------------------------

seq 1 1500000 >large # more than the directory's ring
"$produce" "$P/accept/all" 1000 4096 <large &
full=$!
t_cleanup kill -9 $full
pos() { # how much it has read of what it is to write
	sed -n 's/^pos:[[:space:]]*//p' /proc/$full/fdinfo/0
}
filled() {
	was=$(pos)
	[ "$was" -gt 3000000 ] && sleep 0.1 && [ "$(pos)" = "$was" ]
}
t_wait_for 20 filled
t_ok "nobody reads: it waits for room" kill -0 $full
cat "$P/accept/all" >got & # what is there stays until somebody comes, who may be done at once
cat=$!
wait $full || t_fail "a producer that met a full ring"
wait $cat
t_same "a full ring: it waits and goes on" got large

# --- killed ----------------------------------------------------------------------------------------

mkfifo slow
held() { # bytes that are in the books
	sed -n '1s/.*directories, \([0-9]*\) of.*/\1/p' "$P/.graph"
}
reading
before=$(held)
"$produce" "$P/accept/all" 6 <slow &
victim=$!
exec 8>slow
printf 'first secon' >&8
t_wait_for 20 test -s got
t_ok "its memory is in the books" test "$(held)" -gt "$before"
kill -9 $victim
wait $victim || :
exec 8>&-
t_done $cat
t_eq "killed: what was committed, and then the end" "$(cat got)" "first "
released() {
	[ "$(held)" -le "$before" ]
}
t_wait_for 20 released
echo "ok: nothing of it is left in the books"

# --- nonsense in its ring --------------------------------------------------------------------------

for what in $([ -e "$T_BUILD/src/libpipesfs.so" ] && echo length position); do
	reading
	exec 9>"$P/accept/all"
	"$produce" "$P/accept/all" 1000 <numbers &
	good=$!
	t_eq "nonsense, $what: its producer is told" \
		"$(timeout "$(t_seconds 60)" python3 "$TOP/tests/tools/producer.py" "$T_BUILD/src/libpipesfs.so" "$P/accept/all" "$what")" \
		EPROTO
	wait $good || t_fail "a good one beside it"
	exec 9>&-
	wait $cat
	sed 's/before//' got >rest
	t_same "... and what came before it, and of the other one, is there" rest numbers
	t_ok "... in a sentence" grep -q "producer's ring holds what is no record" "$P/.errors"
done

# --- times and true lengths --------------------------------------------------------------------------

if [ -e "$T_BUILD/src/libpipesfs.so" ]; then
	mkdir "$P/accept/unpcap"
	cat "$P/accept/unpcap/all.json" >said &
	cat=$!
	cat "$P/accept/unpcap/all.pcapng" >said.pcapng &
	capture=$!
	t_wait_for 20 sh -c "[ \$(grep -c command=cat '$P/accept/unpcap/.readers') = 2 ]"
	before=$(date +%s)
	t_ok "packets that say a time" timeout "$(t_seconds 60)" \
		python3 "$TOP/tests/tools/producer.py" "$T_BUILD/src/libpipesfs.so" "$P/accept/unpcap/all" said
	wait $cat
	wait $capture
	t_has "the time and the true length that were said" "$(sed -n 1p said)" \
		'"time":"2001-09-09T01:46:40.123456789Z","len":1514,"caplen":60,'
	for line in 2 3; do # nothing was said; a time that has not been yet
		time=$(sed -n "s/\"len\":60,.*//; s/Z.*//; s/.*\"time\":\"//; ${line}p" said)
		seconds=$(date -u -d "$time" +%s)
		t_ok "... else it is the mount's own ($time)" test "$before" -le "$seconds" -a "$seconds" -le "$(date +%s)"
	done
	t_eq "three packets" "$(wc -l <said)" 3
	if command -v tshark >/dev/null; then
		t_eq "... as of a captured packet" "$(tshark -r said.pcapng -T fields -e frame.time_epoch -e frame.len -e frame.cap_len \
			-c 1 2>/dev/null | tr '\t' ' ')" "1000000000.123456789 1514 60"
	fi
	rmdir "$P/accept/unpcap"
fi

# --- refused ---------------------------------------------------------------------------------------

t_errno EINVAL "$produce" "$P/accept/all.txt" </dev/null # nothing is written into a view
t_fails "no such size" "$produce" "$P/accept/all" 10 5000 </dev/null
t_has "... and it is told which there are" "$("$produce" "$P/accept/all" 10 5000 2>&1 </dev/null || :)" "a power of two"
t_errno ENOTTY "$produce" numbers 10 </dev/null

# --- the mount ends ----------------------------------------------------------------------------------

mkdir "$P/accept:last"
cat "$P/accept:last/all" >got &
cat=$!
t_wait_for 20 grep -q command=cat "$P/accept:last/.readers"
"$produce" "$P/accept:last/all" 6 <slow 2>err &
client=$!
exec 8>slow
printf 'before' >&8
t_wait_for 20 test -s got
t_unmount "$P" >unmount.log 2>&1
t_done $cat || : # it has got an error, or an end
printf 'afterwards' >&8 || :
exec 8>&-
if t_done $client; then
	t_fail "a producer of a mount that has ended: status 0"
fi
t_has "it is told" "$(cat err)" "produce: "
