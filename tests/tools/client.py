#!/usr/bin/env python3
"""client - a client of libpipesfs's wire (src/ring/shared.h) that does what it should not

    client.py seals PATH        the descriptors that it is given can be mapped and changed as they should, and no more
    client.py tokens PATH       tokens are good once, for one user; garbage is refused, and who says nothing is dropped
    client.py lie PATH POLICY   says nonsense in its page until standard input ends; sleeps always, and never looks
    client.py hang PATH POLICY  says nothing more until standard input ends
    client.py loans PATH        a producer that is refused, or goes before it is given its ring, leaves nothing behind
"""
import ctypes
import errno
import fcntl
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys

PAGE = 4096
READER = 2 << 30 | 196 << 16 | 0xB7 << 8 | 1  # PFS_IOC_READER
ON = 0xB7 << 8 | 2  # PFS_IOC_ON
SIZE = 1 << 30 | 4 << 16 | 0xB7 << 8 | 3  # PFS_IOC_SIZE
PRODUCER = 2 << 30 | 196 << 16 | 0xB7 << 8 | 4  # PFS_IOC_PRODUCER
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def need(what, truth):
    if not truth:
        sys.exit(f"client: {what}")


def refused(what, call, *errors):
    try:
        call()
    except OSError as e:
        need(f"{what}: {e}", e.errno in errors)
    else:
        sys.exit(f"client: {what} was possible")


class Client:
    def __init__(self, path, policy="", flags=os.O_RDONLY, kind=READER):
        self.file = os.open(path + (f",policy={policy}" if policy else "") + (",client" if kind == READER else ""), flags)
        self.kind = kind
        if kind == READER:
            self.ticket()

    def ticket(self):
        answer = fcntl.ioctl(self.file, self.kind, bytes(196))
        self.version, _, self.token, name = struct.unpack_from("II16s64s", answer)
        self.name = b"\0" + name.rstrip(b"\0")

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.connect(self.name)
        s.settimeout(20)
        return s

    def word(self, token=None, version=2):
        return struct.pack("II16s", version, 0, token or self.token)

    def ask(self, word):
        s = self.connect()
        s.send(word)
        message, fds, _, _ = socket.recv_fds(s, 4096, 8)
        if not message:
            return s, None, "", fds
        _, error, why = struct.unpack_from("Ii256s", message)
        return s, error, why.split(b"\0")[0].decode(), fds

    def shake_hands(self):
        self.socket, error, why, self.fds = self.ask(self.word())
        need(f"the mount says {why}", error == 0 and len(self.fds) == 4)
        return self


def mapped(fd, size, prot):
    at = libc.mmap(None, size, prot, mmap.MAP_SHARED, fd, 0)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return at


def protect(at, size):
    if libc.mprotect(at, size, mmap.PROT_READ | mmap.PROT_WRITE) < 0:
        raise OSError(ctypes.get_errno(), "mprotect")


def signal_of(fn):
    """What a child dies of that does so."""
    pid = os.fork()
    if pid == 0:
        fn()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def seals(path):
    client = Client(path).shake_hands()
    for name, fd in zip(("queue", "ring", "page"), client.fds):
        refused(f"{name}: shrinking", lambda: os.ftruncate(fd, 0), errno.EPERM)
        refused(f"{name}: growing", lambda: os.ftruncate(fd, 1 << 40), errno.EPERM)
    for name, fd in zip(("queue", "ring"), client.fds):
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        for which in (fd, again):
            refused(f"{name}: a writable mapping", lambda: mapped(which, PAGE, mmap.PROT_READ | mmap.PROT_WRITE), errno.EPERM)
            refused(f"{name}: write(2)", lambda: os.pwrite(which, b"x", 0), errno.EPERM)
            refused(f"{name}: a hole", lambda: libc_hole(which), errno.EPERM)
            at = mapped(which, PAGE, mmap.PROT_READ)
            refused(f"{name}: mprotect(2)", lambda: protect(at, PAGE), errno.EACCES)
            need(f"{name}: a write does not fault", signal_of(lambda: ctypes.memset(at, 1, 8)) == signal.SIGSEGV)
            ctypes.string_at(at, PAGE)
    print("nothing can be written but the page")


def libc_hole(fd):
    if libc.fallocate(fd, 3, ctypes.c_long(0), ctypes.c_long(PAGE)) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def as_other(fn):
    """In a child that is nobody."""
    def run():
        os.setgid(65534)
        os.setuid(65534)
        os._exit(0 if fn() else 3)
    pid = os.fork()
    if pid == 0:
        run()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def tokens(path):
    client = Client(path)
    for garbage in (b"x", bytes(7), bytes(4000), client.word() + b"more", client.word(version=1), client.word(version=77)):
        _, error, why, fds = client.ask(garbage)
        need(f"garbage: {error} {why}", error == errno.EPROTO and "no token" in why and not fds)
    for token in (bytes(16), os.urandom(16), bytes([client.token[0] ^ 1]) + client.token[1:]):
        _, error, why, fds = client.ask(client.word(token))
        need(f"a wrong token: {error} {why}", error == errno.EACCES and "no open file" in why and not fds)
    if os.geteuid() == 0:
        need("another user's token", as_other(lambda: client.ask(client.word())[1] == errno.EACCES))
    old = client.word()
    client.ticket()
    need("the old of two tokens", client.ask(old)[1] == errno.EACCES)
    silent = client.connect()
    many = [client.connect() for _ in range(100)]
    need("a silent one stays", select.select([silent], [], [], 20)[0] and silent.recv(1) == b"")
    for s in many:
        s.close()
    silent = client.connect()
    need("a silent one stays for ever", select.select([silent], [], [], 20)[0] and silent.recv(1) == b"")
    client.shake_hands()
    need("a token twice", client.ask(client.word())[1] == errno.EACCES)
    refused("a ticket for a file that has a client", lambda: client.ticket(), errno.EBUSY)
    refused("read(2) of it", lambda: os.read(client.file, 10), errno.EBUSY)
    refused("another ioctl", lambda: fcntl.ioctl(client.file, ON + 1, b""), errno.ENOTTY, errno.EINVAL)
    fcntl.ioctl(client.file, ON)
    client.socket.send(b"what nobody expects")
    need("who talks is dropped", client.socket.recv(10) == b"")
    os.close(client.file)
    gone = Client(path)
    word = gone.word()
    os.close(gone.file)
    connection, error, _, _ = gone.ask(word)  # its RELEASE may come later
    need("a token of a closed file", error == errno.EACCES or connection.recv(1) == b"")
    print("tokens are good once")


def loans(path):
    def descriptors():
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in os.environ["DAEMONS"].split())

    client = Client(path, flags=os.O_WRONLY, kind=PRODUCER)
    before = descriptors()
    for _ in range(100):
        fcntl.ioctl(client.file, SIZE, struct.pack("i", 5000))
        client.ticket()
        connection, error, why, fds = client.ask(client.word())
        need(f"no such size: {error} {why}", error == errno.EINVAL and "power of two" in why and not fds)
        need("who is refused is dropped", connection.recv(1) == b"")
        connection.close()
    need(f"{descriptors() - before} descriptors more", descriptors() < before + 50)  # one each would be 100
    need("write(2) afterwards", os.write(client.file, b"written") == 7)
    fcntl.ioctl(client.file, SIZE, struct.pack("i", 4096))
    client.ticket()
    connection = client.connect()
    connection.send(client.word())
    connection.close()  # before it is given anything, or just behind
    client.ask(b"x")  # answered behind it: until it was heard, a new ticket would take the place of its own
    try:
        for _ in range(1000):
            client.ticket()
            _, error, why, fds = client.ask(client.word())
            if error == errno.EACCES:  # this one's token is being looked at
                continue
            need(f"a second loan: {error} {why}", error == errno.EBUSY and not fds)
            break
    except OSError as e:
        need(f"a second ticket: {e}", e.errno == errno.EBUSY)
    os.close(client.file)
    print("nothing is left behind")


def positions(rng):
    while True:
        yield rng.choice((0, 1, 2**64 - 1, 2**63, rng.getrandbits(64), rng.getrandbits(20), rng.getrandbits(12)))


def lie(path, policy):
    client = Client(path, policy).shake_hands()
    page = mmap.mmap(client.fds[2], PAGE)
    print("here", flush=True)
    values = positions(random.Random(7))
    rounds = 0
    while not select.select([0], [], [], 0)[0]:
        for _ in range(1000):
            struct.pack_into("QQQQII", page, 0, *(next(values) for _ in range(4)), 1, 1)
        rounds += 1
        if rounds % 10 == 0:
            fcntl.ioctl(client.file, ON)


def hang(path, policy):
    client = Client(path, policy).shake_hands()
    print("here", flush=True)
    sys.stdin.read()
    client.socket.close()


if __name__ == "__main__":
    {"seals": seals, "tokens": tokens, "lie": lie, "hang": hang, "loans": loans}[sys.argv[1]](*sys.argv[2:])
