#!/usr/bin/env python3
"""lsf - what Linux socket filters cost, and ours: attaching, a packet, delivery, and the way through the kernel

The study of the "Linux Socket Filter" slides again, on the machine at hand. bench-lsf measures in a network namespace with a
veth pair; each figure is the median of the rounds with its quartiles. Plots (SVG, gnuplot) and a JSON line for each
measurement are in BUILD/bench. docs/lsf.md says what it shows. What a filter costs in the kernel is in bench/pffilter.
"""
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import pfsbench as b  # noqa: E402  pylint: disable=wrong-import-position
from plots import COLOURS, gnuplot, page  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = {"attach": 31, "packet": 15, "deliver": 11, "walk": 101}
OUT = os.path.join(b.BUILD, "bench")


def measure(log, what):
    """{(what it is of, how): [ns, ...]}, in the order in which they come."""
    rounds = 2 if b.QUICK else ROUNDS[what]
    out = subprocess.run(["taskset", "-c", str(b.CPUS[-1]), b.tool("lsf"), what, str(rounds)], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    results = {}
    for line in out.stdout.splitlines():
        of, how, n, ns = line.split("\t")
        log.write(what=what, of=of, how=how, round=int(n), ns=float(ns))
        results.setdefault((of, how), []).append(float(ns))
    return results, out.stderr


def middle(values):
    q = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return q[1], q[0], q[2]


def shown(values, scale=1.0, form="{:.0f}"):
    m, low, high = (form.format(v / scale) for v in middle(values))
    return f"{m} [{low}-{high}]"


def grid(title, results, hows, scale=1.0, form="{:.0f}"):
    ofs = list(dict.fromkeys(of for of, _ in results))
    b.table(title, ["", *hows], [[of[:44], *(shown(results[of, h], scale, form) for h in hows)] for of in ofs])


def plot(name, title, xlabel, ylabel, results, hows, scale=1.0):
    """Lines with quartiles, both axes in powers."""
    if not shutil.which("gnuplot"):
        print(f"  gnuplot is not here: no {name}.svg")
        return
    path = os.path.join(OUT, name)
    ofs = list(dict.fromkeys(of for of, _ in results))
    with open(path + ".dat", "w", encoding="utf-8") as f:
        for h in hows:
            f.write(f"# {h}\n")
            for of in ofs:
                m, low, high = middle(results[of, h])
                f.write(f"{of} {m / scale} {low / scale} {high / scale}\n")
            f.write("\n\n")
    lines = ", ".join(f"'{path}.dat' index {i} using 1:2:3:4 with yerrorlines lw 1.5 pt {i % 7 + 4} ps 0.7 lc rgb '{COLOURS[i]}' title '{h}'" for i, h in enumerate(hows))
    gnuplot(page(path + ".svg", 720, 440) + f"""set title '{title}'
set xlabel '{xlabel}'
set ylabel '{ylabel}'
set logscale xy
set key left top
set grid
plot {lines}
""")
    print(f"  {path}.svg")


def ratio(results, of, how, peer):
    return statistics.median(x / y for x, y in zip(results[of, how], results[of, peer]))


def attach(log):
    hows = ["attach", "compile", "load", "attach eBPF"]
    results, _ = measure(log, "attach")
    grid("giving a socket a filter of so many instructions, us", results, hows, 1000, "{:.1f}")
    plot("lsf-attach", "giving a socket a filter", "size of the filter (instructions)", "one setsockopt() (us)", results, hows, 1000)


def packet(log):
    hows = ["none", "reject", "queue", "ring", "pipesfs"]
    results, _ = measure(log, "packet")
    grid("a send() of 9000 bytes while someone keeps so many bytes of it, ns", results, hows)
    plot("lsf-packet", "sending 9000 bytes while someone captures", "snaplen (bytes)", "one send() (ns)", results, hows)
    for snaplen in ("64", "8192"):
        b.goal(log, f"send() under our capture against a packet socket's queue, snaplen {snaplen}",
               ratio(results, snaplen, "pipesfs", "queue"), at_most=1)


def deliver(log):
    hows = ["recvfrom", "recvmmsg", "ring"]
    results, _ = measure(log, "deliver")
    grid("getting a packet that waits, of so many bytes, ns", results, hows)
    plot("lsf-deliver", "getting a packet that waits", "size of the packet (bytes)", "one packet (ns)", results, hows)


def walk(log):
    results, left_out = measure(log, "walk")
    rows = [[call, what, shown(ns)] for (call, what), ns in results.items()]
    b.table("the way through the kernel: ns since the call began; for functions with (), how long they took", ["call", "point", "ns"], rows)
    if left_out:
        print("\n  not traced: " + "; ".join(left_out.strip().splitlines()))


def main():
    if os.geteuid() != 0:
        print("root is needed")
        sys.exit(77)
    log = b.Log("lsf")
    b.veth()
    for part in (attach, packet, deliver, walk):
        part(log)


main()
