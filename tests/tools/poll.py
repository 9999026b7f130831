"""poll.py FILE - waits for the stream FILE in every way that Linux has"""
import errno
import os
import select
import sys
import threading
import time

PATH = sys.argv[1]
ROUNDS = 50


def check(name, ok):
    print(("ok: " if ok else "not ok: ") + name, flush=True)
    if not ok:
        sys.exit(1)


def later(seconds, what, *args):
    def run():
        time.sleep(seconds)
        what(*args)
    t = threading.Thread(target=run)
    t.start()
    return t


def poll_wait(f, ms, events=select.POLLIN):
    p = select.poll()
    p.register(f, events)
    return bool(p.poll(ms))


def select_wait(f, ms):
    return bool(select.select([f], [], [], ms / 1000)[0])


def epoll_waiter(f, edge):
    e = select.epoll()
    e.register(f, select.EPOLLIN | (select.EPOLLET if edge else 0))
    return lambda _, ms: bool(e.poll(ms / 1000))


def drain(f):
    data = b""
    while True:
        try:
            piece = os.read(f, 4096)
        except BlockingIOError:
            return data, False
        if not piece:
            return data, True
        data += piece


def reading():
    r = os.open(PATH, os.O_RDONLY | os.O_NONBLOCK)
    w = os.open(PATH, os.O_WRONLY)
    try:
        os.read(r, 10)
        check("a read with nothing there: EAGAIN", False)
    except OSError as e:
        check("a read with nothing there: EAGAIN", e.errno == errno.EAGAIN)
    for name, wait in (("poll", poll_wait), ("select", select_wait), ("epoll", epoll_waiter(r, False)),
                       ("epoll, edges", epoll_waiter(r, True))):
        begun = time.monotonic()
        check(f"{name}: waits while there is nothing", not wait(r, 100) and time.monotonic() - begun > 0.09)
        for i in range(ROUNDS):
            message = f"{name} {i}\n".encode()
            t = later(0.002 * (i % 3), os.write, w, message)
            if not wait(r, 5000):
                check(f"{name}: wakes, round {i}", False)
            data = b""
            end = time.monotonic() + 5
            while data != message and time.monotonic() < end:
                data += drain(r)[0]
            t.join()
            if data != message:
                check(f"{name}: round {i} brings {message!r}, not {data!r}", False)
            # What is left of the edge: nothing there, nothing told.
            drain(r)
        check(f"{name}: wakes {ROUNDS} times with the data there", True)
    # Data that is there already, and more than one descriptor.
    os.write(w, b"x")
    check("poll: ready at once", poll_wait(r, 1000))
    check("select: ready at once", select_wait(r, 1000))
    drain(r)
    # A writer's end is an event, and then end of file.
    t = later(0.1, os.close, w)
    check("poll: wakes at the end of the stream", poll_wait(r, 5000))
    t.join()
    check("... which is end of file", drain(r)[1])
    os.close(r)


def blocked_poll_and_read():
    """One thread polls, another reads blocking, on the same descriptor."""
    r = os.open(PATH, os.O_RDONLY)
    w = os.open(PATH, os.O_WRONLY)
    got = []
    t = threading.Thread(target=lambda: got.append(os.read(r, 100)))
    t.start()
    time.sleep(0.05)
    check("poll beside a blocked read waits", not poll_wait(r, 100))
    os.write(w, b"one")
    t.join(5)
    check("the read gets it", got == [b"one"])
    os.write(w, b"two")
    check("poll sees the next", poll_wait(r, 5000))
    check("and a read gets that", os.read(r, 100) == b"two")
    os.close(w)
    os.close(r)


def closing():
    """A poll on a descriptor that is closed elsewhere, and one that is killed: nothing hangs."""
    r = os.open(PATH, os.O_RDONLY)
    child = os.fork()
    if child == 0:
        poll_wait(r, 60000)
        os._exit(0)
    time.sleep(0.1)
    os.close(r)
    begun = time.monotonic()
    os.kill(child, 9)
    os.waitpid(child, 0)
    check("a killed poll ends at once", time.monotonic() - begun < 1)


def no_readers():
    """The kernel tells of a close a moment after it."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with open(os.path.join(os.path.dirname(PATH), ".readers"), encoding="utf-8") as f:
            if not f.read():
                return
        time.sleep(0.01)
    check("closed readers are gone", False)


def writing():
    no_readers()
    w = os.open(PATH, os.O_WRONLY | os.O_NONBLOCK)
    check("an empty ring can be written", poll_wait(w, 1000, select.POLLOUT))
    total = 0
    try:
        while total < 100 << 20:
            total += os.write(w, b"x" * 65536)
    except BlockingIOError:
        pass
    check("a full ring: EAGAIN", total < 100 << 20)
    check("poll: a full ring cannot be written", not poll_wait(w, 100, select.POLLOUT))
    r = os.open(PATH, os.O_RDONLY)
    read = [0]

    def consume():
        while read[0] < total:
            read[0] += len(os.read(r, 1 << 20))

    t = later(0.1, consume)
    check("poll: wakes when there is room", poll_wait(w, 5000, select.POLLOUT))
    t.join()
    check("everything was there", read[0] == total)
    os.close(w)
    check("and then the end", os.read(r, 10) == b"")
    os.close(r)


reading()
blocked_poll_and_read()
closing()
writing()
