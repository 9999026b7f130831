#include "pf/back/interp.h"

#include "base/bytes.h"
#include "pf/back/lower.h"
#include "pf/back/search.h"

#define REGS_MAX 512u

/* R: a register, K: the constant k, Z: the constant z. */
enum opcode {
	I_STOP,	 /* the end; returns what there is */
	I_RET,	 /* the end of a program with one filter: R a */
	I_RETK,	 /* the same: K */
	I_HIT,	 /* filter k: R a */
	I_HITK,	 /* filter k: Z */
	I_GO,	 /* to yes */
	I_MOV,	 /* dst = R a */
	I_MOVK,	 /* dst = K */
	I_LEN,	 /* dst = length */
	I_AUX,	 /* dst = field k */
	I_KNOWN, /* dst = is field k known? */
	I_FITS,	 /* dst = R a + k fits? */
	I_FITS0, /* dst = k fits? */
	I_LD8,	 /* dst = byte at k */
	I_LD16,
	I_LD32,
	I_LDX8, /* dst = byte at R a + k */
	I_LDX16,
	I_LDX32,
	I_MSH,	 /* dst = 4 * (byte at k & 15) */
	I_FIND,	 /* dst = what table k has for R a, R b */
	I_FIND0, /* dst = what table k has for 0, R b */
	I_GET,	 /* dst = word k */
	I_GETX,	 /* dst = word R a + k, if R a < Z, else 0 */
	I_SET,	 /* word k = R a */
	I_SETX,	 /* word R b + k = R a, if R b < Z */
	/* dst = R a op R b, dst = R a op K, for every op with two operands. */
	I_BINARY,
	I_BINARY_LAST = I_BINARY + (PF_OP_LT - PF_OP_ADD) * 2 + 1,
	/* All below are branches. */
	I_BNZ,	  /* R a */
	I_BEQ,	  /* R a == R b */
	I_BEQK,	  /* R a == K */
	I_BLT,	  /* R a < R b */
	I_BLTK,	  /* R a < K */
	I_BGTK,	  /* R a > K */
	I_BAND,	  /* R a & R b */
	I_BANDK,  /* R a & K */
	I_BMEQK,  /* (R a & Z) == K */
	I_BFITS,  /* R a + k fits? */
	I_BFITS0, /* k fits? */
	I_BKNOWN, /* field k */
	I_BEQ8,	  /* byte at z == K */
	I_BEQ16,
	I_BEQ32,
	I_BAND8, /* byte at z & K */
	I_BAND16,
	I_BAND32,
	I_BEQX8, /* byte at R a + z == K */
	I_BEQX16,
	I_BEQX32,
	I_BMEQ8, /* (byte at z & m) == K */
	I_BMEQ16,
	I_BMEQ32,
	/* m fits? else to out; then as BEQ. */
	I_CBEQ8,
	I_CBEQ16,
	I_CBEQ32,
	/* R a + m fits? else to out; then as BEQX. */
	I_CBEQX8,
	I_CBEQX16,
	I_CBEQX32,
	/* m fits? else to out; dst = load at k; the next instruction is left out. */
	I_CLD8,
	I_CLD16,
	I_CLD32,
	I_BFIND, /* dst as I_FIND; is it not 0? */
	I_BFIND0,
	I_OPCODES
};

struct code {
	uint16_t op;
	uint16_t dst, a, b;
	uint32_t k, z, m;
	uint32_t yes, no,
		out; /* of a branch: where to go on; in the end, bytes from the first instruction */
};

struct pf_interp {
	struct code *code; /* owned */
	uint32_t n;
	bool only;		 /* one filter */
	struct pf_table **table; /* owned, and a reference to each */
	uint32_t ntable;
};

struct writing {
	struct pf_lower *l;
	struct pf_interp *i;
	uint32_t cap;
	uint32_t *at;  /* owned; by position of a block: its first instruction */
	uint16_t temp; /* a register for one moment; so is the next */
};

void pf_interp_free(struct pf_interp *interp)
{
	if (!interp)
		return;
	free(interp->code);
	for (uint32_t i = 0; i < interp->ntable; i++)
		pf_table_unref(interp->table[i]);
	free(interp->table);
	free(interp);
}

static int put(struct writing *w, struct code code)
{
	struct pf_interp *i = w->i;

	if (i->n == w->cap) {
		uint32_t cap = w->cap ? w->cap * 2 : 32;
		void *p = reallocarray(i->code, cap, sizeof(*i->code));

		if (!p)
			return -ENOMEM;
		i->code = p;
		w->cap = cap;
	}
	i->code[i->n++] = code;
	return 0;
}

/* --- values ---------------------------------------------------------------------------------- */

static int put_load(struct writing *w, const struct pf_value *v, uint16_t dst)
{
	unsigned op = v->op - PF_OP_LOAD8;

	return put(w, (struct code){ .op = (uint16_t)((v->a ? I_LDX8 : I_LD8) + op),
				     .dst = dst,
				     .a = v->a ? w->l->place[v->a] : 0,
				     .k = v->k });
}

static int put_binary(struct writing *w, const struct pf_value *v, uint16_t dst)
{
	const struct pf_unit *u = &w->l->u;
	struct code code = { .op = (uint16_t)(I_BINARY + (v->op - PF_OP_ADD) * 2), .dst = dst };
	int r = 0;

	code.a = w->l->place[v->a];
	if (pf_is_const(u, v->a)) {
		code.a = w->temp;
		r = put(w, (struct code){ .op = I_MOVK, .dst = w->temp, .k = u->val[v->a].k });
	}
	if (pf_is_const(u, v->b)) {
		code.op++;
		code.k = u->val[v->b].k;
	} else {
		code.b = w->l->place[v->b];
	}
	return r < 0 ? r : put(w, code);
}

/* An operand in a register: a constant goes through the one for a moment. */
static int put_in_register(struct writing *w, pf_val v, uint16_t temp, uint16_t *ret_reg)
{
	*ret_reg = w->l->place[v];
	if (!pf_is_const(&w->l->u, v))
		return 0;
	*ret_reg = temp;
	return put(w, (struct code){ .op = I_MOVK, .dst = temp, .k = w->l->u.val[v].k });
}

static int put_find(struct writing *w, const struct pf_value *v, uint16_t dst)
{
	struct code code = { .op = I_FIND, .dst = dst, .k = v->k };
	int r = 0;

	if (pf_is(&w->l->u, v->a, 0))
		code.op = I_FIND0;
	else
		r = put_in_register(w, v->a, w->temp, &code.a);
	if (r == 0)
		r = put_in_register(w, v->b, (uint16_t)(w->temp + 1), &code.b);
	return r < 0 ? r : put(w, code);
}

/* Words of all memories lie one behind the other. A constant is written by way of the register for one moment. */
static int put_word(struct writing *w, const struct pf_value *v, uint16_t dst)
{
	const struct pf_unit *u = &w->l->u;
	pf_val base = pf_place_base(v);
	bool set = v->op == PF_OP_SET;
	struct code code = { .op = set ? I_SET : I_GET,
			     .dst = dst,
			     .k = pf_memory_at(u, pf_place_memory(v)) + pf_place_at(v),
			     .z = pf_place_limit(u, v) };
	int r = 0;

	if (set && pf_is_const(u, v->a)) {
		r = put(w, (struct code){ .op = I_MOVK, .dst = w->temp, .k = u->val[v->a].k });
		code.a = w->temp;
	} else if (set) {
		code.a = w->l->place[v->a];
	}
	if (base && pf_is_const(u, base)) {
		code.k += u->val[base].k;
		code.z = code.z > u->val[base].k ? 1 : 0;
		base = 0;
	}
	if (base) {
		code.op++;
		*(set ? &code.b : &code.a) = w->l->place[base];
	} else if (!code.z) {
		if (set)
			return r;
		code = (struct code){ .op = I_MOVK, .dst = dst };
	}
	return r < 0 ? r : put(w, code);
}

static int put_value(struct writing *w, pf_val val, uint16_t dst)
{
	const struct pf_value *v = &w->l->u.val[val];
	struct code code = { .dst = dst, .k = v->k };

	switch (v->op) {
	case PF_OP_LEN:
		code.op = I_LEN;
		break;
	case PF_OP_AUX:
		code.op = I_AUX;
		break;
	case PF_OP_KNOWN:
		code.op = I_KNOWN;
		break;
	case PF_OP_FITS:
		code.op = v->a ? I_FITS : I_FITS0;
		code.a = v->a ? w->l->place[v->a] : 0;
		break;
	case PF_OP_LOAD8:
	case PF_OP_LOAD16:
	case PF_OP_LOAD32:
		return put_load(w, v, dst);
	case PF_OP_FIND:
		return put_find(w, v, dst);
	case PF_OP_GET:
	case PF_OP_SET:
		/* Read for nobody: it may have no place. */
		return v->op == PF_OP_GET && dst == PF_NO_PLACE ? 0 : put_word(w, v, dst);
	default:
		return put_binary(w, v, dst);
	}
	return put(w, code);
}

/* --- branches -------------------------------------------------------------------------------- */

/* A comparison of a load with a constant, in one; 0: it is none, or not one of those. */
static unsigned fused(struct writing *w, const struct pf_test *t, struct code *code)
{
	const struct pf_value *load = &w->l->u.val[t->left];
	unsigned size = load->op - PF_OP_LOAD8;

	if (!(w->l->flags[t->left] & PF_LOWER_FOLDED) || !pf_is_const(&w->l->u, t->right))
		return 0;
	if (t->masked && load->a)
		return 0;
	if (t->op != PF_OP_EQ && (t->op != PF_OP_AND || load->a))
		return 0;
	code->z = load->k;
	code->a = load->a ? w->l->place[load->a] : 0;
	code->k = w->l->u.val[t->right].k;
	code->m = t->mask;
	if (t->masked)
		return I_BMEQ8 + size;
	if (t->op == PF_OP_AND)
		return I_BAND8 + size;
	return (load->a ? I_BEQX8 : I_BEQ8) + size;
}

/* The operand in a register; a load that is folded goes through the register for one moment. */
static int put_operand(struct writing *w, pf_val v, uint16_t *ret_reg)
{
	if (!(w->l->flags[v] & PF_LOWER_FOLDED)) {
		*ret_reg = w->l->place[v];
		return 0;
	}
	*ret_reg = w->temp;
	return put_value(w, v, w->temp);
}

static int put_test(struct writing *w, const struct pf_test *t, struct code *code)
{
	const struct pf_unit *u = &w->l->u;
	bool left_const = t->left && pf_is_const(u, t->left);
	bool right_const = t->right && pf_is_const(u, t->right);
	int r = 0;

	code->op = (uint16_t)fused(w, t, code);
	if (code->op)
		return 0;
	if (t->op == PF_OP_FITS || t->op == PF_OP_KNOWN)
		return 0;
	code->k = right_const ? u->val[t->right].k : left_const ? u->val[t->left].k : 0;
	code->z = t->mask;
	if (left_const) {
		/* k < x; equality and masks have their constant on the right. */
		code->op = I_BGTK;
		return put_operand(w, t->right, &code->a);
	}
	r = put_operand(w, t->left, &code->a);
	if (t->right && !right_const)
		code->b = w->l->place[t->right];
	switch (t->op) {
	case PF_OP_EQ:
		code->op = t->masked ? I_BMEQK : right_const ? I_BEQK : I_BEQ;
		break;
	case PF_OP_LT:
		code->op = right_const ? I_BLTK : I_BLT;
		break;
	case PF_OP_AND:
		code->op = right_const ? I_BANDK : I_BAND;
		break;
	default:
		code->op = I_BNZ;
		break;
	}
	return r;
}

/* Branches on what was found last, if that was all that came before. */
static bool branch_found(struct writing *w, uint32_t first, const struct pf_block *b)
{
	struct code *last = w->i->n > first ? &w->i->code[w->i->n - 1] : NULL;

	if (w->l->u.val[b->cond].op != PF_OP_FIND || !last ||
	    (last->op != I_FIND && last->op != I_FIND0) || last->dst != w->l->place[b->cond])
		return false;
	last->op = last->op == I_FIND ? I_BFIND : I_BFIND0;
	last->yes = w->l->flow.pos[b->edge[0].to];
	last->no = w->l->flow.pos[b->edge[1].to];
	return true;
}

static int put_branch(struct writing *w, const struct pf_block *b)
{
	const struct pf_value *v = &w->l->u.val[b->cond];
	struct code code = { 0 };
	int r;

	if (v->op == PF_OP_CONST) {
		code = (struct code){ .op = I_GO, .yes = w->l->flow.pos[b->edge[v->k ? 0 : 1].to] };
		return put(w, code);
	}

	struct pf_test t = pf_lower_test(w->l, b->cond);

	r = put_test(w, &t, &code);
	if (r < 0)
		return r;
	if (t.op == PF_OP_FITS) {
		code.op = t.left ? I_BFITS : I_BFITS0;
		code.a = t.left ? w->l->place[t.left] : 0;
		code.k = v->k;
	} else if (t.op == PF_OP_KNOWN) {
		code.op = I_BKNOWN;
		code.k = v->k;
	}
	code.yes = w->l->flow.pos[b->edge[0].to];
	code.no = w->l->flow.pos[b->edge[1].to];
	return put(w, code);
}

static int put_jump(struct writing *w, uint32_t at, const struct pf_edge *edge)
{
	PFS_FREE struct pf_move *moves = NULL;
	int n = pf_lower_moves(w->l, edge, &moves), r = 0;

	if (n < 0)
		return n;
	for (int i = 0; i < n && r == 0; i++) {
		struct code code = {
			.op = I_MOV, .dst = moves[i].to, .a = moves[i].from, .k = moves[i].k
		};

		if (moves[i].from == PF_NO_PLACE)
			code.op = I_MOVK;
		if (moves[i].to == PF_MOVE_TEMP)
			code.dst = w->temp;
		if (moves[i].from == PF_MOVE_TEMP)
			code.a = w->temp;
		r = put(w, code);
	}
	if (r < 0 || w->l->flow.pos[edge->to] == at + 1)
		return r;
	return put(w, (struct code){ .op = I_GO, .yes = w->l->flow.pos[edge->to] });
}

static int put_result(struct writing *w, const struct pf_value *pin)
{
	bool only = w->i->only;
	bool k = pf_is_const(&w->l->u, pin->a);
	struct code code = { .op = k ? I_HITK : I_HIT, .k = pin->k };

	if (k && !only && pf_is(&w->l->u, pin->a, 0))
		return 0;
	if (only)
		code.op = k ? I_RETK : I_RET;
	if (k && only)
		code.k = w->l->u.val[pin->a].k;
	else if (k)
		code.z = w->l->u.val[pin->a].k;
	else
		code.a = w->l->place[pin->a];
	return put(w, code);
}

/* The length of an IP header: three instructions that have just been put, on one register, become one. */
static void fuse_header_length(struct writing *w, uint32_t first)
{
	struct code *c = w->i->code + w->i->n;
	uint16_t reg;

	if (w->i->n < first + 3)
		return;
	reg = c[-1].dst;
	if (c[-1].op != I_BINARY + (PF_OP_SHL - PF_OP_ADD) * 2 + 1 || c[-1].k != 2 || c[-1].a != reg ||
	    c[-2].op != I_BINARY + (PF_OP_AND - PF_OP_ADD) * 2 + 1 || c[-2].k != 15 ||
	    c[-2].dst != reg || c[-2].a != reg || c[-3].op != I_LD8 || c[-3].dst != reg)
		return;
	c[-3].op = I_MSH;
	w->i->n -= 2;
}

static int put_block(struct writing *w, uint32_t at)
{
	const struct pf_block *b = &w->l->u.blk[w->l->flow.order[at]];
	bool only = w->i->only;
	int r = 0;

	w->at[at] = w->i->n;
	for (uint32_t s = w->l->first[at]; s < w->l->first[at + 1] && r == 0; s++) {
		r = put_value(w, w->l->step[s], w->l->place[w->l->step[s]]);
		if (r == 0)
			fuse_header_length(w, w->at[at]);
	}
	for (uint32_t p = 0; p < b->npin && r == 0; p++)
		r = w->l->u.val[b->pin[p]].op == PF_OP_RESULT ? put_result(w, &w->l->u.val[b->pin[p]])
							      : 0;
	if (r < 0)
		return r;
	if (b->end == PF_END_BRANCH)
		return branch_found(w, w->at[at], b) ? 0 : put_branch(w, b);
	if (b->end == PF_END_JUMP)
		return put_jump(w, at, &b->edge[0]);
	/* Behind a return it would never run. */
	return only && pf_lower_result(w->l, b) ? 0 : put(w, (struct code){ .op = I_STOP });
}

static int keep_tables(struct pf_interp *i, const struct pf_unit *u)
{
	i->only = u->nresult == 1;
	i->table = pfs_zalloc(u->ntable, sizeof(struct pf_table *));
	if (!i->table)
		return -ENOMEM;
	for (; i->ntable < u->ntable; i->ntable++)
		i->table[i->ntable] = pf_table_ref(u->table[i->ntable]);
	return 0;
}

/* A check and what follows it where it fits: a comparison, or a load that comes next anyway. */
static void fuse_check(const struct pf_interp *i, struct code *c)
{
	const struct code *next = &i->code[c->yes];
	bool indexed = c->op == I_BFITS;
	unsigned first = indexed ? I_BEQX8 : I_BEQ8;
	uint32_t m = c->k, out = c->no;

	if ((c->op != I_BFITS0 && !indexed) || (indexed && next->a != c->a))
		return;
	if (next->op >= first && next->op <= first + 2) {
		*c = *next;
		c->op = (uint16_t)((indexed ? I_CBEQX8 : I_CBEQ8) + (next->op - first));
	} else if (!indexed && next == c + 1 && next->op >= I_LD8 && next->op <= I_LD32) {
		*c = *next;
		c->op = (uint16_t)(I_CLD8 + (next->op - I_LD8));
	} else {
		return;
	}
	c->m = m;
	c->out = out;
}

/* Where branches go: from positions of blocks. */
static void resolve(struct pf_interp *i, const uint32_t *at)
{
	for (uint32_t k = 0; k < i->n; k++) {
		struct code *code = &i->code[k];

		if (code->op != I_GO && code->op < I_BNZ)
			continue;
		code->yes = at[code->yes];
		code->no = at[code->no];
	}
	for (uint32_t k = 0; k < i->n; k++)
		fuse_check(i, &i->code[k]);
	for (uint32_t k = 0; k < i->n; k++) {
		i->code[k].yes *= (uint32_t)sizeof(struct code);
		i->code[k].no *= (uint32_t)sizeof(struct code);
		i->code[k].out *= (uint32_t)sizeof(struct code);
	}
}

int pf_interp_make(const struct pf_unit *u, struct pf_interp **ret_interp)
{
	PF_LOWER struct pf_lower l = { 0 };
	PFS_FREE uint32_t *at = NULL;
	struct writing w = { .l = &l };
	PFS_CLEANUP(pf_unit_release) struct pf_unit own;
	int r;

	pf_unit_init(&own);
	r = pf_unit_copy(&own, u);
	if (r == 0)
		r = pf_search(&own);
	if (r == 0)
		r = pf_lower(&own, REGS_MAX, &l);
	if (r < 0)
		return r;
	if (l.nplace + 1 >= REGS_MAX)
		return -E2BIG;
	w.temp = (uint16_t)l.nplace;
	w.at = at = pfs_zalloc(l.flow.n, sizeof(*at));
	w.i = pfs_zalloc(1, sizeof(*w.i));
	if (!at || !w.i)
		r = -ENOMEM;
	else
		r = keep_tables(w.i, &l.u);
	for (uint32_t i = 0; i < l.flow.n && r == 0; i++)
		r = put_block(&w, i);
	if (r < 0) {
		pf_interp_free(w.i);
		return r;
	}
	resolve(w.i, at);
	*ret_interp = w.i;
	return 0;
}

/* --- running --------------------------------------------------------------------------------- */

static inline uint32_t load(const uint8_t *p, unsigned size)
{
	return size == 1 ? p[0] : size == 2 ? be16_load(p) : be32_load(p);
}

static inline bool fits(const struct pf_packet *packet, uint32_t base, uint32_t k)
{
	return (uint64_t)base + k <= packet->caplen;
}

static inline bool known(const struct pf_packet *packet, uint32_t field)
{
	return packet->aux && packet->aux->known >> field & 1;
}

/* The less frequent branches. */
static bool test(const struct code *c, const struct pf_packet *packet, const uint32_t *r)
{
	switch (c->op) {
	case I_GO:
		return true;
	case I_BNZ:
		return r[c->a];
	case I_BEQ:
		return r[c->a] == r[c->b];
	case I_BLT:
		return r[c->a] < r[c->b];
	case I_BLTK:
		return r[c->a] < c->k;
	case I_BGTK:
		return r[c->a] > c->k;
	case I_BAND:
		return r[c->a] & r[c->b];
	case I_BANDK:
		return r[c->a] & c->k;
	case I_BMEQK:
		return (r[c->a] & c->z) == c->k;
	default:
		return known(packet, c->k);
	}
}

static inline const struct code *at(const struct pf_interp *interp, uint32_t bytes)
{
	return (const void *)((const char *)interp->code + bytes);
}

/*
 * Cases for each size of loads, and for each operation on two numbers. Nobody goes out to the first instruction, so
 * there is one in front of where he goes.
 */
#define LOAD(bits)                                                     \
	case I_LD##bits:                                               \
		r[c->dst] = load(data + c->k, (bits) / 8);             \
		continue;                                              \
	case I_CLD##bits:                                              \
		if (!fits(packet, 0, c->m)) {                          \
			c = at(interp, c->out) - 1;                    \
			continue;                                      \
		}                                                      \
		r[c->dst] = load(data + c->k, (bits) / 8);             \
		c++;                                                   \
		continue;                                              \
	case I_LDX##bits:                                              \
		r[c->dst] = load(data + r[c->a] + c->k, (bits) / 8);   \
		continue;                                              \
	case I_BAND##bits:                                             \
		yes = load(data + c->z, (bits) / 8) & c->k;            \
		break;                                                 \
	case I_CBEQX##bits:                                            \
		if (!fits(packet, r[c->a], c->m)) {                    \
			c = at(interp, c->out) - 1;                    \
			continue;                                      \
		}                                                      \
		yes = load(data + r[c->a] + c->z, (bits) / 8) == c->k; \
		break;                                                 \
	case I_BEQX##bits:                                             \
		yes = load(data + r[c->a] + c->z, (bits) / 8) == c->k; \
		break;                                                 \
	case I_CBEQ##bits:                                             \
		if (!fits(packet, 0, c->m)) {                          \
			c = at(interp, c->out) - 1;                    \
			continue;                                      \
		}                                                      \
		yes = load(data + c->z, (bits) / 8) == c->k;           \
		break;                                                 \
	case I_BEQ##bits:                                              \
		yes = load(data + c->z, (bits) / 8) == c->k;           \
		break;                                                 \
	case I_BMEQ##bits:                                             \
		yes = (load(data + c->z, (bits) / 8) & c->m) == c->k;  \
		break
#define EACH_LOAD(x) \
	x(8);        \
	x(16);       \
	x(32)

/* What was found, and whether anything was. */
#define FIND(op, a)                                                           \
	case I_##op:                                                          \
		r[c->dst] = pf_table_find(interp->table[c->k], (a), r[c->b]); \
		continue;                                                     \
	case I_B##op:                                                         \
		r[c->dst] = pf_table_find(interp->table[c->k], (a), r[c->b]); \
		yes = r[c->dst] != 0;                                         \
		break

#define OP(op)                                                        \
	case I_BINARY + (PF_OP_##op - PF_OP_ADD) * 2:                 \
		r[c->dst] = pf_compute(PF_OP_##op, r[c->a], r[c->b]); \
		continue;                                             \
	case I_BINARY + (PF_OP_##op - PF_OP_ADD) * 2 + 1:             \
		r[c->dst] = pf_compute(PF_OP_##op, r[c->a], c->k);    \
		continue
#define EACH_BINARY(x) \
	x(ADD);        \
	x(SUB);        \
	x(MUL);        \
	x(DIV);        \
	x(MOD);        \
	x(AND);        \
	x(OR);         \
	x(XOR);        \
	x(SHL);        \
	x(SHR);        \
	x(EQ);         \
	x(LT)

static inline void set_word(uint32_t *words, const struct code *c, const uint32_t *r)
{
	if (r[c->b] < c->z)
		words[c->k + r[c->b]] = r[c->a];
}

/* Branches leave the inner loop by the end of its body; everything else goes on with the next instruction. */
uint32_t pf_interp_run_words(const struct pf_interp *interp, const struct pf_packet *packet,
			     struct pf_hit *hits, uint32_t *words)
{
	const struct code *c = interp->code;
	const uint8_t *data = packet->data;
	uint32_t r[REGS_MAX], nhit = 0;
	bool yes = false;

	for (;; c = at(interp, yes ? c->yes : c->no))
		for (;; c++) {
			switch (c->op) {
			case I_STOP:
				return nhit;
			case I_RET:
				return r[c->a];
			case I_RETK:
				return c->k;
			case I_HIT:
				hits[nhit] = (struct pf_hit){ c->k, r[c->a] };
				nhit += r[c->a] != 0;
				continue;
			case I_HITK:
				hits[nhit++] = (struct pf_hit){ c->k, c->z };
				continue;
			case I_MOV:
				r[c->dst] = r[c->a];
				continue;
			case I_MOVK:
				r[c->dst] = c->k;
				continue;
			case I_LEN:
				r[c->dst] = packet->len;
				continue;
			case I_AUX:
				r[c->dst] = known(packet, c->k) ? packet->aux->value[c->k] : 0;
				continue;
			case I_KNOWN:
				r[c->dst] = known(packet, c->k);
				continue;
			case I_FITS:
				r[c->dst] = fits(packet, r[c->a], c->k);
				continue;
			case I_FITS0:
				r[c->dst] = fits(packet, 0, c->k);
				continue;
			case I_MSH:
				r[c->dst] = (data[c->k] & 15u) << 2;
				continue;
				FIND(FIND, r[c->a]);
				FIND(FIND0, 0);
				EACH_LOAD(LOAD);
				EACH_BINARY(OP);
			case I_GET:
				r[c->dst] = words[c->k];
				continue;
			case I_GETX:
				r[c->dst] = r[c->a] < c->z ? words[c->k + r[c->a]] : 0;
				continue;
			case I_SET:
				words[c->k] = r[c->a];
				continue;
			case I_SETX:
				set_word(words, c, r);
				continue;
			case I_BEQK:
				yes = r[c->a] == c->k;
				break;
			case I_BFITS:
				yes = fits(packet, r[c->a], c->k);
				break;
			case I_BFITS0:
				yes = fits(packet, 0, c->k);
				break;
			default:
				yes = test(c, packet, r);
				break;
			}
			break;
		}
}

uint32_t pf_interp_code(const struct pf_packet *packet, const void *self)
{
	return pf_interp_run(self, packet, NULL);
}
