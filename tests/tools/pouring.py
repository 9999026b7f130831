"""pouring - captures into a mounted tree and packets out of it, beside tcpdump on the same packets"""
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402

PATIENCE = float(os.environ.get("T_SLOW", "1")) * 60
WRAP = 2**32 * 10**9  # tcpdump's times


class Failure(Exception):
    pass


def escape(text):
    """As a directory's name."""
    return "".join(f"%{ord(c):02x}" if c in "/%," else c for c in text)


def tcpdump(data, *expression):
    """Packets that tcpdump keeps of a capture; None when it refuses the expression."""
    r = subprocess.run(["tcpdump", "--nano", "-O", "-r", "-", "-w", "-", *expression], input=data, capture_output=True,
                       check=False)
    if r.returncode and not r.stdout:
        return None
    try:
        return pfscap.read(r.stdout)
    except pfscap.Malformed as e:
        return e.packets


class Reader(threading.Thread):
    """Everything a pipe gives until its end."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.fd = os.open(path, os.O_RDONLY)
        self.path = path
        self.data = b""
        self.error = None
        self.start()

    def run(self):
        parts = []
        try:
            while part := os.read(self.fd, 1 << 20):
                parts.append(part)
        except OSError as e:
            self.error = e
        os.close(self.fd)
        self.data = b"".join(parts)

    def bytes(self):
        self.join(PATIENCE)
        if self.is_alive():
            raise Failure(f"{self.path}: no end after {PATIENCE:.0f} s")
        if self.error:
            raise Failure(f"{self.path}: {self.error}")
        return self.data

    def packets(self):
        data = self.bytes()
        return pfscap.read(data) if data else []


def pour(pipe, data):
    view = memoryview(data)
    while view:
        view = view[pipe.write(view):]


def by_link(folder):
    """(link type -> name -> bytes of the captures in folder that tcpdump can read, how many it cannot)"""
    links, unreadable = {}, 0
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        packets = tcpdump(data)
        if packets is None:
            unreadable += 1
        elif packets:
            links.setdefault(packets[0].link, {})[name] = data
    return links, unreadable


def difference(what, got, want):
    """A sentence about the first packets that are not the same; "" when all are."""
    for p in got + want:
        p.time %= WRAP
    text = pfscap.difference(got, want)
    return f"{what}: {text}" if text else ""
