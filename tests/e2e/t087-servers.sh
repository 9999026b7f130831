#!/bin/sh
# Portals against servers that others wrote (FTP), hosts that do not answer or cannot be reached, and paths that
# tell the mount nothing of where they end.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
t_need_root
t_need python3 curl

t_mount
mkdir ftp
seq 1 200000 >ftp/README.TXT
cp ftp/README.TXT ftp/same.txt
echo other >ftp/other.txt

# --- FTP: the two slashes of its URLs arrive --------------------------------------------------------

# Debian's Python has it, another one that comes first in PATH may not.
for python in python3 /usr/bin/python3 ''; do
	[ -n "$python" ] && "$python" -c 'import pyftpdlib' 2>/dev/null && break
done
if [ -n "$python" ]; then
	"$python" -W ignore -m pyftpdlib -i 127.0.0.1 -p 2121 -d "$PWD/ftp" -w >ftp.log 2>&1 &
	t_cleanup kill $!
	t_wait_for 10 grep -q ':0849 .* 0A ' /proc/net/tcp
	URL=ftp://127.0.0.1:2121
	C="$P/pipe/usr/bin/curl -s $URL"
	cat "$C/README.TXT" >got.txt
	t_same "curl -s ftp://HOST/FILE as a file" got.txt ftp/README.TXT
	t_ok "gather: diff -q of two of them" diff -q "$C/README.TXT" "$C/same.txt"
	t_fails "... that differ" diff -q "$C/README.TXT" "$C/other.txt"
	t_eq "a view of one" "$(ln -s "$C/other.txt" view && cat view)" other
	seq 5 9 | tee "$P/pipe/usr/bin/curl -s -T - $URL/put.txt" >tee.txt
	t_wait_for 10 cmp tee.txt ftp/put.txt
	t_same "scatter: tee into an upload" tee.txt ftp/put.txt
	t_fails "a file that is not there is an error of the read" cat "$C/no.txt"
	t_has "... and told" "$(cat "$P/.errors")" "the command failed with status 78"
	t_has "by descriptor: diff in pipesfs portal" \
		"$("$PIPESFS" portal --prefix "$P" -- sh -c "head -n 1 '$C/README.TXT'; head -n 1 '$C/other.txt'" | tr '\n' ' ')" "1 other"
	t_eq "a source: the listing that a data connection brings" "$(curl -s -l $URL/ | sort | tr '\n' ' ')" \
		"README.TXT other.txt put.txt same.txt "
else
	t_note "no pyftpdlib: tools/setup --tests installs it"
	[ -z "${REQUIRE:-}${CI:-}" ] || t_fail "python3-pyftpdlib is missing"
fi

# --- who does not answer, and who cannot be reached ---------------------------------------------------

# A device that swallows everything, and a host behind it that there is not.
ip link set lo up
ip link add hole type veth peer name ground
ip addr add 10.77.0.1/24 dev hole
ip link set ground up
ip link set hole up
for i in 2 3 4; do
	ip neigh add 10.77.0.$i lladdr 02:00:00:00:00:0$i dev hole nud permanent
done
ip route add unreachable 10.78.0.0/24
ip route add prohibit 10.79.0.0/24
echo 1 >/proc/sys/net/ipv4/tcp_syn_retries
t_errno EHOSTUNREACH cat "$P/tcp/10.78.0.1/80"
t_errno EACCES cat "$P/tcp/10.79.0.1/80"
t_errno ENETUNREACH cat "$P/tcp/203.0.113.1/80"
t_errno ETIMEDOUT timeout 30 cat "$P/tcp/10.77.0.2/80"
t_has ".errors: who did not answer" "$(cat "$P/.errors")" "10.77.0.2"
portal() {
	"$PIPESFS" portal --prefix "$P" -- "$@"
}
t_errno EHOSTUNREACH portal cat "$P/tcp/10.78.0.1/80"
t_errno ETIMEDOUT timeout 30 "$PIPESFS" portal --prefix "$P" -- cat "$P/tcp/10.77.0.2/80"
t_errno EHOSTUNREACH mkdir "$P/tcp:10.78.0.1:80"
t_errno ENETUNREACH mkdir "$P/tcp:203.0.113.1:80"
t_errno ETIMEDOUT timeout 30 mkdir "$P/tcp:10.77.0.2:80"
t_reason "mkdir of who does not answer" "tcp:10.77.0.2:80" "Connection timed out"
mkdir "$P/accept"
t_errno EHOSTUNREACH mkdir "$P/accept/tcp:10.78.0.1:80"
t_errno ETIMEDOUT timeout 30 mkdir "$P/accept/tcp:10.77.0.2:80"

# With the kernel's patience mkdir has its own: the parent directory is held meanwhile.
echo 6 >/proc/sys/net/ipv4/tcp_syn_retries
now() {
	cut -d. -f1 /proc/uptime
}
begin=$(now)
t_errno ETIMEDOUT timeout 30 mkdir "$P/tcp:10.77.0.3:80"
t_ok "in $(($(now) - begin)) s" test $(($(now) - begin)) -le "$(t_seconds 8)"
t_reason "cut off by us" "tcp:10.77.0.3:80" "not ready in time"
t_ends 5 ls "$P"
t_eq "nothing of it is left" "$(find "$P" -maxdepth 1 -name 'tcp:*')" ""

# A signal to the caller ends it.
timeout 1 cat "$P/tcp/10.77.0.4/80" && t_fail "it cannot be there"
echo "ok: a signal ends the wait for a host"

# --- at another place: the kernel asks again ------------------------------------------------------------

# A bind mount of the root is the mount itself. One of a part of it tells nothing of how the path goes on: what is
# opened is taken for a directory, and then looked up once more as a file (ESTALE).
mkdir whole part
mount --bind "$P" whole
t_cleanup umount -l "$PWD/whole"
mount --bind "$P/pipe" part
t_cleanup umount -l "$PWD/part"
t_ends 4 cat "whole/pipe/bin/echo a/b" >got
t_eq "elsewhere: a command with slashes in its arguments" "$(cat got)" a/b
t_eq "... a file" "$(cat "whole/fs$PWD/ftp/other.txt")" other
printf written >"whole/pipe/bin/dd of=$PWD/written status=none"
t_wait_for 5 grep -qx written written
echo "ok: ... written to"
t_eq "... from within" "$(cd whole/pipe/bin && cat "echo a/c")" a/c
ln -s "$PWD/whole/pipe/bin/echo linked/view" view2
t_eq "... through a symbolic link" "$(cat view2)" linked/view
t_ends 4 cat "part/bin/echo d/e" >got
t_eq "a part elsewhere" "$(cat got)" d/e
t_eq "... from within" "$(cd part/bin && cat "echo a/d")" a/d
ln -s "$PWD/part/bin/echo flipped/view" flip
t_eq "... through a symbolic link, and twice" "$(cat flip flip | tr '\n' ' ')" "flipped/view flipped/view "
