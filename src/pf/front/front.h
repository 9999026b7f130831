/*
 * front - the languages
 *
 * One struct a language, listed in pf.c. Text comes with a NUL behind its last byte that does not count.
 */
#ifndef PFS_PF_FRONT_FRONT_H
#define PFS_PF_FRONT_FRONT_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

/* What a text was before it became a unit, to prove the rest against. */
struct pf_classic {
	struct pf_insn *insns; /* owned by who keeps it; NULL: the language has no such form */
	size_t n;
};

struct pf_front {
	const char *name;
	size_t max; /* bytes of a text; more is no filter */
	/* Into an empty unit. 0, -EINVAL, -E2BIG, -ENOMEM and the sentence. */
	int (*make)(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		    struct pf_classic *ret_classic, struct pf_error *error);
};

extern const struct pf_front pf_front_pcap;
extern const struct pf_front pf_front_bpf;

#endif
