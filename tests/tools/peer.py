#!/usr/bin/env python3
"""peer - the other end of connections, for tests of portals

    peer FILE greet         each connection gets the line "hello PORT" and is closed
    peer FILE echo          each gets back what it sends, until it has shut its half down
    peer FILE half          each is read to its end, then told how many bytes came
    peer FILE full          nothing is ever accepted, and the queue is full: connects wait
    peer FILE hold          each is accepted and told "x", and nothing more

On a port of 127.0.0.1 that the kernel chooses; its number is in FILE once it can be connected to.
"""
import os
import socket
import sys
import threading


def greet(s, port):
    s.sendall(b"hello %d\n" % port)


def echo(s, _):
    while data := s.recv(65536):
        s.sendall(data)


def half(s, _):
    n = 0
    while data := s.recv(65536):
        n += len(data)
    s.sendall(b"%d bytes\n" % n)


def hold(s, _):
    s.sendall(b"x")
    s.recv(1)


def serve(fn, s, port):
    with s:
        try:
            fn(s, port)
        except OSError:
            pass


def main():
    where, what = sys.argv[1:]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0 if what == "full" else 1024)
    port = listener.getsockname()[1]
    kept = []
    if what == "full":
        for _ in range(8):
            c = socket.socket()
            c.setblocking(False)
            c.connect_ex(("127.0.0.1", port))
            kept.append(c)
    with open(where + ".new", "w", encoding="ascii") as f:
        f.write(str(port))
    os.rename(where + ".new", where)
    if what == "full":
        threading.Event().wait()
    while True:
        s, _ = listener.accept()
        threading.Thread(target=serve, args=(globals()[what], s, port), daemon=True).start()


main()
