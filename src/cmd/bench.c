/*
 * bench - run the benchmarks of the source tree that this program was built from
 *
 * They are scripts and programs beside the sources (bench/run), and are not installed: most compare with other
 * programs, which make bench installs. PIPESFS_BENCH names another bench/run.
 */
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "config.h"

#include <limits.h>
#include <stdio.h>

static const char *const benchmarks[] = { "capfile",	"grep",	    "hops",	  "http",
					  "interspace", "latency",  "libpipesfs", "lsf",
					  "nreaders",	"pffilter", "pfset",	  "pipe",
					  "portal",	"portalfd", "redirdata",  "redirmeta",
					  "reshape",	"scanflt",  "urfs",	  NULL };

/* Where this program is: with a build beside it. 0 or -errno. */
static int build_dir(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	if (n < 0)
		return -errno;
	path[n] = '\0';
	*strrchr(path, '/') = '\0';
	return 0;
}

static int bench_run(int argc, char **argv)
{
	const char *script = getenv("PIPESFS_BENCH"), *rounds = NULL;
	char build[PATH_MAX];
	const char **words;
	bool quick = false;
	size_t n = 0;
	int c, r;

	while ((c = pfs_getopt(&pfs_cmd_bench, argc, argv)) != -1) {
		if (c == 'q')
			quick = true;
		else if (c == 'r')
			rounds = optarg;
		else
			return pfs_usage(&pfs_cmd_bench, NULL);
	}
	script = script ? script : PIPESFS_BENCH_RUN;
	r = build_dir(build, sizeof(build));
	if (r < 0)
		return pfs_fail("cannot find this program: %s", strerror(-r));
	words = pfs_zalloc((size_t)argc + 8, sizeof(*words));
	if (!words)
		return pfs_fail("no memory");
	words[n++] = script;
	words[n++] = "--build";
	words[n++] = build;
	if (quick)
		words[n++] = "--quick";
	if (rounds) {
		words[n++] = "--rounds";
		words[n++] = rounds;
	}
	for (int i = optind; i < argc; i++)
		words[n++] = argv[i];
	execv(script, (char **)(uintptr_t)words);
	r = errno;
	free(words);
	return pfs_fail(
		"%s: %s; the benchmarks are beside the sources, not installed: call the program of a build there",
		script, strerror(r));
}

static const struct pfs_option bench_options[] = {
	{ .key = 'q',
	  .name = "quick",
	  .help = "only show that they run: small, short, the figures mean nothing" },
	{ .key = 'r', .name = "rounds", .value = "NUMBER", .help = "rounds of each, instead of 5" },
	{ 0 },
};

const struct pfs_command pfs_cmd_bench = {
	.name = "bench",
	.summary = "run the benchmarks, all or some, in a tree that was built",
	.options = bench_options,
	.operands = "[NAME...]",
	.words = PFS_WORDS_CHOICE,
	.choices = benchmarks,
	.help = "Tables are printed, JSON lines and plots are in bench/ of the build.\n",
	.run = bench_run,
};
