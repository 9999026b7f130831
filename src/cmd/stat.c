/*
 * stat - one directory of a mounted pipesfs: its numbers, parameters and readers, in words
 *
 * Everything comes from the directory's own .stats, .params and .readers and from .filters/ at the root; a pipe file
 * stands for its directory.
 */
#include "cmd/cmd.h"
#include "cmd/mounts.h"
#include "cmd/options.h"
#include "cmd/tree.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

/* "uid=0 pid=42 command=cat view=txt policy=lossy delivered=9 lost=0 lag=0 seen=9" */
enum {
	READER_UID,
	READER_PID,
	READER_COMMAND,
	READER_VIEW,
	READER_POLICY,
	READER_DELIVERED,
	READER_LOST,
	READER_LAG,
	READER_SEEN,
	READER_KEYS_
};

struct reader_line {
	char *value[READER_KEYS_]; /* borrowed from the line; "" when it is not there */
};

static const char *const reader_keys[READER_KEYS_] = { "uid",  "pid",	 "command",
						       "view", "policy", "delivered",
						       "lost", "lag",	 "seen" };

struct dir_info {
	char *path; /* owned */
	char *root; /* owned; the mount point */
	struct stat st;
	struct tree_dir *dir; /* owned */
	char *summary;	      /* owned; first line of the manual, "" when there is none */
	struct pfs_buf params;
	struct pfs_buf readers;
};

static void dir_info_release(struct dir_info *info)
{
	tree_free(info->dir);
	free(info->path);
	free(info->root);
	free(info->summary);
	pfs_buf_release(&info->params);
	pfs_buf_release(&info->readers);
}

/* .filters/TYPE begins with "TYPE - what it does". */
static char *read_summary(const struct dir_info *info)
{
	const char *name = strrchr(info->path, '/') + 1;
	PFS_BUF struct pfs_buf path = { 0 }, text = { 0 };

	if (!strcmp(info->path, info->root))
		return strdup("the root of the tree");
	pfs_buf_printf(&path, "%s/.filters/%.*s", info->root, (int)strcspn(name, ":,"), name);
	if (path.failed)
		return NULL;
	if (tree_read_file(AT_FDCWD, path.data, &text) < 0)
		return strdup("");
	text.data[strcspn(text.data, "\n")] = '\0';
	return strdup(text.data);
}

static int read_hidden(int fd, const char *name, struct pfs_buf *ret_text)
{
	int r = tree_read_hidden(fd, name, ret_text);

	return r == -ENOENT ? 0 : r;
}

/* Fills what there is; the sentence is said here. Returns an exit status. */
static int read_info(const struct mounts *mounts, const char *path, struct dir_info *info)
{
	const struct mounts_entry *root;
	struct pfs_diag diag = { 0 };
	PFS_CLOSE int fd = -1;
	int r;

	r = mounts_find(mounts, path, &info->path, &root, &diag);
	if (r < 0)
		return pfs_fail("%s", diag.text);
	if (stat(info->path, &info->st) < 0)
		return pfs_fail("%s: %s", path, strerror(errno));
	if (!S_ISDIR(info->st.st_mode)) {
		*strrchr(info->path, '/') = '\0';
		if (stat(info->path, &info->st) < 0)
			return pfs_fail("%s: %s", info->path, strerror(errno));
	}
	info->root = strdup(root->point);
	fd = open(info->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return pfs_fail("%s: %s", path, strerror(errno));
	r = tree_read_one(info->path, &info->dir);
	if (!r)
		r = read_hidden(fd, ".params", &info->params);
	if (!r)
		r = read_hidden(fd, ".readers", &info->readers);
	if (!r && info->root)
		info->summary = read_summary(info);
	if (r < 0 || !info->root || !info->summary)
		return pfs_fail("%s: %s", path, strerror(r < 0 ? -r : ENOMEM));
	return 0;
}

/* The last " key=" in the line: a command may hold anything. */
static char *find_key(char *line, const char *key)
{
	char pattern[24], *found = NULL;

	snprintf(pattern, sizeof(pattern), " %s=", key);
	for (char *p = strstr(line, pattern); p; p = strstr(p + 1, pattern))
		found = p;
	return found;
}

/* From its end on; cuts the line into pieces. False when it is not of that form. */
static bool parse_reader(char *line, struct reader_line *ret_reader)
{
	static char none[] = "";

	for (size_t i = READER_KEYS_; i-- > 1;) {
		char *at = find_key(line, reader_keys[i]);

		if (!at && i != READER_VIEW)
			return false;
		ret_reader->value[i] = at ? at + strlen(reader_keys[i]) + 2 : none;
		if (at)
			*at = '\0';
	}
	ret_reader->value[READER_UID] = line + 4;
	return !strncmp(line, "uid=", 4);
}

/* Calls each() for every line of text, which it may cut up. */
static void each_line(struct pfs_buf *text, void (*each)(void *arg, char *line), void *arg)
{
	char *save = NULL;

	if (!text->data)
		return;
	for (char *line = strtok_r(text->data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		each(arg, line);
}

/* --- for people ------------------------------------------------------------------------- */

static void put_clean(const char *text)
{
	PFS_BUF struct pfs_buf clean = { 0 };

	pfs_buf_clean(&clean, text, strlen(text));
	fputs(clean.data ? clean.data : "", stdout);
}

static void put_param(void *arg, char *line)
{
	bool *first = arg;

	printf("  %-12s ", *first ? "parameters" : "");
	put_clean(line);
	putchar('\n');
	*first = false;
}

static void put_reader(void *arg, char *line)
{
	PFS_BUF struct pfs_buf command = { 0 };
	struct reader_line reader;
	char *const *value = reader.value;
	bool *first = arg;
	struct passwd *user;

	if (!parse_reader(line, &reader))
		return;
	pfs_buf_clean(&command, value[READER_COMMAND], strlen(value[READER_COMMAND]));
	if (*value[READER_VIEW])
		pfs_buf_printf(&command, " (%s)", value[READER_VIEW]);
	if (*first)
		printf("\n  %-8s %8s %-20s %-9s %12s %10s %10s\n", "reader", "pid", "command",
		       "policy", "delivered", "lost", "behind");
	*first = false;
	user = getpwuid((uid_t)strtoul(value[READER_UID], NULL, 10));
	printf("  %-8s %8s %-20s %-9s %12s %10s %10s\n", user ? user->pw_name : value[READER_UID],
	       value[READER_PID], command.data ? command.data : "", value[READER_POLICY],
	       value[READER_DELIVERED], value[READER_LOST], value[READER_LAG]);
}

static void put_id(const char *name, unsigned id)
{
	if (name)
		put_clean(name);
	else
		printf("%u", id);
}

static void print_text(struct dir_info *info)
{
	struct passwd *user = getpwuid(info->st.st_uid);
	struct group *group = getgrgid(info->st.st_gid);
	bool first = true;

	put_clean(info->path);
	putchar('\n');
	if (*info->summary) {
		printf("  %-12s ", "is");
		put_clean(info->summary);
		putchar('\n');
	}
	printf("  %-12s ", "owner");
	put_id(user ? user->pw_name : NULL, info->st.st_uid);
	putchar(':');
	put_id(group ? group->gr_name : NULL, info->st.st_gid);
	printf(" %04o\n", info->st.st_mode & 07777);
	for (size_t i = 0; i < info->dir->nvalues; i++) {
		printf("  %-12s ", info->dir->value[i].name);
		put_clean(info->dir->value[i].text);
		putchar('\n');
	}
	each_line(&info->params, put_param, &first);
	first = true;
	each_line(&info->readers, put_reader, &first);
}

/* --- for programs ------------------------------------------------------------------------ */

struct json_list {
	struct pfs_buf *out;
	bool more;
};

static void json_string(struct pfs_buf *out, const char *key, const char *text, size_t len)
{
	pfs_buf_printf(out, "\"%s\":\"", key);
	pfs_buf_json(out, text, len);
	pfs_buf_str(out, "\"");
}

static void json_param(void *arg, char *line)
{
	struct json_list *list = arg;
	char *value = strchr(line, '=');

	if (!value)
		return;
	*value++ = '\0';
	if (list->more)
		pfs_buf_str(list->out, ",");
	list->more = true;
	json_string(list->out, line, value, strlen(value));
}

static void json_reader(void *arg, char *line)
{
	struct json_list *list = arg;
	struct reader_line reader;

	if (!parse_reader(line, &reader))
		return;
	pfs_buf_str(list->out, list->more ? ",{" : "{");
	list->more = true;
	for (size_t i = 0; i < READER_KEYS_; i++) {
		const char *value = reader.value[i];

		if (i)
			pfs_buf_str(list->out, ",");
		if (i >= READER_COMMAND && i <= READER_POLICY)
			json_string(list->out, reader_keys[i], value, strlen(value));
		else
			pfs_buf_printf(list->out, "\"%s\":%llu", reader_keys[i],
				       strtoull(value, NULL, 10));
	}
	pfs_buf_str(list->out, "}");
}

static int print_json(struct dir_info *info)
{
	PFS_BUF struct pfs_buf out = { 0 };

	pfs_buf_str(&out, "{");
	json_string(&out, "mount", info->root, strlen(info->root));
	pfs_buf_str(&out, ",");
	json_string(&out, "path", info->path, strlen(info->path));
	pfs_buf_str(&out, ",");
	json_string(&out, "summary", info->summary, strlen(info->summary));
	pfs_buf_printf(&out, ",\"uid\":%u,\"gid\":%u,\"mode\":\"%04o\",\"stats\":{",
		       info->st.st_uid, info->st.st_gid, info->st.st_mode & 07777);
	tree_json_values(info->dir, &out);
	pfs_buf_str(&out, "},\"params\":{");
	each_line(&info->params, json_param, &(struct json_list){ &out, false });
	pfs_buf_str(&out, "},\"readers\":[");
	each_line(&info->readers, json_reader, &(struct json_list){ &out, false });
	pfs_buf_str(&out, "]}\n");
	if (out.failed)
		return pfs_fail("not enough memory");
	fwrite(out.data, 1, out.len, stdout);
	return 0;
}

static int stat_run(int argc, char **argv)
{
	MOUNTS struct mounts mounts = { 0 };
	bool json = false;
	int c, r, worst = 0;

	while ((c = pfs_getopt(&pfs_cmd_stat, argc, argv)) != -1) {
		if (c != 'j')
			return pfs_usage(&pfs_cmd_stat, NULL);
		json = true;
	}
	if (optind == argc)
		return pfs_usage(&pfs_cmd_stat, "say which directory");
	r = mounts_read(&mounts);
	if (r < 0)
		return pfs_fail("/proc/self/mountinfo: %s", strerror(-r));
	for (int i = optind; i < argc; i++) {
		PFS_CLEANUP(dir_info_release) struct dir_info info = { 0 };

		r = read_info(&mounts, argv[i], &info);
		if (!r && json)
			r = print_json(&info);
		else if (!r)
			print_text(&info);
		worst = r ? r : worst;
	}
	return worst;
}

static const struct pfs_option stat_options[] = {
	{ .key = 'j', .name = "json", .help = "one JSON object for each PATH" },
	{ 0 },
};

const struct pfs_command pfs_cmd_stat = {
	.name = "stat",
	.summary = "show one directory: its counters, parameters and readers",
	.options = stat_options,
	.operands = "PATH...",
	.words = PFS_WORDS_TREE,
	.help = "A pipe file (DIR/all) stands for its directory.\n",
	.run = stat_run,
};
