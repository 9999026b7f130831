/*
 * native - code of this machine, in memory that is never writable and executable at the same time
 *
 * One file for each architecture makes the bytes (x86_64.c); where there is none, and where the
 * system forbids executable memory, making it fails and the interpreter does the work. What runs
 * does what the verified unit says: it reads the packet where FITS branches have been, writes to
 * its own stack, to the hits and to the unit's memories, and ends.
 */
#ifndef PFS_PF_BACK_NATIVE_H
#define PFS_PF_BACK_NATIVE_H

#include "pf/back/run.h"
#include "pf/ir/ir.h"

struct pf_native;

/* From a verified unit. 0; -ENOTSUP: no back end for this machine; -ENOMEM, -E2BIG; -EACCES: no executable memory. */
int pf_native_make(const struct pf_unit *u, struct pf_native **ret_native);
void pf_native_free(struct pf_native *native);		 /* NULL is fine */
uint32_t pf_native_size(const struct pf_native *native); /* bytes of code */
/* words: the unit's memories, one behind the other; NULL if it has none. */
uint32_t pf_native_run_words(const struct pf_native *native, const struct pf_packet *packet,
			     struct pf_hit *hits, uint32_t *words);

static inline uint32_t pf_native_run(const struct pf_native *native, const struct pf_packet *packet,
				     struct pf_hit *hits)
{
	return pf_native_run_words(native, packet, hits, NULL);
}

/* A program with one filter and no memories: its code, to be called with *ret_self; NULL for others. */
pf_code_fn *pf_native_code(const struct pf_native *native, const void **ret_self);
/* Such a program over n packets. */
void pf_native_batch(const struct pf_native *native, const struct pf_packet *packets, size_t n,
		     uint32_t *results);

#endif
