#include "graph/programs.h"

#include "packet/expr.h"

const struct pfs_param pfs_programs_params[] = {
	{ "program", "TEXT: the program, instead of the argument" },
	{ 0 },
};

static void release(struct pfs_programs *p)
{
	size_t n = atomic_load_explicit(&p->n, memory_order_relaxed);

	atomic_store_explicit(&p->n, 0, memory_order_relaxed);
	for (size_t i = 0; i < n; i++)
		pkt_expr_free(p->of[i].expr);
	free(p->text);
	p->text = NULL;
}

static const struct pkt_expr *add(struct pfs_programs *p, uint16_t link_type, struct pkt_expr *expr)
{
	uint64_t n = atomic_load_explicit(&p->n, memory_order_relaxed);

	p->of[n].link_type = link_type;
	p->of[n].expr = expr;
	if (n == 0)
		atomic_store_explicit(&p->tests, expr ? pkt_expr_tests(expr) : 0, memory_order_relaxed);
	/* Pairs with the load in pfs_programs_print(). */
	atomic_store_explicit(&p->n, n + 1, memory_order_release);
	return expr;
}

static int setup(struct pfs_programs *p, const struct pfs_args *args, const struct pfs_place *place,
		 struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "program");
	struct pkt_expr *expr = NULL;
	int r;

	if (!text)
		text = args->arg;
	if (!text || !*text)
		return pfs_diag_set(diag, EINVAL,
				    "%s:PROGRAM needs a program, there or as program=", p->language);
	if (strlen(text) > PFS_PROGRAM_TEXT)
		return pfs_diag_set(diag, EINVAL, "a program may have %d bytes, this one has %zu",
				    PFS_PROGRAM_TEXT, strlen(text));
	p->text = strdup(text);
	if (!p->text)
		return pfs_diag_set(diag, ENOMEM, "no memory for a program");
	r = pkt_expr_compile_in(p->language, text, strlen(text), place->link_type, false, &expr, diag);
	if (r < 0)
		release(p);
	else
		add(p, place->link_type, expr);
	return r;
}

int pfs_programs_init(struct pfs_programs *p, const char *language, const struct pfs_args *args,
		      const struct pfs_place *place, struct pfs_diag *diag)
{
	p->language = language;
	return setup(p, args, place, diag);
}

int pfs_programs_reconfigure(void *state, const struct pfs_args *args,
			     const struct pfs_place *place, struct pfs_diag *diag)
{
	struct pfs_programs *p = state, fresh = { .language = p->language };
	int r = setup(&fresh, args, place, diag);

	if (r < 0)
		return r;
	release(p);
	p->text = fresh.text;
	add(p, fresh.of[0].link_type, fresh.of[0].expr);
	return 0;
}

void pfs_programs_fini(void *state)
{
	release(state);
}

/* NULL: there is none for this link type. */
static const struct pkt_expr *program_for(struct pfs_programs *p, uint16_t link_type)
{
	size_t n = atomic_load_explicit(&p->n, memory_order_relaxed);
	struct pkt_expr *expr = NULL;

	for (size_t i = 0; i < n; i++)
		if (p->of[i].link_type == link_type)
			return p->of[i].expr;
	if (n == PFS_PROGRAMS_MAX)
		return NULL;
	if (pkt_expr_compile_in(p->language, p->text, strlen(p->text), link_type, false, &expr,
				NULL) < 0)
		expr = NULL;
	return add(p, link_type, expr);
}

void pfs_programs_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	const struct pkt_expr *expr = NULL;
	struct pfs_meta meta;
	uint64_t unfit = 0;

	for (size_t i = 0; i < n; i++) {
		const struct pfs_ref *ref = &in[i];

		if (i == 0 || ref->origin != in[i - 1].origin)
			expr = program_for(state, pfs_link_type(out, ref));
		if (!expr) {
			unfit++;
			continue;
		}
		pfs_meta(out, ref, &meta);
		if (pkt_expr_match(expr, pfs_bytes(out, ref), ref->len, meta.wire_len, ref->flags))
			pfs_emit(out, ref);
	}
	if (unfit)
		pfs_emit_lost(out, "link type", unfit);
}

int pfs_programs_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	const struct pfs_programs *p = state;

	return pkt_expr_keeps_in(p->language, p->text, link_type, ret_unit);
}

void pfs_programs_stats(void *state, struct pfs_buf *out)
{
	struct pfs_programs *p = state;

	pfs_buf_printf(out, "programs %llu\n",
		       (unsigned long long)atomic_load_explicit(&p->n, memory_order_relaxed));
	pfs_buf_printf(out, "tests %llu\n",
		       (unsigned long long)atomic_load_explicit(&p->tests, memory_order_relaxed));
}

void pfs_programs_print(void *state, struct pfs_buf *out)
{
	struct pfs_programs *p = state;
	/* Pairs with the store in add(). */
	size_t n = atomic_load_explicit(&p->n, memory_order_acquire);

	for (size_t i = 0; i < n; i++) {
		pfs_buf_printf(out, "# link type %u\n", p->of[i].link_type);
		if (p->of[i].expr)
			pkt_expr_print(p->of[i].expr, out);
	}
}
