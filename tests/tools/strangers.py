"""strangers.py SOCKET - who is no filter, where filters join

Half-open connections, garbage, a message cut off, one that is too long, a greeting of another version, commands without a
greeting, and whoever asks and never reads: each is hung up on, and nobody else notices. Prints what each got.
"""
import os
import socket
import struct
import sys

PATH = sys.argv[1]
HELLO, REGISTER, WANT, READY = 1, 2, 5, 7


def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(PATH)
    s.settimeout(20)
    return s


def ended(s):
    """Has the other end hung up, whatever it said before?"""
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    s.close()
    return True


def head(kind, body):
    return struct.pack("II", kind, 8 + len(body)) + body


def tell(s, message):
    try:
        s.send(message)
    except (BrokenPipeError, ConnectionResetError):
        pass


half = [connect() for _ in range(200)]
for name, message in [
    ("garbage", os.urandom(500)),
    ("too long", os.urandom(60000)),
    ("an empty greeting", head(HELLO, b"")),
    ("another version", head(HELLO, struct.pack("IIII", 99, 1, 1, 0))),
    ("no greeting", head(READY, struct.pack("IiiIII", 0, 1, 0, 0, 0, 0))),
    ("a size that is none", struct.pack("II", HELLO, 0xFFFFFFFF)),
]:
    s = connect()
    tell(s, message)
    print(name, "ended" if ended(s) else "stayed")
print("half-open", len([s for s in half if ended(s)]))
