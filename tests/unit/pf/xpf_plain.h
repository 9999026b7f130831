/*
 * xpf_plain - xPF once more: a plain interpreter, and programs that are made up
 *
 * Nothing of src/ is used but the numbers of classic BPF and those that look random. Programs are arrays of
 * instructions with their declarations in front, as the language takes them.
 */
#ifndef TESTS_PF_XPF_PLAIN_H
#define TESTS_PF_XPF_PLAIN_H

#include "tests/unit/pf/random.h"

#define PLAIN_WORDS 12u
#define PLAIN_INSNS 44u

struct plain_xpf {
	struct pf_insn insn[PLAIN_INSNS + 2]; /* two declarations, then the program */
	size_t n;			      /* of the program */
	uint32_t words, loops;
};

struct plain_run {
	const struct plain_xpf *xpf;
	const struct pf_packet *packet;
	uint32_t *memory;
	uint32_t a, x, m[16];
	uint32_t left; /* jumps back */
	bool rejects;
};

HELP uint32_t plain_bytes(struct plain_run *r, uint64_t at, unsigned size)
{
	uint32_t value = 0;

	if (at + size > r->packet->caplen) {
		r->rejects = true;
		return 0;
	}
	for (unsigned i = 0; i < size; i++)
		value = value << 8 | r->packet->data[at + i];
	return value;
}

/* The word of a place, NULL: rejects. */
HELP uint32_t *plain_word(struct plain_run *r, const struct pf_insn *insn, unsigned wide)
{
	uint64_t at = insn->k + (uint64_t)((insn->code & 0xe0) == 0xe0 ? r->x : 0);

	if (at + wide >= r->xpf->words) {
		r->rejects = true;
		return NULL;
	}
	return r->memory + at;
}

HELP void plain_persistent(struct plain_run *r, const struct pf_insn *insn)
{
	unsigned wide = (insn->code & 7) == 2 && (insn->code & 0x18) == 0x10;
	uint32_t *word = plain_word(r, insn, wide);
	uint64_t pair;

	if (!word)
		return;
	switch (insn->code & 7) {
	case 0:
		r->a = *word;
		break;
	case 1:
		r->x = *word;
		break;
	case 3:
		*word = r->x;
		break;
	default:
		if (wide) {
			pair = (word[0] | (uint64_t)word[1] << 32) + r->a;
			word[0] = (uint32_t)pair;
			word[1] = (uint32_t)(pair >> 32);
		} else {
			*word = (insn->code & 0x18 ? *word : 0) + r->a;
		}
		break;
	}
}

HELP void plain_load(struct plain_run *r, const struct pf_insn *insn)
{
	unsigned size = (insn->code & 0x18) == 0 ? 4 : (insn->code & 0x18) == 8 ? 2 : 1;
	uint32_t value;

	switch (insn->code & 0xe0) {
	case 0x00:
		value = insn->k;
		break;
	case 0x20:
		value = plain_bytes(r, insn->k, size);
		break;
	case 0x40:
		value = plain_bytes(r, (uint64_t)insn->k + r->x, size);
		break;
	case 0x60:
		value = r->m[insn->k];
		break;
	case 0x80:
		value = r->packet->len;
		break;
	default:
		value = (plain_bytes(r, insn->k, 1) & 15) * 4;
		break;
	}
	*((insn->code & 7) == 0 ? &r->a : &r->x) = value;
}

HELP void plain_compute(struct plain_run *r, const struct pf_insn *insn)
{
	uint32_t b = insn->code & 8 ? r->x : insn->k;

	switch (insn->code & 0xf0) {
	case 0x00:
		r->a += b;
		break;
	case 0x10:
		r->a -= b;
		break;
	case 0x20:
		r->a *= b;
		break;
	case 0x30:
	case 0x90:
		r->rejects = b == 0;
		if (b)
			r->a = (insn->code & 0xf0) == 0x30 ? r->a / b : r->a % b;
		break;
	case 0x40:
		r->a |= b;
		break;
	case 0x50:
		r->a &= b;
		break;
	case 0x60:
		r->a = b > 31 ? 0 : r->a << b;
		break;
	case 0x70:
		r->a = b > 31 ? 0 : r->a >> b;
		break;
	case 0x80:
		r->a = 0 - r->a;
		break;
	default:
		r->a ^= b;
		break;
	}
}

/* Where it goes on. */
HELP size_t plain_jump(struct plain_run *r, const struct pf_insn *insn, size_t next)
{
	uint32_t b = insn->code & 8 ? r->x : insn->k;
	bool yes;

	switch (insn->code & 0xf0) {
	case 0x00:
		if (insn->k >> 31 && r->left-- == 0)
			r->rejects = true;
		return next + (size_t)(int64_t)(int32_t)insn->k;
	case 0x10:
		yes = r->a == b;
		break;
	case 0x20:
		yes = r->a > b;
		break;
	case 0x30:
		yes = r->a >= b;
		break;
	default:
		yes = (r->a & b) != 0;
		break;
	}
	return next + (yes ? insn->jt : insn->jf);
}

HELP uint32_t plain_xpf_run(const struct plain_xpf *xpf, uint32_t *memory,
			    const struct pf_packet *packet)
{
	struct plain_run r = { .xpf = xpf, .packet = packet, .memory = memory, .left = xpf->loops };
	size_t at = 0;

	while (!r.rejects) {
		const struct pf_insn *insn = &xpf->insn[2 + at++];

		if ((insn->code & 0xc0) == 0xc0 && (insn->code & 7) <= 3) {
			plain_persistent(&r, insn);
			continue;
		}
		switch (insn->code & 7) {
		case 0:
		case 1:
			plain_load(&r, insn);
			break;
		case 2:
			r.m[insn->k] = r.a;
			break;
		case 3:
			r.m[insn->k] = r.x;
			break;
		case 4:
			plain_compute(&r, insn);
			break;
		case 5:
			at = plain_jump(&r, insn, at);
			break;
		case 6:
			return (insn->code & 0x18) == 0x10 ? r.a : insn->k;
		default:
			if (insn->code & 0x80)
				r.a = r.x;
			else
				r.x = r.a;
			break;
		}
	}
	return 0;
}

/* --- made up --------------------------------------------------------------------------------- */

HELP struct pf_insn plain_random_persistent(struct dice *dice, uint32_t words)
{
	static const uint16_t codes[] = { 0xc0, 0xe0, 0xc1, 0xe1, 0xc2, 0xe2, 0xc3,
					  0xca, 0xea, 0xd2, 0xf2, 0xca, 0xd2, 0xc2 };
	struct pf_insn insn = { .code = codes[roll(dice, ARRAY_SIZE(codes))] };

	insn.k = words < 2 ? 0 : roll(dice, words - 1);
	return insn;
}

/* Loops go back a few instructions; whether they have a way out is left to luck and to .loops. */
HELP void plain_xpf_random(struct dice *dice, struct plain_xpf *xpf)
{
	struct pf_insn *insn = xpf->insn + 2;

	xpf->words = 2 + roll(dice, PLAIN_WORDS - 1);
	xpf->loops = roll(dice, 3) ? 1 + roll(dice, 20) : 1 + roll(dice, 200);
	xpf->insn[0] = (struct pf_insn){ .code = 0x47, .k = xpf->words };
	xpf->insn[1] = (struct pf_insn){ .code = 0x4f, .k = xpf->loops };
	xpf->n = random_program(dice, insn, 4 + roll(dice, PLAIN_INSNS - 4));
	for (size_t i = 0; i + 1 < xpf->n; i++) {
		unsigned class = insn[i].code & 7;

		if (class == 5 || class == 6 || roll(dice, 4))
			continue;
		insn[i] = plain_random_persistent(dice, xpf->words);
	}
	for (unsigned loops = roll(dice, 4); loops > 0 && xpf->n > 6; loops--) {
		size_t from = 3 + roll(dice, (uint32_t)xpf->n - 4), to = roll(dice, (uint32_t)from);

		insn[from] = (struct pf_insn){ .code = 0x05, .k = (uint32_t)(to - from - 1) };
	}
}

#endif
