/*
 * xpf - keep packets that a program with memory and loops accepts, and what it counts
 *
 * Synopsis:   …/xpf:PROGRAM
 *
 * PROGRAM is xPF: classic BPF as assembler, listing or numbers, with words that stay from packet to packet
 * (`.memory 4`, `addm P[0]`) and jumps that go back. pf-xpf(7) is the manual of the language. It accepts by
 * returning something else than 0; the packet passes whole. The directory is a consumer by itself, so a source above
 * it runs as long as it exists: a monitor that returns 0 for everything keeps its numbers, and no packet goes on.
 *
 * A word or a pair with a name (`.name packets 0`, `.name64 bytes 2`) is a line of .stats, `cell.packets 12`.
 *
 * The end of a line is written %0a in a name. A program may have 16384 bytes (a name only 255: make the directory,
 * then write the long one to .params). `.program` shows the graph and the machine code that it has become.
 *
 * Stats:      tests (branches of the program), words (of its memory), cell.NAME for each name
 * Parameters: program= the program, instead of the argument; may be changed in .params, and nothing changes if it is
 *             bad. A new program begins with a memory of zeros
 * Classes:    none
 * Example:    mkdir -p '/p/dev/eth0/xpf:.memory 2 .name64 bytes 0 ld len addm64 P[0] ret #0'
 *
 * Threads:    batch() alone runs the program and has the memory; behind each batch it says what the names have, for
 *             whoever asks meanwhile.
 */
#include "graph/filter.h"
#include "packet/expr.h"

#define TEXT_MAX ((size_t)16384) /* whoever changes the tree waits for the compiler */
#define CELLS_MAX 256		 /* pf-xpf(7) */

struct xpf {
	struct pkt_expr *expr;	/* owned */
	struct pf_state *state; /* owned */
	unsigned ncell;
	_Atomic uint64_t cell[CELLS_MAX]; /* writer: the worker */
};

static void xpf_fini(void *state)
{
	struct xpf *x = state;

	pkt_expr_state_free(x->state);
	pkt_expr_free(x->expr);
}

static void publish(struct xpf *x)
{
	for (unsigned i = 0; i < x->ncell; i++)
		atomic_store_explicit(&x->cell[i], pkt_expr_cell(x->expr, x->state, i),
				      memory_order_relaxed);
}

/* Also for a program in place of another: on failure that one stays. */
static int xpf_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		    struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "program");
	struct xpf *x = state, fresh = { 0 };
	int r;

	text = text ? text : args->arg;
	if (!text || !*text)
		return pfs_diag_set(diag, EINVAL, "xpf:PROGRAM needs a program, there or as program=");
	if (strlen(text) > TEXT_MAX)
		return pfs_diag_set(diag, EINVAL, "a program may have %zu bytes, this one has %zu",
				    TEXT_MAX, strlen(text));
	r = pkt_expr_compile_in("xpf", text, strlen(text), place->link_type, false, &fresh.expr, diag);
	if (r < 0)
		return r;
	if (pkt_expr_state(fresh.expr, &fresh.state) < 0) {
		xpf_fini(&fresh);
		return pfs_diag_set(diag, ENOMEM, "no memory for the program's words");
	}
	xpf_fini(x);
	x->expr = fresh.expr;
	x->state = fresh.state;
	for (x->ncell = 0; x->ncell < CELLS_MAX && pkt_expr_cell_name(x->expr, x->ncell); x->ncell++)
		;
	publish(x);
	return 0;
}

static void xpf_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct xpf *x = state;
	struct pfs_meta meta;

	for (size_t i = 0; i < n; i++) {
		const struct pfs_ref *ref = &in[i];

		pfs_meta(out, ref, &meta);
		if (pkt_expr_match_state(x->expr, x->state, pfs_bytes(out, ref), ref->len,
					 meta.wire_len, ref->flags))
			pfs_emit(out, ref);
	}
	publish(x);
}

/* A program with memory judges a packet by those before it. */
static int xpf_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	const struct xpf *x = state;

	return pkt_expr_words(x->expr) ? -ENOTSUP : pkt_expr_keeps(x->expr, link_type, ret_unit);
}

static void xpf_stats(void *state, struct pfs_buf *out)
{
	struct xpf *x = state;

	pfs_buf_printf(out, "tests %u\nwords %u\n", pkt_expr_tests(x->expr), pkt_expr_words(x->expr));
	for (unsigned i = 0; i < x->ncell; i++)
		pfs_buf_printf(out, "cell.%s %llu\n", pkt_expr_cell_name(x->expr, i),
			       (unsigned long long)atomic_load_explicit(&x->cell[i],
									memory_order_relaxed));
}

static void xpf_program(void *state, struct pfs_buf *out)
{
	const struct xpf *x = state;

	pkt_expr_print(x->expr, out);
}

static const struct pfs_param xpf_params[] = {
	{ "program", "TEXT: the program, instead of the argument" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_xpf = {
	.name = "xpf",
	.summary = "keep packets that a program with memory and loops accepts, and what it counts (xPF)",
	.flags = PFS_FILTER_CONSUMER,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.params = xpf_params,
	.state_size = sizeof(struct xpf),
	.init = xpf_init,
	.reconfigure = xpf_init,
	.fini = xpf_fini,
	.batch = xpf_batch,
	.keeps = xpf_keeps,
	.stats = xpf_stats,
	.program = xpf_program,
};
