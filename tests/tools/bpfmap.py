#!/usr/bin/env python3
"""bpfmap - what is in the BPF maps of a process

    bpfmap PID NAME

All maps of that name which the process has open: a line for each entry, key and value as 32-bit words. As root, x86-64.
"""
import ctypes
import os
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
SYS_BPF = 321
LOOKUP, NEXT_KEY, FD_BY_ID, INFO = 1, 4, 14, 15


def bpf(cmd, attr):
    data = ctypes.create_string_buffer(attr + bytes(128 - len(attr)), 128)
    got = libc.syscall(SYS_BPF, cmd, data, 128)
    return got if got >= 0 else -ctypes.get_errno()


def maps_of(pid):
    for number in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{number}", encoding="ascii") as f:
                said = dict(line.split(":", 1) for line in f if ":" in line)
        except OSError:
            continue
        if "map_id" in said:
            yield int(said["map_id"])


def name_of(fd):
    info = ctypes.create_string_buffer(128)
    bpf(INFO, struct.pack("=IIQ", fd, 128, ctypes.addressof(info)))
    _, _, key_size, value_size = struct.unpack("=IIII", info.raw[:16])
    return info.raw[24:40].split(b"\0")[0].decode(), key_size, value_size


def entries(fd, key_size, value_size):
    key = ctypes.create_string_buffer(key_size)
    value = ctypes.create_string_buffer(value_size)
    before = 0
    while bpf(NEXT_KEY, struct.pack("=IIQQ", fd, 0, before, ctypes.addressof(key))) == 0:
        if bpf(LOOKUP, struct.pack("=IIQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value))) == 0:
            yield key.raw, value.raw
        before = ctypes.addressof(key)


def main():
    pid, wanted = sys.argv[1:]
    for number in sorted(set(maps_of(pid))):
        fd = bpf(FD_BY_ID, struct.pack("=I", number))
        if fd < 0:
            continue
        name, key_size, value_size = name_of(fd)
        if name == wanted:
            for raw in entries(fd, key_size, value_size):
                words = [" ".join(map(str, struct.unpack(f"={len(part) // 4}I", part))) for part in raw]
                print(": ".join(words))
        os.close(fd)


main()
