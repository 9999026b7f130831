/*
 * probe - does the mount answer?
 *
 * A thread asks statfs(2) through the mount: the answer comes from a session thread of streams,
 * nothing else can make it. When the mount does not answer, the thread waits and cannot be killed
 * until streams is; so it is a thread of its own that nobody waits for. It holds nothing while it
 * does not ask, or umount(8) would find the mount busy.
 */
#include "base/probe.h"

#include <pthread.h>
#include <signal.h>
#include <sys/statfs.h>

struct pfs_probe {
	char *dir;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool asking;	 /* lock */
	unsigned answer; /* lock: how many were answered */
	unsigned seen;	 /* of the last pfs_probe_ask() */
	bool pending;	 /* a question was open then */
};

static void *probe_thread(void *arg)
{
	struct pfs_probe *probe = arg;
	struct statfs st;

	pthread_mutex_lock(&probe->lock);
	for (;;) {
		while (!probe->asking)
			pthread_cond_wait(&probe->cond, &probe->lock);
		pthread_mutex_unlock(&probe->lock);
		/*
		 * Any answer will do, errors too, and that of the filesystem below when ours is
		 * unmounted.
		 */
		(void)!statfs(probe->dir, &st);
		pthread_mutex_lock(&probe->lock);
		probe->asking = false;
		probe->answer++;
	}
	return NULL;
}

int pfs_probe_start(const char *dir, struct pfs_probe **ret_probe)
{
	struct pfs_probe *probe = pfs_zalloc(1, sizeof(*probe));
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (!probe)
		return -ENOMEM;
	probe->dir = strdup(dir);
	pthread_mutex_init(&probe->lock, NULL);
	pthread_cond_init(&probe->cond, NULL);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 64 << 10);
	r = probe->dir ? -pthread_create(&thread, &attr, probe_thread, probe) : -ENOMEM;
	pthread_attr_destroy(&attr);
	if (r < 0) {
		free(probe->dir);
		free(probe);
		return r;
	}
	*ret_probe = probe;
	return 0;
}

bool pfs_probe_ask(struct pfs_probe *probe)
{
	bool silent;

	pthread_mutex_lock(&probe->lock);
	silent = probe->pending && probe->asking && probe->seen == probe->answer;
	probe->seen = probe->answer;
	probe->pending = true;
	if (!probe->asking) {
		probe->asking = true;
		pthread_cond_signal(&probe->cond);
	}
	pthread_mutex_unlock(&probe->lock);
	return silent;
}
