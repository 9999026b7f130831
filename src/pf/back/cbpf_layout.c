/*
 * Blocks one after the other, distances filled in.
 *
 * Returns of constants stand at the end, once each, as libpcap has them; a jump to one is a return
 * itself. A conditional jump reaches 255 instructions; where that is not enough, it jumps to a jump
 * of its own, right behind it.
 *
 * Linux believes that a return in the midst of a program is followed by what stands behind it when
 * it checks that words are written before they are read. So a program for it that uses words has
 * its returns only at the end.
 */
#include "pf/back/cbpf_i.h"

#define REACH 255u
#define YES 1u
#define NO 2u

struct layout {
	const struct cb_gen *g;
	uint32_t *next;	 /* owned; by position: the block where what leads here really goes */
	uint32_t *start; /* owned; by position */
	uint8_t *far;	 /* owned; by position: YES, NO: that side is too far for its jump */
	uint32_t *ret;	 /* owned; constants that are returned */
	uint32_t nret;
	bool only_at_end; /* no returns elsewhere */
	bool ret_a;	  /* the first of those at the end returns A */
	uint32_t size;	  /* of the blocks, without the returns at the end */
};

static void layout_release(struct layout *l)
{
	free(l->next);
	free(l->start);
	free(l->far);
	free(l->ret);
}

static uint32_t next_of(const struct layout *l, pf_blk b)
{
	return l->next[l->g->p->flow.pos[b]];
}

/* The same instructions and the same places to go on to: what A and X hold does not matter, they do the same. */
static bool same_code(const struct layout *l, const struct cb_block *a, const struct cb_block *b)
{
	if (a->n != b->n || a->end != b->end || a->k != b->k)
		return false;
	if (a->n &&
	    memcmp(l->g->code + a->first, l->g->code + b->first, a->n * sizeof(*l->g->code)) != 0)
		return false;
	if (a->end == CB_END_GO)
		return next_of(l, a->yes) == next_of(l, b->yes);
	if (a->end != CB_END_TEST)
		return true;
	return a->test.code == b->test.code && a->test.k == b->test.k &&
	       next_of(l, a->yes) == next_of(l, b->yes) && next_of(l, a->no) == next_of(l, b->no);
}

static uint32_t hash_code(const struct layout *l, const struct cb_block *b)
{
	uint64_t h = b->n * 31u + b->end;

	for (uint32_t i = 0; i < b->n; i++)
		h = (h * 31 + l->g->code[b->first + i].code) * 31 + l->g->code[b->first + i].k;
	if (b->end == CB_END_TEST)
		h = (h * 31 + b->test.code) * 31 + b->test.k;
	if (b->end == CB_END_TEST || b->end == CB_END_GO)
		h = h * 31 + next_of(l, b->yes);
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return (uint32_t)(h >> 32);
}

/*
 * Where what leads to a block really goes: on at once if the block is nothing but a jump, to another if that does the
 * same. Later blocks are known when a block comes.
 */
static int find_next(struct layout *l)
{
	const struct pf_flow *flow = &l->g->p->flow;
	PFS_FREE uint32_t *table = NULL;
	uint32_t mask = 15;

	while (mask < flow->n * 2)
		mask = mask * 2 + 1;
	table = pfs_zalloc((size_t)mask + 1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	for (uint32_t i = flow->n; i-- > 0;) {
		const struct cb_block *b = &l->g->block[i];
		uint32_t at = hash_code(l, b) & mask;

		l->next[i] = i;
		if (!b->n && b->end == CB_END_GO) {
			l->next[i] = next_of(l, b->yes);
			continue;
		}
		while (table[at] && !same_code(l, &l->g->block[table[at] - 1], b))
			at = (at + 1) & mask;
		if (table[at])
			l->next[i] = table[at] - 1;
		else
			table[at] = i + 1;
	}
	return 0;
}

static uint32_t target(const struct layout *l, pf_blk b)
{
	return l->next[l->g->p->flow.pos[b]];
}

/* Nothing but a return? Then it is one of those at the end. */
static bool is_return(const struct cb_block *b)
{
	return !b->n && b->end == CB_END_RET;
}

static int note_return(struct layout *l, uint32_t k)
{
	void *p;

	for (uint32_t i = 0; i < l->nret; i++)
		if (l->ret[i] == k)
			return 0;
	p = reallocarray(l->ret, l->nret + 1, sizeof(*l->ret));
	if (!p)
		return -ENOMEM;
	l->ret = p;
	l->ret[l->nret++] = k;
	return 0;
}

/* Those that a branch leads to, or all. What rejects comes last. */
static int find_returns(struct layout *l)
{
	const struct cb_block *block = l->g->block;
	bool zero = false;
	int r = 0;

	for (uint32_t i = 0; i < l->g->p->flow.n && r == 0; i++) {
		const struct cb_block *b = &block[i];
		const struct cb_block *side[2] = { b, b };

		l->ret_a = l->ret_a || (l->only_at_end && b->end == CB_END_RET_A);
		if (b->end == CB_END_TEST) {
			side[0] = &block[target(l, b->yes)];
			side[1] = &block[target(l, b->no)];
		}
		for (unsigned e = 0; e < 2 && r == 0; e++) {
			bool here = b->end != CB_END_TEST && l->only_at_end;

			if (side[e]->end != CB_END_RET ||
			    !(here || (side[e] != b && is_return(side[e]))))
				continue;
			zero = zero || !side[e]->k;
			r = side[e]->k ? note_return(l, side[e]->k) : 0;
		}
	}
	return r == 0 && zero ? note_return(l, 0) : r;
}

static bool is_placed(const struct layout *l, uint32_t i)
{
	return l->next[i] == i && !is_return(&l->g->block[i]);
}

/* The next block that is placed behind i; the number of blocks if there is none. */
static uint32_t follower(const struct layout *l, uint32_t i)
{
	do
		i++;
	while (i < l->g->p->flow.n && !is_placed(l, i));
	return i;
}

static uint32_t size_of(const struct layout *l, uint32_t i)
{
	const struct cb_block *b = &l->g->block[i];

	if (b->end == CB_END_GO)
		return b->n + (target(l, b->yes) != follower(l, i));
	return b->n + 1 + !!(l->far[i] & YES) + !!(l->far[i] & NO);
}

static void place(struct layout *l)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < l->g->p->flow.n; i++) {
		l->start[i] = at;
		if (is_placed(l, i))
			at += size_of(l, i);
	}
	l->size = at;
}

static uint32_t return_address(const struct layout *l, uint32_t k)
{
	for (uint32_t i = 0; i < l->nret; i++)
		if (l->ret[i] == k)
			return l->size + l->ret_a + i;
	assert(0 && "a return that was noted");
	return 0;
}

static uint32_t address(const struct layout *l, uint32_t i)
{
	const struct cb_block *b = &l->g->block[i];

	return is_return(b) ? return_address(l, b->k) : l->start[i];
}

/* Marks sides that are too far. True: there are new ones, and everything behind them moves. */
static bool find_far(struct layout *l)
{
	bool found = false;

	for (uint32_t i = 0; i < l->g->p->flow.n; i++) {
		const struct cb_block *b = &l->g->block[i];
		uint32_t from = l->start[i] + b->n + 1;
		uint8_t far = 0;

		if (!is_placed(l, i) || b->end != CB_END_TEST)
			continue;
		if (address(l, target(l, b->yes)) - from > REACH)
			far |= YES;
		if (address(l, target(l, b->no)) - from > REACH)
			far |= NO;
		found = found || (far & ~l->far[i]);
		l->far[i] |= far;
	}
	return found;
}

static struct pf_insn jump_to(uint32_t at, uint32_t address)
{
	return (struct pf_insn){ .code = CB_JMP | CB_JA, .k = address - at - 1 };
}

/* A jump that stands at `at`, or the return that it would only jump to. */
static struct pf_insn jump(const struct layout *l, uint32_t at, uint32_t to)
{
	const struct cb_block *b = &l->g->block[to];

	if (is_return(b) && !l->only_at_end)
		return (struct pf_insn){ .code = CB_RET | CB_K, .k = b->k };
	return jump_to(at, address(l, to));
}

static uint32_t write_test(const struct layout *l, uint32_t i, struct pf_insn *out, uint32_t at)
{
	const struct cb_block *b = &l->g->block[i];
	uint32_t yes = target(l, b->yes), no = target(l, b->no), test = at++;

	out[test] = b->test;
	if (l->far[i] & YES) {
		out[test].jt = (uint8_t)(at - test - 1);
		out[at] = jump(l, at, yes);
		at++;
	} else {
		out[test].jt = (uint8_t)(address(l, yes) - test - 1);
	}
	if (l->far[i] & NO) {
		out[test].jf = (uint8_t)(at - test - 1);
		out[at] = jump(l, at, no);
		at++;
	} else {
		out[test].jf = (uint8_t)(address(l, no) - test - 1);
	}
	return at;
}

static void write_block(const struct layout *l, uint32_t i, struct pf_insn *out)
{
	const struct cb_block *b = &l->g->block[i];
	uint32_t at = l->start[i];

	if (b->n)
		memcpy(out + at, l->g->code + b->first, b->n * sizeof(*out));
	at += b->n;
	switch (b->end) {
	case CB_END_RET:
		out[at] = l->only_at_end ? jump_to(at, return_address(l, b->k))
					 : (struct pf_insn){ .code = CB_RET | CB_K, .k = b->k };
		break;
	case CB_END_RET_A:
		out[at] = l->ret_a ? jump_to(at, l->size) : (struct pf_insn){ .code = CB_RET | CB_A };
		break;
	case CB_END_GO:
		if (target(l, b->yes) != follower(l, i))
			out[at] = jump(l, at, target(l, b->yes));
		break;
	default:
		write_test(l, i, out, at);
		break;
	}
}

static bool uses_words(const struct cb_gen *g)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (CB_CLASS(g->code[i].code) == CB_ST || CB_CLASS(g->code[i].code) == CB_STX)
			return true;
	return false;
}

int cb_layout(const struct cb_gen *g, struct pf_insn **ret_insns, size_t *ret_n)
{
	uint32_t n = g->p->flow.n, at;
	PFS_CLEANUP(layout_release)
	struct layout l = {
		.g = g,
		.next = pfs_zalloc(n, sizeof(*l.next)),
		.start = pfs_zalloc(n, sizeof(*l.start)),
		.far = pfs_zalloc(n, sizeof(*l.far)),
		.only_at_end = g->p->linux_rules && uses_words(g),
	};
	PFS_FREE struct pf_insn *insns = NULL;

	if (!l.next || !l.start || !l.far)
		return -ENOMEM;
	if (find_next(&l) < 0)
		return -ENOMEM;
	/* Blocks come in order, so where the entry really goes comes before all that is placed. */
	assert(!is_placed(&l, 0) || l.next[0] == 0);
	assert(is_return(&g->block[l.next[0]]) || l.next[0] == 0 || follower(&l, 0) == l.next[0]);
	if (find_returns(&l) < 0)
		return -ENOMEM;
	/* A program that is nothing but a return. */
	if (is_return(&g->block[l.next[0]]) && note_return(&l, g->block[l.next[0]].k) < 0)
		return -ENOMEM;
	do
		place(&l);
	while (find_far(&l));
	at = l.size + l.ret_a;
	insns = pfs_zalloc(at + l.nret, sizeof(*insns));
	if (!insns)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		if (is_placed(&l, i))
			write_block(&l, i, insns);
	if (l.ret_a)
		insns[l.size] = (struct pf_insn){ .code = CB_RET | CB_A };
	for (uint32_t i = 0; i < l.nret; i++)
		insns[at + i] = (struct pf_insn){ .code = CB_RET | CB_K, .k = l.ret[i] };
	*ret_n = cb_merge_tails(insns, at + l.nret);
	*ret_insns = TAKE_PTR(insns);
	return 0;
}
