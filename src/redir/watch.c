#include "redir/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>

int rd_watch_new(const char *name, struct rd_watch **ret_watch)
{
	struct rd_watch *watch = pfs_zalloc(1, sizeof(*watch));

	if (!watch)
		return -ENOMEM;
	watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watch->wake_fd < 0) {
		free(watch);
		return -errno;
	}
	snprintf(watch->name, sizeof(watch->name), "%s", name);
	pthread_mutex_init(&watch->lock, NULL);
	*ret_watch = watch;
	return 0;
}

void rd_watch_free(struct rd_watch *watch)
{
	if (!watch)
		return;
	for (size_t i = 0; i < watch->n; i++)
		rd_tap_unref(watch->tap[i].tap);
	rd_tap_unref(watch->reading);
	pthread_mutex_destroy(&watch->lock);
	pfs_closep(&watch->wake_fd);
	free(watch);
}

int rd_watch_add(struct rd_watch *watch, uint64_t process, int *ret_memory_fd)
{
	struct rd_tap *tap;
	int fd, r = rd_tap_new(watch->wake_fd, &tap);

	if (r < 0)
		return r;
	fd = fcntl(rd_tap_memory(tap), F_DUPFD_CLOEXEC, 0);
	if (fd < 0) {
		r = -errno;
		rd_tap_unref(tap);
		return r;
	}
	rd_tap_rest(tap); /* its first record wakes */
	pthread_mutex_lock(&watch->lock);
	r = watch->n < RD_WATCH_TAPS ? 0 : -ENOSPC;
	if (r == 0)
		watch->tap[watch->n++] = (struct rd_watch_tap){ TAKE_PTR(tap), process };
	pthread_mutex_unlock(&watch->lock);
	rd_tap_unref(tap);
	if (r < 0)
		close(fd);
	else
		*ret_memory_fd = fd;
	return r;
}

void rd_watch_gone(struct rd_watch *watch, uint64_t process)
{
	pthread_mutex_lock(&watch->lock);
	for (size_t i = 0; i < watch->n; i++)
		if (watch->tap[i].process == process)
			watch->tap[i].process = 0;
	pthread_mutex_unlock(&watch->lock);
	eventfd_write(watch->wake_fd, 1); /* who reads forgets it */
}

void rd_watch_fail(struct rd_watch *watch, uint64_t process)
{
	pthread_mutex_lock(&watch->lock);
	watch->lost++;
	pthread_mutex_unlock(&watch->lock);
	rd_watch_gone(watch, process);
}

int rd_watch_fd(const struct rd_watch *watch)
{
	return watch->wake_fd;
}

/* Lock held. */
static void tap_drop(struct rd_watch *watch, size_t i, bool nonsense)
{
	watch->lost += rd_tap_lost(watch->tap[i].tap) + nonsense;
	rd_tap_unref(watch->tap[i].tap);
	watch->tap[i] = watch->tap[--watch->n];
}

/* Lock held. They take turns. 0: nobody has one. */
static int read_any(struct rd_watch *watch, struct rd_operation *ret_operation)
{
	for (size_t left = watch->n; left > 0; left--) {
		struct rd_watch_tap *one;
		int r;

		if (watch->at >= watch->n)
			watch->at = 0;
		one = &watch->tap[watch->at];
		r = rd_tap_read(one->tap, ret_operation);
		if (r == 1) {
			watch->reading = rd_tap_ref(one->tap);
			watch->at++;
			return 1;
		}
		/* What it had put is out, or cannot be believed. */
		if (r < 0 || !one->process)
			tap_drop(watch, watch->at, r < 0);
		else
			watch->at++;
	}
	return 0;
}

/* Lock held. True: all of them will wake. */
static bool rest_all(struct rd_watch *watch)
{
	bool rest = true;

	for (size_t i = 0; i < watch->n; i++)
		rest &= rd_tap_rest(watch->tap[i].tap);
	return rest;
}

int rd_watch_read(struct rd_watch *watch, struct rd_operation *ret_operation)
{
	eventfd_t count;
	int r;

	pthread_mutex_lock(&watch->lock);
	rd_tap_unref(TAKE_PTR(watch->reading));
	r = read_any(watch, ret_operation);
	if (r == 0) {
		eventfd_read(watch->wake_fd, &count);
		do
			r = read_any(watch, ret_operation);
		while (r == 0 && !rest_all(watch));
	}
	pthread_mutex_unlock(&watch->lock);
	return r;
}

uint64_t rd_watch_lost(struct rd_watch *watch)
{
	uint64_t lost;

	pthread_mutex_lock(&watch->lock);
	lost = watch->lost;
	for (size_t i = 0; i < watch->n; i++)
		lost += rd_tap_lost(watch->tap[i].tap);
	pthread_mutex_unlock(&watch->lock);
	return lost;
}
