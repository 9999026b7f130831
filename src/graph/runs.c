/*
 * runs - directories run:PID, and the names in them
 *
 * The nodes of all runs lie in graph->common, a tree that is not shown, where children of a node may have equal names.
 * What a run shows are names: nodes of their own as far as the directory goes (number, owner, rights, children), with
 * `same` in place of everything else. A name of a stage counts in `uses` of its node; classes are not counted, they go
 * with their filter.
 */
#include "graph/graph.h"

#include "graph/graph_i.h"

#include <stdio.h>

/* --- what may be shared ------------------------------------------------------------------------ */

/* Would a second pipeline get from this node, from now on, what it would get from one of its own? */
static bool can_share(const struct pfs_node *node)
{
	const unsigned never = PFS_FILTER_SINK | PFS_FILTER_CONSUMER;

	if (!node->domain)
		return true; /* the top of graph->common */
	if (atomic_load(&node->dead) || atomic_load(&node->domain->writers))
		return false;
	/* What can wait begins at its beginning for whoever comes first: a file. */
	if (node->kind == PFS_NODE_SOURCE)
		return node->domain->lossy;
	if (node->filter && ((node->filter->flags & never) || node->filter->attach))
		return false;
	return can_share(node->above);
}

/* A node like that below parent, or NULL. */
static struct pfs_node *find_equal(struct pfs_node *parent, const void *type,
				   const struct pfs_args *args, const struct pfs_cred *cred)
{
	for (struct pfs_node *c = parent->children.first; c; c = c->child.next) {
		const void *its = c->kind == PFS_NODE_SOURCE ? (const void *)c->from : c->filter;

		if (its == type && c->kind != PFS_NODE_VIEW && c->uid == cred->uid &&
		    pfs_args_equal(&c->args, args) && can_share(c))
			return c;
	}
	return NULL;
}

/* --- names --------------------------------------------------------------------------------------- */

/* A name of `real` in dir. Reals without any are removed by the caller. */
static int name_new(struct pfs_node *dir, struct pfs_node *real, const char *name,
		    struct pfs_node **ret_node)
{
	struct pfs_node *node;
	int r;

	if (atomic_load(&dir->dead) || atomic_load(&real->dead))
		return -ENOENT;
	if (pfs_node_child(dir, name))
		return -EEXIST; /* while the filter was being made */
	/* Those of classes do not count as directories, no more than classes do. */
	r = pfs_node_new(dir->graph, dir,
			 real->kind == PFS_NODE_CLASS ? PFS_NODE_CLASS : PFS_NODE_NAME, name,
			 dir->payer, &node);
	if (r < 0)
		return r;
	node->kind = PFS_NODE_NAME;
	node->same = pfs_node_ref(real);
	real->uses += real->kind != PFS_NODE_CLASS;
	pfs_node_link(dir, node);
	*ret_node = node;
	return 0;
}

/* What nobody names any more ends. Without memory for new plans it stays, idle, for an equal pipeline or the end. */
static void real_drop(struct pfs_node *real)
{
	if (real->uses == 0 && !atomic_load(&real->dead))
		(void)pfs_node_drop(real);
}

/* The name and those below it. */
static void name_drop(struct pfs_node *node)
{
	struct pfs_node *real = pfs_node_ref(node->same);

	while (node->children.first)
		name_drop(node->children.first);
	atomic_store(&node->dead, true);
	pfs_node_unlink(node);
	if (real->kind != PFS_NODE_CLASS) {
		real->uses--;
		real_drop(real);
	}
	pfs_node_unref(real);
}

/* --- making -------------------------------------------------------------------------------------- */

static bool may_read(const struct pfs_node *node, const struct pfs_cred *cred)
{
	mode_t mode = node->mode;

	if (cred->uid == node->uid)
		mode >>= 6;
	else if (cred->gid == node->gid)
		mode >>= 3;
	return (mode & 5) == 5;
}

/* Network sources: those who may read the directory that shows the same at the root. */
static int check_rights(struct pfs_graph *graph, const struct pfs_source *source,
			const struct pfs_args *args, const struct pfs_cred *cred,
			struct pfs_diag *diag)
{
	struct pfs_node *node;

	if (!(source->flags & (PFS_SOURCE_STATIC | PFS_SOURCE_DEVICES)) || cred->uid == 0 ||
	    cred->uid == graph->options.uid)
		return 0;
	node = pfs_node_child(graph->root, source->name);
	if (node && (source->flags & PFS_SOURCE_DEVICES))
		node = args->n ? NULL : pfs_node_child(node, args->arg);
	if (node && may_read(node, cred))
		return 0;
	return pfs_diag_set(diag, EACCES,
			    "network sources belong to root until given away with chmod or chown");
}

static int check_device(const struct pfs_graph *graph, const struct pfs_source *source,
			const struct pfs_args *args, struct pfs_diag *diag)
{
	uid_t uid;

	if (!(source->flags & PFS_SOURCE_DEVICES))
		return 0;
	if (!args->arg || !args->arg[0])
		return pfs_diag_set(diag, EINVAL, "'%s' needs the name of a %s: %s:NAME",
				    source->name, source->device, source->name);
	/* In another namespace, whoever opens it is told. */
	if (!pfs_args_get(args, "netns") &&
	    !source->device_exists(graph->options.herd, args->arg, &uid))
		return pfs_diag_set(diag, ENODEV, "there is no %s '%.100s'", source->device, args->arg);
	return 0;
}

static int source_for(struct pfs_node *run, const char *name, const struct pfs_cred *cred,
		      struct pfs_node **ret_real, struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	const struct pfs_source *source = pfs_source_find(name, pfs_name_type_len(name));
	struct pfs_node *common = run->graph->common, *real;
	int r;

	if (!source) {
		pfs_graph_near(run, name, diag);
		return -ENOENT;
	}
	r = pfs_args_parse(name, source->params, &args, diag);
	if (r == 0)
		r = check_device(run->graph, source, &args, diag);
	if (r == 0)
		r = check_rights(run->graph, source, &args, cred, diag);
	if (r < 0)
		return r;
	real = find_equal(common, source, &args, cred);
	if (!real) {
		r = pfs_build_source(common, source, name, &args, cred, 0700, &real, diag);
		if (r < 0)
			return r;
		real->domain->held = !run->started;
	}
	*ret_real = real;
	return 0;
}

static int filter_for(struct pfs_node *dir, const struct pfs_filter *filter, const char *name,
		      const struct pfs_cred *cred, mode_t mode, struct pfs_node **ret_real,
		      struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	struct pfs_node *real;
	int r = pfs_args_parse(name, filter->params, &args, diag);

	if (r < 0)
		return r;
	real = find_equal(dir->same, filter, &args, cred);
	if (!real)
		r = pfs_build_filter(dir->same, filter, name, &args, cred, mode, &real, diag);
	if (r == 0)
		*ret_real = real;
	return r;
}

/* What mkdir stands for below a stage: a filter, or a class of an open set. */
static int stage_for(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
		     mode_t mode, struct pfs_node **ret_real, struct pfs_diag *diag)
{
	const struct pfs_filter *above = dir->same->filter;
	const struct pfs_filter *filter = pfs_filter_find(name, pfs_name_type_len(name), false);
	int r;

	if (atomic_load(&dir->same->dead))
		return -ENOENT;
	if (above && (above->flags & PFS_FILTER_SINK))
		return pfs_diag_set(diag, EINVAL, "'%s' is a sink: nothing comes out of it", dir->name);
	r = pfs_class_make(dir->same, name, ret_real, diag);
	if (r != -ENOENT)
		return r;
	if (filter)
		return filter_for(dir, filter, name, cred, mode, ret_real, diag);
	pfs_graph_near(dir, name, diag);
	return -ENOENT;
}

int pfs_stage_make(struct pfs_node *dir, const char *name, const struct pfs_cred *cred, mode_t mode,
		   struct pfs_node **ret_node, struct pfs_diag *diag)
{
	struct pfs_node *real = NULL, *node;
	int r;

	if (dir->kind == PFS_NODE_RUN)
		r = source_for(dir, name, cred, &real, diag);
	else
		r = stage_for(dir, name, cred, mode, &real, diag);
	if (r < 0)
		return r;
	assert(real); /* found or made */
	r = name_new(dir, real, name, &node);
	if (r < 0) {
		if (real->kind != PFS_NODE_CLASS)
			real_drop(real);
		return r;
	}
	node->uid = cred->uid;
	node->gid = cred->gid;
	node->mode = mode & 0777;
	*ret_node = node;
	return 0;
}

/* --- looking, removing ------------------------------------------------------------------------------ */

/* Names of classes that were idle for too long: they are looked up anew. */
static void drop_gone(struct pfs_node *dir)
{
	struct pfs_node *next;

	for (struct pfs_node *c = dir->children.first; c; c = next) {
		next = c->child.next;
		if (atomic_load(&c->same->dead))
			name_drop(c);
	}
}

int pfs_stage_lookup(struct pfs_node *dir, const char *name, struct pfs_node **ret_node)
{
	struct pfs_node *node, *real;
	uint16_t class_;
	int r = 0;

	drop_gone(dir);
	node = pfs_node_child(dir, name);
	if (!node) {
		if (dir->kind == PFS_NODE_RUN ||
		    pfs_class_find(dir->same, name, false, &class_, NULL) < 0)
			return -ENOENT;
		r = pfs_class_dir(dir->same, name, class_, &real);
		if (r == 0)
			r = name_new(dir, real, name, &node);
	}
	if (r == 0)
		*ret_node = pfs_node_ref(node);
	return r;
}

int pfs_stage_remove(struct pfs_node *node, struct pfs_diag *diag)
{
	if (node->kind == PFS_NODE_RUN)
		return pfs_diag_set(diag, EBUSY, "'%s' goes when the program that made it ends",
				    node->name);
	if (pfs_node_filters(node) > 0)
		return -ENOTEMPTY;
	name_drop(node);
	return 0;
}

/* --- runs ------------------------------------------------------------------------------------------ */

int pfs_run_make(struct pfs_graph *graph, const struct pfs_cred *cred, struct pfs_node **ret_run)
{
	char name[48];
	struct pfs_node *run;
	int r;

	pthread_mutex_lock(&graph->control);
	snprintf(name, sizeof(name), "run:%d", (int)cred->pid);
	for (unsigned i = 2; pfs_node_child(graph->root, name); i++)
		snprintf(name, sizeof(name), "run:%d.%u", (int)cred->pid, i);
	r = pfs_node_new(graph, graph->root, PFS_NODE_RUN, name, cred->uid, &run);
	if (r == 0) {
		run->uid = cred->uid;
		run->gid = cred->gid;
		run->mode = 0700;
		pfs_node_link(graph->root, run);
		*ret_run = pfs_node_ref(run);
	}
	pthread_mutex_unlock(&graph->control);
	return r;
}

int pfs_run_start(struct pfs_node *run, struct pfs_diag *diag)
{
	struct pfs_graph *graph = run->graph;
	int r = 0;

	if (diag)
		diag->text[0] = '\0';
	pthread_mutex_lock(&graph->control);
	run->started = true;
	for (struct pfs_node *c = run->children.first; c; c = c->child.next) {
		struct pfs_domain *domain = c->same->domain;

		domain->held = false;
		if (r == 0)
			r = pfs_feed_start(domain, diag);
		else
			(void)pfs_feed_start(domain, NULL);
	}
	pthread_mutex_unlock(&graph->control);
	return r;
}

void pfs_run_end(struct pfs_node *run)
{
	bool outermost = pfs_work_begin_short(run->graph->options.patience);
	struct pfs_graph *graph = run->graph;

	for (;;) {
		struct pfs_node *name;
		struct pfs_domain *domain;

		pthread_mutex_lock(&graph->control);
		atomic_store(&run->dead, true); /* nothing is made in it any more */
		name = run->children.first;
		if (!name)
			break;
		domain = pfs_domain_ref(name->same->domain);
		name_drop(name);
		pthread_mutex_unlock(&graph->control);
		pfs_domain_kick(domain);
		pfs_domain_unref(domain);
	}
	if (run->parent)
		pfs_node_unlink(run);
	pthread_mutex_unlock(&graph->control);
	pfs_work_end(outermost);
}
