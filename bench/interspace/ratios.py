"""ratios - what docs/interspace.md says of the figures, each as a ratio that a run can print

A statement is one line here: how many times as fast A is as B in the same round (the time of B by that of A), the median of the
rounds with its quartiles. The chapter's prose names the section; the digits stand in the table only, which is written by the script.
"""
import statistics

# section, what is measured, bytes, A, B. What: read, write; same, other: the trips, on one CPU and on two.
RATIOS = [
    ("a call", "trip", 64, ("syscall", "other"), ("procfs", "other")),
    ("a call", "trip", 64, ("syscall", "other"), ("netlink", "other")),
    ("a call", "trip", 64, ("syscall", "other"), ("pipe", "same")),
    ("a switch", "trip", 64, ("eventfd + shm", "same"), ("pipe", "same")),
    ("a switch", "trip", 64, ("seccomp notify", "same"), ("pipe", "same")),
    ("a switch", "trip", 64, ("FUSE", "same"), ("pipe", "same")),
    ("a switch", "trip", 64, ("fanotify", "same"), ("pipe", "same")),
    ("a switch", "trip", 64, ("unix seqpacket", "same"), ("pipe", "same")),
    ("a switch", "trip", 64, ("eventfd + shm", "same"), ("unix seqpacket", "same")),
    ("waking another CPU", "trip", 64, ("pipe", "same"), ("pipe", "other")),
    ("waking another CPU", "trip", 64, ("FUSE", "same"), ("FUSE", "other")),
    ("waking another CPU", "trip", 64, ("eventfd + shm", "same"), ("eventfd + shm", "other")),
    *[("packets", "trip", 64, ("BPF ring buffer", "same"), (peer, "same"))
      for peer in ("perf buffer", "AF_PACKET ring v2", "AF_PACKET ring")],
    ("packets", "trip", 64, ("AF_PACKET ring v2", "same"), ("AF_PACKET ring", "same")),
    *[("packets", "read", size, ("BPF ring buffer", "read"), ("perf buffer", "read")) for size in (64, 4096, 65536)],
    *[("packets", "read", size, ("AF_PACKET ring", "read"), ("AF_PACKET ring v2", "read")) for size in (64, 4096)],
    *[("streams", "read", size, ("FUSE", "read"), ("pipe", "read")) for size in (4096, 65536, 1 << 20)],
    *[("streams", "read", size, ("eventfd + shm", "read"), ("FUSE", "read")) for size in (64, 4096, 65536, 1 << 20)],
    *[("streams", "read", size, ("vmsplice", "read"), ("pipe", "read")) for size in (64, 65536, 1 << 20)],
    *[("streams", "read", size, ("memcpy", "read"), ("eventfd + shm", "read")) for size in (65536, 1 << 20)],
    ("FUSE's ways", "trip", 64, ("FUSE io_uring", "same"), ("FUSE", "same")),
    *[("FUSE's ways", "read", size, ("FUSE io_uring", "read"), ("FUSE", "read")) for size in (4096, 65536, 1 << 20)],
    *[("FUSE's ways", "read", size, ("FUSE passthrough", "read"), ("FUSE", "read")) for size in (4096, 65536)],
    *[("FUSE's ways", "read", size, ("FUSE passthrough", "read"), ("syscall", "read")) for size in (4096, 65536)],
    ("many at once", "read", 4096, ("io_uring", "read"), ("syscall", "read")),
    ("many at once", "read", 4096, ("io_uring x32", "read"), ("io_uring", "read")),
    ("many at once", "read", 64, ("io_uring x32", "read"), ("syscall", "read")),
    *[("into the kernel", "write", size, ("BPF user ring", "write"), ("netlink", "write")) for size in (64, 4096)],
    *[("the thesis's six", "read", 4096, (a, "read"), (z, "read")) for a, z in
      (("syscall", "netlink"), ("chardev", "syscall"), ("syscall", "procfs"), ("syscall", "sysfs"))],
    ("the thesis's six", "write", 4096, ("netlink", "write"), ("sysfs", "write")),
]

# What a mechanism has not, and why.
NONE = {
    ("fanotify", "read"): "an event and a descriptor, no bytes", ("fanotify", "write"): "an answer, no bytes",
    ("BPF user ring", "read"): "goes into the kernel only", ("BPF ring buffer", "write"): "comes from the kernel only",
    ("perf buffer", "write"): "comes from the kernel only", ("relay", "write"): "comes from the kernel only",
    ("AF_PACKET ring v2", "write"): "as the ring above", ("memcpy", "trip"): "nobody answers",
    ("relay", "trip"): "one way", ("io_uring x32", "trip"): "many at once",
}
TRIPS = {"same": "one CPU", "other": "two CPUs"}


def size_name(n):
    return f"{n >> 20} MiB" if n >= 1 << 20 else f"{n >> 10} KiB" if n >= 1024 else f"{n} B"


def place(figures, name, what):
    """Where a trip goes; who has none on one CPU has no other process."""
    if what not in TRIPS:
        return ""
    return TRIPS[what] if ("same", name) in figures else "one process"


def measured(figures):
    """Rows of [section, what, A, B, median, lower, upper]; those of which a run has nothing are left out."""
    rows = []
    for section, kind, size, a, z in RATIOS:
        one, other = (figures.get((what, name), {}).get(size) for name, what in (a, z))
        if not one or not other:
            continue
        r = [y / x for x, y in zip(one, other)]
        q = statistics.quantiles(r, n=4) if len(r) > 1 else r * 3
        where = [place(figures, *x) for x in (a, z)]
        same = where[0] == where[1]  # then it is said once
        names = [x[0] if same else f"{x[0]} ({w})" for x, w in zip((a, z), where)]
        what = f"{kind}, {size_name(size)}" if kind != "trip" else f"trip, {where[0]}" if same else "trip"
        rows.append([section, what, *names, q[1], q[0], q[2]])
    return rows
