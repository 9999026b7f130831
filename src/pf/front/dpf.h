/*
 * dpf - DPF's declarative filters to the intermediate form
 *
 * A filter is a list of atoms, all of which must hold, with a position that moves on from header to header:
 *
 *	(12:16 == 0x800) && (23:8 == 6)			two bytes at 12, one at 23
 *	(20:16 & 0x1fff == 0)				of these bits
 *	SHIFT(14) && SHIFT((0:8 & 0xf) << 2)		on by 14, then by what a field says
 *	(2:16 == 443)					counted from there
 *
 * They are the four operations of DPF 2.0 (eq, meq, shift, mshift, and the shift by a constant); the manual of the
 * language is man/pf-dpf.7. What they mean:
 *
 *   - `offset:bits` is the number, most significant byte first, in the bits (8, 16 or 32) that begin `offset` bytes
 *     behind the position. Positions are whole numbers that do not wrap.
 *   - A field of which any byte lies outside of the packet: the filter does not match.
 *   - The mask comes before the comparison, and before `<<`.
 *
 * The result is the snapshot length of the options. Into the form: for each field its bounds check, where one is needed
 * still, then a branch on EQ(load, constant) or EQ(AND(load, constant), constant), one block each. Between two shifts
 * the order of atoms does not matter; they come in that of their offsets, so that filters which ask the same in another
 * order have the same beginning, which merging looks for.
 */
#ifndef PFS_PF_FRONT_DPF_H
#define PFS_PF_FRONT_DPF_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

#define DPF_ATOMS_MAX 512u
#define DPF_OFFSET_MAX 65535u

enum dpf_kind {
	DPF_EQ,	   /* (field & mask) == value */
	DPF_SHIFT, /* the position moves on by (field & mask) << value */
	DPF_SKIP,  /* by value */
};

struct dpf_atom {
	uint8_t kind; /* enum dpf_kind */
	uint8_t size; /* of the field: 1, 2, 4 bytes */
	uint32_t offset;
	uint32_t mask;
	uint32_t value;
};

/* As it was written. */
struct dpf {
	uint32_t keep; /* what a match returns */
	uint32_t n;
	struct dpf_atom atom[];
};

/* *ret_dpf is to be freed by free(3). 0, -EINVAL, -E2BIG, -ENOMEM and the sentence. */
int pf_dpf_parse(const char *text, size_t len, uint32_t keep, struct dpf **ret_dpf,
		 struct pf_error *error);

/* Into an empty unit. 0, -ENOMEM and the sentence. */
int pf_dpf_make(struct pf_unit *u, const struct dpf *dpf, struct pf_error *error);

#endif
