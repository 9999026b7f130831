/*
 * ls - the tree of a mounted pipesfs with its numbers, and with rates when asked
 *
 * Reads what any program may read: directories and .stats. Rates are the difference of two such readings, so nothing in
 * the file system has to keep time for us, and looking costs it nothing between the two.
 */
#include "base/name.h"
#include "cmd/cmd.h"
#include "cmd/mounts.h"
#include "cmd/options.h"
#include "cmd/tree.h"
#include "cmd/units.h"
#include "graph/tables.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#define DEPTH_MAX 64
#define LABEL_MAX 64 /* columns; a longer name moves its own numbers only */
#define NUMBER_WIDTH 10

struct ls_options {
	bool all;
	bool rates;
	bool json;
	double interval; /* seconds */
	unsigned depth;
};

struct column {
	const char *title;
	const char *stat;
	bool rate;
};

static const struct column columns[] = {
	{ "in", "in", false },	     { "out", "out", false },	      { "lost", "lost", false },
	{ "bytes", "bytes", false }, { "readers", "readers", false }, { "in/s", "in", true },
	{ "out/s", "out", true },    { "bytes/s", "bytes", true },
};

/* One reading, or two. */
struct reading {
	struct tree_dir *now;	 /* owned */
	struct tree_dir *before; /* owned, NULL: no rates */
	double seconds;		 /* between them */
};

static void reading_release(struct reading *reading)
{
	tree_free(reading->now);
	tree_free(reading->before);
	*reading = (struct reading){ 0 };
}

static int reading_take(const char *path, const struct ls_options *options, struct reading *ret_reading)
{
	PFS_CLEANUP(reading_release) struct reading reading = { 0 };
	uint64_t start = pfs_clock_mono();
	int r;

	if (options->rates) {
		struct timespec pause = {
			.tv_sec = (time_t)options->interval,
			.tv_nsec = (long)(fmod(options->interval, 1) * 1e9),
		};

		r = tree_read(path, options->depth, &reading.before);
		if (r < 0)
			return r;
		nanosleep(&pause, NULL);
		reading.seconds = (double)(pfs_clock_mono() - start) / 1e9;
	}
	r = tree_read(path, options->depth, &reading.now);
	if (r < 0)
		return r;
	*ret_reading = reading;
	reading = (struct reading){ 0 };
	return 0;
}

/* The same directory in the earlier reading, or NULL. */
static const struct tree_dir *same_before(const struct tree_dir *before, const char *name)
{
	for (size_t i = 0; before && i < before->nchildren; i++)
		if (!strcmp(before->child[i]->name, name))
			return before->child[i];
	return NULL;
}

/* A directory that is new, or was made anew, counts from nothing. */
static double rate(const struct tree_dir *now, const struct tree_dir *before, const char *name,
		   double seconds)
{
	uint64_t a = tree_number(before, name), b = tree_number(now, name);

	return (double)(b < a ? b : b - a) / seconds;
}

/* --- for people ------------------------------------------------------------------------- */

/*
 * Nothing runs there and nothing was counted, or it is closed to us; of a folder of devices: all of them. Made sources
 * are never idle.
 */
static bool is_idle(const struct tree_dir *dir)
{
	if (dir->cut || strchr(dir->name, ':') || (dir->nvalues && dir->nchildren))
		return false;
	if (dir->error)
		return dir->error == EACCES;
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (tree_number(dir, columns[i].stat))
			return false;
	for (size_t i = 0; i < dir->nchildren; i++)
		if (!is_idle(dir->child[i]))
			return false;
	return true;
}

static void put_number(uint64_t value)
{
	char text[UNITS_SIZE];

	units_count(value, text);
	printf(" %*s", NUMBER_WIDTH - 1, text);
}

static void put_rate(double value)
{
	char text[UNITS_SIZE];

	units_rate(value, text);
	printf(" %*s", NUMBER_WIDTH - 1, text);
}

/* The top is known by its whole path. */
static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Is it a class of its parent's, seen but perhaps wanted by nobody? Counters of such stay 0. */
static bool is_class(const char *parent, const char *name)
{
	size_t len = pfs_name_type_len(parent);

	for (size_t i = 0; pfs_filters[i]; i++) {
		const struct pfs_filter *filter = pfs_filters[i];
		bool found = !strncmp(filter->name, parent, len) && !filter->name[len];

		found = found || (filter->alias && !strncmp(filter->alias, parent, len) &&
				  !filter->alias[len]);
		for (size_t c = 0; found && filter->classes && filter->classes[c]; c++)
			if (!strcmp(filter->classes[c], name))
				return true;
	}
	return false;
}

/* A branch, the last one, and what continues below each. */
static const char *const utf8_glyphs[] = { "├── ", "└── ", "│   ", "    " };
static const char *const ascii_glyphs[] = { "|-- ", "`-- ", "|   ", "    " };

struct table {
	const struct ls_options *options;
	double seconds;
	size_t width; /* of the labels, in columns */
	size_t hidden;
	bool utf8;
	bool print; /* else: only measure */
};

/* prefix is drawn as it is: each level of it is four columns wide. */
static void put_row(struct table *table, const char *prefix, size_t level, const char *name,
		    const struct tree_dir *now, const struct tree_dir *before)
{
	PFS_BUF struct pfs_buf label = { 0 };
	size_t width;

	pfs_buf_clean(&label, name, strlen(name));
	width = 4 * level + label.len;
	if (!table->print) {
		if (width <= LABEL_MAX)
			table->width = pfs_max(table->width, width);
		return;
	}
	printf("%s%s", prefix, label.data ? label.data : "");
	if (now->error) {
		printf("  (%s)\n", strerror(now->error));
		return;
	}
	if (!now->nvalues) {
		puts(now->cut ? "  ..." : "");
		return;
	}
	printf("%*s", (int)(width < table->width ? table->width - width : 0), "");
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		if (columns[i].rate && table->options->rates)
			put_rate(rate(now, before, columns[i].stat, table->seconds));
		else if (!columns[i].rate)
			put_number(tree_number(now, columns[i].stat));
	}
	puts(now->cut ? "  ..." : "");
}

/* Sources, devices and classes are left out while they are idle; `sources`: the children are such. */
static bool is_hidden(const struct table *table, const struct tree_dir *dir,
		      const struct tree_dir *child, bool sources)
{
	return !table->options->all && is_idle(child) &&
	       (sources || is_class(last_name(dir->name), child->name));
}

static void put_children(struct table *table, const char *prefix, size_t level, bool sources,
			 const struct tree_dir *now, const struct tree_dir *before)
{
	size_t shown = 0;

	for (size_t i = 0; i < now->nchildren; i++)
		shown += !is_hidden(table, now, now->child[i], sources);
	table->hidden += table->print ? now->nchildren - shown : 0;
	for (size_t i = 0; i < now->nchildren; i++) {
		const struct tree_dir *child = now->child[i], *old = same_before(before, child->name);
		PFS_BUF struct pfs_buf branch = { 0 }, below = { 0 };
		const char *const *glyph = table->utf8 ? utf8_glyphs : ascii_glyphs;

		if (is_hidden(table, now, child, sources))
			continue;
		shown--;
		pfs_buf_printf(&branch, "%s%s", prefix, glyph[shown ? 0 : 1]);
		pfs_buf_printf(&below, "%s%s", prefix, glyph[shown ? 2 : 3]);
		if (branch.failed || below.failed)
			return;
		put_row(table, branch.data, level, child->name, child, old);
		put_children(table, below.data, level + 1, sources && !child->nvalues, child, old);
	}
}

static void put_tree(struct table *table, const char *path, bool at_root, const struct reading *reading)
{
	put_row(table, "", 0, path, reading->now, reading->before);
	put_children(table, "", 1, at_root, reading->now, reading->before);
}

static void print_text(const char *path, bool at_root, const struct reading *reading,
		       const struct ls_options *options)
{
	struct table table = {
		.options = options,
		.seconds = reading->seconds,
		.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8"),
	};

	put_tree(&table, path, at_root, reading);
	table.print = true;
	printf("%*s", (int)table.width, "");
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		if (!columns[i].rate || options->rates)
			printf(" %*s", NUMBER_WIDTH - 1, columns[i].title);
	putchar('\n');
	put_tree(&table, path, at_root, reading);
	if (table.hidden == 1)
		puts("(1 directory that is idle or closed to you is not shown; -a shows it)");
	else if (table.hidden)
		printf("(%zu directories that are idle or closed to you are not shown; -a shows them)\n",
		       table.hidden);
}

/* --- for programs ------------------------------------------------------------------------ */

static void json_rates(const struct tree_dir *now, const struct tree_dir *before, double seconds,
		       struct pfs_buf *out)
{
	bool first = true;

	pfs_buf_str(out, ",\"rates\":{");
	for (size_t i = 0; i < now->nvalues; i++) {
		const struct tree_value *value = &now->value[i];

		if (!value->is_number || !strcmp(value->name, "readers") ||
		    !strcmp(value->name, "active"))
			continue; /* these do not count up */
		pfs_buf_str(out, first ? "\"" : ",\"");
		pfs_buf_json(out, value->name, strlen(value->name));
		pfs_buf_printf(out, "\":%.3f", rate(now, before, value->name, seconds));
		first = false;
	}
	pfs_buf_str(out, "}");
}

static void json_dir(const struct tree_dir *now, const struct tree_dir *before, double seconds,
		     struct pfs_buf *out)
{
	pfs_buf_str(out, "{\"name\":\"");
	pfs_buf_json(out, now->name, strlen(now->name));
	pfs_buf_str(out, "\"");
	if (now->error)
		pfs_buf_printf(out, ",\"error\":\"%s\"", strerror(now->error));
	pfs_buf_str(out, ",\"stats\":{");
	tree_json_values(now, out);
	pfs_buf_str(out, "}");
	if (seconds > 0)
		json_rates(now, before, seconds, out);
	pfs_buf_str(out, ",\"children\":[");
	for (size_t i = 0; i < now->nchildren; i++) {
		if (i)
			pfs_buf_str(out, ",");
		json_dir(now->child[i], same_before(before, now->child[i]->name), seconds, out);
	}
	pfs_buf_str(out, "]}");
}

static int print_json(const char *path, const char *root, const struct reading *reading)
{
	PFS_BUF struct pfs_buf out = { 0 };

	pfs_buf_str(&out, "{\"mount\":\"");
	pfs_buf_json(&out, root, strlen(root));
	pfs_buf_str(&out, "\",\"path\":\"");
	pfs_buf_json(&out, path, strlen(path));
	pfs_buf_printf(&out, "\",\"interval\":%.3f,\"tree\":", reading->seconds);
	json_dir(reading->now, reading->before, reading->seconds, &out);
	pfs_buf_str(&out, "}\n");
	if (out.failed)
		return pfs_fail("not enough memory");
	fwrite(out.data, 1, out.len, stdout);
	return 0;
}

/* --- the command ------------------------------------------------------------------------- */

static int list_one(const struct mounts *mounts, const char *dir, const struct ls_options *options)
{
	PFS_CLEANUP(reading_release) struct reading reading = { 0 };
	PFS_FREE char *path = NULL;
	const struct mounts_entry *root;
	struct pfs_diag diag = { 0 };
	int r;

	r = mounts_find(mounts, dir, &path, &root, &diag);
	if (r < 0)
		return pfs_fail("%s", diag.text);
	r = reading_take(path, options, &reading);
	if (r == -ENOTDIR)
		return pfs_fail(
			"%s is a pipe, not a directory: it can be read, `pipesfs stat %s` tells about it",
			dir, dir);
	if (r < 0)
		return pfs_fail("%s: %s", dir, strerror(-r));
	if (options->json)
		return print_json(path, root->point, &reading);
	print_text(dir, !strcmp(path, root->point), &reading, options);
	return 0;
}

static int list_mounts(const struct mounts *mounts, const struct ls_options *options)
{
	int worst = 0;

	if (!mounts->n)
		return pfs_fail("no pipesfs is mounted here; `pipesfs mount DIR` mounts one");
	if (mounts->n == 1 || options->json) {
		for (size_t i = 0; i < mounts->n; i++) {
			int r = list_one(mounts, mounts->entry[i].point, options);

			worst = r ? r : worst;
		}
		return worst;
	}
	for (size_t i = 0; i < mounts->n; i++)
		puts(mounts->entry[i].point);
	pfs_say("%zu are mounted; `pipesfs ls DIR` shows the tree of one", mounts->n);
	return 0;
}

static int parse_options(int argc, char **argv, struct ls_options *ret_options)
{
	struct ls_options options = { .interval = 0.5, .depth = DEPTH_MAX };
	uint64_t depth;
	char *end;
	int c;

	while ((c = pfs_getopt(&pfs_cmd_ls, argc, argv)) != -1) {
		switch (c) {
		case 'a':
			options.all = true;
			break;
		case 'r':
			options.rates = true;
			break;
		case 'j':
			options.json = true;
			break;
		case 'i':
			options.interval = strtod(optarg, &end);
			options.rates = true;
			if (end == optarg || *end ||
			    !(options.interval >= 0.01 && options.interval <= 3600))
				return pfs_usage(
					&pfs_cmd_ls,
					"the interval is a number of seconds from 0.01 to 3600, not '%s'",
					optarg);
			break;
		case 'L':
			if (pfs_number_parse(optarg, false, 0, DEPTH_MAX, &depth))
				return pfs_usage(&pfs_cmd_ls,
						 "the depth is a number up to %d, not '%s'",
						 DEPTH_MAX, optarg);
			options.depth = (unsigned)depth;
			break;
		default:
			return pfs_usage(&pfs_cmd_ls, NULL);
		}
	}
	*ret_options = options;
	return 0;
}

static int ls_run(int argc, char **argv)
{
	MOUNTS struct mounts mounts = { 0 };
	struct ls_options options = { 0 };
	int r, worst = 0;

	setlocale(LC_CTYPE, "");
	r = parse_options(argc, argv, &options);
	if (r)
		return r;
	r = mounts_read(&mounts);
	if (r < 0)
		return pfs_fail("/proc/self/mountinfo: %s", strerror(-r));
	if (optind == argc)
		return list_mounts(&mounts, &options);
	for (int i = optind; i < argc; i++) {
		if (i > optind && !options.json)
			putchar('\n');
		r = list_one(&mounts, argv[i], &options);
		worst = r ? r : worst;
	}
	return worst;
}

static const struct pfs_option ls_options[] = {
	{ .key = 'a', .letter = true, .name = "all", .help = "also sources and classes that are idle" },
	{ .key = 'r',
	  .letter = true,
	  .name = "rates",
	  .help = "measure for half a second and show rates as well" },
	{ .key = 'i',
	  .letter = true,
	  .name = "interval",
	  .value = "SECONDS",
	  .help = "measure for that long (implies -r)" },
	{ .key = 'L', .letter = true, .name = "depth", .value = "N", .help = "show that many levels" },
	{ .key = 'j', .name = "json", .help = "one JSON object for each DIR" },
	{ 0 },
};

const struct pfs_command pfs_cmd_ls = {
	.name = "ls",
	.summary = "show the tree of running filters with their counters and rates",
	.options = ls_options,
	.operands = "[DIR...]",
	.words = PFS_WORDS_TREE,
	.help = "Without DIR: the mounted pipesfs, or a list of them when there are several.\n"
		"It only lists directories and reads .stats: looking changes nothing.\n",
	.run = ls_run,
};
