#!/usr/bin/env python3
"""producer - a producer that writes what it likes into the memory it shares with the mount

    producer.py LIBRARY PATH WHAT

WHAT: length or position: what of its ring is nonsense, after a record "before". Prints the errno with which the ring
was ended. said: packets of 60 bytes that say a time and a true length; those that cannot be are refused.
"""
import ctypes
import errno
import os
import select
import stat
import struct
import sys


def mapped(name):
    """Where this memory is mapped: the page with the positions, and the ring, twice."""
    with open("/proc/self/maps", encoding="ascii") as f:
        return [int(line.split("-")[0], 16) for line in f if name in line]


def main():
    library, path, what = sys.argv[1:]
    lib = ctypes.CDLL(library)
    producer = ctypes.c_void_p()
    r = lib.pfs_producer_open(path.encode(), ctypes.c_size_t(4096), None, ctypes.c_size_t(0), ctypes.byref(producer))
    if r < 0:
        sys.exit(f"open: {errno.errorcode[-r]}")

    def commit(text):
        room = ctypes.c_void_p()
        r = lib.pfs_producer_reserve(producer, ctypes.c_size_t(len(text)), ctypes.byref(room))
        if r < 0:
            return r
        ctypes.memmove(room, text, len(text))
        return lib.pfs_producer_commit(producer, ctypes.c_size_t(len(text)))

    def commit_as(wire_len, time, size=60):
        room = ctypes.c_void_p()
        assert lib.pfs_producer_reserve(producer, ctypes.c_size_t(size), ctypes.byref(room)) == 0
        ctypes.memset(room, 0, size)
        return lib.pfs_producer_commit_as(producer, ctypes.c_size_t(size), ctypes.c_uint32(wire_len), ctypes.c_uint64(time))

    def flush():
        while (r := lib.pfs_producer_flush(producer)) == -errno.EAGAIN:
            select.select([lib.pfs_producer_fd(producer)], [], [])
        return r

    if what == "said":
        assert commit_as(1514, 1000000000123456789) == 0
        assert commit_as(0, 0) == 0
        assert commit_as(60, 2**64 - 1) == 0
        assert commit_as(59, 1) == -errno.EINVAL
        while flush() == -errno.EAGAIN:
            pass
        return

    maps = mapped("pipesfs-offer")
    assert commit(b"before") == 0 and flush() == 0
    first = {struct.unpack("Q", ctypes.string_at(at, 8))[0]: at for at in maps}
    page, ring = first[24], first[6]  # begins with the position; with the length of "before"
    # What reserve and commit do, but for what is written: then the mount has to be woken, by a record behind it.
    if what == "length":
        ctypes.memmove(ring + 24, struct.pack("Q", 2**64 - 1), 8)
        ctypes.memmove(page, struct.pack("Q", 48), 8)
    else:
        ctypes.memmove(page, struct.pack("Q", 2**40 + 1), 8)
    for fd in map(int, os.listdir("/proc/self/fd")): # its end of the pipe by which the mount is woken
        try:
            if fd > 2 and stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.write(fd, b"x")
        except OSError:
            pass
    while (r := lib.pfs_producer_flush(producer)) in (0, -errno.EAGAIN):
        select.select([lib.pfs_producer_fd(producer)], [], [], 0.05)
    print(errno.errorcode[-r])


main()
