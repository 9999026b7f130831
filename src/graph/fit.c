/*
 * fit - may a subtree live at another place, where other records may flow?
 *
 * Filters are told of it, from the top down, with what will flow there; the last word is theirs.
 */
#include "graph/graph_i.h"

/* What comes to a node at its old place and at its new one. */
struct fit {
	struct pfs_flows was, will;
	const char *above;	       /* what the directory above is called there */
	const struct pfs_node *source; /* of the new place */
	struct pfs_diag *diag;
	unsigned told; /* filters that know */
	unsigned back; /* > 0: tells so many of them that they stay */
};

int pfs_each_below(struct pfs_node *dir, int (*fn)(struct pfs_node *node, void *arg), void *arg)
{
	int r = 0;

	for (struct pfs_node *c = dir->children.first; c && r == 0; c = c->child.next)
		r = fn(c, arg);
	for (size_t i = 0; i < dir->nclass_nodes && r == 0; i++)
		if (dir->class_nodes[i] && !dir->class_nodes[i]->used)
			r = fn(dir->class_nodes[i], arg);
	return r;
}

static struct pfs_flows flows_of(const struct pfs_node *node)
{
	return (struct pfs_flows){ node->flow, node->link_type, pfs_describe_of(node) };
}

static bool same_flows(const struct pfs_flows *a, const struct pfs_flows *b)
{
	return a->flow == b->flow && a->link_type == b->link_type && a->describe == b->describe;
}

/* What it gives when that comes; a class gives what it gets. */
static struct pfs_flows flows_below(const struct pfs_node *node, const struct pfs_flows *above)
{
	struct pfs_flows flows = *above;

	if (node->filter)
		pfs_flow_below(node->filter, above, &flows);
	return flows;
}

static struct fit below(const struct pfs_node *node, const struct fit *fit)
{
	struct fit next = *fit;

	next.above = node->name;
	next.was = flows_below(node, &fit->was);
	next.will = flows_below(node, &fit->will);
	return next;
}

static int check(struct pfs_node *node, void *arg)
{
	const struct fit *fit = arg;
	const unsigned kinds = PFS_FLOW_ANY_PACKET | PFS_FLOW_BYTES;
	unsigned was = fit->was.flow & kinds, will = fit->will.flow & kinds;
	const struct pfs_filter *filter = node->filter;
	struct fit next = below(node, fit);
	int r = 0;

	/* A filter is inline or pulls, takes bytes or packets, once and for all. */
	if (filter && ((was & PFS_FLOW_BYTES) != (will & PFS_FLOW_BYTES) || !was != !will ||
		       pfs_filter_pulls(filter, fit->will.flow) != node->pulls))
		return pfs_diag_set(fit->diag, EINVAL,
				    "'%.60s' was made for %s, and '%.60s' gives %s: make it anew there",
				    node->name, pfs_flow_word(fit->was.flow), fit->above,
				    pfs_flow_word(fit->will.flow));
	if (filter)
		r = pfs_filter_fits(filter, fit->source, fit->will.flow, fit->above, fit->diag);
	return r < 0 ? r : pfs_each_below(node, check, &next);
}

static struct fit fit_of(struct pfs_node *from, struct pfs_node *to, struct pfs_diag *diag)
{
	return (struct fit){
		.was = flows_of(from),
		.will = flows_of(to),
		.above = to->name,
		.source = to->domain->source,
		.diag = diag,
	};
}

int pfs_fit_check(struct pfs_node *node, struct pfs_node *to, struct pfs_diag *diag)
{
	struct fit fit = fit_of(node->parent, to, diag);

	return check(node, &fit);
}

static int tell(struct pfs_node *node, void *arg)
{
	struct fit *fit = arg, next;
	const struct pfs_filter *filter = node->filter;
	const struct pfs_flows *flows = fit->back ? &fit->was : &fit->will;
	int r = 0;

	if (same_flows(&fit->was, &fit->will))
		return 0;
	if (filter && filter->moved && node->state && (!fit->back || fit->told < fit->back)) {
		struct pfs_place place = {
			.flow = (enum pfs_flow)flows->flow,
			.link_type = flows->link_type,
			.uid = node->uid,
			.gid = node->gid,
			.describe = flows->describe,
		};

		pfs_task_lock(node->owner);
		r = filter->moved(node->state, &place, fit->diag);
		pfs_task_unlock(node->owner);
		if (r < 0 && !fit->back)
			return r;
		fit->told++;
	}
	next = below(node, fit);
	r = pfs_each_below(node, tell, &next);
	fit->told = next.told;
	return r;
}

int pfs_fit_tell(struct pfs_node *node, struct pfs_node *from, struct pfs_node *to,
		 struct pfs_diag *diag)
{
	struct fit fit = fit_of(from, to, diag);
	int r = tell(node, &fit);
	struct pfs_diag nobody;

	if (r == 0 || fit.told == 0)
		return r;
	fit.diag = &nobody;
	fit.back = fit.told;
	fit.told = 0;
	(void)tell(node, &fit);
	return r;
}

static int set(struct pfs_node *node, void *arg)
{
	const struct pfs_flows *above = arg;
	struct pfs_flows flows = flows_below(node, above);

	bool relabel = node->inject && node->link_type != flows.link_type;

	node->flow = flows.flow;
	node->link_type = flows.link_type;
	if (relabel)
		pfs_inject_relabel(node->inject);
	return pfs_each_below(node, set, &flows);
}

void pfs_fit_set(struct pfs_node *node)
{
	struct pfs_flows above = flows_of(node->parent);

	(void)set(node, &above);
}
