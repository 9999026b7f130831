/*
 * links - symbolic links in the tree: plain aliases of directories, pipes and portals
 *
 * The graph knows nothing of them: they are kept here by directory and name, and go with their directory. What is
 * called so in the graph comes first, since classes appear with traffic. The kernel walks them; only for portals is
 * their text wanted here, too, to tell where the path of the caller ends (portal_ask.c).
 */
#include "mount/mount_i.h"

#include <limits.h>

#define LINKS_MAX 4096	   /* in all */
#define LINKS_USER_MAX 256 /* of one user, neither root nor who mounts */
#define LINK_INOS ((uint64_t)11 << 59)

struct pfs_link {
	struct pfs_node *dir; /* a reference */
	uint64_t dir_id;
	char *name, *target; /* owned */
	uid_t uid;
	gid_t gid;
	uint64_t ino;
	struct timespec made;
	struct pfs_link *next;
};

#define FOLLOW_MAX 8 /* links to links */

static uint64_t id_of(struct pfs_node *dir)
{
	struct pfs_node_info info;

	pfs_node_info(dir, &info);
	return info.id;
}

static void link_free(struct pfs_link *link)
{
	if (!link)
		return;
	pfs_node_unref(link->dir);
	free(link->name);
	free(link->target);
	free(link);
}

void pfs_links_init(struct pfs_mount *mount)
{
	pthread_mutex_init(&mount->links.lock, NULL);
}

void pfs_links_release(struct pfs_mount *mount)
{
	while (mount->links.first) {
		struct pfs_link *link = mount->links.first;

		mount->links.first = link->next;
		link_free(link);
	}
	pthread_mutex_destroy(&mount->links.lock);
}

/* Lock held. */
static struct pfs_link *unlist(struct pfs_mount *mount, struct pfs_link **at)
{
	struct pfs_link *link = *at;

	*at = link->next;
	mount->links.n--;
	return link;
}

/* Lock held. Where it stands, or the end. */
static struct pfs_link **find(struct pfs_mount *mount, uint64_t dir_id, const char *name, size_t len)
{
	struct pfs_link **at = &mount->links.first;

	while (*at && ((*at)->dir_id != dir_id || strlen((*at)->name) != len ||
		       memcmp((*at)->name, name, len) != 0))
		at = &(*at)->next;
	return at;
}

void pfs_links_sweep(struct pfs_mount *mount)
{
	pthread_mutex_lock(&mount->links.lock);
	for (struct pfs_link **at = &mount->links.first; *at;) {
		struct pfs_node_info info;

		pfs_node_info((*at)->dir, &info);
		if (info.alive)
			at = &(*at)->next;
		else
			link_free(unlist(mount, at));
	}
	pthread_mutex_unlock(&mount->links.lock);
}

/* --- making and removing -------------------------------------------------------------------- */

/* Lock held. */
static int check_share(const struct pfs_mount *mount, uid_t uid, struct pfs_diag *diag)
{
	unsigned his = 0;

	for (const struct pfs_link *link = mount->links.first; link; link = link->next)
		his += link->uid == uid;
	if (mount->links.n >= LINKS_MAX)
		return pfs_diag_set(diag, ENOSPC, "there are %d symbolic links: no more", LINKS_MAX);
	if (uid != 0 && uid != geteuid() && his >= LINKS_USER_MAX)
		return pfs_diag_set(diag, EDQUOT, "this user has %d symbolic links: no more",
				    LINKS_USER_MAX);
	return 0;
}

int pfs_link_make(struct pfs_mount *mount, struct pfs_node *dir, const char *name,
		  const char *target, const struct pfs_cred *cred, struct pfs_diag *diag)
{
	struct pfs_link *link = pfs_zalloc(1, sizeof(*link));
	struct pfs_node_info info;
	int r = 0;

	if (!link)
		return -ENOMEM;
	pfs_node_info(dir, &info);
	*link = (struct pfs_link){
		.dir = pfs_node_ref(dir),
		.dir_id = info.id,
		.name = strdup(name),
		.target = strdup(target),
		.uid = cred->uid,
		.gid = cred->gid,
	};
	clock_gettime(CLOCK_REALTIME, &link->made);
	pfs_links_sweep(mount);
	pthread_mutex_lock(&mount->links.lock);
	if (!link->name || !link->target)
		r = -ENOMEM;
	else if (!info.alive)
		r = -ENOENT;
	else if (*find(mount, link->dir_id, name, strlen(name)))
		r = -EEXIST;
	else
		r = check_share(mount, cred->uid, diag);
	if (r == 0) {
		link->ino = LINK_INOS + mount->links.next++;
		link->next = mount->links.first;
		mount->links.first = TAKE_PTR(link);
		mount->links.n++;
	}
	pthread_mutex_unlock(&mount->links.lock);
	link_free(link);
	return r;
}

bool pfs_link_remove(struct pfs_mount *mount, struct pfs_node *dir, const char *name)
{
	uint64_t id = id_of(dir);
	struct pfs_link **at, *link = NULL;

	pthread_mutex_lock(&mount->links.lock);
	at = find(mount, id, name, strlen(name));
	if (*at)
		link = unlist(mount, at);
	pthread_mutex_unlock(&mount->links.lock);
	link_free(link);
	return link;
}

/* --- looking ----------------------------------------------------------------------------------- */

static void link_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	(void)mount;
	st->st_mode = S_IFLNK | 0777;
	st->st_size = (off_t)strlen(entry->text);
	st->st_uid = (uid_t)entry->which;
	st->st_gid = (gid_t)entry->policy;
}

int pfs_link_lookup(struct pfs_mount *mount, struct pfs_node *dir, const char *name,
		    struct pfs_entry **ret_entry)
{
	struct pfs_entry like = { .kind = &pfs_kind_link, .node = dir };
	uint64_t id = id_of(dir);
	struct pfs_link *link;
	int r;

	pthread_mutex_lock(&mount->links.lock);
	link = *find(mount, id, name, strlen(name));
	if (link) {
		like.ino = link->ino;
		like.which = (int)link->uid;
		like.policy = (int)link->gid;
		like.text = strdup(link->target);
	}
	pthread_mutex_unlock(&mount->links.lock);
	if (!link || !like.text)
		return link ? -ENOMEM : -ENOENT;
	r = pfs_inode_file(mount, &like, ret_entry);
	if (r < 0)
		free(like.text);
	return r;
}

void pfs_links_list(struct pfs_mount *mount, struct pfs_node *dir, struct pfs_listing *listing)
{
	uint64_t id = id_of(dir);

	pthread_mutex_lock(&mount->links.lock);
	for (const struct pfs_link *link = mount->links.first; link; link = link->next)
		if (link->dir_id == id)
			pfs_listing_add(listing, link->name, link->ino, S_IFLNK);
	pthread_mutex_unlock(&mount->links.lock);
}

bool pfs_links_any(struct pfs_mount *mount, struct pfs_node *dir)
{
	uint64_t id = id_of(dir);
	const struct pfs_link *link;

	pthread_mutex_lock(&mount->links.lock);
	for (link = mount->links.first; link && link->dir_id != id; link = link->next)
		;
	pthread_mutex_unlock(&mount->links.lock);
	return link;
}

/* The text of a link in the root, a copy; NULL: there is none of that name. */
static char *in_root(struct pfs_mount *mount, const char *name, size_t len)
{
	uint64_t id = id_of(pfs_graph_root(mount->graph));
	const struct pfs_link *link;
	char *target = NULL;

	pthread_mutex_lock(&mount->links.lock);
	link = *find(mount, id, name, len);
	if (link)
		target = strdup(link->target);
	pthread_mutex_unlock(&mount->links.lock);
	return target;
}

bool pfs_link_follow(struct pfs_mount *mount, char *rest)
{
	const char *prefix = mount->where.prefix;
	size_t n = mount->where.len;

	for (int i = 0; i < FOLLOW_MAX; i++) {
		size_t first = strcspn(rest, "/");
		PFS_FREE char *target = in_root(mount, rest, first);
		PFS_BUF struct pfs_buf whole = { 0 };
		const char *to = target;

		if (!target)
			return true;
		/* One that leads out of the mount has led us nowhere. */
		if (to[0] == '/' && (strncmp(to, prefix, n) != 0 || to[n] != '/'))
			return false;
		to += to[0] == '/' ? n : 0;
		pfs_buf_printf(&whole, "%s%s", to + strspn(to, "/"), rest + first);
		if (whole.failed || whole.len >= PATH_MAX)
			return false;
		memcpy(rest, whole.data, whole.len + 1);
	}
	return false;
}

/* chown; whoever may is for the kernel to say. */
static int link_setattr(struct pfs_mount *mount, struct pfs_entry *entry, const struct stat *st,
			int which)
{
	struct pfs_link *link;

	if (which & FUSE_SET_ATTR_MODE)
		return -EOPNOTSUPP;
	if (which & FUSE_SET_ATTR_UID)
		entry->which = (int)st->st_uid;
	if (which & FUSE_SET_ATTR_GID)
		entry->policy = (int)st->st_gid;
	pthread_mutex_lock(&mount->links.lock);
	for (link = mount->links.first; link && link->ino != entry->ino; link = link->next)
		;
	if (link) {
		link->uid = (uid_t)entry->which;
		link->gid = (gid_t)entry->policy;
	}
	pthread_mutex_unlock(&mount->links.lock);
	return link ? 0 : -ENOENT;
}

const struct pfs_kind pfs_kind_link = {
	.attr = link_attr,
	.setattr = link_setattr,
};
