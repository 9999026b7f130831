/*
 * session - threads that take requests from the kernel
 *
 * libfuse's own loop has a fixed limit of threads; when all of them wait in a handler nobody
 * listens, and the mount hangs. Here there are a few, enough for the CPUs, since handlers do not wait
 * as a rule (work.c does). When nobody has listened for RELIEF and nothing was done either, another is
 * started, until somebody listens again. Who was superfluous for PATIENCE requests in a row ends:
 * starting threads is dear.
 *
 * Each has a buffer for the largest request, of which only what was received is touched. A handler
 * that cannot answer now keeps it, instead of a copy of a large write, and the thread goes on with
 * another. The bytes of a write begin at a page, as they mostly do on the other side: the kernel
 * copies page by page.
 */
#include "mount/mount_i.h"

#include <linux/fuse.h>
#include <signal.h>
#include <time.h>

#define THREADS_MAX 16 /* beyond it requests wait in the kernel */
#define KEEP 2	       /* listening threads beside which another is superfluous */
#define PATIENCE 1000
#define RELIEF 20 /* ms */

#define PAGE ((size_t)4096)
#define BUFFER_LEAD \
	(sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in)) /* before the bytes of a WRITE */
#define BUFFER_SIZE (PAGE + PFS_REQUEST_MAX + PAGE)
#define BUFFERS_SPARE 4

/* Buffers that nobody has now; the last one used is used first. */
static struct {
	pthread_mutex_t lock;
	void *kept[BUFFERS_SPARE]; /* lock */
	unsigned n;		   /* lock */
} spare = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local void *own_buffer; /* of this thread */

struct pfs_session {
	struct fuse_session *se; /* borrowed */
	int ended_fd;
	int starved_fd;		/* eventfd: nobody listens */
	unsigned usual;		/* threads that are started without hesitation */
	_Atomic bool starving;	/* pfs_session_relieve() looks after it */
	_Atomic unsigned taken; /* requests */
	unsigned seen;		/* pfs_session_relieve(): taken, last time */
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

/* --- buffers ----------------------------------------------------------------------------------- */

static void *buffer_get(void)
{
	void *buffer = NULL;

	pthread_mutex_lock(&spare.lock);
	if (spare.n)
		buffer = spare.kept[--spare.n];
	pthread_mutex_unlock(&spare.lock);
	return buffer ? buffer : aligned_alloc(PAGE, BUFFER_SIZE);
}

void pfs_request_free(void *buffer)
{
	if (!buffer)
		return;
	pthread_mutex_lock(&spare.lock);
	if (spare.n < BUFFERS_SPARE)
		spare.kept[spare.n++] = TAKE_PTR(buffer);
	pthread_mutex_unlock(&spare.lock);
	free(buffer);
}

void *pfs_request_keep(void)
{
	void *other = buffer_get(), *buffer = own_buffer;

	if (!buffer || !other) {
		pfs_request_free(other);
		return NULL;
	}
	own_buffer = other;
	return buffer;
}

uint64_t pfs_request_unique(void)
{
	const struct fuse_in_header *in = (const void *)((uint8_t *)own_buffer + PAGE - BUFFER_LEAD);

	return in->unique;
}

/* --- threads ----------------------------------------------------------------------------------- */

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

static void nobody_listens(struct pfs_session *session)
{
	bool few;

	pthread_mutex_lock(&session->lock);
	few = session->threads < session->usual;
	pthread_mutex_unlock(&session->lock);
	if (few && !fuse_session_exited(session->se))
		thread_start(session);
	else if (!atomic_exchange(&session->starving, true))
		eventfd_write(session->starved_fd, 1);
}

int pfs_session_relieve(struct pfs_session *session)
{
	unsigned taken = atomic_load(&session->taken);
	bool progress = taken != session->seen;
	eventfd_t value;

	if (!atomic_load(&session->starving))
		return -1;
	eventfd_read(session->starved_fd, &value);
	session->seen = taken;
	if (atomic_load(&session->idle)) {
		/* Who listens last from now on tells again; who was so just now did not. */
		atomic_store(&session->starving, false);
		if (atomic_load(&session->idle))
			return -1;
		atomic_store(&session->starving, true);
		return RELIEF;
	}
	if (!progress)
		thread_start(session);
	return RELIEF;
}

int pfs_session_starved_fd(const struct pfs_session *session)
{
	return session->starved_fd;
}

/* A request into buf: its size; 0: the end of the session; -EINTR, -EAGAIN: none; other errors end it. */
static ssize_t receive(struct pfs_session *session, struct fuse_buf *buf)
{
	size_t lead = PAGE - BUFFER_LEAD;
	ssize_t n;

	*buf = (struct fuse_buf){ .mem = (uint8_t *)own_buffer + lead };
	do {
		n = read(fuse_session_fd(session->se), buf->mem, BUFFER_SIZE - lead);
	} while (n < 0 && errno == ENOENT &&
		 !fuse_session_exited(session->se)); /* interrupted before it came */
	if (fuse_session_exited(session->se) || (n < 0 && errno == ENODEV))
		return 0;
	if (n < 0)
		return -errno;
	buf->size = (size_t)n;
	return (size_t)n < sizeof(struct fuse_in_header) ? -EIO : n;
}

/* Returns whether the thread should go on. superfluous: how often in a row it was. */
static bool serve_one(struct pfs_session *session, unsigned *superfluous)
{
	struct fuse_buf buf;
	ssize_t r;

	atomic_fetch_add(&session->idle, 1);
	r = receive(session, &buf);
	atomic_fetch_add(&session->taken, 1);
	if (atomic_fetch_sub(&session->idle, 1) == 1 && r > 0)
		nobody_listens(session);
	if (r == -EINTR || r == -EAGAIN)
		return true;
	if (r <= 0) {
		fuse_session_exit(session->se);
		return false;
	}
	fuse_session_process_buf(session->se, &buf);
	*superfluous = atomic_load(&session->idle) >= KEEP ? *superfluous + 1 : 0;
	return *superfluous < PATIENCE;
}

static void *session_thread(void *arg)
{
	struct pfs_session *session = arg;
	unsigned superfluous = 0;

	own_buffer = buffer_get();
	while (own_buffer && !fuse_session_exited(session->se) && serve_one(session, &superfluous))
		;
	pfs_request_free(TAKE_PTR(own_buffer));
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
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_condattr_t attr;
	int r;

	if (!session)
		return -ENOMEM;
	session->se = se;
	session->ended_fd = ended_fd;
	session->usual = (unsigned)pfs_min(cpus > 0 ? (size_t)cpus + 2 : 3, 10);
	session->starved_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&session->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&session->done, &attr);
	pthread_condattr_destroy(&attr);
	r = session->starved_fd < 0 ? -errno : thread_start(session);
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
	if (session->starved_fd >= 0)
		close(session->starved_fd);
	pthread_cond_destroy(&session->done);
	pthread_mutex_destroy(&session->lock);
	free(session);
	while (spare.n)
		free(spare.kept[--spare.n]);
}
