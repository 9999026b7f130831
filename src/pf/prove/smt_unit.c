/*
 * Units as formulas: a truth value for each block that is reached and each edge taken, a number for each value.
 *
 * Loops are written out, round by round: a round is what a run does from one edge back, of whatever loop, to the next,
 * and in a round a block is run at most once. A parameter that no edge of the round has set is what it was in the
 * round before, since of a block that dominates another the last time counts. So is a word that was read.
 */
#include "pf/ir/flow.h"
#include "pf/ir/walk.h"
#include "pf/prove/smt.h"

struct chain {
	struct pfs_buf text;
	uint32_t n;
};

struct writing {
	const struct pf_unit *u;
	const char *name;
	struct pfs_buf *out;
	struct pf_flow flow;
	struct pf_walk walk;
	uint32_t round;
	uint32_t *round_of;   /* owned; by value: where it was defined last, + 1 */
	uint8_t *live;	      /* owned; by block: 1 in this round, 2 in the one before */
	uint32_t *mem;	      /* owned; by block: the memory behind it, in this round */
	uint32_t *mem_back;   /* owned; by block: in the round before */
	uint32_t mems;	      /* NAME.nN; 0 is what there was at first */
	struct chain *result; /* owned; by filter: "(ite b4 v9 (ite ..." */
	struct chain end;     /* the memory where runs end */
	struct pfs_buf cut;   /* edges back that are not followed any more */
};

static void writing_release(struct writing *w)
{
	pf_flow_release(&w->flow);
	pf_walk_release(&w->walk);
	for (uint32_t i = 0; w->result && i < w->u->nresult; i++)
		pfs_buf_release(&w->result[i].text);
	pfs_buf_release(&w->end.text);
	pfs_buf_release(&w->cut);
	free(w->result);
	free(w->round_of);
	free(w->live);
	free(w->mem);
	free(w->mem_back);
}

/* What was defined in a round, behind its name: of the first one nothing. */
static void put_round(struct pfs_buf *out, uint32_t round)
{
	if (round)
		pfs_buf_printf(out, "@%u", round);
}

static void put_ref_to(const struct writing *w, pf_val v, struct pfs_buf *out)
{
	if (pf_is_const(w->u, v)) {
		pfs_buf_printf(out, "#x%08x", w->u->val[v].k);
		return;
	}
	assert(w->round_of[v]);
	pfs_buf_printf(out, "%s.v%u", w->name, v);
	put_round(out, w->round_of[v] - 1);
}

static void put_ref(struct writing *w, pf_val v)
{
	put_ref_to(w, v, w->out);
}

/* "(define-fun NAME.v4@2 () (_ BitVec 32) ": references to it mean this one from `defined` on. */
static void put_definition(struct writing *w, pf_val v)
{
	pfs_buf_printf(w->out, "(define-fun %s.v%u", w->name, v);
	put_round(w->out, w->round);
	pfs_buf_str(w->out, " () (_ BitVec 32) ");
}

static void defined(struct writing *w, pf_val v)
{
	w->round_of[v] = w->round + 1;
}

static void put_chain_end(struct chain *chain, const char *otherwise, struct pfs_buf *out)
{
	if (chain->text.len)
		pfs_buf_add(out, chain->text.data, chain->text.len);
	pfs_buf_str(out, otherwise);
	while (chain->n-- > 0)
		pfs_buf_str(out, ")");
	pfs_buf_str(out, ")\n");
}

/* base, or 0 where there is none */
static void put_base(struct writing *w, const struct pf_value *v)
{
	if (v->a)
		put_ref(w, v->a);
	else
		pfs_buf_str(w->out, "#x00000000");
}

static void put_binary(struct writing *w, const struct pf_value *v)
{
	static const char *const names[PF_OPS] = {
		[PF_OP_ADD] = "(bvadd",	 [PF_OP_SUB] = "(bvsub",  [PF_OP_MUL] = "(bvmul",
		[PF_OP_DIV] = "(div",	 [PF_OP_MOD] = "(bvurem", [PF_OP_AND] = "(bvand",
		[PF_OP_OR] = "(bvor",	 [PF_OP_XOR] = "(bvxor",  [PF_OP_SHL] = "(bvshl",
		[PF_OP_SHR] = "(bvlshr", [PF_OP_EQ] = "(num (=",  [PF_OP_LT] = "(num (bvult",
	};

	pfs_buf_printf(w->out, "%s ", names[v->op]);
	put_ref(w, v->a);
	pfs_buf_str(w->out, " ");
	put_ref(w, v->b);
	pfs_buf_str(w->out, v->op == PF_OP_EQ || v->op == PF_OP_LT ? "))" : ")");
}

struct finding {
	struct writing *w;
	const struct pf_value *v;
	uint32_t n;
};

static void put_key(void *arg, uint32_t a, uint32_t b, uint32_t value)
{
	struct finding *f = arg;

	pfs_buf_str(f->w->out, "(ite (and (= ");
	put_ref(f->w, f->v->a);
	pfs_buf_printf(f->w->out, " #x%08x) (= ", a);
	put_ref(f->w, f->v->b);
	pfs_buf_printf(f->w->out, " #x%08x)) #x%08x ", b, value);
	f->n++;
}

/* One key after the other, with what the table has now. */
static void put_find(struct writing *w, const struct pf_value *v)
{
	struct finding f = { w, v, 0 };

	pf_table_each(w->u->table[v->k], put_key, &f);
	pfs_buf_str(w->out, "#x00000000");
	while (f.n-- > 0)
		pfs_buf_str(w->out, ")");
}

static void put_value(struct writing *w, pf_val val)
{
	const struct pf_value *v = &w->u->val[val];

	if (v->op == PF_OP_CONST || v->op == PF_OP_PARAM || v->op == PF_OP_GET)
		return; /* said as it is; defined with its block, in its place */
	put_definition(w, val);
	switch (v->op) {
	case PF_OP_LEN:
		pfs_buf_str(w->out, "len");
		break;
	case PF_OP_AUX:
		pfs_buf_printf(w->out, "(ite (= ((_ extract %u %u) known) #b1) aux%u #x00000000)",
			       v->k, v->k, v->k);
		break;
	case PF_OP_KNOWN:
		pfs_buf_printf(w->out, "(num (= ((_ extract %u %u) known) #b1))", v->k, v->k);
		break;
	case PF_OP_FITS:
		pfs_buf_str(w->out, "(num (fits ");
		put_base(w, v);
		pfs_buf_printf(w->out, " #x%08x))", v->k);
		break;
	case PF_OP_LOAD8:
	case PF_OP_LOAD16:
	case PF_OP_LOAD32:
		pfs_buf_printf(w->out, "(b%u (bvadd ", pf_load_size(v->op));
		put_base(w, v);
		pfs_buf_printf(w->out, " #x%08x))", v->k);
		break;
	case PF_OP_FIND:
		put_find(w, v);
		break;
	default:
		put_binary(w, v);
		break;
	}
	pfs_buf_str(w->out, ")\n");
	defined(w, val);
}

/* With all that it is made of and that has not been said yet. */
static void define(struct writing *w, pf_val root)
{
	pf_val v;

	pf_walk_root(&w->walk, root);
	while ((v = pf_walk_next(&w->walk)))
		put_value(w, v);
}

/* --- memories -------------------------------------------------------------------------------- */

#define MEMORY_SORT "(Array (_ BitVec 32) (_ BitVec 32))"

static void put_memory_to(const struct writing *w, uint32_t mem, struct pfs_buf *out)
{
	if (mem)
		pfs_buf_printf(out, "%s.n%u", w->name, mem);
	else
		pfs_buf_str(out, "mem");
}

static void put_place(struct writing *w, const struct pf_value *v)
{
	pf_val base = pf_place_base(v);

	pfs_buf_str(w->out, "(bvadd ");
	if (base)
		put_ref(w, base);
	else
		pfs_buf_str(w->out, "#x00000000");
	pfs_buf_printf(w->out, " #x%08x)", pf_memory_at(w->u, pf_place_memory(v)) + pf_place_at(v));
}

/* Is the place inside? Sums do not wrap. */
static void put_inside(struct writing *w, const struct pf_value *v)
{
	pf_val base = pf_place_base(v);

	pfs_buf_str(w->out, "(bvult (bvadd (concat #b00 ");
	if (base)
		put_ref(w, base);
	else
		pfs_buf_str(w->out, "#x00000000");
	pfs_buf_printf(w->out, ") (concat #b00 #x%08x)) (concat #b00 #x%08x))", pf_place_at(v),
		       w->u->memory[pf_place_memory(v)]);
}

static void put_block_name(const struct writing *w, pf_blk b, struct pfs_buf *out)
{
	pfs_buf_printf(out, "%s.b%u", w->name, b);
	put_round(out, w->round);
}

/* What it read when its block was run last. */
static void put_get(struct writing *w, pf_blk b, pf_val val)
{
	const struct pf_value *v = &w->u->val[val];

	if (v->a)
		define(w, v->a);
	put_definition(w, val);
	pfs_buf_str(w->out, "(ite ");
	put_block_name(w, b, w->out);
	pfs_buf_str(w->out, " (ite ");
	put_inside(w, v);
	pfs_buf_str(w->out, " (select ");
	put_memory_to(w, w->mem[b], w->out);
	pfs_buf_str(w->out, " ");
	put_place(w, v);
	pfs_buf_str(w->out, ") #x00000000) ");
	if (w->round_of[val])
		put_ref(w, val);
	else
		pfs_buf_str(w->out, "#x00000000");
	pfs_buf_str(w->out, "))\n");
	defined(w, val);
}

static void put_set(struct writing *w, pf_blk b, const struct pf_value *v)
{
	define(w, v->a);
	if (v->b)
		define(w, v->b);
	pfs_buf_printf(w->out, "(define-fun %s.n%u () " MEMORY_SORT " (ite ", w->name, w->mems + 1);
	put_inside(w, v);
	pfs_buf_str(w->out, " (store ");
	put_memory_to(w, w->mem[b], w->out);
	pfs_buf_str(w->out, " ");
	put_place(w, v);
	pfs_buf_str(w->out, " ");
	put_ref(w, v->a);
	pfs_buf_str(w->out, ") ");
	put_memory_to(w, w->mem[b], w->out);
	pfs_buf_str(w->out, "))\n");
	w->mem[b] = ++w->mems;
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* An edge into a block that may have been taken in this round, or back, at the end of the one before. */
struct way {
	const struct pf_pred *pred;
	bool back;
};

static bool next_way(const struct writing *w, pf_blk b, uint32_t *i, struct way *ret_way)
{
	const struct pf_pred *pred = w->flow.pred + w->flow.first[b];

	for (; *i < pf_flow_preds(&w->flow, b); (*i)++) {
		bool back = pf_flow_back(&w->flow, pred[*i].from, b);

		if (!(w->live[pred[*i].from] & (back ? 2 : 1)))
			continue;
		*ret_way = (struct way){ &pred[(*i)++], back };
		return true;
	}
	return false;
}

static void put_edge(const struct writing *w, const struct pf_pred *pred, uint32_t round,
		     struct pfs_buf *out)
{
	pfs_buf_printf(out, "%s.b%u.%u", w->name, pred->from, pred->edge);
	put_round(out, round);
}

static void put_way(struct writing *w, const struct way *way)
{
	put_edge(w, way->pred, w->round - way->back, w->out);
}

static void put_param(struct writing *w, pf_blk b, uint32_t k)
{
	pf_val param = w->u->blk[b].param[k];
	uint32_t n = 0;
	struct way way;

	put_definition(w, param);
	for (uint32_t i = 0; next_way(w, b, &i, &way); n++) {
		pfs_buf_str(w->out, "(ite ");
		put_way(w, &way);
		pfs_buf_str(w->out, " ");
		if (way.back) {
			put_way(w, &way);
			pfs_buf_printf(w->out, ".a%u", k);
		} else {
			put_ref(w, w->u->blk[way.pred->from].edge[way.pred->edge].args[k]);
		}
		pfs_buf_str(w->out, " ");
	}
	if (w->round_of[param])
		put_ref(w, param);
	else
		pfs_buf_str(w->out, "#x00000000");
	while (n-- > 0)
		pfs_buf_str(w->out, ")");
	pfs_buf_str(w->out, ")\n");
}

/* What the memory is at the head of a block: where all ways agree, that. */
static void join_memory(struct writing *w, pf_blk b)
{
	uint32_t n = 0, all = 0;
	bool differ = false;
	struct way way;

	for (uint32_t i = 0; next_way(w, b, &i, &way); n++) {
		uint32_t mem = (way.back ? w->mem_back : w->mem)[way.pred->from];

		differ = differ || (n && mem != all);
		all = mem;
	}
	w->mem[b] = all;
	if (!differ)
		return;
	pfs_buf_printf(w->out, "(define-fun %s.n%u () " MEMORY_SORT " ", w->name, w->mems + 1);
	for (uint32_t i = 0; next_way(w, b, &i, &way);) {
		pfs_buf_str(w->out, "(ite ");
		put_way(w, &way);
		pfs_buf_str(w->out, " ");
		put_memory_to(w, (way.back ? w->mem_back : w->mem)[way.pred->from], w->out);
		pfs_buf_str(w->out, " ");
	}
	pfs_buf_str(w->out, "mem");
	while (n-- > 0)
		pfs_buf_str(w->out, ")");
	pfs_buf_str(w->out, ")\n");
	w->mem[b] = ++w->mems;
}

/* Is the block reached, and with which arguments? */
static void put_head(struct writing *w, pf_blk b)
{
	const struct pf_block *block = &w->u->blk[b];
	struct way way;

	pfs_buf_str(w->out, "(define-fun ");
	put_block_name(w, b, w->out);
	pfs_buf_printf(w->out, " () Bool (or %s", b == w->u->entry && !w->round ? "true" : "false");
	for (uint32_t i = 0; next_way(w, b, &i, &way);) {
		pfs_buf_str(w->out, " ");
		put_way(w, &way);
	}
	pfs_buf_str(w->out, "))\n");
	for (uint32_t k = 0; k < block->nparam; k++)
		put_param(w, b, k);
	/* All at once: an argument may be another of these, as it was. */
	for (uint32_t k = 0; k < block->nparam; k++)
		defined(w, block->param[k]);
	if (w->u->nmemory)
		join_memory(w, b);
}

static void put_out(struct writing *w, pf_blk b, unsigned e)
{
	const struct pf_block *block = &w->u->blk[b];
	const struct pf_pred edge = { b, (uint8_t)e };
	const struct pf_edge *to = &block->edge[e];

	for (uint32_t i = 0; i < to->nargs; i++)
		define(w, to->args[i]);
	pfs_buf_str(w->out, "(define-fun ");
	put_edge(w, &edge, w->round, w->out);
	pfs_buf_str(w->out, " () Bool ");
	if (block->end == PF_END_BRANCH) {
		pfs_buf_str(w->out, "(and ");
		put_block_name(w, b, w->out);
		pfs_buf_str(w->out, e ? " (not (is " : " (is ");
		put_ref(w, block->cond);
		pfs_buf_str(w->out, e ? ")))" : "))");
	} else {
		put_block_name(w, b, w->out);
	}
	pfs_buf_str(w->out, ")\n");
	if (!pf_flow_back(&w->flow, b, to->to))
		return;
	/* What it brings may be defined anew before it arrives. */
	for (uint32_t i = 0; i < to->nargs; i++) {
		pfs_buf_str(w->out, "(define-fun ");
		put_edge(w, &edge, w->round, w->out);
		pfs_buf_printf(w->out, ".a%u () (_ BitVec 32) ", i);
		put_ref(w, to->args[i]);
		pfs_buf_str(w->out, ")\n");
	}
	if (w->round < PF_SMT_ROUNDS)
		return;
	pfs_buf_str(&w->cut, " ");
	put_edge(w, &edge, w->round, &w->cut);
}

static void add_to_chain(struct writing *w, struct chain *chain, pf_blk b)
{
	pfs_buf_str(&chain->text, "(ite ");
	put_block_name(w, b, &chain->text);
	pfs_buf_str(&chain->text, " ");
	chain->n++;
}

static void put_pin(struct writing *w, pf_blk b, pf_val val)
{
	const struct pf_value *v = &w->u->val[val];

	if (v->op == PF_OP_GET) {
		put_get(w, b, val);
	} else if (v->op == PF_OP_SET) {
		put_set(w, b, v);
	} else {
		define(w, v->a);
		add_to_chain(w, &w->result[v->k], b);
		put_ref_to(w, v->a, &w->result[v->k].text);
		pfs_buf_str(&w->result[v->k].text, " ");
	}
}

static void put_block(struct writing *w, pf_blk b)
{
	const struct pf_block *block = &w->u->blk[b];

	put_head(w, b);
	for (uint32_t i = 0; i < block->npin; i++)
		put_pin(w, b, block->pin[i]);
	if (block->end == PF_END_BRANCH)
		define(w, block->cond);
	for (unsigned e = 0; e < pf_edges(block); e++)
		put_out(w, b, e);
	if (block->end == PF_END_STOP && w->mem[b]) {
		add_to_chain(w, &w->end, b);
		put_memory_to(w, w->mem[b], &w->end.text);
		pfs_buf_str(&w->end.text, " ");
	}
}

/* --- all ------------------------------------------------------------------------------------- */

/* The blocks that a run may come to. False: there are none. */
static bool begin_round(struct writing *w)
{
	bool any = false;

	for (uint32_t i = 0; i < w->flow.n; i++)
		w->live[w->flow.order[i]] = (uint8_t)(w->live[w->flow.order[i]] << 1 & 2);
	for (uint32_t i = 0; i < w->flow.n; i++) {
		pf_blk b = w->flow.order[i];
		struct way way;
		uint32_t first = 0;

		if ((b == w->u->entry && !w->round) || next_way(w, b, &first, &way))
			w->live[b] |= 1;
		any = any || (w->live[b] & 1);
	}
	return any;
}

static int put_rounds(struct writing *w)
{
	for (w->round = 0; w->round <= PF_SMT_ROUNDS; w->round++) {
		uint32_t *mem = w->mem;
		int r;

		w->mem = w->mem_back;
		w->mem_back = mem;
		if (!begin_round(w))
			break;
		pf_walk_release(&w->walk);
		r = pf_walk_init(&w->walk, w->u);
		if (r < 0)
			return r;
		for (uint32_t i = 0; i < w->flow.n; i++)
			if (w->live[w->flow.order[i]] & 1)
				put_block(w, w->flow.order[i]);
		if (w->out->len > PF_SMT_TEXT_MAX)
			return -E2BIG;
	}
	return 0;
}

static void put_results(struct writing *w)
{
	for (uint32_t id = 0; id < w->u->nresult; id++) {
		if (w->u->nresult > 1)
			pfs_buf_printf(w->out, "(define-fun %s.r%u () (_ BitVec 32) ", w->name, id);
		else
			pfs_buf_printf(w->out, "(define-fun %s.result () (_ BitVec 32) ", w->name);
		put_chain_end(&w->result[id], "#x00000000", w->out);
	}
	pfs_buf_printf(w->out, "(define-fun %s.cut () Bool (or false%.*s))\n", w->name,
		       (int)w->cut.len, w->cut.len ? w->cut.data : "");
	pfs_buf_printf(w->out, "(define-fun %s.mem () " MEMORY_SORT " ", w->name);
	put_chain_end(&w->end, "mem", w->out);
}

bool pf_smt_has_loops(const struct pf_unit *u)
{
	for (pf_blk b = 1; b < u->nblk; b++)
		if (u->blk[b].loop)
			return true;
	return false;
}

int pf_smt_unit(const struct pf_unit *u, const char *name, struct pfs_buf *out)
{
	PFS_CLEANUP(writing_release) struct writing w = { .u = u, .name = name, .out = out };
	int r = pf_flow_make(u, &w.flow);

	if (r < 0)
		return r;
	w.round_of = pfs_zalloc(u->nval, sizeof(*w.round_of));
	w.live = pfs_zalloc(u->nblk, sizeof(*w.live));
	w.mem = pfs_zalloc(u->nblk, sizeof(*w.mem));
	w.mem_back = pfs_zalloc(u->nblk, sizeof(*w.mem_back));
	w.result = pfs_zalloc(u->nresult, sizeof(*w.result));
	if (!w.round_of || !w.live || !w.mem || !w.mem_back || !w.result)
		return -ENOMEM;
	r = put_rounds(&w);
	if (r < 0)
		return r;
	put_results(&w);
	return out->failed || w.end.text.failed || w.cut.failed ? -ENOMEM : 0;
}
