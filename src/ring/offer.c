#include "ring/offer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/twice.h"

#define HEAD_SIZE ((uint64_t)4096)
/* In front of each record. */
struct offered {
	_Atomic uint64_t len; /* the true length of a packet in the upper half, or 0 */
	_Atomic uint64_t time;
};
#define HEADER sizeof(struct offered)

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)

/* The first page. Positions only grow; both are multiples of 8. */
struct head {
	_Atomic uint64_t given; /* the giver writes it */
	_Atomic uint64_t wanted; /* giver: be woken when taken has come there; 0 by the taker, who wakes */
	_Alignas(64) _Atomic uint64_t taken; /* the taker writes it */
	_Atomic uint32_t rests;		     /* 1 by the taker; 0 by the giver, who wakes then */
	_Atomic uint32_t over; /* the taker: an errno, why nothing is taken any more */
};

struct pfs_offer {
	struct head *head; /* owned: the mapping */
	uint8_t *data;	   /* owned: mapped twice in a row */
	uint64_t size;
	int memory_fd;	      /* owned; the taker's, else -1 */
	uint64_t given;	      /* giver: as head->given */
	uint64_t taken;	      /* taker: as head->taken */
	struct pfs_said said; /* taker: of that record */
	uint64_t next; /* taker: of the record that was looked at, header included; 0: none was */
	bool broken;   /* taker: it is not looked at any more */
	bool promised; /* taker: there was one more a moment ago */
};

/* --- memory ------------------------------------------------------------------------------------- */

static bool good_size(uint64_t size)
{
	return size >= PFS_OFFER_MIN && size <= PFS_OFFER_MAX && (size & (size - 1)) == 0;
}

/* Does not take the descriptor. */
static int offer_map(int memory_fd, uint64_t size, struct pfs_offer **ret_offer)
{
	struct pfs_offer *offer = pfs_zalloc(1, sizeof(*offer));
	void *head;
	int r;

	if (!offer)
		return -ENOMEM;
	offer->memory_fd = -1;
	offer->size = size;
	head = mmap(NULL, HEAD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	r = head == MAP_FAILED ? -errno : 0;
	if (r == 0) {
		offer->head = head;
		r = pfs_map_twice(memory_fd, HEAD_SIZE, size, PROT_READ | PROT_WRITE, &offer->data);
	}
	if (r < 0) {
		pfs_offer_free(offer);
		return r;
	}
	*ret_offer = offer;
	return 0;
}

int pfs_offer_new(uint64_t size, struct pfs_offer **ret_offer)
{
	PFS_CLOSE int fd = -1;
	int r;

	if (!good_size(size))
		return -EINVAL;
	fd = memfd_create("pipesfs-offer", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, (off_t)(HEAD_SIZE + size)) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	r = offer_map(fd, size, ret_offer);
	if (r == 0)
		(*ret_offer)->memory_fd = TAKE_FD(fd);
	return r;
}

int pfs_offer_memory(const struct pfs_offer *offer)
{
	return offer->memory_fd;
}

int pfs_offer_open(int memory_fd, struct pfs_offer **ret_offer)
{
	int seals = fcntl(memory_fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(memory_fd, &st) < 0 ||
	    st.st_size < (off_t)HEAD_SIZE || !good_size((uint64_t)st.st_size - HEAD_SIZE))
		return -EPROTO;
	return offer_map(memory_fd, (uint64_t)st.st_size - HEAD_SIZE, ret_offer);
}

void pfs_offer_free(struct pfs_offer *offer)
{
	if (!offer)
		return;
	if (offer->head)
		munmap(offer->head, HEAD_SIZE);
	if (offer->data)
		munmap(offer->data, 2 * offer->size);
	pfs_closep(&offer->memory_fd);
	free(offer);
}

size_t pfs_offer_record_max(const struct pfs_offer *offer)
{
	return offer->size / 4;
}

static uint8_t *at(const struct pfs_offer *offer, uint64_t pos)
{
	return offer->data + (pos & (offer->size - 1));
}

static uint64_t record_size(size_t len)
{
	return HEADER + pfs_align8(len);
}

/* --- giver -------------------------------------------------------------------------------------- */

/* An errno, or 0. */
static int offer_over(const struct pfs_offer *offer)
{
	uint32_t over = atomic_load(&offer->head->over);

	return over < 4096 ? (int)over : EPROTO;
}

int pfs_offer_reserve(struct pfs_offer *offer, size_t len, void **ret_bytes)
{
	/* Pairs with the store in pfs_offer_take(): what was there has been copied. */
	uint64_t used = offer->given - atomic_load_explicit(&offer->head->taken, memory_order_acquire);

	if (offer_over(offer))
		return -offer_over(offer);
	if (len == 0)
		return -EINVAL;
	if (len > pfs_offer_record_max(offer))
		return -EMSGSIZE;
	if (used > offer->size)
		return -EPROTO;
	if (record_size(len) > offer->size - used)
		return -EAGAIN;
	*ret_bytes = at(offer, offer->given) + HEADER;
	return 0;
}

bool pfs_offer_commit(struct pfs_offer *offer, size_t len, const struct pfs_said *said)
{
	struct offered *header = (void *)at(offer, offer->given);
	uint64_t wire_len = said ? said->wire_len : 0;

	assert(len > 0 && len <= pfs_offer_record_max(offer));
	atomic_store_explicit(&header->len, len | wire_len << 32, memory_order_relaxed);
	atomic_store_explicit(&header->time, said ? said->time : 0, memory_order_relaxed);
	offer->given += record_size(len);
	/* Then a look at `rests`; its twin is in pfs_offer_rest(). */
	atomic_store(&offer->head->given, offer->given);
	return atomic_load(&offer->head->rests) && atomic_exchange(&offer->head->rests, 0);
}

/* Then a look at `taken`; its twin is in pfs_offer_take(). */
static bool wait_for(struct pfs_offer *offer, uint64_t wanted)
{
	if (wanted > offer->given)
		return false; /* more than everything */
	atomic_store(&offer->head->wanted, wanted);
	if (atomic_load(&offer->head->taken) < wanted && !offer_over(offer))
		return true;
	/* Whoever was first: then we are woken, and find nothing to do. */
	atomic_store(&offer->head->wanted, 0);
	return false;
}

bool pfs_offer_wait(struct pfs_offer *offer, size_t len)
{
	uint64_t end = offer->given + record_size(len), half = offer->size / 2;
	void *bytes;

	if (pfs_offer_reserve(offer, len, &bytes) != -EAGAIN)
		return false;
	return wait_for(offer,
			pfs_max64(end - offer->size, offer->given - pfs_min64(half, offer->given)));
}

bool pfs_offer_wait_empty(struct pfs_offer *offer)
{
	return wait_for(offer, offer->given);
}

int pfs_offer_flushed(const struct pfs_offer *offer)
{
	if (offer_over(offer))
		return -offer_over(offer);
	return atomic_load_explicit(&offer->head->taken, memory_order_acquire) == offer->given
		       ? 0
		       : -EAGAIN;
}

/* --- taker -------------------------------------------------------------------------------------- */

/* How many bytes are there. */
static int look(struct pfs_offer *offer, uint64_t *ret_there)
{
	/* Pairs with the store in pfs_offer_commit(). */
	uint64_t there = atomic_load_explicit(&offer->head->given, memory_order_acquire) - offer->taken;

	if (offer->broken || there > offer->size || there % 8)
		return -EPROTO;
	if (there == 0 && offer->promised)
		return -EPROTO; /* else it could keep us here */
	offer->promised = false;
	*ret_there = there;
	return 0;
}

int pfs_offer_peek(struct pfs_offer *offer, const void **ret_bytes, size_t *ret_len)
{
	struct offered *header = (void *)at(offer, offer->taken);
	uint64_t there, word;
	uint32_t len;

	if (look(offer, &there) < 0) {
		offer->broken = true;
		return -EPROTO;
	}
	if (there == 0)
		return 0;
	if (there >= HEADER) { /* each once; they may change right after */
		word = atomic_load_explicit(&header->len, memory_order_relaxed);
		offer->said.time = atomic_load_explicit(&header->time, memory_order_relaxed);
	} else {
		word = 0;
	}
	len = (uint32_t)word;
	offer->said.wire_len = (uint32_t)(word >> 32);
	if (len == 0 || len > pfs_offer_record_max(offer) || record_size(len) > there) {
		offer->broken = true;
		return -EPROTO;
	}
	offer->next = record_size(len);
	*ret_bytes = header + 1;
	*ret_len = len;
	return 1;
}

const struct pfs_said *pfs_offer_said(const struct pfs_offer *offer)
{
	assert(offer->next && !offer->broken);
	return &offer->said;
}

bool pfs_offer_take(struct pfs_offer *offer)
{
	uint64_t wanted;

	assert(offer->next && !offer->broken);
	offer->taken += offer->next;
	offer->next = 0;
	/* Then a look at `wanted`; its twin is in wait_for(). */
	atomic_store(&offer->head->taken, offer->taken);
	wanted = atomic_load(&offer->head->wanted);
	return wanted && offer->taken >= wanted && atomic_exchange(&offer->head->wanted, 0);
}

bool pfs_offer_end(struct pfs_offer *offer, int error)
{
	offer->broken = true;
	/* Then a look at `wanted`; its twin is in wait_for(). */
	atomic_store(&offer->head->over, (uint32_t)error);
	return atomic_load(&offer->head->wanted) && atomic_exchange(&offer->head->wanted, 0);
}

bool pfs_offer_rest(struct pfs_offer *offer)
{
	if (offer->broken)
		return false;
	/* Then a look at `given`; its twin is in pfs_offer_commit(). */
	atomic_store(&offer->head->rests, 1);
	offer->promised = atomic_load(&offer->head->given) != offer->taken;
	return !offer->promised;
}
