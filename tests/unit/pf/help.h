/*
 * help - what the tests of packet filters share: packets, the corpus of expressions, a plain evaluator
 *
 * The evaluator walks the intermediate form as docs/ir.md says it, one value at a time; it shares no code with the back
 * ends, and it stops the test when a load lies outside of the packet.
 */
#ifndef TESTS_PF_HELP_H
#define TESTS_PF_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include <pipesfs/pf.h>

#include "base/bytes.h"
#include "packet/generate.h"
#include "pf/ir/ir.h"
#include "tests/unit/pf/random.h"

/* --- packets --------------------------------------------------------------------------------- */

HELP struct bytes *packets_add(struct packets *packets, const void *data, size_t n)
{
	struct bytes *b;

	if (packets->n == packets->cap) {
		packets->cap = packets->cap ? packets->cap * 2 : 64;
		packets->of = reallocarray(packets->of, packets->cap, sizeof(*packets->of));
		assert_non_null(packets->of);
	}
	b = &packets->of[packets->n++];
	*b = (struct bytes){ .n = (uint32_t)pfs_min(n, PACKET_MAX) };
	if (b->n)
		memcpy(b->data, data, b->n);
	return b;
}

HELP void packets_release(struct packets *packets)
{
	free(packets->of);
	*packets = (struct packets){ 0 };
}

/* Of all kinds that our generator makes; Ethernet. */
HELP void packets_generate(struct packets *packets, uint64_t seed, uint64_t n)
{
	struct generate_options options = GENERATE_DEFAULTS;
	PFS_BUF struct pfs_buf cap = { 0 };

	options.seed = seed;
	options.packets = n;
	options.vlan = 20;
	options.ip6 = 40;
	assert_int_equal(capture_generate_buf(&options, &cap, NULL), 0);
	for (size_t at = 24; at + 16 <= cap.len;) {
		uint32_t len = le32_load((uint8_t *)cap.data + at + 8);

		packets_add(packets, cap.data + at + 16, len);
		at += 16 + len;
	}
}

/* --- how long, and from where ---------------------------------------------------------------- */

/* How long random programs are made: PF_AGREE_SECONDS, or two. */
HELP uint64_t agree_end(void)
{
	const char *seconds = getenv("PF_AGREE_SECONDS");

	return pfs_clock_mono() + (seconds ? strtoull(seconds, NULL, 10) : 2) * 1000000000;
}

HELP uint64_t agree_seed(void)
{
	const char *seed = getenv("PF_AGREE_SEED");

	return seed ? strtoull(seed, NULL, 16) : getenv("PF_AGREE_SECONDS") ? pfs_clock_real() : 42;
}

/* --- the corpus ------------------------------------------------------------------------------ */

struct expression {
	uint16_t link_type;
	char *text; /* owned */
};

/* tests/unit/pf/expressions.txt: link type, tab, expression. Each text is to be freed. */
HELP size_t corpus_load(struct expression **ret)
{
	const char *top = getenv("SRCDIR");
	char path[4096], *line = NULL;
	struct expression *e = NULL;
	size_t n = 0, cap = 0;
	ssize_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/unit/pf/expressions.txt", top ? top : ".");
	f = fopen(path, "re");
	assert_non_null(f);
	while ((len = getline(&line, &cap, f)) > 0) {
		char *tab = strchr(line, '\t');

		assert_non_null(tab);
		line[strcspn(line, "\n")] = '\0';
		e = reallocarray(e, n + 1, sizeof(*e));
		e[n++] = (struct expression){ (uint16_t)atoi(line), strdup(tab + 1) };
	}
	free(line);
	fclose(f);
	*ret = e;
	return n;
}

HELP void corpus_release(struct expression *e, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(e[i].text);
	free(e);
}

/* --- the evaluator --------------------------------------------------------------------------- */

struct eval {
	const struct pf_unit *u;
	const struct pf_packet *packet;
	uint32_t *value; /* owned; by value */
	uint32_t *when;	 /* owned; by value: the turn in which it was computed */
	uint32_t turn;
};

HELP void eval_init(struct eval *e, const struct pf_unit *u)
{
	*e = (struct eval){ .u = u };
	e->value = pfs_zalloc(u->nval, sizeof(*e->value));
	e->when = pfs_zalloc(u->nval, sizeof(*e->when));
	assert_true(e->value && e->when);
}

HELP void eval_release(struct eval *e)
{
	free(e->value);
	free(e->when);
}

HELP uint32_t eval_value(struct eval *e, pf_val val);

HELP uint32_t eval_load(struct eval *e, const struct pf_value *v, unsigned size)
{
	uint64_t at = (v->a ? eval_value(e, v->a) : 0) + (uint64_t)v->k;
	uint32_t value = 0;

	assert_true(at + size <= e->packet->caplen);
	for (unsigned i = 0; i < size; i++)
		value = value << 8 | e->packet->data[at + i];
	return value;
}

HELP uint32_t eval_binary(uint8_t op, uint32_t a, uint32_t b)
{
	switch (op) {
	case PF_OP_ADD:
		return a + b;
	case PF_OP_SUB:
		return a - b;
	case PF_OP_MUL:
		return a * b;
	case PF_OP_DIV:
		return b == 0 ? 0 : a / b;
	case PF_OP_MOD:
		return b == 0 ? a : a % b;
	case PF_OP_AND:
		return a & b;
	case PF_OP_OR:
		return a | b;
	case PF_OP_XOR:
		return a ^ b;
	case PF_OP_SHL:
		return (uint32_t)((uint64_t)a << (b > 32 ? 32 : b));
	case PF_OP_SHR:
		return (uint32_t)((uint64_t)a >> (b > 32 ? 32 : b));
	case PF_OP_EQ:
		return a == b ? 1 : 0;
	default:
		assert_int_equal(op, PF_OP_LT);
		return a < b ? 1 : 0;
	}
}

struct eval_key {
	uint32_t a, b, value;
};

HELP void eval_key(void *arg, uint32_t a, uint32_t b, uint32_t value)
{
	struct eval_key *want = arg;

	if (a == want->a && b == want->b)
		want->value = value;
}

/* By looking at all keys. */
HELP uint32_t eval_find(const struct pf_table *t, uint32_t a, uint32_t b)
{
	struct eval_key key = { a, b, 0 };

	pf_table_each(t, eval_key, &key);
	return key.value;
}

HELP uint32_t eval_value(struct eval *e, pf_val val)
{
	const struct pf_value *v = &e->u->val[val];
	const struct pf_aux *aux = e->packet->aux;
	bool known = aux && v->k < 32 && aux->known >> v->k & 1;
	uint32_t r;

	if (v->op == PF_OP_PARAM || e->when[val] == e->turn)
		return e->value[val];
	switch (v->op) {
	case PF_OP_CONST:
		r = v->k;
		break;
	case PF_OP_LEN:
		r = e->packet->len;
		break;
	case PF_OP_AUX:
		r = known ? aux->value[v->k] : 0;
		break;
	case PF_OP_KNOWN:
		r = known;
		break;
	case PF_OP_FITS:
		r = (v->a ? eval_value(e, v->a) : 0) + (uint64_t)v->k <= e->packet->caplen;
		break;
	case PF_OP_LOAD8:
		r = eval_load(e, v, 1);
		break;
	case PF_OP_LOAD16:
		r = eval_load(e, v, 2);
		break;
	case PF_OP_LOAD32:
		r = eval_load(e, v, 4);
		break;
	case PF_OP_FIND:
		r = eval_find(e->u->table[v->k], eval_value(e, v->a), eval_value(e, v->b));
		break;
	default:
		r = eval_binary(v->op, eval_value(e, v->a), eval_value(e, v->b));
		break;
	}
	/* What is known of a value in advance must hold. */
	assert_true(r <= v->max && !(r & ~v->may));
	e->value[val] = r;
	e->when[val] = e->turn;
	return r;
}

/* Arguments are computed before any parameter changes. */
HELP void eval_edge(struct eval *e, const struct pf_edge *edge)
{
	const struct pf_block *to = &e->u->blk[edge->to];
	PFS_FREE uint32_t *args = pfs_zalloc(edge->nargs, sizeof(*args));

	assert_int_equal(edge->nargs, to->nparam);
	for (uint32_t i = 0; i < edge->nargs; i++)
		args[i] = eval_value(e, edge->args[i]);
	for (uint32_t i = 0; i < edge->nargs; i++)
		e->value[to->param[i]] = args[i];
	if (edge->nargs)
		e->turn++;
}

/* The result of filter 0. */
HELP uint32_t eval_run(struct eval *e, const struct pf_packet *packet)
{
	uint32_t result = 0;
	pf_blk at = e->u->entry;

	e->packet = packet;
	e->turn++;
	for (uint32_t steps = 0;; steps++) {
		const struct pf_block *b = &e->u->blk[at];
		const struct pf_edge *edge;

		assert_true(steps < 10000000);
		for (uint32_t i = 0; i < b->npin; i++)
			if (e->u->val[b->pin[i]].k == 0)
				result = eval_value(e, e->u->val[b->pin[i]].a);
		if (b->end == PF_END_STOP)
			return result;
		edge = &b->edge[b->end == PF_END_BRANCH && !eval_value(e, b->cond)];
		eval_edge(e, edge);
		at = edge->to;
	}
}

#endif
