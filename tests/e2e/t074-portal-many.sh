#!/bin/sh
# t074 - a thousand portals one after the other, two hundred at a time, killed on either side: nothing is left
# timeout: 300
. "$T_LIB"

t_need_root
t_need python3
t_mount
cd "$TMPDIR" || exit

cat >many.py <<'PY'
import os, random, signal, socket, subprocess, sys, threading, time
P, streams = sys.argv[1], int(sys.argv[2])
random.seed(4711)

def serve(s):
    while True:
        c, _ = s.accept()
        threading.Thread(target=talk, args=(c,), daemon=True).start()

def talk(c):
    try:
        if random.random() < 0.2:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            for i in range(20):
                c.sendall(b"x" * random.randrange(1, 100000))
                time.sleep(random.random() * 0.02)
    except OSError:
        pass
    c.close()

s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(300)
threading.Thread(target=serve, args=(s,), daemon=True).start()
port = s.getsockname()[1]
paths = ["tcp/127.0.0.1/%d" % port, "pipe/usr/bin/seq 1 100000", "pipe/bin/sleep 60", "tcp/127.0.0.1/1",
         "fs/etc/passwd", "pipe/bin/sh -c 'echo x; kill -9 $$'", "tcplisten/127.0.0.1/0", "udp/127.0.0.1/9"]

def children(pid):
    return [int(p) for p in os.popen("pgrep -P %d" % pid).read().split()]

def all_below(pid):
    found = []
    for c in children(pid):
        found += [c] + all_below(c)
    return found

def comm(p):
    try:
        return open("/proc/%d/comm" % p).read()
    except OSError:
        return "pipesfs, or gone"

def state():
    fds = len(os.listdir("/proc/%d/fd" % streams))
    for line in open("/proc/%d/status" % streams):
        if line.startswith("VmRSS"):
            rss = int(line.split()[1])
    zombies = os.popen("ps -eo stat,comm | grep -c '^Z.*pipesfs\\|^Z.*seq\\|^Z.*sleep'").read().strip()
    return fds, rss, zombies

def settled(fds, patience):
    end = time.time() + patience
    while time.time() < end:
        now = state()[0]
        if now <= fds and not [p for p in all_below(streams) if "pipesfs" not in comm(p)]:
            return True
        time.sleep(0.1)
    return False

# One after the other, read to the end.
for i in range(20):
    subprocess.run(["cat", P + "/" + paths[i % 2]], stdout=subprocess.DEVNULL)
before = state()
for i in range(1000):
    path = P + "/" + paths[[0, 1, 3, 4, 5, 7][i % 6]]
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        continue
    try:
        if i % 6 != 5:
            os.read(fd, 1 << 20)
    except OSError:
        pass
    os.close(fd)
if not settled(before[0] + 2, 20):
    sys.exit("after 1,000: descriptors %s, were %s; processes %s" % (state(), before, all_below(streams)))
print("1,000 one after the other:", before, state())

# Two hundred at a time, killed at random.
for round in range(3):
    cats = [subprocess.Popen(["cat", P + "/" + random.choice(paths)], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for i in range(200)]
    end = time.time() + 2
    while time.time() < end:
        random.choice(cats).send_signal(random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        victims = [p for p in all_below(streams) if "pipesfs" not in comm(p)] \
            if random.random() < 0.05 else []
        for p in victims[:1]:
            try:
                os.kill(p, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.005)
    if round == 1:
        for p in all_below(streams):
            try:
                if "helper" in comm(p):
                    os.kill(p, signal.SIGKILL)
            except OSError:
                pass
    for c in cats:
        c.kill()
    end = time.time() + 10
    for c in cats:
        try:
            c.wait(max(0.1, end - time.time()))
        except subprocess.TimeoutExpired:
            sys.exit("cat %d hangs: %s" % (c.pid, open("/proc/%d/stat" % c.pid).read()))
if not settled(before[0] + 2, 20):
    sys.exit("after 3 x 200: %s, were %s; processes %s" % (state(), before, [(p, open("/proc/%d/cmdline" % p).read()) for p in all_below(streams)]))
after = state()
print("3 x 200 at a time, killed:", before, after)
if after[2] != "0":
    sys.exit("zombies: " + os.popen("ps -eo stat,pid,ppid,comm").read())
if after[1] > before[1] + 16000 and not os.environ.get("SANITIZED"):
    sys.exit("memory grew from %d to %d kB" % (before[1], after[1]))
print(open(P + "/fs/etc/hostname").read(), end="")
PY
t_sanitized && export SANITIZED=1
t_ok "nothing leaks, nobody hangs" python3 many.py "$P" "$(sed -n 's/streams //p' "$P/.control")"
cat .out
