/*
 * share - a reader whose records a client takes from memory (ring/shared.h)
 *
 * The reader's cursor stays in the list of its tree, and limits ask the client's page where it stands. What wakes
 * readers wakes the share, which watches the queue (ring/wait.h); a byte goes out only when the page says that the
 * client sleeps. So neither pushing nor waking waits, whatever the client does.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "base/nudge.h"
#include "graph/reader_i.h"

struct pfs_share {
	struct pfs_watch watch;	   /* of its queue; frees it */
	struct pfs_reader *reader; /* borrowed; lock; NULL: it is closed */
	struct pfs_shared_cursor *page;
	int page_fd;
	pthread_mutex_t lock;
	int nudge[2]; /* the client's, ours: lock; -1: nobody listens */
};

static void share_free(struct pfs_share *share)
{
	if (share->page)
		munmap(share->page, PFS_SHARED_PAGE);
	pfs_closep(&share->page_fd);
	pfs_nudge_release(share->nudge);
	pthread_mutex_destroy(&share->lock);
	free(share);
}

/* --- waking ------------------------------------------------------------------------------------ */

/* Lock held. */
static void tell(const struct pfs_share *share)
{
	atomic_thread_fence(memory_order_seq_cst); /* twin: sleep_prepare() in client/client.c */
	if (share->nudge[1] >= 0 && atomic_exchange(&share->page->asleep, 0))
		(void)pfs_nudge(share->nudge[1]);
}

static void look_after(struct pfs_share *share)
{
	bool over = pfs_reader_drained(share->reader);

	if (over && !atomic_exchange(&share->page->over, 1))
		atomic_store(&share->page->asleep, 1);
	tell(share);
}

static void share_look(struct pfs_watch *watch)
{
	struct pfs_share *share = CONTAINER_OF(watch, struct pfs_share, watch);

	pthread_mutex_lock(&share->lock);
	if (share->reader)
		look_after(share);
	pthread_mutex_unlock(&share->lock);
}

static void share_last(struct pfs_watch *watch)
{
	share_free(CONTAINER_OF(watch, struct pfs_share, watch));
}

/* --- beginning and end -------------------------------------------------------------------------- */

static int share_new(struct pfs_reader *reader, struct pfs_share **ret_share)
{
	struct pfs_share *share = pfs_zalloc(1, sizeof(*share));
	void *page;
	int r;

	if (!share)
		return -ENOMEM;
	pthread_mutex_init(&share->lock, NULL);
	share->reader = reader;
	share->nudge[0] = share->nudge[1] = -1;
	share->page_fd = memfd_create("pipesfs-client", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (share->page_fd < 0 || ftruncate(share->page_fd, PFS_SHARED_PAGE) < 0 ||
	    fcntl(share->page_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = -errno;
		share_free(share);
		return r;
	}
	r = pfs_nudge_new(share->nudge);
	if (r < 0) {
		share_free(share);
		return r;
	}
	page = mmap(NULL, PFS_SHARED_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, share->page_fd, 0);
	if (page == MAP_FAILED) {
		share_free(share);
		return -ENOMEM;
	}
	share->page = page;
	*ret_share = share;
	return 0;
}

static void give(struct pfs_reader *reader, const struct pfs_ring *ring, struct pfs_given *ret_given)
{
	const struct pfs_node *node = reader->node;
	const struct pfs_share *share = reader->share;
	bool copy = !reader->maps && node->filter->out == PFS_FLOW_SAME;

	*ret_given = (struct pfs_given){
		.hello = {
			.head.version = PFS_SHARED_VERSION,
			.slots = (uint32_t)node->queue->size,
			.reliable = reader->cursor.reliable,
			.ring_size = ring->size,
			.ring = ring->id,
			.link_type = copy ? PFS_LINK_EACH : PFS_LINK_BYTES,
			.oldest = reader->maps ? node->inject->since : 0,
		},
		.fds = {
			[PFS_GIVEN_QUEUE] = node->queue->fd,
			[PFS_GIVEN_RING] = ring->fd,
			[PFS_GIVEN_PAGE] = share->page_fd,
			[PFS_GIVEN_NUDGE] = share->nudge[0],
		},
	};
}

/* With the run lock: nothing is pushed, and nobody reads. */
static int share_locked(struct pfs_reader *reader, struct pfs_share *share,
			struct pfs_given *ret_given, struct pfs_diag *diag)
{
	struct pfs_task *task = reader->node->task;
	struct pfs_ring *ring;

	if (reader->share || reader->pinned || reader->cursor.begun)
		return pfs_diag_set(diag, EBUSY, "somebody reads from this open file already");
	if (!task->plan) /* its directory was removed, and nothing more comes */
		return -ENODEV;
	ring = reader->maps ? reader->node->inject->ring : pfs_task_ring(task);
	if (!ring)
		return pfs_due_refused(reader->node->graph, PFS_DUE_MEMORY, -ENOMEM, diag);
	pfs_cursor_share(&reader->cursor, share->page);
	reader->share = share;
	give(reader, ring, ret_given);
	return 0;
}

int pfs_reader_share(struct pfs_reader *reader, struct pfs_given *ret_given, struct pfs_diag *diag)
{
	struct pfs_node *node = reader->node;
	struct pfs_share *share = NULL;
	int r;

	if (diag)
		diag->text[0] = '\0';
	if (node->kind != PFS_NODE_VIEW && !reader->maps)
		return pfs_diag_set(diag, EINVAL,
				    "this file was not opened for a client: open `all,client`");
	if (!reader->maps && node->filter->preamble)
		return pfs_diag_set(diag, EINVAL,
				    "what `all.%s` says first is for each reader another: read it",
				    node->name);
	r = share_new(reader, &share);
	if (r < 0)
		return r;
	assert(share); /* set on success, and errors are negative */
	pfs_task_lock(node->task);
	r = share_locked(reader, share, ret_given, diag);
	pfs_task_unlock(node->task);
	if (r < 0) {
		share_free(share);
		return r;
	}
	pfs_watch_open(&share->watch, &node->queue->waiters, share_look, share_last);
	share_look(&share->watch);
	return 0;
}

void pfs_reader_mute(struct pfs_reader *reader)
{
	struct pfs_share *share = reader->share;

	if (!share)
		return;
	pthread_mutex_lock(&share->lock);
	pfs_closep(&share->nudge[1]); /* the client sees the end of the pipe */
	pthread_mutex_unlock(&share->lock);
}

void pfs_share_free(struct pfs_reader *reader)
{
	struct pfs_share *share = atomic_exchange(&reader->share, NULL);

	if (!share)
		return;
	pthread_mutex_lock(&share->lock);
	share->reader = NULL;
	pthread_mutex_unlock(&share->lock);
	pfs_watch_close(&share->watch);
}

/* --- its word ------------------------------------------------------------------------------------ */

void pfs_share_follow(struct pfs_reader *reader)
{
	struct pfs_cursor *cursor = &reader->cursor;

	if (!reader->share)
		return;
	pfs_cursor_follow(cursor);
	atomic_store(&reader->delivered, atomic_load(&cursor->records) - reader->cursor_first -
						 pfs_counter_get(&cursor->lost));
}

void pfs_reader_on(struct pfs_reader *reader)
{
	struct pfs_share *share = reader->share;

	if (!share)
		return;
	pfs_gate_open(reader->node);
	pfs_moved_on(reader->node, false);
	pthread_mutex_lock(&share->lock);
	look_after(share);
	pthread_mutex_unlock(&share->lock);
}
