#include "pf/front/cspf.h"

#include <stdarg.h>
#include <stdio.h>

#include "pf/error.h"
#include "pf/prove/smt.h"

/* Bytes of link headers that have a fixed length, by LINKTYPE_ value. */
static const struct {
	uint16_t link_type;
	uint8_t bytes;
} headers[] = {
	{ 0 /* NULL */, 4 },	  { 1 /* Ethernet */, 14 }, { 6 /* token ring */, 14 },
	{ 50 /* PPP_HDLC */, 4 }, { 104 /* C-HDLC */, 4 },  { 108 /* LOOP */, 4 },
	{ 113 /* SLL */, 16 },	  { 276 /* SLL2 */, 20 },
};

static uint32_t header_words(uint16_t link_type)
{
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
		if (headers[i].link_type == link_type)
			return headers[i].bytes / 2u;
	return 0;
}

struct cspf *pf_cspf_new(const uint16_t *words, size_t n, const struct pf_options *options,
			 unsigned flags)
{
	struct cspf *cspf = pfs_zalloc(1, sizeof(*cspf) + pfs_min(n, CSPF_MAX + 1) * sizeof(*words));

	if (!cspf)
		return NULL;
	cspf->flags = flags | (options->little_words ? CSPF_LITTLE : 0);
	cspf->header = header_words(options->link_type);
	cspf->accept = options->snaplen;
	cspf->n = (uint32_t)pfs_min(n, CSPF_MAX + 1); /* one too many is as bad as all of them */
	if (cspf->n)
		memcpy(cspf->word, words, cspf->n * sizeof(*words));
	return cspf;
}

struct making {
	struct pf_unit *u;
	const struct cspf *cspf;
	const unsigned *lines;
	struct pf_error *error;
	uint32_t i; /* the word */
	pf_blk at, accept, reject;
	pf_val stack[CSPF_STACK];
	unsigned depth;
};

static int refuse(const struct making *m, const char *fmt, ...) PFS_PRINTF(2, 3);

static int refuse(const struct making *m, const char *fmt, ...)
{
	char what[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (m->lines)
		return pf_fail_at(m->error, EINVAL, m->lines[m->i], 1, "%s", what);
	return pf_fail(m->error, EINVAL, "word %u: %s", m->i, what);
}

static int push(struct making *m, pf_val v)
{
	if (m->depth == CSPF_STACK)
		return refuse(m, "more than %u values on the stack", CSPF_STACK);
	m->stack[m->depth++] = v;
	return 0;
}

static int pop(struct making *m, pf_val *ret)
{
	if (!m->depth)
		return refuse(m, "the stack is empty here");
	*ret = m->stack[--m->depth];
	return 0;
}

/* --- arguments ------------------------------------------------------------------------------- */

/* The current block goes on on the yes side of cond, rejects on the other. */
static void need(struct making *m, pf_val cond)
{
	pf_blk next = pf_block(m->u);

	pf_block_branch(m->u, m->at, cond, next, m->reject);
	m->at = next;
}

/* The word at byte base + k of the packet. */
static pf_val packet_word(struct making *m, pf_val base, uint32_t k)
{
	struct pf_unit *u = m->u;
	pf_val v;

	need(m, pf_fits(u, base, k, 2));
	v = pf_load(u, 2, base, k);
	if (!(m->cspf->flags & CSPF_LITTLE))
		return v;
	return pf_binary(u, PF_OP_OR,
			 pf_binary(u, PF_OP_SHL, pf_binary(u, PF_OP_AND, v, pf_const(u, 0xff)),
				   pf_const(u, 8)),
			 pf_binary(u, PF_OP_SHR, v, pf_const(u, 8)));
}

/* The word with a number that is only known when it runs; below `limit`, which is at most 2^31. */
static pf_val indexed_word(struct making *m, pf_val index, uint32_t limit)
{
	struct pf_unit *u = m->u;

	if (u->val[index].max >= limit)
		need(m, pf_binary(u, PF_OP_LT, index, pf_const(u, limit)));
	return packet_word(m, pf_binary(u, PF_OP_SHL, index, pf_const(u, 1)), 0);
}

static pf_val header_word(struct making *m, uint32_t n)
{
	if (n < m->cspf->header)
		return packet_word(m, 0, n * 2);
	need(m, pf_const(m->u, 0));
	return pf_const(m->u, 0);
}

static pf_val indexed_header_word(struct making *m, pf_val index)
{
	if (m->cspf->header)
		return indexed_word(m, index, m->cspf->header);
	return header_word(m, 0);
}

static int fetch(struct making *m, uint16_t word, pf_val *ret)
{
	uint32_t action = CSPF_ACTION(word);
	pf_val index = 0;
	int r = 0;

	switch (action) {
	case CSPF_NOPUSH:
		return pop(m, ret);
	case CSPF_PUSHLIT:
		if (m->i + 1 == m->cspf->n)
			return refuse(m, "PUSHLIT without a word behind it");
		*ret = pf_const(m->u, m->cspf->word[++m->i]);
		return 0;
	case CSPF_PUSHZERO:
		*ret = pf_const(m->u, 0);
		return 0;
	case CSPF_PUSHIND:
		r = pop(m, &index);
		*ret = r < 0 ? 0 : indexed_word(m, index, UINT32_C(1) << 31);
		return r;
	case CSPF_PUSHHDRIND:
		r = pop(m, &index);
		*ret = r < 0 ? 0 : indexed_header_word(m, index);
		return r;
	default:
		break;
	}
	if (action < CSPF_PUSHWORD)
		return refuse(m, "there is no action %u", action);
	if (action < CSPF_PUSHHDR) {
		*ret = packet_word(m, 0, (action - CSPF_PUSHWORD) * 2);
	} else if (action < CSPF_PUSHSTK) {
		*ret = header_word(m, action - CSPF_PUSHHDR);
	} else {
		if (action - CSPF_PUSHSTK >= m->depth)
			return refuse(m, "there is no word %u of the stack, which has %u here",
				      action - CSPF_PUSHSTK, m->depth);
		*ret = m->stack[m->depth - 1 - (action - CSPF_PUSHSTK)];
	}
	return 0;
}

/* --- operators ------------------------------------------------------------------------------- */

/* With the sign moved in. */
static pf_val shift_right(struct pf_unit *u, pf_val a, pf_val n)
{
	pf_val moved = pf_binary(u, PF_OP_SHR, a, n), sign, vacant;

	if (u->val[a].max < UINT32_C(1) << 31)
		return moved;
	/* All ones or all zeros, where bits have become free. */
	sign = pf_binary(u, PF_OP_SUB, pf_const(u, 0), pf_binary(u, PF_OP_SHR, a, pf_const(u, 31)));
	vacant = pf_binary(u, PF_OP_XOR, pf_binary(u, PF_OP_SHR, pf_const(u, UINT32_MAX), n),
			   pf_const(u, UINT32_MAX));
	return pf_binary(u, PF_OP_OR, moved, pf_binary(u, PF_OP_AND, sign, vacant));
}

static pf_val compute(struct pf_unit *u, enum cspf_operator op, pf_val a, pf_val b)
{
	static const uint8_t same[CSPF_OPERATORS] = {
		[CSPF_EQ] = PF_OP_EQ,	[CSPF_LT] = PF_OP_LT,	[CSPF_AND] = PF_OP_AND,
		[CSPF_OR] = PF_OP_OR,	[CSPF_XOR] = PF_OP_XOR, [CSPF_LSH] = PF_OP_SHL,
		[CSPF_ADD] = PF_OP_ADD, [CSPF_SUB] = PF_OP_SUB,
	};

	switch (op) {
	case CSPF_LE:
		return pf_not(u, pf_binary(u, PF_OP_LT, b, a));
	case CSPF_GT:
		return pf_binary(u, PF_OP_LT, b, a);
	case CSPF_GE:
		return pf_not(u, pf_binary(u, PF_OP_LT, a, b));
	case CSPF_NEQ:
		return pf_not(u, pf_binary(u, PF_OP_EQ, a, b));
	case CSPF_RSH:
		return shift_right(u, a, b);
	default:
		return pf_binary(u, same[op], a, b);
	}
}

/* Ends the program, one way or the other, if the two are equal or if they are not. */
static void maybe_end(struct making *m, enum cspf_operator op, pf_val a, pf_val b)
{
	pf_blk next = pf_block(m->u), end = op == CSPF_COR || op == CSPF_CNAND ? m->accept : m->reject;
	bool equal = op == CSPF_COR || op == CSPF_CNOR;

	pf_block_branch(m->u, m->at, pf_binary(m->u, PF_OP_EQ, a, b), equal ? end : next,
			equal ? next : end);
	m->at = next;
}

static int make_word(struct making *m)
{
	uint16_t word = m->cspf->word[m->i];
	unsigned op = CSPF_OPERATOR(word);
	pf_val arg = 0, top = 0;
	int r;

	if (op == CSPF_BPF)
		return refuse(m, "this begins a BPF program, which CSPF is not");
	if (op >= CSPF_OPERATORS)
		return refuse(m, "there is no operator %u", op);
	r = fetch(m, word, &arg);
	if (r < 0)
		return r;
	if (op == CSPF_NOP)
		return push(m, arg);
	r = pop(m, &top);
	if (r < 0)
		return r;
	if (op >= CSPF_COR && op <= CSPF_CNAND) {
		maybe_end(m, op, top, arg);
		return 0;
	}
	return push(m, compute(m->u, op, top, arg));
}

int pf_cspf_make(struct pf_unit *u, const struct cspf *cspf, const unsigned *lines,
		 struct pf_error *error)
{
	struct making m = { .u = u, .cspf = cspf, .lines = lines, .error = error };
	int r = 0;

	if (cspf->n > CSPF_MAX)
		return pf_fail(error, E2BIG, "a program of more than %u words", CSPF_MAX);
	u->nresult = 1;
	u->entry = m.at = pf_block(u);
	m.accept = pf_block(u);
	pf_block_result(u, m.accept, 0, pf_const(u, cspf->accept));
	pf_block_stop(u, m.accept);
	m.reject = pf_block(u);
	pf_block_stop(u, m.reject);
	m.stack[m.depth++] = pf_const(u, 1);
	for (; m.i < cspf->n && r == 0; m.i++)
		r = make_word(&m);
	if (r < 0)
		return r;
	if (!m.depth)
		return pf_fail(error, EINVAL, "nothing is on the stack at the end");
	pf_block_branch(u, m.at, m.stack[m.depth - 1], m.accept, m.reject);
	if (u->err)
		return pf_fail(error, -u->err, "%s",
			       u->err == -E2BIG ? "the filter is too large"
						: "no memory for the filter");
	return 0;
}

/* --- as a language --------------------------------------------------------------------------- */

static int said_smt(const void *program, size_t n, const char *name, struct pfs_buf *out)
{
	return pf_smt_cspf(program, name, out);
}

struct pf_said pf_said_cspf(struct cspf *cspf)
{
	return (struct pf_said){ cspf, 1, said_smt };
}

/* A NUL makes it words, in the order of this machine: no text has one. */
static int make(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		struct pf_said *ret_said, struct pf_error *error)
{
	PFS_FREE uint16_t *words = NULL;
	PFS_FREE unsigned *lines = NULL;
	PFS_FREE struct cspf *cspf = NULL;
	unsigned flags = 0;
	size_t n = len / 2;
	int r = 0;

	if (!memchr(text, 0, len)) {
		r = pf_cspf_parse(text, len, &words, &lines, &n, &flags, error);
	} else if (len % 2) {
		return pf_fail(error, EINVAL, "%zu bytes are no program: a word has 2", len);
	} else {
		words = malloc(len);
		if (words)
			memcpy(words, text, len);
	}
	if (r < 0)
		return r;
	cspf = words ? pf_cspf_new(words, n, options, flags) : NULL;
	if (!cspf)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	r = pf_cspf_make(u, cspf, lines, error);
	if (r == 0)
		*ret_said = pf_said_cspf(TAKE_PTR(cspf));
	return r;
}

const struct pf_front pf_front_cspf = {
	.name = "cspf",
	.max = (size_t)1 << 20,
	.make = make,
};
