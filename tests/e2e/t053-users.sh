#!/bin/sh
# Two ordinary users, of whom one is an enemy: he tries to see, slow, fill and stop what the other runs.
# timeout: 240
# shellcheck disable=SC2119 # t_start without arguments is meant
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need setpriv
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_cleanup t_unmount "$P"
t_start -o ring=4M,memory=512M,user_nodes=60,user_memory=64M,user_opens=20,user_processes=24

alice() {
	setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all -- "$@"
}
bob() {
	setpriv --reuid 1002 --regid 1002 --clear-groups --inh-caps=-all -- "$@"
}

# What alice runs, works: a round trip through a pipeline of hers, in time.
alice mkdir -p "$P/accept:alice/head:4711/exec:cat"
works() {
	alice sh -c "cat '$P/accept:alice/head:4711/exec:cat/all' >'$U/got' & echo through >'$P/accept:alice/all'; wait"
	[ "$(cat "$U/got")" = through ]
}
mkdir "$U"
chmod 777 "$U"
works || t_fail "alice's pipeline"
echo "ok: alice's pipeline works"

# --- seeing ---------------------------------------------------------------------------------

for what in all all.json .stats .params .readers .graph.json .metrics; do
	t_errno EACCES bob cat "$P/accept:alice/$what"
	t_errno EACCES bob cat "$P/accept:alice/head:4711/$what"
done
t_errno EACCES bob ls "$P/accept:alice"
for name in .graph .graph.dot .graph.json .metrics; do
	t_fails "bob's $name tells nothing of hers" sh -c "setpriv --reuid 1002 --regid 1002 --clear-groups cat '$P/$name' | grep -q -e 4711 -e accept:alice -e 1001"
	t_ok "... alice's does" sh -c "setpriv --reuid 1001 --regid 1001 --clear-groups cat '$P/$name' | grep -q 4711"
done
alice mkdir "$P/accept:alice/nosuchfilter" 2>/dev/null || true
t_fails "her refusals are not his" bob grep -q nosuchfilter "$P/.errors"

# --- stopping -------------------------------------------------------------------------------

t_errno EACCES bob mkdir "$P/accept:alice/ip"
t_errno EACCES bob rmdir "$P/accept:alice/head:4711"
t_fails "rmdir of hers" bob rmdir "$P/accept:alice"
t_fails "mv of hers" bob mv "$P/accept:alice" "$P/accept:bob"
t_fails "chmod of hers" bob chmod 777 "$P/accept:alice"
t_fails "chown of hers" bob chown 1002 "$P/accept:alice"
t_fails "rm -r of hers" bob rm -rf "$P/accept:alice"
t_errno EACCES bob sh -c "echo x >'$P/accept:alice/all'"
t_errno EACCES bob sh -c "echo arg=1 >'$P/accept:alice/head:4711/.params'"
bob mkdir "$P/accept:bob"
t_errno EACCES bob mkdir "$P/accept:bob/into:accept:alice"
t_errno EACCES bob mkdir "$P/accept:bob/into:accept:alice%2fhead:4711"
bob ln -s "$P/accept:alice" "$U/link"
t_errno EACCES bob mkdir "$P/accept:bob/into:$(printf '%s' "$U/link" | sed 's|/|%2f|g')"
bob ln -s ../accept:alice "$P/accept:bob/link"
t_errno EACCES bob cat "$P/accept:bob/link/all"
t_fails "into goes through no link" bob mkdir "$P/accept:bob/into:accept:bob%2flink"
bob rm "$P/accept:bob/link"
t_errno EACCES bob mkdir "$P/dev/lo/ip"
t_errno EACCES bob cat "$P/netfilter_in/all"
t_errno EACCES bob sh -c "echo end >'$P/.control'"
works || t_fail "alice's pipeline, after all that"
echo "ok: hers works"

# --- filling --------------------------------------------------------------------------------

n=0
while bob mkdir "$P/accept:b$n" 2>err; do
	n=$((n + 1))
	[ $n -lt 200 ] || break
done
t_has "directories have an end ($n)" "$(cat err)" "quota"
t_has "... and he is told" "$(bob tail -n 1 "$P/.errors")" "user_nodes="
t_ok "alice makes one" alice mkdir "$P/accept:more"
t_eq "sixty are counted" "$(jq '.users[] | select(.uid == 1002) | .nodes' "$P/.graph.json")" 60

bob python3 - "$P" <<'END' >opens
import errno, os, sys
fds, why = [], None
for i in range(50):
    try:
        fds.append(os.open(f"{sys.argv[1]}/accept:b{i}/all", os.O_WRONLY))
    except OSError as e:
        why = e.errno
        break
print(len(fds), errno.errorcode[why])
END
t_eq "memory has an end: rings of 4 MiB" "$(cat opens)" "16 EDQUOT"
t_has "... and he is told" "$(bob tail -n 1 "$P/.errors")" "user_memory="
bob python3 - "$P" <<'END' >opens
import errno, os, sys
fds, why = [], None
for i in range(50):
    try:
        fds.append(os.open(f"{sys.argv[1]}/accept:b0/all", os.O_RDONLY))
    except OSError as e:
        why = e.errno
        break
print(len(fds), errno.errorcode[why])
END
t_eq "open pipes have an end" "$(cat opens)" "20 EDQUOT"
bob env TOOLS="$TOP/tests/tools" python3 - "$P/accept:b0/all" <<'END' >opens
import errno, os, sys
sys.path.insert(0, os.environ["TOOLS"])
import client
clients, why = [], None
for i in range(50):
    try:
        clients.append(client.Client(sys.argv[1]).shake_hands())
    except OSError as e:
        why = e.errno
        break
print(len(clients), errno.errorcode[why])
END
t_eq "and so have clients, which are open pipes" "$(cat opens)" "20 EDQUOT"
works || t_fail "alice's pipeline, after he filled what he could"
echo "ok: hers works"
for i in $(seq 0 $((n - 1))); do
	bob rmdir "$P/accept:b$i"
done
t_ok "what he removed he may have again" bob mkdir "$P/accept:b0"

# --- commands -------------------------------------------------------------------------------

n=0
while bob mkdir "$P/accept:bob/exec:sleep $n" 2>err; do
	n=$((n + 1))
	[ $n -lt 50 ] || break
done
t_eq "commands have an end" "$n $(grep -c quota err)" "12 1"
bob rm -r "$P/accept:bob"
bob mkdir "$P/accept:bob"
his() {
	ps -o pid= -u 1002 | wc -l
}
bob mkdir "$P/accept:bob/exec:sh -c 'while :; do sleep 100 & done'"
bob cat "$P/accept:bob/exec:sh -c 'while :; do sleep 100 & done'/all" >/dev/null &
B=$!
many() {
	[ "$(his)" -ge 8 ]
}
t_wait_for 20 many
worst=0
for i in $(seq 30); do
	now=$(his)
	[ "$now" -le "$worst" ] || worst=$now
	sleep 0.02
done
t_ok "a fork bomb is bounded: at most $worst processes" test "$worst" -le 40
works || t_fail "alice's pipeline beside a fork bomb"
echo "ok: hers works"
kill $B 2>/dev/null || true
bob rmdir "$P/accept:bob/exec:sh -c 'while :; do sleep 100 & done'"
quiet() {
	[ "$(his)" -le 1 ]
}
t_wait_for 20 quiet
echo "ok: and goes with its directory"

# --- slowing --------------------------------------------------------------------------------

# She lets everybody read. He reads, plain and through views, and does not go on.
alice mkdir "$P/accept:open"
alice chmod 755 "$P/accept:open"
t_errno EACCES bob cat "$P/accept:open/all,policy=reliable"
t_has "... and he is told" "$(bob tail -n 1 "$P/.errors")" "make the writers wait"
for what in all all all.txt all.json; do
	bob sh -c "exec <'$P/accept:open/$what'; echo \$\$; kill -STOP \$\$; exec cat" >pid 2>/dev/null &
	t_wait_for 5 test -s pid
	t_wait_state "$(cat pid)" T
	t_cleanup kill -9 "$(cat pid)"
	rm pid
done
alice cat "$P/accept:open/all" >"$U/hers" &
H=$!
hers() {
	grep -q '^uid=1001 ' "$P/accept:open/.readers"
}
t_wait_for 10 hers
head -c 40M /dev/urandom >"$U/data"
t_ok "her writer is not held up by stopped readers of others" t_ends 60 setpriv --reuid 1001 --regid 1001 --clear-groups sh -c "cat '$U/data' >'$P/accept:open/all'"
t_done "$H"
t_same "and her own reader has it all" "$U/data" "$U/hers"
t_eq "they are lossy" "$(alice grep -c 'uid=1002 .*policy=lossy' "$P/accept:open/.readers")" 4

# Storms: walks, directories that come and go, listings, opens and closes.
storm() {
	bob sh -c "$1" >/dev/null 2>&1 &
	t_cleanup kill -9 $!
	STORMS="$STORMS $!"
}
STORMS=
storm "while :; do find '$P'; done"
storm "while :; do cat '$P/.graph.json' '$P/.metrics'; done"
storm "while :; do mkdir '$P/accept:s1' '$P/accept:s1/ip'; rmdir '$P/accept:s1'; done"
storm "while :; do head -c 1 '$P/accept:open/all.json'; done"
storm "while :; do timeout 0.05 cat '$P/accept:open/all.txt'; done"
for i in 1 2 3 4 5 6 7 8 9 10; do
	works || t_fail "alice's pipeline in a storm ($i)"
	alice mkdir "$P/accept:in-a-storm"
	alice rmdir "$P/accept:in-a-storm"
done &
t_done $! 60
echo "ok: ten round trips, directories made and removed, in a storm"
# shellcheck disable=SC2086 # several
kill -9 $STORMS

# Root removes what he left.
rm -r "$P/accept:bob"
t_fails "it is gone" test -e "$P/accept:bob"
works || t_fail "alice's pipeline at the end"
echo "ok: hers works still"
t_eq "streams has only the capabilities it uses" "$(printf '%x\n' $((0x$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$STREAMS/status") & ~0xc0002830c4)))" 0
t_eq "so has the keeper" "$(printf '%x\n' $((0x$(sed -n 's/^CapPrm:[[:space:]]*//p' "/proc/$KEEPER/status") & ~0x200004)))" 0
