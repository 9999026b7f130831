/*
 * walk - values with everything they are made of, operands first
 *
 * Each value comes once in the life of a walk, however many roots lead to it, and no recursion is
 * needed: expressions may be as deep as a filter is long.
 *
 *	pf_walk_root(&walk, cond);
 *	while ((v = pf_walk_next(&walk)))
 *		...
 */
#ifndef PFS_PF_IR_WALK_H
#define PFS_PF_IR_WALK_H

#include "pf/ir/ir.h"

struct pf_walk {
	const struct pf_unit *u; /* borrowed */
	uint32_t nval; /* of the unit when the walk began; younger ones are not asked for */
	uint8_t *done; /* owned; by value: it came, or the caller wants neither it nor its operands */
	pf_val *stack; /* owned */
	uint32_t n;
};

/* 0 or -ENOMEM. */
int pf_walk_init(struct pf_walk *walk, const struct pf_unit *u);
void pf_walk_release(struct pf_walk *walk);
#define PF_WALK PFS_CLEANUP(pf_walk_release)

static inline void pf_walk_root(struct pf_walk *walk, pf_val v)
{
	if (v && !walk->done[v])
		walk->stack[walk->n++] = v;
}

/* The next value below the root given, 0: none is left. */
static inline pf_val pf_walk_next(struct pf_walk *walk)
{
	while (walk->n > 0) {
		pf_val v = walk->stack[walk->n - 1];
		const struct pf_value *value = &walk->u->val[v];
		unsigned operands = pf_operands(value);

		if (walk->done[v]) {
			walk->n--;
		} else if (operands > 0 && !walk->done[value->a]) {
			walk->stack[walk->n++] = value->a;
		} else if (operands > 1 && !walk->done[value->b]) {
			walk->stack[walk->n++] = value->b;
		} else {
			walk->n--;
			walk->done[v] = 1;
			return v;
		}
	}
	return 0;
}

#endif
