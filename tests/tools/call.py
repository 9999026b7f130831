"""call - one system call, and what came of it: the name of the error, or ok

    call.py mkdir PATH | rmdir PATH | rename PATH PATH | unlink PATH | open PATH [FLAG|FLAG...] | read PATH [FLAG...] |
            write PATH TEXT [FLAG...] | listdir PATH | stat PATH
"""
import errno
import os
import sys


def flags(words, base):
    for w in words:
        base |= getattr(os, w)
    return base


def main():
    what, path, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    try:
        if what == "mkdir":
            os.mkdir(path)
        elif what == "rmdir":
            os.rmdir(path)
        elif what == "rename":
            os.rename(path, rest[0])
        elif what == "unlink":
            os.unlink(path)
        elif what == "open":
            os.close(os.open(path, flags(rest, 0)))
        elif what == "read":
            sys.stdout.write(f"{len(os.read(os.open(path, flags(rest, os.O_RDONLY)), 1 << 20))} ")
        elif what == "write":
            sys.stdout.write(f"{os.write(os.open(path, flags(rest[1:], os.O_WRONLY)), rest[0].encode())} ")
        elif what == "listdir":
            sys.stdout.write(f"{len(os.listdir(path))} ")
        elif what == "stat":
            os.stat(path)
        else:
            sys.exit(__doc__)
    except OSError as e:
        print(errno.errorcode.get(e.errno, e.errno))
        return
    print("ok")


main()
