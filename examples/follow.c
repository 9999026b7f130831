/*
 * follow - write what a pipesfs directory shows to standard output: cat PATH, from memory
 *
 *	cc follow.c $(pkg-config --cflags --libs libpipesfs) -o follow && ./follow /p/accept/all
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <pipesfs/pipesfs.h>

int main(int argc, char **argv)
{
	char why[256] = "";
	struct pfs_options options = { .size = sizeof(options), .why = why, .why_size = sizeof(why) };
	struct pfs_client *client;
	struct pfs_rec recs[32];
	int n;

	n = argc == 2 ? pfs_open(argv[1], &options, &client) : -EINVAL;
	if (n < 0) {
		fprintf(stderr, "follow: %s\n", why[0] ? why : strerror(-n));
		return 1;
	}
	while ((n = pfs_next(client, recs, 32)) != 0) {
		if (n == -EAGAIN && fflush(stdout) == 0)
			n = pfs_wait(client, -1) < 0 ? -EIO : 0;
		if (n < 0 || ferror(stdout))
			break;
		for (int i = 0; i < n; i++)
			fwrite(recs[i].data, 1, recs[i].len, stdout);
		pfs_release(client);
	}
	fprintf(stderr, "lost %llu\n", (unsigned long long)pfs_lost(client));
	pfs_close(client);
	return n < 0 || fflush(stdout) != 0;
}
