/*
 * feed - a source's thread and its way into the graph
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "graph/graph_i.h"

int pfs_feed_init(struct pfs_domain *domain)
{
	struct pfs_feed *feed = &domain->feed;

	feed->domain = domain;
	feed->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (feed->stop_fd < 0)
		return -errno;
	pthread_mutex_init(&feed->lock, NULL);
	pthread_cond_init(&feed->cond, NULL);
	return 0;
}

void pfs_feed_release(struct pfs_domain *domain)
{
	struct pfs_feed *feed = &domain->feed;

	assert(!feed->started && !domain->rings);
	close(feed->stop_fd);
	pthread_cond_destroy(&feed->cond);
	pthread_mutex_destroy(&feed->lock);
}

/* --- start and stop: control ------------------------------------------------------------------ */

static void *feed_main(void *arg)
{
	struct pfs_feed *feed = arg;
	struct pfs_node *node = feed->domain->source;

	node->from->run(node->state, feed);
	pfs_feed_wake(feed);
	atomic_store(&feed->running, false);
	return NULL;
}

/* The rings of the run that is over. */
static void give_up_rings(struct pfs_domain *domain)
{
	while (domain->rings) {
		struct pfs_ring *ring = domain->rings;

		domain->rings = ring->next;
		pfs_ring_retire(domain, ring);
	}
}

/* Nobody runs for it here any more; in the kernel somebody may. */
static void halt(struct pfs_domain *domain)
{
	struct pfs_feed *feed = &domain->feed;
	const struct pfs_source *source = domain->source->from;
	uint64_t one = 1;

	pthread_mutex_lock(&feed->lock);
	atomic_store(&feed->stopping, true);
	pthread_cond_broadcast(&feed->cond);
	pthread_mutex_unlock(&feed->lock);
	if (write(feed->stop_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN); /* it is readable already */
	pthread_join(feed->thread, NULL);
	if (source->detach)
		source->detach(domain->source->state);
	feed->started = false;
	feed->ending = true;
}

/* Nor in the kernel: its last numbers go into the books. */
static void finish(struct pfs_domain *domain)
{
	struct pfs_feed *feed = &domain->feed;
	const struct pfs_source *source = domain->source->from;

	pfs_decide_sync(domain);
	feed->ending = false;
	if (source->stop)
		source->stop(domain->source->state);
	atomic_store(&feed->decides, false);
	give_up_rings(domain);
}

void pfs_feed_stop(struct pfs_domain *domain)
{
	struct pfs_feed *feed = &domain->feed;
	const struct pfs_source *source = domain->source->from;

	if (!feed->started && !feed->ending)
		return;
	if (feed->started)
		halt(domain);
	if (source->quiesce)
		source->quiesce();
	finish(domain);
}

void pfs_feed_end(struct pfs_domain *domain)
{
	struct pfs_feed *feed = &domain->feed;

	if (!domain->source->from->quiesce || !pfs_decider_serves(domain->graph)) {
		pfs_feed_stop(domain);
	} else if (feed->started) {
		halt(domain);
		feed->ends++;
		pfs_decider_end(domain);
	}
}

void pfs_feed_ended(struct pfs_domain *domain, unsigned ends)
{
	if (domain->feed.ending && domain->feed.ends == ends)
		finish(domain);
}

int pfs_feed_start(struct pfs_domain *domain, struct pfs_diag *diag)
{
	struct pfs_feed *feed = &domain->feed;
	struct pfs_node *node = domain->source;
	uint64_t count;
	int r;

	if (!node->from->run || !domain->active || domain->held ||
	    atomic_load(&domain->graph->shutdown))
		return 0;
	if (feed->started && atomic_load(&feed->running) && !atomic_load(&feed->over))
		return 0;
	pfs_feed_stop(domain); /* a run that came to its end, or is just leaving */
	while (read(feed->stop_fd, &count, sizeof(count)) > 0)
		;
	atomic_store(&feed->stopping, false);
	atomic_store(&feed->over, false);
	pfs_decide_restart(domain);
	if (node->from->start) {
		r = node->from->start(node->state, feed, diag);
		if (r < 0) {
			give_up_rings(domain);
			return r;
		}
	}
	atomic_store(&feed->running, true);
	r = -pthread_create(&feed->thread, NULL, feed_main, feed);
	if (r < 0) {
		atomic_store(&feed->running, false);
		if (node->from->stop)
			node->from->stop(node->state);
		give_up_rings(domain);
		return r;
	}
	feed->started = true;
	pfs_decide_started(domain);
	return 0;
}

/* --- for run() ------------------------------------------------------------------------------------ */

int pfs_feed_stop_fd(const struct pfs_feed *feed)
{
	return feed->stop_fd;
}

bool pfs_feed_stopping(const struct pfs_feed *feed)
{
	return atomic_load(&((struct pfs_feed *)feed)->stopping);
}

const struct pfs_rings *pfs_feed_rings(const struct pfs_feed *feed)
{
	return feed->domain->graph->rings;
}

size_t pfs_feed_ring_size(const struct pfs_feed *feed)
{
	return feed->domain->graph->options.ring_size;
}

uint64_t pfs_feed_latency(const struct pfs_feed *feed)
{
	return feed->domain->graph->options.latency;
}

static void ring_enter(struct pfs_domain *domain, struct pfs_ring *ring)
{
	pthread_mutex_lock(&domain->feed.lock);
	ring->next = domain->rings;
	domain->rings = ring;
	pthread_mutex_unlock(&domain->feed.lock);
}

int pfs_feed_ring(struct pfs_feed *feed, size_t size, struct pfs_ring **ret_ring)
{
	int r = pfs_domain_ring(feed->domain, feed->domain->payer, size, NULL, ret_ring);

	if (r == 0)
		ring_enter(feed->domain, *ret_ring);
	return r;
}

int pfs_feed_adopt(struct pfs_feed *feed, uint8_t *data, uint64_t size,
		   void (*release)(struct pfs_ring *), void *priv, struct pfs_ring **ret_ring)
{
	struct pfs_domain *domain = feed->domain;
	int r = pfs_ring_adopt(domain->graph->rings, data, size, release, priv, pfs_domain_limit,
			       domain, ret_ring);

	if (r == 0)
		ring_enter(domain, *ret_ring);
	return r;
}

int pfs_feed_origin(struct pfs_feed *feed, const struct pfs_origin *origin, uint16_t *ret_id)
{
	return pfs_origin_use(feed->domain->graph->rings, &feed->domain->origins, origin, ret_id);
}

void pfs_feed_lost(struct pfs_feed *feed, const char *reason, uint64_t n)
{
	pfs_node_lost(feed->domain->source, reason, n);
}

/* --- waiting for room ---------------------------------------------------------------------------------- */

struct room_wait {
	struct pfs_waiter waiter;
	struct pfs_feed *feed;
	bool woken; /* feed's lock */
};

static void room_wake(struct pfs_waiter *waiter)
{
	struct room_wait *wait = CONTAINER_OF(waiter, struct room_wait, waiter);

	pthread_mutex_lock(&wait->feed->lock);
	wait->woken = true;
	pthread_cond_broadcast(&wait->feed->cond);
	pthread_mutex_unlock(&wait->feed->lock);
}

void pfs_feed_wake(struct pfs_feed *feed)
{
	struct pfs_plan *plan = feed->untold;
	bool outermost;

	if (!plan)
		return;
	feed->untold = NULL;
	outermost = pfs_work_begin();
	pfs_plan_wake(plan);
	pfs_plan_unref(plan);
	pfs_work_end(outermost);
}

/* Tries attempt() until it does not say -EAGAIN; between tries it sleeps until somebody moved on. */
static int feed_try(struct pfs_feed *feed, int (*attempt)(void *arg), void *arg)
{
	struct room_wait wait = { .waiter = { .wake = room_wake }, .feed = feed };
	int r = attempt(arg);

	while (r == -EAGAIN && !pfs_feed_stopping(feed)) {
		pfs_feed_wake(feed);
		wait.woken = false;
		pfs_wait_add(&feed->domain->space, &wait.waiter);
		r = attempt(arg);
		if (r != -EAGAIN && pfs_wait_remove(&feed->domain->space, &wait.waiter))
			break;
		pthread_mutex_lock(&feed->lock);
		while (!wait.woken && !atomic_load(&feed->stopping))
			pthread_cond_wait(&feed->cond, &feed->lock);
		pthread_mutex_unlock(&feed->lock);
		if (!pfs_wait_remove(&feed->domain->space, &wait.waiter)) {
			/* taken off the list: its wake has been called or is just being called */
			pthread_mutex_lock(&feed->lock);
			while (!wait.woken)
				pthread_cond_wait(&feed->cond, &feed->lock);
			pthread_mutex_unlock(&feed->lock);
		}
		if (r == -EAGAIN)
			r = attempt(arg);
	}
	return r == -EAGAIN ? -EINTR : r;
}

struct reserve_attempt {
	struct pfs_ring *ring;
	size_t len;
	struct pfs_record **ret_rec;
};

static int try_reserve(void *arg)
{
	struct reserve_attempt *a = arg;

	return pfs_ring_reserve(a->ring, a->len, a->ret_rec);
}

int pfs_feed_reserve(struct pfs_feed *feed, struct pfs_ring *ring, size_t len,
		     struct pfs_record **ret_rec)
{
	struct reserve_attempt attempt = { .ring = ring, .len = len, .ret_rec = ret_rec };

	return feed_try(feed, try_reserve, &attempt);
}

struct push_attempt {
	struct pfs_feed *feed;
	struct pfs_ref *refs;
	const struct pfs_takers *const *takers; /* by ref; NULL: nobody has decided anything */
	size_t n;
	size_t done;
};

/* What is left of the push is for nobody. */
static void count_unwanted(struct push_attempt *a)
{
	for (; a->done < a->n; a->done++)
		if (!(a->refs[a->done].flags & PFS_REF_CONTROL))
			pfs_counter_add(&a->feed->unwanted, 1);
}

/* As many as there is room for; -EAGAIN when that is none. A control ref goes alone. */
static int try_push(void *arg)
{
	struct push_attempt *a = arg;
	struct pfs_task *task = a->feed->domain->source->task;
	bool outermost = pfs_work_begin(), blocked;
	struct pfs_plan *plan;

	pfs_task_lock(task);
	plan = task->plan;
	blocked = task->paused;
	if (!plan)
		count_unwanted(a);
	else
		atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
	while (plan && a->done < a->n && !blocked) {
		size_t room = pfs_plan_room(plan, pfs_min(a->n - a->done, PFS_BATCH));
		struct pfs_step *step = plan->steps[0];
		struct pfs_ref *refs = a->refs + a->done;

		blocked = room == 0;
		if (blocked)
			break;
		if (refs->flags & PFS_REF_CONTROL) {
			pfs_step_control(step, refs);
			room = 1;
		} else if (a->takers && plan->takers) {
			pfs_plan_take(plan, refs, a->takers + a->done, room);
		} else {
			pfs_counter_add(&step->node->in, room);
			pfs_step_deliver(step, refs, room);
		}
		a->done += room;
	}
	/* In step with the readers, who attach under the run lock: whoever comes after the end wants another run. */
	if (a->done)
		atomic_store(&a->feed->over, a->refs[a->done - 1].flags & PFS_REF_EOF);
	pfs_task_unlock(task);
	if (plan && plan == a->feed->untold) {
		pfs_plan_unref(plan);
	} else if (plan) {
		pfs_feed_wake(a->feed);
		a->feed->untold = plan;
	}
	pfs_work_end(outermost);
	return blocked ? -EAGAIN : 0;
}

int pfs_feed_push_taken(struct pfs_feed *feed, struct pfs_ref *refs,
			const struct pfs_takers *const *takers, size_t n)
{
	struct push_attempt attempt = { .feed = feed, .refs = refs, .takers = takers, .n = n };
	int r = feed_try(feed, try_push, &attempt);

	if (r < 0)
		count_unwanted(&attempt);
	return r;
}

int pfs_feed_push(struct pfs_feed *feed, struct pfs_ref *refs, size_t n)
{
	int r = pfs_feed_push_taken(feed, refs, NULL, n);

	pfs_feed_wake(feed);
	return r;
}

const struct pfs_interests *pfs_feed_interests(const struct pfs_feed *feed)
{
	return &feed->domain->deciding.now.in;
}

void pfs_feed_decides(struct pfs_feed *feed, bool yes)
{
	atomic_store(&feed->decides, yes);
}

int pfs_feed_eof(struct pfs_feed *feed)
{
	uint32_t generation = atomic_fetch_add(&feed->domain->generation, 1) + 1;
	struct pfs_ref eof = pfs_control_end(feed->domain->serial, generation);

	return pfs_feed_push(feed, &eof, 1);
}
