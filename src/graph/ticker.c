/*
 * ticker - one thread that kicks tasks when their time has come or their descriptor is ready, and those which other
 * threads have no more time for
 */
#include <poll.h>
#include <sys/eventfd.h>

#include "graph/graph_i.h"

#define RETRY UINT64_C(10000000) /* ns */

struct pfs_ticker {
	struct pfs_graph *graph; /* borrowed */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t idle;	  /* `running` changed */
	struct pfs_task *first;	  /* lock; borrowed: removed before they go */
	size_t n;		  /* lock; on that list */
	uint64_t round;		  /* lock */
	struct pfs_task *running; /* lock */
	bool stop;		  /* lock */
	struct chore {
		uint64_t (*fn)(void *arg);
		void *arg;
		uint64_t when; /* UINT64_MAX: no time */
	} chores[PFS_CHORES];  /* lock */
	int wake_fd;
};

void pfs_ticker_poke(struct pfs_ticker *ticker)
{
	uint64_t one = 1;

	if (write(ticker->wake_fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

static void unlink_task(struct pfs_ticker *ticker, struct pfs_task *task)
{
	for (struct pfs_task **at = &ticker->first; *at; at = &(*at)->tick_next) {
		if (*at == task) {
			*at = task->tick_next;
			task->ticking = false;
			ticker->n--;
			return;
		}
	}
}

/* Takes one task that is due off the list. */
static struct pfs_task *take_due(struct pfs_ticker *ticker, const struct pollfd *fds, size_t nfds)
{
	uint64_t now = pfs_clock_mono();

	for (struct pfs_task *t = ticker->first; t; t = t->tick_next) {
		bool ready = t->tick_when <= now;

		if (t->tick_round == ticker->round)
			continue;
		for (size_t f = 1; f < nfds && !ready && t->tick_fd >= 0; f++)
			ready = fds[f].fd == t->tick_fd && fds[f].revents;
		if (ready) {
			unlink_task(ticker, t);
			t->tick_round = ticker->round;
			return t;
		}
	}
	return NULL;
}

static void kick_due(struct pfs_ticker *ticker, const struct pollfd *fds, size_t nfds)
{
	struct pfs_task *task;

	/*
	 * Each once: one that is back at once waits for the next look at the time and the descriptors, or it would be
	 * the only one, and what was ready before would be taken for what is.
	 */
	ticker->round++;
	while ((task = take_due(ticker, fds, nfds))) {
		struct pfs_node *node = pfs_node_ref(task->node);
		bool outermost;

		ticker->running = task;
		pthread_mutex_unlock(&ticker->lock);
		outermost = pfs_work_begin_short(PFS_PATIENCE); /* so that all get their turn */
		pfs_kick(task);
		pfs_work_end(outermost);
		pthread_mutex_lock(&ticker->lock);
		ticker->running = NULL;
		pthread_cond_broadcast(&ticker->idle);
		pfs_node_unref(node);
	}
}

/* What to poll for and until when; reap: when rings are to be looked after. Lock held. */
static int next_wait(struct pfs_ticker *ticker, uint64_t reap, struct pollfd **fds, size_t *nfds)
{
	uint64_t now = pfs_clock_mono(), first;
	struct pollfd *p = reallocarray(*fds, ticker->n + 1, sizeof(*p));

	first = reap;
	for (size_t i = 0; i < PFS_CHORES; i++)
		first = pfs_min64(first, ticker->chores[i].when);
	*nfds = 1;
	if (p)
		*fds = p;
	else if (ticker->n)
		first = pfs_min64(first, now + RETRY); /* descriptors wait until there is memory for it */
	for (struct pfs_task *t = ticker->first; t; t = t->tick_next) {
		first = pfs_min64(first, t->tick_when);
		if (p && t->tick_fd >= 0)
			p[(*nfds)++] = (struct pollfd){ .fd = t->tick_fd, .events = POLLIN | POLLOUT };
	}
	(*fds)[0] = (struct pollfd){ .fd = ticker->wake_fd, .events = POLLIN };
	if (first == UINT64_MAX)
		return -1;
	return first <= now ? 0 : (int)pfs_min64((first - now + 999999) / 1000000, 60000);
}

/* It may take the control lock, so it is no task that others wait for. */
static void do_chore(struct pfs_ticker *ticker, struct chore *chore)
{
	uint64_t next;

	if (chore->when > pfs_clock_mono())
		return;
	chore->when = UINT64_MAX;
	pthread_mutex_unlock(&ticker->lock);
	next = chore->fn(chore->arg);
	pthread_mutex_lock(&ticker->lock);
	chore->when = pfs_min64(chore->when, next);
}

static void *ticker_main(void *arg)
{
	struct pfs_ticker *ticker = arg;
	struct pollfd *fds = pfs_zalloc(1, sizeof(*fds));
	size_t nfds;
	uint64_t count;

	pthread_mutex_lock(&ticker->lock);
	while (fds && !ticker->stop) {
		uint64_t reap;
		int timeout;

		pthread_mutex_unlock(&ticker->lock);
		reap = pfs_graph_reap_due(ticker->graph, pfs_clock_mono());
		pthread_mutex_lock(&ticker->lock);
		timeout = next_wait(ticker, reap, &fds, &nfds);

		pthread_mutex_unlock(&ticker->lock);
		if (poll(fds, nfds, timeout) > 0 && (fds[0].revents & POLLIN))
			(void)!read(ticker->wake_fd, &count, sizeof(count));
		pthread_mutex_lock(&ticker->lock);
		kick_due(ticker, fds, nfds);
		for (size_t i = 0; i < PFS_CHORES; i++)
			do_chore(ticker, &ticker->chores[i]);
	}
	pthread_mutex_unlock(&ticker->lock);
	free(fds);
	return NULL;
}

int pfs_ticker_new(struct pfs_graph *graph, struct pfs_ticker **ret_ticker)
{
	struct pfs_ticker *ticker = pfs_zalloc(1, sizeof(*ticker));
	int r;

	if (!ticker)
		return -ENOMEM;
	for (size_t i = 0; i < PFS_CHORES; i++)
		ticker->chores[i].when = UINT64_MAX;
	ticker->graph = graph;
	ticker->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&ticker->lock, NULL);
	pthread_cond_init(&ticker->idle, NULL);
	r = ticker->wake_fd < 0 ? -errno : -pthread_create(&ticker->thread, NULL, ticker_main, ticker);
	if (r < 0) {
		if (ticker->wake_fd >= 0)
			close(ticker->wake_fd);
		free(ticker);
		return r;
	}
	*ret_ticker = ticker;
	return 0;
}

void pfs_ticker_free(struct pfs_ticker *ticker)
{
	if (!ticker)
		return;
	pthread_mutex_lock(&ticker->lock);
	ticker->stop = true;
	pthread_mutex_unlock(&ticker->lock);
	pfs_ticker_poke(ticker);
	pthread_join(ticker->thread, NULL);
	close(ticker->wake_fd);
	pthread_cond_destroy(&ticker->idle);
	pthread_mutex_destroy(&ticker->lock);
	free(ticker);
}

void pfs_ticker_add(struct pfs_ticker *ticker, struct pfs_task *task, uint64_t when, int fd)
{
	bool known;

	if (fd < 0 && when == UINT64_MAX)
		when = pfs_clock_mono() + RETRY; /* nothing to wait for was named */
	pthread_mutex_lock(&ticker->lock);
	known = task->ticking && task->tick_when <= when && task->tick_fd == fd;
	task->tick_when = when;
	task->tick_fd = fd;
	if (!task->ticking) {
		task->ticking = true;
		task->tick_next = ticker->first;
		ticker->first = task;
		ticker->n++;
	}
	pthread_mutex_unlock(&ticker->lock);
	/* It looks at its list again by itself, and it waits for this already. */
	if (!known && !pthread_equal(pthread_self(), ticker->thread))
		pfs_ticker_poke(ticker);
}

void pfs_ticker_chore(struct pfs_ticker *ticker, enum pfs_chore which, uint64_t (*fn)(void *arg),
		      void *arg, uint64_t when)
{
	struct chore *chore = &ticker->chores[which];

	pthread_mutex_lock(&ticker->lock);
	chore->fn = fn;
	chore->arg = arg;
	chore->when = pfs_min64(chore->when, when);
	pthread_mutex_unlock(&ticker->lock);
	pfs_ticker_poke(ticker);
}

void pfs_ticker_remove(struct pfs_ticker *ticker, struct pfs_task *task)
{
	pthread_mutex_lock(&ticker->lock);
	if (task->ticking)
		unlink_task(ticker, task);
	while (ticker->running == task && !pthread_equal(pthread_self(), ticker->thread))
		pthread_cond_wait(&ticker->idle, &ticker->lock);
	pthread_mutex_unlock(&ticker->lock);
}
