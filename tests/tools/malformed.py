"""malformed - captures that do not add up: each gives the packets before the damage, then says what is wrong

    malformed.py MOUNT FOLDER

Every file of FOLDER is poured whole; then damaged copies of our own captures (cut off, bytes changed). What libpcap reads
must come out; what is left over must be counted as lost by unpcap, or the write must have failed.
"""
import errno
import os
import random
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402

PATIENCE = float(os.environ.get("T_SLOW", "1")) * 20
# Where libpcap stops for reasons of its own (limits, link types): what came before must agree.
MUTATIONS = 150


def tcpdump(data):
    r = subprocess.run(["tcpdump", "--nano", "-r", "-", "-w", "-"], input=data, capture_output=True, check=False)
    bad = r.returncode != 0 or b"tcpdump:" in r.stderr
    try:
        return (pfscap.read(r.stdout) if r.stdout else []), bad
    except pfscap.Malformed as e:
        return e.packets, True


def lost(path):
    total = 0
    with open(path + "/.stats", encoding="utf-8") as f:
        for line in f:
            name, _, value = line.partition(" ")
            if name == "lost":
                total = int(value)
    return total


def pour(mount, data):
    """(packets, lost, error of the write) of one capture."""
    base = f"{mount}/accept:bad/unpcap"
    os.makedirs(base)
    result = {}

    def read():
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
        result["data"] = b"".join(parts)

    fd = os.open(base + "/all.pcapng", os.O_RDONLY)
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    failed = None
    try:
        out = os.open(f"{mount}/accept:bad/all", os.O_WRONLY)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(out, view[:1 << 20]):]
        finally:
            os.close(out)
    except OSError as e:
        failed = e.errno
    reader.join(PATIENCE)
    if reader.is_alive():
        sys.exit("the reader has no end")
    os.close(fd)
    count = lost(base)
    os.rmdir(base)
    os.rmdir(f"{mount}/accept:bad")
    return (pfscap.read(result["data"]) if result["data"] else []), count, failed


def judge(what, mount, data, exact):
    want, bad = tcpdump(data)
    got, count, failed = pour(mount, data)
    for p in got + want:
        p.time %= 2**32 * 10**9
    if bad or not exact:
        # What came before the damage; after it we may go on where libpcap gives up (its limits are lower).
        if [p.data for p in got[:len(want)]] != [p.data for p in want]:
            print(f"not ok: {what}: before the damage: {pfscap.difference(got[:len(want)], want)}")
            return False
    else:
        text = pfscap.difference(got, want)
        if text:
            print(f"not ok: {what}: {text}")
            return False
    if failed not in (None, errno.EINVAL, errno.EIO, errno.EBADMSG, errno.EPIPE):
        print(f"not ok: {what}: write: {os.strerror(failed)}")
        return False
    try:
        pfscap.read(data)
        broken = False
    except pfscap.Malformed:
        broken = True
    if broken and not count and not failed:
        print(f"not ok: {what}: it does not add up, but nothing was lost and no write failed")
        return False
    return True


def main():
    mount, folder = sys.argv[1:3]
    ok, n = True, 0
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as f:
            ok &= judge(name, mount, f.read(), True)
        n += 1
    print(f"ok: {n} files poured whole" if ok else "not ok: whole files")

    chance = random.Random(20081)
    packets = pfscap.assortment()
    kinds = [pfscap.pcap(packets), pfscap.pcap(packets, order=">", nano=True), pfscap.pcapng(packets),
             pfscap.pcapng(packets, order=">")]
    for i in range(MUTATIONS):
        data = bytearray(kinds[i % len(kinds)])
        if i % 3 == 0:
            del data[chance.randrange(len(data)):]
        for _ in range(chance.randrange(4)):
            if data:
                data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7f, 0x80, 0xff))
        ok &= judge(f"mutation {i}", mount, bytes(data), False)
    print(f"{MUTATIONS} damaged captures poured")
    sys.exit(0 if ok else 1)


main()
