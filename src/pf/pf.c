#include <pipesfs/pf.h>

#include "pf/back/cbpf.h"
#include "pf/back/ebpf.h"
#include "pf/back/flat.h"
#include "pf/back/interp.h"
#include "pf/back/native.h"
#include "pf/back/x86_64.h"
#include "pf/error.h"
#include "pf/front/cbpf.h"
#include "pf/front/cspf.h"
#include "pf/front/front.h"
#include "pf/ir/print.h"
#include "pf/ir/verify.h"
#include "pf/opt/opt.h"
#include "pf/prog.h"
#include "pf/prove/smt.h"
#include "pf/unit.h"

struct pf_prog {
	/* What runs, and what it is called with: of native or interp. */
	pf_code_fn *code;
	const void *self; /* borrowed */
	_Atomic unsigned refs;
	struct pf_said said;  /* owned; as the text was */
	struct pf_unit ir;    /* owned; as the front end made it */
	struct pf_unit plain; /* owned; behind all passes but "widen"; empty: some were left out */
	struct pf_unit opt;   /* owned; behind the passes */
	struct pf_native *native; /* owned; NULL: the interpreter runs it */
	struct pf_interp *interp; /* owned */
};

static const struct pf_front *const fronts[] = {
	&pf_front_pcap, &pf_front_bpf, &pf_front_cspf, &pf_front_mpf, &pf_front_dpf, &pf_front_xpf,
};

const char *pf_language_name(unsigned i)
{
	return i < ARRAY_SIZE(fronts) ? fronts[i]->name : NULL;
}

static unsigned pass_count(void)
{
	unsigned n = 0;

	while (pf_passes[n])
		n++;
	return n;
}

const char *pf_pass_name(unsigned i)
{
	return i < pass_count() ? pf_passes[i]->name : NULL;
}

const char *pf_pass_summary(unsigned i)
{
	return i < pass_count() ? pf_passes[i]->summary : NULL;
}

const struct pf_unit *pf_prog_unit(const struct pf_prog *prog)
{
	return &prog->opt;
}

struct pf_prog *pf_ref(struct pf_prog *prog)
{
	if (prog)
		atomic_fetch_add_explicit(&prog->refs, 1, memory_order_relaxed);
	return prog;
}

void pf_unref(struct pf_prog *prog)
{
	/* Whoever frees it must see what the others did before they let go: the acquire pairs with their releases. */
	if (!prog || atomic_fetch_sub_explicit(&prog->refs, 1, memory_order_acq_rel) != 1)
		return;
	free(prog->said.program);
	pf_unit_release(&prog->ir);
	pf_unit_release(&prog->plain);
	pf_unit_release(&prog->opt);
	pf_native_free(prog->native);
	pf_interp_free(prog->interp);
	free(prog);
}

const struct pf_unit *pf_prog_ir(const struct pf_prog *prog)
{
	return &prog->ir;
}

const struct pf_unit *pf_prog_plain(const struct pf_prog *prog)
{
	return prog->plain.entry ? &prog->plain : NULL;
}

const struct pf_unit *pf_prog_opt(const struct pf_prog *prog)
{
	return &prog->opt;
}

static void prog_unrefp(struct pf_prog **prog)
{
	pf_unref(*prog);
}

static struct pf_prog *prog_new(struct pf_error *error)
{
	struct pf_prog *prog = pfs_zalloc(1, sizeof(*prog));

	if (!prog) {
		pf_fail(error, ENOMEM, "no memory for the filter");
		return NULL;
	}
	prog->refs = 1;
	pf_unit_init(&prog->ir);
	pf_unit_init(&prog->plain);
	pf_unit_init(&prog->opt);
	prog->ir.share = false; /* that is a pass */
	return prog;
}

static uint32_t run_words(const struct pf_prog *prog, const struct pf_packet *packet, uint32_t *words)
{
	return prog->native ? pf_native_run_words(prog->native, packet, NULL, words)
			    : pf_interp_run_words(prog->interp, packet, NULL, words);
}

/* pf_run() of a program with memory: zeros, which are forgotten. */
static uint32_t run_anew(const struct pf_packet *packet, const void *self)
{
	const struct pf_prog *prog = self;
	PFS_FREE uint32_t *words = NULL;

	words = pfs_zalloc(pf_memory_at(&prog->opt, prog->opt.nmemory), sizeof(*words));
	return words ? run_words(prog, packet, words) : 0;
}

static int make_engine(struct pf_prog *prog, enum pf_engine engine, struct pf_error *error)
{
	int r = engine == PF_ENGINE_INTERP ? -ENOTSUP : pf_native_make(&prog->opt, &prog->native);

	if (r < 0 && engine == PF_ENGINE_NATIVE)
		return pf_fail(error, -r, "%s",
			       r == -ENOTSUP  ? "there is no back end for this machine"
			       : r == -EACCES ? "the system gives no executable memory"
					      : "the filter is too large");
	if (r == 0) {
		prog->code = pf_native_code(prog->native, &prog->self);
	} else {
		r = pf_interp_make(&prog->opt, &prog->interp);
		prog->code = pf_interp_code;
		prog->self = prog->interp;
	}
	if (prog->opt.nmemory) {
		prog->code = run_anew;
		prog->self = prog;
	}
	return r < 0 ? pf_fail(error, -r, "the filter is too large") : 0;
}

/* Behind the front end: prog->ir is there. */
static int prog_finish(struct pf_prog *prog, const struct pf_options *options, struct pf_error *error)
{
	bool all = !(options->without & ~pf_pass_bit(&pf_pass_widen));
	int r = pf_verify(&prog->ir, error);

	if (r < 0)
		return r;
	prog->opt.share = false;
	r = pf_unit_copy(&prog->opt, &prog->ir);
	if (r == 0)
		r = pf_optimise_in_two(&prog->opt, options->without, options->trace,
				       options->trace_arg, all ? &prog->plain : NULL, error);
	if (r == -ENOMEM)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	if (r == -E2BIG)
		return pf_fail(error, E2BIG, "the filter is too large");
	if (r < 0)
		return r;
	return make_engine(prog, options->engine, error);
}

int pf_options_read(const struct pf_options *given, struct pf_options *ret_options,
		    struct pf_error *error)
{
	*ret_options = (struct pf_options)PF_OPTIONS_INIT;
	if (!given)
		return 0;
	if (given->size < offsetof(struct pf_options, without) || given->size > sizeof(*given))
		return pf_fail(error, EINVAL, "options of %zu bytes: made for another release",
			       given->size);
	memcpy(ret_options, given, given->size);
	if ((unsigned)ret_options->engine > PF_ENGINE_NATIVE)
		return pf_fail(error, EINVAL, "there is no engine %u", ret_options->engine);
	return 0;
}

int pf_compile(const char *language, const char *text, size_t len, const struct pf_options *options,
	       struct pf_prog **ret_prog, struct pf_error *error)
{
	PFS_CLEANUP(prog_unrefp) struct pf_prog *prog = NULL;
	PFS_FREE char *copy = NULL;
	const struct pf_front *front = NULL;
	struct pf_options known;
	int r = pf_options_read(options, &known, error);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(fronts); i++)
		if (strcmp(fronts[i]->name, language) == 0)
			front = fronts[i];
	if (!front)
		return pf_fail(error, ENOENT, "there is no language '%.40s'", language);
	if (len > front->max)
		return pf_fail(error, E2BIG, "%zu bytes; a filter in this language has at most %zu",
			       len, front->max);
	prog = prog_new(error);
	copy = malloc(len + 1);
	if (!prog || !copy)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	memcpy(copy, text, len);
	copy[len] = '\0';
	r = front->make(&prog->ir, copy, len, &known, &prog->said, error);
	if (r == 0)
		r = prog_finish(prog, &known, error);
	if (r < 0)
		return r;
	*ret_prog = TAKE_PTR(prog);
	return 0;
}

int pf_compile_insns(const struct pf_insn *insns, size_t n, const struct pf_options *options,
		     struct pf_prog **ret_prog, struct pf_error *error)
{
	PFS_CLEANUP(prog_unrefp) struct pf_prog *prog = NULL;
	struct pf_options known;
	int r = pf_options_read(options, &known, error);

	if (r < 0)
		return r;
	prog = prog_new(error);
	if (!prog)
		return -ENOMEM;
	r = pf_front_cbpf(&prog->ir, insns, n, 0, error);
	if (r < 0)
		return r;
	prog->said = pf_said_insns(pfs_zalloc(n, sizeof(*insns)), n);
	if (!prog->said.program)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	memcpy(prog->said.program, insns, n * sizeof(*insns));
	r = prog_finish(prog, &known, error);
	if (r < 0)
		return r;
	*ret_prog = TAKE_PTR(prog);
	return 0;
}

int pf_compile_words(const uint16_t *words, size_t n, const struct pf_options *options,
		     struct pf_prog **ret_prog, struct pf_error *error)
{
	PFS_CLEANUP(prog_unrefp) struct pf_prog *prog = NULL;
	struct pf_options known;
	struct cspf *cspf;
	int r = pf_options_read(options, &known, error);

	if (r < 0)
		return r;
	prog = prog_new(error);
	if (!prog)
		return -ENOMEM;
	cspf = pf_cspf_new(words, n, &known, 0);
	if (!cspf)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	prog->said = pf_said_cspf(cspf);
	r = pf_cspf_make(&prog->ir, cspf, NULL, error);
	if (r == 0)
		r = prog_finish(prog, &known, error);
	if (r < 0)
		return r;
	*ret_prog = TAKE_PTR(prog);
	return 0;
}

uint32_t pf_run(const struct pf_prog *prog, const struct pf_packet *packet)
{
	return prog->code(packet, prog->self);
}

pf_code_fn *pf_get_code(const struct pf_prog *prog, const void **ret_self)
{
	*ret_self = prog->self;
	return prog->code;
}

void pf_run_batch(const struct pf_prog *prog, const struct pf_packet *packets, size_t n,
		  uint32_t *results)
{
	if (prog->native && !prog->opt.nmemory) {
		pf_native_batch(prog->native, packets, n, results);
		return;
	}
	for (size_t i = 0; i < n; i++)
		results[i] = prog->code(&packets[i], prog->self);
}

/* --- memory ---------------------------------------------------------------------------------- */

struct pf_state {
	struct pf_prog *prog; /* a reference */
	uint32_t nword;
	uint32_t words[];
};

int pf_state_new(struct pf_prog *prog, struct pf_state **ret_state, struct pf_error *error)
{
	uint32_t n = pf_memory_at(&prog->opt, prog->opt.nmemory);
	struct pf_state *state = pfs_zalloc(1, sizeof(*state) + n * sizeof(state->words[0]));

	if (!state)
		return pf_fail(error, ENOMEM, "no memory for the filter's %u words", n);
	state->prog = pf_ref(prog);
	state->nword = n;
	*ret_state = state;
	return 0;
}

void pf_state_free(struct pf_state *state)
{
	if (!state)
		return;
	pf_unref(state->prog);
	free(state);
}

uint32_t pf_run_state(struct pf_state *state, const struct pf_packet *packet)
{
	return run_words(state->prog, packet, state->words);
}

int pf_state_read(const struct pf_state *state, uint32_t word, uint32_t *ret_value)
{
	if (word >= state->nword)
		return -ERANGE;
	*ret_value = state->words[word];
	return 0;
}

const char *pf_cell_name(const struct pf_prog *prog, unsigned i)
{
	return i < prog->ir.ncell ? prog->ir.cell[i].name : NULL;
}

uint64_t pf_cell_value(const struct pf_prog *prog, unsigned i, const uint32_t *words)
{
	const struct pf_cell *cell = &prog->ir.cell[i];

	return words[cell->at] | (cell->bits == 64 ? (uint64_t)words[cell->at + 1] << 32 : 0);
}

int pf_state_cell(const struct pf_state *state, const char *name, uint64_t *ret_value)
{
	for (unsigned i = 0; pf_cell_name(state->prog, i); i++) {
		if (strcmp(pf_cell_name(state->prog, i), name) != 0)
			continue;
		*ret_value = pf_cell_value(state->prog, i, state->words);
		return 0;
	}
	return -ENOENT;
}

/* --- other machines' code -------------------------------------------------------------------- */

int pf_emit_cbpf(const struct pf_prog *prog, unsigned flags, struct pf_insn **ret_insns,
		 size_t *ret_n, struct pf_error *error)
{
	return pf_cbpf_make(&prog->opt, flags, ret_insns, ret_n, error);
}

static int ebpf_make(const struct pf_prog *prog, int map, struct kcode *code, struct pf_error *error)
{
	int r = pf_ebpf_program(&prog->opt, map, code);

	if (r == -ENOTSUP && prog->opt.nmemory && map < 0)
		return pf_fail(error, ENOTSUP, "in eBPF the filter's memory must be in a map");
	if (r == -ENOTSUP)
		return pf_fail(error, ENOTSUP, "eBPF cannot say this filter");
	if (r == -E2BIG)
		return pf_fail(error, E2BIG, "in eBPF the filter is too large");
	return r < 0 ? pf_fail(error, -r, "no memory for the filter") : 0;
}

int pf_emit_ebpf_map(const struct pf_prog *prog, int map, uint64_t **ret_insns, size_t *ret_n,
		     struct pf_error *error)
{
	KCODE_CLEANUP struct kcode code = { 0 };
	uint64_t *insns;
	int r = ebpf_make(prog, map, &code, error);

	if (r < 0)
		return r;
	insns = pfs_zalloc(code.n, sizeof(*insns));
	if (!insns)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	memcpy(insns, code.insn, code.n * sizeof(*insns));
	*ret_insns = insns;
	*ret_n = code.n;
	return 0;
}

int pf_emit_ebpf(const struct pf_prog *prog, uint64_t **ret_insns, size_t *ret_n, struct pf_error *error)
{
	return pf_emit_ebpf_map(prog, -1, ret_insns, ret_n, error);
}

int pf_get_info(const struct pf_prog *prog, struct pf_info *info)
{
	const struct pf_unit *ir = &prog->ir, *opt = &prog->opt;
	struct pf_info all = { .size = info->size };

	if (info->size < sizeof(info->size) || info->size > sizeof(all))
		return -EINVAL;
	for (pf_val v = 1; v < ir->nval; v++)
		if (ir->val[v].op == PF_OP_KNOWN || ir->val[v].op == PF_OP_AUX)
			all.fields |= 1u << ir->val[v].k;
	for (pf_blk b = 1; b < opt->nblk; b++)
		all.tests += opt->blk[b].end == PF_END_BRANCH;
	all.memory = pf_memory_at(opt, opt->nmemory);
	all.native = prog->native ? pf_native_size(prog->native) : 0;
	memcpy(info, &all, info->size);
	return 0;
}

/* --- listings -------------------------------------------------------------------------------- */

static int dump_ir(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	return pf_print(&prog->ir, out);
}

static int dump_opt(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	return pf_print(&prog->opt, out);
}

static int dump_dot(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	return pf_print_dot(&prog->opt, out);
}

static int dump_cbpf(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	size_t n;
	int r = pf_emit_cbpf(prog, 0, &insns, &n, error);

	if (r == 0)
		pf_cbpf_print(insns, n, out);
	return r;
}

static int dump_x86(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	struct pf_x86_64 made = { 0 };
	int r = pf_x86_64_emit(&prog->opt, 0, &made, out);

	free(made.code);
	return r < 0 ? pf_fail(error, -r, "the filter is too large") : 0;
}

static int dump_ebpf(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	KCODE_CLEANUP struct kcode code = { 0 };
	int r = ebpf_make(prog, 0, &code, error);

	if (r < 0)
		return r;
	kcode_print(&code, out);
	return 0;
}

/* For all packets of up to so many bytes. */
#define PROVE_BYTES 256u

/* What machine code is made of: the decisions are numbers there. */
static int claim_flat(const struct pf_prog *prog, unsigned flags, struct pfs_buf *out)
{
	PFS_CLEANUP(pf_unit_release) struct pf_unit flat;
	int r;

	pf_unit_init(&flat);
	r = pf_flat(&prog->opt, &flat);
	if (r == 0)
		r = pf_smt_unit(&flat, "flat", out);
	pfs_buf_str(out, "; that and the graph that machine code is made of differ?\n");
	pf_smt_claim("opt", "flat", flags, out);
	return r;
}

/* Code for the kernel; there is none of filters that ask for what it does not see. */
static int claim_ebpf(const struct pf_prog *prog, unsigned flags, struct pfs_buf *out)
{
	KCODE_CLEANUP struct kcode code = { 0 };
	int r = ebpf_make(prog, 0, &code, NULL);

	if (r < 0)
		return r == -ENOMEM ? r : 0;
	r = pf_smt_ebpf(code.insn, code.n, pf_memory_at(&prog->opt, prog->opt.nmemory), "ebpf", out);
	pfs_buf_str(out, "; the graph behind the passes and the eBPF made of it differ?\n");
	pf_smt_claim_ebpf("opt", "ebpf", flags, out);
	return r;
}

static int claim_cbpf(const struct pf_prog *prog, unsigned flags, struct pfs_buf *out,
		      struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	size_t n;
	int r = pf_emit_cbpf(prog, 0, &insns, &n, error);

	if (r < 0)
		return r == -ENOMEM ? r : 0; /* there is none to speak of */
	r = pf_smt_insns(insns, n, "cbpf", out);
	pfs_buf_str(out, "; the graph behind the passes and the classic BPF made of it differ?\n");
	pf_smt_claim("opt", "cbpf", flags, out);
	return r;
}

static int claims(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	unsigned flags = (pf_smt_has_loops(&prog->ir) ? PF_SMT_LOOPS : 0) |
			 (prog->ir.nmemory ? PF_SMT_MEMORY : 0);
	int r;

	if (flags & PF_SMT_LOOPS)
		pfs_buf_printf(out, "; Of runs that jump back at most %u times:\n", PF_SMT_ROUNDS);
	pf_smt_packet(out, PROVE_BYTES);
	r = prog->said.smt ? prog->said.smt(prog->said.program, prog->said.n, "said", out) : -ENOTSUP;
	if (r == 0)
		r = pf_smt_unit(&prog->ir, "ir", out);
	if (r == 0)
		r = pf_smt_unit(&prog->opt, "opt", out);
	if (r < 0)
		return r;
	pfs_buf_str(out, "; the program as it was said and the graph made of it differ?\n");
	pf_smt_claim("said", "ir", flags, out);
	pfs_buf_str(out, "; the graph and what the passes have made of it differ?\n");
	pf_smt_claim("ir", "opt", flags, out);
	r = claim_flat(prog, flags, out);
	if (r < 0)
		return r;
	r = claim_ebpf(prog, flags, out);
	return r < 0 ? r : claim_cbpf(prog, flags, out, error);
}

static int dump_smt(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error)
{
	int r = claims(prog, out, error);

	if (r == -ENOTSUP)
		return pf_fail(error, ENOTSUP, "a filter with a loop or with memory cannot be proved");
	if (r == -E2BIG)
		return pf_fail(error, E2BIG, "the filter is too large to be proved");
	return r < 0 ? pf_fail(error, -r, "no memory for the proof") : 0;
}

static const struct {
	const char *name;
	int (*dump)(const struct pf_prog *prog, struct pfs_buf *out, struct pf_error *error);
} stages[] = {
	{ "ir", dump_ir },     { "opt", dump_opt }, { "dot", dump_dot }, { "cbpf", dump_cbpf },
	{ "ebpf", dump_ebpf }, { "x86", dump_x86 }, { "smt", dump_smt },
};

const char *pf_stage_name(unsigned i)
{
	return i < ARRAY_SIZE(stages) ? stages[i].name : NULL;
}

int pf_dump(const struct pf_prog *prog, const char *stage, char **ret_text, struct pf_error *error)
{
	PFS_BUF struct pfs_buf out = { 0 };
	int r = -ENOENT;

	pf_fail(error, ENOENT, "there is no stage '%.40s'", stage);
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		if (strcmp(stages[i].name, stage) == 0)
			r = stages[i].dump(prog, &out, error);
	if (r == 0 && (out.failed || !out.data))
		r = -ENOMEM;
	if (r == -ENOMEM)
		pf_fail(error, ENOMEM, "no memory for the listing");
	if (r < 0)
		return r;
	*ret_text = TAKE_PTR(out.data);
	return 0;
}
