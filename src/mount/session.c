/*
 * session - threads that take requests from the kernel
 *
 * libfuse's own loop has a fixed limit of threads; when all of them wait in a handler nobody
 * listens, and the mount hangs. Here at least one thread listens always: who takes a request when
 * nobody else listens starts another thread first. Handlers do not wait as a rule (work.c does), so
 * that there are few threads, each with its buffer of 1 MiB of which only what was received is
 * touched. Who was superfluous for PATIENCE requests in a row ends: starting threads is dear.
 */
#include "mount/mount_i.h"

#include <signal.h>
#include <time.h>

#define THREADS_MAX 16 /* beyond it requests wait in the kernel */
#define KEEP 2	       /* listening threads beside which another is superfluous */
#define PATIENCE 1000

struct pfs_session {
	struct fuse_session *se; /* borrowed */
	int ended_fd;
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned threads;      /* lock */
	_Atomic unsigned idle; /* threads that listen */
	struct {
		bool used;
		pthread_t id;
	} slot[THREADS_MAX]; /* lock */
};

static void *session_thread(void *arg);

/* A thread without a slot is not started: the others go on. */
static int thread_start(struct pfs_session *session)
{
	pthread_attr_t attr;
	pthread_t id;
	int r = -EAGAIN;

	pthread_mutex_lock(&session->lock);
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		if (session->slot[i].used)
			continue;
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		/* It finds its slot by its id, which stands there before we unlock. */
		r = -pthread_create(&id, &attr, session_thread, session);
		pthread_attr_destroy(&attr);
		if (r == 0) {
			session->slot[i].used = true;
			session->slot[i].id = id;
			session->threads++;
		}
		break;
	}
	pthread_mutex_unlock(&session->lock);
	return r;
}

/* Returns whether the thread should go on. spare: how often in a row it was superfluous. */
static bool serve_one(struct pfs_session *session, struct fuse_buf *buf, unsigned *spare)
{
	int r;

	atomic_fetch_add(&session->idle, 1);
	r = fuse_session_receive_buf(session->se, buf);
	if (atomic_fetch_sub(&session->idle, 1) == 1 && r > 0 && !fuse_session_exited(session->se))
		thread_start(session);
	if (r == -EINTR || r == -EAGAIN)
		return true;
	if (r <= 0) {
		fuse_session_exit(session->se);
		return false;
	}
	fuse_session_process_buf(session->se, buf);
	*spare = atomic_load(&session->idle) >= KEEP ? *spare + 1 : 0;
	return *spare < PATIENCE;
}

static void *session_thread(void *arg)
{
	struct pfs_session *session = arg;
	struct fuse_buf buf = { .mem = NULL };
	unsigned spare = 0;

	while (!fuse_session_exited(session->se) && serve_one(session, &buf, &spare))
		;
	free(buf.mem);
	if (fuse_session_exited(session->se))
		eventfd_write(session->ended_fd, 1);
	pthread_mutex_lock(&session->lock);
	for (unsigned i = 0; i < THREADS_MAX; i++)
		if (session->slot[i].used && pthread_equal(session->slot[i].id, pthread_self()))
			session->slot[i].used = false;
	session->threads--;
	pthread_cond_broadcast(&session->done);
	pthread_mutex_unlock(&session->lock);
	return NULL;
}

int pfs_session_start(struct fuse_session *se, int ended_fd, struct pfs_session **ret_session)
{
	struct pfs_session *session = pfs_zalloc(1, sizeof(*session));
	pthread_condattr_t attr;
	int r;

	if (!session)
		return -ENOMEM;
	session->se = se;
	session->ended_fd = ended_fd;
	pthread_mutex_init(&session->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&session->done, &attr);
	pthread_condattr_destroy(&attr);
	r = thread_start(session);
	if (r < 0) {
		pfs_session_free(session);
		return r;
	}
	*ret_session = session;
	return 0;
}

int pfs_session_stop(struct pfs_session *session, unsigned milliseconds)
{
	uint64_t end = pfs_clock_mono() + milliseconds * 1000000ULL;
	int r;

	fuse_session_exit(session->se);
	pthread_mutex_lock(&session->lock);
	while (session->threads && pfs_clock_mono() < end) {
		struct timespec until;

		/*
		 * A signal that comes before the thread has entered read(2) is lost: send another.
		 */
		for (unsigned i = 0; i < THREADS_MAX; i++)
			if (session->slot[i].used)
				pthread_kill(session->slot[i].id, SIGUSR1);
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 5000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&session->done, &session->lock, &until);
	}
	r = session->threads ? -ETIMEDOUT : 0;
	pthread_mutex_unlock(&session->lock);
	return r;
}

void pfs_session_free(struct pfs_session *session)
{
	if (!session)
		return;
	pthread_cond_destroy(&session->done);
	pthread_mutex_destroy(&session->lock);
	free(session);
}
