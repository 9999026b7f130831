/*
 * pipelines - reads *.pipe and *.conf, makes what they say
 */
#include "cmd/pipelines.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "cmd/cmd.h"
#include "cmd/redirctl_i.h"
#include "cmd/stages.h"
#include "cmd/tree.h"

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return name[0] != '.' && len > n && !strcmp(name + len - n, end);
}

static int is_pipe(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".pipe");
}

static int is_conf(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".conf");
}

static unsigned wrong(const char *path, const char *why)
{
	pfs_say("%s: %s", path, why);
	syslog(LOG_NOTICE, "%s: %s", path, why);
	return 1;
}

/* 0, or 1 after it was said why not. */
static unsigned make_one(int root, int folder, const char *file, const char *path)
{
	LANG_PROGRAM struct lang_program program = { 0 };
	PFS_CLEANUP(stages_release) struct stages stages = { 0 };
	PFS_BUF struct pfs_buf text = { 0 };
	int r = tree_read_file(folder, file, &text);
	struct stages_text source = {
		.file = path,
		.text = text.data ? text.data : "",
		.len = text.len,
		.log = true,
	};

	if (r < 0)
		return wrong(path, strerror(-r));
	if (stages_parse(&source, &program) != 0)
		return 1;
	stages = (struct stages){ .program = &program, .text = &source, .root = root, .below = "" };
	return stages_make(&stages) != 0;
}

static void say_wrong(const char *sentence)
{
	pfs_say("%s", sentence);
	syslog(LOG_NOTICE, "%s", sentence);
}

static unsigned redirect_one(int root, int folder, const char *file, const char *path)
{
	struct redirctl ctl = { .root = root, .dir = "" };
	PFS_BUF struct pfs_buf text = { 0 };
	int r = tree_read_file(folder, file, &text);

	if (r < 0)
		return wrong(path, strerror(-r));
	return redirctl_apply(&ctl, path, text.data ? text.data : "", text.len, say_wrong) != 0;
}

static unsigned make_all(const char *mount, const char *folder, int optional,
			 int (*is)(const struct dirent *),
			 unsigned (*make)(int root, int folder, const char *file, const char *path))
{
	PFS_CLOSE int root = open(mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PFS_CLOSE int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **found = NULL;
	unsigned failed = 0;
	int n;

	if (dir < 0 && errno == ENOENT && optional)
		return 0;
	openlog("pipesfs", LOG_PID, LOG_DAEMON);
	n = root < 0 || dir < 0 ? -1 : scandirat(dir, ".", &found, is, versionsort);
	if (n < 0)
		failed = wrong(root < 0 ? mount : folder, strerror(errno));
	for (int i = 0; i < n; i++) {
		PFS_BUF struct pfs_buf path = { 0 };

		pfs_buf_printf(&path, "%s/%s", folder, found[i]->d_name);
		if (!path.failed)
			failed += make(root, dir, found[i]->d_name, path.data);
		free(found[i]);
	}
	free(found);
	closelog();
	return failed;
}

unsigned pipelines_make(const char *mount, const char *folder, int optional)
{
	return make_all(mount, folder, optional, is_pipe, make_one);
}

unsigned redirections_make(const char *mount, const char *folder, int optional)
{
	return make_all(mount, folder, optional, is_conf, redirect_one);
}
