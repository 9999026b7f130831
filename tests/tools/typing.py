#!/usr/bin/env python3
"""typing - types into an interactive shell and tells what it would have run

    typing SHELL COMPLETION PIPESFS TEXT...

SHELL is bash, zsh or fish; COMPLETION its file for pipesfs. Each TEXT is typed at a prompt of its own, in which ^I
stands for the tab key; then comes return. The words that `pipesfs` would have been started with are printed, one
program a line, as a Python list; [] when it was not started at all.
"""
import os
import pty
import select
import sys
import tempfile
import time

LIMIT = 20 * float(os.environ.get("T_SLOW", "1"))

WRAPPER = """#!/bin/sh
case $1 in
complete) exec "{program}" "$@" ;;
esac
for word; do printf '%s\\0' "$word"; done >>{out}
printf '\\1' >>{out}
"""

START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none'; source {completion}\n"),
    "zsh": (["zsh", "-f", "-i"], "fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep automenu\n"),
    "fish": (["fish", "--private", "--no-config", "-i"], "source {completion}; function fish_prompt; echo -n '> '; end\n"),
}


class Terminal:
    def __init__(self, argv, folder):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(PATH=folder + ":" + os.environ["PATH"], TERM="xterm", PS1="> ", HOME=folder)
            os.environ.pop("PROMPT_COMMAND", None)
            os.execvp(argv[0], argv)

    def look(self, seconds):
        """Reads what comes; False when nothing has come for so long."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            got = os.read(self.fd, 65536)
        except OSError:
            got = b""
        if not got:
            raise EOFError(self.text.decode(errors="replace"))
        # Some ask the terminal who it is, or where the cursor stands, and wait for the answer.
        if b"\x1b[c" in got or b"\x1b[0c" in got:
            os.write(self.fd, b"\x1b[?62;c")
        if b"\x1b[6n" in got:
            os.write(self.fd, b"\x1b[1;1R")
        self.text += got
        return True

    def settle(self):
        """Until it has been quiet for a while: the line editor waits for keys."""
        end = time.monotonic() + LIMIT
        while self.look(0.4) and time.monotonic() < end:
            pass

    def wait_for(self, ready):
        end = time.monotonic() + LIMIT
        while not ready():
            self.look(0.05)
            if time.monotonic() > end:
                return False
        return True

    def type(self, text):
        os.write(self.fd, text.encode())


def main():
    shell, completion, program, *texts = sys.argv[1:]
    argv, start = START[shell]
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        with open(os.path.join(folder, "pipesfs"), "w", encoding="utf-8") as f:
            f.write(WRAPPER.format(program=program, out=out))
        os.chmod(os.path.join(folder, "pipesfs"), 0o755)
        os.symlink(os.path.abspath(completion), os.path.join(folder, "_pipesfs"))
        terminal = Terminal(argv, folder)
        terminal.settle()
        terminal.type(start.format(completion=os.path.abspath(completion), folder=folder))
        terminal.settle()
        for text in texts:
            if os.path.exists(out):
                os.unlink(out)
            for part in text.split("^I"):
                if part is not text.split("^I")[0]:
                    terminal.type("\t")
                    terminal.settle()
                terminal.type(part)
            terminal.type("\n")
            done = terminal.wait_for(lambda: os.path.exists(out) and open(out, "rb").read().endswith(b"\1"))
            got = open(out, "rb").read().split(b"\1")[0].split(b"\0")[:-1] if done else []
            print([w.decode() for w in got])
            if not done:
                terminal.type("\x03")
                print(terminal.text[-600:], file=sys.stderr)
            terminal.settle()


main()
