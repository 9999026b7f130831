#!/usr/bin/env python3
"""ping - ADDRESS COUNT SECONDS: one ICMP echo of 84 (IPv6: 104) bytes after the other; 0: all are answered; 2: none is"""
import os
import select
import socket
import struct
import sys
import time

address, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
six = ":" in address
family, proto = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
echo, answer = (128, 129) if six else (8, 0)
s = socket.socket(family, socket.SOCK_RAW, proto)
s.connect((address, 0))


def checksum(data):
    n = sum(struct.unpack(f">{len(data) // 2}H", data))
    n = (n & 0xFFFF) + (n >> 16)
    return ~(n + (n >> 16)) & 0xFFFF


def answered(sequence):
    until = time.monotonic() + seconds
    while select.select([s], [], [], max(0, until - time.monotonic()))[0]:
        got = s.recv(2048)
        got = got if six else got[20:]
        if got[0] == answer and struct.unpack(">HH", got[4:8]) == (os.getpid() & 0xFFFF, sequence):
            return True
    return False


lost = 0
for i in range(count):
    head = struct.pack(">BBHHH", echo, 0, 0, os.getpid() & 0xFFFF, i)
    body = bytes(56)
    if not six:
        head = head[:2] + struct.pack(">H", checksum(head + body)) + head[4:]
    s.send(head + body)
    lost += not answered(i)
sys.exit(0 if lost == 0 else 2 if lost == count else 3)
