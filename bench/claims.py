"""claims - the ratios that README.md tells, each by the names under which a benchmark prints them

A row is what is claimed, how the ratios are told, the benchmark, and the names of its goals and ratios, in the order of the text.
`bench/book --readme` writes the table from a run; a name that the run has not is said, and the row stays as it is.
"""
CLAIMS = [
    ("one reader of `accept/all`, against pipe(2) of 1 MiB", "{} (`cat`: {})", "pipe",
     ["one reader against pipe(2) of 1 MiB", "one reader against pipe(2) of 1 MiB, cat"]),
    ("16 readers together, against `tee` into 16 FIFOs", "{} (`cat`: {})", "pipe",
     ["16 readers together against tee, reads of 1 MiB", "16 readers together against tee"]),
    ("sender with one reader of a device, against with one tcpdump", "{} (one port: {})", "nreaders",
     ["throughput, unfiltered: sender with 1 readers, against as many tcpdump",
      "throughput, filtered: sender with 1 readers, against as many tcpdump"]),
    ("sender with 4 and 16 readers, against with 4 and 16 tcpdumps", "{} and {}", "nreaders",
     ["throughput, unfiltered: sender with 4 readers, against as many tcpdump",
      "throughput, unfiltered: sender with 16 readers, against as many tcpdump"]),
    ("the same with `tcpdump --immediate-mode`: 1, 4, 16 readers", "{}, {}, {}", "nreaders",
     [f"interactive, unfiltered: sender with {n} readers, against as many tcpdump" for n in (1, 4, 16)]),
    ("sender with 16 readers, each of another port, against with 16 tcpdumps", "{}", "nreaders",
     ["throughput, filtered: sender with 16 readers, against as many tcpdump"]),
    ("sender with 16 readers, against with one of ours", "{} (a port each: {})", "nreaders",
     ["throughput, unfiltered: sender with 16 readers, against with one",
      "throughput, filtered: sender with 16 readers, against with one"]),
    ("one more `ip` in a chain, CPU a packet, against one more tcpdump", "{}", "hops",
     ["one more tcpdump against one more ip, chain"]),
    ("`pcap:FILE` to a pipe, against `tcpdump -r FILE -w -`", "{}", "capfile", ["pcap against tcpdump -r -w - (pipe)"]),
    ("the same to /dev/null, where tcpdump's output costs nothing", "{}", "capfile", ["pcap against tcpdump -r -w - (null)"]),
    ("a capture written into `accept`, read from a pipe and from /dev/null", "{} and {}", "capfile",
     ["accept against tcpdump -r -w - (pipe)", "accept against tcpdump -r -w - (null)"]),
    ("<code>stream &#124; http</code>: bytes a second, against tshark, tcpflow, httpry", "{}, {}, {}", "http",
     [f"stream|http against {peer}" for peer in ("tshark", "tcpflow", "httpry")]),
    ("records a second while four processes change the graph, against at rest", "{}, none lost", "reshape",
     ["records a second while the graph changes against at rest"]),
    ("`pipesfs portal`: open to first byte, time against a direct connect (less is better)", "{}", "portalfd",
     ["open to first byte against a direct connect"]),
    ("a portal through the mount at 1 MiB, against a direct socket and against socat", "{} and {}", "portal",
     [f"portal against {peer}, reads of 1024 KiB" for peer in ("a direct socket", "socat")]),
    ("18,000 files in a redirected directory, first, second and third walk: time against bindfs (less is better)", "{}, {}, {}",
     "redirmeta", [f"{walk} walk against bindfs" for walk in ("first", "second", "third")]),
    ("the same against passthrough_hp", "{}, {}, {}", "redirmeta",
     [f"{walk} walk against passthrough-hp" for walk in ("first", "second", "third")]),
    ("the third walk, against the directory itself", "{}", "redirmeta", ["third walk against the directory itself"]),
    ("open and close with a filter that is asked, against passthrough_hp, which asks nobody", "{}", "redirmeta",
     ["open and close with a filter that is asked, against passthrough_hp"]),
    ("`scrambleflt`, 1 MiB writes and reads, against gocryptfs and encfs (more is better)", "{} and {}, {} and {}", "redirdata",
     [f"{what} 1 MiB against {peer}" for peer in ("gocryptfs", "encfs") for what in ("write", "read")]),
    ("the same in a process of its own, against in ours", "{} and {}", "redirdata",
     [f"{what} 1 MiB by its own process against in ours" for what in ("write", "read")]),
    ("an open asked about in our process and in a filter's own, time against a fanotify permission event", "{} and {}", "urfs",
     ["asking a filter in ours against a permission event", "asking a filter in its own process against a permission event"]),
    ("packets of 64 bytes by libpipesfs, in place, against read(2) of `all`, of `all.pcapng`, and a record a call", "{}, {}, {}", "libpipesfs",
     [f"64-byte packets: libpipesfs against read(2){which}" for which in (" of all", " of all.pcapng", ", a record a call")]),
    ("chunks of 1 MiB by libpipesfs: in the ring, against reading memory; as a producer makes them, against memcpy", "{}; {}", "libpipesfs",
     ["chunks in the ring, against reading memory", "chunks as a producer makes them, against memcpy"]),
    ("packets a CPU second of the reader, against tcpdump", "{}", "libpipesfs", ["records a CPU second of the reader, against tcpdump"]),
    ("producer, four stages, client: median and 99.9 % of the time, against pipe(2) (less is better)", "{} and {}", "latency",
     [f"producer to client, 64 bytes, {what}, against pipe(2)" for what in ("median", "99.9 %")]),
]


def digits(x):
    return f"{x:.0f}" if x >= 10 else f"{x:.1f}" if x >= 1.95 else f"{x:.2f}"


def table(figures, before):
    """(the rows, what is missing); figures: {(benchmark, name): ratio}; before: the lines of the table as it was."""
    lines, missing = ["| claim | ratio | command |", "|---|---|---|"], []
    old = {line.split(" | ")[0]: line for line in before if line.startswith("| ")}
    for claim, form, bench, names in CLAIMS:
        values = [figures.get((bench, name)) for name in names]
        if None in values:
            missing += [f"{bench}: {name}" for name, v in zip(names, values) if v is None]
            lines.append(old.get(f"| {claim}", f"| {claim} | - | `bench/run {bench}` |"))
        else:
            lines.append(f"| {claim} | {form.format(*map(digits, values))} | `bench/run {bench}` |")
    return lines, missing
