/*
 * cspf_plain - CSPF as its manual says it, word by word over the bytes of a packet; and programs made at random
 *
 * Shares nothing with src/: numbers of actions and operators are written down again.
 */
#ifndef TESTS_PF_CSPF_PLAIN_H
#define TESTS_PF_CSPF_PLAIN_H

#include "tests/unit/pf/random.h"

#define CSPF_PLAIN_WORDS 64

struct cspf_program {
	uint16_t word[CSPF_PLAIN_WORDS];
	size_t n;
	bool little;
	uint32_t header; /* bytes of the link header */
	uint16_t link_type;
	uint32_t accept;
};

/* What word k of the packet is; -1: it has none. */
HELP int64_t cspf_word(const struct cspf_program *prog, const struct pf_packet *p, uint64_t k)
{
	if (k >= p->caplen / 2)
		return -1;
	return prog->little ? p->data[2 * k + 1] * 256 + p->data[2 * k]
			    : p->data[2 * k] * 256 + p->data[2 * k + 1];
}

HELP int64_t cspf_header(const struct cspf_program *prog, const struct pf_packet *p, uint64_t k)
{
	return k < prog->header / 2 ? cspf_word(prog, p, k) : -1;
}

/* By one at a time: what C says of more than 31 does not matter. */
HELP uint32_t cspf_shift(uint32_t value, uint32_t by, bool left)
{
	for (uint32_t i = 0; i < by && i < 64; i++)
		value = left ? value * 2 : (value / 2) | (value & 0x80000000);
	return value;
}

HELP uint32_t cspf_plain(const void *program, const struct pf_packet *p)
{
	const struct cspf_program *prog = program;
	uint32_t stack[40] = { 1 }, t;
	unsigned depth = 1;

	for (size_t i = 0; i < prog->n; i++) {
		unsigned action = prog->word[i] % 1024, op = prog->word[i] / 1024;
		int64_t arg;

		if (action == 0)
			arg = stack[--depth];
		else if (action == 1)
			arg = prog->word[++i];
		else if (action == 2)
			arg = 0;
		else if (action == 14)
			arg = cspf_word(prog, p, stack[--depth]);
		else if (action == 15)
			arg = cspf_header(prog, p, stack[--depth]);
		else if (action < 960)
			arg = cspf_word(prog, p, action - 16);
		else if (action < 992)
			arg = cspf_header(prog, p, action - 960);
		else
			arg = stack[depth - 1 - (action - 992)];
		if (arg < 0)
			return 0;
		if (op == 0) {
			stack[depth++] = (uint32_t)arg;
			continue;
		}
		t = stack[--depth];
		if (op == 9 && t == arg)
			return prog->accept; /* COR */
		if (op == 10 && t != arg)
			return 0; /* CAND */
		if (op == 11 && t == arg)
			return 0; /* CNOR */
		if (op == 12 && t != arg)
			return prog->accept; /* CNAND */
		if (op >= 9 && op <= 12)
			continue;
		t = op == 1    ? t == arg
		    : op == 2  ? t < arg
		    : op == 3  ? t <= arg
		    : op == 4  ? t > arg
		    : op == 5  ? t >= arg
		    : op == 6  ? t & (uint32_t)arg
		    : op == 7  ? t | (uint32_t)arg
		    : op == 8  ? t ^ (uint32_t)arg
		    : op == 13 ? t != arg
		    : op == 14 ? cspf_shift(t, (uint32_t)arg, true)
		    : op == 15 ? cspf_shift(t, (uint32_t)arg, false)
		    : op == 16 ? t + (uint32_t)arg
			       : t - (uint32_t)arg;
		stack[depth++] = t;
	}
	return stack[depth - 1] ? prog->accept : 0;
}

/* --- made at random -------------------------------------------------------------------------- */

/* A literal that may matter: a word of the packet, a small number, any. */
HELP uint16_t cspf_random_literal(struct dice *dice, const struct cspf_program *prog,
				  const struct bytes *b)
{
	uint32_t k = roll(dice, 40) * 2;

	if (roll(dice, 3) && k + 1 < b->n)
		return (uint16_t)(prog->little ? b->data[k + 1] << 8 | b->data[k]
					       : b->data[k] << 8 | b->data[k + 1]);
	return (uint16_t)(roll(dice, 2) ? roll(dice, 40) : roll_number(dice));
}

/*
 * Of words that keep to the rules of the stack, most of them about the beginning of packet b, whose own words are among
 * the literals: so some of them are equal.
 */
HELP void cspf_random(struct dice *dice, const struct bytes *b, struct cspf_program *prog)
{
	size_t want = 1 + roll(dice, CSPF_PLAIN_WORDS - 2);
	unsigned depth = 1;
	uint32_t last = 0;
	bool compare = false;

	*prog = (struct cspf_program){
		.little = !roll(dice, 6), .header = 14, .link_type = 1, .accept = 262144
	};
	if (!roll(dice, 8)) {
		prog->link_type = 101;
		prog->header = 0;
	}
	while (prog->n < want) {
		unsigned op = roll(dice, 18), action;

		if (depth < 2 && op >= 9 && op <= 12)
			op = 0; /* the last value would be gone */
		if (!roll(dice, 3) || depth == 0)
			op = 0;
		/* A word of the packet, and then its own value: what filters do. */
		if (compare && prog->n + 2 < CSPF_PLAIN_WORDS && roll(dice, 4)) {
			static const uint8_t ops[] = { 1, 10, 10, 9, 12, 11, 13, 2, 5 };
			uint16_t literal =
				last * 2 + 1 < b->n && roll(dice, 8)
					? (uint16_t)(prog->little ? b->data[last * 2 + 1] << 8 |
									    b->data[last * 2]
								  : b->data[last * 2] << 8 |
									    b->data[last * 2 + 1])
					: cspf_random_literal(dice, prog, b);

			op = ops[roll(dice, sizeof(ops))];
			prog->word[prog->n++] = (uint16_t)(op << 10 | 1);
			prog->word[prog->n++] = literal;
			depth -= op >= 9 && op <= 12;
			compare = false;
			continue;
		}
		compare = false;
		switch (roll(dice, 12)) {
		case 0:
		case 1:
			action = 1;
			break;
		case 2:
			action = 2;
			break;
		case 3:
			action = depth > (op ? 1u : 0u) + (op >= 9 && op <= 12) ? 0 : 2;
			break;
		case 4:
			action = depth > (op ? 1u : 0u) + (op >= 9 && op <= 12) ? 14 : 16;
			break;
		case 5:
			action = depth > (op ? 1u : 0u) + (op >= 9 && op <= 12) ? 15 : 17;
			break;
		case 6:
			action = 960 + roll(dice, roll(dice, 8) ? 7 : 32);
			break;
		case 7:
			action = 992 + roll(dice, depth);
			break;
		default:
			last = roll(dice, 12) ? roll(dice, 36) : roll(dice, 944);
			action = 16 + last;
			compare = op == 0;
			break;
		}
		if (depth >= 30 && !op && action != 0 && action != 14 && action != 15)
			continue;
		if (action == 1 && prog->n + 1 >= CSPF_PLAIN_WORDS)
			break;
		prog->word[prog->n++] = (uint16_t)(op << 10 | action);
		if (action == 1)
			prog->word[prog->n++] = cspf_random_literal(dice, prog, b);
		depth -= action == 0 || action == 14 || action == 15;
		depth += op == 0;
		depth -= op >= 9 && op <= 12;
	}
}

#endif
