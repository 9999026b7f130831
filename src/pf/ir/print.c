#include "pf/ir/print.h"

#include <pipesfs/pf.h>

#include "pf/ir/flow.h"
#include "pf/ir/walk.h"

#define DEPTH_MAX 100 /* of one expression; what is deeper gets a name */

struct print {
	const struct pf_unit *u;
	struct pfs_buf *out;
	struct pf_flow flow;
	struct pf_walk walk;
	uint8_t *uses;	/* owned; by value: 0, 1, 2 or more */
	uint8_t *depth; /* owned; by value: of the expression that is printed for it */
	uint32_t *name; /* owned; by value: 0, or the number that it has been given */
	uint32_t names;
	const char *newline; /* between lines of one block */
};

static void print_release(struct print *p)
{
	pf_flow_release(&p->flow);
	pf_walk_release(&p->walk);
	free(p->depth);
	free(p->uses);
	free(p->name);
}

static const char *const aux_names[PF_AUX_FIELDS] = {
	[PF_AUX_PROTOCOL] = "proto",	  [PF_AUX_PKTTYPE] = "type",
	[PF_AUX_IFINDEX] = "ifidx",	  [PF_AUX_MARK] = "mark",
	[PF_AUX_QUEUE] = "queue",	  [PF_AUX_HATYPE] = "hatype",
	[PF_AUX_RXHASH] = "rxhash",	  [PF_AUX_CPU] = "cpu",
	[PF_AUX_VLAN_TCI] = "vlan_tci",	  [PF_AUX_VLAN_PRESENT] = "vlan_avail",
	[PF_AUX_VLAN_TPID] = "vlan_tpid", [PF_AUX_PAYLOAD] = "poff",
	[PF_AUX_RANDOM] = "rand",
};

const char *pf_aux_name(unsigned field)
{
	return field < PF_AUX_FIELDS ? aux_names[field] : NULL;
}

/* --- what gets a name ------------------------------------------------------------------------ */

static void count_use(struct print *p, pf_val v)
{
	if (p->uses[v] < 2)
		p->uses[v]++;
}

/* Operands stand before their users, so one pass from the end sees every user before what it uses. */
static void count_uses(struct print *p)
{
	for (uint32_t i = 0; i < p->flow.n; i++) {
		const struct pf_block *b = &p->u->blk[p->flow.order[i]];

		for (uint32_t k = 0; k < b->npin; k++)
			count_use(p, b->pin[k]);
		if (b->end == PF_END_BRANCH)
			count_use(p, b->cond);
		for (unsigned e = 0; e < pf_edges(b); e++)
			for (uint32_t k = 0; k < b->edge[e].nargs; k++)
				count_use(p, b->edge[e].args[k]);
	}
	for (pf_val v = p->u->nval; v-- > 1;) {
		unsigned operands = p->uses[v] ? pf_operands(&p->u->val[v]) : 0;

		if (operands > 0)
			count_use(p, p->u->val[v].a);
		if (operands > 1)
			count_use(p, p->u->val[v].b);
	}
}

static bool wants_name(const struct print *p, pf_val v)
{
	return p->uses[v] > 1 && pf_operands(&p->u->val[v]) > 0 && p->u->val[v].op != PF_OP_FITS;
}

/* --- expressions ----------------------------------------------------------------------------- */

static void put_const(struct print *p, uint32_t k)
{
	pfs_buf_printf(p->out, k < 10 ? "%u" : "0x%x", k);
}

static void put_value(struct print *p, pf_val v, unsigned depth);

/* base + k */
static void put_place(struct print *p, const struct pf_value *v, unsigned depth)
{
	if (v->a)
		put_value(p, v->a, depth + 1);
	if (!v->a || v->k)
		pfs_buf_printf(p->out, "%s%u", v->a ? " + " : "", v->k);
}

/* get m0[base + at] */
static void put_word(struct print *p, const struct pf_value *v)
{
	pf_val base = pf_place_base(v);

	pfs_buf_printf(p->out, "%s m%u[", pf_ops[v->op].text, pf_place_memory(v));
	if (base)
		put_value(p, base, 1);
	if (!base || pf_place_at(v))
		pfs_buf_printf(p->out, "%s%u", base ? " + " : "", pf_place_at(v));
	pfs_buf_str(p->out, "]");
}

static void put_value(struct print *p, pf_val v, unsigned depth)
{
	const struct pf_value *value = &p->u->val[v];

	if (p->name[v]) {
		pfs_buf_printf(p->out, "v%u", p->name[v]);
		return;
	}
	switch (value->op) {
	case PF_OP_CONST:
		put_const(p, value->k);
		return;
	case PF_OP_AUX:
	case PF_OP_KNOWN:
		pfs_buf_printf(p->out, "%s %s", pf_ops[value->op].text, pf_aux_name(value->k));
		return;
	case PF_OP_LEN:
		pfs_buf_str(p->out, pf_ops[value->op].text);
		return;
	case PF_OP_PARAM:
		pfs_buf_printf(p->out, "b%u.%u", p->flow.pos[value->a], value->k);
		return;
	case PF_OP_FITS:
		pfs_buf_str(p->out, "fits ");
		put_place(p, value, depth);
		return;
	case PF_OP_LOAD8:
	case PF_OP_LOAD16:
	case PF_OP_LOAD32:
		pfs_buf_printf(p->out, "%s[", pf_ops[value->op].text);
		put_place(p, value, depth);
		pfs_buf_str(p->out, "]");
		return;
	case PF_OP_FIND:
		pfs_buf_printf(p->out, "%s t%u[", pf_ops[value->op].text, value->k);
		put_value(p, value->a, 0);
		pfs_buf_str(p->out, ", ");
		put_value(p, value->b, 0);
		pfs_buf_str(p->out, "]");
		return;
	case PF_OP_GET:
		put_word(p, value);
		return;
	default:
		break;
	}
	pfs_buf_str(p->out, depth ? "(" : "");
	put_value(p, value->a, depth + 1);
	pfs_buf_printf(p->out, " %s ", pf_ops[value->op].text);
	put_value(p, value->b, depth + 1);
	pfs_buf_str(p->out, depth ? ")" : "");
}

/* Lines for those parts of v that get a name and have none yet, innermost first. */
static void name_parts(struct print *p, pf_val root)
{
	pf_val v;

	pf_walk_root(&p->walk, root);
	while ((v = pf_walk_next(&p->walk))) {
		const struct pf_value *value = &p->u->val[v];
		unsigned operands = pf_operands(value);
		uint8_t depth = 0;

		if (p->name[v])
			continue; /* a word that was read */
		if (operands > 0)
			depth = p->depth[value->a];
		if (operands > 1 && p->depth[value->b] > depth)
			depth = p->depth[value->b];
		if (!wants_name(p, v) && depth < DEPTH_MAX) {
			p->depth[v] = depth + 1;
			continue;
		}
		pfs_buf_printf(p->out, "v%u = ", p->names + 1);
		put_value(p, v, 0);
		p->name[v] = ++p->names;
		pfs_buf_str(p->out, p->newline);
	}
}

/* --- blocks ---------------------------------------------------------------------------------- */

static void put_edge(struct print *p, const struct pf_edge *edge)
{
	pfs_buf_printf(p->out, "b%u", p->flow.pos[edge->to]);
	for (uint32_t i = 0; i < edge->nargs; i++) {
		pfs_buf_str(p->out, i ? ", " : "(");
		put_value(p, edge->args[i], 0);
	}
	pfs_buf_str(p->out, edge->nargs ? ")" : "");
}

static void put_pin(struct print *p, pf_val v)
{
	const struct pf_value *pin = &p->u->val[v];
	unsigned operands = pf_operands(pin);

	if (operands > 0)
		name_parts(p, pin->a);
	if (operands > 1)
		name_parts(p, pin->b);
	switch (pin->op) {
	case PF_OP_GET:
		pfs_buf_printf(p->out, "v%u = ", p->names + 1);
		put_word(p, pin);
		p->name[v] = ++p->names;
		break;
	case PF_OP_SET:
		put_word(p, pin);
		pfs_buf_str(p->out, " = ");
		put_value(p, pin->a, 0);
		break;
	default:
		pfs_buf_printf(p->out, "result %u = ", pin->k);
		put_value(p, pin->a, 0);
		break;
	}
	pfs_buf_str(p->out, p->newline);
}

/* The effects, and names for what the end needs. */
static void put_pins(struct print *p, const struct pf_block *b)
{
	for (uint32_t i = 0; i < b->npin; i++)
		put_pin(p, b->pin[i]);
	if (b->end == PF_END_BRANCH)
		name_parts(p, b->cond);
	for (unsigned e = 0; e < pf_edges(b); e++)
		for (uint32_t i = 0; i < b->edge[e].nargs; i++)
			name_parts(p, b->edge[e].args[i]);
}

static void put_block(struct print *p, uint32_t at)
{
	const struct pf_block *b = &p->u->blk[p->flow.order[at]];

	pfs_buf_printf(p->out, "b%u%s:\n", at, b->loop ? " loop" : "");
	p->newline = "\n\t";
	pfs_buf_str(p->out, "\t");
	put_pins(p, b);
	switch (b->end) {
	case PF_END_JUMP:
		pfs_buf_str(p->out, "go ");
		put_edge(p, &b->edge[0]);
		break;
	case PF_END_BRANCH:
		pfs_buf_str(p->out, "if ");
		put_value(p, b->cond, 0);
		pfs_buf_str(p->out, " go ");
		put_edge(p, &b->edge[0]);
		pfs_buf_str(p->out, " else ");
		put_edge(p, &b->edge[1]);
		break;
	default:
		pfs_buf_str(p->out, "stop");
		break;
	}
	pfs_buf_str(p->out, "\n");
}

static int print_begin(struct print *p, const struct pf_unit *u, struct pfs_buf *out)
{
	int r;

	*p = (struct print){ .u = u, .out = out };
	p->uses = pfs_zalloc(u->nval, 1);
	p->name = pfs_zalloc(u->nval, sizeof(*p->name));
	p->depth = pfs_zalloc(u->nval, 1);
	if (!p->uses || !p->name || !p->depth)
		return -ENOMEM;
	r = pf_walk_init(&p->walk, u);
	if (r == 0)
		r = pf_flow_make(u, &p->flow);
	if (r == 0)
		count_uses(p);
	return r;
}

int pf_print(const struct pf_unit *u, struct pfs_buf *out)
{
	PFS_CLEANUP(print_release) struct print p;
	int r = print_begin(&p, u, out);

	for (uint32_t i = 0; i < p.flow.n && r == 0; i++)
		put_block(&p, i);
	return r < 0 ? r : out->failed ? -ENOMEM : 0;
}

/* --- drawing --------------------------------------------------------------------------------- */

static void draw_edge(struct print *p, uint32_t from, const struct pf_edge *edge, const char *style)
{
	pfs_buf_printf(p->out, "\tb%u -> b%u [%s", from, p->flow.pos[edge->to], style);
	for (uint32_t i = 0; i < edge->nargs; i++) {
		pfs_buf_str(p->out, i ? ", " : " label=\"");
		put_value(p, edge->args[i], 0);
	}
	pfs_buf_str(p->out, edge->nargs ? "\"];\n" : "];\n");
}

static void draw_block(struct print *p, uint32_t at)
{
	const struct pf_block *b = &p->u->blk[p->flow.order[at]];

	pfs_buf_printf(p->out, "\tb%u [shape=%s label=\"", at,
		       b->end == PF_END_BRANCH ? "box style=rounded" : "box");
	p->newline = "\\l";
	put_pins(p, b);
	if (b->end == PF_END_BRANCH)
		put_value(p, b->cond, 0);
	else if (b->end == PF_END_STOP)
		pfs_buf_str(p->out, pf_is_reject(b) ? "reject" : "stop");
	pfs_buf_str(p->out, "\"];\n");
	if (b->end == PF_END_JUMP)
		draw_edge(p, at, &b->edge[0], "");
	if (b->end == PF_END_BRANCH) {
		draw_edge(p, at, &b->edge[0], "");
		draw_edge(p, at, &b->edge[1], "style=dashed");
	}
}

int pf_print_dot(const struct pf_unit *u, struct pfs_buf *out)
{
	PFS_CLEANUP(print_release) struct print p;
	int r = print_begin(&p, u, out);

	pfs_buf_str(out, "digraph filter {\n\tnode [fontname=monospace];\n");
	for (uint32_t i = 0; i < p.flow.n && r == 0; i++)
		draw_block(&p, i);
	pfs_buf_str(out, "}\n");
	return r < 0 ? r : out->failed ? -ENOMEM : 0;
}
