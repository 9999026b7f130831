/*
 * front - the languages
 *
 * One struct a language, listed in pf.c. Text comes with a NUL behind its last byte that does not count.
 */
#ifndef PFS_PF_FRONT_FRONT_H
#define PFS_PF_FRONT_FRONT_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

/*
 * What a text was before it became a unit, to prove the rest against: one block of memory, and what says it as formulas
 * (pf/prove/smt.h), straight from there.
 */
struct pf_said {
	void *program; /* owned by who keeps it */
	size_t n;
	int (*smt)(const void *program, size_t n, const char *name,
		   struct pfs_buf *out); /* NULL: it has no such form */
};

struct pf_front {
	const char *name;
	size_t max; /* bytes of a text; more is no filter */
	/* Into an empty unit. 0, -EINVAL, -E2BIG, -ENOMEM and the sentence. */
	int (*make)(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		    struct pf_said *ret_said, struct pf_error *error);
};

extern const struct pf_front pf_front_pcap;
extern const struct pf_front pf_front_bpf;
extern const struct pf_front pf_front_cspf;
extern const struct pf_front pf_front_mpf;
extern const struct pf_front pf_front_dpf;
extern const struct pf_front pf_front_xpf;

/* For what is classic BPF before it is a unit: takes the instructions over. */
struct pf_said pf_said_insns(struct pf_insn *insns, size_t n);

#endif
