/*
 * pipe_lend - what the client of an open pipe file is lent besides its reader: a ring for a producer, blocks
 *
 * Either stands for the file's own reads or writes from then on, which are refused. The memory lives as long as its
 * fill or supply, which hold the file open for that; they end with its last close, or with a client that was given
 * nothing in time.
 */
#include "mount/pipe_i.h"

#include <limits.h>

/* Supplies whose threads are in the graph: it stays until they have gone. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t gone;
	unsigned n; /* lock */
} supplies = { .lock = PTHREAD_MUTEX_INITIALIZER, .gone = PTHREAD_COND_INITIALIZER };

#define SIZE_USUAL (1 << 19) /* of a block, of a ring: what nobody has asked for */

static void pipe_unref(void *arg)
{
	struct pfs_pipe *pipe = arg;

	pfs_channel_unref(&pipe->channel);
}

static void supplies_add(unsigned n)
{
	pthread_mutex_lock(&supplies.lock);
	supplies.n += n;
	if (supplies.n == 0)
		pthread_cond_broadcast(&supplies.gone);
	pthread_mutex_unlock(&supplies.lock);
}

static void supply_last(void *arg)
{
	pipe_unref(arg);
	supplies_add(-1u);
}

int pfs_pipe_supplies_wait(unsigned ms)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ms / 1000;
	pthread_mutex_lock(&supplies.lock);
	while (supplies.n && r == 0)
		r = -pthread_cond_timedwait(&supplies.gone, &supplies.lock, &until);
	pthread_mutex_unlock(&supplies.lock);
	return r;
}

/* --- what is given -------------------------------------------------------------------------------- */

static void gift_make(struct pfs_pipe *pipe, uint64_t size, int memory_fd, struct pfs_gift *ret_gift)
{
	pipe->lent.hello = (struct pfs_shared_lent){
		.head = { .version = PFS_SHARED_VERSION },
		.size = size,
	};
	*ret_gift = (struct pfs_gift){
		.hello = &pipe->lent.hello,
		.size = sizeof(pipe->lent.hello),
		.fds = { [PFS_LENT_MEMORY] = memory_fd,
			 [PFS_LENT_NUDGE] = pipe->lent.nudge[0],
			 [PFS_LENT_CALLS] = pipe->lent.calls[1],
			 [PFS_LENT_CALLED] = pipe->lent.calls[0] },
		.nfds = pipe->lent.calls[1] < 0 ? PFS_LENT_CALLS : PFS_LENT_COUNT,
	};
}

/*
 * Nobody reads or writes, or waits for it: from now on, nobody will. Then the file is held, for what is lent: once,
 * also if who was to get it has gone before it came.
 */
static int lend_begin(struct pfs_pipe *pipe, struct pfs_lane *lane, _Atomic bool *taken,
		      struct pfs_diag *diag)
{
	int r;

	if (atomic_load(&pipe->lent.reads) || atomic_load(&pipe->lent.writes) ||
	    pfs_lane_enter(&pipe->channel, lane) != 1)
		return pfs_diag_set(diag, EBUSY, "somebody uses this open file already");
	*taken = true;
	pfs_lane_leave(&pipe->channel, lane);
	r = pfs_nudge_new(pipe->lent.nudge);
	if (r < 0)
		*taken = false;
	else
		pfs_channel_ref(&pipe->channel);
	return r;
}

/* Nothing was lent after all; the file is read or written as before. */
static int lend_undo(struct pfs_pipe *pipe, _Atomic bool *taken, int r)
{
	pfs_nudge_release(pipe->lent.nudge);
	pfs_nudge_release(pipe->lent.calls);
	*taken = false;
	pfs_channel_unref(&pipe->channel);
	return r;
}

static int producer_give(struct pfs_file *file, struct pfs_gift *ret_gift, struct pfs_diag *diag)
{
	struct pfs_pipe *pipe = pfs_pipe_of(pfs_channel_of(file));
	struct pfs_supply *supply = NULL;
	int r = lend_begin(pipe, &pipe->channel.write, &pipe->lent.writes, diag);

	if (r < 0)
		return r;
	supplies_add(1);
	r = pfs_nudge_new(pipe->lent.calls);
	if (r == 0)
		r = pfs_supply_open(pipe->writer, pipe->lent.size, pipe->lent.nudge[1],
				    pipe->lent.calls[0], supply_last, pipe, &supply, diag);
	if (r < 0) {
		supplies_add(-1u);
		return lend_undo(pipe, &pipe->lent.writes, r);
	}
	assert(supply); /* set on success, and errors are negative */
	gift_make(pipe, pfs_supply_size(supply), pfs_supply_memory(supply), ret_gift);
	atomic_store(&pipe->lent.supply, supply);
	return 0;
}

static int blocks_give(struct pfs_file *file, struct pfs_gift *ret_gift, struct pfs_diag *diag)
{
	struct pfs_pipe *pipe = pfs_pipe_of(pfs_channel_of(file));
	struct pfs_fill *fill = NULL;
	int r = lend_begin(pipe, &pipe->channel.read, &pipe->lent.reads, diag);

	if (r < 0)
		return r;
	r = pfs_fill_open(pipe->reader, (size_t)pipe->lent.size, pipe->lent.nudge[1], pipe_unref,
			  pipe, &fill, diag);
	if (r < 0)
		return lend_undo(pipe, &pipe->lent.reads, r);
	assert(fill);
	gift_make(pipe, (uint64_t)pipe->lent.size, pfs_fill_memory(fill), ret_gift);
	atomic_store(&pipe->lent.fill, fill);
	return 0;
}

bool pfs_pipe_reclaim(struct pfs_pipe *pipe)
{
	struct pfs_supply *supply = atomic_exchange(&pipe->lent.supply, NULL);

	pfs_fill_close(atomic_exchange(&pipe->lent.fill, NULL));
	pfs_supply_close(supply);
	return supply;
}

/* The connection is not needed any more. But if the file was closed while this was being given, it is over. */
static void lent_mute(struct pfs_file *file)
{
	if (pfs_pipe_of(pfs_channel_of(file))->channel.closing)
		pfs_pipe_reclaim(pfs_pipe_of(pfs_channel_of(file)));
}

static const struct pfs_share_kind producers = {
	.give = producer_give,
	.mute = lent_mute,
	.hold = pfs_pipe_hold,
	.drop = pfs_pipe_drop,
};

static const struct pfs_share_kind blocks = {
	.give = blocks_give,
	.mute = lent_mute,
	.hold = pfs_pipe_hold,
	.drop = pfs_pipe_drop,
};

/* --- ioctls --------------------------------------------------------------------------------------- */

int pfs_pipe_size(struct pfs_file *file, unsigned command, int value)
{
	if (command != PFS_IOC_SIZE)
		return -ENOTTY;
	if (value <= 0)
		return -EINVAL;
	pfs_pipe_of(pfs_channel_of(file))->lent.size = (unsigned)value;
	return 0;
}

static int rotate(struct pfs_pipe *pipe, struct pfs_rotated *ret)
{
	struct pfs_fill *fill = atomic_load(&pipe->lent.fill);
	unsigned which = 0;
	size_t len = 0;

	if (!fill)
		return -EINVAL;
	if (pfs_fill_rotate(fill, &which, &len))
		*ret = (struct pfs_rotated){ .block = which, .len = (uint32_t)len };
	return 0;
}

int pfs_pipe_lend(struct pfs_file *file, unsigned command, void *ret, size_t size)
{
	struct pfs_pipe *pipe = pfs_pipe_of(pfs_channel_of(file));
	struct pfs_fill *fill = atomic_load(&pipe->lent.fill);

	if (!pipe->lent.size)
		pipe->lent.size = SIZE_USUAL;
	if (command == PFS_IOC_PRODUCER && size == sizeof(struct pfs_ticket) && pipe->writer)
		return pfs_share_ticket(file, &producers, pipe->close.uid, ret);
	if (command == PFS_IOC_BLOCKS && size == sizeof(struct pfs_ticket) && pipe->reader)
		return pfs_share_ticket(file, &blocks, pipe->close.uid, ret);
	if (command == PFS_IOC_ROTATE && size == sizeof(struct pfs_rotated))
		return rotate(pipe, ret);
	if (command == PFS_IOC_ON && size == 0 && fill) {
		pfs_fill_on(fill);
		return 0;
	}
	return -ENOTTY;
}
