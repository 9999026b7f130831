/*
 * node - the tree: find, make, remove, list
 */
#include <stdio.h>

#include "graph/classes.h"
#include "graph/graph_i.h"
#include "graph/guard.h"

/* --- life ------------------------------------------------------------------------------------ */

struct pfs_node *pfs_node_ref(struct pfs_node *node)
{
	atomic_fetch_add_explicit(&node->refs, 1, memory_order_relaxed);
	return node;
}

static void node_free(struct pfs_node *node)
{
	struct pfs_domain *domain = node->domain;
	struct pfs_graph *graph = node->graph;
	struct pfs_node *above = node->above, *same = node->same;
	struct pfs_node *anchor = node->anchor, *root = node->root;

	assert(!node->children.first && !node->state);
	pfs_task_free(node->task);
	if (node->queue) {
		if (node->queue_charged)
			pfs_due_give(graph, node->payer, PFS_DUE_MEMORY,
				     node->queue->size * sizeof(struct pfs_ref));
		pfs_queue_free(node->queue);
	}
	pfs_inject_free(node->inject);
	pfs_args_release(&node->args);
	if (node->counted)
		pfs_due_give(graph, node->payer, PFS_DUE_NODES, 1);
	free(node->class_nodes);
	free(node->name);
	free(node);
	pfs_domain_unref(domain);
	pfs_node_unref(same);
	pfs_node_unref(above);
	pfs_node_unref(anchor);
	pfs_node_unref(root);
}

void pfs_node_unref(struct pfs_node *node)
{
	if (node && atomic_fetch_sub_explicit(&node->refs, 1, memory_order_acq_rel) == 1)
		node_free(node);
}

int pfs_node_new(struct pfs_graph *graph, struct pfs_node *parent, enum pfs_node_kind kind,
		 const char *name, uid_t payer, struct pfs_node **ret_node)
{
	PFS_FREE char *copy = strdup(name);
	bool counted = kind != PFS_NODE_CLASS; /* those are bounded by their sets */
	struct pfs_node *node = pfs_zalloc(1, sizeof(*node));
	int r = node && copy ? 0 : -ENOMEM;

	if (r == 0 && counted)
		r = pfs_due_take(graph, payer, PFS_DUE_NODES, 1);
	if (r < 0) {
		free(node);
		return r;
	}
	node->graph = graph;
	node->payer = payer;
	node->kind = kind;
	node->name = TAKE_PTR(copy);
	node->id = ++graph->next_id;
	atomic_init(&node->refs, 1);
	node->link_type = PFS_LINK_BYTES;
	clock_gettime(CLOCK_REALTIME, &node->created);
	node->changed = node->created;
	node->born = pfs_clock_mono();
	if (parent) {
		node->above = pfs_node_ref(parent);
		node->depth = parent->depth + 1;
		node->uid = parent->uid;
		node->gid = parent->gid;
		node->mode = parent->mode;
		node->domain = parent->domain ? pfs_domain_ref(parent->domain) : NULL;
		node->owner = parent->owner;
		node->common = parent->common;
	}
	node->counted = counted;
	*ret_node = node;
	return 0;
}

void pfs_node_link(struct pfs_node *parent, struct pfs_node *node)
{
	pfs_child_add(parent, node);
	pthread_mutex_lock(&node->graph->names);
	node->parent = parent;
	pthread_mutex_unlock(&node->graph->names);
	clock_gettime(CLOCK_REALTIME, &parent->changed);
}

void pfs_node_unlink(struct pfs_node *node)
{
	struct pfs_node *parent = node->parent;

	pfs_child_remove(parent, node);
	pfs_class_gone(node);
	pthread_mutex_lock(&node->graph->names);
	node->parent = NULL;
	pthread_mutex_unlock(&node->graph->names);
	clock_gettime(CLOCK_REALTIME, &parent->changed);
	pfs_node_unref(node);
}

void pfs_node_lost(struct pfs_node *node, const char *reason, uint64_t n)
{
	for (size_t i = 0; i < PFS_REASONS_MAX; i++) {
		const char *known = atomic_load_explicit(&node->lost[i].reason, memory_order_relaxed);

		if (known && strcmp(known, reason) != 0 && i < PFS_REASONS_MAX - 1)
			continue;
		pfs_counter_add(&node->lost[i].n, n);
		if (!known)
			atomic_store_explicit(&node->lost[i].reason, reason, memory_order_release);
		return;
	}
}

uint64_t pfs_node_lost_sum(const struct pfs_node *node)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < PFS_REASONS_MAX; i++)
		sum += pfs_counter_get(&node->lost[i].n);
	return sum;
}

/* --- looking ----------------------------------------------------------------------------------- */

static bool is_sink(const struct pfs_node *node)
{
	return node->filter && (node->filter->flags & PFS_FILTER_SINK);
}

static void fill_info(const struct pfs_node *node, struct pfs_node_info *info);

/* A name looks like what it names, and is its maker's. */
static void fill_name_info(const struct pfs_node *node, struct pfs_node_info *info)
{
	fill_info(node->same, info);
	info->id = node->id;
	info->uid = node->uid;
	info->gid = node->gid;
	info->mode = node->mode;
	info->created = node->created;
	info->alive = info->alive && !atomic_load(&node->dead);
	info->children = pfs_node_filters(node);
	info->writable = info->writable && node->same->uses < 2;
}

static void fill_info(const struct pfs_node *node, struct pfs_node_info *info)
{
	if (node->same) {
		fill_name_info(node, info);
		return;
	}
	*info = (struct pfs_node_info){
		.kind = node->kind,
		.id = node->id,
		.uid = node->uid,
		.gid = node->gid,
		.mode = node->mode,
		.created = node->created,
		.flow = node->flow,
		.sink = is_sink(node),
		.alive = !atomic_load(&node->dead),
		.children = pfs_node_filters(node),
		.source = (node->kind == PFS_NODE_SOURCE || node->kind == PFS_NODE_FOLDER) && node->from
				  ? node->from->name
				  : NULL,
	};
	info->writable = node->domain && !info->sink &&
			 (node->flow != PFS_FLOW_BYTES || node->kind == PFS_NODE_FILTER ||
			  (node->from && (node->from->flags & PFS_SOURCE_WRITABLE)));
	info->params_writable = node->filter ? node->filter->reconfigure != NULL
					     : node->from && node->from->reconfigure != NULL;
	info->program = (node->kind == PFS_NODE_SOURCE && node->from && node->from->program) ||
			(node->filter && node->filter->program);
}

void pfs_node_info(struct pfs_node *node, struct pfs_node_info *ret_info)
{
	pthread_mutex_lock(&node->graph->control);
	fill_info(node, ret_info);
	pthread_mutex_unlock(&node->graph->control);
}

static void path_of(const struct pfs_node *node, struct pfs_buf *out)
{
	if (!node->parent)
		return;
	path_of(node->parent, out);
	pfs_buf_str(out, "/");
	pfs_buf_str(out, node->name);
}

const char *pfs_node_name(const struct pfs_node *node)
{
	return node->name;
}

void pfs_node_path_add(const struct pfs_node *node, struct pfs_buf *out)
{
	size_t before = out->len;

	pthread_mutex_lock(&node->graph->names);
	path_of(node, out);
	pthread_mutex_unlock(&node->graph->names);
	if (out->len == before)
		pfs_buf_str(out, "/");
}

void pfs_node_path(struct pfs_node *node, struct pfs_buf *out)
{
	pfs_node_path_add(node, out);
}

/* *uid: the folder's owner, unless it is somebody else's. */
static bool device_there(const struct pfs_node *dir, const char *name, uid_t *uid)
{
	const struct pfs_source *source = dir->from;

	*uid = dir->uid;
	return source->device_exists && source->device_exists(dir->graph->options.herd, name, uid);
}

/* A device of a folder: there when the kernel has it, gone when it has not (and nobody built on it). */
static int lookup_device(struct pfs_node *dir, const char *name, struct pfs_node **ret_node)
{
	const struct pfs_source *source = dir->from;
	struct pfs_node *node = pfs_node_child(dir, name);
	struct pfs_cred cred = { .uid = dir->uid, .gid = dir->gid };
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	bool exists = device_there(dir, name, &cred.uid);

	if (node) {
		if (exists || node->args.n || node->children.first || node->readers) {
			*ret_node = pfs_node_ref(node);
			return 0;
		}
		atomic_store(&node->dead, true);
		pfs_node_finish(node);
		pfs_node_unlink(node);
		return -ENOENT;
	}
	if (!exists)
		return -ENOENT;
	args.arg = strdup(name);
	if (!args.arg)
		return -ENOMEM;
	args.arg_len = strlen(name);
	int r = pfs_build_source(dir, source, name, &args, &cred, 0700, &node, NULL);
	if (r < 0)
		return r;
	*ret_node = pfs_node_ref(node);
	return 0;
}

int pfs_node_find(struct pfs_node *dir, const char *name, struct pfs_node **ret_node)
{
	struct pfs_node *node;
	uint16_t class_;
	int r;

	if (atomic_load(&dir->dead))
		return -ENOENT;
	if (dir->kind == PFS_NODE_FOLDER)
		return lookup_device(dir, name, ret_node);
	if (pfs_in_run(dir))
		return pfs_stage_lookup(dir, name, ret_node);
	if (pfs_class_find(dir, name, false, &class_, NULL) == 0) {
		r = pfs_class_dir(dir, name, class_, &node);
		if (r < 0)
			return r;
	} else {
		node = pfs_node_child(dir, name);
		if (!node)
			return -ENOENT;
	}
	*ret_node = pfs_node_ref(node);
	return 0;
}

int pfs_node_lookup(struct pfs_node *dir, const char *name, struct pfs_node **ret_node)
{
	int r;

	pthread_mutex_lock(&dir->graph->control);
	r = pfs_node_find(dir, name, ret_node);
	pthread_mutex_unlock(&dir->graph->control);
	return r;
}

/* --- listing -------------------------------------------------------------------------------------- */

struct listing {
	struct pfs_node *dir;
	struct {
		char *name;
		struct pfs_node_info info;
	} * entries;
	size_t n, cap;
	bool failed;
};

static void listing_release(struct listing *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->entries[i].name);
	free(list->entries);
}

static void listing_add(struct listing *list, const char *name, const struct pfs_node_info *info)
{
	for (size_t i = 0; list->dir->kind == PFS_NODE_FOLDER && i < list->n; i++)
		if (strcmp(list->entries[i].name, name) == 0)
			return;
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 32;
		void *p = reallocarray(list->entries, cap, sizeof(*list->entries));

		if (!p) {
			list->failed = true;
			return;
		}
		list->entries = p;
		list->cap = cap;
	}
	list->entries[list->n].name = strdup(name);
	list->entries[list->n].info = *info;
	if (list->entries[list->n].name)
		list->n++;
	else
		list->failed = true;
}

static void listing_add_missing(void *arg, const char *name)
{
	struct listing *list = arg;
	struct pfs_node_info info;

	fill_info(list->dir, &info);
	info.kind = PFS_NODE_SOURCE;
	info.id = 0; /* not looked up yet: no number */
	listing_add(list, name, &info);
}

static bool class_is_listed(struct pfs_node *node)
{
	const struct pfs_filter *filter;
	bool used = pfs_node_filters(node) > 0;

	node = pfs_node_real(node);
	if (atomic_load(&node->dead))
		return false; /* a name of a class that has gone */
	filter = node->parent->filter;
	if (used || !filter || !filter->classes)
		return true;
	return atomic_load(&node->parent->seen) >> (node->class_ - 1) & 1;
}

/* Classes that were seen but never looked up. */
static void list_closed(struct listing *list, const char *const *classes)
{
	struct pfs_node *dir = pfs_node_real(list->dir);
	struct pfs_node_info info;

	fill_info(list->dir, &info);
	info.kind = PFS_NODE_CLASS;
	info.id = 0;
	for (size_t i = 0; i < 64 && classes[i]; i++)
		if ((atomic_load(&dir->seen) >> i & 1) && !pfs_node_child(list->dir, classes[i]))
			listing_add(list, classes[i], &info);
}

/* All that are not among the children. */
static void list_open(struct listing *list, struct pfs_classes *set)
{
	struct pfs_node *dir = pfs_node_real(list->dir);
	bool named = dir != list->dir;
	char name[PKT_FIELD_NAME_SIZE];
	struct pfs_node_info info;
	uint16_t classes[64];
	size_t n = ARRAY_SIZE(classes);

	classes[n - 1] = 0;
	while (n == ARRAY_SIZE(classes)) {
		n = pfs_classes_list(set, classes[n - 1], false, classes, n);
		for (size_t i = 0; i < n; i++) {
			struct pfs_node *node = pfs_class_known(dir, classes[i]);

			if ((!named && node && node->used) ||
			    pfs_classes_name(set, classes[i], name) < 0 ||
			    (named && pfs_node_child(list->dir, name)))
				continue;
			fill_info(node && !named ? node : list->dir, &info);
			info.kind = PFS_NODE_CLASS;
			info.id = node && !named ? node->id : 0;
			listing_add(list, name, &info);
		}
	}
}

static void list_all(struct listing *list)
{
	struct pfs_node *dir = list->dir, *real = pfs_node_real(dir);
	struct pfs_node_info info;

	for (struct pfs_node *c = dir->children.first; c; c = c->child.next) {
		enum pfs_node_kind kind = pfs_node_real(c)->kind;

		if (kind == PFS_NODE_VIEW || (kind == PFS_NODE_CLASS && !class_is_listed(c)))
			continue;
		if (dir->kind == PFS_NODE_FOLDER && c->args.n == 0)
			continue; /* comes with the devices, if it still exists */
		fill_info(c, &info);
		listing_add(list, c->name, &info);
	}
	if (real->filter && real->filter->classes)
		list_closed(list, real->filter->classes);
	if (pfs_class_set(real))
		list_open(list, pfs_class_set(real));
	if (dir->kind == PFS_NODE_FOLDER && dir->from->devices)
		dir->from->devices(dir->graph->options.herd, listing_add_missing, list);
}

int pfs_node_list(struct pfs_node *dir,
		  int (*each)(void *arg, const char *name, const struct pfs_node_info *info),
		  void *arg)
{
	PFS_CLEANUP(listing_release) struct listing list = { .dir = dir };
	int r = 0;

	pthread_mutex_lock(&dir->graph->control);
	if (!atomic_load(&dir->dead))
		list_all(&list);
	pthread_mutex_unlock(&dir->graph->control);
	if (list.failed)
		return -ENOMEM;
	for (size_t i = 0; i < list.n && r == 0; i++)
		r = each(arg, list.entries[i].name, &list.entries[i].info);
	return r;
}

/* --- making ----------------------------------------------------------------------------------------- */

static int make_in_folder(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
			  mode_t mode, struct pfs_node **ret_node, struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	PFS_FREE char *full = NULL;
	int r;

	if (cred->uid != 0 && cred->uid != dir->uid)
		return pfs_diag_set(diag, EACCES, "network sources belong to root");
	if (asprintf(&full, "%s:%s", dir->name, name) < 0)
		return -ENOMEM;
	r = pfs_args_parse(full, dir->from->params, &args, diag);
	if (r < 0)
		return r;
	if (args.n == 0)
		return pfs_diag_set(diag, ENODEV, "there is no %s '%.100s'", dir->from->device, name);
	return pfs_build_source(dir, dir->from, name, &args, cred, mode & 0700, ret_node, diag);
}

static int make_source(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
		       mode_t mode, struct pfs_node **ret_node, struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	const struct pfs_source *source = pfs_source_find(name, pfs_name_type_len(name));
	int r;

	if (!source) {
		pfs_graph_near(dir, name, diag);
		return -ENOENT;
	}
	if ((source->flags & PFS_SOURCE_STATIC) && cred->uid != 0 && cred->uid != dir->uid)
		return pfs_diag_set(diag, EACCES, "network sources belong to root");
	r = pfs_args_parse(name, source->params, &args, diag);
	if (r < 0)
		return r;
	return pfs_build_source(dir, source, name, &args, cred, mode & 0700, ret_node, diag);
}

static int make_filter(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
		       mode_t mode, struct pfs_node **ret_node, struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	const struct pfs_filter *filter;
	int r = pfs_class_make(dir, name, ret_node, diag);

	if (r != -ENOENT)
		return r;
	filter = pfs_filter_find(name, pfs_name_type_len(name), false);
	if (!filter) {
		pfs_graph_near(dir, name, diag);
		return -ENOENT;
	}
	r = pfs_args_parse(name, filter->params, &args, diag);
	if (r < 0)
		return r;
	return pfs_build_filter(dir, filter, name, &args, cred, mode, ret_node, diag);
}

void pfs_domain_kick(struct pfs_domain *domain)
{
	bool outermost = pfs_work_begin_short(
		domain->graph->options.patience); /* they run at its end, without the lock */

	pthread_mutex_lock(&domain->graph->control);
	for (struct pfs_task *t = domain->tasks; t; t = t->next)
		pfs_kick(t);
	pthread_mutex_unlock(&domain->graph->control);
	pfs_wait_wake(&domain->space); /* tasks that are gone may have held room */
	pfs_work_end(outermost);
	pfs_graph_reap(domain->graph);
}

static struct pfs_domain *domain_of(struct pfs_node *node)
{
	struct pfs_domain *domain;

	pthread_rwlock_rdlock(&node->graph->places);
	domain = pfs_domain_ref(node->domain);
	pthread_rwlock_unlock(&node->graph->places);
	return domain;
}

void pfs_node_kick_all(struct pfs_node *node)
{
	struct pfs_domain *domain = domain_of(node);

	pfs_domain_kick(domain);
	pfs_domain_unref(domain);
}

void pfs_node_space_wake(struct pfs_node *node)
{
	struct pfs_domain *domain = domain_of(node);

	pfs_wait_wake(&domain->space);
	pfs_domain_unref(domain);
}

static int make(struct pfs_node *dir, const char *name, const struct pfs_cred *cred, mode_t mode,
		struct pfs_node **ret_node, struct pfs_diag *diag)
{
	if (atomic_load(&dir->dead))
		return -ENOENT;
	if (strlen(name) > PFS_NAME_MAX)
		return pfs_diag_set(diag, ENAMETOOLONG, "a name has at most %d bytes", PFS_NAME_MAX);
	if (dir->depth >= PFS_DEPTH_MAX)
		return pfs_diag_set(diag, ELOOP, "a pipeline has at most %d stages", PFS_DEPTH_MAX);
	if (pfs_node_child(dir, name))
		return -EEXIST;
	switch (dir->kind) {
	case PFS_NODE_ROOT:
		return make_source(dir, name, cred, mode, ret_node, diag);
	case PFS_NODE_FOLDER:
		return make_in_folder(dir, name, cred, mode, ret_node, diag);
	case PFS_NODE_RUN:
	case PFS_NODE_NAME:
		return pfs_stage_make(dir, name, cred, mode, ret_node, diag);
	case PFS_NODE_SOURCE:
	case PFS_NODE_FILTER:
	case PFS_NODE_CLASS:
	case PFS_NODE_VIEW:
		break;
	}
	if (is_sink(dir))
		return pfs_diag_set(diag, EINVAL, "'%s' is a sink: nothing comes out of it", dir->name);
	return make_filter(dir, name, cred, mode, ret_node, diag);
}

/* It counts, or takes what comes, from when mkdir returns. Else it goes again. */
static int settle(struct pfs_node *node, struct pfs_diag *diag)
{
	bool takes = node->filter && (node->filter->flags & (PFS_FILTER_SINK | PFS_FILTER_CONSUMER));
	int r = takes ? pfs_decide_settle(node->domain, diag) : 0;

	if (r < 0 && !atomic_load(&node->dead))
		(void)pfs_node_drop(node);
	return r;
}

int pfs_node_make(struct pfs_node *dir, const char *name, const struct pfs_cred *cred, mode_t mode,
		  struct pfs_node **ret_node, struct pfs_diag *diag)
{
	struct pfs_graph *graph = dir->graph;
	bool outermost = pfs_work_begin_short(
		dir->graph->options.patience); /* what a failure wakes runs without the lock */
	struct pfs_node *node = NULL, *real;
	int r;

	if (diag)
		diag->text[0] = '\0';
	pthread_mutex_lock(&graph->control);
	r = make(dir, name, cred, mode, &node, diag);
	if (r < 0) {
		if (diag && !diag->text[0])
			pfs_due_refused(graph, PFS_DUE_NODES, r, diag);
		node = NULL;
	}
	if (r == 0)
		r = settle(pfs_node_ref(node), diag);
	pthread_mutex_unlock(&graph->control);
	pfs_work_end(outermost);
	if (r < 0) {
		pfs_node_unref(node);
		return r;
	}
	assert(node); /* set on success, and errors are negative */
	real = pfs_node_real(node);
	if (real->filter && (real->filter->flags & (PFS_FILTER_SINK | PFS_FILTER_CONSUMER)))
		pfs_node_kick_all(real);
	if (ret_node)
		*ret_node = node;
	else
		pfs_node_unref(node);
	return 0;
}

/* --- removing ----------------------------------------------------------------------------------------- */

/* Marks a node and what hangs on it (classes, views) dead, so that they are not in the next plan; or takes it back. */
static void bury(struct pfs_node *node, bool dead)
{
	atomic_store(&node->dead, dead);
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		bury(c, dead);
}

/* After the replan: ends their states, gives up the tree's references, tells their readers. */
static void dismantle(struct pfs_node *node)
{
	while (node->children.first)
		dismantle(node->children.first);
	if (node->kind != PFS_NODE_VIEW || node->readers == 0)
		pfs_node_finish(node);
	/* Its readers still say to the task that ran it that they have moved on, wherever the rest goes. */
	if (node->owner && node->owner != node->task && !node->anchor)
		node->anchor = pfs_node_ref(node->owner->node);
	if (node->domain && node != node->domain->source && !node->root)
		node->root = pfs_node_ref(node->domain->source);
	if (node->queue)
		pfs_wait_wake(&node->queue->waiters);
	pfs_joins_cut(node);
	pfs_node_unlink(node);
}

int pfs_node_drop(struct pfs_node *node)
{
	struct pfs_node *dir = node->parent;
	uint16_t class_ = node->class_;
	bool is_class = node->kind == PFS_NODE_CLASS;
	int r;

	bury(node, true);
	r = node->wanted ? pfs_domain_replan(node->domain) : 0; /* nobody's is in no plan */
	if (r < 0) {
		bury(node, false);
		(void)pfs_domain_replan(node->domain); /* who is wanted is so again */
		return r;
	}
	dismantle(node);
	if (is_class) /* no plan routes by its number any more */
		pfs_class_forget(dir, class_);
	return 0;
}

bool pfs_node_is_static(const struct pfs_node *node)
{
	uid_t uid;
	bool device = node->parent && node->parent->kind == PFS_NODE_FOLDER &&
		      device_there(node->parent, node->name, &uid);

	return node->kind == PFS_NODE_FOLDER ||
	       (node->args.n == 0 &&
		(device || (node->from && (node->from->flags & PFS_SOURCE_STATIC))));
}

static int remove_node(struct pfs_node *dir, struct pfs_node *node, const struct pfs_cred *cred,
		       struct pfs_diag *diag)
{
	int r;

	if (pfs_in_run(node))
		return pfs_stage_remove(node, diag);
	if (pfs_node_is_static(node))
		return pfs_diag_set(diag, EBUSY, "'%s' is always there", node->name);
	if (pfs_node_filters(node) > 0)
		return -ENOTEMPTY;
	if (dir->kind == PFS_NODE_ROOT && cred->uid != 0 && cred->uid != node->uid &&
	    cred->uid != node->graph->options.uid)
		return pfs_diag_set(diag, EPERM, "'%s' belongs to somebody else", node->name);
	pfs_guard_for(node->graph, cred);
	r = pfs_node_drop(node);
	pfs_guard_for(node->graph, NULL);
	if (r < 0)
		pfs_decide_why(node->domain, diag);
	return r;
}

int pfs_node_remove(struct pfs_node *dir, const char *name, const struct pfs_cred *cred,
		    struct pfs_diag *diag)
{
	bool outermost = pfs_work_begin_short(
		dir->graph->options.patience); /* what waking makes possible runs without the lock */
	struct pfs_node *node = NULL;
	int r;

	if (diag)
		diag->text[0] = '\0';
	pthread_mutex_lock(&dir->graph->control);
	r = pfs_node_find(dir, name, &node);
	if (r == 0)
		r = remove_node(dir, node, cred, diag);
	pthread_mutex_unlock(&dir->graph->control);
	if (node && r == 0 && pfs_node_real(node)->domain)
		pfs_node_kick_all(pfs_node_real(node));
	pfs_node_unref(node);
	pfs_work_end(outermost);
	return r;
}

int pfs_node_chown(struct pfs_node *node, uid_t uid, gid_t gid)
{
	pthread_mutex_lock(&node->graph->control);
	if (uid != (uid_t)-1)
		node->uid = uid;
	if (gid != (gid_t)-1)
		node->gid = gid;
	pthread_mutex_unlock(&node->graph->control);
	return 0;
}

int pfs_node_chmod(struct pfs_node *node, mode_t mode)
{
	pthread_mutex_lock(&node->graph->control);
	node->mode = mode & 07777;
	pthread_mutex_unlock(&node->graph->control);
	return 0;
}
