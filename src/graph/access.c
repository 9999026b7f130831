/*
 * access - who may, where the kernel is not asked
 *
 * The kernel judges opens and changes by owner and mode. What it does not see is judged here by the same rules: which
 * directories a listing of the whole graph may show, whether a join may write into its target, who may make others
 * wait.
 */
#include "graph/graph_i.h"

static bool in_group(const struct pfs_cred *cred, gid_t gid)
{
	gid_t groups[PFS_GROUPS_MAX];
	size_t n;

	if (cred->gid == gid)
		return true;
	if (cred->pid == 0 || pfs_groups_of(cred, groups, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

bool pfs_may(const struct pfs_cred *cred, const struct pfs_node *node, unsigned want)
{
	if (cred->uid == 0)
		return true;
	if (cred->uid == node->uid)
		return (node->mode >> 6 & want) == want;
	/* Groups are looked up only where they decide. */
	if ((node->mode >> 3 & want) == (node->mode & want))
		return (node->mode & want) == want;
	return ((in_group(cred, node->gid) ? node->mode >> 3 : node->mode) & want) == want;
}

/*
 * A reader who is waited for can stop all who read, write and filter here. So may who owns the source or the directory,
 * root, and whoever may write here, since he could end it anyway. To be given to read is not enough.
 */
bool pfs_may_hold(const struct pfs_cred *cred, const struct pfs_node *node)
{
	return cred->uid == 0 || cred->uid == node->uid || cred->uid == node->domain->source->uid ||
	       pfs_may(cred, node, PFS_MAY_WRITE);
}
