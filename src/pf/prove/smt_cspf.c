/*
 * CSPF programs as formulas, word by word: for each place of the stack the number of a term, and whether the program
 * gets that far. Sharing nothing with the front end, it says packet words by their number: word n is there if n is less
 * than caplen / 2.
 */
#include <stdio.h>

#include "pf/front/cspf.h"
#include "pf/prove/smt.h"

struct walking {
	const struct cspf *cspf;
	const char *name;
	struct pfs_buf *out;
	struct pfs_buf accepts; /* " c4 c9" */
	uint32_t terms, conds;
	uint32_t cond; /* that it gets here */
	uint32_t stack[CSPF_STACK];
	unsigned depth;
};

static void walking_release(struct walking *w)
{
	pfs_buf_release(&w->accepts);
}

static uint32_t new_term(struct walking *w)
{
	pfs_buf_printf(w->out, "(define-fun %s.d%u () (_ BitVec 32) ", w->name, ++w->terms);
	return w->terms;
}

static uint32_t number(struct walking *w, uint32_t k)
{
	uint32_t term = new_term(w);

	pfs_buf_printf(w->out, "#x%08x)\n", k);
	return term;
}

/* Another truth value: that one and this test, which may have two %s for terms. */
static uint32_t new_cond(struct walking *w, uint32_t before, const char *test)
{
	pfs_buf_printf(w->out, "(define-fun %s.c%u () Bool (and %s.c%u %s))\n", w->name,
		       w->conds + 1, w->name, before, test);
	return ++w->conds;
}

static void accept_if(struct walking *w, uint32_t cond)
{
	pfs_buf_printf(&w->accepts, " %s.c%u", w->name, cond);
}

/* The word with the number that a term has, if that is less than limit. */
static uint32_t packet_word(struct walking *w, uint32_t index, const char *limit)
{
	bool little = w->cspf->flags & CSPF_LITTLE;
	char test[160];
	uint32_t term;

	snprintf(test, sizeof(test), "(bvult %s.d%u %s) (bvult %s.d%u (bvudiv caplen #x00000002))",
		 w->name, index, limit, w->name, index);
	w->cond = new_cond(w, w->cond, test);
	term = new_term(w);
	pfs_buf_printf(w->out,
		       "(let ((at (bvmul #x00000002 %s.d%u))) (concat #x0000 (select p (bvadd at #x%08x)) "
		       "(select p (bvadd at #x%08x)))))\n",
		       w->name, index, little, !little);
	return term;
}

static uint32_t fetch(struct walking *w, uint32_t action, uint16_t literal)
{
	char header[20];

	snprintf(header, sizeof(header), "#x%08x", w->cspf->header);
	switch (action) {
	case CSPF_NOPUSH:
		return w->stack[--w->depth];
	case CSPF_PUSHLIT:
		return number(w, literal);
	case CSPF_PUSHZERO:
		return number(w, 0);
	case CSPF_PUSHIND:
		return packet_word(w, w->stack[--w->depth], "#xffffffff");
	case CSPF_PUSHHDRIND:
		return packet_word(w, w->stack[--w->depth], header);
	default:
		break;
	}
	if (action >= CSPF_PUSHSTK)
		return w->stack[w->depth - 1 - (action - CSPF_PUSHSTK)];
	if (action >= CSPF_PUSHHDR)
		return packet_word(w, number(w, action - CSPF_PUSHHDR), header);
	return packet_word(w, number(w, action - CSPF_PUSHWORD), "#xffffffff");
}

/* Does it end here, because they are equal or because they are not? */
static void maybe_end(struct walking *w, unsigned op, uint32_t top, uint32_t arg)
{
	bool equal = op == CSPF_COR || op == CSPF_CNOR;
	char test[100];
	uint32_t here = w->cond;

	snprintf(test, sizeof(test), "(%s %s.d%u %s.d%u)", equal ? "=" : "distinct", w->name, top,
		 w->name, arg);
	if (op == CSPF_COR || op == CSPF_CNAND)
		accept_if(w, new_cond(w, here, test));
	snprintf(test, sizeof(test), "(%s %s.d%u %s.d%u)", equal ? "distinct" : "=", w->name, top,
		 w->name, arg);
	w->cond = new_cond(w, here, test);
}

static uint32_t compute(struct walking *w, unsigned op, uint32_t a, uint32_t b)
{
	static const char *const names[CSPF_OPERATORS] = {
		[CSPF_EQ] = "num (=",	  [CSPF_LT] = "num (bvult", [CSPF_LE] = "num (bvule",
		[CSPF_GT] = "num (bvugt", [CSPF_GE] = "num (bvuge", [CSPF_AND] = "bvand",
		[CSPF_OR] = "bvor",	  [CSPF_XOR] = "bvxor",	    [CSPF_NEQ] = "num (distinct",
		[CSPF_LSH] = "bvshl",	  [CSPF_RSH] = "bvashr",    [CSPF_ADD] = "bvadd",
		[CSPF_SUB] = "bvsub",
	};
	uint32_t term = new_term(w);

	pfs_buf_printf(w->out, "(%s %s.d%u %s.d%u)%s)\n", names[op], w->name, a, w->name, b,
		       strchr(names[op], '(') ? ")" : "");
	return term;
}

static void walk(struct walking *w)
{
	const struct cspf *cspf = w->cspf;

	for (uint32_t i = 0; i < cspf->n; i++) {
		unsigned op = CSPF_OPERATOR(cspf->word[i]), action = CSPF_ACTION(cspf->word[i]);
		uint32_t arg, top;

		i += action == CSPF_PUSHLIT;
		arg = fetch(w, action, cspf->word[i]);
		if (op == CSPF_NOP) {
			w->stack[w->depth++] = arg;
			continue;
		}
		top = w->stack[--w->depth];
		if (op >= CSPF_COR && op <= CSPF_CNAND)
			maybe_end(w, op, top, arg);
		else
			w->stack[w->depth++] = compute(w, op, top, arg);
	}
}

int pf_smt_cspf(const struct cspf *cspf, const char *name, struct pfs_buf *out)
{
	PFS_CLEANUP(walking_release) struct walking w = { .cspf = cspf, .name = name, .out = out };
	char test[60];

	if (cspf->n > PF_SMT_INSNS_MAX)
		return -E2BIG;
	pfs_buf_printf(out, "(define-fun %s.c%u () Bool true)\n", name, ++w.conds);
	w.cond = w.conds;
	w.stack[w.depth++] = number(&w, 1);
	walk(&w);
	snprintf(test, sizeof(test), "(is %s.d%u)", name, w.stack[w.depth - 1]);
	accept_if(&w, new_cond(&w, w.cond, test));
	pfs_buf_printf(out,
		       "(define-fun %s.result () (_ BitVec 32) (ite (or%.*s) #x%08x #x00000000))\n",
		       name, (int)w.accepts.len, w.accepts.data, cspf->accept);
	return out->failed || w.accepts.failed ? -ENOMEM : 0;
}
