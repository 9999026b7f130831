#!/usr/bin/env python3
"""tcpend - one end of connections, for tests

    tcpend.py collect PORT FILE [FILE...]   accept as many clients as there are files, one after the other; what each
                                            sends goes to its file, until it ends
    tcpend.py serve PORT TEXT [N]           send TEXT to N clients (default 1), one after the other, and close
    tcpend.py say PORT TEXT [N]             connect N times (default 1) at the same time, send TEXT byte by byte in turn
    tcpend.py udp PORT TEXT [N]             send TEXT as a datagram N times
    tcpend.py wait PORT                     until somebody listens there

On 127.0.0.1. What listens writes "ready" to stdout when it does.
"""
import socket
import sys
import time


def listen(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(50)
    print("ready", flush=True)
    return s


def collect(port, *files):
    s = listen(port)
    for name in files:
        c = s.accept()[0]
        with open(name, "wb") as f:
            while data := c.recv(65536):
                f.write(data)
                f.flush()
        c.close()


def serve(port, text, n="1"):
    s = listen(port)
    for _ in range(int(n)):
        c = s.accept()[0]
        c.sendall(text.encode())
        c.close()


def say(port, text, n="1"):
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(int(n))]
    for byte in text.encode():
        for c in clients:
            c.sendall(bytes([byte]))
    for c in clients:
        c.close()


def udp(port, text, n="1"):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(int(n)):
        s.sendto(text.encode(), ("127.0.0.1", port))


def wait(port):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.02)
    sys.exit(f"nobody listens on {port}")


globals()[sys.argv[1]](int(sys.argv[2]), *sys.argv[3:])
