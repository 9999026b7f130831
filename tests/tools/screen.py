#!/usr/bin/python3
"""screen - runs a program in a terminal of its own, types, and looks at what it shows

    screen COLUMNSxLINES STEP... -- COMMAND [ARGUMENT...]

    wait TEXT       until TEXT is on the screen; status 1 when it does not come
    gone TEXT       until it is not there any more
    keys TEXT       type it; <up> <down> <esc> <enter> <back> stand for those keys
    show            print the screen, without the blanks at the ends of lines
    size CxL        the terminal has another size from now on
    signal NAME     send a signal to the program
    end             until it has ended; prints its status, and "restored" when the terminal is as it was before

SCREEN_TERM is what the program is told of the terminal: vt100, unless it is set. An xterm can do more than is understood
here (scrolling several lines at once), but has a screen to go back to.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

import pyte

LIMIT = 20 * float(os.environ.get("T_SLOW", "1"))
KEYS = {"<up>": "\x1bOA", "<down>": "\x1bOB", "<esc>": "\x1b", "<enter>": "\r", "<back>": "\x7f"}


class Terminal:
    def __init__(self, size, argv):
        self.columns, self.lines = map(int, size.split("x"))
        self.screen = pyte.Screen(self.columns, self.lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.ended = False
        master, slave = pty.openpty()
        self.fd, self.slave = master, slave
        self.set_size()
        self.before = termios.tcgetattr(slave)
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            for fd in range(3):
                os.dup2(slave, fd)
            os.environ.update(TERM=os.environ.get("SCREEN_TERM", "vt100"), LC_ALL="C.UTF-8", LINES="", COLUMNS="")
            del os.environ["LINES"], os.environ["COLUMNS"]
            os.execvp(argv[0], argv)

    def set_size(self):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))

    def resize(self, size):
        self.columns, self.lines = map(int, size.split("x"))
        self.screen.resize(self.lines, self.columns)
        self.set_size()

    def look(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            got = os.read(self.fd, 65536)
            self.raw += got
            self.stream.feed(got)

    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, ready):
        end = time.monotonic() + LIMIT
        while not ready():
            if time.monotonic() > end:
                return False
            self.look(0.02)
        return True

    def gone(self):
        if not self.ended:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.ended, self.status = True, status
        return self.ended


def step(terminal, word, value):
    if word == "wait":
        return terminal.until(lambda: value in terminal.text())
    if word == "gone":
        return terminal.until(lambda: value not in terminal.text())
    if word == "keys":
        for name, key in KEYS.items():
            value = value.replace(name, key)
        os.write(terminal.fd, value.encode())
        return True
    if word == "show":
        print(terminal.text(), flush=True)
        return True
    if word == "size":
        terminal.resize(value)
        return True
    if word == "signal":
        os.kill(terminal.pid, getattr(signal, "SIG" + value))
        return True
    if word == "end":
        if not terminal.until(terminal.gone):
            return False
        terminal.look(0.1)
        now = termios.tcgetattr(terminal.slave)
        last = terminal.raw.rfind(b"\x1b[?1049")
        same = now[:4] == terminal.before[:4] and (last < 0 or terminal.raw[last + 7 : last + 8] == b"l")
        print(os.waitstatus_to_exitcode(terminal.status), "restored" if same else "NOT RESTORED")
        return True
    sys.exit(f"screen: no such step: {word}")


def main():
    cut = sys.argv.index("--")
    size, *steps = sys.argv[1:cut]
    terminal = Terminal(size, sys.argv[cut + 1 :])
    try:
        for one in steps:
            word, _, value = one.partition(" ")
            if not step(terminal, word, value):
                print(f"screen: in vain: {one}\n{terminal.text()}", file=sys.stderr)
                sys.exit(1)
    finally:
        if not terminal.gone():
            os.kill(terminal.pid, signal.SIGKILL)


main()
