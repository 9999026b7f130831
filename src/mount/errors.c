/*
 * errors - .errors: why your last refused calls were refused
 *
 * The last 64 refusals of each user, of at most 256 users; the user who was refused nothing for
 * longest makes room for the next. A user reads his own, root reads all, in the order of time:
 *
 *	2026-01-31T12:00:00.123456Z 4711 /accept/unpcp ENOENT there is no filter 'unpcp'; did you mean unpcap?
 */
#include "mount/mount_i.h"

#include <stdio.h>
#include <time.h>

#define USERS_MAX 256
#define LINES_MAX 64
#define PATH_SHOWN 400 /* bytes of a path, escaped; longer ones lose their beginning */

struct line {
	uint64_t serial; /* 0: none */
	char *text;	 /* owned */
};

struct user {
	uid_t uid;
	uint64_t last; /* serial of the last line; 0: free */
	unsigned next; /* where the next line goes */
	struct line line[LINES_MAX];
};

struct pfs_refusals {
	pthread_mutex_t lock;
	uint64_t serial;	       /* lock */
	struct user *users[USERS_MAX]; /* lock */
};

int pfs_refusals_new(struct pfs_refusals **ret_refusals)
{
	struct pfs_refusals *refusals = pfs_zalloc(1, sizeof(*refusals));

	if (!refusals)
		return -ENOMEM;
	pthread_mutex_init(&refusals->lock, NULL);
	*ret_refusals = refusals;
	return 0;
}

static void user_clear(struct user *user)
{
	for (size_t i = 0; i < LINES_MAX; i++)
		free(user->line[i].text);
	*user = (struct user){ 0 };
}

void pfs_refusals_free(struct pfs_refusals *refusals)
{
	if (!refusals)
		return;
	for (size_t i = 0; i < USERS_MAX; i++)
		if (refusals->users[i]) {
			user_clear(refusals->users[i]);
			free(refusals->users[i]);
		}
	pthread_mutex_destroy(&refusals->lock);
	free(refusals);
}

/* Lock held. NULL: no memory. */
static struct user *user_of(struct pfs_refusals *refusals, uid_t uid)
{
	struct user **oldest = NULL;

	for (size_t i = 0; i < USERS_MAX; i++) {
		struct user **at = &refusals->users[i];

		if (!*at) {
			*at = pfs_zalloc(1, sizeof(struct user));
			if (*at)
				(*at)->uid = uid;
			return *at;
		}
		if ((*at)->uid == uid)
			return *at;
		if (!oldest || (*at)->last < (*oldest)->last)
			oldest = at;
	}
	user_clear(*oldest);
	(*oldest)->uid = uid;
	return *oldest;
}

static void line_add(struct pfs_refusals *refusals, uid_t uid, char *text)
{
	struct user *user;

	pthread_mutex_lock(&refusals->lock);
	user = user_of(refusals, uid);
	if (user) {
		struct line *line = &user->line[user->next++ % LINES_MAX];

		free(line->text);
		line->text = TAKE_PTR(text);
		line->serial = user->last = ++refusals->serial;
	}
	pthread_mutex_unlock(&refusals->lock);
	free(text);
}

static void path_add(struct pfs_buf *out, struct pfs_node *dir, const char *name)
{
	PFS_BUF struct pfs_buf path = { 0 }, clean = { 0 };

	pfs_node_path(dir, &path);
	if (name && (path.len == 0 || path.data[path.len - 1] != '/'))
		pfs_buf_str(&path, "/");
	if (name)
		pfs_buf_str(&path, name);
	if (path.failed || !path.len)
		return;
	pfs_buf_clean(&clean, path.data, path.len);
	if (clean.failed)
		return;
	if (clean.len > PATH_SHOWN)
		pfs_buf_printf(out, "...%s", clean.data + clean.len - PATH_SHOWN);
	else
		pfs_buf_str(out, clean.data);
}

void pfs_refuse(struct pfs_mount *mount, const struct pfs_cred *cred, struct pfs_node *dir,
		const char *name, int error, const struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf text = { 0 };
	const char *word = error ? strerrorname_np(error) : "-";
	struct timespec now;
	struct tm tm;
	char stamp[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	pfs_buf_printf(&text, "%s.%06ldZ %ld ", stamp, now.tv_nsec / 1000, (long)cred->pid);
	path_add(&text, dir, name);
	pfs_buf_printf(&text, " %s ", word ? word : "E?");
	if (diag && diag->text[0])
		pfs_buf_clean(&text, diag->text, strlen(diag->text));
	else
		pfs_buf_str(&text, strerrordesc_np(error) ? strerrordesc_np(error) : "refused");
	pfs_buf_str(&text, "\n");
	if (!text.failed)
		line_add(mount->refusals, cred->uid, TAKE_PTR(text.data));
}

static int by_serial(const void *a, const void *b)
{
	const struct line *const *x = a, *const *y = b;

	return ((*x)->serial > (*y)->serial) - ((*x)->serial < (*y)->serial);
}

void pfs_refusals_text(struct pfs_refusals *refusals, uid_t uid, struct pfs_buf *out)
{
	PFS_FREE const struct line **lines = pfs_zalloc(USERS_MAX * LINES_MAX, sizeof(*lines));
	size_t n = 0;

	if (!lines) {
		out->failed = true;
		return;
	}
	pthread_mutex_lock(&refusals->lock);
	for (size_t i = 0; i < USERS_MAX && refusals->users[i]; i++) {
		struct user *user = refusals->users[i];

		if (uid != 0 && user->uid != uid)
			continue;
		for (size_t j = 0; j < LINES_MAX; j++)
			if (user->line[j].text)
				lines[n++] = &user->line[j];
	}
	qsort(lines, n, sizeof(*lines), by_serial);
	for (size_t i = 0; i < n; i++)
		pfs_buf_str(out, lines[i]->text);
	pthread_mutex_unlock(&refusals->lock);
}

/* --- the file ---------------------------------------------------------------------------- */

static void errors_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	st->st_mode = S_IFREG | 0444;
}

static void errors_open(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
			struct fuse_file_info *fi)
{
	struct pfs_buf text = { 0 };

	pfs_refusals_text(mount->refusals, fuse_req_ctx(req)->uid, &text);
	pfs_text_open(mount, req, fi, &pfs_kind_errors, NULL, &text);
}

const struct pfs_kind pfs_kind_errors = {
	.attr = errors_attr,
	.open = errors_open,
	.read = pfs_text_read,
	.release = pfs_text_release,
};
