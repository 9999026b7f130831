#!/usr/bin/env python3
"""nameserver.py READY - a name server at 127.0.0.1 whose answer is in the name

	NAME.test	it is 127.0.0.1
	NAME.invalid	there is none
	broken.NAME	the server cannot say (SERVFAIL)
	refused.NAME	the server does not want to (REFUSED)
	silent.NAME	no answer

Makes the file READY when it can be asked.
"""

import socket
import sys

NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def answer(question):
    labels, at = [], 12
    while question[at]:
        labels.append(question[at + 1:at + 1 + question[at]].decode())
        at += 1 + question[at]
    kind = int.from_bytes(question[at + 1:at + 3], "big")
    code = {"broken": SERVFAIL, "refused": REFUSED}.get(labels[0], NXDOMAIN)
    if labels[0] == "silent":
        return None
    found = b""
    if labels[-1] == "test":
        code = NOERROR
        if kind == 1:
            found = b"\xc0\x0c" + bytes((0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1))
    flags = 0x8180 | code
    return question[:2] + flags.to_bytes(2, "big") + bytes((0, 1, 0, len(found) > 0, 0, 0, 0, 0)) + question[12:at + 5] + found


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
open(sys.argv[1], "w").close()
while True:
    asked, caller = server.recvfrom(4096)
    told = answer(asked)
    if told:
        server.sendto(told, caller)
