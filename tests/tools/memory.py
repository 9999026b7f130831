"""memory - KiB that processes hold together: memory.py [-v] PID...

Proportional set size of all mappings, so that what is mapped twice or in two processes counts once, and the pages of
shared memory files beyond what is mapped.
"""
import os
import sys


def smaps(pid):
    """(PSS in KiB, {memfd inode: KiB of PSS})"""
    total, by_inode, inode = 0, {}, None
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        for line in f:
            fields = line.split()
            if not fields[0].endswith(":"):
                inode = fields[4] if "/memfd:" in line else None
            elif fields[0] == "Pss:":
                total += int(fields[1])
                if inode:
                    by_inode[inode] = by_inode.get(inode, 0) + int(fields[1])
    return total, by_inode


def memfds(pid):
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{fd}").startswith("/memfd:"):
                st = os.stat(f"/proc/{pid}/fd/{fd}")
                found[str(st.st_ino)] = st.st_blocks // 2
        except OSError:
            pass
    return found


def main():
    pids = [a for a in sys.argv[1:] if a != "-v"]
    pss, mapped, files = 0, {}, {}
    for pid in pids:
        n, by_inode = smaps(pid)
        pss += n
        for inode, kib in by_inode.items():
            mapped[inode] = mapped.get(inode, 0) + kib
        files.update(memfds(pid))
    rest = sum(max(0, kib - mapped.get(inode, 0)) for inode, kib in files.items())
    if "-v" in sys.argv:
        print(f"PSS {pss} memfd {sum(files.values())} unmapped {rest}", file=sys.stderr)
    print(pss + rest)


main()
