/*
 * build - nodes of filters, sources, classes and views
 *
 * init() of a filter may open files, which can take its time or lead anywhere: it runs with the control lock given
 * up, on a node that nobody sees yet. Then the place is looked at once more, and only then is the node linked. Views
 * open no files.
 */
#include <stdio.h>

#include "base/caller.h"
#include "graph/graph_i.h"
#include "graph/guard.h"
#include "graph/verdict.h"

/*
 * Two may have one name: a filter without an argument and a sink that needs one, `tcp` and `tcp:HOST:PORT`. What
 * follows the type decides.
 */
static bool is_meant(const struct pfs_filter *f, const char *rest)
{
	bool argument = rest[0] == ':' && rest[1] && rest[1] != ',';

	return argument ? f->has_arg : !f->needs_arg;
}

const struct pfs_filter *pfs_filter_find(const char *type, size_t len, bool view)
{
	const struct pfs_filter *found = NULL;

	for (size_t i = 0; pfs_filters[i]; i++) {
		const struct pfs_filter *f = pfs_filters[i];

		if (view != !!(f->flags & PFS_FILTER_VIEW))
			continue;
		if ((strlen(f->name) == len && memcmp(f->name, type, len) == 0) ||
		    (f->alias && strlen(f->alias) == len && memcmp(f->alias, type, len) == 0)) {
			if (is_meant(f, type + len))
				return f;
			found = f; /* unless there is a better one */
		}
	}
	return found;
}

/* Of that name without an argument, as `tcp` is. */
static bool is_filter(const char *type, size_t len)
{
	const struct pfs_filter *filter = pfs_filter_find(type, len, false);

	return filter && !filter->needs_arg;
}

const struct pfs_source *pfs_source_find(const char *type, size_t len)
{
	for (size_t i = 0; pfs_sources[i]; i++) {
		const struct pfs_source *s = pfs_sources[i];

		if ((strlen(s->name) == len && memcmp(s->name, type, len) == 0) ||
		    (s->alias && strlen(s->alias) == len && memcmp(s->alias, type, len) == 0))
			return type[len] != ':' && s->needs_arg && is_filter(type, len) ? NULL : s;
	}
	return NULL;
}

/* --- near misses --------------------------------------------------------------------------- */

/* Edits between two short words (Levenshtein), at most 31 bytes each. */
static size_t distance(const char *a, size_t alen, const char *b)
{
	size_t blen = strlen(b), row[32];

	if (alen > 31 || blen > 31)
		return 99;
	for (size_t j = 0; j <= blen; j++)
		row[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			size_t above = row[j];

			row[j] = pfs_min(pfs_min(above, row[j - 1]) + 1,
					 diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[blen];
}

void pfs_graph_near(struct pfs_node *dir, const char *name, struct pfs_diag *diag)
{
	bool sources = dir->kind == PFS_NODE_ROOT || dir->kind == PFS_NODE_RUN;
	const char *const *classes = NULL, *what = sources ? "source" : "filter", *best = NULL;
	const struct pfs_filter *filter = pfs_node_real(dir)->filter;
	size_t len = pfs_name_type_len(name), least = 3;

	if (sources ? pfs_filter_find(name, len, false) != NULL : pfs_source_find(name, len) != NULL) {
		pfs_diag_set(diag, ENOENT,
			     sources ? "'%.*s' is a filter: it goes below a source, as in accept/%.*s"
				     : "'%.*s' is a source: it goes at the root, as in /%.*s",
			     (int)pfs_min(len, 60), name, (int)pfs_min(len, 60), name);
		return;
	}
	for (size_t i = 0; sources ? pfs_sources[i] != NULL : pfs_filters[i] != NULL; i++) {
		const char *known = sources ? pfs_sources[i]->name : pfs_filters[i]->name;
		size_t d;

		if (!sources && (pfs_filters[i]->flags & PFS_FILTER_VIEW))
			continue;
		d = distance(name, len, known);
		if (d < least) {
			least = d;
			best = known;
		}
	}
	if (filter && filter->classes) {
		what = "filter or class";
		classes = filter->classes;
	}
	for (; classes && *classes; classes++) {
		size_t d = distance(name, len, *classes);

		if (d < 3 && d <= least) { /* rather than a filter that is as near */
			least = d;
			best = *classes;
		}
	}
	if (best)
		pfs_diag_set(diag, ENOENT, "there is no %s '%.*s'; did you mean '%s'?", what,
			     (int)pfs_min(len, 60), name, best);
	else
		pfs_diag_set(diag, ENOENT, "there is no %s '%.*s' (ls .filters names them all)",
			     what, (int)pfs_min(len, 60), name);
}

/* --- filters and sources ------------------------------------------------------------------------ */

/* Said by the filter that made the records; those that pass on what came say nothing. */
const struct pkt_describe *pfs_describe_of(const struct pfs_node *node)
{
	for (; node; node = node->above) {
		if (node->kind == PFS_NODE_SOURCE)
			return node->from->describe;
		if (!node->filter)
			continue;
		if (node->filter->describe || node->filter->out != PFS_FLOW_SAME)
			return node->filter->describe;
	}
	return NULL;
}

static int identify(const struct pfs_place *place, struct pfs_caller *ret_caller,
		    struct pfs_spawner **ret_spawner, struct pfs_diag *diag)
{
	const struct pfs_graph_options *options = &place->node->graph->options;
	const struct pfs_cred *cred = place->caller;
	int r;

	if (!options->spawner || !options->home)
		return pfs_diag_set(diag, ENOSYS, "no commands can be run here");
	r = pfs_caller_get(options->home, cred->pid, cred->uid, cred->gid, ret_caller, diag);
	if (r < 0)
		return r;
	ret_caller->confined = true;
	*ret_spawner = options->spawner;
	return 0;
}

int pfs_place_of(struct pfs_node *parent, const struct pfs_cred *cred, struct pfs_place *ret_place)
{
	*ret_place = (struct pfs_place){
		.flow = (enum pfs_flow)parent->flow,
		.link_type = parent->link_type,
		.uid = cred->uid,
		.gid = cred->gid,
		.purse = { .graph = parent->graph, .uid = cred->uid },
		.open_file = pfs_open_as,
		.join = pfs_place_join,
		.identify = identify,
		.herd = parent->graph->options.herd,
		.processes = parent->graph->options.user_processes,
		.caller = cred,
		.describe = pfs_describe_of(parent),
	};
	return 0;
}

const char *pfs_flow_word(unsigned flow)
{
	if (flow & PFS_FLOW_PACKETS)
		return "packets with a link layer";
	if (flow & PFS_FLOW_IP)
		return "IP packets without a link layer";
	return flow & PFS_FLOW_TEXT ? "text" : "a byte stream";
}

void pfs_flow_below(const struct pfs_filter *filter, const struct pfs_flows *above,
		    struct pfs_flows *ret_flows)
{
	bool packets = above->flow & PFS_FLOW_ANY_PACKET;
	struct pfs_flows flows = { .flow = above->flow, .link_type = PFS_LINK_BYTES };

	if (filter->out != PFS_FLOW_SAME)
		flows.flow = filter->out;
	if (flows.flow & PFS_FLOW_ANY_PACKET)
		flows.link_type = packets ? above->link_type : PFS_LINK_ETHERNET;
	flows.describe = filter->describe || filter->out != PFS_FLOW_SAME ? filter->describe
									  : above->describe;
	*ret_flows = flows;
}

bool pfs_filter_pulls(const struct pfs_filter *filter, unsigned flow)
{
	return filter->pull && (!filter->batch || (filter->pulls & flow));
}

int pfs_filter_fits(const struct pfs_filter *filter, const struct pfs_node *source, unsigned flow,
		    const char *above, struct pfs_diag *diag)
{
	if (filter->verdict != PFS_VERDICT_NONE && !(source->from->flags & PFS_SOURCE_VERDICTS))
		return pfs_diag_set(diag, EINVAL,
				    "'%s' gives a verdict: it fits only below netfilter_*",
				    filter->name);
	if ((filter->flags & PFS_FILTER_LINK) && flow == PFS_FLOW_IP)
		return pfs_diag_set(diag, EINVAL,
				    "'%s' needs the link layer: packets here start at the IP header",
				    filter->name);
	if (!(filter->in & flow))
		return pfs_diag_set(diag, EINVAL, "'%s' does not fit here: '%s' gives %s",
				    filter->name, above, pfs_flow_word(flow));
	return 0;
}

/* Does this filter fit below this node? */
static int check_place(struct pfs_node *parent, const struct pfs_filter *filter,
		       const struct pfs_args *args, struct pfs_diag *diag)
{
	int r;

	if (args->arg && args->arg_len > 0 && !filter->has_arg)
		return pfs_diag_set(diag, EINVAL, "'%s' takes no argument", filter->name);
	if (!args->arg && filter->needs_arg)
		return pfs_diag_set(diag, EINVAL, "'%s' needs an argument: %s:...", filter->name,
				    filter->name);
	r = pfs_filter_fits(filter, parent->domain->source, parent->flow, parent->name, diag);
	return r == 0 && filter->verdict != PFS_VERDICT_NONE ? pfs_verdict_fits(parent, diag) : r;
}

static int init_filter(struct pfs_node *node, const struct pfs_place *place, struct pfs_diag *diag)
{
	const struct pfs_filter *filter = node->filter;
	void *state = pfs_zalloc(1, filter->state_size);
	int r = state ? 0 : -ENOMEM;

	if (r == 0 && filter->init && node->kind == PFS_NODE_VIEW) {
		r = filter->init(state, &node->args, place,
				 diag); /* opens nothing; and one of a kind is enough */
	} else if (r == 0 && filter->init) {
		pthread_mutex_unlock(&node->graph->control);
		r = filter->init(state, &node->args, place, diag);
		pthread_mutex_lock(&node->graph->control);
	}
	if (r < 0) {
		free(state);
		return r;
	}
	node->state = state;
	return 0;
}

static int take_processes(struct pfs_node *node, struct pfs_diag *diag)
{
	unsigned n = node->filter->processes;
	int r = n ? pfs_due_take(node->graph, node->payer, PFS_DUE_PROCESSES, n) : 0;

	if (r < 0)
		return pfs_due_refused(node->graph, PFS_DUE_PROCESSES, r, diag);
	node->processes = n;
	return 0;
}

static int still_free(struct pfs_node *parent, const char *name, bool view)
{
	if (atomic_load(&parent->dead))
		return -ENOENT;
	return !view && !parent->common && pfs_node_child(parent, name) ? -EEXIST : 0;
}

/* The directory may have been moved while the filter was made: this goes to where that is now. */
static int follow(struct pfs_node *node, struct pfs_node *parent, const struct pfs_place *place,
		  struct pfs_diag *diag)
{
	if (place->flow != parent->flow || place->link_type != parent->link_type ||
	    place->describe != pfs_describe_of(parent))
		return pfs_diag_set(diag, EBUSY, "'%.100s' has just been moved: try again",
				    parent->name);
	pfs_domain_unref(node->domain);
	node->domain = pfs_domain_ref(parent->domain);
	node->owner = parent->owner;
	node->depth = parent->depth + 1;
	if (node->depth > PFS_DEPTH_MAX)
		return pfs_diag_set(diag, ELOOP, "a pipeline has at most %d stages", PFS_DEPTH_MAX);
	return 0;
}

/* A node that was never linked. */
static void discard(struct pfs_node *node)
{
	if (!node)
		return;
	pfs_node_finish(node);
	pfs_node_unref(node);
}

/* With the control lock from here until it is in the tree: no other join comes between. */
static int link_join(struct pfs_node *node, struct pfs_node *parent, struct pfs_diag *diag)
{
	struct pfs_node *target = pfs_join_node(node->join);

	if (!target || atomic_load(&target->dead))
		return pfs_diag_set(diag, ENOENT, "its target has just been removed");
	if (pfs_node_would_loop(target, parent))
		return pfs_diag_set(diag, ELOOP, "what goes there comes back here: a circle");
	return pfs_join_link(node->join);
}

int pfs_build_filter(struct pfs_node *parent, const struct pfs_filter *filter, const char *name,
		     struct pfs_args *args, const struct pfs_cred *cred, mode_t mode,
		     struct pfs_node **ret_node, struct pfs_diag *diag)
{
	bool view = filter->flags & PFS_FILTER_VIEW;
	struct pfs_flows above, flows;
	struct pfs_node *node = NULL;
	struct pfs_place place;
	int r;

	r = check_place(parent, filter, args, diag);
	if (r < 0)
		return r;
	r = pfs_node_new(parent->graph, parent, view ? PFS_NODE_VIEW : PFS_NODE_FILTER, name,
			 view ? parent->payer : cred->uid, &node);
	if (r < 0)
		return r;
	node->filter = filter;
	node->uid = cred->uid;
	node->gid = cred->gid;
	node->mode = mode & 0777;
	above = (struct pfs_flows){ parent->flow, parent->link_type, NULL };
	pfs_flow_below(filter, &above, &flows);
	node->flow = flows.flow;
	node->link_type = flows.link_type;
	node->pulls = pfs_filter_pulls(filter, parent->flow);
	node->args = *args;
	*args = (struct pfs_args){ 0 };
	pfs_place_of(parent, cred, &place);
	place.node = node;
	r = take_processes(node, diag);
	if (r == 0)
		r = init_filter(node, &place, diag);
	if (r == 0)
		r = still_free(parent, name, view);
	if (r == 0)
		r = follow(node, parent, &place, diag);
	if (r == 0 && filter->verdict != PFS_VERDICT_NONE)
		r = pfs_verdict_fits(parent, diag);
	if (r == 0 && node->join)
		r = link_join(node, parent, diag);
	if (r == 0 && node->pulls)
		r = pfs_task_new(node);
	if (r < 0) {
		discard(node);
		return r;
	}
	pfs_class_use(parent);
	pfs_node_link(parent, node);
	pfs_class_begin(node);
	if (filter->flags & (PFS_FILTER_SINK | PFS_FILTER_CONSUMER)) {
		pfs_guard_for(parent->graph, cred);
		r = pfs_domain_replan(node->domain);
		pfs_guard_for(parent->graph, NULL);
		if (r < 0)
			pfs_decide_why(node->domain, diag);
		if (r == 0)
			r = pfs_feed_start(node->domain, diag);
		if (r < 0) {
			atomic_store(&node->dead, true);
			pfs_domain_replan(node->domain);
			pfs_node_finish(node);
			pfs_node_unlink(node);
			return r;
		}
	}
	*ret_node = node;
	return 0;
}

static int init_source(struct pfs_node *node, const char *name, const struct pfs_cred *cred,
		       struct pfs_diag *diag)
{
	const struct pfs_source *source = node->from;
	void *state = pfs_zalloc(1, source->state_size);
	struct pfs_place place;
	int r = state ? 0 : -ENOMEM;

	pfs_place_of(node, cred, &place);
	place.node = node;
	if (r == 0 && source->init) {
		pthread_mutex_unlock(&node->graph->control);
		r = source->init(state, name, &node->args, &place, diag);
		pthread_mutex_lock(&node->graph->control);
	}
	if (r < 0) {
		free(state);
		return r;
	}
	node->state = state;
	return 0;
}

int pfs_build_source(struct pfs_node *parent, const struct pfs_source *source, const char *name,
		     struct pfs_args *args, const struct pfs_cred *cred, mode_t mode,
		     struct pfs_node **ret_node, struct pfs_diag *diag)
{
	struct pfs_node *node = NULL;
	int r;

	if (args->arg && !source->has_arg)
		return pfs_diag_set(diag, EINVAL, "'%s' takes no argument", source->name);
	if (!args->arg && source->needs_arg)
		return pfs_diag_set(diag, EINVAL, "'%s' needs an argument: %s:...", source->name,
				    source->name);
	r = pfs_node_new(parent->graph, NULL, PFS_NODE_SOURCE, name, cred->uid, &node);
	if (r < 0)
		return r;
	node->depth = parent->depth + 1;
	node->common = parent->common;
	node->from = source;
	node->uid = cred->uid;
	node->gid = cred->gid;
	node->mode = mode & 0777;
	node->flow = source->out;
	node->link_type = source->out == PFS_FLOW_IP	    ? PFS_LINK_RAW
			  : source->out == PFS_FLOW_PACKETS ? PFS_LINK_ETHERNET
							    : PFS_LINK_BYTES;
	node->args = *args;
	*args = (struct pfs_args){ 0 };
	r = init_source(node, source->name, cred, diag);
	if (r == 0)
		r = still_free(parent, name, false);
	if (r == 0)
		r = pfs_domain_new(node, &node->domain);
	if (r == 0)
		r = pfs_task_new(node);
	if (r < 0) {
		discard(node);
		return r;
	}
	pfs_node_link(parent, node);
	*ret_node = node;
	return 0;
}

void pfs_node_finish(struct pfs_node *node)
{
	void *state;

	if (node->kind == PFS_NODE_SOURCE && node->domain)
		pfs_feed_stop(node->domain);
	pfs_decide_forget(node);
	if (node->task) {
		pfs_task_retire(node->task);
		pfs_ticker_remove(node->graph->ticker, node->task);
	}
	pfs_class_end(node);
	/* A plan may know the node still, where there was no memory for one without it: it then passes it by. */
	if (node->owner)
		pfs_task_lock(node->owner);
	state = TAKE_PTR(node->state);
	if (node->owner)
		pfs_task_unlock(node->owner);
	if (state && node->filter && node->filter->fini)
		node->filter->fini(state);
	if (state && node->kind == PFS_NODE_SOURCE && node->from->fini)
		node->from->fini(state);
	free(state);
	if (node->processes)
		pfs_due_give(node->graph, node->payer, PFS_DUE_PROCESSES, node->processes);
	node->processes = 0;
}
