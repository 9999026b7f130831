#!/bin/sh
# How many sockets the directories of one user may have: beyond that mkdir fails, and clients wait.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need setpriv python3
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_cleanup t_unmount "$P"
t_start -o user_sockets=6
ip link set lo up
alice() {
	setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all -- "$@"
}
bob() {
	setpriv --reuid 1002 --regid 1002 --clear-groups --inh-caps=-all -- "$@"
}
STREAMS=$(sed -n 's/streams //p' "$P/.control")
sockets() {
	find "/proc/$STREAMS/fd" -lname 'socket:*' 2>/dev/null | wc -l
}
shares() {
	sed -n 's/.*"uid":1001,[^}]*"sockets":\([0-9]*\)}.*/\1/p' "$P/.graph.json"
}
cat >clients.py <<'PY'
"""clients.py PORT N: connects N times, each says its number; "gone I" on stdin closes one"""
import socket, sys
port, n = int(sys.argv[1]), int(sys.argv[2])
clients = [socket.create_connection(("127.0.0.1", port)) for i in range(n)]
for i, c in enumerate(clients):
    c.sendall(b"client %d\n" % i)
print("ready", flush=True)
for line in sys.stdin:
    clients[int(line.split()[1])].close()
PY

# --- sources ------------------------------------------------------------------------------------

alice mkdir -p "$P/tcplisten:127.0.0.1:5140,clients=4000/lines"
t_read tcplisten:127.0.0.1:5140,clients=4000/lines/all out
READER=$BG
BEFORE=$(sockets)
mkfifo words
python3 clients.py 5140 50 <words >ready &
CLIENTS=$!
t_cleanup kill $CLIENTS
exec 9>words
t_wait_for 10 grep -q ready ready
five() {
	[ "$(wc -l <out)" -eq "$1" ]
}
t_wait_for 10 five 5
t_eq "five clients and the listener are her six" "$(t_stat tcplisten:127.0.0.1:5140,clients=4000 open)" 5
t_eq "... which .graph.json tells" "$(shares)" 6
t_ok "... and the program has no more for all fifty" test "$(sockets)" -le $((BEFORE + 5))
t_errno EDQUOT alice mkdir "$P/tcplisten:127.0.0.1:5141"
t_has "she is told why" "$(alice tail -n 1 "$P/.errors")" "user_sockets="
alice mkdir "$P/accept:alice"
t_errno EDQUOT alice mkdir "$P/accept:alice/udp:127.0.0.1:9"
t_errno EDQUOT alice mkdir "$P/udp:127.0.0.1:9"
t_errno EDQUOT alice mkdir "$P/unix:@nobody"
t_fails "nobody listens there" grep -q :1415 /proc/net/tcp
t_ok "others have their own" bob mkdir "$P/tcplisten:127.0.0.1:5141"
echo "gone 0" >&9
echo "gone 1" >&9
t_wait_for 10 five 7
t_eq "where two go, two come" "$(sort -u out | wc -l) $(t_stat tcplisten:127.0.0.1:5140,clients=4000 open)" "7 5"
kill "$READER"
exec 9>&-
wait $CLIENTS || true
alice rmdir "$P/tcplisten:127.0.0.1:5140,clients=4000/lines" "$P/tcplisten:127.0.0.1:5140,clients=4000"
t_eq "and all is hers again" "$(shares)" 0

# --- sinks --------------------------------------------------------------------------------------

alice mkdir "$P/accept:alice/tcplisten:127.0.0.1:5142"
python3 - "$P" <<'PY'
import os, socket, sys
sink = sys.argv[1] + "/accept:alice/tcplisten:127.0.0.1:5142/.stats"
clients = [socket.create_connection(("127.0.0.1", 5142)) for i in range(12)]
def count():
    return int(next(l.split()[1] for l in open(sink) if l.startswith("open ")))
while count() < 5:
    pass
out = os.open(sys.argv[1] + "/accept:alice/all", os.O_WRONLY)
os.write(out, b"words\n")
got = [c for c in clients[:5] if c.recv(10) == b"words\n"]
if len(got) != 5 or count() != 5:
    sys.exit("%d clients got words, %d are there" % (len(got), count()))
for c in clients[:5]:
    c.close()
late = clients[5]
late.settimeout(10)
while True:
    os.write(out, b"again\n")
    late.settimeout(0.1)
    try:
        if late.recv(100):
            break
    except TimeoutError:
        pass
print("ok: who waited gets what comes when others have gone")
PY
for _ in 1 2 3; do
	t_errno EDQUOT alice mkdir "$P/udp:127.0.0.1:9" "$P/udp:127.0.0.1:10" "$P/udp:127.0.0.1:11" "$P/udp:127.0.0.1:12" \
		"$P/udp:127.0.0.1:13" "$P/udp:127.0.0.1:14"
	find "$P" -maxdepth 1 -name 'udp:*:*' -exec rmdir {} +
done
alice rm -r "$P/accept:alice"
t_eq "nothing is left" "$(shares)" ""
