/*
 * work - threads for calls that may wait
 *
 * mkdir opens files as its caller: on a network filesystem that is gone, in another FUSE mount. That
 * must not cost a session thread, must end when the caller is interrupted, and must end in any case:
 * the kernel holds the parent directory's lock all the while, and whoever waits for that lock cannot
 * be killed. So the request is answered in time whatever its thread does, and what it makes later is
 * undone. Who is late again soon gets less time, and then none for a while: or a loop of mkdirs would
 * hold the lock for ever.
 */
#include "mount/mount_i.h"

#include <signal.h>
#include <time.h>

#define TASK_POKE 500		    /* ms between signals to a thread whose caller has gone */
#define STRIKES_LAST 10000000000ULL /* ns until being late is forgotten */
#define IDLE_SECONDS 5

/* --- pool ---------------------------------------------------------------------------- */

int pfs_pool_init(struct pfs_pool *pool, unsigned max)
{
	pthread_condattr_t attr;

	*pool = (struct pfs_pool){ .max = max };
	pool->running = pfs_zalloc(max, sizeof(*pool->running));
	if (!pool->running)
		return -ENOMEM;
	pool->last = &pool->first;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->work, &attr);
	pthread_cond_init(&pool->done, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void pfs_pool_release(struct pfs_pool *pool)
{
	free(pool->running);
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->done);
	pthread_mutex_destroy(&pool->lock);
}

static struct timespec after(unsigned milliseconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += milliseconds / 1000;
	ts.tv_nsec += (long)(milliseconds % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_sec++;
		ts.tv_nsec -= 1000000000;
	}
	return ts;
}

/* Lock held. The first job whose user does not have half of the threads already. */
static struct pfs_job *next_job(struct pfs_pool *pool)
{
	for (struct pfs_job **at = &pool->first, *job; (job = *at); at = &job->next) {
		unsigned same = 0;

		for (unsigned i = 0; i < pool->max; i++)
			same += pool->running[i].job && pool->running[i].uid == job->uid;
		if (same >= pool->max / 2)
			continue;
		*at = job->next;
		if (pool->last == &job->next)
			pool->last = at;
		pool->queued--;
		return job;
	}
	return NULL;
}

/* Lock held. */
static void run_job(struct pfs_pool *pool, struct pfs_job *job)
{
	unsigned slot = 0;

	while (pool->running[slot].job)
		slot++;
	pool->running[slot] = (struct pfs_running){ job, job->uid, pthread_self() };
	pthread_mutex_unlock(&pool->lock);
	job->run(job); /* frees it */
	pthread_mutex_lock(&pool->lock);
	pool->running[slot].job = NULL;
}

static void *pool_thread(void *arg)
{
	struct pfs_pool *pool = arg;
	struct pfs_job *job;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct timespec until = after(IDLE_SECONDS * 1000);
		int r = 0;

		while ((job = next_job(pool)))
			run_job(pool, job);
		if (pool->stopping)
			break;
		pool->idle++;
		r = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
		pool->idle--;
		if (r && !pool->first)
			break;
	}
	pool->threads--;
	pthread_cond_broadcast(&pool->done);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

void pfs_pool_submit(struct pfs_pool *pool, struct pfs_job *job)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_mutex_lock(&pool->lock);
	job->next = NULL;
	*pool->last = job;
	pool->last = &job->next;
	pool->queued++;
	if (pool->idle)
		pthread_cond_signal(&pool->work);
	/* Of those who are idle some may have been woken already, for jobs that are still in the queue. */
	if (pool->idle < pool->queued && pool->threads < pool->max) {
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		/*
		 * Without a thread the job waits for one of the others; with none at all we do it
		 * here.
		 */
		if (pthread_create(&thread, &attr, pool_thread, pool) == 0)
			pool->threads++;
		else if (!pool->threads && (job = next_job(pool)))
			run_job(pool, job);
		pthread_attr_destroy(&attr);
	}
	pthread_mutex_unlock(&pool->lock);
}

bool pfs_pool_cancel(struct pfs_pool *pool, struct pfs_job *job)
{
	bool found = false;

	pthread_mutex_lock(&pool->lock);
	for (struct pfs_job **at = &pool->first; *at; at = &(*at)->next)
		if (*at == job) {
			*at = job->next;
			if (pool->last == &job->next)
				pool->last = at;
			pool->queued--;
			found = true;
			break;
		}
	pthread_mutex_unlock(&pool->lock);
	return found;
}

void pfs_pool_poke(struct pfs_pool *pool, struct pfs_job *job)
{
	pthread_mutex_lock(&pool->lock);
	for (unsigned i = 0; i < pool->max; i++)
		if (pool->running[i].job == job)
			pthread_kill(pool->running[i].thread, SIGUSR1);
	pthread_mutex_unlock(&pool->lock);
}

int pfs_pool_stop(struct pfs_pool *pool, unsigned milliseconds)
{
	struct timespec until = after(milliseconds);
	int r = 0;

	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->work);
	while (pool->threads && r == 0)
		r = pthread_cond_timedwait(&pool->done, &pool->lock, &until);
	r = pool->threads ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&pool->lock);
	return r;
}

/* --- who is late -------------------------------------------------------------------------- */

/* ns that a task may take, by how often its user was late in the last seconds; then it is refused. */
static const uint64_t patience[] = { 5000000000, 1000000000, 300000000 };

/* tasks.lock held. The user's place, or the one that was used longest ago. */
static struct pfs_strikes *strikes_of(struct pfs_mount *mount, uid_t uid)
{
	struct pfs_strikes *oldest = &mount->tasks.strikes[0];

	for (size_t i = 0; i < ARRAY_SIZE(mount->tasks.strikes); i++) {
		struct pfs_strikes *strikes = &mount->tasks.strikes[i];

		if (strikes->n && strikes->uid == uid)
			return strikes;
		if (strikes->last < oldest->last)
			oldest = strikes;
	}
	return oldest;
}

/* tasks.lock held. */
static unsigned strikes_count(struct pfs_mount *mount, uid_t uid, uint64_t now)
{
	struct pfs_strikes *strikes = strikes_of(mount, uid);

	if (!strikes->n || strikes->uid != uid || now > strikes->last + STRIKES_LAST)
		return 0;
	return strikes->n;
}

/* tasks.lock held. */
static void strikes_add(struct pfs_mount *mount, uid_t uid, uint64_t now)
{
	unsigned n = strikes_count(mount, uid, now);
	struct pfs_strikes *strikes = strikes_of(mount, uid);

	*strikes = (struct pfs_strikes){ .uid = uid, .n = n + 1, .last = now };
}

/* --- requests done by a pool ------------------------------------------------------------ */

static void task_unref(struct pfs_task *task)
{
	if (atomic_fetch_sub(&task->refs, 1) == 1)
		task->free(task);
}

static void task_unlist(struct pfs_task *task)
{
	struct pfs_mount *mount = task->mount;

	pthread_mutex_lock(&mount->tasks.lock);
	if (task->next)
		task->next->prev = task->prev;
	if (task->prev)
		task->prev->next = task->next;
	else
		mount->tasks.first = task->next;
	pthread_mutex_unlock(&mount->tasks.lock);
}

/* The pool's reference is dropped: the job has ended or never will begin. */
static void task_end(struct pfs_task *task)
{
	task_unlist(task);
	task_unref(task);
}

static void task_run(struct pfs_job *job)
{
	struct pfs_task *task = CONTAINER_OF(job, struct pfs_task, job);
	int result = task->act(task);

	if (pfs_held_take(task->mount, &task->held)) {
		task->reply(task, task->held.req, result);
		task_unref(task);
	} else if (result >= 0) {
		task->undo(task);
	}
	task_end(task);
}

/* The taker's reference is ours. */
static void task_leave(struct pfs_task *task, int error)
{
	fuse_reply_err(task->held.req, error);
	if (pfs_pool_cancel(task->pool, &task->job))
		task_end(task);
	else
		pfs_pool_poke(task->pool, &task->job);
	task_unref(task);
}

static void task_interrupted(struct pfs_held *held)
{
	task_leave(CONTAINER_OF(held, struct pfs_task, held), EINTR);
}

void pfs_task_start(struct pfs_mount *mount, struct pfs_task *task, fuse_req_t req)
{
	uint64_t now = pfs_clock_mono();
	unsigned strikes;
	bool first;

	task->mount = mount;
	task->cred = pfs_req_cred(req);
	task->held.req = req;
	task->held.interrupted = task_interrupted;
	task->job.run = task_run;
	task->job.uid = task->cred.uid;
	task->refs = 2;

	pthread_mutex_lock(&mount->tasks.lock);
	strikes = strikes_count(mount, task->cred.uid, now);
	if (task->late && strikes >= ARRAY_SIZE(patience)) {
		pthread_mutex_unlock(&mount->tasks.lock);
		task->late(task, EBUSY);
		fuse_reply_err(req, EBUSY);
		task->free(task);
		return;
	}
	task->deadline = now + (task->late ? patience[strikes] : patience[0]);
	first = !mount->tasks.first;
	task->prev = NULL;
	task->next = mount->tasks.first;
	if (task->next)
		task->next->prev = task;
	mount->tasks.first = task;
	pthread_mutex_unlock(&mount->tasks.lock);
	if (first)
		eventfd_write(mount->tasks.wake_fd, 1);

	pfs_held_prepare(mount, req);
	if (!pfs_held_put(mount, &task->held)) {
		fuse_reply_err(req, EINTR);
		task_unref(task);
		task_end(task);
		return;
	}
	pfs_pool_submit(task->pool, &task->job);
}

int pfs_tasks_expire(struct pfs_mount *mount)
{
	struct pfs_task *late = NULL;
	uint64_t now = pfs_clock_mono(), next = UINT64_MAX;

	pthread_mutex_lock(&mount->tasks.lock);
	for (struct pfs_task *task = mount->tasks.first; task; task = task->next) {
		if (task->deadline <= now && !late) {
			/*
			 * One at a time; it will be poked again if its thread does not come back.
			 */
			late = task;
			late->refs++;
			task->deadline = now + TASK_POKE * 1000000ULL;
		}
		next = pfs_min64(next, task->deadline);
	}
	pthread_mutex_unlock(&mount->tasks.lock);
	if (late) {
		if (pfs_held_take(mount, &late->held)) {
			if (late->late) {
				pthread_mutex_lock(&mount->tasks.lock);
				strikes_add(mount, late->cred.uid, now);
				pthread_mutex_unlock(&mount->tasks.lock);
				late->late(late, ETIMEDOUT);
			}
			task_leave(late, ETIMEDOUT);
		} else {
			pfs_pool_poke(late->pool, &late->job);
		}
		task_unref(late);
	}
	if (next == UINT64_MAX)
		return -1;
	return next <= now ? 0 : (int)pfs_min64((next - now) / 1000000 + 1, 60000);
}
