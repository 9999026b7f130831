/*
 * redirctl - `redirctl`: which filters of files there are, what they do where, and changing it
 *
 * The words and what they print are those of RedirFS's redirctl: `list` says `name priority active`, `paths` says `path
 * 0xFLAGS` (1 single, 2 subtree, 4 include, 8 exclude). Filters in processes of their own have a fourth word, pid=N or
 * gone.
 */
#include "cmd/redirctl_i.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cmd/options.h"
#include "cmd/place.h"
#include "cmd/shipped.h"
#include "cmd/tree.h"

const struct redirctl_word redirctl_words[] = {
	{ "list", "", REDIRCTL_LIST, 0, 0, false, "the filters: name, priority, active, process" },
	{ "paths", "FILTER", REDIRCTL_PATHS, 1, 1, false, "its paths: path, flags" },
	{ "hooks", "FILTER", REDIRCTL_HOOKS, 1, 1, false,
	  "what a filter in a process of its own is asked about" },
	{ "setpath", "FILTER PATH include|exclude single|subtree", REDIRCTL_SETPATH, 4, 4, true,
	  "include or exclude a path, it alone or all below it" },
	{ "rempath", "FILTER PATH", REDIRCTL_REMPATH, 2, 2, true,
	  "neither include nor exclude it any more" },
	{ "activate", "FILTER", REDIRCTL_ACTIVATE, 1, 1, true, "from now on it is asked" },
	{ "deactivate", "FILTER", REDIRCTL_DEACTIVATE, 1, 1, true, "it is not asked any more" },
	{ "load", "NAME FILE[,ARG...] PRIORITY", REDIRCTL_LOAD, 3, 3, true,
	  "a filter from a shared object, inactive" },
	{ "unload", "FILTER", REDIRCTL_UNLOAD, 1, 1, true, "unregister it" },
	{ "priority", "FILTER [N]", REDIRCTL_PRIORITY, 1, 2, true,
	  "print or set its priority: a number or a group" },
	{ "policy", "FILTER [open|closed|ERRNO]", REDIRCTL_POLICY, 1, 2, true,
	  "print or set what a call gets when it cannot answer" },
	{ "deadline", "FILTER [TIME]", REDIRCTL_DEADLINE, 1, 2, true,
	  "print or set how long it may take" },
	{ "stat", "[FILTER]", REDIRCTL_STAT, 0, 1, false, "what it was asked, and how it answered" },
	{ "top", "[FILTER...]", REDIRCTL_TOP, 0, INT_MAX, false,
	  "operations per second, durations, answers" },
	{ "check", "FILE", REDIRCTL_CHECK, 1, 1, false,
	  "is a file of these commands right? Nothing is done" },
	{ 0 },
};

const struct redirctl_word *redirctl_find(size_t n, char *const *words, struct pfs_diag *diag)
{
	const struct redirctl_word *word = redirctl_words;

	while (word->name && strcmp(word->name, words[0]) != 0)
		word++;
	if (!word->name) {
		pfs_diag_set(diag, EINVAL, "there is no command '%.64s'", words[0]);
		return NULL;
	}
	if (n - 1 < (size_t)word->min || n - 1 > (size_t)word->max) {
		pfs_diag_set(diag, EINVAL, "it is: %s %s", word->name, word->operands);
		return NULL;
	}
	return word;
}

int redirctl_kind(const char *which, const char *how, bool *ret_include, bool *ret_subtree,
		  struct pfs_diag *diag)
{
	bool include = !strcmp(which, "include"), subtree = !strcmp(how, "subtree");

	if (!include && strcmp(which, "exclude") != 0)
		return pfs_diag_set(diag, EINVAL, "a path is included or excluded: include, exclude");
	if (!subtree && strcmp(how, "single") != 0)
		return pfs_diag_set(diag, EINVAL,
				    "a path counts alone or with all below it: single, subtree");
	*ret_include = include;
	*ret_subtree = subtree;
	return 0;
}

/* --- the files of the mount ---------------------------------------------------------------------------- */

/* What .errors says last of us. */
static void why(const struct redirctl *ctl, struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf errors = { 0 };
	char mine[32], *line, *save = NULL;

	if (tree_read_file(ctl->root, ".errors", &errors) < 0 || !errors.data)
		return;
	snprintf(mine, sizeof(mine), "Z %ld /" REDIRCTL_TREE "/", (long)getpid());
	for (line = strtok_r(errors.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *at = strstr(line, mine);

		/* Path and errno, then the sentence. */
		for (int i = 0; at && i < 4; i++) {
			at = strchr(at, ' ');
			at = at ? at + 1 : NULL;
		}
		if (at)
			pfs_diag_set(diag, 0, "%s", at);
	}
}

/* -ENODEV: there is no such filter. */
static int no_filter(const char *filter, struct pfs_diag *diag)
{
	return pfs_diag_set(diag, ENODEV, "there is no filter '%.64s'", filter);
}

bool redirctl_is_name(const char *filter)
{
	return *filter && !strpbrk(filter, "/,:") && strcmp(filter, ".") != 0 &&
	       strcmp(filter, "..") != 0;
}

static int file_path(const char *filter, const char *file, struct pfs_buf *out, struct pfs_diag *diag)
{
	if (!redirctl_is_name(filter))
		return no_filter(filter, diag);
	pfs_buf_printf(out, REDIRCTL_TREE "/%s/%s", filter, file);
	return out->failed ? -ENOMEM : 0;
}

static int read_file(const struct redirctl *ctl, const char *filter, const char *file,
		     struct pfs_buf *out, struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf path = { 0 };
	int r = file_path(filter, file, &path, diag);

	if (r == 0)
		r = tree_read_file(ctl->root, path.data, out);
	return r == -ENOENT || r == -ENODEV ? no_filter(filter, diag) : r;
}

static int write_file(const struct redirctl *ctl, const char *filter, const char *file,
		      const char *text, struct pfs_buf *out, struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf path = { 0 };
	PFS_CLOSE int fd = -1;
	int r = file_path(filter, file, &path, diag);

	if (r < 0 || !path.data || !text)
		return r < 0 ? r : -ENOMEM;
	if (ctl->dry) {
		pfs_buf_printf(out, "echo '%s' > %s/%s\n", text, ctl->dir, path.data);
		return 0;
	}
	fd = openat(ctl->root, path.data, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? no_filter(filter, diag) : -errno;
	if (write(fd, text, strlen(text)) < 0) {
		r = -errno;
		why(ctl, diag);
	}
	return r;
}

/* --- changing -------------------------------------------------------------------------------------------- */

/* The text of a rule; relative paths are those of whoever calls. */
static int rule_text(const char *path, bool subtree, struct pfs_buf *out, struct pfs_diag *diag)
{
	PFS_FREE char *real = path[0] == '/' ? strdup(path) : realpath(path, NULL);

	if (!real)
		return pfs_diag_set(diag, errno, "%.180s: %s", path, strerror(errno));
	rd_path_say(out, real);
	pfs_buf_str(out, subtree ? " subtree" : " single");
	return out->failed ? -ENOMEM : 0;
}

static int setpath(const struct redirctl *ctl, char *const *operand, struct pfs_buf *out,
		   struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf text = { 0 };
	bool include = false, subtree = false;
	int r = redirctl_kind(operand[2], operand[3], &include, &subtree, diag);

	if (r == 0)
		r = rule_text(operand[1], subtree, &text, diag);
	return r < 0 ? r
		     : write_file(ctl, operand[0], include ? "include" : "exclude", text.data, out,
				  diag);
}

static int rempath(const struct redirctl *ctl, char *const *operand, struct pfs_buf *out,
		   struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf text = { 0 };
	int r = rule_text(operand[1], true, &text, diag);

	return r < 0 ? r : write_file(ctl, operand[0], "remove", text.data, out, diag);
}

static int load(const struct redirctl *ctl, char *const *operand, struct pfs_buf *out,
		struct pfs_diag *diag)
{
	const char *rest;
	PFS_FREE char *file = pfs_shipped_find(operand[1], &rest);
	PFS_BUF struct pfs_buf path = { 0 };
	int r = 0;

	if (!file)
		return pfs_diag_set(diag, errno, "%.*s: %s",
				    (int)pfs_min((size_t)(rest - operand[1]), 180), operand[1],
				    strerror(errno));
	pfs_buf_str(&path, REDIRCTL_TREE "/");
	pfs_name_escape(&path, operand[0], strlen(operand[0]));
	pfs_buf_str(&path, ",so=");
	pfs_name_escape(&path, file, strlen(file));
	if (*rest) {
		pfs_buf_str(&path, ",args=");
		pfs_name_escape(&path, rest + 1, strlen(rest + 1));
	}
	pfs_buf_str(&path, ",priority=");
	pfs_name_escape(&path, operand[2], strlen(operand[2]));
	if (path.failed)
		return -ENOMEM;
	if (ctl->dry) {
		pfs_buf_printf(out, "mkdir '%s/%s'\n", ctl->dir, path.data);
	} else if (mkdirat(ctl->root, path.data, 0755) < 0) {
		r = -errno;
		/* The kernel found a directory of that name, and did not ask. */
		if (r == -EEXIST)
			pfs_diag_set(diag, 0, "there is a filter '%.64s' already", operand[0]);
		why(ctl, diag);
	}
	return r;
}

static int unload(const struct redirctl *ctl, char *const *operand, struct pfs_buf *out,
		  struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf path = { 0 };
	int r = file_path(operand[0], "", &path, diag);

	if (r < 0 || !path.data)
		return r < 0 ? r : -ENOMEM;
	if (ctl->dry) {
		pfs_buf_printf(out, "rmdir %s/%s\n", ctl->dir, path.data);
		return 0;
	}
	if (unlinkat(ctl->root, path.data, AT_REMOVEDIR) == 0)
		return 0;
	r = -errno;
	why(ctl, diag);
	return r == -ENOENT ? no_filter(operand[0], diag) : r;
}

/* --- looking ------------------------------------------------------------------------------------------------ */

static void strip(struct pfs_buf *text)
{
	while (text->len && text->data[text->len - 1] == '\n')
		text->data[--text->len] = '\0';
}

static int list_one(const struct redirctl *ctl, const char *filter, bool first, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf priority = { 0 }, active = { 0 }, from = { 0 };
	const char *pid = NULL, *gone;
	struct pfs_diag diag;
	int r = read_file(ctl, filter, "priority", &priority, &diag);

	if (r == 0)
		r = read_file(ctl, filter, "active", &active, &diag);
	if (r == 0)
		r = read_file(ctl, filter, "from", &from, &diag);
	if (r < 0 || !priority.data || !active.data)
		return r == -ENODEV ? 0 : r; /* it went meanwhile */
	strip(&priority);
	strip(&active);
	strip(&from);
	if (from.data && !strncmp(from.data, "pid ", 4))
		pid = from.data + 4;
	gone = from.data && !strcmp(from.data, "gone") ? "gone" : NULL;
	if (ctl->json) {
		pfs_buf_printf(out, "%s{\"name\":\"%s\",\"priority\":%s,\"active\":%s",
			       first ? "" : ",", filter, priority.data,
			       active.data[0] == '1' ? "true" : "false");
		if (pid || gone)
			pfs_buf_printf(out, ",\"pid\":%s", pid ? pid : "null");
		pfs_buf_str(out, "}");
	} else {
		pfs_buf_printf(out, "%s %s %s%s%s\n", filter, priority.data, active.data,
			       pid    ? " pid="
			       : gone ? " "
				      : "",
			       pid    ? pid
			       : gone ? gone
				      : "");
	}
	return 1;
}

static int stat_one(const struct redirctl *ctl, const char *filter, bool first, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pfs_diag diag;
	int r = read_file(ctl, filter, ".stats", &text, &diag);
	char *save = NULL;

	if (r < 0 || !text.data)
		return r;
	pfs_buf_printf(out, ctl->json ? "%s{\"name\":\"%s\"" : "%s%s",
		       ctl->json && !first ? "," : "", filter);
	for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strchr(line, ' ');

		if (!value)
			continue;
		*value++ = '\0';
		pfs_buf_printf(out, ctl->json ? ",\"%s\":%s" : " %s %s", line, value);
	}
	pfs_buf_str(out, ctl->json ? "}" : "\n");
	return 1;
}

/* Each filter, by priority. */
static int each(const struct redirctl *ctl,
		int (*one)(const struct redirctl *, const char *, bool, struct pfs_buf *),
		struct pfs_buf *out)
{
	int fd = openat(ctl->root, REDIRCTL_TREE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool first = true;
	int r = dir ? 0 : -errno;

	while (dir && r >= 0 && (entry = readdir(dir)))
		if (entry->d_name[0] != '.') {
			r = one(ctl, entry->d_name, first, out);
			first = first && r <= 0;
		}
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	return r < 0 ? r : 0;
}

/* "PATH 0xFLAGS\n" each. */
static int paths_json(char *text, struct pfs_buf *out)
{
	char *save = NULL;
	bool first = true;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		PFS_FREE char *path = NULL;
		char *flags = strrchr(line, ' ');
		unsigned long bits;
		bool subtree;

		if (!flags)
			return -EPROTO;
		bits = strtoul(flags, NULL, 16);
		if (rd_rule_parse(line, (size_t)(flags - line), &path, &subtree, NULL) < 0)
			return -EPROTO;
		pfs_buf_printf(out, "%s{\"path\":\"", first ? "" : ",");
		pfs_buf_json(out, path, strlen(path));
		pfs_buf_printf(out, "\",\"include\":%s,\"subtree\":%s}",
			       bits & RD_RULE_INCLUDE ? "true" : "false",
			       bits & RD_RULE_SUBTREE ? "true" : "false");
		first = false;
	}
	return 0;
}

static int paths(const struct redirctl *ctl, const char *filter, struct pfs_buf *out,
		 struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf text = { 0 };
	int r = read_file(ctl, filter, "paths", &text, diag);

	if (r < 0 || !text.data)
		return r;
	if (ctl->json)
		return paths_json(text.data, out);
	pfs_buf_add(out, text.data, text.len);
	return 0;
}

static int hooks(const struct redirctl *ctl, const char *filter, struct pfs_buf *out,
		 struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf text = { 0 };
	int r = read_file(ctl, filter, "hooks", &text, diag);
	char *save = NULL;
	bool first = true;

	if (r < 0 || !text.data)
		return r;
	for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		pfs_buf_printf(out, ctl->json ? "%s\"%s\"" : "%s%s\n",
			       ctl->json && !first ? "," : "", line);
		first = false;
	}
	return 0;
}

static int setting(const struct redirctl *ctl, const struct redirctl_word *word,
		   char *const *operand, struct pfs_buf *out, struct pfs_diag *diag)
{
	if (operand[1])
		return write_file(ctl, operand[0], word->name, operand[1], out, diag);
	return read_file(ctl, operand[0], word->name, out, diag);
}

static int look(const struct redirctl *ctl, const struct redirctl_word *word, char *const *operand,
		struct pfs_buf *out, struct pfs_diag *diag)
{
	int r;

	if (ctl->json)
		pfs_buf_str(out, "[");
	if (word->verb == REDIRCTL_LIST)
		r = each(ctl, list_one, out);
	else if (word->verb == REDIRCTL_PATHS)
		r = paths(ctl, operand[0], out, diag);
	else if (word->verb == REDIRCTL_HOOKS)
		r = hooks(ctl, operand[0], out, diag);
	else if (!operand[0])
		r = each(ctl, stat_one, out);
	else
		r = stat_one(ctl, operand[0], true, out);
	if (ctl->json)
		pfs_buf_str(out, "]\n");
	if (r == -ENODEV && operand[0])
		return no_filter(operand[0], diag);
	return r < 0 ? r : 0;
}

int redirctl_do(const struct redirctl *ctl, const struct redirctl_word *word, char *const *operand,
		struct pfs_buf *out, struct pfs_diag *diag)
{
	switch (word->verb) {
	case REDIRCTL_LIST:
	case REDIRCTL_PATHS:
	case REDIRCTL_HOOKS:
	case REDIRCTL_STAT:
		return look(ctl, word, operand, out, diag);
	case REDIRCTL_SETPATH:
		return setpath(ctl, operand, out, diag);
	case REDIRCTL_REMPATH:
		return rempath(ctl, operand, out, diag);
	case REDIRCTL_ACTIVATE:
		return write_file(ctl, operand[0], "active", "1", out, diag);
	case REDIRCTL_DEACTIVATE:
		return write_file(ctl, operand[0], "active", "0", out, diag);
	case REDIRCTL_LOAD:
		return load(ctl, operand, out, diag);
	case REDIRCTL_UNLOAD:
		return unload(ctl, operand, out, diag);
	case REDIRCTL_PRIORITY:
	case REDIRCTL_POLICY:
	case REDIRCTL_DEADLINE:
		return setting(ctl, word, operand, out, diag);
	case REDIRCTL_TOP: /* for a terminal, and without end */
	case REDIRCTL_CHECK:
		break;
	}
	return -EINVAL;
}

/* --- the command ---------------------------------------------------------------------------------------------- */

static void say(const char *sentence)
{
	fprintf(stderr, "redirctl: %s\n", sentence);
}

static int check(const char *file)
{
	PFS_BUF struct pfs_buf text = { 0 };
	int r = tree_read_file(AT_FDCWD, file, &text);

	if (r < 0)
		fprintf(stderr, "redirctl: %s: %s\n", file, strerror(-r));
	return r < 0 || redirctl_check(file, text.data ? text.data : "", text.len, say)
		       ? PFS_EXIT_FAILED
		       : PFS_EXIT_OK;
}

static int run(const char *dir, struct redirctl *ctl, const struct redirctl_word *word,
	       char *const *operand)
{
	PFS_CLEANUP(place_release) struct place place = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	PFS_CLOSE int root = -1;
	struct pfs_diag diag = { "" };
	int r = place_mounted(dir, &place);

	if (r)
		return r;
	root = open(place.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ctl->root = root;
	ctl->dir = place.root;
	if (root < 0)
		r = -errno;
	else if (word->verb == REDIRCTL_TOP)
		r = redirctl_top(ctl, operand, &diag);
	else
		r = redirctl_do(ctl, word, operand, &out, &diag);
	if (r == 0 && out.failed)
		r = -ENOMEM;
	if (r == 0) {
		fwrite(out.data ? out.data : "", 1, out.len, stdout);
		return PFS_EXIT_OK;
	}
	/* The thesis's word for it. */
	if (r == -EPERM || r == -EACCES)
		fprintf(stderr, "redirctl: operation not permitted%s%s\n", diag.text[0] ? ": " : "",
			diag.text);
	else
		say(diag.text[0] ? diag.text : strerror(-r));
	return PFS_EXIT_FAILED;
}

static int redirctl_run(int argc, char **argv)
{
	struct redirctl ctl = { .root = -1, .interval = 1 };
	const struct redirctl_word *word;
	struct pfs_diag diag = { "" };
	const char *dir = NULL;
	int c;

	while ((c = pfs_getopt(&pfs_cmd_redirctl, argc, argv)) != -1) {
		if (c == 'j')
			ctl.json = true;
		else if (c == 'n')
			ctl.dry = true;
		else if (c == 'm')
			dir = optarg;
		else if (c == 'o')
			ctl.once = true;
		else if (c != 'd')
			return pfs_usage(&pfs_cmd_redirctl, NULL);
		else if (pfs_interval_parse(&pfs_cmd_redirctl, optarg, &ctl.interval) != 0)
			return PFS_EXIT_USAGE;
	}
	if (optind == argc)
		return pfs_usage(&pfs_cmd_redirctl, "a command is needed");
	word = redirctl_find((size_t)(argc - optind), argv + optind, &diag);
	if (!word)
		return pfs_usage(&pfs_cmd_redirctl, "%s", diag.text);
	if (word->verb == REDIRCTL_CHECK)
		return check(argv[optind + 1]);
	return run(dir, &ctl, word, argv + optind + 1);
}

static void words_help(struct pfs_buf *out)
{
	for (const struct redirctl_word *word = redirctl_words; word->name; word++) {
		size_t n = strlen(word->name) + strlen(word->operands) + 1;

		pfs_buf_printf(out, "  %s %s%*s%s\n", word->name, word->operands,
			       n < 26 ? (int)(27 - n) : 1, "", word->summary);
	}
}

static const char *const choices[] = {
	"list",	   "paths",    "setpath", "rempath",  "activate", "deactivate", "load",
	"unload",  "priority", "policy",  "deadline", "stat",	  "top",	"check",
	"include", "exclude",  "single",  "subtree",  NULL,
};

static const struct pfs_option redirctl_options[] = {
	{ .key = 'j', .letter = true, .name = "json", .help = "list, paths, stat, top: as JSON" },
	{ .key = 'o', .name = "once", .help = "top: one table, and end" },
	{ .key = 'd',
	  .letter = true,
	  .name = "delay",
	  .value = "SECONDS",
	  .help = "top: between two tables (default 1)" },
	{ .key = 'n',
	  .letter = true,
	  .name = "dry-run",
	  .help = "change nothing: print what a shell would do" },
	{ .key = 'm',
	  .letter = true,
	  .name = "mount",
	  .value = "DIR",
	  .help = "the pipesfs to work with, if there are several",
	  .words = PFS_WORDS_MOUNT },
	{ 0 },
};

const struct pfs_command pfs_cmd_redirctl = {
	.name = "redirctl",
	.summary = "control filters of files (also a program of its own)",
	.options = redirctl_options,
	.operands = "COMMAND [ARGUMENT...]",
	.words = PFS_WORDS_CHOICE,
	.choices = choices,
	.more_help = words_help,
	.run = redirctl_run,
};
