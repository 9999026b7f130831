/*
 * redirect - `pipesfs redirect DIR`: a directory, redirected through filters
 */
#include "base/name.h"
#include "cmd/background.h"
#include "cmd/mounts.h"
#include "cmd/options.h"
#include "cmd/shipped.h"
#include "redir/process.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#define STALL 10000000000ULL /* ns */
#define LOAD_MAX 32

static int keep(void *arg, int ready_fd)
{
	return rd_process_run(arg, ready_fd);
}

static int find_dir(const char *name, char **ret_dir)
{
	PFS_FREE char *dir = NULL;
	struct stat st;
	int r = mounts_clear(name);

	if (r)
		return r;
	dir = realpath(name, NULL);
	if (!dir || stat(dir, &st) < 0)
		return pfs_fail("%s: %s", name, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return pfs_fail("%s is not a directory", name);
	*ret_dir = TAKE_PTR(dir);
	return 0;
}

/* The keeper works in "/": names are made absolute, of "FILE.so,argument,..." the first. */
static int find_file(const char *text, char **ret_text)
{
	const char *rest;
	PFS_FREE char *file = pfs_shipped_find(text, &rest);

	if (!file)
		return pfs_fail("cannot load %.*s: %s", (int)(rest - text), text, strerror(errno));
	if (asprintf(ret_text, "%s%s", file, rest) < 0)
		return pfs_fail("out of memory");
	return 0;
}

static int find_socket(const char *name, char **ret_name)
{
	PFS_FREE char *here = *name == '/' ? strdup("") : getcwd(NULL, 0);

	if (!here || asprintf(ret_name, "%s%s%s", here, *here ? "/" : "", name) < 0)
		return pfs_fail("%s: %s", name, strerror(errno));
	return 0;
}

/*
 * A socket, which streams has given us as stdin: no file of ours shall be it. What it says is the whole configuration.
 */
static int find_link(const char *text, int *ret_fd)
{
	uint64_t number;
	PFS_CLOSE int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (pfs_number_parse(text, false, 0, INT_MAX, &number) < 0)
		return pfs_usage(&pfs_cmd_redirect, "--link is the number of a descriptor");
	*ret_fd = fcntl((int)number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (*ret_fd < 0 || null < 0 || dup2(null, (int)number) < 0)
		return pfs_fail("descriptor %s: %s", text, strerror(errno));
	return 0;
}

static int redirect_dir(struct rd_process_options *options, const char *name)
{
	PFS_FREE char *dir = NULL;
	int r = find_dir(name, &dir);

	if (r)
		return r;
	options->layer.dir = dir;
	return options->foreground || options->link_fd >= 0 ? rd_process_run(options, -1)
							    : pfs_background(keep, options);
}

static int redirect_run(int argc, char **argv)
{
	struct rd_process_options options = { .stall = STALL, .link_fd = -1 };
	PFS_FREE char *listen = NULL;
	char *load[LOAD_MAX] = { NULL };
	int c, r = 0;

	while (r == 0 && (c = pfs_getopt(&pfs_cmd_redirect, argc, argv)) != -1) {
		if (c == 'f') {
			options.foreground = true;
		} else if (c == 'P') {
			options.layer.no_passthrough = true;
		} else if (c == 'l' && options.n_load == LOAD_MAX) {
			r = pfs_usage(&pfs_cmd_redirect, "too many filters");
		} else if (c == 'l') {
			r = find_file(optarg, &load[options.n_load]);
			options.n_load += r == 0;
		} else if (c == 'L') {
			r = find_link(optarg, &options.link_fd);
		} else if (c == 's') {
			free(TAKE_PTR(listen));
			r = find_socket(optarg, &listen);
		} else {
			r = pfs_usage(&pfs_cmd_redirect, NULL);
		}
	}
	if (r == 0 && options.link_fd >= 0 && (options.n_load > 0 || listen))
		r = pfs_usage(&pfs_cmd_redirect, "--link says which filters there are");
	if (r == 0 && optind + 1 != argc)
		r = pfs_usage(&pfs_cmd_redirect, "one directory is needed");
	options.load = (const char *const *)load;
	options.listen = listen;
	if (r == 0)
		r = redirect_dir(&options, argv[optind]);
	while (options.n_load > 0)
		free(load[--options.n_load]);
	return r;
}

static const struct pfs_option redirect_options[] = {
	{ .key = 'f', .letter = true, .help = "stay in the foreground and speak on standard error" },
	{ .key = 'P',
	  .name = "no-passthrough",
	  .help = "all data through this process, as a data filter needs it" },
	{ .key = 'l',
	  .name = "load",
	  .value = "FILE.so[,ARG...]",
	  .words = PFS_WORDS_FILE,
	  .help = "filters in a shared object; may be given several times" },
	{ .key = 's',
	  .name = "listen",
	  .value = "SOCKET",
	  .words = PFS_WORDS_FILE,
	  .help = "filters in other processes connect here: PIPESFS_URFS=SOCKET" },
	{ .key = 'L',
	  .name = "link",
	  .value = "FD",
	  .help = "a socket that says what to do: how pipesfs mount starts this, see redirctl(8)" },
	{ 0 },
};

const struct pfs_command pfs_cmd_redirect = {
	.name = "redirect",
	.summary = "overmount DIR by itself, so that filters see what is done there",
	.options = redirect_options,
	.operands = "DIR",
	.words = PFS_WORDS_DIR,
	.help = "It returns when the directory is redirected. umount(8) ends it, and so does SIGTERM; the original\n"
		"is seen again then. What was opened in the directory before is not redirected.\n",
	.run = redirect_run,
};
