#include <pipesfs/producer.h>

#include <fcntl.h>

#include "base/nudge.h"
#include "client/lent.h"
#include "ring/offer.h"

#define RING_USUAL ((size_t)1 << 20)

struct pfs_producer {
	struct pfs_offer *offer; /* owned */
	int fd;			 /* owned: the open file, which is what lets it write */
	int nudge_fd, calls_fd;	 /* owned: wakes us, wakes the mount */
	int called_fd; /* owned: the other end of calls_fd, so that no write there is SIGPIPE */
	size_t reserved;
};

static int producer_lend(struct pfs_producer *producer, size_t size, char *why, size_t why_size)
{
	PFS_CLOSE int memory_fd = -1;
	struct pfs_lent lent;
	int r = pfs_lent_get(producer->fd, PFS_IOC_PRODUCER, size, PFS_LENT_COUNT, why, why_size,
			     &lent);

	if (r < 0)
		return r;
	memory_fd = lent.memory_fd;
	producer->nudge_fd = lent.nudge_fd;
	producer->calls_fd = lent.calls_fd;
	producer->called_fd = lent.called_fd;
	return pfs_offer_open(memory_fd, &producer->offer);
}

int pfs_producer_open(const char *path, size_t ring_size, char *why, size_t why_size,
		      struct pfs_producer **ret_producer)
{
	struct pfs_producer *producer = pfs_zalloc(1, sizeof(*producer));
	int r;

	why_size = why ? why_size : 0;
	if (why_size)
		*why = '\0';
	if (!producer)
		return -ENOMEM;
	producer->nudge_fd = producer->calls_fd = producer->called_fd = -1;
	producer->fd = open(path, O_WRONLY | O_CLOEXEC);
	r = producer->fd < 0
		    ? -errno
		    : producer_lend(producer, ring_size ? ring_size : RING_USUAL, why, why_size);
	if (r < 0) {
		pfs_producer_close(producer);
		return r;
	}
	*ret_producer = producer;
	return 0;
}

size_t pfs_producer_max(const struct pfs_producer *producer)
{
	return pfs_offer_record_max(producer->offer);
}

/* What woke us is old news; from now on we are to be woken. False: look again now. */
static bool wait_for_room(struct pfs_producer *producer, size_t len, int *ret_error)
{
	*ret_error = pfs_nudge_clear(producer->nudge_fd) ? -EAGAIN : -EPIPE;
	return *ret_error == -EPIPE ||
	       (len ? pfs_offer_wait(producer->offer, len) : pfs_offer_wait_empty(producer->offer));
}

int pfs_producer_reserve(struct pfs_producer *producer, size_t len, void **ret_bytes)
{
	int r, error;

	producer->reserved = 0;
	while ((r = pfs_offer_reserve(producer->offer, len, ret_bytes)) == -EAGAIN)
		if (wait_for_room(producer, len, &error))
			return error;
	if (r == 0)
		producer->reserved = len;
	return r;
}

int pfs_producer_commit(struct pfs_producer *producer, size_t len)
{
	return pfs_producer_commit_as(producer, len, 0, 0);
}

int pfs_producer_commit_as(struct pfs_producer *producer, size_t len, uint32_t wire_len, uint64_t time)
{
	const struct pfs_said said = { .time = time, .wire_len = wire_len };

	if (len == 0 || len > producer->reserved || (wire_len && wire_len < len))
		return -EINVAL;
	producer->reserved = 0;
	if (pfs_offer_commit(producer->offer, len, &said))
		(void)pfs_nudge(producer->calls_fd);
	return 0;
}

int pfs_producer_flush(struct pfs_producer *producer)
{
	int r, error;

	while ((r = pfs_offer_flushed(producer->offer)) == -EAGAIN)
		if (wait_for_room(producer, 0, &error))
			return error;
	return r;
}

int pfs_producer_fd(const struct pfs_producer *producer)
{
	return producer->nudge_fd;
}

void pfs_producer_close(struct pfs_producer *producer)
{
	if (!producer)
		return;
	pfs_offer_free(producer->offer);
	pfs_closep(&producer->fd);
	pfs_closep(&producer->nudge_fd);
	pfs_closep(&producer->calls_fd);
	pfs_closep(&producer->called_fd);
	free(producer);
}
