/*
 * interp - the portable back end: a program for a small register machine, and the loop that runs it
 *
 * Comparisons of a load with a constant, which is what filters are made of, are one instruction.
 */
#ifndef PFS_PF_BACK_INTERP_H
#define PFS_PF_BACK_INTERP_H

#include "pf/back/run.h"
#include "pf/ir/ir.h"

struct pf_interp;

/* From a verified unit. 0, -ENOMEM, -E2BIG (more values at a time than there are registers). */
int pf_interp_make(const struct pf_unit *u, struct pf_interp **ret_interp);
void pf_interp_free(struct pf_interp *interp); /* NULL is fine */
/* words: the unit's memories, one behind the other; NULL if it has none. */
uint32_t pf_interp_run_words(const struct pf_interp *interp, const struct pf_packet *packet,
			     struct pf_hit *hits, uint32_t *words);

static inline uint32_t pf_interp_run(const struct pf_interp *interp, const struct pf_packet *packet,
				     struct pf_hit *hits)
{
	return pf_interp_run_words(interp, packet, hits, NULL);
}

/* As pf_code_fn, of a program with one filter and without memories; self is a struct pf_interp. */
uint32_t pf_interp_code(const struct pf_packet *packet, const void *self);

#endif
