/*
 * text - the hidden files of a directory: .stats .params .readers .program and the manual
 */
#include "base/netns.h"
#include "graph/classes.h"
#include "graph/graph_i.h"
#include "graph/guard.h"
#include "graph/verdict.h"

uint64_t pfs_node_dropped(const struct pfs_node *node)
{
	uint64_t in = pfs_counter_get(&node->in), out = pfs_counter_get(&node->out);

	out += pfs_node_lost_sum(node);
	if (!node->filter || node->pulls || in < out)
		return 0;
	return in - out;
}

static void line(struct pfs_buf *out, const char *name, uint64_t value)
{
	pfs_buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static unsigned count_readers(const struct pfs_node *node)
{
	unsigned n = node->readers;

	for (const struct pfs_node *c = node->children.first; c; c = c->child.next)
		if (c->kind == PFS_NODE_VIEW)
			n += c->readers;
	return n;
}

/*
 * What came, went and how much. A class of an open set counts from its first packet on, whether it is read or not; what
 * was written into it comes on top.
 */
void pfs_node_counts(struct pfs_node *node, uint64_t *ret_in, uint64_t *ret_out, uint64_t *ret_bytes)
{
	struct pfs_classes *set =
		node->kind == PFS_NODE_CLASS && node->parent ? pfs_class_set(node->parent) : NULL;

	if (!set) {
		*ret_in = pfs_counter_get(&node->in);
		*ret_out = pfs_counter_get(&node->out);
		*ret_bytes = pfs_counter_get(&node->bytes);
		return;
	}
	pfs_classes_count(set, node->class_, ret_in, ret_bytes);
	if (node->inject) {
		*ret_in += pfs_counter_get(&node->inject->records);
		*ret_bytes += pfs_counter_get(&node->inject->bytes);
	}
	*ret_out = *ret_in;
}

void pfs_node_own_stats(struct pfs_node *node, struct pfs_buf *out)
{
	if (node->state && node->filter && node->filter->stats)
		node->filter->stats(node->state, out);
	if (node->state && node->kind == PFS_NODE_SOURCE && node->from->stats)
		node->from->stats(node->state, out);
}

void pfs_node_reason(const char *reason, struct pfs_buf *out)
{
	for (const char *s = reason; *s; s++)
		pfs_buf_add(out, *s == ' ' ? "-" : s, 1);
}

/* Refs in the inputs of a pulling filter; of packets these are records. */
static uint64_t waiting(struct pfs_node *node)
{
	uint64_t n = 0;

	pfs_task_lock(node->task);
	for (struct pfs_input *i = node->task->input; i; i = i->next)
		n += pfs_cursor_lag(&i->cursor);
	pfs_task_unlock(node->task);
	return n;
}

/* What makes the sums of docs/accounting.md come out. */
static void accounts(struct pfs_node *node, struct pfs_buf *out, uint64_t in)
{
	uint64_t unwanted;

	if (node->kind == PFS_NODE_SOURCE && node->from->run) {
		unwanted = pfs_counter_get(&node->domain->feed.unwanted);
		line(out, "unwanted", unwanted);
		line(out, "seen", in + pfs_node_lost_sum(node) + unwanted);
	} else if (node->task && node->kind != PFS_NODE_SOURCE) {
		line(out, "waiting", waiting(node));
	}
}

static void stats(struct pfs_node *node, struct pfs_buf *out)
{
	uint64_t in, passed, bytes;

	if (node->domain)
		pfs_decide_sync(node->domain);
	pfs_node_counts(node, &in, &passed, &bytes);
	line(out, "in", in);
	line(out, "out", passed);
	line(out, "dropped", pfs_node_dropped(node));
	line(out, "bytes", bytes);
	line(out, "lost", pfs_node_lost_sum(node));
	for (size_t i = 0; i < PFS_REASONS_MAX; i++) {
		const char *reason = atomic_load(&node->lost[i].reason);

		if (!reason)
			continue;
		pfs_buf_str(out, "lost.");
		pfs_node_reason(reason, out);
		line(out, "", pfs_counter_get(&node->lost[i].n));
	}
	accounts(node, out, in);
	line(out, "readers", count_readers(node));
	if (node->uses)
		line(out, "shared", node->uses);
	if (node->kind == PFS_NODE_SOURCE)
		line(out, "active", node->domain->active);
	if (node->kind == PFS_NODE_SOURCE && node->from->decide)
		line(out, "kernel.changes", node->domain->deciding.changes);
	pfs_node_own_stats(node, out);
}

static void params(struct pfs_node *node, struct pfs_buf *out)
{
	if (node->args.arg) {
		pfs_buf_str(out, "arg=");
		pfs_name_escape(out, node->args.arg, node->args.arg_len);
		pfs_buf_str(out, "\n");
	}
	for (size_t i = 0; i < node->args.n; i++) {
		pfs_buf_printf(out, "%s=", node->args.param[i].key);
		pfs_name_escape(out, node->args.param[i].value, strlen(node->args.param[i].value));
		pfs_buf_str(out, "\n");
	}
}

static const char *manual_of(const char *name)
{
	for (size_t i = 0; pfs_manuals[i].name; i++)
		if (strcmp(pfs_manuals[i].name, name) == 0)
			return pfs_manuals[i].text;
	return NULL;
}

static void manual(struct pfs_node *node, struct pfs_buf *out)
{
	const char *name = node->filter ? node->filter->name : node->from ? node->from->name : NULL;
	const char *text = name ? manual_of(name) : NULL;

	if (text)
		pfs_buf_str(out, text);
}

int pfs_node_text(struct pfs_node *node, enum pfs_text which, struct pfs_buf *out)
{
	node = pfs_node_real(node);
	pthread_mutex_lock(&node->graph->control);
	switch (which) {
	case PFS_TEXT_STATS:
		stats(node, out);
		break;
	case PFS_TEXT_PARAMS:
		params(node, out);
		break;
	case PFS_TEXT_READERS:
		pfs_readers_text(node, out);
		break;
	case PFS_TEXT_PROGRAM:
		if (node->state && node->kind == PFS_NODE_SOURCE && node->from->program) {
			node->from->program(node->state, out);
		} else if (node->state && node->filter && node->filter->program) {
			node->filter->program(node->state, out);
		}
		break;
	case PFS_TEXT_MANUAL:
		manual(node, out);
		break;
	}
	pthread_mutex_unlock(&node->graph->control);
	return out->failed ? -ENOMEM : 0;
}

/* --- .params ------------------------------------------------------------------------------------ */

/* The new arguments are in force when 0 is returned. */
static int reconfigure(struct pfs_node *node, const struct pfs_args *args,
		       const struct pfs_cred *cred, struct pfs_diag *diag)
{
	struct pfs_place place;
	int r;

	if (node->kind == PFS_NODE_SOURCE) {
		pfs_place_of(node, cred, &place);
		return node->from->reconfigure(node->state, args, &place, diag);
	}
	assert(node->filter);
	pfs_place_of(node->parent, cred, &place);
	pfs_task_lock(node->owner);
	r = node->filter->reconfigure(node->state, args, &place, diag);
	pfs_task_unlock(node->owner);
	return r;
}

/* New parameters of a filter; the source may be deciding by the old ones. */
static int change_filter(struct pfs_node *node, const struct pfs_args *args,
			 const struct pfs_cred *cred, struct pfs_diag *diag)
{
	int r = reconfigure(node, args, cred, diag);

	if (r < 0 || !node->filter->keeps)
		return r;
	pfs_decide_changed(node);
	r = pfs_has_verdict(node) ? pfs_verdict_fits(node, diag) : 0;
	if (r == 0) {
		pfs_guard_for(node->graph, cred);
		r = pfs_domain_replan(node->domain);
		pfs_guard_for(node->graph, NULL);
		if (r < 0)
			pfs_decide_why(node->domain, diag);
	}
	if (r < 0) {
		(void)reconfigure(node, &node->args, cred, NULL); /* it has had them */
		pfs_decide_changed(node);
		(void)pfs_domain_replan(node->domain); /* what is in force now says the old ones again */
	}
	return r;
}

/* Would the source take them? Asked of another one like it, since this one may be running. */
static int params_try(const struct pfs_node *node, const struct pfs_args *args,
		      const struct pfs_cred *cred, struct pfs_diag *diag)
{
	const struct pfs_source *source = node->from;
	PFS_FREE void *state = pfs_zalloc(1, source->state_size);
	struct pfs_place place;
	int r;

	if (!state)
		return -ENOMEM;
	pfs_place_of((struct pfs_node *)node, cred, &place);
	r = source->init ? source->init(state, source->name, args, &place, diag) : 0;
	if (r == 0 && source->fini)
		source->fini(state);
	if (r == 0 && pfs_args_get(args, "netns")) /* mkdir may be before it, a change comes too early */
		r = pfs_netns_check(pfs_args_get(args, "netns"), diag);
	return r;
}

/*
 * What is attached to the kernel goes on as it is, if it can with these; else it is attached anew, if there is a
 * consumer: that is a gap. If it cannot be with the new parameters it goes on with the old ones.
 */
static int restart_with(struct pfs_node *node, const struct pfs_args *args,
			const struct pfs_cred *cred, struct pfs_diag *diag)
{
	int r = params_try(node, args, cred, diag);

	if (r == 0 && node->domain->feed.started && node->from->retune)
		r = node->from->retune(node->state, args, diag);
	else if (r == 0)
		r = 1;
	if (r <= 0)
		return r;
	pfs_feed_stop(node->domain);
	r = reconfigure(node, args, cred, diag);
	if (r == 0) {
		r = pfs_feed_start(node->domain, diag);
		if (r == 0)
			return 0;
		(void)reconfigure(node, &node->args, cred, NULL); /* it has had them */
	}
	(void)pfs_feed_start(node->domain, NULL);
	return r;
}

static int params_set(struct pfs_node *node, const char *text, size_t len,
		      const struct pfs_cred *cred, struct pfs_diag *diag)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	const struct pfs_param *known = node->filter ? node->filter->params
					: node->from ? node->from->params
						     : NULL;
	struct pfs_args old;
	bool can = node->filter ? node->filter->reconfigure != NULL
				: node->from && node->from->reconfigure != NULL;
	int r;

	if (atomic_load(&node->dead) || !node->state)
		return -ENOENT;
	if (node->uses > 1)
		return pfs_diag_set(diag, EBUSY, "%u equal pipelines share '%s': it stays as it is",
				    node->uses, node->name);
	if (!can)
		return pfs_diag_set(diag, EINVAL, "'%s' has no parameters that can be changed",
				    node->name);
	r = pfs_args_copy(&node->args, &args);
	if (r == 0)
		r = pfs_args_merge(&args, known, text, len, diag);
	if (r < 0)
		return r;
	/* A file would begin again from its start: only what is attached to the kernel is stopped. */
	if (node->filter)
		r = change_filter(node, &args, cred, diag);
	else if (!node->from->start)
		r = reconfigure(node, &args, cred, diag);
	else if (!pfs_args_equal(&node->args, &args))
		r = restart_with(node, &args, cred, diag);
	if (r < 0)
		return r;
	pfs_class_watch(node->graph);
	old = node->args;
	node->args = args;
	args = old;
	return 0;
}

int pfs_node_params_set(struct pfs_node *node, const char *text, size_t len,
			const struct pfs_cred *cred, struct pfs_diag *diag)
{
	int r;

	node = pfs_node_real(node);
	if (diag)
		diag->text[0] = '\0';
	pthread_mutex_lock(&node->graph->control);
	r = params_set(node, text, len, cred, diag);
	if (r == 0 && node->domain)
		r = pfs_decide_settle(node->domain, diag);
	pthread_mutex_unlock(&node->graph->control);
	return r;
}
