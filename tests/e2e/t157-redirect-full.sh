#!/bin/sh
# The filesystem below fills up: who writes to a redirected tree is told when he would be told there, by passthrough, through
# the process and through a filter that changes data; what was taken is there, and nothing else is.
. "$T_LIB"
t_need_root
t_need python3

filters=$T_BUILD/src
mkdir plain tree

# What a writer is told, and what is there afterwards: nothing that was refused, all that was taken.
cat >full.py <<'END'
import errno, os, resource, signal, sys, time
d, say = sys.argv[1], print
sequence = bytes(i * 7 % 251 for i in range(251 * 20))

def name(e):
    return errno.errorcode[e.errno]

def tried(what, f):
    try:
        say(what, f())
    except OSError as e:
        say(what, name(e))

def pattern(n, at):
    return (sequence[at % 251:] + sequence * (n // len(sequence) + 1))[:n]

def fill(path, block):
    """Writes until it is told not to: how much was taken, which is read again, from what is kept above and without it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    at, why = 0, "no end"
    try:
        while at < 64 << 20:
            at += os.write(fd, pattern(block, at))
    except OSError as e:
        why = name(e)
    tried("fsync", lambda: os.fsync(fd))
    assert os.fstat(fd).st_size == at, (os.fstat(fd).st_size, at)
    for _ in range(2):
        for pos in range(0, at, 1 << 20):
            n = min(1 << 20, at - pos)
            assert os.pread(fd, 1 << 20, pos) == pattern(n, pos), pos
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    assert os.stat(path).st_size == at
    return why, at

def removed(path):
    """That a file has no more readers is a message, so its room comes back a moment later than below."""
    os.unlink(path)
    until = time.monotonic() + 10
    while os.statvfs(d).f_bfree != room:
        assert time.monotonic() < until, "its room does not come back"

room = os.statvfs(d).f_bfree
for block in (1 << 20, 65536, 5000):
    say("write", block, *fill(f"{d}/a", block))
    fd = os.open(f"{d}/a", os.O_RDWR)
    size = os.fstat(fd).st_size
    tried("what is there can be written over", lambda: os.pwrite(fd, b"over", 100))
    tried("... and read", lambda: os.pread(fd, 4, 100))
    tried("nothing can be added", lambda: os.pwrite(fd, bytes(1 << 20), (size | 4095) + 1))
    tried("nor allocated", lambda: os.posix_fallocate(fd, size, 1 << 20))
    say("size", os.fstat(fd).st_size == size)
    os.close(fd)
    removed(f"{d}/a")

# Room comes back.
fill(f"{d}/b", 65536)
fd = os.open(f"{d}/b", os.O_RDWR)
os.ftruncate(fd, 1000)
tried("after truncate there is room", lambda: os.pwrite(fd, b"x" * 100000, 1000))
os.close(fd)
removed(f"{d}/b")

# Names need room, too.
n = 0
try:
    while n < 1000:
        os.close(os.open(f"{d}/n{n}", os.O_CREAT | os.O_WRONLY))
        n += 1
except OSError as e:
    say("names", n, name(e))
tried("mkdir", lambda: os.mkdir(f"{d}/more"))
tried("symlink", lambda: os.symlink("x", f"{d}/more"))
tried("mkfifo", lambda: os.mkfifo(f"{d}/more"))
say("there", sorted(os.listdir(d)) == sorted(f"n{i}" for i in range(n)))
for i in range(n):
    removed(f"{d}/n{i}")

# A limit of the process.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))
say("limit", *fill(f"{d}/c", 65536))
os.unlink(f"{d}/c")
END

small() { # DIR
	mount -t tmpfs -o size=4m,nr_inodes=40 small "$1"
	t_cleanup sh -c "umount -l $TMPDIR/$1 2>/dev/null; :"
}

redirected() { # DIR OPTION...
	t_dir=$1
	shift
	"$PIPESFS" redirect "$@" "$t_dir"
	t_cleanup sh -c "umount -l $TMPDIR/$t_dir 2>/dev/null; :"
}

small plain
python3 full.py plain >want || t_fail "natively: $(cat want)"
t_has "there is something to compare" "$(cat want)" "ENOSPC"

as_below() { # WHAT OPTION...
	t_what=$1
	shift
	small tree
	redirected tree "$@"
	python3 full.py tree >got || t_fail "$t_what: $(cat got)"
	t_ok "$t_what: all is as below" diff want got
	umount tree
	umount tree
}

as_below "by passthrough"
as_below "through the process" --no-passthrough
as_below "through a filter that changes data" --load "$filters/scrambleflt.so,$TMPDIR/tree"

# What is written through a mapping and has no place is told to who asks (msync, fsync), not lost silently.
cat >mapped.py <<'END'
import errno, mmap, os, sys
d = sys.argv[1]
with open(d + "/fill", "wb", buffering=0) as f:
    try:
        while True:
            f.write(bytes(65536))
    except OSError:
        pass
with open(d + "/hole", "w+b") as f:
    os.ftruncate(f.fileno(), 1 << 20)
    m = mmap.mmap(f.fileno(), 1 << 20)
    m[:] = b"y" * (1 << 20)
    try:
        m.flush()
        os.fsync(f.fileno())
        print("taken")
    except OSError as e:
        print(errno.errorcode[e.errno])
END
small tree
redirected tree --load "$filters/scrambleflt.so,$TMPDIR/tree"
t_eq "a mapping without room" "$(python3 mapped.py tree)" ENOSPC

# Blocks that are root's stay root's.
if command -v mkfs.ext4 >/dev/null; then
	truncate -s 8M image
	mkfs.ext4 -q -O ^has_journal -m 40 image
	t_as_user mkdir "$U/disk"
	mount -o loop image "$U/disk"
	t_cleanup umount -l "$U/disk"
	chmod 777 "$U/disk"
	cat >"$U/his.py" <<-'END'
		import os, sys
		fd = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
		n = 0
		try:
		    while True:
		        n += os.write(fd, bytes(4096))
		except OSError as e:
		    print(n, e.errno)
	END
	fills() {
		"$@" python3 "$U/his.py" "$U/disk/file"
		rm "$U/disk/file"
	}
	want=$(fills t_as_user)
	t_ok "root has more blocks than others" test "$(fills env | cut -d ' ' -f 1)" -gt "${want% *}"
	for how in '' --no-passthrough; do
		# shellcheck disable=SC2086 # no word, or one
		"$PIPESFS" redirect $how "$U/disk"
		t_cleanup sh -c "umount -l $U/disk"
		t_eq "an ordinary user gets none of root's (${how:-by passthrough})" "$(fills t_as_user)" "$want"
		umount "$U/disk"
	done
fi
