/*
 * join - a sink that writes into another directory
 *
 * Copies: a ring belongs to one tree, whose cursors alone say how far its writer may go. So what a join passes on is
 * written once more, into the target's own ring, as if by a process; no slow reader there holds memory here, and
 * nothing here is shared with who may only read there.
 *
 * Generations: the joins of one source into one target are a *group*. They all see the ends of the same generations,
 * and to the target they are one writer: its generation ends when the last of them has passed the end. A join that is
 * ahead of another waits for it, or the end would cut what the other still brings.
 *
 *	passed	number of the last generation whose end came by, at one join
 *	base	what the join had passed that began the target's generation, which is over when all have passed more
 *
 * A target that was removed is cut off: its rings go with it, whatever still points there.
 *
 * Locks: groups are a list under control; a group's lock comes after run and before inject. writer and node->join
 * change under control and the run lock of the sink.
 */
#include "graph/graph_i.h"

#define ORIGINS 16

struct pfs_joins {
	struct pfs_domain *domain; /* borrowed: of the sinks */
	struct pfs_node *target;   /* borrowed: its joins are cut when it goes */
	struct pfs_joins *next;	   /* control */
	pthread_mutex_t lock;
	struct pfs_join *members; /* lock to change and to use; control to change */
	bool open;		  /* lock: a generation of the target waits for us */
	uint32_t base;		  /* lock */
};

struct pfs_join {
	struct pfs_node *node;	   /* borrowed: the sink */
	struct pfs_writer *writer; /* owned; NULL: the target is gone */
	struct pfs_node *target;   /* a reference; control; NULL with writer */
	struct pfs_joins *group;   /* NULL: not in the tree yet, or cut */
	struct pfs_join *next;	   /* group lock */
	bool streaming;		   /* group lock: its stream has begun */
	bool early;	 /* group lock: this generation has ended here before its end came */
	bool waits;	 /* group lock: for the others */
	uint32_t passed; /* group lock */
	struct {
		bool known;
		uint16_t from, to;
	} origins[ORIGINS]; /* run */
	/* Waiting for room. Parked it has a reference to us and one to our node. */
	struct pfs_waiter waiter;
	_Atomic bool parked;
	_Atomic unsigned refs;
};

static void join_unref(struct pfs_join *join)
{
	if (atomic_fetch_sub(&join->refs, 1) == 1)
		free(join);
}

/* --- circles ------------------------------------------------------------------------------------ */

/* `mark` is a number that no walk had before: what was seen once is not looked at again. */
static bool reaches(struct pfs_node *from, const struct pfs_node *to, uint64_t mark)
{
	if (from == to)
		return true;
	if (from->walk == mark)
		return false;
	from->walk = mark;
	if (from->join && from->join->target && reaches(from->join->target, to, mark))
		return true;
	for (struct pfs_node *c = from->children.first; c; c = c->child.next)
		if (reaches(c, to, mark))
			return true;
	return false;
}

bool pfs_node_would_loop(struct pfs_node *below, const struct pfs_node *dir)
{
	return reaches(below, dir, ++below->graph->next_walk);
}

/* --- groups --------------------------------------------------------------------------------------- */

static bool has_passed(const struct pfs_join *join, uint32_t base)
{
	return (int32_t)(join->passed - base) + join->early > 0;
}

/* Group lock. Ends the target's generation when all have passed it; those who waited look again. */
static void group_look(struct pfs_joins *group, struct pfs_node *target)
{
	bool over = group->open;

	for (struct pfs_join *j = group->members; j && over; j = j->next)
		over = has_passed(j, group->base);
	if (over) {
		group->open = false;
		pfs_generation_end(target);
	}
	for (struct pfs_join *j = group->members; j; j = j->next) {
		if (!j->waits)
			continue;
		j->waits = false;
		pfs_kick(j->node->task);
	}
}

/* Group lock. False: others have to bring what is before this, or we to end what is. */
static bool may_write(const struct pfs_joins *group, const struct pfs_join *join)
{
	if (group->open && has_passed(join, group->base))
		return false;
	for (const struct pfs_join *j = group->members; j; j = j->next)
		if ((int32_t)(join->passed - j->passed) > j->early)
			return false;
	return true;
}

/* The stream of this join, and the generation of its group, are open. 0; -EBUSY: not yet; -ENOMEM. */
static int join_begin(struct pfs_join *join)
{
	struct pfs_joins *group = join->group;
	int r = 0;

	pthread_mutex_lock(&group->lock);
	if (!may_write(group, join)) {
		join->waits = true;
		r = -EBUSY;
	} else if (!join->streaming) {
		r = pfs_stream_begin(join->writer);
		join->streaming = r == 0;
	}
	if (r == 0 && !group->open) {
		group->open = true;
		group->base = join->passed;
		pfs_generation_begin(join->target);
	}
	pthread_mutex_unlock(&group->lock);
	return r;
}

static struct pfs_joins **group_at(struct pfs_graph *graph, const struct pfs_domain *domain,
				   const struct pfs_node *target)
{
	struct pfs_joins **at = &graph->joins;

	while (*at && ((*at)->domain != domain || (*at)->target != target))
		at = &(*at)->next;
	return at;
}

struct pfs_node *pfs_join_node(const struct pfs_join *join)
{
	return join->target;
}

static struct pfs_joins *joins_new(struct pfs_domain *domain, struct pfs_node *target)
{
	struct pfs_joins *group = pfs_zalloc(1, sizeof(*group));

	if (!group)
		return NULL;
	group->domain = domain;
	group->target = target;
	pthread_mutex_init(&group->lock, NULL);
	return group;
}

static void group_enter(struct pfs_joins *group, struct pfs_join *join)
{
	pthread_mutex_lock(&group->lock);
	join->group = group;
	join->passed = atomic_load(&group->domain->generation);
	join->early = false;
	join->next = group->members;
	group->members = join;
	pthread_mutex_unlock(&group->lock);
}

int pfs_join_link(struct pfs_join *join)
{
	struct pfs_node *node = join->node;
	struct pfs_joins **at = group_at(node->graph, node->domain, join->target);

	if (!*at)
		*at = joins_new(node->domain, join->target);
	if (!*at)
		return -ENOMEM;
	group_enter(*at, join);
	return 0;
}

/* Control, nobody runs the sink. Its stream ends, and what it began in the target if it was the last. */
static void group_leave(struct pfs_join *join)
{
	struct pfs_joins *group = TAKE_PTR(join->group);

	if (!group)
		return;
	pthread_mutex_lock(&group->lock);
	for (struct pfs_join **at = &group->members; *at; at = &(*at)->next) {
		if (*at == join) {
			*at = join->next;
			break;
		}
	}
	if (join->streaming)
		pfs_stream_end(join->writer);
	join->streaming = false;
	group_look(group, join->target);
	pthread_mutex_unlock(&group->lock);
	if (!group->members) {
		*group_at(join->node->graph, group->domain, group->target) = group->next;
		pthread_mutex_destroy(&group->lock);
		free(group);
	}
}

/* Control, nobody runs the sink. Out of its group, without its writer. */
static void join_cut(struct pfs_join *join)
{
	bool linked = join->group;

	if (atomic_load(&join->parked) && join->writer &&
	    pfs_writer_unpark(join->writer, &join->waiter)) {
		atomic_store(&join->parked, false);
		join_unref(join);
		pfs_node_unref(join->node);
	}
	group_leave(join);
	if (linked)
		pfs_writer_run(join->writer);
	pfs_writer_free(TAKE_PTR(join->writer));
	pfs_node_unref(TAKE_PTR(join->target));
}

/* --- when sinks or targets are moved to another tree ---------------------------------------------------- */

struct following {
	struct pfs_domain *to;
	struct pfs_joins *spare; /* owned list */
	struct pfs_diag *diag;
};

static int refuse_same_source(const struct pfs_node *target, struct pfs_diag *diag)
{
	return pfs_diag_set(diag, EINVAL,
			    "'%s' is below the same source, whose end it would wait for: join into "
			    "a source of its own, such as accept:NAME",
			    target->name);
}

static int reserve_one(struct pfs_node *node, void *arg)
{
	struct following *f = arg;
	struct pfs_join *join = node->join;

	for (struct pfs_joins *g = node->graph->joins; g; g = g->next)
		if (g->target == node && g->domain == f->to && !f->to->lossy)
			return refuse_same_source(node, f->diag);
	if (join && join->target) {
		struct pfs_joins *group = joins_new(f->to, join->target);

		if (!group)
			return -ENOMEM;
		group->next = f->spare;
		f->spare = group;
		if (join->target->domain == f->to && !f->to->lossy)
			return refuse_same_source(join->target, f->diag);
	}
	return pfs_each_below(node, reserve_one, arg);
}

void pfs_joins_free(struct pfs_joins *spare)
{
	while (spare) {
		struct pfs_joins *next = spare->next;

		pthread_mutex_destroy(&spare->lock);
		free(spare);
		spare = next;
	}
}

int pfs_joins_reserve(struct pfs_node *node, struct pfs_domain *to, struct pfs_joins **ret_spare,
		      struct pfs_diag *diag)
{
	struct following f = { .to = to, .diag = diag };
	int r = reserve_one(node, &f);

	if (r < 0)
		pfs_joins_free(f.spare);
	else
		*ret_spare = f.spare;
	return r;
}

void pfs_join_follow(struct pfs_node *node, struct pfs_joins **spare)
{
	struct pfs_join *join = node->join;
	struct pfs_joins **at;

	if (!join || !join->target)
		return;
	group_leave(join);
	at = group_at(node->graph, node->domain, join->target);
	if (!*at) { /* then one of those that were reserved is for it */
		while ((*spare)->target != join->target)
			spare = &(*spare)->next;
		*at = *spare;
		*spare = (*at)->next;
		(*at)->next = NULL;
	}
	group_enter(*at, join);
}

void pfs_joins_cut(struct pfs_node *target)
{
	struct pfs_joins *group = target->graph->joins;

	while (group) {
		struct pfs_join *join = group->target == target ? group->members : NULL;
		struct pfs_task *task;

		if (!join) {
			group = group->next;
			continue;
		}
		task = join->node->task;
		pfs_task_lock(task);
		join_cut(join); /* the last one takes the group with it */
		pfs_task_unlock(task);
		pfs_kick(task);
		group = target->graph->joins;
	}
}

/* --- waiting for room ------------------------------------------------------------------------------ */

static void room_wake(struct pfs_waiter *waiter)
{
	struct pfs_join *join = CONTAINER_OF(waiter, struct pfs_join, waiter);
	struct pfs_node *node = join->node;

	atomic_store(&join->parked, false);
	pfs_kick(node->task);
	join_unref(join);
	pfs_node_unref(node);
}

/* True: parked, and our task is kicked when there is room. False: there is. */
static bool room_wait(struct pfs_join *join, size_t n)
{
	if (atomic_exchange(&join->parked, true))
		return true; /* a wake-up will come, or is just coming */
	atomic_fetch_add(&join->refs, 1);
	pfs_node_ref(join->node);
	if (pfs_writer_park(join->writer, &join->waiter, n))
		return true;
	atomic_store(&join->parked, false);
	join_unref(join);
	pfs_node_unref(join->node);
	return false;
}

/* --- for the sink ------------------------------------------------------------------------------------ */

/* The origin in the target's tree: as here, but for times, which are ns since 1970 in what we write. */
static int origin_of(struct pfs_join *join, const struct pfs_ref *ref, uint16_t *ret_origin)
{
	const struct pfs_rings *rings = join->node->graph->rings;
	unsigned slot = ref->origin % ORIGINS;
	struct pfs_origin origin;
	int r;

	if (!join->origins[slot].known || join->origins[slot].from != ref->origin) {
		origin = *pfs_origin_get(rings, ref->origin);
		origin.big_endian = 0;
		origin.lengths_swapped = 0;
		origin.time_unit = 0;
		origin.time_offset = 0;
		pthread_rwlock_rdlock(&join->node->graph->places);
		r = pfs_domain_origin(join->target->domain, &origin, &join->origins[slot].to);
		pthread_rwlock_unlock(&join->node->graph->places);
		if (r < 0)
			return r;
		join->origins[slot].from = ref->origin;
		join->origins[slot].known = true;
	}
	*ret_origin = join->origins[slot].to;
	return 0;
}

int pfs_join_put(struct pfs_join *join, const struct pfs_ref *ref)
{
	bool packets;
	uint16_t origin;
	int r;

	if (!join->writer)
		return -EPIPE;
	packets = join->target->flow & PFS_FLOW_ANY_PACKET;
	r = join_begin(join);
	if (r == 0 && packets)
		r = origin_of(join, ref, &origin);
	if (r < 0)
		return r;
	do {
		r = pfs_writer_copy(join->writer, ref, packets ? &origin : NULL);
	} while (r == -EAGAIN && !room_wait(join, ref->len));
	return r;
}

void pfs_join_target(const struct pfs_join *join, struct pfs_buf *out)
{
	if (join->target)
		pfs_node_path_add(join->target, out);
}

void pfs_join_run(struct pfs_join *join)
{
	if (join->writer)
		pfs_writer_run(join->writer);
}

void pfs_join_end(struct pfs_join *join, const struct pfs_meta *end)
{
	bool ours = end->time == join->node->domain->serial;
	uint32_t generation = end->stream;
	struct pfs_joins *group = join->group;

	if (!group)
		return;
	pthread_mutex_lock(&group->lock);
	if (join->streaming)
		pfs_stream_end(join->writer);
	join->streaming = false;
	if (generation == 0) {
		join->early = true;
	} else if (ours && (int32_t)(generation - join->passed) > 0) { /* else of where we came from */
		join->passed = generation;
		join->early = false;
	}
	group_look(group, join->target);
	pthread_mutex_unlock(&group->lock);
	pfs_writer_run(join->writer);
}

void pfs_join_close(struct pfs_join *join)
{
	if (!join)
		return;
	join_cut(join);
	join->node->join = NULL;
	join_unref(join);
}

/* --- making ----------------------------------------------------------------------------------------- */

/* Control. Do the records of `node` make sense in the target? */
static int check_target(const struct pfs_node *node, const struct pfs_node *target,
			struct pfs_diag *diag)
{
	bool packets = node->flow & PFS_FLOW_ANY_PACKET;

	if (!target->domain)
		return pfs_diag_set(diag, EINVAL,
				    "'%s' is no source or filter: nothing can be written there",
				    target->parent ? target->name : "/");
	if (!packets && (target->flow & PFS_FLOW_ANY_PACKET))
		return pfs_diag_set(diag, EINVAL,
				    "bytes cannot be joined into '%s', where packets flow",
				    target->name);
	if (target->domain == node->domain && !node->domain->lossy)
		return refuse_same_source(target, diag);
	return 0;
}

static int join_new(struct pfs_node *node, struct pfs_node *target, struct pfs_join **ret_join,
		    struct pfs_diag *diag)
{
	struct pfs_join *join;
	int r = check_target(node, target, diag);

	if (r < 0)
		return r;
	join = pfs_zalloc(1, sizeof(*join));
	if (!join)
		return -ENOMEM;
	r = pfs_writer_new(target, &join->writer, diag);
	if (r < 0) {
		free(join);
		return r;
	}
	join->node = node;
	join->target = pfs_node_ref(target);
	join->waiter.wake = room_wake;
	atomic_init(&join->refs, 1);
	node->join = join;
	*ret_join = join;
	return 0;
}

int pfs_place_join(const struct pfs_place *place, const char *path, struct pfs_join **ret_join,
		   struct pfs_diag *diag)
{
	struct pfs_node *node = place->node, *target;
	int r = pfs_graph_find(node->graph, place->caller, path, PFS_MAY_WRITE, &target, diag);

	if (r < 0)
		return r;
	pthread_mutex_lock(&node->graph->control);
	r = join_new(node, target, ret_join, diag);
	pthread_mutex_unlock(&node->graph->control);
	pfs_node_unref(target);
	return r;
}
