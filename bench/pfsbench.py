"""pfsbench - what the benchmarks share: rounds, processes, mounts, tables

Machines drift, so every figure is taken in rounds: all variants once in each round, in an order shuffled anew, and what is
told is the median with the smallest and the largest, and the ratio to a peer that ran in the same rounds. One JSON line
for each measurement goes to build/bench/NAME.jsonl.
"""
import atexit
import json
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
PIPESFS = os.path.join(BUILD, "pipesfs")
ROUNDS = int(os.environ.get("ROUNDS", "5"))
QUICK = os.environ.get("QUICK", "") not in ("", "0")  # a smoke test: small and short, figures mean nothing
CPUS = sorted(os.sched_getaffinity(0))


def tool(name):
    return os.path.join(BUILD, "bench", "bench-" + name)


def capture(*words):
    """tests/tools/capture, which makes the capture files."""
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return subprocess.run([sys.executable, os.path.join(top, "tests", "tools", "capture"), *map(str, words)],
                          check=True, capture_output=True, text=True).stdout


def version(*command):
    try:
        r = subprocess.run(command, capture_output=True, text=True, check=False)
        return (r.stdout + r.stderr).strip().split("\n")[0]
    except OSError:
        return None


def machine():
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"kernel": platform.release(), "cpu": model, "cpus": len(CPUS), "load": os.getloadavg()[0],
            "pipesfs": version(PIPESFS, "--version")}


def sh(*words):
    subprocess.run(words, check=True)


def cable(mac):
    """far sends from a namespace of its own to near, which is here. No addresses, no ARP: nobody else speaks.

    near has the hardware address that the frames go to: a stack drops other hosts' frames before it has done any work.
    """
    sh("mount", "-t", "tmpfs", "tmpfs", "/run/netns") if os.path.isdir("/run/netns") else sh("ip", "netns", "list")
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "netns", "add", "far")
    sh("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "far")
    sh("ip", "link", "set", "near", "address", mac)
    for ns, device in (("", "near"), ("far", "far")):
        where = ["-n", ns] if ns else []
        sh("ip", *where, "link", "set", device, "addrgenmode", "none")
        sh("ip", *where, "link", "set", device, "arp", "off", "up")


def veth():
    """In a network namespace of one's own: d0, which one sends on, and d1, where it is thrown away."""
    for sysctl in ("default", "all"):
        try:
            with open(f"/proc/sys/net/ipv6/conf/{sysctl}/disable_ipv6", "w", encoding="ascii") as f:
                f.write("1")
        except OSError:
            pass
    sh("ip", "link", "set", "lo", "up")
    sh("ip", "link", "add", "d0", "mtu", "9000", "type", "veth", "peer", "name", "d1", "mtu", "9000")
    sh("ip", "link", "set", "d1", "up")
    sh("ip", "link", "set", "d0", "up")


class Log:
    """The JSON lines of one benchmark."""

    def __init__(self, name):
        os.makedirs(os.path.join(BUILD, "bench"), exist_ok=True)
        self.name = name
        self.file = open(os.path.join(BUILD, "bench", name + ".jsonl"), "w", encoding="utf-8")
        self.write(machine=machine(), time=time.strftime("%Y-%m-%dT%H:%M:%S"), rounds=ROUNDS, quick=QUICK)

    def write(self, **fields):
        self.file.write(json.dumps({"bench": self.name, **fields}) + "\n")
        self.file.flush()


def rounds(log, variants, measure, count=ROUNDS):
    """measure(variant) -> dict, for each variant in each round, shuffled. Returns {variant: [dict, ...]}."""
    results = {v: [] for v in variants}
    for i in range(count):
        order = list(variants)
        random.shuffle(order)
        for v in order:
            r = measure(v)
            log.write(variant=v, round=i, **r)
            results[v].append(r)
            print(".", end="", file=sys.stderr, flush=True)
    print("", file=sys.stderr)
    return results


def column(results, key):
    return [r[key] for r in results if r.get(key) is not None]


def spread(values, form="{:.2f}"):
    """median [min-max]"""
    if not values:
        return "-"
    one = form.format
    return f"{one(statistics.median(values))} [{one(min(values))}-{one(max(values))}]"


def ratio(results, key, ours, peer):
    """Median of the ratios of ours to the peer's, round by round: what both suffered alike goes out."""
    pairs = [(a[key], b[key]) for a, b in zip(results[ours], results[peer]) if a.get(key) and b.get(key)]
    return statistics.median(a / b for a, b in pairs) if pairs else None


def table(title, head, rows):
    rows = [[str(c) for c in r] for r in [head] + rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(head))]
    print(f"\n{title}\n")
    for i, r in enumerate(rows):
        print("  " + "  ".join(c.ljust(w) if j == 0 else c.rjust(w) for j, (c, w) in enumerate(zip(r, widths))).rstrip())
        if i == 0:
            print("  " + "  ".join("-" * w for w in widths))
    sys.stdout.flush()


def goal(log, text, value, at_least=None, at_most=None):
    """One claim and whether this run bears it out."""
    if value is None:
        verdict = "not measured"
    elif at_least is not None:
        verdict = "met" if value >= at_least else "MISSED"
    else:
        verdict = "met" if value <= at_most else "MISSED"
    bound = f">= {at_least}" if at_least is not None else f"<= {at_most}"
    shown = "-" if value is None else f"{value:.2f}"
    print(f"  goal: {text}: {shown} ({bound}): {verdict}")
    sys.stdout.flush()
    log.write(goal=text, value=value, bound=bound, verdict=verdict)


def told(log, text, value):
    """A ratio that no bound was set for: it is only told."""
    if value is not None:
        print(f"  ratio: {text}: {value:.2f}")
        sys.stdout.flush()
    log.write(ratio=text, value=value)


class Mount:
    """pipesfs mounted in a directory of its own; path() below it."""

    def __init__(self, *options, cpu=None, env=None):
        self.where = tempfile.mkdtemp(prefix="pfs-bench-")
        command = ["taskset", "-c", str(cpu)] if cpu is not None else []
        subprocess.run([*command, PIPESFS, "mount", *options, self.where], check=True,
                       env={**os.environ, **(env or {})})
        atexit.register(self.close)

    def path(self, *parts):
        return os.path.join(self.where, *parts)

    def make(self, *parts):
        os.makedirs(self.path(*parts), exist_ok=True)
        return self.path(*parts)

    def stats(self, *parts):
        with open(self.path(*parts, ".stats"), encoding="utf-8") as f:
            return {k: int(v) for k, v in (line.split(None, 1) for line in f if line.strip()) if v.strip().isdigit()}

    def close(self):
        if self.where:
            subprocess.run([PIPESFS, "umount", self.where], check=False, capture_output=True)
            shutil.rmtree(self.where, ignore_errors=True)
            self.where = None


def scratch(mib):
    """A folder in memory if there is room for it, else on disk; removed at the end."""
    base = None
    try:
        st = os.statvfs("/dev/shm")
        if st.f_bavail * st.f_bsize > mib << 20:
            base = "/dev/shm"
    except OSError:
        pass
    where = tempfile.mkdtemp(prefix="pfs-bench-", dir=base)
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    return where


def opened(pid, path):
    """Has the process opened it? (Behind the name the kernel may say that it is deleted.)"""
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}").split(" (deleted)")[0] == path:
                    return True
            except OSError:
                continue
    except OSError:
        pass
    return False


def wait_for(what, condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"waited {seconds} s in vain for {what}")
        time.sleep(0.005)


def wait_open(pids, path):
    for pid in pids:
        wait_for(f"{pid} to open {path}", lambda pid=pid: opened(pid, path))


class Busy:
    """CPU seconds of the whole machine, system and user, from /proc/stat."""

    def __init__(self):
        self.start = self.read()

    @staticmethod
    def read():
        with open("/proc/stat", encoding="utf-8") as f:
            fields = [int(x) for x in f.readline().split()[1:]]
        # user nice system idle iowait irq softirq steal: without idle, iowait and what others stole
        return (fields[0] + fields[1] + fields[2] + fields[5] + fields[6]) / os.sysconf("SC_CLK_TCK")

    def seconds(self):
        return self.read() - self.start


def end(processes, how=signal.SIGTERM):
    for p in processes:
        if p.poll() is None:
            p.send_signal(how)
    for p in processes:
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
