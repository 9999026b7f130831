/*
 * find - the directory of this graph that a path names
 *
 * The kernel cannot be asked: it would ask us, while it holds the lock of the directory in which the path is just being
 * used. So an absolute path is followed by its text: links on the way are read as the caller, what is mounted where is
 * in mountinfo, and as soon as a mount of ours is reached the rest is looked up in the graph.
 */
#include <limits.h>
#include <sys/sysmacros.h>

#include "base/mountinfo.h"
#include "graph/graph_i.h"

#define LINKS_MAX 40

/* --- on this machine ------------------------------------------------------------------------ */

struct mount_asked {
	dev_t dev;
	const char *path;
	bool found; /* the topmost mount at path is ours */
	struct pfs_buf *root;
};

/* Later lines lie on top of earlier ones. */
static int at_path(void *arg, const struct pfs_mountinfo *info)
{
	struct mount_asked *asked = arg;

	if (strcmp(info->dir, asked->path) != 0)
		return 0;
	asked->found = makedev(info->major, info->minor) == asked->dev;
	asked->root->len = 0;
	pfs_buf_str(asked->root, info->root);
	return 0;
}

/* Is this the place of one of our mounts? Then root gets which directory of ours is seen there. */
static int is_ours(const struct pfs_graph *graph, const char *path, struct pfs_buf *root)
{
	struct mount_asked asked = { .dev = graph->options.dev, .path = path, .root = root };
	int r = graph->options.dev ? pfs_mountinfo_each(at_path, &asked) : 0;

	return r < 0 ? r : asked.found;
}

/* One component more: a link is put in its place. */
static int step(const struct pfs_cred *cred, struct pfs_buf *path, const char *name, size_t len,
		struct pfs_buf *rest, unsigned *links)
{
	PFS_BUF struct pfs_buf joined = { 0 };
	char link[PATH_MAX];
	ssize_t n;

	if (len == 0 || (len == 1 && name[0] == '.'))
		return 0;
	if (len == 2 && memcmp(name, "..", 2) == 0) {
		while (path->len && path->data[path->len - 1] != '/')
			path->len--;
		path->len -= path->len > 0;
		return 0;
	}
	pfs_buf_str(path, "/");
	pfs_buf_add(path, name, len);
	if (path->failed)
		return -ENOMEM;
	n = pfs_readlink_as(cred, path->data, link, sizeof(link) - 1);
	if (n == -EINVAL)
		return 0;
	if (n < 0)
		return (int)n;
	if (++*links > LINKS_MAX)
		return -ELOOP;
	link[n] = '\0';
	/* What the link says, and then the rest. */
	path->len = link[0] == '/' ? 0 : path->len - len - 1;
	pfs_buf_printf(&joined, "%s/%s", link, rest->len ? rest->data : "");
	rest->len = 0;
	pfs_buf_str(rest, joined.data ? joined.data : "");
	return joined.failed ? -ENOMEM : 0;
}

/* Follows an absolute path up to a mount of ours; inside gets what is left, from the root of the graph. */
static int follow(const struct pfs_graph *graph, const struct pfs_cred *cred, const char *text,
		  struct pfs_buf *inside)
{
	PFS_BUF struct pfs_buf path = { 0 }, rest = { 0 }, root = { 0 };
	unsigned links = 0;

	pfs_buf_str(&rest, text);
	while (!rest.failed && rest.len) {
		PFS_FREE char *now = strdup(rest.data);
		size_t skip, len;
		int r;

		if (!now)
			return -ENOMEM;
		skip = strspn(now, "/");
		len = strcspn(now + skip, "/");
		rest.len = 0;
		pfs_buf_str(&rest, now + skip + len);
		r = step(cred, &path, now + skip, len, &rest, &links);
		if (r == 0 && path.len) {
			path.data[path.len] = '\0';
			r = is_ours(graph, path.data, &root);
		}
		if (r < 0)
			return r;
		if (r > 0) {
			pfs_buf_printf(inside, "%s/%s", root.data, rest.len ? rest.data : "");
			return inside->failed ? -ENOMEM : 0;
		}
	}
	return rest.failed ? -ENOMEM : -EXDEV;
}

/* --- in the graph ----------------------------------------------------------------------------- */

static bool may_now(const struct pfs_cred *cred, struct pfs_node *node, unsigned want)
{
	bool may;

	pthread_mutex_lock(&node->graph->control);
	may = pfs_may(cred, node, want);
	pthread_mutex_unlock(&node->graph->control);
	return may;
}

static int walk(struct pfs_graph *graph, const struct pfs_cred *cred, const char *path,
		struct pfs_node **ret_node)
{
	struct pfs_node *node = pfs_node_ref(graph->root);
	PFS_FREE char *copy = strdup(path);
	char *save = NULL;
	int r = copy ? 0 : -ENOMEM;

	for (char *name = copy ? strtok_r(copy, "/", &save) : NULL; name && r == 0;
	     name = strtok_r(NULL, "/", &save)) {
		struct pfs_node *next;

		if (strcmp(name, ".") == 0)
			continue;
		r = strcmp(name, "..") == 0 ? -EINVAL : -EACCES;
		if (r == -EACCES && may_now(cred, node, PFS_MAY_SEARCH))
			r = pfs_node_lookup(node, name, &next);
		if (r == 0) {
			pfs_node_unref(node);
			node = next;
		}
	}
	if (r == 0)
		*ret_node = node;
	else
		pfs_node_unref(node);
	return r;
}

int pfs_graph_find(struct pfs_graph *graph, const struct pfs_cred *cred, const char *path,
		   unsigned want, struct pfs_node **ret_node, struct pfs_diag *diag)
{
	PFS_BUF struct pfs_buf inside = { 0 };
	struct pfs_node *node = NULL;
	int r = 0;

	if (path[0] == '/') {
		r = pfs_same_files(cred, diag);
		if (r < 0)
			return r;
		r = follow(graph, cred, path, &inside);
	} else {
		pfs_buf_str(&inside, path);
	}
	if (r == -EXDEV)
		return pfs_diag_set(diag, EINVAL,
				    "%.120s is not in this pipesfs: name a directory of it, from its root or "
				    "with its mount point in front",
				    path);
	if (r == 0)
		r = inside.failed ? -ENOMEM : walk(graph, cred, inside.data, &node);
	if (r < 0)
		return pfs_diag_set(diag, -r, "%.150s: %s", path, strerror(-r));
	assert(node); /* found */
	if (!may_now(cred, node, want)) {
		pfs_node_unref(node);
		return pfs_diag_set(diag, EACCES, "%.120s is not yours to %s", path,
				    want & PFS_MAY_WRITE ? "write into" : "look into");
	}
	/* The names in a run stand for nodes elsewhere. */
	*ret_node = pfs_node_ref(pfs_node_real(node));
	pfs_node_unref(node);
	return 0;
}
