#include "base/alike.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define STATUS_MAX 65536U /* bytes of /proc/TID/status: some thousand groups */
#define LABEL_MAX 1024U
#define NS_MAX 40U

/* The mount namespace is not among them: the mount that is the root directory has a number of its own in each. */
static const char *const namespaces[] = { "net", "user", "pid", "ipc", "uts", "cgroup", "time" };
#define SHALLOW 2U /* of them matter to sockets */

/* What of /proc/TID/status must read alike (ids: real, effective, saved, of files); sets that may not be smaller. */
static const char *const texts[] = { "Uid:", "Gid:", "Groups:" };
static const char *const sets[] = { "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:" };

struct status {
	const char *text[ARRAY_SIZE(texts)]; /* into what was read */
	size_t len[ARRAY_SIZE(texts)];
	uint64_t set[ARRAY_SIZE(sets)];
	uint64_t no_new_privs;
	uint64_t filters; /* not told before Linux 5.11 */
	mode_t umask;
};

struct pfs_alike {
	char *read; /* owned; what status points into */
	struct status status;
	char ns[ARRAY_SIZE(namespaces)][NS_MAX];
	struct statx root;
	char label[LABEL_MAX]; /* "" without a security module */
};

/* --- /proc/TID ----------------------------------------------------------------------------- */

static int directory_of(pid_t tid)
{
	char path[40];
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld", (long)tid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* All of a small file, at most size - 1 bytes. How many. */
static ssize_t text_of(int dir, const char *name, char *text, size_t size)
{
	PFS_CLOSE int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t n;

	text[0] = '\0';
	if (fd < 0)
		return -errno;
	do {
		n = read(fd, text + have, size - 1 - have);
		if (n < 0)
			return -errno;
		have += (size_t)n;
		/* A read gives what there is, but for the last lines of a very long text. */
	} while (n > 0 && have >= 2048 && have < size - 1);
	text[have] = '\0';
	return (ssize_t)have;
}

static bool begins(const char *line, const char *name, const char **ret_value)
{
	size_t n = strlen(name);

	*ret_value = line + n;
	return !strncmp(line, name, n);
}

static void line_take(const char *line, size_t len, struct status *status)
{
	const char *value = line;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (begins(line, texts[i], &value)) {
			status->text[i] = value;
			status->len[i] = len - (size_t)(value - line);
			return;
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		if (begins(line, sets[i], &value)) {
			status->set[i] = strtoull(value, NULL, 16);
			return;
		}
	}
	if (begins(line, "NoNewPrivs:", &value))
		status->no_new_privs = strtoull(value, NULL, 10);
	else if (begins(line, "Seccomp_filters:", &value))
		status->filters = strtoull(value, NULL, 10);
	else if (begins(line, "Umask:", &value))
		status->umask = (mode_t)strtoul(value, NULL, 8) & 0777;
}

/* Once through the text. -EIO: something that must be there is not. */
static int status_parse(const char *text, struct status *ret_status)
{
	struct status status = { .no_new_privs = UINT64_MAX, .umask = 022 };

	while (*text) {
		size_t len = strcspn(text, "\n");

		if (strchr("UGCNS", *text))
			line_take(text, len, &status);
		text += len + (text[len] == '\n');
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!status.text[i])
			return -EIO;
	if (status.no_new_privs == UINT64_MAX)
		return -EIO;
	*ret_status = status;
	return 0;
}

static int ns_of(int dir, const char *which, char ret_name[NS_MAX])
{
	char path[16];
	ssize_t n;

	snprintf(path, sizeof(path), "ns/%s", which);
	n = readlinkat(dir, path, ret_name, NS_MAX - 1);
	if (n < 0 && errno != ENOENT)
		return -errno;
	ret_name[n < 0 ? 0 : n] = '\0'; /* a kernel without it has it for nobody */
	return 0;
}

static int root_of(int dir, struct statx *ret_root)
{
	return statx(dir, "root", AT_STATX_DONT_SYNC, STATX_INO | STATX_MNT_ID, ret_root) < 0 ? -errno
											      : 0;
}

static void label_of(int dir, char label[LABEL_MAX])
{
	if (text_of(dir, "attr/current", label, LABEL_MAX) < 0)
		label[0] = '\0';
}

/* --- what we are ------------------------------------------------------------------------------ */

static int take(struct pfs_alike *alike)
{
	PFS_CLOSE int dir = directory_of(getpid());
	int r = dir < 0 ? dir : 0;
	ssize_t n;

	if (r == 0) {
		n = text_of(dir, "status", alike->read, STATUS_MAX);
		r = n < 0 ? (int)n : status_parse(alike->read, &alike->status);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(namespaces); i++)
		r = ns_of(dir, namespaces[i], alike->ns[i]);
	if (r == 0)
		r = root_of(dir, &alike->root);
	if (r == 0)
		label_of(dir, alike->label);
	return r;
}

int pfs_alike_new(unsigned filters, struct pfs_alike **ret_alike, struct pfs_diag *diag)
{
	struct pfs_alike *alike = pfs_zalloc(1, sizeof(*alike));
	int r = -ENOMEM;

	if (alike)
		alike->read = malloc(STATUS_MAX);
	if (alike && alike->read)
		r = take(alike);
	if (r < 0) {
		pfs_alike_free(alike);
		return pfs_diag_set(diag, -r, "/proc does not tell who we are: %s", strerror(-r));
	}
	alike->status.filters += filters;
	*ret_alike = alike;
	return 0;
}

void pfs_alike_free(struct pfs_alike *alike)
{
	if (!alike)
		return;
	free(alike->read);
	free(alike);
}

/* --- what they are ------------------------------------------------------------------------------- */

static int check_status(const struct status *ours, const struct status *his, struct pfs_diag *diag)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (his->len[i] != ours->len[i] ||
		    memcmp(his->text[i], ours->text[i], ours->len[i]) != 0)
			return pfs_diag_set(diag, EPERM,
					    "the caller has other ids or groups than this pipesfs (%s)",
					    texts[i]);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		if (ours->set[i] & ~his->set[i])
			return pfs_diag_set(diag, EPERM,
					    "the caller has fewer capabilities than this pipesfs (%s)",
					    sets[i]);
	if (his->no_new_privs > ours->no_new_privs)
		return pfs_diag_set(diag, EPERM,
				    "the caller has no_new_privs set, and this pipesfs has not");
	if (his->filters > ours->filters)
		return pfs_diag_set(
			diag, EPERM,
			"the caller is confined by a seccomp filter, which would not hold here");
	return 0;
}

static int check_place(const struct pfs_alike *alike, int dir, struct pfs_diag *diag)
{
	struct statx root;
	int r = root_of(dir, &root);

	if (r < 0)
		return pfs_diag_set(diag, EPERM,
				    "the kernel does not show the caller's root directory: %s",
				    strerror(-r));
	if (root.stx_ino != alike->root.stx_ino || root.stx_dev_major != alike->root.stx_dev_major ||
	    root.stx_dev_minor != alike->root.stx_dev_minor ||
	    root.stx_mnt_id != alike->root.stx_mnt_id)
		return pfs_diag_set(diag, EXDEV,
				    "the caller has another root directory or mount namespace");
	return 0;
}

static int check_namespaces(const struct pfs_alike *alike, int dir, size_t n, struct pfs_diag *diag)
{
	for (size_t i = 0; i < n; i++) {
		char name[NS_MAX];
		int r = ns_of(dir, namespaces[i], name);

		if (r < 0)
			return pfs_diag_set(diag, EPERM,
					    "the kernel does not show who the caller is: %s",
					    strerror(-r));
		if (strcmp(name, alike->ns[i]) != 0)
			return pfs_diag_set(diag, EPERM, "the caller lives in another %s namespace",
					    namespaces[i]);
	}
	return 0;
}

static int check_label(const struct pfs_alike *alike, int dir, struct pfs_diag *diag)
{
	char label[LABEL_MAX];

	if (!alike->label[0])
		return 0;
	label_of(dir, label);
	return strcmp(label, alike->label)
		       ? pfs_diag_set(diag, EPERM, "the caller has another security label")
		       : 0;
}

int pfs_alike_check(const struct pfs_alike *alike, pid_t tid, bool deep, mode_t *ret_umask,
		    struct pfs_diag *diag)
{
	PFS_CLOSE int dir = tid > 0 ? directory_of(tid) : -ESRCH;
	char text[STATUS_MAX];
	struct status his;
	int r;

	if (dir < 0 || text_of(dir, "status", text, sizeof(text)) < 0 || status_parse(text, &his) < 0)
		return pfs_diag_set(diag, EPERM, "the caller cannot be seen from here");
	/* First: where names mean other things, it is not us who was asked. */
	r = check_place(alike, dir, diag);
	if (r == 0)
		r = check_status(&alike->status, &his, diag);
	if (r == 0)
		r = check_namespaces(alike, dir, deep ? ARRAY_SIZE(namespaces) : SHALLOW, diag);
	if (r == 0)
		r = check_label(alike, dir, diag);
	if (r == 0)
		*ret_umask = his.umask;
	return r;
}
