#include "graph/verdict.h"

#include "graph/graph_i.h"

static int find(struct pfs_node *node, void *arg)
{
	(void)arg;
	return pfs_has_verdict(node);
}

bool pfs_has_verdict(const struct pfs_node *node)
{
	if (node->filter && node->filter->verdict != PFS_VERDICT_NONE && !atomic_load(&node->dead))
		return true;
	return pfs_each_below((struct pfs_node *)node, find, NULL) != 0;
}

int pfs_verdict_fits(struct pfs_node *above, struct pfs_diag *diag)
{
	for (struct pfs_node *n = above; n->kind != PFS_NODE_SOURCE; n = n->parent)
		if (!pfs_decide_knows(n) || n->kind == PFS_NODE_CLASS || pfs_class_set(n) ||
		    pfs_decide_nth(n))
			return pfs_diag_set(
				diag, EINVAL,
				"a verdict is given in the kernel, and '%.100s' above it cannot run there: it "
				"keeps a state, changes what passes, or sorts into classes",
				n->name);
	return 0;
}
