"""plots - what the benchmarks' pictures share: gnuplot, its colours, and a page that looks the same everywhere

The picture of the readers (docs/nreaders.svg) is made here, from the JSON lines of bench/nreaders.
"""
import json
import os
import shutil
import statistics
import subprocess

COLOURS = ["#1b6ca8", "#d1495b", "#2e933c", "#e08e0b", "#6a4c93", "#00838f", "#8d6e63", "#37474f", "#c2185b"]


def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def page(path, width, height):
    """The head of a script: one SVG on white, names as they are."""
    return f"set terminal svg size {width},{height} dynamic noenhanced background rgb 'white' font 'sans,12'\nset output '{path}'\n"


LINES = (("throughput", "pfs", "pipesfs, latency=100ms", 0, 1), ("interactive", "pfs", "pipesfs, latency=1ms", 0, 2),
         ("throughput", "tcpdump", "tcpdump", 1, 1), ("interactive", "tcpdump", "tcpdump --immediate-mode", 1, 2),
         ("throughput", "dumpcap", "dumpcap", 3, 1))
PANELS = (("filtered", "each reader wants another port"), ("unfiltered", "each reader wants everything"))


def readers(records):
    """{(setting, kind, who): {readers: (median, least, most)}} of the sender's rate, 1 without readers in the same round."""
    rate, points = {}, {}
    for r in records:
        if "kpps" in r and not r["fixed"]:
            rate[r["setting"], r["kind"], r["round"], r["variant"]] = r["kpps"]
    for (setting, kind, n, variant), kpps in rate.items():
        who, count = variant.rsplit("-", 1)
        alone = rate.get((setting, kind, n, "none-0"))
        if alone and who != "none":
            points.setdefault((setting, kind, who), {}).setdefault(int(count), []).append(kpps / alone)
    return {key: {n: (statistics.median(v), min(v), max(v)) for n, v in sorted(by.items())} for key, by in points.items()}


def block(name, points):
    return f"${name} << END\n" + "".join(f"{n} {m} {low} {high}\n" for n, (m, low, high) in points.items()) + "END\n"


def plot_readers(records, path):
    """What a sender keeps of its rate with so many readers; False: there is nothing to show it with."""
    all_of = readers(records)
    panels = [(kind, title) for kind, title in PANELS if any(k == kind for _, k, _ in all_of)]
    if not shutil.which("gnuplot") or not panels:
        return False
    script = page(path, 480 * len(panels), 480) + f"""set multiplot layout 1,{len(panels)}
set logscale x 2
set yrange [0:*]
set bars small
set xlabel 'readers (processes, all on one CPU)'
set ylabel "sender's rate (1: nobody reads)"
set grid
set bmargin 9
set key outside below center Left reverse samplen 2 maxrows 3
"""
    for kind, title in panels:
        drawn = [(f"{setting}_{kind}_{who}", label, colour, dash, all_of[setting, kind, who])
                 for setting, who, label, colour, dash in LINES if (setting, kind, who) in all_of]
        counts = sorted({n for *_, points in drawn for n in points})
        script += "".join(block(name, points) for name, _, _, _, points in drawn)
        script += f"set title '{title}'\nset xtics ({', '.join(map(str, counts))})\nset xrange [{counts[0] * 0.8}:{counts[-1] * 1.25}]\n"
        script += "plot " + ", ".join(
            f"${name} using 1:2:3:4 with yerrorlines lw 2 pt {7 if dash == 1 else 6} ps 0.7 dt {dash} lc rgb '{COLOURS[colour]}' title '{label}'"
            for name, label, colour, dash, _ in drawn) + "\n"
    gnuplot(script + "unset multiplot\n")
    return True


def load(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def docs(name):
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", name)
