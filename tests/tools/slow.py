"""slow - a reader that takes its time, in steps that the test commands

    slow.py PATH OUT [BLOCK] <commands

Opens PATH, says "open", then obeys one command a line and answers each with a line: "N": read until N more bytes came,
answer the bytes so far; "all": read to the end; "now": read what is there. At the end of the stream it answers "end BYTES" and keeps the file open
until its commands end. What it read is in OUT.
"""
import os
import sys


def main():
    path, out = sys.argv[1:3]
    block = int(sys.argv[3]) if sys.argv[3:] else 65536
    fd = os.open(path, os.O_RDONLY)
    print("open", flush=True)
    total = 0
    with open(out, "wb") as f:
        for line in sys.stdin:
            word = line.strip()
            want = total + int(word) if word.isdigit() else 1 << 62
            os.set_blocking(fd, word != "now")
            part = b"."
            while total < want and part:
                try:
                    part = os.read(fd, min(block, want - total))
                except BlockingIOError:
                    break
                f.write(part)
                total += len(part)
            f.flush()
            print(total if part else f"end {total}", flush=True)


main()
