/*
 * mpf_plain - MPF as its manual says it, instruction by instruction; who the sessions are is asked of the caller
 *
 * Shares nothing with src/: the numbers of instructions are written down again.
 */
#ifndef TESTS_PF_MPF_PLAIN_H
#define TESTS_PF_MPF_PLAIN_H

#include "tests/unit/pf/random.h"

#define MPF_PLAIN_MAX 80

struct mpf_program {
	struct pf_insn insn[MPF_PLAIN_MAX];
	size_t n;
};

/* What a packet comes to. */
struct mpf_end {
	uint32_t accept; /* 0: rejected */
	bool by_data; /* words are those that match_data asks for; else the keys of the session */
	bool asked;   /* keys are there */
	uint32_t keys[16];
	unsigned nwords, nregister;
	uint32_t words[16], registers[16];
	uint32_t register_ms, wait_ms;
};

/* Is there a session with these keys? */
typedef bool (*mpf_session_fn)(void *arg, const uint32_t *keys, unsigned n);

/* False: it lies outside of the packet. */
HELP bool mpf_load(const struct pf_packet *p, uint64_t at, unsigned size, uint32_t *ret)
{
	if (at + size > p->caplen)
		return false;
	for (*ret = 0; size > 0; size--)
		*ret = *ret << 8 | p->data[at++];
	return true;
}

HELP bool mpf_alu(uint16_t code, uint32_t b, uint32_t *a)
{
	switch (code & 0xf0) {
	case 0x00:
		*a += b;
		return true;
	case 0x10:
		*a -= b;
		return true;
	case 0x20:
		*a *= b;
		return true;
	case 0x30:
	case 0x90:
		if (b)
			*a = (code & 0xf0) == 0x30 ? *a / b : *a % b;
		return b != 0;
	case 0x40:
		*a |= b;
		return true;
	case 0x50:
		*a &= b;
		return true;
	case 0x60:
		*a = b > 31 ? 0 : *a << b;
		return true;
	case 0x70:
		*a = b > 31 ? 0 : *a >> b;
		return true;
	case 0x80:
		*a = 0 - *a;
		return true;
	default:
		*a ^= b;
		return true;
	}
}

/* A load into A (code 0) or X (code 1). */
HELP bool mpf_take(const struct pf_packet *p, const struct pf_insn *i, uint32_t x,
		   const uint32_t *mem, uint32_t *reg)
{
	unsigned size = (i->code & 0x18) == 0 ? 4 : (i->code & 0x18) == 8 ? 2 : 1;

	switch (i->code & 0xe0) {
	case 0x00:
		*reg = i->k;
		return true;
	case 0x20:
		return mpf_load(p, i->k, size, reg);
	case 0x40:
		return mpf_load(p, (uint64_t)x + i->k, size, reg);
	case 0x60:
		*reg = mem[i->k];
		return true;
	case 0x80:
		*reg = p->len;
		return true;
	default:
		if (!mpf_load(p, i->k, 1, reg))
			return false;
		*reg = (*reg & 15) * 4;
		return true;
	}
}

HELP bool mpf_jumps(uint16_t code, uint32_t a, uint32_t b)
{
	switch (code & 0xf0) {
	case 0x10:
		return a == b;
	case 0x20:
		return a > b;
	case 0x30:
		return a >= b;
	default:
		return a & b;
	}
}

HELP struct mpf_end mpf_run(const struct mpf_program *prog, const struct pf_packet *p,
			    mpf_session_fn session, void *arg)
{
	struct mpf_end end = { 0 }, rejected = { 0 };
	uint32_t a = 0, x = 0, mem[16] = { 0 };
	bool asks = false, found = false;

	for (size_t i = 0; i < prog->n; i++)
		asks = asks || prog->insn[i].code == 0x1e || prog->insn[i].code == 0x55;
	for (size_t pc = 0;;) {
		const struct pf_insn *i = &prog->insn[pc++];
		uint32_t b = i->code & 8 ? x : i->k;

		if (i->code == 0x1e || i->code == 0x55) { /* match_imm, ckmatch_imm */
			unsigned n = i->code == 0x1e ? i->jt : i->k;

			end.asked = true;
			memcpy(end.keys, mem, n * sizeof(*mem));
			found = session(arg, mem, n);
			if (i->code == 0x55) {
				pc += found ? i->jt : i->jf;
				continue;
			}
			end.accept = i->k;
			return found && end.accept ? end : rejected;
		}
		if (i->code == 0x26) { /* match_data */
			end.by_data = true;
			end.accept = i->k;
			end.nwords = i->jt;
			memcpy(end.words, mem, i->jt * sizeof(*mem));
			return end.accept ? end : rejected;
		}
		if (i->code == 0x1f) { /* reg_data */
			end.register_ms = i->k;
			end.nregister = i->jt;
			memcpy(end.registers, mem, i->jt * sizeof(*mem));
			continue;
		}
		if (i->code == 0x27) { /* postpone */
			end.wait_ms = i->k;
			continue;
		}
		switch (i->code & 7) {
		case 0:
			if (!mpf_take(p, i, x, mem, &a))
				return rejected;
			break;
		case 1:
			if (!mpf_take(p, i, x, mem, &x))
				return rejected;
			break;
		case 2:
			mem[i->k] = a;
			break;
		case 3:
			mem[i->k] = x;
			break;
		case 4:
			if (!mpf_alu(i->code, b, &a))
				return rejected;
			break;
		case 5:
			if ((i->code & 0xf0) == 0)
				pc += i->k;
			else
				pc += mpf_jumps(i->code, a, b) ? i->jt : i->jf;
			break;
		case 6:
			end.accept = i->code & 0x10 ? a : i->k;
			return end.accept && (!asks || found) ? end : rejected;
		default:
			if (i->code & 0x80)
				a = x;
			else
				x = a;
			break;
		}
	}
}

/* The program's own keys are the only session. */
HELP bool mpf_own_keys(void *arg, const uint32_t *keys, unsigned n)
{
	const struct mpf_program *prog = arg;
	size_t at = 0;

	while (prog->insn[at].code != 0x17)
		at++;
	for (unsigned i = 0; i < n; i++)
		if (prog->insn[at + i].k != keys[i])
			return false;
	return true;
}

/* Nothing is registered. */
HELP uint32_t mpf_plain(const void *program, const struct pf_packet *p)
{
	struct mpf_end end = mpf_run(program, p, mpf_own_keys, (void *)program);

	return end.by_data ? 0 : end.accept;
}

/* --- made at random -------------------------------------------------------------------------- */

HELP void mpf_add(struct mpf_program *prog, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	prog->insn[prog->n++] = (struct pf_insn){ code, jt, jf, k };
}

/* n instructions that go on behind them, or reject; words 0 to 3 have been written. */
HELP void mpf_random_body(struct dice *dice, struct mpf_program *prog, uint32_t n)
{
	for (uint32_t left = n; left > 0; left--) {
		uint32_t what = roll(dice, 12);

		if (what < 4)
			prog->insn[prog->n++] = random_load(dice, 15);
		else if (what < 6)
			prog->insn[prog->n++] = random_alu(dice);
		else if (what < 8)
			mpf_add(prog, roll(dice, 2) ? CB_ST : CB_STX, 0, 0, roll(dice, 4));
		else if (what < 9)
			mpf_add(prog, (uint16_t)(CB_MISC | (roll(dice, 2) ? CB_TAX : CB_TXA)), 0, 0, 0);
		else if (what < 11 && left > 1)
			prog->insn[prog->n++] = random_jump(dice, left);
		else
			prog->insn[prog->n++] = random_load(dice, 15);
	}
}

HELP bool mpf_note_keys(void *arg, const uint32_t *keys, unsigned n)
{
	memcpy(arg, keys, n * sizeof(*keys));
	return true;
}

/*
 * Words 0 to 3 are loaded, something happens, then a session is asked for: at the end, or with ways on from there where
 * words may be registered or asked for. The keys are mostly those that packet b has.
 */
HELP void mpf_random(struct dice *dice, const struct bytes *b, struct mpf_program *prog)
{
	struct pf_packet p = { .data = b->data, .caplen = b->n, .len = b->n };
	uint32_t keys[16] = { 0 }, n = 1 + roll(dice, 4), words = 1 + roll(dice, 4), yes, no;
	size_t match;

	*prog = (struct mpf_program){ .n = 0 };
	for (uint32_t word = 0; word < 4; word++) {
		static const uint16_t sizes[] = { CB_W, CB_H, CB_B };

		mpf_add(prog, (uint16_t)(CB_LD | CB_ABS | sizes[roll(dice, 3)]), 0, 0, roll(dice, 34));
		mpf_add(prog, CB_ST, 0, 0, word);
	}
	mpf_random_body(dice, prog, roll(dice, 10));
	match = prog->n;
	if (roll(dice, 2)) {
		mpf_add(prog, CB_RET | CB_MATCH_IMM, (uint8_t)n, 0,
			roll(dice, 8) ? 96 + roll(dice, 2000) : 0);
		for (uint32_t i = 0; i < n; i++)
			mpf_add(prog, CB_MISC | CB_KEY, 0, 0, roll_number(dice));
	} else {
		mpf_add(prog, CB_JMP | CB_CKMATCH_IMM, 0, 0, n);
		for (uint32_t i = 0; i < n; i++)
			mpf_add(prog, CB_MISC | CB_KEY, 0, 0, roll_number(dice));
		yes = (uint32_t)(prog->n - match - 1);
		mpf_random_body(dice, prog, roll(dice, 6));
		if (roll(dice, 2))
			mpf_add(prog, CB_MISC | CB_REG_DATA, (uint8_t)words, 0, 1 + roll(dice, 20));
		if (roll(dice, 3))
			mpf_add(prog, CB_RET | CB_K, 0, 0, 1 + roll(dice, 2000));
		else
			mpf_add(prog, CB_RET | CB_A, 0, 0, 0);
		no = (uint32_t)(prog->n - match - 1);
		mpf_random_body(dice, prog, roll(dice, 6));
		if (roll(dice, 2))
			mpf_add(prog, CB_MISC | CB_POSTPONE, 0, 0, 1 + roll(dice, 20));
		if (roll(dice, 3))
			mpf_add(prog, CB_RET | CB_MATCH_DATA, (uint8_t)words, 0, 1 + roll(dice, 2000));
		else
			mpf_add(prog, CB_RET | CB_K, 0, 0, roll(dice, 2));
		prog->insn[match].jt = (uint8_t)yes;
		prog->insn[match].jf = (uint8_t)no;
	}
	mpf_run(prog, &p, mpf_note_keys, keys);
	for (uint32_t i = 0; i < n && roll(dice, 5); i++)
		prog->insn[match + 1 + i].k = keys[i];
}

#endif
