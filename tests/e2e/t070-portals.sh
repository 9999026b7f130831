#!/bin/sh
# t070 - portals: the examples of "A Pipe Namespace in the Portal Filesystem" with local servers; looking acts on nothing
# shellcheck disable=SC2002 # cat is what reads a portal here
. "$T_LIB"

t_need_root
t_need python3 curl
t_mount
cd "$TMPDIR" || exit

# --- looking ---------------------------------------------------------------------------------

for ns in fs pipe tcp tcplisten udp unix; do
	t_ok "$ns is there" test -d "$P/$ns"
done
t_eq "find ends, and shows nothing" "$(find "$P/tcp")" "$P/tcp"
t_eq "a portal is an empty file for everybody" "$(stat -c '%F %s %a' "$P/tcp/localhost/smtp")" 'regular empty file 0 666'
t_eq "... what comes before it a directory" "$(stat -c '%F %a' "$P/tcp/localhost")" 'directory 555'
t_eq "a command too" "$(stat -c '%F %s' "$P/pipe/bin/sh -c 'touch $TMPDIR/acted; ls /a/b'")" 'regular empty file 0'
before=$(pgrep -c '^pipesfs')
for _ in 1 2 3 4 5 6 7 8 9 10; do
	find "$P/tcp" "$P/pipe/usr" "$P/fs/etc" >/dev/null
	ls -lR "$P/udp" "$P/tcplisten/ANY" >/dev/null
	stat "$P/tcplisten/ANY/4711" "$P/pipe/bin/touch $TMPDIR/acted" "$P/fs/etc/none" >/dev/null
done
t_fails "no command was run" test -e acted
t_eq "no process was started" "$(pgrep -c '^pipesfs')" "$before"
t_fails "nobody listens" sh -c "grep -q :1267 /proc/net/tcp /proc/net/tcp6"

# --- servers ----------------------------------------------------------------------------------------

cat >servers.py <<'PY'
import http.server, os, socket, sys, threading
def greet(port, words):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port)); s.listen(50)
    while True:
        c, _ = s.accept()
        c.sendall(words); c.close()
class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass
threading.Thread(target=greet, args=(25, b"220 local ESMTP\r\nmore\r\n"), daemon=True).start()
web = http.server.ThreadingHTTPServer(("127.0.0.1", 80), Files)
open("ready", "w").close()
web.serve_forever()
PY
mkdir web && seq 1 2000 >web/a.txt && cp web/a.txt web/b.txt && seq 1 2001 >web/c.txt
(cd web && exec python3 ../servers.py) &
t_cleanup kill $!
t_wait_for 10 test -e web/ready

# --- the examples -----------------------------------------------------------------------------------

t_eq "the greeting of an SMTP server" "$(head -1 "$P/tcp/localhost/smtp" | tr -d '\r')" '220 local ESMTP'

# shellcheck disable=SC2094
while :; do (exec 3<>"$P/tcplisten/ANY/echo" && cat -u <&3 >&3); done 2>/dev/null &
LOOP=$!
t_cleanup kill $LOOP
cat >client.py <<'PY'
import socket, sys, time
for i in range(50):
    for attempt in range(200 if i == 0 else 1):
        try:
            c = socket.create_connection(("127.0.0.1", 7), 10)
            break
        except ConnectionRefusedError:
            if i:
                sys.exit("client %d was refused" % i)
            time.sleep(0.05)
    c.sendall(b"hello %d" % i)
    c.shutdown(socket.SHUT_WR)
    got = b""
    while True:
        b = c.recv(100)
        if not b:
            break
        got += b
    if got != b"hello %d" % i:
        sys.exit("client %d got %r" % (i, got))
    c.close()
PY
t_ok "an echo server of one line serves 50 clients, and refuses none" timeout 60 python3 client.py
kill $LOOP

GET='/usr/bin/curl -s http://127.0.0.1'
t_ok "two remote files are the same" diff -q "$P/pipe$GET/a.txt" "$P/pipe$GET/b.txt"
t_fails "two others are not" diff -q "$P/pipe$GET/a.txt" "$P/pipe$GET/c.txt"

cat >fetch <<'SH'
#!/bin/sh
printf '%s\n' "$@"
SH
chmod 755 fetch
t_eq "both slashes of a URL arrive" "$(cat "$P/pipe$PWD/fetch -o - ftp://ftp1.freebsd.org/pub/FreeBSD/README.TXT")" "-o
-
ftp://ftp1.freebsd.org/pub/FreeBSD/README.TXT"
t_eq "a continued line, as it is printed" "$(cat "$P/pipe$PWD/fetch -o - \\ ftp://ftp1.freebsd.org/x")" "-o
-
ftp://ftp1.freebsd.org/x"

head -c 300000 /dev/urandom >disc.iso
sum=$(tee "$P/pipe/bin/dd of=$PWD/one bs=64k" "$P/pipe/usr/bin/md5sum" <disc.iso | md5sum)
t_eq "tee into two sinks passes all on" "$sum" "$(md5sum <disc.iso)"
t_wait_for 5 cmp disc.iso one
t_same "... and the first sink got all" disc.iso one

cat >passwd2xml <<'AWK'
#!/usr/bin/env -S awk -F: -f
BEGIN {
print "<?xml version=\"1.0\" ?>"
print "<passwd>" }
{ print "<entry>"
print "\t<uname>" $1 "</uname>"
print "\t<uid>" $3 "</uid>"
print "</entry>" }
END { print "</passwd>" }
AWK
# The blog's first line, `#!/usr/bin/awk -F: -f`, is two arguments on FreeBSD and one on Linux: env -S splits it.
chmod 755 passwd2xml
ln -s "$P/pipe$PWD/passwd2xml /etc/passwd" passwd.xml
t_eq "a view through a symbolic link" "$(cat passwd.xml)" "$(./passwd2xml /etc/passwd)"
t_ok "... which a program can read that looks first" cp passwd.xml copy.xml
t_has "... whole" "$(tail -1 copy.xml)" '</passwd>'

# --- names ---------------------------------------------------------------------------------------------

t_eq "an escaped slash" "$(cat "$P/pipe%2fbin%2fecho a%2fb" 2>&1 | tail -1 | sed 's/.*: //')" 'No such file or directory'
t_eq "... in one component" "$(cat "$P/pipe/bin%2fecho a%2f..%2fb %252f")" 'a/../b %2f'
t_eq "quotes" "$(cat "$P/pipe/usr/bin/printf '<%s>' 'a  b' \"c'd\" e\\ f")" "<a  b><c'd><e f>"
t_eq "a relative path" "$(cd "$P/pipe/usr/bin/" && cat 'printf x/y')" 'x/y'
t_eq "from a directory of portals" "$(cd "$P/tcp/localhost" && head -c 3 smtp)" '220'
