"""frames - put packets on a wire, or take them from it, for the tests

    frames.py send IFACE FILE [COPIES [GAP_MS]]   every frame of a capture file, in order
    frames.py mark IFACE TEXT...                  one UDP frame for each word, with it as payload
    frames.py vlan IFACE TEXT                     one in 802.1Q 42, one in 802.1ad 100 with 802.1Q 42 inside
    frames.py ports IFACE SRC,DST,N,BYTES...      N times a UDP packet between those ports with so many bytes; from port 0: ICMP
    frames.py udp HOST PORT TEXT...               one datagram for each word through the stack
    frames.py ping HOST TEXT                      one echo request with TEXT in it
"""
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pfscap  # noqa: E402


def wire(iface):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.bind((iface, 0))
    return s


def main():
    what, where, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if what == "udp":
        family = socket.AF_INET6 if ":" in where else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            for text in rest[1:]:
                s.sendto(text.encode(), (where, int(rest[0])))
        return
    if what == "ping":
        request = struct.pack(">BBHHH", 8, 0, 0, 1, 1) + rest[0].encode()
        request = request[:2] + struct.pack(">H", pfscap.checksum(request)) + request[4:]
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
            s.sendto(request, (where, 0))
        return
    with wire(where) as s:
        if what == "send":
            frames = [p.data for p in pfscap.read(rest[0])]
            for _ in range(int(rest[1]) if rest[1:] else 1):
                for f in frames:
                    s.send(f)
                    if rest[2:]:
                        time.sleep(float(rest[2]) / 1000)
        elif what == "mark":
            for text in rest:
                s.send(pfscap.udp4(text.encode()))
        elif what == "ports":
            for word in rest:
                source, destination, n, length = (int(x) for x in word.split(","))
                packet = pfscap.udp(bytes(length), source, destination, "10.0.0.1", "10.0.0.2")
                frame = pfscap.ether(pfscap.ip4(packet, 17 if source else 1, "10.0.0.1", "10.0.0.2"))
                for _ in range(n):
                    s.send(frame)
        elif what == "vlan":
            inner = pfscap.ip4(pfscap.udp(rest[0].encode()))
            s.send(pfscap.ether(inner, vlans=[(0x8100, 42)]))
            s.send(pfscap.ether(inner, vlans=[(0x88a8, 100), (0x8100, 42)]))
        else:
            sys.exit(__doc__)


main()
