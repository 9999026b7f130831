#include "pf/front/xpf.h"

#include <stdio.h>

#include "pf/classic.h"
#include "pf/error.h"
#include "pf/front/bpftext_i.h"
#include "pf/front/cbpf_i.h"
#include "pf/front/front.h"
#include "pf/ir/flow.h"
#include "pf/prove/smt.h"

#define TEXT_MAX ((size_t)1 << 20)

/* --- declarations ---------------------------------------------------------------------------- */

static int declare_memory(struct bpf_asm *a, uint32_t words)
{
	if (!words || words > PF_MEMORY_MAX)
		return bpf_asm_fail(a, EINVAL, "a memory has 1 to 65536 words");
	if (a->xpf->words)
		return bpf_asm_fail(a, EINVAL, "a memory is declared twice");
	a->xpf->words = words;
	return 0;
}

static int declare_loops(struct bpf_asm *a, uint32_t loops)
{
	if (loops > XPF_LOOPS_MAX)
		return bpf_asm_fail(a, EINVAL, "a run may jump back at most 65535 times");
	if (a->xpf->says_loops)
		return bpf_asm_fail(a, EINVAL, "the number of jumps back is declared twice");
	a->xpf->loops = loops;
	a->xpf->says_loops = true;
	return 0;
}

/* NAME k */
static int declare_name(struct bpf_asm *a, uint8_t bits)
{
	struct pf_cell cell = { .bits = bits };
	char word[PF_CELL_NAME + 2];
	void *p;
	int r;

	bpf_asm_word(a, word, sizeof(word));
	if (!word[0] || strlen(word) > PF_CELL_NAME)
		return bpf_asm_fail(a, EINVAL,
				    word[0] ? "a name of more than 31 letters" : "a name is missing");
	for (uint32_t i = 0; i < a->xpf->ncell; i++)
		if (strcmp(a->xpf->cell[i].name, word) == 0)
			return bpf_asm_fail(a, EINVAL, "a name that is given twice");
	if (a->xpf->ncell == XPF_CELLS_MAX)
		return bpf_asm_fail(a, E2BIG, "more than 256 names");
	memcpy(cell.name, word, strlen(word) + 1);
	r = bpf_asm_number(a, &cell.at);
	if (r < 0)
		return r;
	p = reallocarray(a->xpf->cell, a->xpf->ncell + 1, sizeof(cell));
	if (!p)
		return bpf_asm_fail(a, ENOMEM, "no memory for the filter");
	a->xpf->cell = p;
	a->xpf->cell[a->xpf->ncell++] = cell;
	return 0;
}

int bpf_asm_declare(struct bpf_asm *a)
{
	char word[16];
	uint32_t k = 0;
	int r;

	bpf_asm_word(a, word, sizeof(word));
	if (!strcmp(word, "name") || !strcmp(word, "name64"))
		return declare_name(a, word[4] ? 64 : 32);
	if (strcmp(word, "memory") != 0 && strcmp(word, "loops") != 0)
		return bpf_asm_fail(a, EINVAL, "there are .memory, .loops, .name and .name64");
	r = bpf_asm_number(a, &k);
	if (r < 0)
		return r;
	return word[0] == 'm' ? declare_memory(a, k) : declare_loops(a, k);
}

/* Those that are instructions; they are taken away. */
static int take_declarations(struct bpf_asm *a)
{
	size_t n = 0;
	int r = 0;

	for (; n < a->n && r == 0; n++) {
		const struct pf_insn *insn = &a->insn[n];

		if (insn->code != CB_MEMORY && insn->code != CB_LOOPS)
			break;
		r = insn->code == CB_MEMORY ? declare_memory(a, insn->k) : declare_loops(a, insn->k);
	}
	if (n)
		memmove(a->insn, a->insn + n, (a->n - n) * sizeof(*a->insn));
	a->n -= n;
	return r;
}

/* --- programs -------------------------------------------------------------------------------- */

static void said_release(struct xpf_said *said)
{
	free(said->cell);
}

static int check_size(const struct xpf_said *said, size_t n, struct pf_error *error)
{
	if (n > XPF_INSNS_MAX)
		return pf_fail(error, E2BIG, "a program of %zu instructions; at most %u", n,
			       XPF_INSNS_MAX);
	if (n * (said->loops + (uint64_t)1) > XPF_STEPS_MAX)
		return pf_fail(error, E2BIG,
			       "%zu instructions that may jump back %u times could take too long: "
			       "say fewer with .loops",
			       n, said->loops);
	for (uint32_t i = 0; i < said->ncell; i++) {
		uint64_t last = said->cell[i].at + (uint64_t)(said->cell[i].bits == 64);

		if (last >= said->words)
			return pf_fail(error, EINVAL, "'%s' is P[%llu], which is not there",
				       said->cell[i].name, (unsigned long long)last);
	}
	return 0;
}

static bool jumps_back(const struct pf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (insns[i].code == (CB_JMP | CB_JA) && insns[i].k >> 31)
			return true;
	return false;
}

static struct xpf *xpf_new(const struct xpf_said *said, const struct pf_insn *insns, size_t n)
{
	struct xpf *xpf = malloc(sizeof(*xpf) + n * sizeof(xpf->insn[0]));

	if (!xpf)
		return NULL;
	*xpf = (struct xpf){ .words = said->words, .loops = said->loops, .n = (uint32_t)n };
	memcpy(xpf->insn, insns, n * sizeof(*insns));
	return xpf;
}

/*
 * Does each jump back come from below where it goes to? The flow may have put what lies between in another order: who
 * burns fuel jumps back, whatever the order.
 */
static bool is_tidy(const struct pf_unit *u, const struct pf_flow *flow)
{
	for (uint32_t i = 0; i < flow->n; i++) {
		const struct pf_block *b = &u->blk[flow->order[i]];

		for (unsigned e = 0; e < pf_edges(b); e++) {
			const struct pf_block *to = &u->blk[b->edge[e].to];

			if (to->loop && !pf_is_const(u, b->edge[e].args[to->fuel]) &&
			    !pf_flow_dominates(flow, b->edge[e].to, flow->order[i]))
				return false;
		}
	}
	return true;
}

static int make_unit(struct pf_unit *u, const struct xpf *xpf, struct pf_error *error)
{
	struct cbpf_more more = { .words = xpf->words, .loops = xpf->loops };
	PF_FLOW struct pf_flow flow = { 0 };
	int r = cbpf_make(u, xpf->insn, xpf->n, CBPF_LOOPS, &more, error);

	if (r < 0)
		return r;
	r = pf_flow_make(u, &flow);
	if (r == -ELOOP || (r == 0 && !is_tidy(u, &flow)))
		return pf_fail(
			error, EINVAL,
			"a jump back to an instruction that the program may have jumped over: a loop has one way in");
	return r < 0 ? pf_fail(error, -r, "no memory for the filter") : 0;
}

static int smt(const void *program, size_t n, const char *name, struct pfs_buf *out)
{
	const struct xpf *xpf = program;

	(void)n;
	return pf_smt_xpf(xpf->insn, xpf->n, xpf->words, xpf->loops, name, out);
}

static int parse(struct bpf_asm *a)
{
	int r = bpf_asm_any(a);

	if (r == 0)
		r = take_declarations(a);
	if (r == 0 && !a->n)
		r = pf_fail(a->error, EINVAL, "an empty program");
	/* Who does not go round is not bounded by how often. */
	if (r == 0 && !a->xpf->says_loops)
		a->xpf->loops = jumps_back(a->insn, a->n) ? XPF_LOOPS_DEFAULT : 0;
	if (r == 0 && !a->xpf->loops && jumps_back(a->insn, a->n))
		r = pf_fail(a->error, EINVAL, "it jumps back, and .loops says never");
	return r < 0 ? r : check_size(a->xpf, a->n, a->error);
}

static int make(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		struct pf_said *ret_said, struct pf_error *error)
{
	PFS_CLEANUP(said_release) struct xpf_said said = { 0 };
	PFS_CLEANUP(bpf_asm_release)
	struct bpf_asm a = {
		.p = text, .begin = text, .end = text + len, .line = 1, .error = error, .xpf = &said
	};
	PFS_FREE struct xpf *xpf = NULL;
	int r = parse(&a);

	(void)options;
	if (r < 0)
		return r;
	xpf = xpf_new(&said, a.insn, a.n);
	if (!xpf)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	r = make_unit(u, xpf, error);
	if (r < 0)
		return r;
	u->cell = pf_unit_alloc(u, said.ncell, sizeof(*u->cell));
	if (u->err)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	u->ncell = said.ncell;
	if (said.ncell)
		memcpy(u->cell, said.cell, said.ncell * sizeof(*u->cell));
	*ret_said = (struct pf_said){ .program = TAKE_PTR(xpf), .n = 1, .smt = smt };
	return 0;
}

const struct pf_front pf_front_xpf = {
	.name = "xpf",
	.max = TEXT_MAX,
	.make = make,
};
