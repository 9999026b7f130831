#!/bin/sh
# needs: user
# How a pipe file behaves however it is opened: offsets, both directions on one descriptor,
# records with O_DIRECT, large reads and writes, generations and their ends.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/mount.sh"
t_mount
t_pids
mkdir -p "$P/accept"
all=$P/accept/all

# --- tools that mix reading and seeking ------------------------------------------------------

# answer NAME WANT COMMAND: the command reads a b c d e, one a line, on its input
answer() {
	sh -c "$3" <"$all" >out 2>err &
	R=$!
	t_cleanup kill -9 $R
	t_wait_for 5 grep -q . "$P/accept/.readers"
	printf 'a\nb\nc\nd\ne\n' >"$all"
	t_done $R 10 || t_fail "$1: status $? $(cat err)"
	t_eq "$1" "$(tr '\n' ' ' <out)" "$2"
	t_eq "$1: says nothing" "$(cat err)" ''
	# The end of the writer's stream follows its close a moment later, and is not for the next reader.
	sleep "$(t_seconds 0.1)"
}

answer 'head -1' 'a ' 'head -1'
answer 'tail -1' 'e ' 'tail -1'
answer 'tail -c 4' 'd e ' 'tail -c 4'
answer 'sed 2q' 'a b ' 'sed 2q'
# shellcheck disable=SC2016 # the sh that runs it expands it
answer 'read in a loop' 'a- b- c- d- e- ' 'while read -r x; do echo "$x-"; done'

# --- one descriptor, both directions -----------------------------------------------------------

timeout "$(t_seconds 20)" python3 - "$all" <<'PY' || t_fail "both directions"
import os
import sys
import threading
import time

f = os.open(sys.argv[1], os.O_RDWR)
got = []
t = threading.Thread(target=lambda: got.append(os.read(f, 100)))
t.start()
time.sleep(0.2)
begun = time.monotonic()
os.write(f, b"through one descriptor")
assert time.monotonic() - begun < 1, "the write waited for the read"
t.join(5)
assert got == [b"through one descriptor"], got
# Two reads at once: each gets one of two.
got.clear()
ts = [threading.Thread(target=lambda: got.append(os.read(f, 100))) for _ in range(2)]
for t in ts:
    t.start()
time.sleep(0.1)
os.write(f, b"1")
time.sleep(0.1)
os.write(f, b"2")
for t in ts:
    t.join(5)
assert sorted(got) == [b"1", b"2"], got
# Two descriptors' views of one file differ, so that cat does not refuse.
assert os.fstat(f).st_ino != os.fstat(f).st_ino
PY
echo "ok: reading and writing on one descriptor"

timeout "$(t_seconds 20)" bash -c "exec 3<>'$all'; cat -u <&3 >&3 & sleep 0.2; kill \$!; wait \$!; test \$? = 143" ||
	t_fail "cat <&3 >&3"
echo "ok: cat <&3 >&3 is not refused"

# --- the sizes of requests ------------------------------------------------------------------------

timeout "$(t_seconds 60)" python3 - "$all" <<'PY' || t_fail "sizes"
import ctypes
import mmap
import os
import sys

path = sys.argv[1]
r = os.open(path, os.O_RDONLY)
w = os.open(path, os.O_WRONLY)
page = mmap.mmap(-1, 2 << 20)

def exchange(size, offset, ask):
    """Writes size bytes, reads into a buffer that begins at offset in a page: what is there must come at once."""
    data = os.urandom(size)
    sent = 0
    while sent < size:
        sent += os.write(w, data[sent:])
    got = b""
    while len(got) < size:
        n = os.readv(r, [memoryview(page)[offset:offset + ask]])
        assert n > 0
        got += page[offset:offset + n]
    assert got == data, (size, offset, ask)

M = 1 << 20
for size in (1, 4095, 4096, 4097, 65536, M - 4096, M - 1, M, M + 1, 2 * M - 1, 3 * M):
    for offset in (0, 1, 4095):
        for ask in (4096, 131072, M - 1, M):
            if size // ask < 100:
                exchange(size, offset, ask)
os.close(w)
assert os.read(r, 10) == b""
PY
echo "ok: a read ends with what is there, whatever its size and place"

# --- records -----------------------------------------------------------------------------------------

timeout "$(t_seconds 20)" python3 - "$all" <<'PY' || t_fail "records"
import errno
import os
import sys

path = sys.argv[1]
r = os.open(path, os.O_RDONLY | os.O_DIRECT)
w = os.open(path, os.O_WRONLY | os.O_DIRECT)
sizes = [1, 100, 4096, 5000, 65536, 300000, 1000000]
for n in sizes:
    assert os.write(w, bytes([n % 251]) * n) == n
for n in sizes:
    data = os.read(r, 1 << 20)
    assert data == bytes([n % 251]) * n, (n, len(data))
# The tail that does not fit is dropped, as Linux packet pipes do it.
os.write(w, b"0123456789")
os.write(w, b"next")
assert os.read(r, 4) == b"0123"
assert os.read(r, 100) == b"next"
os.close(w)
assert os.read(r, 100) == b""
os.close(r)
PY
echo "ok: O_DIRECT: one read, one record"

# --- generations -----------------------------------------------------------------------------------------

timeout "$(t_seconds 30)" python3 - "$all" <<'PY' || t_fail "generations"
import os
import sys
import threading

path = sys.argv[1]

def read_all(f):
    data = b""
    while True:
        piece = os.read(f, 65536)
        if not piece:
            return data
        data += piece

# Two writers: the end comes with the second one's.
r = os.open(path, os.O_RDONLY)
a = os.open(path, os.O_WRONLY)
b = os.open(path, os.O_WRONLY)
os.write(a, b"a")
os.close(a)
os.write(b, b"b")
got = []
t = threading.Thread(target=lambda: got.append(read_all(r)))
t.start()
t.join(0.3)
assert t.is_alive(), "end of file with a writer left"
os.close(b)
t.join(5)
assert got == [b"ab"], got
os.close(r)

# Fifty generations in a row; each reader gets its own.
for i in range(50):
    r = os.open(path, os.O_RDONLY)
    w = os.open(path, os.O_WRONLY)
    os.write(w, b"%d" % i)
    os.close(w)
    assert read_all(r) == b"%d" % i
    os.close(r)

# Data that came before there was a reader waits for it, once.
w = os.open(path, os.O_WRONLY)
os.write(w, b"early")
os.close(w)
r = os.open(path, os.O_RDONLY)
assert read_all(r) == b"early"
os.close(r)

# A write-open without a byte is a generation too.
r = os.open(path, os.O_RDONLY)
os.close(os.open(path, os.O_WRONLY))
assert read_all(r) == b""
os.close(r)
PY
echo "ok: generations"

# --- many at once -------------------------------------------------------------------------------------------

timeout "$(t_seconds 60)" python3 - "$all" <<'PY' || t_fail "many at once"
import os
import random
import signal
import sys
import time

path = sys.argv[1]
random.seed(1)
kids = []

def child(f):
    pid = os.fork()
    if pid == 0:
        try:
            f()
        except OSError:
            pass
        os._exit(0)
    kids.append(pid)

def reader():
    while True:
        f = os.open(path, os.O_RDONLY)
        while os.read(f, random.choice((10, 4096, 1 << 20))):
            pass
        os.close(f)

def writer():
    while True:
        f = os.open(path, os.O_WRONLY)
        for _ in range(random.randrange(20)):
            os.write(f, b"x" * random.choice((1, 1000, 100000, 1 << 20)))
        os.close(f)

for _ in range(6):
    child(reader)
    child(writer)
end = time.monotonic() + 8
while time.monotonic() < end:
    victim = random.randrange(len(kids))
    pid = kids.pop(victim)
    os.kill(pid, random.choice((signal.SIGKILL, signal.SIGTERM)))
    begun = time.monotonic()
    os.waitpid(pid, 0)
    assert time.monotonic() - begun < 2, "a killed process did not end"
    child(random.choice((reader, writer)))
    time.sleep(0.02)
for pid in kids:
    os.kill(pid, signal.SIGKILL)
for pid in kids:
    os.waitpid(pid, 0)
PY
echo "ok: readers and writers come, go and are killed"
t_ok "the mount works" t_ends 5 ls "$P/accept"
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ "$(grep -c . "$P/accept/.readers")" = 0 ] || sleep 0.1
done
t_eq "no reader is left over" "$(cat "$P/accept/.readers")" ''
t_sanitized || t_ok "few threads" test "$(find "/proc/$STREAMS/task" -mindepth 1 -maxdepth 1 | wc -l)" -lt 40
