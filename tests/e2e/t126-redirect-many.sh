#!/bin/sh
# A tree of many files, looked at by several at once: each file is one inode, the number that it has below; no descriptor is
# held for a file, and little memory. PFS_FILES: how many (20000).
# timeout: 1200
. "$T_LIB"
t_need_root
t_need python3

files=${PFS_FILES:-20000}
mkdir disk
mount -t tmpfs -o nr_inodes=0 disk disk
t_cleanup umount -l disk
mkdir disk/tree disk/below
mount --bind disk/tree disk/below
t_cleanup umount -l disk/below

python3 - disk/tree "$files" <<'END'
import os, sys
top, n = sys.argv[1], int(sys.argv[2])
for i in range(0, n, 500):
    d = f"{top}/{i // 500 % 7}/{i // 500}"
    os.makedirs(d)
    for j in range(min(500, n - i)):
        if j % 100 == 99:
            os.link(f"{d}/{j - 1}", f"{d}/{j}")
        else:
            os.close(os.open(f"{d}/{j}", os.O_CREAT | os.O_WRONLY))
END
"$PIPESFS" redirect disk/tree
t_cleanup umount -l disk/tree
server=$(pgrep -x pipesfs-redir)
kib() {
	awk '/^VmRSS/ { print $2 }' "/proc/$server/status"
}
before=$(kib)
room=$(awk '/^FDSize/ { print $2 }' "/proc/$server/status")

# Names and numbers, as one of several sees them.
look() { # DIR OUT
	(cd "$1" && find . -printf '%p %i %n %y\n' | sort | cksum) >"$2"
}
for t_i in 1 2 3 4; do
	look disk/tree "look.$t_i" &
	t_running="${t_running-} $!"
done
for t_i in $t_running; do
	wait "$t_i"
done
look disk/below look.below
for t_i in 1 2 3 4; do
	t_same "each sees what is below" look.below look.$t_i
done

fds=$(find "/proc/$server/fd" -type l | wc -l)
t_note "$files files: $fds descriptors, $((($(kib) - before) * 1024 / files)) bytes each"
t_ok "no descriptor for each file" test "$fds" -lt 1200
t_eq "nobody has waited for room for descriptors" "$(awk '/^FDSize/ { print $2 }' "/proc/$server/status")" "$room"
t_sanitized || t_ok "and less than 1 KiB of memory" test $((($(kib) - before) * 1024 / files)) -lt 1024

# Names that come and go while others look them up: nobody sees another file than the one that is there.
python3 - disk/tree/0 <<'END'
import os, sys, threading
top, wrong, over = sys.argv[1] + "/", [], threading.Event()
def make(me):
    for i in range(400):
        name = f"{top}x{i % 5}"
        tmp = f"{top}tmp{me}"
        with open(tmp, "w") as f:
            f.write(tmp)
        os.rename(tmp, name)
        try:
            os.unlink(name)
        except FileNotFoundError:
            pass
def look():
    while not over.is_set():
        for i in range(5):
            try:
                fd = os.open(f"{top}x{i}", os.O_RDONLY)
            except FileNotFoundError:
                continue
            # Open, so it keeps its number and its text, named or not.
            a, text, b = os.fstat(fd), os.read(fd, 999).decode(), os.fstat(fd)
            if a.st_ino != b.st_ino or not text.startswith(top + "tmp"):
                wrong.append((a.st_ino, b.st_ino, text))
            os.close(fd)
makers = [threading.Thread(target=make, args=(n,)) for n in range(3)]
lookers = [threading.Thread(target=look) for n in range(3)]
for t in makers + lookers: t.start()
for t in makers: t.join()
over.set()
for t in lookers: t.join()
assert not wrong, wrong[:3]
END
echo "ok: files that come and go are themselves"

# What the kernel forgets goes.
forgotten() {
	echo 2 >/proc/sys/vm/drop_caches
	find "/proc/$server/fd" -type l | wc -l >fds
	[ "$(cat fds)" -lt 40 ]
}
look disk/tree look.again
t_same "again" look.below look.again
t_wait_for 10 forgotten
echo "ok: descriptors of directories go with them"
