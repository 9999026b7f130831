#!/bin/sh
# t071 - portals: errors of open, ends, signals, commands that fail
# shellcheck disable=SC2002,SC2012 # cat is what reads a portal here; names of ours
. "$T_LIB"
. "$TOP/tests/tools/names.sh"

t_need_root
t_need python3 setpriv
t_names
t_mount
cd "$TMPDIR" || exit

t_errno ECONNREFUSED cat "$P/tcp/127.0.0.1/1"
t_errno ENETUNREACH cat "$P/tcp/192.0.2.1/1"
t_errno ECONNREFUSED cat "$P/tcp/here.test/1"
t_errno ENOENT cat "$P/tcp/no.such.host.invalid/80"
for name in silent broken refused; do
	t_errno EHOSTUNREACH cat "$P/tcp/$name.example/80"
	t_has ".errors tells why" "$(cat "$P/.errors")" "EHOSTUNREACH $name.example: no name server could tell"
done
if grep -q '^0\{31\}1 ' /proc/net/if_inet6; then
	t_errno ECONNREFUSED cat "$P/tcp/::1/1"
	t_errno ECONNREFUSED cat "$P/tcp/[::1]/1"
fi
t_errno EINVAL cat "$P/tcp/[]/80"
t_errno EINVAL cat "$P/tcp/127.0.0.1/no-such-service"
t_errno EINVAL cat "$P/tcp/127.0.0.1/80/other"
t_errno EINVAL sh -c "exec 3<>'$P/pipe/bin/cat'"
t_errno ENOENT cat "$P/pipe/no/such/command"
t_errno EACCES cat "$P/pipe/etc/passwd"
t_errno EINVAL cat "$P/pipe/bin/echo 'open"
t_errno EISDIR cat "$P/tcp/localhost"
t_errno ENOENT cat "$P/unix/no/such"
t_errno ENOENT cat "$P/fs/no/such"
t_errno ELOOP cat "$P/fs$P/fs/etc/passwd"
t_errno ELOOP cat "$P/fs$P/.errors"
t_errno ELOOP cat "$P/unix$P/fs/x"
t_has ".errors tells why" "$(cat "$P/.errors")" 'ENOENT no.such.host.invalid: '
t_has "... and of a quote" "$(cat "$P/.errors")" 'a quote is not closed'

# --- commands ------------------------------------------------------------------------------------

got=$(cat "$P/pipe/bin/sh -c 'echo half; echo why >&2; exit 3'" 2>err) && t_fail "a command that fails succeeds"
t_eq "what it wrote is read" "$got" half
t_has "... then EIO" "$(cat err)" 'Input/output error'
t_wait_for 5 grep -q 'EIO why' "$P/.errors"
t_has "and its end is told" "$(cat "$P/.errors")" 'the command failed with status 3'
t_has "its stderr too" "$(cat "$P/.errors")" 'EIO why'
t_eq "1 MiB goes through" "$(cat "$P/pipe/bin/dd if=/dev/zero bs=1M count=3 status=none" | wc -c)" 3145728
head -c 3000000 /dev/urandom >in
cat in >"$P/pipe/bin/dd of=$PWD/out bs=1M status=none"
t_wait_for 5 cmp in out
t_same "... and into a command" in out
t_eq "head leaves" "$(head -1 "$P/pipe/usr/bin/yes")" y
t_wait_for 5 sh -c '! pgrep -x yes'
echo "ok: ... and the command ends"

running() {
	pgrep -fx "/bin/sleep $1" >/dev/null
}
timeout 0.5 cat "$P/pipe/bin/sleep 4711" || true
t_wait_for 5 sh -c '! pgrep -fx "/bin/sleep 4711"'
echo "ok: a command that says nothing ends with its reader"

# --- waiting ---------------------------------------------------------------------------------------

for path in tcplisten/ANY/4711 fs/"$PWD"/fifo pipe/'bin/sleep 4712'; do
	[ -p fifo ] || mkfifo fifo
	cat "$P/$path" >/dev/null 2>&1 &
	pid=$!
	sleep 0.2
	kill -9 $pid
	t_ends 2 sh -c "while kill -0 $pid 2>/dev/null && [ \"\$(cut -d' ' -f3 /proc/$pid/stat)\" != Z ]; do sleep 0.02; done"
	wait $pid 2>/dev/null || true
	echo "ok: kill -9 of who waits for $path"
done
t_wait_for 5 sh -c '! pgrep -fx "/bin/sleep 4712"'
t_wait_for 8 sh -c '! grep -q :1267 /proc/net/tcp6'
echo "ok: and nobody listens any more"

# --- both directions ----------------------------------------------------------------------------------

cat >echo.py <<'PY'
import socket
s = socket.socket(); s.bind(("127.0.0.1", 4713)); s.listen(300)
open("ready", "w").close()
import threading
def serve(c):
    while True:
        b = c.recv(1 << 20)
        if not b:
            break
        c.sendall(b)
    c.close()
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
PY
t_bg python3 echo.py
t_wait_for 10 test -e ready
cat >duplex.py <<'PY'
import os, select, sys, threading, errno
path = sys.argv[1] + "/tcp/127.0.0.1/4713"
fd = os.open(path, os.O_RDWR)
data = os.urandom(4 << 20)
def write():
    at = 0
    while at < len(data):
        at += os.write(fd, data[at:at + (1 << 20)])
t = threading.Thread(target=write); t.start()
got = b""
while len(got) < len(data):
    got += os.read(fd, 1 << 20)
t.join()
assert got == data, "other bytes"
p = select.poll(); p.register(fd, select.POLLIN)
assert p.poll(0) == [], "nothing is there"
os.write(fd, b"x")
assert p.poll(5000)[0][1] & select.POLLIN, "poll"
assert os.read(fd, 100) == b"x"
os.set_blocking(fd, False)
try:
    os.read(fd, 1); sys.exit("should be EAGAIN")
except BlockingIOError:
    pass
n = 0
try:
    while True:
        n += os.write(fd, data[:1 << 20])
except BlockingIOError:
    pass
assert n > 0
os.close(fd)
import fcntl, socket, struct
fd = os.open(path, os.O_RDWR)
os.write(fd, b"last words")
fcntl.ioctl(fd, 0x40047070, struct.pack("i", socket.SHUT_WR))
assert os.read(fd, 100) == b"last words"
assert os.read(fd, 100) == b"", "the other side has not heard the end"
os.close(fd)
many = [os.open(path, os.O_RDWR) for i in range(300)]
for i, fd in enumerate(many):
    os.write(fd, b"%d" % i)
for i, fd in enumerate(many):
    assert os.read(fd, 100) == b"%d" % i
    os.close(fd)
PY
t_ends 60 python3 duplex.py "$P"
echo "ok: both directions, 4 MiB, poll, O_NONBLOCK, 300 at a time"
t_eq "one thread serves them" "$(ls "/proc/$(pgrep -x pipesfs-streams | head -1)/task" | wc -l | awk '{ print ($1 < 40) }')" 1

# --- close --------------------------------------------------------------------------------------------

cat >closes.py <<'PY'
import errno, os, sys
P = sys.argv[1]
def close(path, data, dups=0):
    fd = os.open(P + path, os.O_WRONLY)
    copies = [os.dup(fd) for i in range(dups)]
    for c in copies:
        os.close(c)  # never the last: the command still gets what follows
    os.write(fd, data)
    if os.fork() == 0:
        os.close(fd)  # nor this one
        os._exit(0)
    os.wait()
    os.write(fd, data)
    try:
        os.close(fd)
        return 0
    except OSError as e:
        return e.errno
assert close("/pipe/bin/sh -c 'cat >/dev/null; exit 3'", b"x") == errno.EIO
assert close("/pipe/bin/sh -c 'cat >%s/closed'" % os.getcwd(), b"x", 3) == 0
assert open("closed").read() == "xx", "it has not finished"
PY
t_ends 20 python3 closes.py "$P"
echo "ok: the last close waits for the command and tells that it failed"
t_errno EIO dd if=in status=none of="$P/pipe/bin/sh -c 'cat >/dev/null; exit 1'"
t_ok "after tee its sinks are done" sh -c "tee '$P/pipe/bin/sh -c \"cat >$PWD/t; sleep 0.3; echo end >>$PWD/t\"' <in >/dev/null"
t_eq "... whole" "$(tail -c 4 t)" end
t_ends 5 sh -c "timeout 1 sh -c ': >\"$P/pipe/bin/sleep 4714\"' || true"
echo "ok: a signal ends the wait"
pkill -fx '/bin/sleep 4714' || true
