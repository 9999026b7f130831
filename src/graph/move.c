/*
 * move - mv: a running subtree goes to another place
 *
 * What its readers get is what came to the old place, then what comes to the new one, each record once. For that both
 * places have to be equally far for a moment, and it is one that is found, not made up of corrections afterwards:
 *
 *	- Where the ways to both places part, nothing goes on for now: the task there is *paused* (for places of two
 *	  sources, both sources are).
 *	- What is on the way below that, to either place, is brought there, task after task from the top; each is paused
 *	  when nothing waits for it any more. No lock is held meanwhile. A reader who does not read can stop that:
 *	  then mv gives up (-EBUSY), and nothing has changed.
 *	- Now everything that was to come to the old place has come there, and the same has come to the new one. The
 *	  subtree changes hands: its inline filters become part of another plan; a filter with a task of its own reads
 *	  what still waits for it in the old directory's queue, up to there, and then begins in the new one's
 *	  (struct pfs_input).
 *	- All go on.
 *
 * Records that a filter on the way has taken and not given yet (a line without its end, a fragment) stay with that
 * filter. What the subtree itself has in hand goes with it.
 */
#include <stdio.h>

#include "graph/graph_i.h"
#include "graph/guard.h"
#include "graph/verdict.h"

#define QUIET_MAX UINT64_C(500000000) /* ns in which nothing on the way moves: then it is held up */
#define SETTLE_MAX UINT64_C(10000000000)
#define INPUTS_MAX 64 /* places of which a filter may still have something to read */
#define CHAIN_MAX (PFS_DEPTH_MAX + 2)

/* A directory above the old place into which processes write: what they had written before the mv comes along. */
struct written {
	struct pfs_node *node; /* a reference */
	uint64_t to;	       /* position in its ring */
};

struct move {
	struct pfs_node *dir, *to;	     /* borrowed from the caller */
	const char *name, *new_name;	     /* likewise */
	const struct pfs_cred *cred;	     /* likewise */
	struct pfs_diag *diag;		     /* likewise */
	struct pfs_node *node;		     /* control; borrowed: what is moved */
	struct pfs_domain *old, *new_;	     /* control; borrowed: of dir and to */
	char *copy;			     /* owned: of new_name */
	struct pfs_task *way[2 * CHAIN_MAX]; /* control; borrowed: to both places, from the top */
	bool top[2 * CHAIN_MAX];	     /* here the ways part, or begin */
	unsigned nway;
	struct pfs_node *paused[2 * CHAIN_MAX]; /* references to the nodes of these tasks */
	unsigned npaused;
	struct written written[CHAIN_MAX];
	unsigned nwritten;
	bool looked;		/* `written` is known */
	struct pfs_node *waits; /* a reference: something on the way to it has to come first, ... */
	bool for_writers;	/* ... namely what was written into it */
};

/* --- checks ----------------------------------------------------------------------------------- */

/* `type:` only says that it is a type. */
static void drop_empty(struct pfs_args *args)
{
	if (args->arg && args->arg_len == 0)
		free(TAKE_PTR(args->arg));
}

/* Do both names mean the same: type, argument and parameters? */
static int check_name(const struct move *m)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args now = { 0 }, then = { 0 };
	const struct pfs_node *node = m->node;
	const struct pfs_param *params = node->filter ? node->filter->params : node->from->params;
	size_t len = pfs_name_type_len(m->new_name);
	int r;

	if (strlen(m->new_name) > PFS_NAME_MAX)
		return pfs_diag_set(m->diag, ENAMETOOLONG, "a name has at most %d bytes", PFS_NAME_MAX);
	if (strcmp(node->name, m->new_name) == 0)
		return 0;
	if (node->kind == PFS_NODE_SOURCE ? pfs_source_find(m->new_name, len) != node->from
					  : pfs_filter_find(m->new_name, len, false) != node->filter)
		return pfs_diag_set(m->diag, EINVAL,
				    "mv keeps what '%.60s' is, and '%.60s' is another: mkdir that",
				    node->name, m->new_name);
	r = pfs_args_parse(node->name, params, &now, NULL);
	if (r == 0)
		r = pfs_args_parse(m->new_name, params, &then, m->diag);
	if (r < 0)
		return r;
	drop_empty(&now);
	drop_empty(&then);
	if (!pfs_args_equal(&now, &then))
		return pfs_diag_set(m->diag, EINVAL,
				    "mv keeps argument and parameters of '%.60s': they change by writing "
				    "into its .params",
				    node->name);
	return 0;
}

static int check_source(const struct move *m)
{
	const struct pfs_node *node = m->node;

	if (m->dir != m->to)
		return pfs_diag_set(m->diag, EINVAL, "'%.100s' is a source: it stays where it is",
				    node->name);
	if (m->cred->uid != 0 && m->cred->uid != node->uid && m->cred->uid != node->graph->options.uid)
		return pfs_diag_set(m->diag, EPERM, "'%.100s' belongs to somebody else", node->name);
	return 0;
}

static int check_kinds(const struct move *m)
{
	const struct pfs_node *node = m->node, *to = m->to;

	if (pfs_in_run(m->dir) || pfs_in_run(to) || pfs_in_run(node))
		return pfs_diag_set(m->diag, EBUSY, "the stages of a run stay where they are");
	if (pfs_node_is_static(node))
		return pfs_diag_set(m->diag, EBUSY, "'%.100s' is always there", node->name);
	if (node->kind == PFS_NODE_CLASS)
		return pfs_diag_set(m->diag, EINVAL,
				    "'%.60s' is a class of '%.60s' and stays there: move what is below it, "
				    "or the filter",
				    node->name, m->dir->name);
	if (node->kind == PFS_NODE_SOURCE)
		return check_source(m);
	if (!to->domain)
		return pfs_diag_set(m->diag, EINVAL,
				    "'%.60s' is a filter: it goes below a source, as in accept/%.60s",
				    node->name, node->name);
	if (to->filter && (to->filter->flags & PFS_FILTER_SINK))
		return pfs_diag_set(m->diag, EINVAL, "'%.100s' is a sink: nothing comes out of it",
				    to->name);
	return 0;
}

static unsigned height_of(const struct pfs_node *node)
{
	unsigned height = 0;

	for (const struct pfs_node *c = node->children.first; c; c = c->child.next)
		height = (unsigned)pfs_max(height, 1 + height_of(c));
	return height;
}

/* Also what has the name already: nothing is replaced, since what runs there would end. */
static int check_place(const struct move *m)
{
	const struct pfs_node *there = pfs_node_child(m->to, m->new_name);
	uint16_t class_;

	for (const struct pfs_node *n = m->to; n; n = n->parent)
		if (n == m->node)
			return pfs_diag_set(m->diag, EINVAL, "'%.100s' cannot go below itself",
					    m->node->name);
	if (there == m->node)
		return 0;
	if (there)
		return pfs_diag_set(m->diag, pfs_node_filters(there) ? ENOTEMPTY : EEXIST,
				    "'%.60s' is there already, and runs: rmdir it first", m->new_name);
	if (m->node->kind != PFS_NODE_SOURCE &&
	    pfs_class_find(m->to, m->new_name, false, &class_, NULL) == 0)
		return pfs_diag_set(m->diag, EEXIST, "'%.60s' is a class of '%.60s'", m->new_name,
				    m->to->name);
	if (m->to->depth + 1 + height_of(m->node) > PFS_DEPTH_MAX)
		return pfs_diag_set(m->diag, ELOOP, "a pipeline has at most %d stages", PFS_DEPTH_MAX);
	return 0;
}

static int check(struct move *m)
{
	unsigned inputs = m->node->task && m->node->kind != PFS_NODE_SOURCE
				  ? pfs_inputs_count(m->node->task)
				  : 0;
	int r = check_kinds(m);

	if (r == 0)
		r = check_place(m);
	if (r == 0)
		r = check_name(m);
	if (r < 0 || m->dir == m->to)
		return r;
	if (pfs_node_would_loop(m->node, m->to))
		return pfs_diag_set(m->diag, ELOOP, "what goes there comes back here: a circle");
	if (inputs >= INPUTS_MAX)
		return pfs_diag_set(m->diag, EBUSY,
				    "'%.60s' still has to read what waited for it at %u places: are its "
				    "readers reading?",
				    m->node->name, inputs);
	r = pfs_fit_check(m->node, m->to, m->diag);
	return r == 0 && pfs_has_verdict(m->node) ? pfs_verdict_fits(m->to, m->diag) : r;
}

/* --- the ways to both places ---------------------------------------------------------------------- */

/* The tasks through which records come to `node`, the nearest first. */
static unsigned chain_of(const struct pfs_node *node, struct pfs_task *chain[CHAIN_MAX])
{
	unsigned n = 0;

	for (struct pfs_task *t = node->owner; t; t = pfs_task_above(t))
		chain[n++] = t;
	return n;
}

static void way_add(struct move *m, struct pfs_task *task, bool top)
{
	m->top[m->nway] = top;
	m->way[m->nway++] = task;
}

static void find_way(struct move *m)
{
	struct pfs_task *a[CHAIN_MAX], *b[CHAIN_MAX], *common = NULL;
	unsigned na = chain_of(m->dir, a), nb = chain_of(m->to, b), end;

	m->nway = 0;
	while (na && nb && a[na - 1] == b[nb - 1]) {
		common = a[--na];
		nb--;
	}
	if (common)
		way_add(m, common, true);
	for (end = na; na; na--)
		way_add(m, a[na - 1], !common && na == end);
	for (end = nb; nb; nb--)
		way_add(m, b[nb - 1], !common && nb == end);
}

static bool is_on_way(const struct move *m, const struct pfs_task *task)
{
	for (unsigned i = 0; i < m->nway; i++)
		if (m->way[i] == task)
			return true;
	return false;
}

/* --- bringing there what is on the way --------------------------------------------------------------- */

static bool is_paused(const struct move *m, const struct pfs_task *task)
{
	for (unsigned i = 0; i < m->npaused; i++)
		if (m->paused[i]->task == task)
			return true;
	return false;
}

/* If nothing waits for it, or in any case (top). */
static bool pause_one(struct move *m, struct pfs_task *task, bool top)
{
	bool pause;

	pfs_task_lock(task);
	pause = top || !pfs_inputs_ready(task);
	task->paused += pause;
	pfs_task_unlock(task);
	if (pause)
		m->paused[m->npaused++] = pfs_node_ref(task->node);
	return pause;
}

/* All go on. Neither control nor a run lock is held. */
static void release_all(struct move *m)
{
	bool outermost = pfs_work_begin_short(m->dir->graph->options.patience);

	while (m->npaused) {
		struct pfs_node *node = m->paused[--m->npaused];

		pfs_task_lock(node->task);
		node->task->paused--;
		pfs_task_unlock(node->task);
		pfs_kick(node->task);
		pfs_node_space_wake(node);
		pfs_node_unref(node);
	}
	pfs_work_end(outermost);
}

/* What was written into directories above, and has not come to their queues yet. */
static void look_at_writers(struct move *m)
{
	if (m->looked)
		return;
	m->looked = true;
	for (struct pfs_node *n = m->dir; n && n->domain; n = n->parent) {
		uint64_t to;

		if (m->old == m->new_ && n->owner == m->way[0])
			break; /* both places get it from there */
		if (!n->inject || !pfs_inject_waits(n->inject, 0, &to))
			continue;
		m->written[m->nwritten].node = pfs_node_ref(n);
		m->written[m->nwritten++].to = to;
	}
}

/* Such a directory; NULL: all has come. */
static struct pfs_node *behind(const struct move *m)
{
	uint64_t to;

	for (unsigned i = 0; i < m->nwritten; i++)
		if (pfs_inject_waits(m->written[i].node->inject, m->written[i].to, &to))
			return m->written[i].node;
	return NULL;
}

/* Control. True: both places are equally far and stay it. False: what m->waits says comes first. */
static bool settled(struct move *m)
{
	struct pfs_node *late;

	find_way(m);
	look_at_writers(m);
	late = behind(m);
	m->for_writers = late;
	if (!late) {
		for (unsigned i = 0; i < m->nway && !late; i++)
			if (!is_paused(m, m->way[i]) && !pause_one(m, m->way[i], m->top[i]))
				late = m->way[i]->node;
	}
	m->waits = late ? pfs_node_ref(late) : NULL;
	return !late;
}

/* Is one paused that is not on the way any more? */
static bool has_strayed(const struct move *m)
{
	for (unsigned i = 0; i < m->npaused; i++)
		if (!is_on_way(m, m->paused[i]->task))
			return true;
	return false;
}

struct settle {
	struct pfs_waiter waiter;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool woken; /* lock */
};

static void settle_wake(struct pfs_waiter *waiter)
{
	struct settle *s = CONTAINER_OF(waiter, struct settle, waiter);

	pthread_mutex_lock(&s->lock);
	s->woken = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

/* Waits until woken or the time has come. */
static bool settle_wait(struct settle *s, uint64_t until)
{
	struct timespec ts = { .tv_sec = (time_t)(until / 1000000000u),
			       .tv_nsec = (long)(until % 1000000000u) };
	bool woken;

	pthread_mutex_lock(&s->lock);
	while (!s->woken && pthread_cond_clockwait(&s->cond, &s->lock, CLOCK_MONOTONIC, &ts) == 0)
		;
	woken = s->woken;
	pthread_mutex_unlock(&s->lock);
	return woken;
}

/* Has what m->waits is for come? */
static bool has_come(struct move *m)
{
	struct pfs_task *task = m->waits->task;
	bool ready;

	if (m->for_writers)
		return !behind(m);
	pfs_task_lock(task);
	ready = pfs_inputs_ready(task);
	pfs_task_unlock(task);
	return !ready;
}

/* Once: kicks, and waits until somebody has moved on. False: nobody has, for long. */
static bool await(struct move *m, struct settle *s, uint64_t until)
{
	bool outermost, moved;

	s->woken = false;
	pfs_node_space_add(m->waits, &s->waiter);
	outermost = pfs_work_begin_short(m->dir->graph->options.patience);
	pfs_node_kick(m->waits);
	pfs_work_end(outermost);
	moved = has_come(m) || settle_wait(s, until);
	if (!pfs_node_space_remove(m->waits, &s->waiter))
		(void)settle_wait(s, UINT64_MAX / 2); /* its wake has been called, or just is */
	return moved;
}

/*
 * Runs what has to come first, and waits for whoever else runs it or makes room for it. No lock is held. False: it does
 * not come.
 */
static bool bring(struct move *m, uint64_t deadline)
{
	struct settle s = { .waiter = { .wake = settle_wake } };
	uint64_t now = pfs_clock_mono();
	bool moved = true, come = false;

	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.cond, NULL);
	while (!come && moved && now < deadline) {
		moved = await(m, &s, pfs_min64(deadline, now + QUIET_MAX));
		come = has_come(m);
		now = pfs_clock_mono();
	}
	pthread_cond_destroy(&s.cond);
	pthread_mutex_destroy(&s.lock);
	pfs_node_unref(TAKE_PTR(m->waits));
	return come;
}

/* --- changing places -------------------------------------------------------------------------------------- */

static void take_name(struct move *m)
{
	struct pfs_graph *graph = m->node->graph;

	if (!m->copy)
		return;
	pthread_mutex_lock(&graph->names);
	char *before = m->node->name;
	m->node->name = m->copy;
	m->copy = before;
	pthread_mutex_unlock(&graph->names);
	pfs_child_renamed(m->to, m->node);
}

/* In the tree that is seen. */
static void relink(struct pfs_node *node, struct pfs_node *from, struct pfs_node *to)
{
	pfs_child_remove(from, node);
	clock_gettime(CLOCK_REALTIME, &from->changed);
	pfs_node_link(to, node);
}

static int shift_over(struct pfs_node *node, void *arg)
{
	if (node->queue)
		node->queue->shift = 0;
	return pfs_each_below(node, shift_over, arg);
}

struct taking {
	struct pfs_node *node, *to; /* what goes where */
	struct pfs_task *owner,
		*new_owner; /* of what has no task of its own, down to the next that has */
	struct pfs_domain *from_domain, *to_domain;
	struct pfs_joins **spare; /* for joins that go to another tree */
	int shift;		  /* levels down */
	bool last;		  /* no writer of a generation is left behind */
};

static void take_task(struct pfs_task *task, const struct taking *taking)
{
	struct pfs_domain *from = taking->from_domain, *to = taking->to_domain;
	struct pfs_task **at;

	for (at = &from->tasks; *at != task; at = &(*at)->next)
		;
	*at = task->next;
	task->next = NULL;
	for (at = &to->tasks; *at; at = &(*at)->next)
		;
	*at = task;
	if (task->ring)
		task->ring->owner = to;
	task->stale_generation = 0;
	task->begun = task->left = false;
	task->source_lost += pfs_node_lost_sum(from->source) - pfs_node_lost_sum(to->source);
}

/* With the locks of its task, the old one and the new one, and of its injection ring. */
static void take_place(struct pfs_node *node, struct taking *taking)
{
	pthread_rwlock_wrlock(&node->graph->places);
	if (node == taking->node)
		node->above = pfs_node_ref(taking->to);
	if (node->owner == taking->owner)
		node->owner = taking->new_owner;
	if (taking->from_domain != taking->to_domain) {
		node->domain = pfs_domain_ref(taking->to_domain);
		pfs_domain_unref(taking->from_domain); /* not the last */
		if (node->task)
			take_task(node->task, taking);
		if (node->inject)
			taking->last |= pfs_inject_move(node->inject, taking->from_domain,
							taking->to_domain);
	}
	pthread_rwlock_unlock(&node->graph->places);
}

/* Two at a time are taken in the order of their addresses. */
static void lock_both(struct pfs_task *a, struct pfs_task *b)
{
	pfs_task_lock(a < b ? a : b);
	if (a != b)
		pfs_task_lock(a < b ? b : a);
}

static void unlock_both(struct pfs_task *a, struct pfs_task *b)
{
	if (a != b)
		pfs_task_unlock(b);
	pfs_task_unlock(a);
}

static int take_one(struct pfs_node *node, void *arg)
{
	struct taking *taking = arg;
	struct pfs_task *was = node->owner, *is = was == taking->owner ? taking->new_owner : was;

	lock_both(was, is);
	if (node->inject)
		pthread_mutex_lock(&node->inject->lock);
	take_place(node, taking);
	if (node->inject)
		pthread_mutex_unlock(&node->inject->lock);
	if (taking->from_domain != taking->to_domain)
		pfs_join_follow(node, taking->spare);
	unlock_both(was, is);
	node->depth = (unsigned)((int)node->depth + taking->shift);
	if (node->queue)
		node->queue->shift = taking->shift;
	return pfs_each_below(node, take_one, arg);
}

/* In what runs. Both owners are paused. True: no writer of a generation is left behind. */
static bool take_along(struct pfs_node *node, struct pfs_node *from, struct pfs_node *to,
		       struct pfs_joins **spare)
{
	struct taking taking = {
		.node = node,
		.to = to,
		.owner = from->owner,
		.new_owner = to->owner,
		.from_domain = from->domain,
		.to_domain = to->domain,
		.spare = spare,
		.shift = (int)to->depth + 1 - (int)node->depth,
	};

	(void)take_one(node, &taking);
	pfs_cursors_shift(to->domain->cursors);
	(void)shift_over(node, NULL);
	pfs_node_unref(from); /* it was above */
	return taking.last;
}

/* A source that has to be attached to the kernel is, before anything has changed: its error is ours. */
static int start_before(struct move *m)
{
	bool active = m->new_->active;
	int r;

	if (!m->node->wanted || !m->new_->source->from->start)
		return 0;
	m->new_->active = true;
	r = pfs_feed_start(m->new_, m->diag);
	if (r < 0)
		m->new_->active = active;
	return r;
}

static void start_and_stop(struct move *m)
{
	const struct pfs_graph_options *options = &m->node->graph->options;
	struct pfs_complaint complaint = { .node = m->new_->source,
					   .uid = m->node->payer,
					   .error = EAGAIN,
					   .text = "it could not be started for what was moved there" };

	if (pfs_feed_start(m->new_, NULL) < 0 && options->complain)
		options->complain(options->complain_arg, &complaint);
	if (!m->old->active)
		pfs_feed_stop(m->old);
}

static int replan_both(struct move *m)
{
	struct pfs_replan old = { 0 }, new_ = { 0 };
	int r = m->old != m->new_ ? pfs_replan_begin(m->old, &old) : 0;

	if (r == 0)
		r = pfs_replan_begin(m->new_, &new_);
	if (r < 0) {
		pfs_decide_why(m->new_, m->diag);
		pfs_replan_cancel(&old);
		return r;
	}
	r = pfs_replan_publish(&new_);
	if (r < 0)
		pfs_decide_why(m->new_, m->diag);
	if (m->old != m->new_) {
		int other = pfs_replan_publish(&old);

		r = r < 0 ? r : other;
	}
	return r;
}

/* What may fail and needs no undoing. */
static int prepare(struct move *m, struct pfs_joins **spare)
{
	int r = 0;

	if (m->old != m->new_) {
		r = pfs_joins_reserve(m->node, m->new_, &spare[0], m->diag);
		if (r == 0)
			r = pfs_joins_reserve(m->node, m->old, &spare[1], NULL); /* the way back */
		if (r == 0)
			r = pfs_domains_join(m->old, m->new_);
		if (r == 0)
			r = pfs_origins_share(m->node->graph->rings, &m->old->origins,
					      &m->new_->origins);
		if (r == 0)
			r = start_before(m);
	}
	return r == 0 ? pfs_fit_tell(m->node, m->dir, m->to, m->diag) : r;
}

/* The source of the old tree decides about it no more. */
static int forget(struct pfs_node *node, void *arg)
{
	pfs_decide_forget(node);
	return pfs_each_below(node, forget, arg);
}

static int change_places(struct move *m)
{
	struct pfs_joins *spare[2] = { NULL, NULL };
	bool last;
	int r = prepare(m, spare);

	if (r == 0 && m->old != m->new_)
		r = forget(m->node, NULL);
	if (r == 0) {
		pfs_class_use(m->to);
		atomic_store(&m->old->stirred, true);
		relink(m->node, m->dir, m->to);
		last = take_along(m->node, m->dir, m->to, &spare[0]);
		pfs_guard_for(m->node->graph, m->cred);
		r = replan_both(m);
		pfs_guard_for(m->node->graph, NULL);
		if (r < 0) {
			relink(m->node, m->to, m->dir);
			(void)take_along(m->node, m->to, m->dir, &spare[1]);
			(void)replan_both(m); /* what is wanted; the old plans are the right ones */
			(void)pfs_fit_tell(m->node, m->to, m->dir, m->diag);
		}
	}
	if (r == 0) {
		take_name(m);
		pfs_fit_set(m->node);
		if (last)
			pfs_generation_over(m->old);
		start_and_stop(m);
		pfs_wait_wake(&m->old->space); /* writers that went along wait in the wrong list */
	} else if (m->old != m->new_) {
		(void)pfs_domain_replan(m->new_); /* stops it again */
	}
	pfs_joins_free(spare[0]);
	pfs_joins_free(spare[1]);
	return r;
}

/* Control. 0: done; -EAGAIN: something has to come first. */
static int try_move(struct move *m)
{
	int r;

	m->node = NULL;
	if (atomic_load(&m->dir->dead) || atomic_load(&m->to->dead))
		return -ENOENT;
	m->node = pfs_node_child(m->dir, m->name);
	if (!m->node) {
		uint16_t class_;

		return pfs_class_find(m->dir, m->name, false, &class_, NULL) == 0
			       ? pfs_diag_set(m->diag, EINVAL, "'%.60s' is a class and stays there",
					      m->name)
			       : -ENOENT;
	}
	r = check(m);
	if (r < 0)
		return r;
	if (m->dir == m->to) {
		take_name(m);
		return 0;
	}
	m->old = m->dir->domain;
	m->new_ = m->to->domain;
	if (!settled(m))
		return -EAGAIN;
	return has_strayed(m) ? -EAGAIN : change_places(m);
}

static int give_up(struct move *m, const char *late)
{
	return pfs_diag_set(m->diag, EBUSY,
			    "records are on their way to '%.60s', and a reader or command below it does not "
			    "take them: see .readers; mv again when they have come",
			    late);
}

static int move(struct move *m)
{
	struct pfs_graph *graph = m->dir->graph;
	uint64_t deadline = pfs_clock_mono() + SETTLE_MAX;
	int r;

	for (;;) {
		bool outermost = pfs_work_begin_short(
			m->dir->graph->options.patience); /* what becomes possible runs without the lock */

		pthread_mutex_lock(&graph->control);
		r = try_move(m);
		pthread_mutex_unlock(&graph->control);
		pfs_work_end(outermost);
		if (r != -EAGAIN)
			return r;
		if (has_strayed(m)) /* the tree has changed meanwhile: from the beginning */
			release_all(m);
		if (m->waits) {
			char late[64];

			snprintf(late, sizeof(late), "%.60s", m->waits->name);
			if (!bring(m, deadline))
				return give_up(m, late);
		}
	}
}

int pfs_node_move(struct pfs_node *dir, const char *name, struct pfs_node *to, const char *new_name,
		  const struct pfs_cred *cred, struct pfs_diag *diag)
{
	struct move m = {
		.dir = dir, .to = to, .name = name, .new_name = new_name, .cred = cred, .diag = diag
	};
	int r = 0;

	if (diag)
		diag->text[0] = '\0';
	m.copy = strdup(new_name);
	if (!m.copy)
		return -ENOMEM;
	pthread_mutex_lock(&dir->graph->moves);
	r = move(&m);
	release_all(&m);
	if (r == 0 && to->domain) {
		pthread_mutex_lock(&dir->graph->control);
		(void)pfs_decide_settle(to->domain,
					NULL); /* else what is in force has moved along as far as it goes */
		pthread_mutex_unlock(&dir->graph->control);
	}
	pthread_mutex_unlock(&dir->graph->moves);
	for (unsigned i = 0; i < m.nwritten; i++)
		pfs_node_unref(m.written[i].node);
	pfs_node_unref(m.waits);
	free(m.copy);
	if (r < 0)
		return r;
	if (!to->domain)
		return 0;  /* a source has another name */
	pfs_gate_open(to); /* its readers have come there */
	pfs_node_kick_all(dir);
	pfs_node_kick_all(to);
	return 0;
}
