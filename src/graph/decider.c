/*
 * decider - makes programs of what is wanted, beside everything else
 *
 * One tree after the other, the one that has waited longest first. What a program is made of is noted under the
 * control lock, and so is that it is in force; in between it is given up.
 */
#include "graph/decide.h"

#include "graph/graph_i.h"

#define SETTLE_TIME \
	UINT64_C(2000000000) /* ns that who waits for a program does so, before it is done without */

/* What is to be made. NULL: nothing, or it does not work, which `failed` says. */
static struct pfs_making *begin(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_node *source = domain->source;
	struct pfs_making *making = NULL;
	int r;

	d->dirty = false;
	if (!domain->feed.started || !source->state)
		return NULL;
	r = pfs_list_copy(&d->want, d->snapshot + 1, &d->made);
	if (r == 0)
		r = source->from->decide(source->state, &d->made.in, &making, &d->why);
	if (r < 0) {
		d->failed = d->snapshot + 1;
		d->error = r;
	}
	if (making)
		pfs_list_note(d, &d->made);
	else
		pfs_list_free(&d->made);
	if (!making)
		d->made.in.generation = 0;
	return making;
}

/* In force, unless a later one is there already, or the source was attached anew meanwhile. */
static void finish(struct pfs_domain *domain, struct pfs_making *making, int r)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_node *source = domain->source;

	if (!domain->feed.started || !source->state || d->made.in.generation != d->snapshot)
		return;
	if (r == 0) {
		pfs_decide_sync(domain);
		r = source->from->decided(source->state, making, &d->why);
	}
	if (r == -ESTALE) {
		pfs_decider_ask(domain);
	} else if (r < 0) {
		d->failed = d->made.in.generation;
		d->error = r;
	} else {
		d->failed = 0;
		pfs_list_enter(d, &d->made);
	}
}

static uint64_t spent(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The wait is the making's, so the source may go meanwhile. */
static void rest(struct pfs_graph *graph, struct pfs_domain *domain)
{
	struct pfs_node *source = domain->source;
	struct pfs_making *making = source->state ? source->from->rest(source->state) : NULL;
	struct pfs_diag diag = { "" };

	domain->deciding.rest = false;
	if (!making)
		return;
	pthread_mutex_unlock(&graph->control);
	(void)making->make(making, &diag);
	pthread_mutex_lock(&graph->control);
	making->free(making);
}

static void end(struct pfs_graph *graph, struct pfs_domain *domain)
{
	unsigned ends = domain->feed.ends;

	domain->deciding.end = false;
	pthread_mutex_unlock(&graph->control);
	domain->source->from->quiesce();
	pthread_mutex_lock(&graph->control);
	pfs_feed_ended(domain, ends);
	pthread_cond_broadcast(&graph->decider.done);
}

static void serve(struct pfs_graph *graph, struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_making *making = begin(domain);
	uint32_t cost = pfs_list_cost(&d->made);
	struct pfs_diag diag = { "" };
	uint64_t start;
	int r;

	if (making) {
		pthread_mutex_unlock(&graph->control);
		start = spent(); /* the verifier works on our time */
		r = making->make(making, &diag);
		start = spent() - start;
		pthread_mutex_lock(&graph->control);
		if (r < 0)
			d->why = diag;
		if (cost >= PFS_DECIDE_KNOWN) {
			d->took = start;
			d->took_cost = cost;
		}
		finish(domain, making, r);
		making->free(making);
		pfs_list_free(&d->made);
		d->made.in.generation = 0;
	}
	pthread_cond_broadcast(&graph->decider.done);
}

static struct pfs_domain *take_first(struct pfs_decider *decider)
{
	struct pfs_domain *domain = decider->first;

	if (domain) {
		domain->deciding.queued = false;
		decider->first = domain->deciding.next_queued;
		if (!decider->first)
			decider->last = &decider->first;
	}
	return domain;
}

static void let_go(struct pfs_domain *domain)
{
	pfs_node_unref(domain->source);
	pfs_domain_unref(domain);
}

static void *decider_main(void *arg)
{
	struct pfs_graph *graph = arg;
	struct pfs_decider *decider = &graph->decider;
	struct pfs_domain *domain;

	pthread_mutex_lock(&graph->control);
	while (!decider->stop) {
		domain = take_first(decider);
		if (domain) {
			if (domain->deciding.dirty)
				serve(graph, domain);
			if (domain->deciding.rest)
				rest(graph, domain);
			if (domain->deciding.end)
				end(graph, domain);
			let_go(domain);
		} else {
			pthread_cond_wait(&decider->work, &graph->control);
		}
	}
	while ((domain = take_first(decider))) {
		domain->deciding.dirty = domain->deciding.rest = domain->deciding.end = false;
		let_go(domain);
	}
	pthread_mutex_unlock(&graph->control);
	return NULL;
}

int pfs_decider_new(struct pfs_graph *graph)
{
	struct pfs_decider *decider = &graph->decider;
	int r;

	decider->last = &decider->first;
	pthread_cond_init(&decider->work, NULL);
	pthread_cond_init(&decider->done, NULL);
	r = -pthread_create(&decider->thread, NULL, decider_main, graph);
	decider->running = r == 0;
	return r;
}

void pfs_decider_free(struct pfs_graph *graph)
{
	struct pfs_decider *decider = &graph->decider;

	if (decider->running) {
		pthread_mutex_lock(&graph->control);
		decider->stop = true;
		pthread_cond_broadcast(&decider->work);
		pthread_mutex_unlock(&graph->control);
		pthread_join(decider->thread, NULL);
	}
	if (decider->last) {
		pthread_cond_destroy(&decider->work);
		pthread_cond_destroy(&decider->done);
	}
}

static void enqueue(struct pfs_domain *domain)
{
	struct pfs_decider *decider = &domain->graph->decider;
	struct pfs_deciding *d = &domain->deciding;

	if (d->queued)
		return;
	d->queued = true;
	d->next_queued = NULL;
	pfs_domain_ref(domain);
	pfs_node_ref(domain->source);
	*decider->last = domain;
	decider->last = &d->next_queued;
	pthread_cond_signal(&decider->work);
}

void pfs_decider_ask(struct pfs_domain *domain)
{
	if (domain->graph->decider.stop)
		return;
	domain->deciding.dirty = true;
	enqueue(domain);
}

bool pfs_decider_serves(const struct pfs_graph *graph)
{
	return graph->decider.running && !graph->decider.stop;
}

void pfs_decider_end(struct pfs_domain *domain)
{
	domain->deciding.end = true;
	enqueue(domain);
}

void pfs_decider_rest(struct pfs_domain *domain)
{
	if (domain->graph->decider.stop || !domain->source->from->rest)
		return;
	domain->deciding.rest = true;
	enqueue(domain);
}

/* The thread takes long: until it is done all records come, undecided. Such a program is quickly made. */
static int hurry(struct pfs_domain *domain)
{
	struct pfs_deciding *d = &domain->deciding;
	const struct pfs_source *from = domain->source->from;
	struct pfs_making *making = NULL;
	struct pfs_list list;
	int r = pfs_list_copy(&d->want, d->snapshot + 1, &list);

	if (r < 0)
		return r;
	list.in.only_rules = true;
	r = from->decide(domain->source->state, &list.in, &making, &d->why);
	if (r == 0 && !making)
		r = -ESTALE;
	if (r == 0)
		r = making->make(making, &d->why);
	if (r == 0) {
		pfs_decide_sync(domain);
		r = from->decided(domain->source->state, making, &d->why);
	}
	if (r == 0) {
		pfs_list_note(d, &list);
		pfs_list_enter(d, &list);
		pthread_cond_broadcast(&domain->graph->decider.done);
	}
	if (making)
		making->free(making);
	pfs_list_free(&list);
	pfs_decider_ask(domain);
	return r;
}

static void wait_until(struct pfs_graph *graph, uint64_t until)
{
	struct timespec ts = { .tv_sec = (time_t)(until / 1000000000),
			       .tv_nsec = (long)(until % 1000000000) };

	(void)pthread_cond_clockwait(&graph->decider.done, &graph->control, CLOCK_MONOTONIC, &ts);
}

int pfs_decide_settle(struct pfs_domain *domain, struct pfs_diag *diag)
{
	struct pfs_deciding *d = &domain->deciding;
	struct pfs_graph *graph = domain->graph;
	uint32_t target = d->snapshot + d->dirty;
	struct pfs_node *source = domain->source;
	uint64_t until = pfs_clock_mono() + SETTLE_TIME;
	int r = 0;

	if (!source->from->decide)
		return 0;
	pfs_node_ref(source);
	pfs_domain_ref(domain);
	while (r == 0 && domain->feed.started && !atomic_load(&graph->shutdown) &&
	       (int32_t)(d->now.in.generation - target) < 0) {
		if (d->failed && (int32_t)(d->failed - target) >= 0)
			r = d->error;
		else if (pfs_clock_mono() < until)
			wait_until(graph, until);
		else if (hurry(domain) < 0)
			until = pfs_clock_mono() + SETTLE_TIME;
	}
	if (r < 0 && diag)
		*diag = d->why;
	pfs_domain_unref(domain);
	pfs_node_unref(source);
	return r;
}
