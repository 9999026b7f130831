/*
 * fuse_help - what fuse.c and fuse_uring.c share: the file, its answers, and what the system's header is too old
 * to know
 */
#ifndef BENCH_INTERSPACE_FUSE_HELP_H
#define BENCH_INTERSPACE_FUSE_HELP_H

#include "study.h"

#include <linux/fuse.h>
#include <sys/ioctl.h>

#define REQUEST_MAX (1u << 20)
#define FUSE_SMALL 256u /* bytes that each answer but a read's fits into */

/* Linux 6.9 and 6.14; the headers may be older. */
#define INIT_EXT (UINT64_C(1) << 30)
#define INIT_PASSTHROUGH (UINT64_C(1) << 37)
#define INIT_OVER_IO_URING (UINT64_C(1) << 41)
#define OPEN_PASSTHROUGH (1u << 7)
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)

enum fuse_kind { FUSE_BY_DEVICE, FUSE_BY_URING, FUSE_BY_NOBODY };

/* Writer: the server, while a request is answered. */
struct fuse_shared {
	uint64_t next, last; /* where bytes that are written will lie, and lie */
	bool lacks;	     /* the kernel did not offer what was wanted */
	_Atomic bool keep; /* writer: the client; io_uring: copy what comes, so that it can be compared */
};

struct fusefile {
	enum fuse_kind kind;
	char dir[32];
	bool mounted;
	int dev, file, backing;
	pid_t server;
	const uint8_t *from; /* of the last put() */
	struct fuse_shared *shared;
	uint8_t *far, *landed; /* shared with the server: what is read, where writes come */
};

int fuse_answer(struct fusefile *f, const struct fuse_in_header *h, const void *in, void *out);
uint8_t *fuse_landing(struct fusefile *f);
void fuse_landed(struct fusefile *f, const struct fuse_write_in *w);

#ifdef HAVE_LIBURING
#define FUSE_URING_BUILT true
/* In the server, after INIT. Does not come back. */
void fuse_uring_serve(struct fusefile *f);
#else
#define FUSE_URING_BUILT false
#define fuse_uring_serve(f) ((void)(f))
#endif

#endif
