#!/bin/sh
# needs: user
# Nothing is gained: who has given something up gets nothing, and what a user may not open he may not open by portal.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need python3 setpriv
[ "$(uname -m)" = x86_64 ] || t_skip "the numbers of system calls are those of x86-64"

t_peer GREET greet
file=/p/fs/etc/passwd
net=/p/tcp/127.0.0.1/$GREET

who() {
	portal "$TOP/tests/tools/opens.py" who "$@" 2>said || true
}

t_eq "as he is" "$(who nothing $file)" opened
t_eq "... and sockets" "$(who nothing "$net")" opened

# A user's own: his rights and no more.
t_eq "a user opens what he may" "$(t_as_user "$PIPESFS" portal cat /p/fs/etc/hostname)" "$(cat /etc/hostname)"
if [ "$(id -u)" = 0 ]; then
	umask 077
	echo secret >secret
	umask 022
	chmod 755 "$TMPDIR"
	t_errno EACCES t_as_user "$PIPESFS" portal cat "/p/fs$PWD/secret"
	t_eq "a user's command is the user's" "$(t_as_user "$PIPESFS" portal cat /p/pipe/usr/bin/id)" "$(t_as_user id)"
	t_eq "a user's command has no privileges to gain" \
		"$(t_as_user "$PIPESFS" portal sed -n 's/^NoNewPrivs:.//p' '/p/pipe/bin/cat /proc/self/status')" 1
	t_errno EACCES t_as_user "$PIPESFS" portal sh -c ': </p/tcplisten/127.0.0.1/80'
fi

for case in no_new_privs seccomp landlock landlock-child; do
	# Without root no_new_privs is everybody's.
	if [ $case = no_new_privs ] && [ "$(id -u)" != 0 ]; then
		continue
	fi
	t_eq "$case: no file" "$(who $case $file)" EPERM
	t_has "... and -v says why" "$(cat said)" "the caller"
	t_eq "$case: no socket" "$(who $case "$net")" EPERM
	t_eq "$case: no command" "$(who $case /p/pipe/bin/id)" EPERM
	t_eq "$case: all else goes on" "$(who $case /etc/passwd)" opened
done
t_eq "another process may confine itself" "$(who landlock-sibling $file)" opened

if [ "$(id -u)" = 0 ]; then
	for case in user group capability net user-ns; do
		t_eq "$case: no file" "$(who $case $file)" EPERM
		t_has "... and -v says why" "$(cat said)" "the caller"
		t_eq "$case: no socket" "$(who $case "$net")" EPERM
	done
	t_eq "uts: no command" "$(who uts /p/pipe/bin/id)" EPERM
	t_eq "... but sockets have no host name" "$(who uts "$net")" opened
	# There /p is nothing of ours.
	mkdir -p jail/p/fs/etc
	echo jailed >jail/p/fs/etc/passwd
	export JAIL="$PWD/jail"
	t_eq "another root: the kernel's affair" "$(who chroot $file)" opened
	t_eq "... which finds what is there" "$(who chroot /p/fs/etc/shadow)" ENOENT
	t_eq "another mount namespace likewise" "$(who mnt $file)" ENOENT
	# A set-user-ID program: without no_new_privs, as root has it, it gains nothing over root; users gain nothing at all.
	cp "$(command -v id)" suid
	chmod 4755 suid
	t_eq "set-user-ID programs gain nothing" "$(t_as_user "$PIPESFS" portal ./suid -u)" "$(t_as_user id -u)"
fi
t_wait_for 5 t_no_servers
