/*
 * top - the running graph, again and again: rates, losses, readers
 *
 * In a terminal a table that can be sorted and searched; elsewhere the table as text.
 */
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/name.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/place.h"
#include "cmd/top_i.h"

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
	(void)number;
	ended = 1;
}

bool top_ended(void)
{
	return ended;
}

/* Before the terminal is taken: who has it restores it himself, and wakes from a wait. */
static void take_signals(void)
{
	static const int list[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction end = { .sa_handler = on_signal };

	for (size_t i = 0; i < ARRAY_SIZE(list); i++)
		sigaction(list[i], &end, NULL);
}

/* --- readings ---------------------------------------------------------------------------------------- */

int top_arrange(struct top *top)
{
	struct picture_rows rows;
	int r = picture_rows(&top->now, &top->view, &rows);

	if (r < 0)
		return r;
	picture_rows_release(&top->rows);
	top->rows = rows;
	return 0;
}

int top_update(struct top *top, struct pfs_diag *diag)
{
	PICTURE struct picture picture = { 0 };
	int r = picture_read(top->root, &picture, diag);

	if (r < 0)
		return r;
	picture_cut(&picture, top->path);
	picture_release(&top->before);
	top->before = top->now;
	top->now = picture;
	picture = (struct picture){ 0 };
	if (top->before.n || top->before.clock)
		picture_rates(&top->now, &top->before);
	return top_arrange(top);
}

void top_release(struct top *top)
{
	picture_release(&top->now);
	picture_release(&top->before);
	picture_rows_release(&top->rows);
}

/* --- as text ------------------------------------------------------------------------------------------ */

/* False: nobody reads it. */
static bool print_table(const struct top *top)
{
	PFS_BUF struct pfs_buf out = { 0 };

	top_summary(top, &out);
	pfs_buf_str(&out, "\n");
	top_titles(top, 0, &out);
	pfs_buf_str(&out, "\n");
	for (size_t i = 0; i < top->rows.n; i++) {
		top_row(top, i, 0, &out);
		pfs_buf_str(&out, "\n");
	}
	pfs_buf_str(&out, "\n");
	if (!out.failed)
		fwrite(out.data, 1, out.len, stdout);
	return fflush(stdout) == 0;
}

static void pause_for(double seconds)
{
	struct timespec rest = { .tv_sec = (time_t)seconds, .tv_nsec = (long)(fmod(seconds, 1) * 1e9) };

	while (!ended && nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
}

static int top_plain(struct top *top, uint64_t rounds, struct pfs_diag *diag)
{
	bool ever = rounds == 0;
	int r = 0;

	signal(SIGPIPE, SIG_IGN);
	while (r == 0 && (ever || rounds--)) {
		pause_for(top->interval);
		if (ended)
			break;
		r = top_update(top, diag);
		if (r == 0 && !print_table(top))
			break;
	}
	return r;
}

/* --- the command ---------------------------------------------------------------------------------------- */

struct top_options {
	uint64_t rounds;
	bool rounds_given;
	bool plain;
};

static int set_sort(struct top *top, const char *name)
{
	for (enum picture_sort sort = PICTURE_TREE; sort < PICTURE_SORTS; sort++)
		if (!strcmp(picture_sorts[sort], name)) {
			top->view.sort = sort;
			return 0;
		}
	return pfs_usage(&pfs_cmd_top,
			 "it is sorted by tree, in, out, bytes, lost or lag, not by '%s'", name);
}

static int parse_options(int argc, char **argv, struct top *top, struct top_options *options)
{
	int c, r = 0;

	while (r == 0 && (c = pfs_getopt(&pfs_cmd_top, argc, argv)) != -1) {
		switch (c) {
		case 'a':
			top->view.all = true;
			break;
		case 'b':
			options->plain = true;
			break;
		case 'f':
			snprintf(top->filter, sizeof(top->filter), "%s", optarg);
			top->view.filter = top->filter;
			break;
		case 's':
			r = set_sort(top, optarg);
			break;
		case 'i':
			r = pfs_interval_parse(&pfs_cmd_top, optarg, &top->interval);
			break;
		case 'n':
			if (pfs_number_parse(optarg, false, 0, UINT32_MAX, &options->rounds) < 0)
				return pfs_usage(&pfs_cmd_top, "'%s' is no number of readings", optarg);
			options->rounds_given = true;
			break;
		default:
			return pfs_usage(&pfs_cmd_top, NULL);
		}
	}
	return r ? r : argc - optind > 1 ? pfs_usage(&pfs_cmd_top, "one directory at a time") : 0;
}

static int show(struct top *top, const struct top_options *options)
{
	bool plain = options->plain || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO);
	struct pfs_diag diag = { "" };
	int r = top_update(top, &diag);

	if (r == 0 && !plain) {
		r = top_screen(top, options->rounds, &diag);
		plain = r == -ENOTTY; /* nobody knows this terminal */
	}
	if (r == 0 || r == -ENOTTY)
		r = plain ? top_plain(top, options->rounds_given ? options->rounds : 1, &diag) : 0;
	return r < 0 ? pfs_fail("%s: %s", top->mount, diag.text[0] ? diag.text : strerror(-r)) : 0;
}

static int top_run(int argc, char **argv)
{
	PFS_CLEANUP(top_release) struct top top = { .interval = 1 };
	PFS_CLEANUP(place_release) struct place place = { 0 };
	struct top_options options = { 0 };
	PFS_FREE char *path = NULL;
	PFS_CLOSE int root = -1;
	int r;

	setlocale(LC_CTYPE, "");
	top.view.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	r = parse_options(argc, argv, &top, &options);
	if (r == 0)
		r = place_mounted(argv[optind], &place);
	if (r)
		return r;
	path = realpath(argv[optind] ? argv[optind] : place.root, NULL);
	root = open(place.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!path || root < 0)
		return pfs_fail("%s: %s", place.root, strerror(errno));
	top.mount = place.root;
	top.path = path + strlen(place.root);
	top.root = root;
	take_signals();
	return show(&top, &options);
}

static const struct pfs_option top_options_table[] = {
	{ .key = 'a', .letter = true, .name = "all", .help = "also what is idle" },
	{ .key = 'b', .letter = true, .name = "batch", .help = "print tables, as when it is no terminal" },
	{ .key = 'f',
	  .letter = true,
	  .name = "filter",
	  .value = "TEXT",
	  .help = "only what has TEXT in its path" },
	{ .key = 'i',
	  .letter = true,
	  .name = "interval",
	  .value = "SECONDS",
	  .help = "between two readings (default 1)" },
	{ .key = 'n',
	  .letter = true,
	  .name = "number",
	  .value = "N",
	  .help = "of readings (default: until a key, but one where it is no terminal; 0: for ever)" },
	{ .key = 's',
	  .letter = true,
	  .name = "sort",
	  .value = "KEY",
	  .words = PFS_WORDS_CHOICE,
	  .choices = picture_sorts,
	  .help = "tree, in, out, bytes, lost or lag" },
	{ 0 },
};

const struct pfs_command pfs_cmd_top = {
	.name = "top",
	.summary = "watch the running graph: rates, losses, readers",
	.options = top_options_table,
	.operands = "[DIR]",
	.words = PFS_WORDS_TREE,
	.help = "Keys: q end, s sort, / filter, a idle, space stand still, + - interval, h help.\n",
	.run = top_run,
};
