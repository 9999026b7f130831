/*
 * run_count - what was seen, what came out, what was lost
 *
 * From .stats and .readers of our own directories. A source that we share has counted before we came: what it had
 * counted when we started is taken off.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/run_i.h"
#include "cmd/tree.h"

bool run_has_view(const struct run *run, size_t stage, const char *name)
{
	int fd = openat(run->stages.dir[stage], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	bool found = false;

	if (!dir && fd >= 0)
		close(fd);
	while (dir && !found && (entry = readdir(dir)))
		found = !strcmp(entry->d_name, name);
	if (dir)
		closedir(dir);
	return found;
}

/* The number behind "name " in lines of .stats. */
static uint64_t stat_of(int dir, const char *name)
{
	PFS_BUF struct pfs_buf text = { 0 };
	size_t len = strlen(name);

	if (tree_read_file(dir, ".stats", &text) < 0)
		return 0;
	for (const char *line = text.data; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == ' ')
			return strtoull(line + len, NULL, 10);
	}
	return 0;
}

/* delivered= and lost= of our own reader there: its process is the one in the name of the run. */
static void add_reader(const struct run *run, int dir, struct run_counts *counts)
{
	long pid = strtol(run->dir + strlen("/run:"), NULL, 10);
	PFS_BUF struct pfs_buf text = { 0 };
	char *save = NULL;

	if (tree_read_file(dir, ".readers", &text) < 0 || !text.data)
		return;
	for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *its = strstr(line, " pid="), *delivered = strstr(line, " delivered="),
			   *lost = strstr(line, " lost=");

		if (!its || strtol(its + strlen(" pid="), NULL, 10) != pid || !delivered || !lost)
			continue;
		if (run->format != RUN_PCAPNG) /* there a record is many packets */
			counts->captured += strtoull(delivered + strlen(" delivered="), NULL, 10);
		counts->missed += strtoull(lost + strlen(" lost="), NULL, 10);
	}
}

void run_count_end(const struct run *run, const struct run_end *end, struct run_counts *counts)
{
	int dir = run->stages.dir[end->stage];

	if (end->sink)
		counts->captured += stat_of(dir, "in");
	else
		add_reader(run, dir, counts);
}

/* The first stage above it, and itself, that has packets; without any, the source. */
static size_t first_of(const struct run *run, size_t stage)
{
	const struct lang_program *program = &run->program;
	size_t first = stage;
	bool packets = false;

	for (; stage != LANG_TOP; stage = program->stage[stage].above) {
		bool has = run_has_view(run, stage, "all.pcapng");

		if (has || !packets)
			first = stage;
		packets = packets || has;
	}
	return first;
}

static void add_seen(const struct run *run, struct run_counts *counts)
{
	PFS_FREE bool *known = pfs_zalloc(run->program.n, sizeof(*known));

	for (size_t i = 0; known && i < run->nends; i++) {
		size_t first = first_of(run, run->ends[i].stage);

		if (known[first])
			continue;
		known[first] = true;
		counts->seen += stat_of(run->stages.dir[first], "out");
		counts->packets |= run_has_view(run, first, "all.pcapng");
	}
}

void run_count(const struct run *run, struct run_counts *ret_counts)
{
	struct run_counts counts = run->taken;

	add_seen(run, &counts);
	for (size_t i = 0; i < run->program.n; i++)
		if (run->program.stage[i].above == LANG_TOP)
			counts.lost += stat_of(run->stages.dir[i], "lost");
	for (size_t i = 0; i < run->nends; i++)
		if (run->ends[i].fd >= 0)
			run_count_end(run, &run->ends[i], &counts);
	*ret_counts = counts;
}

/* --- saying -------------------------------------------------------------------------------------------- */

static void say(const struct run_counts *counts, uint64_t n, const char *what)
{
	fprintf(stderr, "%llu %s%s %s\n", (unsigned long long)n,
		counts->packets ? "packet" : "record", n == 1 ? "" : "s", what);
}

void run_goodbye(const struct run *run)
{
	struct run_counts now;
	uint64_t seen, captured;

	run_count(run, &now);
	seen = now.seen - pfs_min64(run->before.seen, now.seen);
	captured = now.captured + run->blocks;
	say(&now, captured, "captured");
	say(&now, seen, "received by filter");
	say(&now, now.lost - pfs_min64(run->before.lost, now.lost), "dropped by kernel");
	if (run->nends == 1)
		say(&now, seen - pfs_min64(captured + now.missed, seen), "dropped by filter");
	if (now.missed)
		say(&now, now.missed, "lost because the output was too slow");
	if (run->cut)
		say(&now, run->cut, "left out because they were too long to be mixed with others");
}
