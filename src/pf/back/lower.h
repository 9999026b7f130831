/*
 * lower - what all back ends need before they write code: an order for the values, and places for
 * them
 *
 * Values float; here each gets the blocks in which it is computed (where it is first needed and not
 * known from a block that dominates), and one place, the same in all of them: a register, or a slot
 * in memory when registers run out.
 *
 * A branch takes its condition apart (struct pf_test): comparing is not a value that needs a place,
 * and a load that only one comparison wants is done by it. Constants have no place.
 *
 * A program with one filter ends where it has its result.
 *
 * GET and SET are steps, in their order; SET has no place. A RESULT is none: it comes at the end of its block.
 *
 * Parameters are written at the end of the blocks that jump to theirs, all at once
 * (pf_lower_moves() puts the single moves in an order). Edges with arguments are always those of a
 * jump.
 */
#ifndef PFS_PF_BACK_LOWER_H
#define PFS_PF_BACK_LOWER_H

#include "pf/ir/flow.h"

#define PF_NO_PLACE UINT16_MAX
#define PF_PLACES_MAX 4096u

struct pf_lower {
	struct pf_unit u; /* owned; a copy, edges split */
	struct pf_flow flow;
	pf_val *step; /* owned; values in the order in which they are computed, block by block */
	uint32_t *first; /* owned; by position of a block: its first step; first[i + 1] is behind its last */
	uint8_t *flags;	 /* owned; by value: PF_LOWER_ */
	uint16_t *place; /* owned; by value: a register below nreg, or nreg + slot */
	unsigned nreg;
	unsigned nplace; /* that are used: 1 + the greatest */
	bool selecting;
};

#define PF_LOWER_FOLDED 1u /* done by the comparison that wants it */
#define PF_LOWER_RAW \
	2u /* only compared with constants: bytes may stay in the order of the machine */
#define PF_LOWER_USED 4u /* by something else than branches */

/* nreg registers are free for values. 0, -ENOMEM, -E2BIG (more than PF_PLACES_MAX places). */
int pf_lower(const struct pf_unit *u, unsigned nreg, struct pf_lower *ret_lower);
/*
 * The same for back ends that make a number of a comparison as easily as a branch: comparisons that are wanted as
 * numbers do loads and masks themselves, too (pf_lower_compare()). Equal values stay apart if they were.
 */
int pf_lower_selecting(const struct pf_unit *u, unsigned nreg, struct pf_lower *ret_lower);
void pf_lower_release(struct pf_lower *lower);
#define PF_LOWER PFS_CLEANUP(pf_lower_release)

static inline bool pf_lower_has_place(const struct pf_lower *lower, pf_val v)
{
	return lower->place[v] != PF_NO_PLACE;
}

/*
 * A branch's condition: `left op right`, where op is EQ, LT, AND (any of the bits), FITS (left is
 * the base or 0), KNOWN, or NONE for "left is not 0". With mask, left is (left & mask) to EQ.
 */
struct pf_test {
	enum pf_op op;
	pf_val left, right;
	bool masked;
	uint32_t mask;
};

struct pf_test pf_lower_test(const struct pf_lower *lower, pf_val cond);
/* The same for EQ, LT, FITS and KNOWN that are numbers. */
struct pf_test pf_lower_compare(const struct pf_lower *lower, pf_val v);

/* Of a block: the result, 0: it has none. Of a program with one filter. */
static inline pf_val pf_lower_result(const struct pf_lower *lower, const struct pf_block *b)
{
	pf_val last = b->npin ? b->pin[b->npin - 1] : 0;

	return last && lower->u.val[last].op == PF_OP_RESULT ? lower->u.val[last].a : 0;
}

/* One move of a jump with arguments. */
struct pf_move {
	uint16_t to;   /* place */
	uint16_t from; /* place, or PF_NO_PLACE: the constant k; PF_MOVE_TEMP: what was saved */
	uint32_t k;
};

#define PF_MOVE_TEMP (UINT16_MAX - 1)

/*
 * The moves of a jump's edge, so ordered that none overwrites what another still wants; where
 * places change in a circle, one is saved first (to = PF_MOVE_TEMP). *ret_moves is to be freed;
 * returns how many, or -ENOMEM.
 */
int pf_lower_moves(const struct pf_lower *lower, const struct pf_edge *edge,
		   struct pf_move **ret_moves);

#endif
