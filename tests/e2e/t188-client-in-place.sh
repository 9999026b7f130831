#!/bin/sh
# timeout: 120
# A lossy client that takes records where they lie: they are what was written, and a release says which of them were
# overwritten meanwhile, whether all, some or none, so that delivered and lost are right.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/mount.sh"
t_need cc
[ -e "$T_BUILD/src/libpipesfs.so" ] || t_skip "the library was not built"

cat >inplace.c <<'END'
#include <pipesfs/pipesfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For each line "take N", "oldest" or "release": what came of it. A record that is right is a line with the next number. */
int main(int argc, char **argv)
{
	struct pfs_options options = { .size = sizeof(options), .policy = PFS_POLICY_IN_PLACE };
	static struct pfs_rec recs[200000];
	static char mine[16];
	struct pfs_client *client;
	char line[32];
	int held = 0;

	if (argc != 2 || pfs_open(argv[1], &options, &client) < 0)
		return 1;
	while (puts("ok"), fflush(stdout), fgets(line, sizeof(line), stdin)) {
		int right = 0, n, want;

		if (sscanf(line, "take %d", &want) == 1) {
			while (held < want) { /* of writers that come and go */
				n = pfs_next(client, recs + held, 1);
				if (n == -EAGAIN_ && pfs_wait(client, 10000) <= 0)
					return 2;
				held += n > 0 && recs[held].len > 0;
			}
			printf("held %d\n", held);
		} else if (line[0] == 'o') {
			printf("oldest %d\n", pfs_seek_oldest(client));
			held = 0;
		} else {
			for (int i = 0; i < held; i++) {
				snprintf(mine, sizeof(mine), "%07d\n", i);
				right += recs[i].len == 8 && !memcmp(recs[i].data, mine, 8);
			}
			n = pfs_release(client);
			printf("overwritten %d of %d, lost %d, right %s\n", n, held, (int)pfs_lost(client),
			       right >= held - n ? "at least those that are left" : "fewer");
			held = 0;
		}
	}
	pfs_close(client);
	return 0;
}
END
cc -O1 -DEAGAIN_=11 -I"$TOP/include" inplace.c -o inplace -L"$T_BUILD/src" -lpipesfs -Wl,-rpath,"$T_BUILD/src"

t_mount -o ring=4M
mkdir "$P/accept" "$P/accept/lines"
seq -f '%07g' 0 9999 >numbers

mkfifo in
./inplace "$P/accept/lines/all" <in >out &
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

exec 6>"$P/accept/all" # one writer: no end in between
head -n 1000 numbers >&6
t_eq "they are there" "$(ask take 1000)" "held 1000"
t_eq "nothing has come by" "$(ask release)" "overwritten 0 of 1000, lost 0, right at least those that are left"

t_eq "back to the oldest one" "$(ask oldest)" "oldest 0"
t_eq "they are there once more" "$(ask take 1000)" "held 1000"
t_eq "the same ones, and none is lost" "$(ask release)" "overwritten 0 of 1000, lost 0, right at least those that are left"
t_has "nor counted twice" "$(cat "$P/accept/lines/.readers")" "delivered=1000 lost=0 lag=0 seen=1000"

head -n 3000 numbers >&6
t_eq "as many again" "$(ask take 3000)" "held 3000"
for _ in $(seq 20); do
	cat numbers >&6
done
seen() {
	[ "$(t_stat accept/lines out)" = 204000 ]
}
t_wait_for 20 seen
t_eq "all of them were written over" "$(ask release)" "overwritten 3000 of 3000, lost 3000, right at least those that are left"
t_eq "back to the oldest one that was not" "$(ask oldest)" "oldest 0"
t_has "many are there" "$(ask take 5000)" "held 5000"
exec 5>&- 6>&-
t_done $client
