#include "pf/opt/chain.h"

pf_val pf_subject(const struct pf_unit *u, pf_val cond)
{
	const struct pf_value *v = &u->val[cond];

	switch (v->op) {
	case PF_OP_EQ:
	case PF_OP_AND:
		return pf_is_const(u, v->b) ? v->a : 0;
	case PF_OP_LT:
		return pf_is_const(u, v->a) ? v->b : pf_is_const(u, v->b) ? v->a : 0;
	case PF_OP_CONST:
	case PF_OP_FITS:
	case PF_OP_KNOWN:
		return 0;
	default:
		return cond;
	}
}

static bool is_test(const struct pf_unit *u, pf_blk b)
{
	const struct pf_block *block = &u->blk[b];

	return block->end == PF_END_BRANCH && !block->npin && !block->nparam && !block->loop &&
	       !block->edge[0].nargs && !block->edge[1].nargs;
}

static void add(struct pf_chain *chain, const struct pf_unit *u, pf_blk b, unsigned on)
{
	bool check = u->val[u->blk[b].cond].op == PF_OP_FITS;

	chain->link[chain->n++] = (struct pf_link){
		.b = b,
		.on = (uint8_t)on,
		.check = check,
		.subject = check ? 0 : pf_subject(u, u->blk[b].cond),
	};
}

void pf_chain_at(const struct pf_unit *u, const struct pf_flow *flow, pf_blk b, unsigned on,
		 struct pf_chain *ret_chain)
{
	ret_chain->n = 0;
	/* The first may bring a result of another filter, and have parameters. */
	if (u->blk[b].end != PF_END_BRANCH || u->blk[b].loop || u->blk[b].edge[0].nargs ||
	    u->blk[b].edge[1].nargs || u->val[u->blk[b].cond].op == PF_OP_FITS ||
	    u->blk[b].edge[0].to == u->blk[b].edge[1].to)
		return;
	ret_chain->out = u->blk[b].edge[!on].to;
	add(ret_chain, u, b, on);
	while (ret_chain->n < PF_LINKS_MAX) {
		pf_blk next = u->blk[b].edge[on].to;
		const struct pf_block *block = &u->blk[next];

		if (pf_flow_preds(flow, next) != 1 || !is_test(u, next))
			return;
		if (u->val[block->cond].op == PF_OP_FITS)
			on = 0;
		else if (block->edge[0].to == ret_chain->out)
			on = 1;
		else if (block->edge[1].to == ret_chain->out)
			on = 0;
		else
			return;
		add(ret_chain, u, next, on);
		b = next;
	}
}
