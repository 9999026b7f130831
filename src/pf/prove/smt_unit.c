/* Units as formulas: a truth value for each block that is reached and each edge taken, a number for each value. */
#include "pf/ir/flow.h"
#include "pf/ir/walk.h"
#include "pf/prove/smt.h"

struct writing {
	const struct pf_unit *u;
	const char *name;
	struct pfs_buf *out;
	struct pf_flow flow;
	struct pf_walk walk;
};

static void writing_release(struct writing *w)
{
	pf_flow_release(&w->flow);
	pf_walk_release(&w->walk);
}

static void put_ref(struct writing *w, pf_val v)
{
	if (pf_is_const(w->u, v))
		pfs_buf_printf(w->out, "#x%08x", w->u->val[v].k);
	else
		pfs_buf_printf(w->out, "%s.v%u", w->name, v);
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

	if (v->op == PF_OP_CONST || v->op == PF_OP_PARAM)
		return; /* said as it is; defined with its block */
	pfs_buf_printf(w->out, "(define-fun %s.v%u () (_ BitVec 32) ", w->name, val);
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
}

/* With all that it is made of and that has not been said yet. */
static void define(struct writing *w, pf_val root)
{
	pf_val v;

	pf_walk_root(&w->walk, root);
	while ((v = pf_walk_next(&w->walk)))
		put_value(w, v);
}

static void put_edge(struct writing *w, const struct pf_pred *pred)
{
	pfs_buf_printf(w->out, "%s.b%u.%u", w->name, pred->from, pred->edge);
}

/* Is the block reached, and with which arguments? */
static void put_head(struct writing *w, pf_blk b)
{
	const struct pf_block *block = &w->u->blk[b];
	const struct pf_pred *pred = w->flow.pred + w->flow.first[b];
	uint32_t n = pf_flow_preds(&w->flow, b);

	pfs_buf_printf(w->out, "(define-fun %s.b%u () Bool (or %s", w->name, b,
		       b == w->u->entry ? "true" : "false");
	for (uint32_t i = 0; i < n; i++) {
		pfs_buf_str(w->out, " ");
		put_edge(w, &pred[i]);
	}
	pfs_buf_str(w->out, "))\n");
	for (uint32_t k = 0; k < block->nparam; k++) {
		pfs_buf_printf(w->out, "(define-fun %s.v%u () (_ BitVec 32) ", w->name,
			       block->param[k]);
		for (uint32_t i = 0; i < n; i++) {
			pfs_buf_str(w->out, "(ite ");
			put_edge(w, &pred[i]);
			pfs_buf_str(w->out, " ");
			put_ref(w, w->u->blk[pred[i].from].edge[pred[i].edge].args[k]);
			pfs_buf_str(w->out, " ");
		}
		pfs_buf_str(w->out, "#x00000000");
		for (uint32_t i = 0; i < n; i++)
			pfs_buf_str(w->out, ")");
		pfs_buf_str(w->out, ")\n");
	}
}

static void put_block(struct writing *w, pf_blk b)
{
	const struct pf_block *block = &w->u->blk[b];

	put_head(w, b);
	for (uint32_t i = 0; i < block->npin; i++)
		define(w, w->u->val[block->pin[i]].a);
	if (block->end == PF_END_BRANCH)
		define(w, block->cond);
	for (unsigned e = 0; e < pf_edges(block); e++) {
		for (uint32_t i = 0; i < block->edge[e].nargs; i++)
			define(w, block->edge[e].args[i]);
		pfs_buf_printf(w->out, "(define-fun %s.b%u.%u () Bool ", w->name, b, e);
		if (block->end == PF_END_BRANCH) {
			pfs_buf_printf(w->out, "(and %s.b%u %s", w->name, b, e ? "(not (is " : "(is ");
			put_ref(w, block->cond);
			pfs_buf_str(w->out, e ? ")))" : "))");
		} else {
			pfs_buf_printf(w->out, "%s.b%u", w->name, b);
		}
		pfs_buf_str(w->out, ")\n");
	}
}

/* The result of filter `id`, in a block; 0: none. */
static pf_val result_in(const struct writing *w, const struct pf_block *b, uint32_t id)
{
	for (uint32_t i = 0; i < b->npin; i++)
		if (w->u->val[b->pin[i]].k == id)
			return w->u->val[b->pin[i]].a;
	return 0;
}

static void put_result(struct writing *w, uint32_t id)
{
	uint32_t n = 0;

	if (w->u->nresult > 1)
		pfs_buf_printf(w->out, "(define-fun %s.r%u () (_ BitVec 32) ", w->name, id);
	else
		pfs_buf_printf(w->out, "(define-fun %s.result () (_ BitVec 32) ", w->name);
	for (uint32_t i = 0; i < w->flow.n; i++) {
		pf_val v = result_in(w, &w->u->blk[w->flow.order[i]], id);

		if (!v)
			continue;
		pfs_buf_printf(w->out, "(ite %s.b%u ", w->name, w->flow.order[i]);
		put_ref(w, v);
		pfs_buf_str(w->out, " ");
		n++;
	}
	pfs_buf_str(w->out, "#x00000000");
	while (n-- > 0)
		pfs_buf_str(w->out, ")");
	pfs_buf_str(w->out, ")\n");
}

int pf_smt_unit(const struct pf_unit *u, const char *name, struct pfs_buf *out)
{
	PFS_CLEANUP(writing_release) struct writing w = { .u = u, .name = name, .out = out };
	int r = pf_flow_make(u, &w.flow);

	if (r == 0)
		r = pf_walk_init(&w.walk, u);
	if (r < 0)
		return r;
	if (u->nmemory)
		return -ENOTSUP;
	for (uint32_t i = 0; i < w.flow.n; i++)
		if (u->blk[w.flow.order[i]].loop)
			return -ENOTSUP;
	for (uint32_t i = 0; i < w.flow.n; i++)
		put_block(&w, w.flow.order[i]);
	for (uint32_t id = 0; id == 0 || id < u->nresult; id++)
		put_result(&w, id);
	return out->failed ? -ENOMEM : 0;
}
