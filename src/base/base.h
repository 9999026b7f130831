/*
 * base - the few words every other folder uses
 *
 * Ownership: a local that owns something carries a cleanup attribute and leaves the
 * function through TAKE_PTR or TAKE_FD. Errors: functions return 0 (or a count) or
 * -errno; a sentence for the user travels beside the number in a struct pfs_diag that
 * the caller owns. Counters: one writer each, so relaxed loads and stores are enough.
 */
#ifndef PFS_BASE_BASE_H
#define PFS_BASE_BASE_H

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PFS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PFS_CLEANUP(fn) __attribute__((cleanup(fn)))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

static inline size_t pfs_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t pfs_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

static inline uint64_t pfs_min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t pfs_max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Smallest multiple of 8 that is >= n. */
static inline size_t pfs_align8(size_t n)
{
	return (n + 7) & ~(size_t)7;
}

/* --- ownership ------------------------------------------------------------------ */

static inline void pfs_freep(void *p)
{
	free(*(void **)p);
}

static inline void pfs_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

#define PFS_FREE PFS_CLEANUP(pfs_freep)
#define PFS_CLOSE PFS_CLEANUP(pfs_closep)

#define TAKE_PTR(p)                   \
	__extension__({               \
		__auto_type p_ = (p); \
		(p) = NULL;           \
		p_;                   \
	})
#define TAKE_FD(fd)             \
	__extension__({         \
		int fd_ = (fd); \
		(fd) = -1;      \
		fd_;            \
	})

/* Zeroed memory for n objects of the given size, NULL when there is none (or n * size overflows). */
static inline void *pfs_zalloc(size_t n, size_t size)
{
	return calloc(n ? n : 1, size ? size : 1);
}

/* --- counters: one writer, any number of readers --------------------------------- */

typedef _Atomic uint64_t pfs_counter;

static inline void pfs_counter_add(pfs_counter *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

static inline uint64_t pfs_counter_get(const pfs_counter *c)
{
	return atomic_load_explicit((pfs_counter *)c, memory_order_relaxed);
}

/* --- a sentence for the user ------------------------------------------------------ */

struct pfs_diag {
	char text[256]; /* one sentence without a newline; "" when nothing was said */
};

/* Writes the sentence (diag may be NULL) and returns -err, so that callers can `return` it. */
int pfs_diag_set(struct pfs_diag *diag, int err, const char *fmt, ...) PFS_PRINTF(3, 4);

/* --- growing text ------------------------------------------------------------------ */

/*
 * A byte buffer that grows. Zero-initialised is empty. An allocation that fails sets `failed`
 * and later calls do nothing, so a writer checks once at the end. Bounded by PFS_BUF_MAX.
 */
struct pfs_buf {
	char *data; /* owned; NUL-terminated when not NULL */
	size_t len;
	size_t cap;
	bool failed;
};

#define PFS_BUF_MAX ((size_t)64 << 20)

void pfs_buf_release(struct pfs_buf *buf);
void pfs_buf_add(struct pfs_buf *buf, const void *data, size_t len);
void pfs_buf_str(struct pfs_buf *buf, const char *s);
void pfs_buf_printf(struct pfs_buf *buf, const char *fmt, ...) PFS_PRINTF(2, 3);
/* As a JSON string body (no quotes): control characters, quotes and invalid UTF-8 escaped. */
void pfs_buf_json(struct pfs_buf *buf, const char *s, size_t len);
/* Length of the well-formed UTF-8 sequence at s (RFC 3629), at most n > 0 bytes; 0: there is none. */
size_t pfs_utf8_len(const char *s, size_t n);
/* Printable ASCII as it is, everything else as \xNN; never a control character. */
void pfs_buf_clean(struct pfs_buf *buf, const char *s, size_t len);
/* Makes room for len more bytes and returns where they go; NULL when it cannot. */
void *pfs_buf_reserve(struct pfs_buf *buf, size_t len);

#define PFS_BUF PFS_CLEANUP(pfs_buf_release)

/* --- clocks -------------------------------------------------------------------------- */

uint64_t pfs_clock_real(void); /* ns since the epoch */
uint64_t pfs_clock_mono(void); /* ns, CLOCK_MONOTONIC */
/* ns from the monotonic clock to the real one; `last` itself (0: none) as long as nobody has set the clock. */
int64_t pfs_clock_offset(int64_t last);

#endif
