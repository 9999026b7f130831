/*
 * opt - the passes, in their order
 *
 * Each makes a unit into another that means the same, and says whether it changed anything. They run in rounds until
 * none does. That this ends is seen to: what a pass changes makes a stated measure smaller, and there is a last round.
 *
 * pf_verify() runs behind the last, and in builds with assertions after each.
 */
#ifndef PFS_PF_OPT_OPT_H
#define PFS_PF_OPT_OPT_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

struct pf_pass {
	const char *name;
	const char *summary;
	/* 1: changed, 0: not, -ENOMEM, -E2BIG. The unit is compact before and need not be so after. */
	int (*run)(struct pf_unit *u);
};

extern const struct pf_pass pf_pass_share;
extern const struct pf_pass pf_pass_fold;
extern const struct pf_pass pf_pass_bool;
extern const struct pf_pass pf_pass_assert;
extern const struct pf_pass pf_pass_thread;
extern const struct pf_pass pf_pass_tidy;
extern const struct pf_pass pf_pass_bounds;
extern const struct pf_pass pf_pass_order;
extern const struct pf_pass pf_pass_widen;

/* In their order, NULL behind the last; bit i of `without` is the i-th. */
extern const struct pf_pass *const pf_passes[];

/*
 * Calls of trace() are those of struct pf_options. On error the unit is not to be used: -ENOMEM, -E2BIG; -EINVAL and
 * the sentence if a pass made something that the verifier refuses.
 */
int pf_optimise(struct pf_unit *u, uint64_t without,
		void (*trace)(void *arg, const char *pass, const char *listing), void *trace_arg,
		struct pf_error *error);

/*
 * The same; all passes but "widen" come first, which puts fields together that are compared with several numbers at
 * once. What they have made goes into ret_plain, an empty unit (NULL: nobody wants it).
 */
int pf_optimise_in_two(struct pf_unit *u, uint64_t without,
		       void (*trace)(void *arg, const char *pass, const char *listing),
		       void *trace_arg, struct pf_unit *ret_plain, struct pf_error *error);

uint64_t pf_pass_bit(const struct pf_pass *pass);

#endif
