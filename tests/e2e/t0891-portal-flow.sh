#!/bin/sh
# Streams that flow through a portal: their large answers do not pass our memory, and every byte and error arrives.
. "$T_LIB"
t_need_root
t_need python3
t_mount
cd "$TMPDIR" || exit
cat >flow.py <<'PY'
import errno, hashlib, os, random, socket, struct, subprocess, sys, threading
P, streams = sys.argv[1], int(sys.argv[2])
random.seed(4711)
BYTES = random.randbytes(6 << 20)

def pipes():
    n = 0
    for fd in os.listdir("/proc/%d/fd" % streams):
        try:
            n += os.readlink("/proc/%d/fd/%s" % (streams, fd)).startswith("pipe:")
        except OSError:
            pass
    return n

def pieces(s, least, most):
    at = 0
    while at < len(BYTES):
        n = random.randrange(least, most)
        s.sendall(BYTES[at:at + n])
        at += n

def rest(s, urgent=False, reset=False):
    s.sendall(BYTES[:2 << 20])
    if urgent:
        s.send(b"!", socket.MSG_OOB)
    s.sendall(BYTES[2 << 20:])
    if reset:  # once all was taken
        while s.recv(1):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
            return

def served(family, address, how):
    l = socket.socket(family)
    l.bind(address)
    l.listen(1)
    def run():
        c = l.accept()[0]
        how(c)
        c.close()
        l.close()
    threading.Thread(target=run, daemon=True).start()
    return l.getsockname()

def taken(fd, size):
    got, most = [], 0
    while data := os.read(fd, size):
        got.append(data)
        most = max(most, pipes() if len(got) % 4 == 0 else 0)
    return b"".join(got), most

def check(what, got, expected=BYTES):
    if hashlib.sha256(got).digest() != hashlib.sha256(expected).digest():
        sys.exit("%s: %d bytes of %d, or others" % (what, len(got), len(expected)))
    print("ok: " + what)

def tcp(what, how, size=1 << 20, mode=os.O_RDONLY):
    port = served(socket.AF_INET, ("127.0.0.1", 0), how)[1]
    return os.open("%s/tcp/127.0.0.1/%d" % (P, port), mode)

before, most = pipes(), 0
for size in (1 << 20, 128 << 10, 100001, 64 << 10, 3000):
    for least, most_piece in ((1 << 18, 1 << 19), (1, 200000), (1, 1000)):
        if size in (64 << 10, 3000) and least == 1:
            continue
        fd = tcp("", lambda c: pieces(c, least, most_piece))
        got, n = taken(fd, size)
        most = max(most, n)
        os.close(fd)
        check("TCP, reads of %d, writes of %d to %d" % (size, least, most_piece), got)
if most <= before:
    sys.exit("no tube was there: %d pipes, %d before" % (most, before))
name = os.getcwd() + "/sock"
served(socket.AF_UNIX, name, lambda c: pieces(c, 1, 200000))
fd = os.open(P + "/unix" + name, os.O_RDWR)
check("a Unix socket", taken(fd, 1 << 20)[0])
os.close(fd)
with open("bytes", "wb") as f:
    f.write(BYTES)
fd = os.open(P + "/pipe/bin/cat " + os.getcwd() + "/bytes", os.O_RDONLY)
check("a command", taken(fd, 1 << 20)[0])
os.close(fd)
try:
    fd = os.open(P + "/pipe/bin/sh -c 'cat " + os.getcwd() + "/bytes; exit 3'", os.O_RDONLY)
    got = b""
    while data := os.read(fd, 1 << 20):
        got += data
    sys.exit("a command that fails: no error after its bytes")
except OSError as e:
    if e.errno != errno.EIO:
        sys.exit("a command that fails: " + str(e))
check("a command that fails at the end of many bytes: EIO after them", got)
os.close(fd)

fd = tcp("", lambda c: rest(c, urgent=True))
check("an urgent byte is not among the others", taken(fd, 1 << 20)[0])
os.close(fd)
fd = tcp("", lambda c: rest(c, reset=True), mode=os.O_RDWR)
got = b""
while len(got) < len(BYTES):
    got += os.read(fd, 1 << 20)
check("all before a reset", got)
os.write(fd, b"x")
try:
    os.read(fd, 1 << 20)
    sys.exit("a connection that was reset seems to have ended")
except ConnectionResetError:
    print("ok: and then the reset")
os.close(fd)
# Data and a reset that are there together: what was sent, then the error, as from a socket.
def burst(c):
    c.sendall(BYTES[:200000])
    c.recv(1)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
fd = tcp("", burst, mode=os.O_RDWR)
got = b""
while len(got) < 200000:
    got += os.read(fd, 65536)
check("a burst", got, BYTES[:200000])
os.write(fd, b"x")
try:
    while os.read(fd, 65536):
        pass
    sys.exit("the burst's reset is lost")
except ConnectionResetError:
    print("ok: the burst's reset")
os.close(fd)
# Twelve at a time, some given up in the middle.
def one(i):
    fd = tcp("", lambda c: pieces(c, 1 << 16, 1 << 18))
    got = b""
    while data := os.read(fd, 1 << 20):
        got += data
        if i % 4 == 0 and len(got) > 1 << 20:
            break
    os.close(fd)
    results[i] = got == BYTES[:len(got)] and (i % 4 == 0 or len(got) == len(BYTES))
def quiet(how):
    def run(c):
        try:
            how(c)
        except OSError:
            pass
    return run
results = {}
pieces_of = pieces
pieces = lambda c, a, b: quiet(lambda d: pieces_of(d, a, b))(c)
threads = [threading.Thread(target=one, args=(i,)) for i in range(12)]
[t.start() for t in threads]
[t.join() for t in threads]
if sum(results.values()) != 12:
    sys.exit("twelve at a time: " + str(results))
print("ok: twelve at a time, three of them given up")
PY
STREAMS=$(sed -n 's/streams //p' "$P/.control")
pipes() {
	find "/proc/$STREAMS/fd" -lname 'pipe:*' 2>/dev/null | wc -l
}
BEFORE=$(pipes)
t_ok "streams through portals" python3 flow.py "$P" "$STREAMS"
cat .out
none() {
	[ "$(pipes)" -le "$BEFORE" ]
}
t_wait_for 10 none
echo "ok: nothing is kept for portals when none is open"
