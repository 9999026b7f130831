/*
 * run_tell - what went wrong in the pipeline: what its stages lost, what its commands said
 *
 * From .stats of our directories and from .errors, before they are gone: with a private mount nobody could look there
 * later.
 */
#include <stdio.h>
#include <time.h>

#include "cmd/cmd.h"
#include "cmd/run_i.h"
#include "cmd/tree.h"

#define LOST "lost."

static uint64_t lost_of(const struct run *run, size_t stage, struct pfs_buf *ret_text)
{
	const char *line;

	if (tree_read_file(run->stages.dir[stage], ".stats", ret_text) < 0 || !ret_text->data)
		return 0;
	line = strstr(ret_text->data, "\nlost ");
	return line ? strtoull(line + strlen("\nlost "), NULL, 10) : 0;
}

int run_tell_begin(struct run *run)
{
	struct timespec now;
	struct tm tm;

	run->lost_before = pfs_zalloc(run->program.n, sizeof(*run->lost_before));
	if (!run->lost_before)
		return -ENOMEM;
	for (size_t i = 0; i < run->program.n; i++) {
		PFS_BUF struct pfs_buf text = { 0 };

		run->lost_before[i] = lost_of(run, i, &text);
	}
	/* Times in .errors compare as texts do. */
	clock_gettime(CLOCK_REALTIME, &now);
	strftime(run->began, sizeof(run->began), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	snprintf(run->began + strlen(run->began), 8, ".%06u", (unsigned)(now.tv_nsec / 1000) % 1000000);
	return 0;
}

/* "12 no-space, 3 too-large"; others may have used the stage before we came, then only the sum is ours. */
static void reasons(char *stats, struct pfs_buf *out)
{
	char *save = NULL;

	for (char *line = strtok_r(stats, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' ');

		if (strncmp(line, LOST, strlen(LOST)) != 0 || !space || !strcmp(space, " 0"))
			continue;
		*space = '\0';
		pfs_buf_printf(out, "%s%s %s", out->len ? ", " : "", space + 1, line + strlen(LOST));
	}
}

static int tell_lost(const struct run *run, size_t stage)
{
	PFS_BUF struct pfs_buf text = { 0 }, why = { 0 }, sentence = { 0 };
	uint64_t lost = lost_of(run, stage, &text), before = run->lost_before[stage];

	if (lost <= before)
		return 0;
	if (!before)
		reasons(text.data, &why);
	pfs_buf_printf(&sentence, "%llu record%s lost here%s%s%s",
		       (unsigned long long)(lost - before), lost - before == 1 ? " was" : "s were",
		       why.len ? " (" : "", why.len ? why.data : "", why.len ? ")" : "");
	if (sentence.failed)
		return PFS_EXIT_FAILED;
	stages_say(&run->text, run->program.stage[stage].at, sentence.data);
	for (size_t i = 0; i < run->nends; i++)
		if (run->ends[i].sink && run->ends[i].stage == stage)
			return PFS_EXIT_FAILED;
	return 0;
}

/* What stands behind the path of a line of .errors, when it is that of the stage. NULL: it is another's. */
static const char *of_stage(const struct run *run, size_t stage, const char *line)
{
	PFS_BUF struct pfs_buf path = { 0 }, clean = { 0 };
	const char *at = strchr(line, ' ');
	const char *shown;

	at = at ? strchr(at + 1, ' ') : NULL;
	stages_path(&run->stages, stage, &path);
	if (!at || path.failed)
		return NULL;
	pfs_buf_clean(&clean, path.data, path.len);
	if (clean.failed)
		return NULL;
	shown = clean.data;
	/* What runs may share has the path without the run; in a tree of our own that is ours, too. */
	if (strncmp(at + 1, shown, strlen(run->dir)) != 0 && place_is_private(run->place.root))
		shown += strlen(run->dir);
	at++;
	return !strncmp(at, shown, strlen(shown)) && at[strlen(shown)] == ' ' ? at + strlen(shown) + 1
									      : NULL;
}

/* WORD SENTENCE: a line that the command wrote to stderr (-), or how it failed. */
static int tell_line(const struct run *run, size_t stage, const char *text)
{
	const struct lang_stage *s = &run->program.stage[stage];

	if (!strncmp(text, "- ", 2)) {
		pfs_say("%.*s: %s", (int)strcspn(s->name, ":,"), s->name, text + 2);
		return 0;
	}
	text += strcspn(text, " ");
	stages_say(&run->text, s->at, text + (*text == ' '));
	return PFS_EXIT_FAILED;
}

static int tell_errors(const struct run *run)
{
	PFS_BUF struct pfs_buf errors = { 0 };
	char *save = NULL;
	int status = 0;

	if (tree_read_file(run->root, ".errors", &errors) < 0 || !errors.data)
		return 0;
	for (char *line = strtok_r(errors.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (strcmp(line, run->began) < 0)
			continue;
		for (size_t i = 0; i < run->program.n; i++) {
			const char *text = of_stage(run, i, line);

			if (text)
				status |= tell_line(run, i, text);
		}
	}
	return status;
}

int run_tell(const struct run *run)
{
	int status = tell_errors(run);

	for (size_t i = 0; i < run->program.n; i++)
		status |= tell_lost(run, i);
	return status;
}
