#!/bin/sh
# The examples of pipesfs-portal(7), to the letter: the lines are taken from the manual, only /p is where this test mounts.
# shellcheck disable=SC2016 # what python is given
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 curl openssl bash tar
[ -x /usr/bin/zstd ] || t_skip "zstd is not installed"
mkdir etc work web bin over
mount --make-rprivate / 2>/dev/null || true
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$PWD/etc,workdir=$PWD/work" /etc 2>/dev/null || {
	# On an overlay there is none: a copy will do.
	cp -a /etc/. etc/ 2>/dev/null || true
	mount --bind etc /etc
}
t_cleanup umount -l /etc
for host in mx1.freebsd.org a b db example.org collector; do
	echo "127.0.0.1 $host" >>/etc/hosts
done
grep -q '^hosts:.*files' /etc/nsswitch.conf 2>/dev/null || echo 'hosts: files' >>/etc/nsswitch.conf
mount --bind bin /usr/local/bin
t_cleanup umount -l /usr/local/bin
ip link set lo up
t_mount

# The line of the manual with that in it.
example() {
	sed -n '/^\.Sh EXAMPLES/,/^\.Sh BUGS/p' "$TOP/man/pipesfs-portal.7" | grep -F -- "$1" |
		sed "s,/p/,$P/,g; s,/tmp/x,$PWD/x,g" | grep . || t_fail "the manual has no example of $1"
}
cat >servers.py <<'PY'
import http.server, os, socket, ssl, sys, threading
def listen(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(50)
    return s
def each(s, what):
    def run():
        while True:
            c = s.accept()[0]
            threading.Thread(target=what, args=(c,), daemon=True).start()
    threading.Thread(target=run, daemon=True).start()
def greet(c):
    c.sendall(b"220 mx1 ESMTP\r\nmore\r\n")
    c.close()
def collect(c):
    with open("collected", "ab") as f:
        while data := c.recv(65536):
            f.write(data)
            f.flush()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
def secure(c):
    with context.wrap_socket(c, server_side=True) as t:
        t.sendall(b"said in private\n")
        t.unwrap()
class Files(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args):
        super().__init__(*args, directory="web")
    def log_message(self, *args):
        pass
each(listen(25), greet)
each(listen(5432), lambda c: c.close())
each(listen(443), secure)
each(listen(9999), collect)
web = http.server.ThreadingHTTPServer(("127.0.0.1", 80), Files)
open("ready", "w").close()
web.serve_forever()
PY
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=example.org 2>/dev/null
seq 1 1000 >web/x
python3 servers.py &
t_cleanup kill $!
t_wait_for 10 test -e ready

t_eq "greet" "$(sh -c "$(example 'head -1')" | tr -d '\r')" "220 mx1 ESMTP"
example 'tcplisten/ANY/echo' >echo.sh
sh echo.sh 2>/dev/null &
LOOP=$!
t_cleanup kill $LOOP
listens() {
	grep -qi ":$1 .* 0A " /proc/net/tcp /proc/net/tcp6
}
t_wait_for 10 listens 0007
for i in 1 2 3; do
	# shellcheck disable=SC3025
	t_eq "an echo, the $i. client" "$(bash -c 'exec 3<>/dev/tcp/127.0.0.1/7; echo hello '$i' >&3; head -n 1 <&3')" "hello $i"
done
kill "$LOOP"
t_ok "gather" sh -c "$(example 'diff -q')"
echo changed >>web/x
t_ok "scatter" sh -c "cd web && $(example zstd) >../sum"
all_there() {
	zstd -dcq x.zst 2>/dev/null | md5sum | cmp -s - sum
}
t_wait_for 10 all_there
echo "ok: both sinks have got the same"
cat >bin/passwd2xml <<'AWK'
#!/usr/bin/env -S awk -F: -f
BEGIN { print "<passwd>" }
{ print "<uname>" $1 "</uname>" }
END { print "</passwd>" }
AWK
chmod 755 bin/passwd2xml
t_ok "a view is made" sh -c "$(example passwd2xml)"
t_eq "... and read" "$(cat /etc/passwd.xml)" "$(bin/passwd2xml /etc/passwd)"
t_eq "a health check" "$(bash -c "$(example 5432)")" up
t_has "... is one in sh, too" "$(sh -c "$(example 5432)")" up
t_eq "TLS" "$(sh -c "$(example openssl)" 2>/dev/null)" "said in private"
"$PIPESFS" demo --capture one.pcap >/dev/null
example accept:net >feed.sh
sh feed.sh &
FEED=$!
t_wait_for 10 listens 0FA0
t_read accept:net/unpcap/tcp/all out
# shellcheck disable=SC3025
bash -c 'cat one.pcap >/dev/tcp/127.0.0.1/4000'
t_done "$FEED"
t_done "$BG"
t_ok "a listener feeds a pipeline" test -s out
t_eq "... all of it" "$(t_stat accept:net/unpcap out)" 5000
sh -c "$(example 5140)"
t_read tcplisten:ANY:5140/lines/grep:error/all out
# shellcheck disable=SC3025
bash -c 'printf "an error\nnothing\n" >/dev/tcp/127.0.0.1/5140'
t_wait_for 10 grep -qx "an error" out
echo "ok: a directory listens"
sh -c "$(example collector:9999)"
curl -s http://a/x >/dev/null
t_wait_for 10 grep -q "GET /x" collected
echo "ok: a directory sends"
