/*
 * stages - from a program to directories
 */
#include "cmd/stages.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "cmd/cmd.h"
#include "cmd/tree.h"

/* --- saying ---------------------------------------------------------------------------------------- */

void stages_say(const struct stages_text *text, size_t at, const char *sentence)
{
	PFS_BUF struct pfs_buf clean = { 0 }, shown = { 0 }, where = { 0 };
	bool one_line = !memchr(text->text, '\n', text->len);
	size_t line, column;

	lang_position(text->text, text->len, at, &line, &column);
	pfs_buf_clean(&clean, sentence, strlen(sentence));
	lang_point(text->text, text->len, at, &shown);
	if (clean.failed || shown.failed)
		return;
	if (text->file)
		pfs_buf_printf(&where, "%s:%zu:%zu", text->file, line, column);
	else if (one_line)
		pfs_buf_printf(&where, "column %zu", column);
	else
		pfs_buf_printf(&where, "line %zu, column %zu", line, column);
	if (where.failed)
		return;
	pfs_say("%s: %s", where.data, clean.data);
	fputs(shown.data, stderr);
	if (text->log)
		syslog(LOG_NOTICE, "%s: %s", where.data, clean.data);
}

int stages_parse(const struct stages_text *text, struct lang_program *ret_program)
{
	struct lang_error error;
	int r = lang_parse(text->text, text->len, ret_program, &error);

	if (r == -ENOMEM)
		return pfs_fail("not enough memory");
	if (r < 0) {
		stages_say(text, error.at, error.diag.text);
		return PFS_EXIT_USAGE;
	}
	return 0;
}

/* --- why not ------------------------------------------------------------------------------------------ */

/* What stands behind "PATH WORD " in the last line that has it. False: no line. */
static bool find_reason(const char *errors, const char *path, const char *word, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf key = { 0 }, clean = { 0 };
	const char *found = NULL;

	pfs_buf_clean(&clean, path, strlen(path));
	pfs_buf_printf(&key, " %s %s ", clean.data ? clean.data : "", word);
	if (clean.failed || key.failed)
		return false;
	for (const char *at = strstr(errors, key.data); at; at = strstr(at + 1, key.data))
		found = at;
	if (!found)
		return false;
	found += key.len;
	pfs_buf_add(out, found, strcspn(found, "\n"));
	return true;
}

void stages_reason(int root, const char *path, int error, struct pfs_buf *out)
{
	const char *word = strerrorname_np(error);
	PFS_BUF struct pfs_buf errors = { 0 };

	if (tree_read_file(root, ".errors", &errors) == 0 && errors.data && word &&
	    find_reason(errors.data, path, word, out))
		return;
	pfs_buf_str(out, strerror(error));
}

void stages_path(const struct stages *stages, size_t stage, struct pfs_buf *out)
{
	pfs_buf_printf(out, "%s/", stages->below);
	lang_path(stages->program, stage, !stages->below[0], out);
}

/* --- making ------------------------------------------------------------------------------------------ */

static void refused(const struct stages *stages, size_t stage, int error)
{
	PFS_BUF struct pfs_buf path = { 0 }, sentence = { 0 };

	stages_path(stages, stage, &path);
	stages_reason(stages->root, path.data ? path.data : "", error, &sentence);
	stages_say(stages->text, stages->program->stage[stage].at,
		   sentence.data ? sentence.data : strerror(error));
}

/* mkdir, and the directory itself. -errno. */
static int make_dir(int above, const char *name)
{
	int fd;

	if (mkdirat(above, name, 0777) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(above, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Devices lie in a folder at the root. */
static int make_device(int root, const char *path)
{
	PFS_FREE char *folder = strndup(path, strcspn(path, "/"));
	PFS_CLOSE int fd = folder ? openat(root, folder, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;

	return fd < 0 ? -errno : make_dir(fd, strchr(path, '/') + 1);
}

static int make_stage(struct stages *stages, size_t i)
{
	const struct lang_stage *stage = &stages->program->stage[i];
	PFS_BUF struct pfs_buf path = { 0 };
	PFS_CLOSE int below = -1;

	if (stage->above != LANG_TOP)
		return make_dir(stages->dir[stage->above], stage->name);
	lang_path(stages->program, i, !stages->below[0], &path);
	if (path.failed)
		return -ENOMEM;
	if (strchr(path.data, '/'))
		return make_device(stages->root, path.data);
	below = openat(stages->root, stages->below[0] ? stages->below + 1 : ".",
		       O_PATH | O_DIRECTORY | O_CLOEXEC);
	return below < 0 ? -errno : make_dir(below, path.data);
}

int stages_make(struct stages *stages)
{
	const struct lang_program *program = stages->program;
	int worst = 0;

	stages->dir = malloc((program->n + 1) * sizeof(*stages->dir));
	if (!stages->dir)
		return pfs_fail("not enough memory");
	for (size_t i = 0; i < program->n; i++)
		stages->dir[i] = -1;
	for (size_t i = 0; i < program->n; i++) {
		size_t above = program->stage[i].above;
		int r;

		if (above != LANG_TOP && stages->dir[above] < 0)
			continue;
		r = make_stage(stages, i);
		if (r < 0) {
			refused(stages, i, -r);
			worst = PFS_EXIT_FAILED;
		} else {
			stages->dir[i] = r;
		}
	}
	return worst;
}

void stages_release(struct stages *stages)
{
	for (size_t i = 0; stages->dir && i < stages->program->n; i++)
		if (stages->dir[i] >= 0)
			close(stages->dir[i]);
	free(TAKE_PTR(stages->dir));
}
