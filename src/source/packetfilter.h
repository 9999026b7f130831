/*
 * packetfilter - the classic filter of a packet socket: how much of a frame is copied, and of which
 *
 * Threads: set by one at a time.
 */
#ifndef PFS_SOURCE_PACKETFILTER_H
#define PFS_SOURCE_PACKETFILTER_H

#include <pipesfs/pf.h>

#include "base/base.h"

struct sock_filter;

struct packetfilter {
	int sock; /* borrowed */
	uint32_t snaplen;
	bool any; /* of several devices: a program is for those of Ethernet, from others all is let through */
	struct sock_filter *insns; /* owned; the filter as it is */
	size_t ninsns;
};

/* "Take the first snaplen bytes": the shortest classic program. -ENOMEM, -errno of the kernel. */
int packetfilter_snaplen(struct packetfilter *f);
/* As packetring_filter(). */
int packetfilter_set(struct packetfilter *f, const struct pf_insn *insns, size_t n);
/* As a listing. */
void packetfilter_print(const struct packetfilter *f, struct pfs_buf *out);
void packetfilter_release(struct packetfilter *f);

#endif
