"""samewire - did we see on a wire what tcpdump saw?

    samewire.py OURS.pcapng TCPDUMP.pcap FIRST LAST [IFACE]

The same frames in the same order from the frame that holds the word FIRST to the one that holds LAST (the two do not start
and stop at the same moment), true lengths equal, times within 50 ms of each other, each with a direction.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402

SLACK = 50 * 10**6 * float(os.environ.get("T_SLOW", "1"))


def load(name):
    try:
        return pfscap.read(name)
    except pfscap.Malformed as e:
        return e.packets  # it was still being written


def main():
    ours, dump = load(sys.argv[1]), load(sys.argv[2])
    first, last = (word.encode() for word in sys.argv[3:5])
    if sys.argv[5:]:
        ours = [p for p in ours if p.name == sys.argv[5]]

    def between(packets):
        at = [i for i, p in enumerate(packets) if first in p.data or last in p.data]
        return packets[at[0]:at[-1] + 1] if len(at) > 1 else sys.exit(f"{first} and {last} are not both there")

    ours, dump = between(ours), between(dump)
    for i, (a, b) in enumerate(zip(ours, dump)):
        if (a.data, a.wire_len, a.link) != (b.data, b.wire_len, b.link):
            sys.exit(f"frame {i}:\n  ours    {a!r}\n  tcpdump {b!r}")
        if abs(a.time - b.time) > SLACK:
            sys.exit(f"frame {i}: {(a.time - b.time) / 1e6} ms apart")
        if a.direction not in (1, 2):
            sys.exit(f"frame {i} has no direction")
    if len(ours) != len(dump):
        sys.exit(f"{len(ours)} frames, tcpdump has {len(dump)}")
    print(f"# {len(ours)} frames")


main()
