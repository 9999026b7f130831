/*
 * DPF as formulas: the position as a number of so many bits that nothing can make it wrap, atom by atom in the order of
 * the text.
 */
#include "pf/prove/smt.h"

#include "pf/front/dpf.h"

/* 512 atoms, each by less than 2^63. */
#define POSITION_BITS 80

/* How many atoms lead here: NAME.oI says that all before atom I hold, NAME.pI where the position is then. */
static void put_state(struct pfs_buf *out, const char *name, uint32_t i, const char *holds,
		      const char *position)
{
	pfs_buf_printf(out, "(define-fun %s.o%u () Bool %s)\n", name, i, holds);
	pfs_buf_printf(out, "(define-fun %s.p%u () (_ BitVec %d) %s)\n", name, i, POSITION_BITS,
		       position);
}

static void put_number(struct pfs_buf *out, uint32_t k)
{
	pfs_buf_printf(out, "((_ zero_extend %d) #x%08x)", POSITION_BITS - 32, k);
}

/* Where the field begins, whether it is there, and what it is, masked. */
static void put_field(struct pfs_buf *out, const char *name, uint32_t i, const struct dpf_atom *atom)
{
	pfs_buf_printf(out, "(define-fun %s.a%u () (_ BitVec %d) (bvadd %s.p%u ", name, i,
		       POSITION_BITS, name, i);
	put_number(out, atom->offset);
	pfs_buf_printf(out, "))\n(define-fun %s.t%u () Bool (bvule (bvadd %s.a%u ", name, i, name, i);
	put_number(out, atom->size);
	pfs_buf_printf(out, ") ((_ zero_extend %d) caplen)))\n", POSITION_BITS - 32);
	pfs_buf_printf(out,
		       "(define-fun %s.f%u () (_ BitVec 32) (bvand #x%08x (b%u ((_ extract 31 0) %s.a%u))))\n",
		       name, i, atom->mask, atom->size, name, i);
}

static void put_atom(struct pfs_buf *out, const char *name, uint32_t i, const struct dpf_atom *atom)
{
	PFS_BUF struct pfs_buf holds = { 0 }, position = { 0 };

	pfs_buf_printf(&holds, "(and %s.o%u", name, i);
	if (atom->kind != DPF_SKIP) {
		put_field(out, name, i, atom);
		pfs_buf_printf(&holds, " %s.t%u", name, i);
	}
	if (atom->kind == DPF_EQ)
		pfs_buf_printf(&holds, " (= %s.f%u #x%08x)", name, i, atom->value);
	pfs_buf_str(&holds, ")");
	pfs_buf_printf(&position, atom->kind == DPF_EQ ? "%s.p%u" : "(bvadd %s.p%u ", name, i);
	if (atom->kind == DPF_SKIP) {
		put_number(&position, atom->value);
	} else if (atom->kind == DPF_SHIFT) {
		pfs_buf_printf(&position, "(bvshl ((_ zero_extend %d) %s.f%u) ", POSITION_BITS - 32,
			       name, i);
		put_number(&position, atom->value);
		pfs_buf_str(&position, ")");
	}
	pfs_buf_str(&position, atom->kind == DPF_EQ ? "" : ")");
	if (holds.failed || position.failed)
		out->failed = true;
	else
		put_state(out, name, i + 1, holds.data, position.data);
}

int pf_smt_dpf(const struct dpf *dpf, const char *name, struct pfs_buf *out)
{
	pfs_buf_printf(out, "(define-fun %s.o0 () Bool true)\n", name);
	pfs_buf_printf(out, "(define-fun %s.p0 () (_ BitVec %d) (_ bv0 %d))\n", name, POSITION_BITS,
		       POSITION_BITS);
	for (uint32_t i = 0; i < dpf->n; i++)
		put_atom(out, name, i, &dpf->atom[i]);
	pfs_buf_printf(out, "(define-fun %s.result () (_ BitVec 32) (ite %s.o%u #x%08x #x00000000))\n",
		       name, name, dpf->n, dpf->keep);
	return out->failed ? -ENOMEM : 0;
}
