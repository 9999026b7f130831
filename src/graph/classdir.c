/*
 * classdir - directories of classes
 *
 * A class of an open set goes when it has had no packet for expire=, is not read or written, has nothing below, and was
 * not made by hand. That is found out now and then, on the ticker's thread.
 */
#include "graph/classes.h"
#include "graph/graph_i.h"

#define SWEEP_SOONEST UINT64_C(50000000) /* ns */
#define SWEEP_LATEST UINT64_C(1000000000)
#define SWEEP_BUSY UINT64_C(10000000) /* somebody else is changing the tree */

struct pfs_classes *pfs_class_set(const struct pfs_node *dir)
{
	return dir->filter && dir->filter->open_classes && dir->state
		       ? dir->filter->open_classes(dir->state)
		       : NULL;
}

int pfs_class_find(struct pfs_node *dir, const char *name, bool make, uint16_t *ret_class,
		   struct pfs_diag *diag)
{
	const struct pfs_filter *filter = dir->filter;
	struct pfs_classes *set = pfs_class_set(dir);

	if (set)
		return pfs_classes_find(set, name, make, ret_class, diag);
	for (size_t i = 0; filter && filter->classes && filter->classes[i]; i++) {
		if (strcmp(filter->classes[i], name) == 0) {
			*ret_class = (uint16_t)(i + 1);
			return 0;
		}
	}
	return -ENOENT;
}

/* Who counts beside may have something that is to rest. */
static void forget(const struct pfs_node *dir, struct pfs_classes *set, uint16_t class_, bool idle)
{
	pfs_classes_forget(set, class_, idle);
	if (dir->domain)
		pfs_decider_rest(dir->domain);
}

void pfs_class_forget(struct pfs_node *dir, uint16_t class_)
{
	struct pfs_classes *set = pfs_class_set(dir);

	if (set)
		forget(dir, set, class_, false);
	else if (class_ <= 64)
		atomic_fetch_and(&dir->seen, ~(1ull << (class_ - 1)));
}

/* --- their nodes ------------------------------------------------------------------------------- */

struct pfs_node *pfs_class_known(const struct pfs_node *dir, uint16_t class_)
{
	return class_ <= dir->nclass_nodes ? dir->class_nodes[class_ - 1] : NULL;
}

/* Room for this number in the table. */
static int nodes_fit(struct pfs_node *dir, uint16_t class_)
{
	size_t n = pfs_max(dir->nclass_nodes, 16);
	struct pfs_node **nodes;

	if (class_ <= dir->nclass_nodes)
		return 0;
	while (n < class_)
		n *= 2;
	nodes = reallocarray(dir->class_nodes, n, sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	memset(nodes + dir->nclass_nodes, 0, (n - dir->nclass_nodes) * sizeof(*nodes));
	dir->class_nodes = nodes;
	dir->nclass_nodes = n;
	return 0;
}

static int class_build(struct pfs_node *dir, const char *name, uint16_t class_,
		       struct pfs_node **ret_node)
{
	struct pfs_node *node;
	int r = pfs_node_new(dir->graph, dir, PFS_NODE_CLASS, name, dir->payer, &node);

	if (r < 0)
		return r;
	node->class_ = class_;
	node->flow = dir->flow;
	node->link_type = dir->link_type;
	*ret_node = node;
	return 0;
}

int pfs_class_dir(struct pfs_node *dir, const char *name, uint16_t class_, struct pfs_node **ret_node)
{
	bool open = pfs_class_set(dir) != NULL;
	struct pfs_node *node = open ? pfs_class_known(dir, class_) : pfs_node_child(dir, name);
	int r = 0;

	if (!node) {
		r = open ? nodes_fit(dir, class_) : 0;
		if (r == 0)
			r = class_build(dir, name, class_, &node);
		if (r < 0)
			return r;
		assert(node); /* built */
		if (open) {
			dir->class_nodes[class_ - 1] = node;
			node->parent = dir;
		} else {
			pfs_node_link(dir, node);
		}
	}
	*ret_node = node;
	return 0;
}

void pfs_class_use(struct pfs_node *node)
{
	struct pfs_node *dir = node->parent;

	if (node->kind != PFS_NODE_CLASS || node->used || !dir || !pfs_class_set(dir))
		return;
	node->used = true;
	pfs_node_link(dir, node);
}

int pfs_class_keep(struct pfs_node *node)
{
	int r = node->counted ? 0 : pfs_due_take(node->graph, node->payer, PFS_DUE_NODES, 1);

	if (r < 0)
		return r;
	node->kept = true;
	node->counted = true;
	pfs_class_use(node);
	return 0;
}

int pfs_class_make(struct pfs_node *dir, const char *name, struct pfs_node **ret_node,
		   struct pfs_diag *diag)
{
	uint16_t class_;
	int r = pfs_class_find(dir, name, false, &class_, diag);

	if (r == 0)
		return -EEXIST;
	if (r != -ENOENT || !pfs_class_set(dir))
		return r;
	r = pfs_class_find(dir, name, true, &class_, diag);
	if (r < 0)
		return r;
	r = pfs_class_dir(dir, name, class_, ret_node);
	if (r < 0) {
		pfs_class_forget(dir, class_);
		return r;
	}
	r = pfs_class_keep(*ret_node);
	return r < 0 ? pfs_due_refused(dir->graph, PFS_DUE_NODES, r, diag) : 0;
}

void pfs_class_gone(struct pfs_node *node)
{
	struct pfs_node *dir = node->parent;

	if (node->kind == PFS_NODE_CLASS && dir && pfs_class_known(dir, node->class_) == node)
		dir->class_nodes[node->class_ - 1] = NULL;
	node->used = false;
}

void pfs_class_begin(struct pfs_node *dir)
{
	struct pfs_graph *graph = dir->graph;

	if (!pfs_class_set(dir))
		return;
	dir->next_sorting = graph->sorting;
	graph->sorting = dir;
	pfs_class_watch(graph);
}

void pfs_class_end(struct pfs_node *dir)
{
	for (struct pfs_node **at = &dir->graph->sorting; *at; at = &(*at)->next_sorting) {
		if (*at == dir) {
			*at = dir->next_sorting;
			break;
		}
	}
	/* Those that were used went with the children. */
	for (size_t i = 0; i < dir->nclass_nodes; i++) {
		struct pfs_node *node = dir->class_nodes[i];

		if (!node)
			continue;
		atomic_store(&node->dead, true);
		pfs_node_unlink(node);
	}
}

/* --- expire= ------------------------------------------------------------------------------------- */

static bool in_use(const struct pfs_node *node)
{
	return node->kept || node->readers || node->children.first ||
	       (node->inject && node->inject->writers);
}

static void expire_class(struct pfs_node *dir, struct pfs_classes *set, uint16_t class_)
{
	struct pfs_node *node = pfs_class_known(dir, class_);

	if (!node) {
		forget(dir, set, class_, true);
	} else if (!in_use(node)) {
		pfs_node_ref(node);
		(void)pfs_node_drop(node); /* no memory for it now: then later */
		pfs_node_unref(node);
	}
}

static void expire_dir(struct pfs_node *dir, struct pfs_classes *set)
{
	uint16_t classes[64];
	size_t n = ARRAY_SIZE(classes);

	classes[n - 1] = 0;
	while (n == ARRAY_SIZE(classes)) {
		n = pfs_classes_list(set, classes[n - 1], true, classes, n);
		for (size_t i = 0; i < n; i++)
			expire_class(dir, set, classes[i]);
	}
}

/* When to look next after looking now: a part of the shortest time. */
static uint64_t sweep_after(const struct pfs_graph *graph)
{
	uint64_t after = UINT64_MAX;

	for (struct pfs_node *dir = graph->sorting; dir; dir = dir->next_sorting) {
		uint64_t expire = pfs_class_set(dir)->expire;

		if (expire)
			after = pfs_min64(after, pfs_max64(expire / 8, SWEEP_SOONEST));
	}
	return after == UINT64_MAX ? after : pfs_min64(after, SWEEP_LATEST);
}

static uint64_t sweep(void *arg)
{
	struct pfs_graph *graph = arg;
	uint64_t after;

	/* The ticker has others to serve than who holds this. */
	if (pthread_mutex_trylock(&graph->control) != 0)
		return pfs_clock_mono() + SWEEP_BUSY;
	for (struct pfs_node *dir = graph->sorting; dir; dir = dir->next_sorting)
		if (pfs_class_set(dir)->expire)
			expire_dir(dir, pfs_class_set(dir));
	after = sweep_after(graph);
	pthread_mutex_unlock(&graph->control);
	return after == UINT64_MAX ? after : pfs_clock_mono() + after;
}

void pfs_class_watch(struct pfs_graph *graph)
{
	uint64_t after = sweep_after(graph);

	if (after != UINT64_MAX)
		pfs_ticker_chore(graph->ticker, PFS_CHORE_CLASSES, sweep, graph,
				 pfs_clock_mono() + after);
}
