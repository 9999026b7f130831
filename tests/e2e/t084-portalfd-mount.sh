#!/bin/sh
# needs: user
# A mount beneath the prefix: what is not a portal is the mount's, portals are the real thing; views; a build.
. "$T_LIB"
. "$TOP/tests/tools/portalfd.sh"
t_need bash python3
[ -w /dev/fuse ] || t_skip "needs a /dev/fuse that users may open"

t_peer GREET greet
t_mount
in_portal() {
	"$PIPESFS" portal -v --prefix "$P" -- "$@"
}

mkdir "$P/accept"
in_portal sh -c "echo through the mount >'$P/accept/all'" &
t_eq "what is no portal is the mount's" "$(in_portal cat "$P/accept/all")" "through the mount"
wait $!
t_has "and listed by it" "$(in_portal ls "$P")" accept
t_eq "a portal is the real thing" "$(in_portal bash -c "exec 3<>'$P/tcp/127.0.0.1/$GREET'; readlink /proc/\$\$/fd/3" | sed 's/:.*//')" socket
ln -s "$P/tcp/127.0.0.1/$GREET" view
ln -s "$P/tcp/127.0.0.1" host
ln -s "$P/accept/all" other
t_eq "through a view too" "$(in_portal cat view)" "hello $GREET"
t_eq "... and a directory that is one" "$(in_portal cat "host/$GREET")" "hello $GREET"
t_eq "relative, from within the mount" "$(cd "$P" && in_portal cat "tcp/127.0.0.1/$GREET")" "hello $GREET"
in_portal sh -c "echo by a view >other" &
t_eq "a view of a pipe is the mount's" "$(in_portal cat other)" "by a view"
wait $!
t_errno ELOOP in_portal cat "$P/fs$P/accept/all"

# A build is what it would have been.
if command -v gcc >/dev/null; then
	# shellcheck disable=SC2016
	compile='cd "$1" && for f in src/base/name.c src/packet/http.c; do gcc -O1 -std=gnu17 -D_GNU_SOURCE -Isrc -c "$f" -o "$2.${f##*/}.o"; done'
	sh -c "$compile" sh "$TOP" "$PWD/without"
	in_portal sh -c "$compile" sh "$TOP" "$PWD/with"
	t_same "a build" without.name.c.o with.name.c.o
	t_same "... of two" without.http.c.o with.http.c.o
	printf '#include <fcntl.h>\n#include <unistd.h>\nint main(int c, char **v) { char b[64]; int fd = open(v[1], O_RDONLY); long n = read(fd, b, 64); return write(1, b, n) != n; }\n' >static.c
	if gcc -static -o static static.c 2>/dev/null; then
		t_eq "a static program" "$(in_portal ./static "$P/tcp/127.0.0.1/$GREET")" "hello $GREET"
	fi
fi
t_wait_for 5 t_no_servers
