#include "pf/ir/walk.h"

int pf_walk_init(struct pf_walk *walk, const struct pf_unit *u)
{
	*walk = (struct pf_walk){ .u = u, .nval = u->nval };
	walk->done = pfs_zalloc(u->nval, 1);
	/*
	 * Operands have smaller numbers than their users, so what is on the stack at a time is a
	 * falling row of numbers.
	 */
	walk->stack = pfs_zalloc((size_t)u->nval + 1, sizeof(*walk->stack));
	return walk->done && walk->stack ? 0 : -ENOMEM;
}

void pf_walk_release(struct pf_walk *walk)
{
	free(walk->done);
	free(walk->stack);
	*walk = (struct pf_walk){ 0 };
}
