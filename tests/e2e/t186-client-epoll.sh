#!/bin/sh
# timeout: 120
# One epoll loop serves several clients, level- and edge-triggered: each gets what `cat` gets, of records and of views, also after
# one of them has ended. A lossy client that was too slow: what it got and what it says it lost are all there was, as in the books.
. "$T_LIB"
. "$TOP/tests/tools/streams.sh"
. "$TOP/tests/tools/mount.sh"
t_need cc
[ -e "$T_BUILD/src/libpipesfs.so" ] || t_skip "the library was not built"

cat >loop.c <<'END'
#include <errno.h>
#include <pipesfs/pipesfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

/* Takes what there is; 0: it has ended. */
static int drain(struct pfs_client *client, FILE *out)
{
	struct pfs_rec recs[32];
	int n;

	while ((n = pfs_next(client, recs, 32)) > 0) {
		for (int i = 0; i < n; i++)
			fwrite(recs[i].data, 1, recs[i].len, out);
		pfs_release(client);
		fflush(out);
	}
	return n;
}

/* loop level|edge PATH...: the client of the Nth path writes into client.N */
int main(int argc, char **argv)
{
	struct pfs_client *clients[8];
	FILE *outs[8];
	int epoll_fd = epoll_create1(0), left = argc - 2;
	unsigned how = EPOLLIN | (strcmp(argv[1], "edge") ? 0 : EPOLLET);

	for (int i = 0; i < argc - 2; i++) {
		struct epoll_event event = { .events = how, .data.u32 = (unsigned)i };
		char name[16];

		snprintf(name, sizeof(name), "client.%d", i);
		outs[i] = fopen(name, "w");
		if (pfs_open(argv[i + 2], NULL, &clients[i]) < 0 || !outs[i])
			return 1;
		if (drain(clients[i], outs[i]) != -EAGAIN || /* from now on its descriptor tells */
		    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pfs_fd(clients[i]), &event) < 0)
			return 2;
	}
	while (left > 0) {
		struct epoll_event events[2]; /* fewer than there are clients */
		int n = epoll_wait(epoll_fd, events, 2, 30000);

		if (n <= 0)
			return 3;
		for (int e = 0; e < n; e++) {
			unsigned i = events[e].data.u32;
			int r = drain(clients[i], outs[i]);

			if (r == -EAGAIN)
				continue;
			if (r < 0)
				return 4;
			if (pfs_lost(clients[i]))
				return 5;
			epoll_ctl(epoll_fd, EPOLL_CTL_DEL, pfs_fd(clients[i]), NULL); /* the mount has it open, too */
			pfs_close(clients[i]);
			fclose(outs[i]);
			left--;
		}
	}
	return 0;
}
END

cat >slow.c <<'END'
#include <errno.h>
#include <pipesfs/pipesfs.h>
#include <stdio.h>
#include <string.h>

/* Lossy; takes all there is up to the end when a line comes, and is there until another comes. Each record is one line of 8. */
int main(int argc, char **argv)
{
	struct pfs_options options = { .size = sizeof(options), .policy = PFS_POLICY_LOSSY };
	struct pfs_client *client;
	struct pfs_rec recs[32];
	char line[8];
	unsigned long got = 0, number, last = 0, wrong = 0;
	int n;

	if (argc != 2 || pfs_open(argv[1], &options, &client) < 0)
		return 1;
	fgets(line, sizeof(line), stdin);
	while ((n = pfs_next(client, recs, 32)) != 0) {
		if (n == -EAGAIN && pfs_wait(client, 30000) > 0)
			continue;
		if (n < 0)
			return 2;
		for (int i = 0; i < n; i++) {
			if (recs[i].flags & PFS_STREAM_END) /* says that a writer has gone, and is no record */
				continue;
			got++;
			wrong += recs[i].len != 8 || sscanf((const char *)recs[i].data, "%7lu", &number) != 1 ||
				 number <= last;
			last = number;
		}
		pfs_release(client);
	}
	printf("got %lu lost %lu last %lu wrong %lu\n", got, (unsigned long)pfs_lost(client), last, wrong);
	fflush(stdout);
	fgets(line, sizeof(line), stdin);
	pfs_close(client);
	return 0;
}
END
for program in loop slow; do
	cc -O1 -I"$TOP/include" $program.c -o $program -L"$T_BUILD/src" -lpipesfs -Wl,-rpath,"$T_BUILD/src"
done
t_mount -o ring=4M
mkdir "$P/accept" "$P/accept/lines"
seq 100000 >numbers

# clients DIR COMMAND NUMBER: as many of them read there
clients() {
	[ "$(grep -c "command=$2 " "$1/.readers")" = "$3" ]
}
for how in level edge; do
	mkdir "$P/accept/snap:4"
	./loop $how "$P/accept/lines/all" "$P/accept/snap:4/all" "$P/accept/lines/all.json" "$P/accept/lines/all.txt" &
	loop=$!
	t_wait_for 20 clients "$P/accept/lines" loop 3
	t_wait_for 20 clients "$P/accept/snap:4" loop 1
	cats=
	for view in all all.json all.txt; do
		cat "$P/accept/lines/$view" >"$view" &
		cats="$cats $!"
	done
	t_wait_for 20 clients "$P/accept/lines" cat 3
	exec 6>"$P/accept/all" # one writer: no end in between
	cat numbers >&6
	rmdir "$P/accept/snap:4"
	t_wait_for 20 clients "$P/accept/lines" loop 3
	cat numbers >&6
	exec 6>&-
	t_done $loop || t_fail "$how: the loop ended with an error"
	for cat in $cats; do
		t_done "$cat"
	done
	t_ok "$how: something came of a directory that went" test -s client.1
	cat numbers numbers >want
	t_same "$how: records" client.0 want
	t_same "$how: records, as cat has them" client.0 all
	t_ok "$how: there is JSON" test -s client.2
	t_same "$how: JSON" client.2 all.json
	t_ok "$how: there is text" test -s client.3
	t_same "$how: text" client.3 all.txt
done

seq -f '%07g' 1 400000 >numbers # much more than the queue of the copy
there=$(t_stat accept/lines out)
mkfifo in
./slow "$P/accept/lines/all" <in >out &
slow=$!
exec 5>in
t_wait_for 20 clients "$P/accept/lines" slow 1
cp numbers "$P/accept/all"
all_out() {
	[ "$(t_stat accept/lines out)" = $((there + 400000)) ]
}
t_wait_for 20 all_out
echo >&5
t_wait_for 20 test -s out
# shellcheck disable=SC2034 # the words between the numbers
read -r word got word lost word last word wrong <out
t_ok "it was too slow: $(cat out)" test "$lost" -gt 0
t_ok "it got some" test "$got" -gt 0
t_eq "got and lost are all there was" $((got + lost)) 400000
t_eq "the newest one came" "$last" 400000
t_eq "none was cut or came twice" "$wrong" 0
t_has "the books say the same" "$(cat "$P/accept/lines/.readers")" "delivered=$got lost=$lost "
exec 5>&-
t_done $slow
