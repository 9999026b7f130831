#!/bin/sh
# needs: user
# A writer that waits at a full ring harms nobody: others open, truncate, chmod, stat and
# write the same file meanwhile; it can be killed, and its death ends its stream. So can a
# reader that waits for data, however it waits.
. "$T_LIB"
. "$TOP/tests/tools/mount.sh"

t_mount -o ring=4M
t_pids
mkdir -p "$P/accept"
all=$P/accept/all

park() {
	# Nobody reads, and the ring is smaller than this.
	dd if=/dev/zero of="$all" bs=1M count=64 status=none &
	W=$!
	t_cleanup kill -9 $W
	t_blocked $W
}

gone() {
	! t_alive "$1"
}

empty() {
	timeout "$(t_seconds 10)" cat "$all" >/dev/null
}

park
t_ok "stat" t_ends 2 stat "$all"
t_ok "ls -l" t_ends 2 ls -la "$P/accept"
t_ok "truncate by >" t_ends 2 sh -c ": >$all"
t_ok "truncate(1)" t_ends 2 truncate -s 0 "$all"
t_ok "chmod" t_ends 2 chmod 600 "$all"
t_ok "touch" t_ends 2 touch "$all"
t_ok "open for reading and closing" t_ends 2 python3 -c "import os; os.close(os.open('$all', os.O_RDONLY | os.O_NONBLOCK))"
t_ok "mkdir below" t_ends 2 mkdir "$P/accept/unpcap"
t_ok "rmdir below" t_ends 2 rmdir "$P/accept/unpcap"
t_ok "a write that does not wait: EAGAIN" t_ends 5 python3 -c "
import os
f = os.open('$all', os.O_WRONLY | os.O_NONBLOCK)
n = 0
try:
    while n < 100 << 20:
        n += os.write(f, b'x' * (1 << 20))
except BlockingIOError:
    pass
assert n < 100 << 20"
t_ok "the writer still waits" t_in_fuse $W

# A second writer waits too, beside the first: neither is in state D, both can be killed.
dd if=/dev/zero of="$all" bs=1M count=64 status=none &
W2=$!
t_cleanup kill -9 $W2
t_blocked $W2
t_eq "two writers wait, killable" "$(t_state $W)$(t_state $W2)" SS
kill $W2
t_wait_for 1 gone $W2
kill -9 $W
t_wait_for 1 gone $W
echo "ok: both could be killed"
empty

# A descriptor shared by fork: closing one copy does not wait for the other's write.
python3 - "$all" <<'PY'
import os
import signal
import sys
import time

f = os.open(sys.argv[1], os.O_WRONLY)
child = os.fork()
if child == 0:
    while True:
        os.write(f, b"x" * (1 << 20))
time.sleep(0.5)
begun = time.monotonic()
os.close(f)
assert time.monotonic() - begun < 1, "close waited for the other's write"
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
assert time.monotonic() - begun < 2, "the child could not be killed"
PY
echo "ok: close in one process does not wait for a write in another"
empty

# --- readers ----------------------------------------------------------------------------

for sig in INT TERM KILL; do
	python3 -c "
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.read(os.open('$all', os.O_RDONLY), 100)" &
	R=$!
	t_cleanup kill -9 $R
	t_blocked $R
	kill -$sig $R
	t_wait_for 1 gone $R
	echo "ok: a blocked reader ends at SIG$sig"
done

# Interrupted by a handler it gets EINTR and may read on: nothing is lost by that.
python3 - "$all" >got <<'PY' &
import os
import signal
import sys

class Alarm(Exception):
    pass

def on_alarm(*_):
    raise Alarm

signal.signal(signal.SIGALRM, on_alarm)
f = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(20):
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        os.read(f, 100)
        sys.exit("read returned")
    except Alarm:
        pass
while True:
    data = os.read(f, 100)
    if not data:
        break
    os.write(1, data)
PY
R=$!
t_cleanup kill -9 $R
sleep 1.5
echo 'after twenty interrupts' >"$all"
t_rc $R
t_eq "an interrupted reader reads on" "$RC $(cat got)" '0 after twenty interrupts'

# Many readers, killed at once.
readers=
for _ in $(seq 60); do
	cat "$all" >/dev/null &
	readers="$readers $!"
done
t_blocked $!
# shellcheck disable=SC2086
kill -9 $readers
for pid in $readers; do
	t_wait_for 2 gone "$pid"
done
echo "ok: sixty blocked readers end at once"
threads=$(find "/proc/$STREAMS/task" -mindepth 1 -maxdepth 1 | wc -l)
t_ok "no thread per reader ($threads)" test "$threads" -lt 30

# --- who writes gets an error when its directory goes ---------------------------------------

park
rmdir "$P/accept"
t_wait_for 5 gone $W
t_rc $W
t_ok "a parked writer of a removed directory ends with an error" test "$RC" != 0
mkdir "$P/accept"

# --- umount with both waiting ----------------------------------------------------------------

park
cat "$P/accept:other/all" 2>/dev/null &
mkdir "$P/accept:other"
cat "$P/accept:other/all" &
R=$!
t_blocked $R
t_ok "umount" t_ends 5 "$PIPESFS" umount "$P"
t_nobody "umount with a parked writer and a blocked reader" $W $R
