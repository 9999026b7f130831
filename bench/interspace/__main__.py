#!/usr/bin/env python3
"""interspace - how the kernel and processes hand each other bytes: bandwidth by size, and round trips

The study of chapters 3 to 5 of the thesis "RedirFS to user space", again, with what there is today. bench-interspace measures: all
mechanisms once in each round, in an order shuffled anew for each size; each figure is the median of the rounds with its
quartiles. A table for people, JSON lines and plots (SVG, gnuplot) are in BUILD/bench; docs/interspace.md says what it
shows and what pipesfs uses where. INTERSPACE="pipe,FUSE" measures these only; AGAIN=1 measures nothing and tells once more what the
JSON lines of the last run say; DOCS=1 also writes the tables into docs/interspace.md.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import pfsbench as b  # noqa: E402  pylint: disable=wrong-import-position
import ratios  # noqa: E402  pylint: disable=wrong-import-position
from plots import COLOURS, gnuplot, page  # noqa: E402  pylint: disable=wrong-import-position

OUT = os.path.join(b.BUILD, "bench")
DOCS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "interspace.md")
SIZES = [64 << i for i in range(16)]
SHOWN = [64, 1024, 4096, 65536, 1 << 20, 2 << 20]
QUICK_SIZES = [64, 65536]
MS = 12  # that one measurement takes
UNITS = {"read": "read", "write": "written"}


def size_name(n):
    for unit, shift in (("M", 20), ("K", 10)):
        if n >= 1 << shift:
            return f"{n >> shift}{unit}"
    return str(n)


class Study:
    def __init__(self):
        self.machine = b.machine()
        self.info, self.missing, self.figures = {}, {}, {}
        self.rounds = 0

    def measure(self, log, rounds):
        sizes = QUICK_SIZES if b.QUICK else SIZES
        command = [b.tool("interspace"), "-r", str(rounds), "-m", "0" if b.QUICK else str(MS), "-s", ",".join(map(str, sizes))]
        command += [name.strip() for name in os.environ.get("INTERSPACE", "").split(",") if name.strip()]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as p:
            for line in p.stdout:
                record = self.parse(line.rstrip("\n").split("\t"))
                log.write(**record)
                self.take(record)
        if p.returncode:
            sys.exit(f"bench-interspace ended with {p.returncode}")

    def again(self, path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                self.take(json.loads(line))

    @staticmethod
    def parse(fields):
        kind, name = fields[:2]
        if kind == "info":
            return {"mechanism": name, "of": fields[2], "stands_for": fields[3]}
        if kind == "missing":
            return {"mechanism": name, "missing": fields[2]}
        what, size, ns = fields[2], int(fields[3]), float(fields[5])
        rate = {"gbps": size / ns} if what in ("read", "write") else {}
        return {"mechanism": name, "what": what, "size": size, "round": int(fields[4]), "ns": ns, **rate}

    def take(self, record):
        name = record.get("mechanism")
        if "machine" in record:
            self.machine = record["machine"]
        elif "stands_for" in record:
            self.info[name] = (record["of"], record["stands_for"])
        elif "missing" in record:
            self.missing[name] = record["missing"]
        elif "round" in record:
            self.rounds = max(self.rounds, record["round"] + 1)
            self.figures.setdefault((record["what"], name), {}).setdefault(record["size"], []).append(record["ns"])

    def names(self, what):
        return [n for n in self.info if (what, n) in self.figures]


def middle(values):
    q = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
    return q[1], q[0], q[2]


def rates(study, what, name):
    """{size: (median, lower, upper quartile)} in GB/s."""
    return {size: tuple(middle([size / ns for ns in values])) for size, values in study.figures[what, name].items()}


def number(x):
    return f"{x:.3f}" if x < 0.1 else f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 1000 else f"{x:.0f}"


def bandwidth_rows(study, what):
    sizes = [s for s in SHOWN if any(s in by for (w, _), by in study.figures.items() if w == what)]
    rows = []
    for name in study.names(what):
        r = rates(study, what, name)
        rows.append([name, *("{} [{}-{}]".format(*map(number, r[s])) if s in r else "" for s in sizes)])
    rows += [[name, f"none: {why}", *[""] * (len(sizes) - 1)] for (name, w), why in ratios.NONE.items() if w == what and name in study.info]
    return ["GB/s", *map(size_name, sizes)], rows


def trip_rows(study):
    rows = []
    for name in study.names("other"):
        row = [name]
        for what in ("other", "same"):
            values = study.figures.get((what, name), {}).get(64)
            row.append("{} [{}-{}]".format(*(number(v / 1000) for v in middle(values))) if values else "")
        rows.append(row)
    rows.sort(key=lambda r: float(r[2 if r[2] else 1].split()[0]))
    for row in rows:
        row[2] = row[2] or "none: nobody else is asked"
    rows += [[name, f"none: {why}", ""] for (name, w), why in ratios.NONE.items() if w == "trip" and name in study.info]
    return ["us", "other CPU", "same CPU"], rows


def ratio_rows(study):
    rows = [[section, what, f"{a} : {z}", "{} [{}-{}]".format(*map(number, r))] for section, what, a, z, *r in ratios.measured(study.figures)]
    return ["", "of", "so many times as fast", "ratio"], rows


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


# --- plots ------------------------------------------------------------------------------------------------------------

def plot_bandwidth(study, what, part, title, names):
    """Lines with quartiles: bytes a second by size, both axes in powers."""
    path = os.path.join(OUT, f"interspace-{what}-{part}")
    with open(path + ".dat", "w", encoding="utf-8") as f:
        for name in names:
            f.write(f"# {name}\n")
            for size, (m, low, high) in rates(study, what, name).items():
                f.write(f"{size} {m} {low} {high}\n")
            f.write("\n\n")
    lines = ", ".join(f"'{path}.dat' index {i} using 1:2:3:4 with yerrorlines lw 1.5 pt {i % 7 + 4} ps 0.6 lc rgb '{COLOURS[i % 9]}' "
                      f"dt {1 + i // 9} title '{n}'" for i, n in enumerate(names))
    gnuplot(page(path + ".svg", 900, 520) + f"""set title 'bandwidth, {UNITS[what]}: {title}'
set xlabel 'size of one transfer (bytes)'
set ylabel 'bandwidth (GB/s, 10^9 bytes a second)'
set logscale x 2
set logscale y
set xrange [48:2800000]
set xtics ('64' 64, '256' 256, '1K' 1024, '4K' 4096, '16K' 16384, '64K' 65536, '256K' 262144, '1M' 1048576, '2M' 2097152)
set format y '%g'
set key outside right top
set bars small
set grid
plot {lines}
""")
    print(f"  {path}.svg")


def plot_trips(study):
    path = os.path.join(OUT, "interspace-latency")
    rows = []
    for name in study.names("other"):
        other = middle(study.figures["other", name][64])[0] / 1000
        same = study.figures.get(("same", name), {}).get(64)
        rows.append((name, other, middle(same)[0] / 1000 if same else None))
    rows.sort(key=lambda r: r[2] or r[1])
    with open(path + ".dat", "w", encoding="utf-8") as f:
        for name, other, same in rows:
            # Who has no other process has one figure, and no bar for the other CPU.
            f.write(f'"{name}" {same if same else other} {other if same else "NaN"}\n')
    gnuplot(page(path + ".svg", 900, 140 + 30 * len(rows)) + f"""set title 'round trip of 64 bytes'
set xlabel 'microseconds'
set logscale x
set xrange [0.05:*]
set yrange [{len(rows)}:-1]
set format x '%g'
set grid x
set key outside bottom center horizontal
set bmargin 6
set style fill solid 0.8 noborder
plot '{path}.dat' using (0.05):0:(0.05):2:($0-0.35):($0):ytic(1) with boxxyerror lc rgb '{COLOURS[0]}' title 'on one CPU, or without another process', \\
     '' using (0.05):0:(0.05):3:($0):($0+0.35) with boxxyerror lc rgb '{COLOURS[1]}' title 'with a process on another CPU'
""")
    print(f"  {path}.svg")


# What can be told apart in one picture: who asks the kernel, where the kernel sends, where processes talk.
PARTS = {
    "kernel": ("today, the kernel and a process", ["memcpy", "BPF ring buffer", "perf buffer", "BPF user ring", "AF_PACKET ring", "AF_PACKET ring v2", "AF_XDP", "io_uring",
                                               "io_uring x32"]),
    "process": ("today, a process and another", ["memcpy", "FUSE", "FUSE io_uring", "FUSE passthrough", "seccomp notify", "eventfd + shm", "pipe", "vmsplice",
                                   "unix stream", "unix seqpacket"]),
}


def plots(study):
    if not shutil.which("gnuplot"):
        print("  gnuplot is not here: no plots")
        return
    thesis = ["memcpy"] + [n for n, (of, _) in study.info.items() if of == "thesis"]
    parts = {"thesis": ("the six of the thesis", thesis), **PARTS}
    for what in ("read", "write"):
        for part, (title, names) in parts.items():
            names = [n for n in names if (what, n) in study.figures]
            if names:
                plot_bandwidth(study, what, part, title, names)
    if study.names("other"):
        plot_trips(study)


# --- what is told -----------------------------------------------------------------------------------------------------

def write_docs(mark, text):
    """Tables between two marks of docs/interspace.md."""
    begin, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    with open(DOCS, encoding="utf-8") as f:
        page = f.read()
    head, rest = page.split(begin, 1)
    with open(DOCS, "w", encoding="utf-8") as f:
        f.write(head + begin + text + end + rest.split(end, 1)[1])
    print(f"  {DOCS}")


def main():
    study = Study()
    if os.environ.get("AGAIN"):
        study.again(os.path.join(OUT, "interspace.jsonl"))
    else:
        study.measure(b.Log("interspace"), 1 if b.QUICK else 2 * b.ROUNDS - 1)
    pages = []
    for what, title in (("read", "read: from the far end to here"), ("write", "write: from here to the far end")):
        head, rows = bandwidth_rows(study, what)
        b.table(f"{title}, GB/s by size: median [quartiles] of {study.rounds} rounds", head, rows)
        pages.append(f"{title}, GB/s by size: median [quartiles]\n\n{markdown(head, rows)}\n")
    head, rows = trip_rows(study)
    b.table("round trip of 64 bytes, us", head, rows)
    pages.append(f"Round trip of 64 bytes, µs: median [quartiles]\n\n{markdown(head, rows)}\n")
    head, rows = ratio_rows(study)
    b.table("ratios in the same round: median [quartiles]", head, rows)
    told = f"Ratios in the same round: median [quartiles]\n\n{markdown(head, rows)}\n"
    for name, why in study.missing.items():
        print(f"  not here: {name}: {why}")
        pages.append(f"Not there: {name}: {why}\n")
    plots(study)
    if os.environ.get("DOCS"):
        m = study.machine
        head = f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel']}; {study.rounds} rounds; the machine's load before was {m['load']:.1f}."
        write_docs("figures", f"{head}\n\n" + "\n".join(pages))
        write_docs("ratios", told)


main()
