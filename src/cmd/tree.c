/*
 * tree - reads directories and their .stats
 */
#include "cmd/tree.h"

#include "base/name.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FILE_MAX ((size_t)32 << 20)

void tree_free(struct tree_dir *dir)
{
	if (!dir)
		return;
	for (size_t i = 0; i < dir->nvalues; i++) {
		free(dir->value[i].name);
		free(dir->value[i].text);
	}
	for (size_t i = 0; i < dir->nchildren; i++)
		tree_free(dir->child[i]);
	free(dir->value);
	free(dir->child);
	free(dir->name);
	free(dir);
}

int tree_read_file(int at, const char *path, struct pfs_buf *ret_text)
{
	PFS_CLOSE int fd = openat(at, path, O_RDONLY | O_CLOEXEC);
	PFS_BUF struct pfs_buf text = { 0 };

	if (fd < 0)
		return -errno;
	while (text.len < FILE_MAX) {
		char *to = pfs_buf_reserve(&text, 16384);
		ssize_t n;

		if (!to)
			return -ENOMEM;
		n = read(fd, to, 16384);
		if (n < 0)
			return -errno;
		if (!n)
			break;
		text.len += (size_t)n;
	}
	pfs_buf_str(&text, "");
	if (text.failed)
		return -ENOMEM;
	*ret_text = text;
	text = (struct pfs_buf){ 0 };
	return 0;
}

static void close_stream(DIR **stream)
{
	if (*stream)
		closedir(*stream);
}

/* Is it there? Asked of the list: whoever opens a name in a directory of portals opens a portal. */
static bool is_listed(int at, const char *name)
{
	int again = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PFS_CLEANUP(close_stream) DIR *stream = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;

	if (!stream && again >= 0)
		close(again);
	while (stream && (entry = readdir(stream)))
		if (!strcmp(entry->d_name, name))
			return true;
	return false;
}

int tree_read_hidden(int at, const char *name, struct pfs_buf *ret_text)
{
	return is_listed(at, name) ? tree_read_file(at, name, ret_text) : -ENOENT;
}

static int add_value(struct tree_dir *dir, const char *name, size_t name_len, const char *text)
{
	struct tree_value *grown = realloc(dir->value, (dir->nvalues + 1) * sizeof(*grown));
	struct tree_value *value;

	if (!grown)
		return -ENOMEM;
	dir->value = grown;
	value = &grown[dir->nvalues];
	*value = (struct tree_value){ .name = strndup(name, name_len), .text = strdup(text) };
	if (!value->name || !value->text) {
		free(value->name);
		free(value->text);
		return -ENOMEM;
	}
	value->is_number = !text[strspn(text, "0123456789")] &&
			   !pfs_number_parse(text, false, 0, UINT64_MAX, &value->number);
	dir->nvalues++;
	return 0;
}

/* Lines of `name value`; what has no space in it is not one. Cuts the text into pieces. */
static int parse_values(struct tree_dir *dir, char *text)
{
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *space = strchr(line, ' ');
		int r;

		if (!space || space == line)
			continue;
		r = add_value(dir, line, (size_t)(space - line), space + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int read_values(int fd, struct tree_dir *dir)
{
	PFS_BUF struct pfs_buf text = { 0 };
	int r = tree_read_hidden(fd, ".stats", &text);

	if (r == -ENOMEM)
		return r;
	/* Not every directory counts, and one that has just been removed counts no more. */
	if (r < 0 || !text.data)
		return 0;
	return parse_values(dir, text.data);
}

static int by_name(const void *a, const void *b)
{
	const struct tree_dir *const *x = a, *const *y = b;

	return strverscmp((*x)->name, (*y)->name);
}

static bool is_dir(int fd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return !fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static int read_dir(int at, const char *path, const char *name, unsigned depth,
		    struct tree_dir **ret_dir);

static int add_child(struct tree_dir *dir, int fd, const char *name, unsigned depth)
{
	struct tree_dir **grown;
	struct tree_dir *child;
	int r;

	grown = realloc(dir->child, (dir->nchildren + 1) * sizeof(struct tree_dir *));
	if (!grown)
		return -ENOMEM;
	dir->child = grown;
	r = read_dir(fd, name, name, depth, &child);
	if (r == -ENOENT || r == -ESTALE)
		return 0; /* gone since */
	if (r < 0)
		return r;
	grown[dir->nchildren++] = child;
	return 0;
}

static int read_children(int fd, struct tree_dir *dir, unsigned depth)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PFS_CLEANUP(close_stream) DIR *stream = again >= 0 ? fdopendir(again) : NULL;
	struct dirent *entry;

	if (!stream) {
		dir->error = errno;
		if (again >= 0)
			close(again);
		return 0;
	}
	while ((entry = readdir(stream))) {
		int r;

		if (entry->d_name[0] == '.' || !is_dir(fd, entry))
			continue;
		if (!depth) {
			dir->cut = true;
			return 0;
		}
		r = add_child(dir, fd, entry->d_name, depth - 1);
		if (r < 0)
			return r;
	}
	if (dir->nchildren)
		qsort(dir->child, dir->nchildren, sizeof(struct tree_dir *), by_name);
	return 0;
}

/* A directory that may not be entered is still one: it carries the error. */
static int read_dir(int at, const char *path, const char *name, unsigned depth,
		    struct tree_dir **ret_dir)
{
	TREE struct tree_dir *dir = pfs_zalloc(1, sizeof(*dir));
	PFS_CLOSE int fd = -1;
	int r;

	if (!dir)
		return -ENOMEM;
	dir->name = strdup(name);
	if (!dir->name)
		return -ENOMEM;
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && (errno != EACCES || at == AT_FDCWD))
		return -errno;
	if (fd < 0) {
		dir->error = errno;
	} else {
		r = read_values(fd, dir);
		if (!r)
			r = read_children(fd, dir, depth);
		if (r < 0)
			return r;
	}
	*ret_dir = TAKE_PTR(dir);
	return 0;
}

int tree_read(const char *path, unsigned depth, struct tree_dir **ret_dir)
{
	return read_dir(AT_FDCWD, path, path, depth, ret_dir);
}

int tree_read_one(const char *path, struct tree_dir **ret_dir)
{
	return read_dir(AT_FDCWD, path, path, 0, ret_dir);
}

const struct tree_value *tree_value(const struct tree_dir *dir, const char *name)
{
	for (size_t i = 0; dir && i < dir->nvalues; i++)
		if (!strcmp(dir->value[i].name, name))
			return &dir->value[i];
	return NULL;
}

uint64_t tree_number(const struct tree_dir *dir, const char *name)
{
	const struct tree_value *value = tree_value(dir, name);

	return value && value->is_number ? value->number : 0;
}

const struct tree_dir *tree_at(const struct tree_dir *dir, const char *path)
{
	while (dir && *path) {
		size_t len = strcspn(path, "/");
		const struct tree_dir *found = NULL;

		for (size_t i = 0; len && !found && i < dir->nchildren; i++)
			if (!strncmp(dir->child[i]->name, path, len) && !dir->child[i]->name[len])
				found = dir->child[i];
		if (len)
			dir = found;
		path += len + (path[len] == '/');
	}
	return dir;
}

void tree_json_values(const struct tree_dir *dir, struct pfs_buf *out)
{
	for (size_t i = 0; i < dir->nvalues; i++) {
		const struct tree_value *value = &dir->value[i];

		pfs_buf_str(out, i ? ",\"" : "\"");
		pfs_buf_json(out, value->name, strlen(value->name));
		if (value->is_number) {
			pfs_buf_printf(out, "\":%llu", (unsigned long long)value->number);
		} else {
			pfs_buf_str(out, "\":\"");
			pfs_buf_json(out, value->text, strlen(value->text));
			pfs_buf_str(out, "\"");
		}
	}
}
