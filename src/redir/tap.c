#include "redir/tap.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define HEAD_SIZE ((size_t)4096)
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW)
#define SKIP UINT32_MAX /* in place of a record: the rest up to the end of the ring is empty */

/* The first page. Positions only grow; both are multiples of 8. */
struct head {
	_Atomic uint64_t put;	/* who puts writes it */
	_Atomic uint64_t taken; /* the reader */
	_Atomic uint64_t lost;	/* who puts */
	_Atomic uint32_t rests; /* 1 by the reader; 0 by who puts, who wakes then */
};

/* In the ring, in the host's order; texts follow. */
struct record {
	uint32_t size; /* of all, a multiple of 8; or SKIP */
	uint8_t op, seen;
	uint16_t exe; /* bytes */
	uint32_t path, path2;
	int32_t pid;
	uint32_t uid;
	uint64_t time, duration;
	int64_t result;
	char text[];
};
static_assert(sizeof(struct record) == 48, "a multiple of 8");

struct rd_tap {
	_Atomic unsigned refs;
	pthread_mutex_t lock; /* of those who put */
	struct head *head;    /* owned: the mapping */
	uint8_t *ring;	      /* behind it */
	int memory_fd;	      /* owned; the reader's, else -1 */
	int wake_fd;	      /* owned */
	uint64_t at;	      /* the one position that this end writes */
	bool broken;	      /* reader: it is not looked at any more */
	bool promised;	      /* reader: there was one more a moment ago */
	void *copy;	      /* reader, owned: of the last record */
};

const char *const rd_seen_names[RD_SEENS] = {
	[RD_SEEN_NOT] = "not asked",   [RD_SEEN_CONTINUED] = "continued",
	[RD_SEEN_STOPPED] = "stopped", [RD_SEEN_CHANGED] = "changed",
	[RD_SEEN_FAILED] = "failed",   [RD_SEEN_EXPIRED] = "expired",
};

static const char *const op_names[RD_OPS] = {
#define OP(name, names, data, about) [RD_##name] = #name,
#include "redir/ops.def"
#undef OP
};

const char *rd_op_word(enum rd_op op, char ret_word[RD_OP_WORD])
{
	const char *name = op_names[op];
	size_t i;

	for (i = 0; i < RD_OP_WORD - 1 && name[i]; i++)
		ret_word[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
	ret_word[i] = '\0';
	return ret_word;
}

/* --- making ------------------------------------------------------------------------------------- */

/* Takes neither descriptor. */
static int tap_map(int memory_fd, int wake_fd, struct rd_tap **ret_tap)
{
	struct rd_tap *tap = pfs_zalloc(1, sizeof(*tap));
	void *map;

	if (!tap)
		return -ENOMEM;
	map = mmap(NULL, HEAD_SIZE + RD_TAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	tap->wake_fd = map == MAP_FAILED ? -1 : fcntl(wake_fd, F_DUPFD_CLOEXEC, 0);
	if (tap->wake_fd < 0) {
		int r = -errno;

		if (map != MAP_FAILED)
			munmap(map, HEAD_SIZE + RD_TAP_SIZE);
		free(tap);
		return r;
	}
	pthread_mutex_init(&tap->lock, NULL);
	tap->refs = 1;
	tap->memory_fd = -1;
	tap->head = map;
	tap->ring = (uint8_t *)map + HEAD_SIZE;
	*ret_tap = tap;
	return 0;
}

int rd_tap_new(int wake_fd, struct rd_tap **ret_tap)
{
	PFS_CLOSE int fd = memfd_create("redir-tap", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	PFS_FREE void *copy = NULL;
	int r;

	if (fd < 0 || ftruncate(fd, (off_t)(HEAD_SIZE + RD_TAP_SIZE)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	copy = malloc(RD_TAP_RECORD_MAX);
	r = copy ? tap_map(fd, wake_fd, ret_tap) : -ENOMEM;
	if (r == 0) {
		(*ret_tap)->memory_fd = TAKE_FD(fd);
		(*ret_tap)->copy = TAKE_PTR(copy);
	}
	return r;
}

int rd_tap_memory(const struct rd_tap *tap)
{
	return tap->memory_fd;
}

int rd_tap_open(int memory_fd, int wake_fd, struct rd_tap **ret_tap)
{
	int seals = fcntl(memory_fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS) != SEALS || fstat(memory_fd, &st) < 0 ||
	    st.st_size != (off_t)(HEAD_SIZE + RD_TAP_SIZE))
		return -EPROTO;
	return tap_map(memory_fd, wake_fd, ret_tap);
}

struct rd_tap *rd_tap_ref(struct rd_tap *tap)
{
	atomic_fetch_add(&tap->refs, 1);
	return tap;
}

void rd_tap_unref(struct rd_tap *tap)
{
	if (!tap || atomic_fetch_sub(&tap->refs, 1) > 1)
		return;
	munmap(tap->head, HEAD_SIZE + RD_TAP_SIZE);
	pfs_closep(&tap->memory_fd);
	pfs_closep(&tap->wake_fd);
	pthread_mutex_destroy(&tap->lock);
	free(tap->copy);
	free(tap);
}

/* --- putting ------------------------------------------------------------------------------------ */

static size_t record_size(const struct rd_operation *o)
{
	return (sizeof(struct record) + o->exe_len + o->path_len + o->path2_len + 7) & ~(size_t)7;
}

static void record_make(struct record *record, size_t size, const struct rd_operation *o)
{
	*record = (struct record){
		.size = (uint32_t)size,
		.op = (uint8_t)o->op,
		.seen = (uint8_t)o->seen,
		.exe = (uint16_t)o->exe_len,
		.path = (uint32_t)o->path_len,
		.path2 = (uint32_t)o->path2_len,
		.pid = (int32_t)o->pid,
		.uid = o->uid,
		.time = o->time,
		.duration = o->duration,
		.result = o->result,
	};
	if (o->exe_len)
		memcpy(record->text, o->exe, o->exe_len);
	if (o->path_len)
		memcpy(record->text + o->exe_len, o->path, o->path_len);
	if (o->path2_len)
		memcpy(record->text + o->exe_len + o->path_len, o->path2, o->path2_len);
}

/* Lock held. Where `size` bytes in a row may go; NULL: there is no room. */
static struct record *room(struct rd_tap *tap, size_t size)
{
	/* Pairs with the store in rd_tap_read(): what was there has been copied. */
	uint64_t taken = atomic_load_explicit(&tap->head->taken, memory_order_acquire);
	size_t offset = tap->at & (RD_TAP_SIZE - 1);
	size_t rest = RD_TAP_SIZE - offset, need = rest < size ? rest + size : size;

	if (tap->at - taken > RD_TAP_SIZE - need)
		return NULL;
	if (rest < size) {
		memcpy(tap->ring + offset, &(uint32_t){ SKIP }, sizeof(uint32_t));
		tap->at += rest;
		offset = 0;
	}
	return (struct record *)(void *)(tap->ring + offset);
}

void rd_tap_put(struct rd_tap *tap, const struct rd_operation *operation)
{
	size_t size = record_size(operation);
	struct record *record = NULL;
	bool fits = size <= RD_TAP_RECORD_MAX && operation->exe_len <= UINT16_MAX;

	pthread_mutex_lock(&tap->lock);
	if (fits)
		record = room(tap, size);
	if (record) {
		record_make(record, size, operation);
		tap->at += size;
		/* Then a look at `rests`; its twin is in rd_tap_rest(). */
		atomic_store(&tap->head->put, tap->at);
	} else {
		atomic_fetch_add_explicit(&tap->head->lost, 1, memory_order_relaxed);
	}
	pthread_mutex_unlock(&tap->lock);
	if (atomic_load(&tap->head->rests) && atomic_exchange(&tap->head->rests, 0))
		eventfd_write(tap->wake_fd, 1);
}

/* --- reading ------------------------------------------------------------------------------------ */

/* Is it one, as it lies in our copy? */
static bool record_check(const struct record *record, uint32_t size)
{
	return record->size == size && record->op < RD_OPS && record->seen < RD_SEENS &&
	       record->path <= size && record->path2 <= size &&
	       sizeof(*record) + record->exe + (uint64_t)record->path + record->path2 <= size;
}

/* What is left up to `put`, at the reader's position: the size of a record, 0: nothing, -EPROTO. */
static int64_t next_size(struct rd_tap *tap)
{
	for (;;) {
		/* Pairs with the store in rd_tap_put(). */
		uint64_t there = atomic_load_explicit(&tap->head->put, memory_order_acquire) - tap->at;
		size_t offset = tap->at & (RD_TAP_SIZE - 1);
		uint32_t size;

		if (there == 0)
			return 0;
		if (there > RD_TAP_SIZE || there % 8)
			return -EPROTO;
		memcpy(&size, tap->ring + offset, sizeof(size));
		if (size != SKIP) {
			bool good = size >= sizeof(struct record) && size % 8 == 0 && size <= there &&
				    size <= RD_TAP_RECORD_MAX && size <= RD_TAP_SIZE - offset;

			return good ? (int64_t)size : -EPROTO;
		}
		if (RD_TAP_SIZE - offset > there || RD_TAP_SIZE - offset >= RD_TAP_RECORD_MAX)
			return -EPROTO;
		tap->at += RD_TAP_SIZE - offset;
	}
}

int rd_tap_read(struct rd_tap *tap, struct rd_operation *ret_operation)
{
	int64_t size = tap->broken ? -EPROTO : next_size(tap);
	struct record *record = tap->copy;

	if (size == 0 && tap->promised)
		size = -EPROTO; /* else it could keep us here */
	tap->promised = false;
	if (size <= 0) {
		tap->broken = size < 0;
		return (int)size;
	}
	memcpy(record, tap->ring + (tap->at & (RD_TAP_SIZE - 1)), (size_t)size);
	if (!record_check(record, (uint32_t)size)) {
		tap->broken = true;
		return -EPROTO;
	}
	tap->at += (uint64_t)size;
	atomic_store_explicit(&tap->head->taken, tap->at, memory_order_release);
	*ret_operation = (struct rd_operation){
		.op = (enum rd_op)record->op,
		.seen = (enum rd_seen)record->seen,
		.pid = record->pid,
		.uid = record->uid,
		.time = record->time,
		.duration = record->duration,
		.result = record->result,
		.exe = record->text,
		.exe_len = record->exe,
		.path = record->text + record->exe,
		.path_len = record->path,
		.path2 = record->text + record->exe + record->path,
		.path2_len = record->path2,
	};
	return 1;
}

bool rd_tap_rest(struct rd_tap *tap)
{
	if (tap->broken)
		return true;
	/* Then a look at `put`; its twin is in rd_tap_put(). */
	atomic_store(&tap->head->rests, 1);
	tap->promised = atomic_load(&tap->head->put) != tap->at;
	return !tap->promised;
}

uint64_t rd_tap_lost(const struct rd_tap *tap)
{
	return atomic_load_explicit(&tap->head->lost, memory_order_relaxed);
}
