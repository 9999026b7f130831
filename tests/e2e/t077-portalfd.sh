#!/bin/sh
# needs: user
# `pipesfs portal`: opens get the socket, the pipe, the file itself; no mount anywhere.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need bash python3

t_peer GREET greet
t_peer ECHO echo
t_peer HALF half

# --- sockets -------------------------------------------------------------------------------------

t_eq "cat reads a connection" "$(portal cat "/p/tcp/127.0.0.1/$GREET")" "hello $GREET"
t_eq "by name" "$(portal cat "/p/tcp/localhost/$GREET")" "hello $GREET"
t_eq "head, and a shell's <" "$(portal sh -c "head -n 1 </p/tcp/127.0.0.1/$GREET")" "hello $GREET"
t_eq "exec 3<> in bash, both ways" \
	"$(portal bash -c "exec 3<>/p/tcp/127.0.0.1/$ECHO; echo there and back >&3; head -n 1 <&3")" "there and back"
t_eq "a child inherits it" \
	"$(portal bash -c "exec 3<>/p/tcp/127.0.0.1/$ECHO; echo down >&3; sh -c 'head -n 1 <&3'")" down
t_has "it is a socket" "$(portal bash -c "exec 3<>/p/tcp/127.0.0.1/$ECHO; readlink /proc/\$\$/fd/3")" "socket:["
out=$(portal python3 - "$ECHO" "$HALF" <<'END'
import os, socket, sys
echo, half = map(int, sys.argv[1:])
s = socket.socket(fileno=os.open(f"/p/tcp/127.0.0.1/{echo}", os.O_RDWR | os.O_CLOEXEC))
assert s.getpeername() == ("127.0.0.1", echo), s.getpeername()
assert s.family == socket.AF_INET and s.type == socket.SOCK_STREAM
assert not s.get_inheritable() and s.getblocking()
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.sendall(b"x" * 100000)
n = 0
while n < 100000:
    n += len(s.recv(65536))
s = socket.socket(fileno=os.open(f"/p/tcp/127.0.0.1/{half}", os.O_RDWR))
s.sendall(b"y" * 12345)
s.shutdown(socket.SHUT_WR)
print(s.makefile().readline().strip())
fd = os.open(f"/p/tcp/127.0.0.1/{echo}", os.O_RDWR | os.O_NONBLOCK)
assert not os.get_blocking(fd)
END
) || t_fail "python: $out"
t_eq "getpeername, setsockopt, shutdown, O_CLOEXEC, O_NONBLOCK" "$out" "12345 bytes"
t_errno ECONNREFUSED portal cat /p/tcp/127.0.0.1/1
t_has "... and -v says why" "$(cat "$TMPDIR/.out")" "pipesfs: /p/tcp/127.0.0.1/1: "
t_errno ENOENT portal cat "/p/tcp/no such host/1"
t_errno ENOENT portal cat /p/tcp/127.0.0.1
t_errno ENOENT portal cat /p/nothing/127.0.0.1/1
t_errno EINVAL portal cat "/p/tcp/127.0.0.1/$ECHO/sub"

# Who listens gets who comes.
rm -f out
portal bash -c "exec 3<>/p/tcplisten/127.0.0.1/0 && cat -u <&3 >&3" 2>/dev/null &
server=$!
port() {
	ss -ltnpH 2>/dev/null | sed -n 's/.*127\.0\.0\.1:\([0-9]*\) .*pipesfs-opener.*/\1/p' | grep .
}
if command -v ss >/dev/null && t_wait_for 10 port; then
	portal bash -c "exec 3<>/p/tcp/127.0.0.1/$(port); echo over two portals >&3; head -n 1 <&3" >out
	t_eq "an echo server of two words" "$(cat out)" "over two portals"
fi
t_ends 10 sh -c "while kill -0 $server 2>/dev/null; do sleep 0.05; done"
t_wait_for 5 t_no_servers

# --- files -----------------------------------------------------------------------------------------

echo content >file
t_eq "a file" "$(portal cat "/p/fs$PWD/file")" content
t_eq "is the file itself" "$(portal python3 -c "import os; print(os.fstat(os.open('/p/fs$PWD/file', os.O_RDONLY)).st_ino)")" \
	"$(stat -c %i file)"
portal sh -c "echo more >>'/p/fs$PWD/file'; echo new >'/p/fs$PWD/new'"
t_eq "appended to" "$(cat file)" "content
more"
t_eq "made" "$(cat new)" new
portal sh -c "umask 077; : >'/p/fs$PWD/private'"
t_eq "with the caller's umask" "$(stat -c %a private)" 600
portal python3 -c "import os; os.open('/p/fs$PWD/mode', os.O_CREAT | os.O_WRONLY, 0o640)"
t_eq "... and mode" "$(stat -c %a mode)" 640
portal sh -c ": >'/p/fs$PWD/file'"
t_eq "truncated" "$(wc -c <file)" 0
t_errno ENOENT portal cat "/p/fs$PWD/none"
t_errno EISDIR portal cat /p/fs/etc

# --- commands ---------------------------------------------------------------------------------------

t_eq "a command's output" "$(portal cat '/p/pipe/bin/echo one two  three')" "one two three"
t_has "is a pipe" "$(portal bash -c 'exec 3<"/p/pipe/bin/echo x"; readlink /proc/$$/fd/3')" "pipe:["
portal sh -c "echo written >'/p/pipe/usr/bin/tee $PWD/tee.out'" >/dev/null
t_eq "what was written has arrived when it returns" "$(cat tee.out)" written
head -c 3000000 /dev/urandom >big
portal sh -c "tee '/p/pipe/usr/bin/tee $PWD/big.1' '/p/pipe/usr/bin/tee $PWD/big.2' <big >big.3"
t_same "scattered" big big.1
t_same "... to all" big big.2
t_same "... and stdout" big big.3
t_errno EINVAL portal bash -c 'exec 3<>"/p/pipe/bin/cat"'
t_errno ENOENT portal cat /p/pipe/bin/no-such-command
t_has "a command that was written to and failed is told" "$(portal sh -c 'echo x >/p/pipe/bin/false' 2>&1)" "status 1"
t_has "stderr of a command, with -v" "$(portal cat '/p/pipe/bin/ls /no/such/place' 2>&1)" "/no/such/place"
t_ends 5 "$PIPESFS" portal sh -c 'exec 3<"/p/pipe/bin/sleep 1000"'
t_wait_for 5 t_no_servers

# --- how it is run -----------------------------------------------------------------------------------

t_status 7 "the status is the command's" portal sh -c 'exit 7'
t_status 127 "a command that is not there" portal no-such-command
t_has "... is named" "$(cat "$TMPDIR/.out")" "cannot run 'no-such-command'"
t_status 126 "one that cannot be run" portal "$PWD/file"
t_status 125 "no command" "$PIPESFS" portal
t_status 125 "no such option" "$PIPESFS" portal --no-such-option true
t_status 125 "a prefix that is none" "$PIPESFS" portal --prefix / true
t_status 125 "no such file of rules" "$PIPESFS" portal --config "$PWD/none" true
t_status 137 "a signal ends it" sh -c "'$PIPESFS' portal sh -c 'kill -9 \$\$'; exit \$?"
t_eq "another prefix" "$("$PIPESFS" portal --prefix "$PWD/q" cat "$PWD/q/tcp/127.0.0.1/$GREET")" "hello $GREET"
t_errno ENOENT "$PIPESFS" portal --prefix "$PWD/q" cat "/p/tcp/127.0.0.1/$GREET"
printf 'up/\trfilter\tup/ tr a-z A-Z <%%p\nnet/\ttcp\tnet/\nraw/\tfile\traw/\n' >rules
t_eq "rules of a file" "$("$PIPESFS" portal --config rules cat "/p/net/127.0.0.1/$GREET")" "hello $GREET"
t_errno ENOENT "$PIPESFS" portal --config rules cat "/p/tcp/127.0.0.1/$GREET"
t_eq "stdin, stdout" "$(echo through | "$PIPESFS" portal cat)" through
# shellcheck disable=SC2016
t_eq "descriptors" "$(portal sh -c 'cat <&5' 5<<END
inherited
END
)" inherited
list='import os; print(sorted(os.listdir("/proc/self/fd")))'
t_eq "nothing of ours is open in the command" "$(portal python3 -c "$list" </dev/null)" "$(python3 -c "$list" </dev/null)"
t_eq "closed stays closed" "$(portal sh -c '[ -e /proc/self/fd/0 ] && readlink /proc/self/fd/0 || echo closed' <&- | cat)" closed
# shellcheck disable=SC2016
t_has "within another: a sentence" "$(portal sh -c '"$1" portal true 2>&1' - "$PIPESFS" || true)" "one for each process"
t_wait_for 5 t_no_servers
