/*
 * tap - operations that a filter was asked about, on their way from a redirect process to streams
 *
 * A ring in a sealed memfd. Streams makes it (rd_tap_new()) and reads; the redirect process opens what it was handed
 * (rd_tap_open()) and puts. Who puts never waits: what finds no room is counted, in the ring, and the count is read by
 * rd_tap_lost(). The reader believes nothing that is in the ring: a record is copied before it is looked at, and
 * nonsense is -EPROTO, once and for all.
 *
 *	while ((r = rd_tap_read(tap, &operation)) == 1)
 *		...
 *	if (r == 0 && rd_tap_rest(tap))
 *		poll(wake_fd)			an eventfd, which several taps may share
 *
 * Threads: rd_tap_put() on any; the reader's functions on one, rd_tap_lost() on any.
 */
#ifndef RD_TAP_H
#define RD_TAP_H

#include "redir/call.h"

#define RD_TAP_SIZE ((size_t)4 << 20) /* of records; memory that was never used is not there */
#define RD_TAP_RECORD_MAX ((size_t)256 << 10) /* a longer one is counted as lost */

/* What became of it in one filter. */
enum rd_seen {
	RD_SEEN_NOT, /* it was not asked */
	RD_SEEN_CONTINUED,
	RD_SEEN_STOPPED, /* its pre gave the result */
	RD_SEEN_CHANGED, /* its post gave another result */
	RD_SEEN_FAILED,	 /* it could not be asked, or answered nonsense: its policy counts */
	RD_SEEN_EXPIRED, /* it did not answer in time: likewise */
	RD_SEENS,
};
extern const char *const rd_seen_names[RD_SEENS];
/* "open": its name in ops.def, in lower case. Returns ret_word. */
#define RD_OP_WORD 24
const char *rd_op_word(enum rd_op op, char ret_word[RD_OP_WORD]);

/* Texts are borrowed, and end where their lengths say. */
struct rd_operation {
	enum rd_op op;
	enum rd_seen seen;
	pid_t pid; /* 0: not known */
	uid_t uid;
	uint64_t time;	   /* ns since the epoch: when it began */
	uint64_t duration; /* ns */
	int64_t result;	   /* -errno, or what it returned */
	const char *exe, *path, *path2;
	size_t exe_len, path_len, path2_len;
};

struct rd_tap;
/* wake_fd is borrowed. */
int rd_tap_new(int wake_fd, struct rd_tap **ret_tap);
int rd_tap_memory(const struct rd_tap *tap); /* the memfd, borrowed */
/* The other end's; descriptors are borrowed. -EPROTO: that is no such memory. */
int rd_tap_open(int memory_fd, int wake_fd, struct rd_tap **ret_tap);
struct rd_tap *rd_tap_ref(struct rd_tap *tap);
void rd_tap_unref(struct rd_tap *tap); /* NULL is fine */

void rd_tap_put(struct rd_tap *tap, const struct rd_operation *operation);
/* 1: there is one, whose texts stay until the next call; 0: none now; -EPROTO. */
int rd_tap_read(struct rd_tap *tap, struct rd_operation *ret_operation);
/* From now on the next put wakes. False: there is something already. */
bool rd_tap_rest(struct rd_tap *tap);
/* Records that found no room, so far. */
uint64_t rd_tap_lost(const struct rd_tap *tap);

#endif
