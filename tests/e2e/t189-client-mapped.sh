#!/bin/sh
# timeout: 120
# A client of the directory that processes write into maps the ring they write into: there is no other one. It stays while
# a client has it, whoever writes; of what was there before, in a ring that is gone, a client is given nothing.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/mount.sh"
t_need cc
[ -e "$T_BUILD/src/libpipesfs.so" ] || t_skip "the library was not built"

cat >back.c <<'END_C'
#include <pipesfs/pipesfs.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* For each line "take N" or "oldest": how many lines of eight bytes came, and what the first and the last one are. */
int main(int argc, char **argv)
{
	struct pfs_options options = { .size = sizeof(options), .policy = PFS_POLICY_IN_PLACE };
	struct pfs_client *client;
	struct pfs_rec recs[64];
	char line[32];

	if (argc != 2 || pfs_open(argv[1], &options, &client) < 0)
		return 1;
	while (puts("ok"), fflush(stdout), fgets(line, sizeof(line), stdin)) {
		int got = 0, want = 0, n = 0;
		char first[8] = "none...", last[8] = "none...";

		if (line[0] == 'o')
			pfs_seek_oldest(client);
		else
			sscanf(line, "take %d", &want);
		while (n != -EAGAIN || got < want) {
			n = pfs_next(client, recs, 64);
			if (n == -EAGAIN && got < want && pfs_wait(client, 10000) <= 0)
				return 2;
			for (int i = 0; i < n; i++) {
				got += (int)recs[i].len / 8;
				if (recs[i].len < 8)
					continue;
				if (first[0] == 'n')
					memcpy(first, recs[i].data, 7);
				memcpy(last, recs[i].data + recs[i].len - 8, 7);
			}
			pfs_release(client);
		}
		printf("%d lines, %s to %s\n", got, first, last);
	}
	pfs_close(client);
	return 0;
}
END_C
cc -O1 -I"$TOP/include" back.c -o back -L"$T_BUILD/src" -lpipesfs -Wl,-rpath,"$T_BUILD/src"

t_mount -o ring=4M
mkdir "$P/accept"
seq -f '%07g' 0 999 >first
seq -f '%07g' 5000 5999 >second

rings() {
	for t_pid in $(t_daemons); do
		readlink "/proc/$t_pid/fd"/* 2>/dev/null
	done | grep -c 'memfd:pipesfs-ring'
}
rings_are() {
	[ "$(rings)" = "$1" ]
}

# Something to go by: refs into a ring that is gone, in a queue that stays because somebody has it open.
exec 8<"$P/accept/all,policy=lossy"
cat first >"$P/accept/all"
cat <&8 >told
t_same "it was there" told first
: >"$P/accept/all"
cat <&8
t_wait_for 20 rings_are 0

mkfifo in
./back "$P/accept/all" <in >out &
client=$!
exec 5>in
answers() {
	[ "$(wc -l <out)" -ge "$1" ]
}
ask() {
	t_lines=$(wc -l <out)
	echo "$*" >&5
	t_wait_for 20 answers $((t_lines + 2))
	sed -n "$((t_lines + 1))p" out
}
t_wait_for 20 answers 1
t_eq "nothing of what was before" "$(ask oldest)" "0 lines, none... to none..."

cat second >"$P/accept/all"
t_eq "what is written" "$(ask take 1000)" "1000 lines, 0005000 to 0005999"
t_eq "one ring" "$(rings)" 1
cat first >"$P/accept/all"
t_eq "of another writer, too" "$(ask take 1000)" "1000 lines, 0000000 to 0000999"
t_eq "both are there still" "$(ask oldest)" "2000 lines, 0005000 to 0000999"
t_eq "and in one ring" "$(rings)" 1
exec 5>&-
t_done $client
exec 8<&-
: >"$P/accept/all"
t_wait_for 20 rings_are 0
