#!/bin/sh
# needs: user
# Where it cannot work it says why, and nothing is started.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need python3

# forbid NUMBER ERRNO CMD...: under a seccomp filter that refuses one system call, as containers have them.
cat >forbid.py <<'END'
import ctypes, os, struct, sys
number, error = int(sys.argv[1]), int(sys.argv[2])
libc = ctypes.CDLL(None)
code = b"".join(struct.pack("HBBI", *i) for i in [(0x20, 0, 0, 0), (0x15, 0, 1, number), (6, 0, 0, 0x50000 | error), (6, 0, 0, 0x7fff0000)])
text = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 4, ctypes.addressof(text)))
libc.prctl(38, 1, 0, 0, 0)
assert libc.prctl(22, 2, program, 0, 0) == 0
os.execvp(sys.argv[3], sys.argv[3:])
END
said() {
	t_status 125 "$1" python3 forbid.py "$2" "$3" "$PIPESFS" portal touch started
	t_has "... and says so" "$(cat "$TMPDIR/.out")" "$4"
	[ ! -e started ] || t_fail "the command was started all the same"
}
if [ "$(uname -m)" = x86_64 ]; then
	said "a container that forbids seccomp" 317 1 "forbidden here"
	said "a kernel without it" 317 38 "no seccomp notification"
	said "memory that may not be read" 310 1 "cannot be read"
	# What containers have besides does no harm.
	t_eq "within another filter" "$(python3 forbid.py 425 1 "$PIPESFS" portal cat /p/pipe/bin/echo)" ""
fi

t_status 125 "a prefix that is relative" "$PIPESFS" portal --prefix p true
t_has "... and says so" "$(cat "$TMPDIR/.out")" "begins with a slash"
printf 'tcp/ nosuchprovider tcp/\n' >rules
t_status 125 "rules that are wrong" "$PIPESFS" portal --config rules true
t_has "... with the line" "$(cat "$TMPDIR/.out")" "rules:1"

if [ "$(id -u)" = 0 ]; then
	t_status 125 "a /proc of other processes" unshare --pid --fork "$PIPESFS" portal true
	t_has "... and says so" "$(cat "$TMPDIR/.out")" "another pid namespace"
	t_eq "a pid namespace with its own" "$(unshare --pid --fork --mount-proc "$PIPESFS" portal cat /p/pipe/bin/echo)" ""
fi
if unshare -Ur true 2>/dev/null; then
	t_eq "in a user namespace" "$(t_as_user unshare -Ur "$PIPESFS" portal cat /p/fs/etc/hostname)" "$(cat /etc/hostname)"
fi

# Many at a time, one after the other, start to end: nothing piles up.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	"$PIPESFS" portal sh -c 'cat /p/pipe/bin/echo >/dev/null' &
done
wait
t_wait_for 5 t_no_servers
echo "ok: ten at a time"
