#!/bin/sh
# Who writes to a file takes its set-id bits away, unless he may keep them: in a redirected tree as below, also when the
# file was open for writing before it got them, by passthrough, and when others have it open who have other rights.
. "$T_LIB"
t_need_root
t_need python3

mkdir plain tree
chmod 777 plain tree
t_cleanup umount -l tree

cat >bits.py <<'END'
import os, sys

def as_user(f):
    """f() by an ordinary user, in a process of its own."""
    if os.fork() == 0:
        os.setgroups([]), os.setgid(65534), os.setuid(65534)
        f()
        os._exit(0)
    assert os.wait()[1] == 0

def mode(path):
    return oct(os.stat(path).st_mode & 0o7777)

def wrote(path, fd):
    """The bits after a write to that descriptor by who is asked."""
    os.chmod(path, 0o6777)
    before = mode(path)
    os.write(fd, b"x")
    return before + " " + mode(path)

def case(d, name, first, then):
    path = f"{d}/{name}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    os.chown(path, 65534, 65534)
    os.chmod(path, 0o6777)
    held = os.open(path, first) if first is not None else -1
    out = []
    def root():
        fd = os.open(path, os.O_WRONLY)
        out.append("root " + wrote(path, fd))
        os.close(fd)
    def user():
        fd = os.open(path, os.O_WRONLY)
        print(name, "user", wrote(path, fd), flush=True)
        os.close(fd)
    if then == "user":
        as_user(user)
    else:
        root()
        print(name, *out, flush=True)
    if held >= 0:
        if first != os.O_RDONLY:
            print(name, "held", wrote(path, held), flush=True)
        os.close(held)

d = sys.argv[1]
case(d, "alone", None, "user")
case(d, "alone-root", None, "root")
case(d, "root-reads", os.O_RDONLY, "user")
case(d, "root-writes", os.O_WRONLY, "user")
case(d, "root-twice", os.O_RDWR, "root")
END

# The user has it open, root comes later.
cat >later.py <<'END'
import os, sys
path = sys.argv[1] + "/later"
os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
os.chown(path, 65534, 65534)
os.chmod(path, 0o777)
go, done = os.pipe(), os.pipe()
if os.fork() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
    fd = os.open(path, os.O_RDWR)
    os.write(done[1], b"x")
    os.read(go[0], 1)
    os.write(fd, b"user")
    os._exit(0)
os.read(done[0], 1)
fd = os.open(path, os.O_WRONLY)
os.chmod(path, 0o6777)
os.write(fd, b"root")
print("root keeps", oct(os.stat(path).st_mode & 0o7777))
os.write(go[1], b"x")
assert os.wait()[1] == 0
print("the user does not", oct(os.stat(path).st_mode & 0o7777))
END

is_below() { # WHAT
	python3 bits.py plain >want
	python3 later.py plain >>want
	python3 bits.py tree >got
	python3 later.py tree >>got
	diff want got || :
	t_same "$1" got want
	rm plain/* tree/*
}

"$PIPESFS" redirect tree
t_has "there is something to compare" "$(python3 bits.py plain)" "alone user 0o6777 0o777"
rm plain/*
is_below "by passthrough as below"
umount tree
"$PIPESFS" redirect --no-passthrough tree
is_below "through the process as below"
umount tree
