#include "ring/ring.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "base/twice.h"
#include "ring/table_i.h"

/* --- memory ------------------------------------------------------------------------------ */

static void memfd_release(struct pfs_ring *ring)
{
	if (ring->data)
		munmap(ring->data, 2 * ring->size);
	if (ring->shared)
		munmap(ring->shared, PFS_SHARED_PAGE);
	if (ring->fd >= 0)
		close(ring->fd);
}

static int memfd_map(struct pfs_ring *ring)
{
	void *page;
	int r;

	ring->fd = memfd_create("pipesfs-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ring->fd < 0 || ftruncate(ring->fd, (off_t)ring->size + PFS_SHARED_PAGE) < 0)
		return -errno;
	r = pfs_map_twice(ring->fd, 0, ring->size, PROT_READ | PROT_WRITE, &ring->data);
	if (r < 0)
		return r;
	page = mmap(NULL, PFS_SHARED_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
		    (off_t)ring->size);
	if (page == MAP_FAILED)
		return -errno;
	ring->shared = page;
	/* Our own writable mapping stays; nobody gets another one. */
	if (fcntl(ring->fd, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

/* --- rings ------------------------------------------------------------------------------------ */

size_t pfs_ring_max_record(const struct pfs_ring *ring)
{
	return ring->size / 4;
}

uint64_t pfs_ring_round(size_t size)
{
	uint64_t rounded = 4096;

	while (rounded < size)
		rounded *= 2;
	return rounded;
}

int pfs_ring_new(struct pfs_rings *table, size_t size, pfs_ring_limit_fn limit, void *owner,
		 struct pfs_ring **ret_ring)
{
	struct pfs_ring *ring = pfs_zalloc(1, sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	ring->fd = -1;
	ring->size = pfs_ring_round(size);
	ring->limit = limit;
	ring->owner = owner;
	ring->release = memfd_release;
	r = memfd_map(ring);
	if (r >= 0)
		r = pfs_rings_enter(table, ring);
	if (r < 0) {
		pfs_ring_free(ring);
		return r;
	}
	*ret_ring = ring;
	return 0;
}

int pfs_ring_adopt(struct pfs_rings *table, uint8_t *data, uint64_t size,
		   void (*release)(struct pfs_ring *), void *priv, pfs_ring_limit_fn limit,
		   void *owner, struct pfs_ring **ret_ring)
{
	struct pfs_ring *ring = pfs_zalloc(1, sizeof(*ring));
	int r;

	if (!ring)
		return -ENOMEM;
	assert((size & (size - 1)) == 0);
	ring->fd = -1;
	ring->data = data;
	ring->size = size;
	ring->priv = priv;
	ring->limit = limit;
	ring->owner = owner;
	r = pfs_rings_enter(table, ring);
	if (r < 0) {
		free(ring);
		return r;
	}
	ring->release = release;
	*ret_ring = ring;
	return 0;
}

void pfs_ring_free(struct pfs_ring *ring)
{
	if (!ring)
		return;
	pfs_rings_leave(ring);
	if (ring->release)
		ring->release(ring);
	free(ring);
}

uint64_t pfs_ring_reclaim(struct pfs_ring *ring, uint64_t to)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	uint64_t limit;

	if (to > tail) {
		limit = ring->limit(ring->owner, ring, to);
		if (limit > tail) {
			tail = limit;
			/* Twin: the pin published before tail is loaded, in pfs_cursor_pin(). */
			atomic_store_explicit(&ring->tail, tail, memory_order_seq_cst);
			if (ring->shared) /* twin: record_copy() in client/client.c */
				atomic_store_explicit(&ring->shared->tail, tail, memory_order_seq_cst);
			atomic_thread_fence(memory_order_seq_cst);
		}
	}
	if (ring->free_to < tail) {
		limit = ring->limit(ring->owner, ring, tail);
		ring->free_to = pfs_max64(ring->free_to, pfs_min64(limit, tail));
	}
	return ring->free_to;
}

/* Makes [head, head + total) free to write, moving the tail a good step at once. */
static bool make_room(struct pfs_ring *ring, uint64_t head, uint64_t total)
{
	uint64_t need, want;

	if (head + total <= ring->free_to + ring->size)
		return true;
	need = head + total - ring->size;
	want = pfs_min64(head, need + ring->size / 16);
	return pfs_ring_reclaim(ring, want) >= need;
}

bool pfs_ring_room(struct pfs_ring *ring, uint64_t bytes)
{
	return make_room(ring, atomic_load_explicit(&ring->head, memory_order_relaxed), bytes);
}

int pfs_ring_reserve(struct pfs_ring *ring, size_t len, struct pfs_record **ret_rec)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t total = pfs_align8(sizeof(struct pfs_record) + len);
	struct pfs_record *rec;

	if (len > pfs_ring_max_record(ring) || total > ring->size / 2)
		return -EMSGSIZE;
	if (!make_room(ring, head, total))
		return -EAGAIN;
	rec = (struct pfs_record *)(void *)pfs_ring_at(ring, head);
	atomic_store_explicit(&rec->state, PFS_RECORD_FREE, memory_order_relaxed);
	rec->size = (uint32_t)total;
	rec->time = 0;
	rec->len = rec->wire_len = (uint32_t)len;
	rec->stream = rec->mark = rec->ifindex = 0;
	rec->origin = rec->flags = 0;
	/* Pairs with the acquire load in pfs_ring_scan(): the busy state is seen with the new head. */
	atomic_store_explicit(&ring->head, head + total, memory_order_release);
	*ret_rec = rec;
	return 0;
}

void pfs_ring_shrink(struct pfs_ring *ring, struct pfs_record *rec, size_t len)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t total = pfs_align8(sizeof(struct pfs_record) + len);

	assert(len <= rec->len);
	atomic_store_explicit(&ring->head, head - rec->size + total, memory_order_release);
	rec->size = (uint32_t)total;
	rec->len = rec->wire_len = (uint32_t)len;
}

void pfs_ring_commit(struct pfs_ring *ring, struct pfs_record *rec)
{
	(void)ring;
	atomic_store_explicit(&rec->state, PFS_RECORD_READY, memory_order_release);
}

struct pfs_record *pfs_ring_scan(struct pfs_ring *ring, uint64_t *pos)
{
	while (*pos != atomic_load_explicit(&ring->head, memory_order_acquire)) {
		struct pfs_record *rec = (struct pfs_record *)(void *)pfs_ring_at(ring, *pos);
		uint32_t state = atomic_load_explicit(&rec->state, memory_order_acquire);

		if (state == PFS_RECORD_READY)
			return rec;
		if (state == PFS_RECORD_FREE)
			return NULL;
		*pos += rec->size;
	}
	return NULL;
}

uint64_t pfs_ring_pos(const struct pfs_ring *ring, const void *p, uint64_t near_pos)
{
	uint64_t at = (uint64_t)((const uint8_t *)p - ring->data) & (ring->size - 1);
	uint64_t pos = (near_pos & ~(ring->size - 1)) | at;

	/* The candidate nearest to near_pos. */
	if (pos > near_pos && pos - near_pos > ring->size / 2 && pos >= ring->size)
		pos -= ring->size;
	else if (pos < near_pos && near_pos - pos > ring->size / 2)
		pos += ring->size;
	return pos;
}

const uint8_t *pfs_ref_bytes(const struct pfs_rings *table, const struct pfs_ref *ref)
{
	const struct pfs_ring *ring = pfs_ring_get(table, ref->ring);

	return pfs_ring_at(ring, ref->pos) + pfs_hdr_size((enum pfs_hdr)ref->hdr) + ref->off;
}

void pfs_ref_meta(const struct pfs_rings *table, const struct pfs_ref *ref, struct pfs_meta *ret_meta)
{
	const struct pfs_ring *ring = pfs_ring_get(table, ref->ring);

	pfs_hdr_decode((enum pfs_hdr)ref->hdr, pfs_ring_at(ring, ref->pos),
		       pfs_origin_get(table, ref->origin), ret_meta);
	if (ref->flags & PFS_REF_IN_STREAM)
		ret_meta->stream = ref->stream;
	else /* what is in front of it is no part of it */
		ret_meta->wire_len -= ref->off < ret_meta->wire_len ? ref->off : ret_meta->wire_len;
}

struct pfs_ref pfs_ref_of_record(const struct pfs_ring *ring, const struct pfs_record *rec, uint64_t pos)
{
	return (struct pfs_ref){
		.pos = pos,
		.len = rec->len,
		.ring = ring->id,
		.origin = rec->origin,
		.l3 = PFS_LAYER_NONE,
		.l4 = PFS_LAYER_NONE,
		.flags = (uint8_t)rec->flags,
		.hdr = PFS_HDR_RECORD,
	};
}
