"""bursts - readers below many large filters come and go, all at once, while frames flow and somebody makes directories

    bursts.py MOUNT FILTERS SECONDS    device `near` there, whose other end `far` is in the namespace far

Every reader has to get a run of numbers without a gap that begins not after a frame sent when its open had returned. The longest mkdir is held against that with kernel=off, where no program is made: it may
take three times as long, or half a second. Filters that are too large together have to be said.
"""
import mmap
import os
import struct
import subprocess
import sys
import threading
import time

P, FILTERS, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
SIZE = 64
SEND = f"""
import mmap, os, socket, struct, sys, time
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
import pfscap
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("far", 0))
frame = pfscap.udp4(bytes({SIZE} - 42))
at, n = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 16), 0
while not at[8]:
    for _ in range(20):
        s.send(frame[:42] + struct.pack("<Q", n) + frame[50:])
        n += 1
        at[:8] = struct.pack("<Q", n)  # how many there are
    time.sleep(0.004)
"""
MAKE = """
import os, select, sys, time
longest, n = 0, 0
print("ready", flush=True)
while not select.select([0], [], [], 0)[0]:
    start = time.monotonic()
    os.mkdir(sys.argv[1] + "/count")
    os.rmdir(sys.argv[1] + "/count")
    longest, n = max(longest, time.monotonic() - start), n + 1
    time.sleep(0.002)
print(n, longest)
"""
failures = []


def fail(sentence):
    failures.append(sentence)
    print("WRONG: " + sentence, flush=True)


def name(i):
    """All let the frames through, for eight reasons of which the last one is right."""
    return "match:" + " or ".join(f"tcp port {1000 + 16 * i + k}" for k in range(7)) + f" or udp[4:2] > {i % 8}"


def burst(top, i, sent, together, seen):
    fd = os.open(f"{top}/{name(i)}/all", os.O_RDONLY | os.O_NONBLOCK)
    after, data = sent(), b""
    together.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end and (len(data) < SIZE or struct.unpack_from("<Q", data, len(data) - SIZE + 42)[0] < after + 40):
        try:
            data += os.read(fd, 1 << 20)
        except BlockingIOError:
            time.sleep(0.002)
    seen.wait()
    os.close(fd)
    got = [struct.unpack_from("<Q", data, at + 42)[0] for at in range(0, len(data), SIZE)]
    if not got or got != list(range(got[0], got[0] + len(got))):
        fail(f"{name(i)}: {len(got)} numbers from {got[:1]}, with gaps")
    elif got[0] > after + 1:  # that one may have been on its way, not counted yet
        fail(f"{name(i)}: begins at {got[0]}, opened before {after}")


def said_in(top):
    """What .program says of filters for which there was no room, when the program is there."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with open(f"{top}/.program", encoding="utf-8") as f:
            text = f.read()
        if "is being made" not in text:
            return next((line for line in text.splitlines() if "run in the engine: with them" in line), "")
        time.sleep(0.01)
    return ""


def all_at_once(top, filters, sent, look=False):
    """A burst of that many; what .program says while they are there."""
    together, seen = threading.Barrier(filters + 1), threading.Event()

    def one(i):
        try:
            burst(top, i, sent, together, seen)
        except OSError as e:
            fail(f"{name(i)}: {e}")
            together.abort()
    threads = [threading.Thread(target=one, args=(i,)) for i in range(filters)]
    for t in threads:
        t.start()
    together.wait()
    said = said_in(top) if look else ""
    seen.set()
    for t in threads:
        t.join()
    return said


def measure(top, sent):
    """Bursts for some seconds; how long the longest mkdir took, and how many bursts there were."""
    for i in range(FILTERS):
        os.makedirs(f"{top}/{name(i)}", exist_ok=True)
    maker = subprocess.Popen([sys.executable, "-c", MAKE, f"{P}/accept"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    maker.stdout.readline()
    end, bursts = time.monotonic() + SECONDS, 0
    while bursts == 0 or time.monotonic() < end:
        all_at_once(top, FILTERS, sent)
        bursts += 1
    made, longest = maker.communicate("x")[0].split()
    return float(longest), bursts, int(made)


def too_large(top, sent):
    """Larger together than any program may be: they are given expressions that no name has room for."""
    for i in range(20):
        os.makedirs(f"{top}/{name(i)}", exist_ok=True)
        with open(f"{top}/{name(i)}/.params", "w", encoding="ascii") as f:
            f.write("arg=" + " or ".join(f"tcp port {2000 + 50 * i + k}" for k in range(50)) + " or udp[4:2] > 1\n")
    if not all_at_once(top, 20, sent, look=True):
        fail("nothing is said of what runs in the engine")


def main():
    os.makedirs(f"{P}/accept", exist_ok=True)
    with open("sent", "wb") as f:
        f.write(bytes(16))
    at = mmap.mmap(os.open("sent", os.O_RDWR), 16)
    sender = subprocess.Popen(["ip", "netns", "exec", "far", sys.executable, "-c", SEND, "sent"])
    while not sum(at[:8]):
        time.sleep(0.001)

    def sent():
        return struct.unpack("<Q", at[:8])[0]
    os.makedirs(f"{P}/dev/near,kernel=off", exist_ok=True)
    engine = measure(f"{P}/dev/near,kernel=off", sent)
    kernel = measure(f"{P}/dev/near", sent)
    too_large(f"{P}/dev/near", sent)
    at[8] = 1
    sender.wait()
    if kernel[0] > max(0.5, 3 * engine[0]):
        fail(f"mkdir took {kernel[0]:.3f} s, and {engine[0]:.3f} s where no program is made")
    print(f"{kernel[1]} bursts of {FILTERS}; of {kernel[2]} mkdirs the longest {kernel[0] * 1000:.0f} ms, with kernel=off "
          f"{engine[0] * 1000:.0f} ms")
    sys.exit(bool(failures))


main()
