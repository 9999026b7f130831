/*
 * front - the languages
 *
 * One struct a language, listed in pf.c. Text comes with a NUL behind its last byte that does not count.
 */
#ifndef PFS_PF_FRONT_FRONT_H
#define PFS_PF_FRONT_FRONT_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

struct pf_front {
	const char *name;
	/* Into an empty unit. 0, -EINVAL, -E2BIG, -ENOMEM and the sentence. */
	int (*make)(struct pf_unit *u, const char *text, size_t len,
		    const struct pf_options *options, struct pf_error *error);
};

extern const struct pf_front pf_front_pcap;
extern const struct pf_front pf_front_bpf;

#endif
