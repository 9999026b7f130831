#include "packet/expr.h"

#include <pipesfs/pf.h>

#include "pf/front/pcap.h"
#include "pf/unit.h"

#define PACKET_TYPE_HOST 0
#define PACKET_TYPE_OUTGOING 4
#define DIRECTION (1u << PF_AUX_PKTTYPE)

struct pkt_expr {
	struct pf_prog *prog; /* owned */
	bool directed;	      /* it asks for the direction */
};

int pkt_expr_refuse(int code, const struct pf_error *error, struct pfs_diag *diag)
{
	if (!error->line)
		return pfs_diag_set(diag, code, "%s", error->text);
	if (error->line == 1)
		return pfs_diag_set(diag, code, "column %u: %s", error->column, error->text);
	return pfs_diag_set(diag, code, "line %u, column %u: %s", error->line, error->column,
			    error->text);
}

/*
 * In a file libpcap refuses `inbound` on most link types, since it has nowhere to find it. We know the direction: it is
 * what the program finds beside the bytes.
 */
int pkt_expr_compile_in(const char *language, const char *text, size_t len, uint16_t link_type,
			bool big_endian, struct pkt_expr **ret_expr, struct pfs_diag *diag)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_info info = { .size = sizeof(info) };
	struct pf_error error = { "" };
	struct pf_prog *prog;
	struct pkt_expr *e;
	int r;

	options.link_type = link_type;
	options.big_endian = big_endian;
	r = pf_compile(language, text, len, &options, &prog, &error);
	if (r < 0)
		return pkt_expr_refuse(-r, &error, diag);
	pf_get_info(prog, &info);
	if (info.fields & ~DIRECTION) {
		pf_unref(prog);
		return pfs_diag_set(diag, EINVAL, "the expression asks for what is not in the packet");
	}
	e = pfs_zalloc(1, sizeof(*e));
	if (!e) {
		pf_unref(prog);
		return pfs_diag_set(diag, ENOMEM, "no memory for an expression");
	}
	*e = (struct pkt_expr){ .prog = prog, .directed = info.fields & DIRECTION };
	*ret_expr = e;
	return 0;
}

int pkt_expr_compile(const char *text, uint16_t link_type, bool big_endian,
		     struct pkt_expr **ret_expr, struct pfs_diag *diag)
{
	return pkt_expr_compile_in("pcap", text, strlen(text), link_type, big_endian, ret_expr, diag);
}

void pkt_expr_free(struct pkt_expr *expr)
{
	if (!expr)
		return;
	pf_unref(expr->prog);
	free(expr);
}

/* The packet with what is known of it; false: the program asks for a direction that nobody knows. */
static bool as_packet(const struct pkt_expr *expr, struct pf_packet *packet, struct pf_aux *aux,
		      unsigned flags)
{
	if (!expr->directed)
		return true;
	if (!(flags & (PFS_REC_IN | PFS_REC_OUT)))
		return false;
	aux->known = DIRECTION;
	aux->value[PF_AUX_PKTTYPE] = flags & PFS_REC_OUT ? PACKET_TYPE_OUTGOING : PACKET_TYPE_HOST;
	packet->aux = aux;
	return true;
}

bool pkt_expr_match(const struct pkt_expr *expr, const uint8_t *p, uint32_t caplen,
		    uint32_t wire_len, unsigned flags)
{
	struct pf_packet packet = { p, caplen, wire_len, NULL };
	struct pf_aux aux;

	return as_packet(expr, &packet, &aux, flags) && pf_run(expr->prog, &packet) != 0;
}

/* --- programs with memory -------------------------------------------------------------------- */

int pkt_expr_state(struct pkt_expr *expr, struct pf_state **ret_state)
{
	return pf_state_new(expr->prog, ret_state, NULL);
}

void pkt_expr_state_free(struct pf_state *state)
{
	pf_state_free(state);
}

bool pkt_expr_match_state(const struct pkt_expr *expr, struct pf_state *state, const uint8_t *p,
			  uint32_t caplen, uint32_t wire_len, unsigned flags)
{
	struct pf_packet packet = { p, caplen, wire_len, NULL };
	struct pf_aux aux;

	return as_packet(expr, &packet, &aux, flags) && pf_run_state(state, &packet) != 0;
}

unsigned pkt_expr_words(const struct pkt_expr *expr)
{
	struct pf_info info = { .size = sizeof(info) };

	pf_get_info(expr->prog, &info);
	return info.memory;
}

const char *pkt_expr_cell_name(const struct pkt_expr *expr, unsigned i)
{
	return pf_cell_name(expr->prog, i);
}

uint64_t pkt_expr_cell(const struct pkt_expr *expr, const struct pf_state *state, unsigned i)
{
	uint64_t value = 0;

	pf_state_cell(state, pf_cell_name(expr->prog, i), &value);
	return value;
}

unsigned pkt_expr_tests(const struct pkt_expr *expr)
{
	struct pf_info info = { .size = sizeof(info) };

	pf_get_info(expr->prog, &info);
	return info.tests;
}

void pkt_expr_print(const struct pkt_expr *expr, struct pfs_buf *out)
{
	static const char *const stages[] = { "opt", "x86" };
	struct pf_info info = { .size = sizeof(info) };

	pf_get_info(expr->prog, &info);
	/* Machine code only where it is what runs. */
	for (size_t i = 0; i < (info.native ? ARRAY_SIZE(stages) : 1); i++) {
		PFS_FREE char *text = NULL;

		if (pf_dump(expr->prog, stages[i], &text, NULL) == 0)
			pfs_buf_str(out, text);
	}
}

/* Is it the direction as the kernel says it? There packets that come in are of several types. */
static bool is_direction(const struct pf_unit *u, pf_val v)
{
	return u->val[v].op == PF_OP_AUX && u->val[v].k == PF_AUX_PKTTYPE;
}

static bool is_test_of_direction(const struct pf_unit *u, const struct pf_value *test)
{
	return test->op == PF_OP_EQ &&
	       (is_direction(u, test->a) ? pf_is(u, test->b, PACKET_TYPE_OUTGOING)
					 : pf_is(u, test->a, PACKET_TYPE_OUTGOING));
}

/* Does it look at nothing but the bytes and whether the packet goes out? */
static bool is_plain(const struct pf_unit *u, uint16_t link_type)
{
	for (pf_val v = 1; v < u->nval; v++) {
		const struct pf_value *value = &u->val[v];
		unsigned operands = pf_operands(value);
		bool asks = (operands > 0 && is_direction(u, value->a)) ||
			    (operands > 1 && is_direction(u, value->b)) ||
			    (value->op == PF_OP_RESULT && is_direction(u, value->a));

		/* Tables belong to the program, memory to who runs it. */
		if (value->op == PF_OP_FIND || pf_is_memory(value))
			return false;
		/* Packets that start at the IP header come without the type. */
		if ((value->op == PF_OP_AUX || value->op == PF_OP_KNOWN) &&
		    (value->k != PF_AUX_PKTTYPE || link_type == PFS_LINK_RAW))
			return false;
		if (asks && !is_test_of_direction(u, value))
			return false;
	}
	for (pf_blk b = 1; b < u->nblk; b++) {
		const struct pf_block *block = &u->blk[b];

		if (block->loop || (block->end == PF_END_BRANCH && is_direction(u, block->cond)))
			return false;
		for (unsigned e = 0; e < pf_edges(block); e++)
			for (uint32_t a = 0; a < block->edge[e].nargs; a++)
				if (is_direction(u, block->edge[e].args[a]))
					return false;
	}
	return true;
}

int pkt_expr_keeps(const struct pkt_expr *expr, uint16_t link_type, struct pf_unit *ret_unit)
{
	const struct pf_unit *u = pf_prog_unit(expr->prog);

	return is_plain(u, link_type) ? pf_unit_copy(ret_unit, u) : -ENOTSUP;
}

int pkt_expr_keeps_in(const char *language, const char *text, uint16_t link_type,
		      struct pf_unit *ret_unit)
{
	struct pkt_expr *expr = NULL;
	int r = pkt_expr_compile_in(language, text, strlen(text), link_type, false, &expr, NULL);

	if (r < 0)
		return r;
	assert(expr);
	r = pkt_expr_keeps(expr, link_type, ret_unit);
	pkt_expr_free(expr);
	return r;
}

int pkt_expr_names(const char *text, struct pfs_diag *diag)
{
	struct pf_error error;
	int r = pf_pcap_names(text, &error);

	return r < 0 ? pfs_diag_set(diag, -r, "%s", error.text) : 0;
}
