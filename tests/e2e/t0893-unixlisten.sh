#!/bin/sh
# A Unix socket on which a directory listens; and lines know who sent them, in however many pieces they come.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 socat setpriv
chmod 755 "$TMPDIR" "$(dirname "$TMPDIR")"
t_mount
ip link set lo up
escaped() {
	printf %s "$1" | sed 's,/,%2f,g'
}
alice() {
	setpriv --reuid 1001 --regid 1001 --clear-groups --inh-caps=-all -- "$@"
}
mkdir -m 777 open
mkdir -m 700 closed
S=$PWD/open/sock
D="unixlisten:$(escaped "$S")"
(umask 077 && alice mkdir -p "$P/$D/lines/grep:error")
t_eq "the socket is the maker's, with his umask" "$(stat -c '%F %u %a' "$S")" "socket 1001 700"
t_errno EADDRINUSE alice mkdir "$P/$D,clients=3"
t_reason "in use" "$D,clients=3" "in use"
t_read "$D/lines/grep:error/all.json" out
printf 'an error\nnothing\nanother ' | socat -u - "UNIX-CONNECT:$S"
t_wait_for 10 grep -q 'an error' out
t_has "who it was" "$(cat out)" '"from":"pid '
t_eq "a connection" "$(t_stat "$D" connections)" 1
kill "$BG"
alice rmdir "$P/$D/lines/grep:error" "$P/$D/lines" "$P/$D"
t_ok "the name stays" test -S "$S"
t_fails "... and nobody listens" socat -u OPEN:/dev/null "UNIX-CONNECT:$S"
t_ok "one that is left behind is replaced" alice mkdir "$P/$D"
alice rmdir "$P/$D"
t_errno EACCES alice mkdir "$P/unixlisten:$(escaped "$PWD/closed/sock")"
t_errno ENOENT alice mkdir "$P/unixlisten:$(escaped "$PWD/nothing/sock")"
t_errno EINVAL mkdir "$P/unixlisten:relative"
t_errno ELOOP mkdir "$P/unixlisten:$(escaped "$P/sock")"
t_errno ENAMETOOLONG mkdir "$P/unixlisten:$(escaped "$PWD/open/")$(printf '%0100d' 0)"
echo file >open/file
chmod 666 open/file
ln -s /etc/passwd open/link
t_errno EADDRINUSE mkdir "$P/unixlisten:$(escaped "$PWD/open/file")"
t_errno EADDRINUSE mkdir "$P/unixlisten:$(escaped "$PWD/open/link")"
t_eq "what is no socket stays" "$(cat open/file) $(readlink open/link)" "file /etc/passwd"
socat UNIX-LISTEN:"$PWD/open/busy",fork SYSTEM:cat &
t_cleanup kill $!
t_wait_for 5 test -S open/busy
t_errno EADDRINUSE mkdir "$P/unixlisten:$(escaped "$PWD/open/busy")"
t_eq "... nor is one that somebody listens to" "$(echo yes | socat -t 5 - UNIX-CONNECT:open/busy)" yes
t_ok "an abstract name" mkdir "$P/unixlisten:@pfs-t0893"
t_errno EADDRINUSE mkdir "$P/unixlisten:@pfs-t0893,clients=2"
t_read unixlisten:@pfs-t0893/all out
echo abstract | socat -u - ABSTRACT-CONNECT:pfs-t0893
t_wait_for 10 grep -qx abstract out
kill "$BG"

# --- lines in pieces, from several senders ---------------------------------------------------------

mkdir -p "$P/tcplisten:ANY:5140/lines" "$P/unixlisten:@pieces/lines"
t_read tcplisten:ANY:5140/lines/all.json tcp.json
t_read unixlisten:@pieces/lines/all.json unix.json
cat >pieces.py <<'PY'
import json, os, socket, sys, time
def lines(name, n):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(name) as f:
            got = f.read().split("\n")[:-1]  # whole ones
        if len(got) >= n:
            return [json.loads(g) for g in got]
        time.sleep(0.005)
    sys.exit("%s: %s" % (name, got))
def pieces(clients, names, output):
    total = 0
    for part in (b"one ", b"line ", b"in pieces\nand ", b"another", b"\n", b"long " * 20000, b"\nlast"):
        for c in clients:
            c.sendall(part)
        total += part.count(b"\n") * len(clients)
        lines(output, total)  # each part is read by itself
    for c in clients:
        c.close()
    # "long" is longer than a line may be: two records of it. "last" has no end.
    for got in lines(output, total + 2 * len(clients)):
        if got["from"] not in names:
            sys.exit("%s from nobody: %s" % (output, str(got)[:200]))
    for name in names:
        if sum(got["from"] == name for got in lines(output, 1)) != 5:
            sys.exit("not five of " + name)
tcp = [socket.create_connection(("127.0.0.1", 5140)) for i in range(3)]
pieces(tcp, ["127.0.0.1:%d" % c.getsockname()[1] for c in tcp], "tcp.json")
unix = socket.socket(socket.AF_UNIX)
unix.connect("\0pieces")
pieces([unix], ["pid %d uid 0" % os.getpid()], "unix.json")
PY
t_ok "each piece knows its sender" python3 pieces.py
