/*
 * random - numbers, programs and packets that are made up, for tests and for fuzzing
 */
#ifndef TESTS_PF_RANDOM_H
#define TESTS_PF_RANDOM_H

#include <pipesfs/pf.h>

#include "base/bytes.h"
#include "base/base.h"
#include "pf/classic.h"

#define HELP __attribute__((unused)) static

/* --- numbers that look random and are the same everywhere ------------------------------------ */

/* From bytes while there are any (a fuzzer's), then from a state. */
struct dice {
	uint64_t state;
	const uint8_t *bytes;
	size_t n;
};

HELP uint32_t roll(struct dice *dice, uint32_t sides)
{
	if (dice->n) {
		unsigned take = sides <= 256 ? 1 : sides <= 65536 ? 2 : 4;
		uint32_t value = 0;

		for (; take && dice->n; take--, dice->n--)
			value = value << 8 | *dice->bytes++;
		return value % sides;
	}
	dice->state = dice->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((dice->state >> 33) * (uint64_t)sides >> 31);
}

HELP uint32_t roll_number(struct dice *dice)
{
	static const uint32_t edges[] = {
		0,	    1,		2,	    3,		4,	    5,	   15,	   31,
		32,	    33,		127,	    255,	256,	    0x800, 0xffff, 0x10000,
		0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff, 0xfffffffe, 0x86dd
	};

	if (roll(dice, 3))
		return edges[roll(dice, ARRAY_SIZE(edges))];
	return (roll(dice, 0x10000) << 16 | roll(dice, 0x10000)) >> roll(dice, 32);
}

/* --- packets --------------------------------------------------------------------------------- */

#define PACKET_MAX 2048u

struct bytes {
	uint8_t data[PACKET_MAX];
	uint32_t n;
};

struct packets {
	struct bytes *of; /* owned */
	size_t n, cap;
};

/* Where A came from, if that is bytes of the packet: A = bytes & mask. */
struct trail {
	uint32_t at, size, mask;
};

/* Makes the bytes behind A so that (A & bits) is value; there may be none. */
HELP void trail_set(struct bytes *b, const struct trail *t, uint32_t bits, uint32_t value)
{
	if (!t->size)
		return;
	bits &= t->mask;
	for (uint32_t i = 0; i < t->size; i++) {
		unsigned shift = (t->size - 1 - i) * 8;

		b->data[t->at + i] = (uint8_t)((b->data[t->at + i] & ~(bits >> shift)) |
					       ((value & bits) >> shift));
	}
}

/* So that the jump is, or is not, taken; nothing changes if it is so already. */
HELP void trail_decide(struct bytes *b, const struct trail *t, const struct pf_insn *insn,
		       uint32_t a, bool taken)
{
	uint32_t k = insn->k, low = t->mask & (0 - t->mask);
	unsigned op = CB_OP(insn->code);
	bool now = op == CB_JSET  ? (a & k) != 0
		   : op == CB_JGT ? a > k
		   : op == CB_JGE ? a >= k
				  : a == k;

	if (now == taken)
		return;
	if (op == CB_JSET)
		trail_set(b, t, k, taken ? k : 0);
	else if (op == CB_JGT)
		trail_set(b, t, UINT32_MAX, taken ? k + low : k);
	else if (op == CB_JGE)
		trail_set(b, t, UINT32_MAX, taken ? k : k - low);
	else
		trail_set(b, t, UINT32_MAX, taken ? k : k ^ low);
}

/* From where can the program accept? */
HELP void find_accepting(const struct pf_insn *insns, size_t n, uint8_t *can)
{
	for (size_t i = n; i-- > 0;) {
		const struct pf_insn *insn = &insns[i];

		if (CB_CLASS(insn->code) == CB_RET)
			can[i] = insn->code != (CB_RET | CB_K) || insn->k;
		else if (CB_CLASS(insn->code) != CB_JMP)
			can[i] = can[i + 1];
		else if (CB_OP(insn->code) == CB_JA)
			can[i] = insn->k < n ? can[i + 1 + insn->k] : 1;
		else
			can[i] = can[i + 1 + insn->jt] | can[i + 1 + insn->jf];
	}
}

/*
 * Runs the program over the packet and, where it compares bytes of it with a constant, changes them so that the program
 * goes on to where it may accept: mostly, so that the other ways are gone, too. Only what filters do most is followed.
 */
HELP void explore(const struct pf_insn *insns, size_t n, struct dice *dice, struct bytes *b)
{
	PFS_FREE uint8_t *can = pfs_zalloc(n, 1);
	uint32_t a = 0, x = 0, mem[CB_WORDS] = { 0 };
	struct trail trail = { 0 };
	size_t pc = 0;

	find_accepting(insns, n, can);
	for (int steps = 0; steps < 2000 && pc < n; steps++) {
		const struct pf_insn *insn = &insns[pc++];
		uint32_t size = CB_SIZE(insn->code) == CB_W   ? 4
				: CB_SIZE(insn->code) == CB_H ? 2
							      : 1;
		uint32_t at = insn->k;
		size_t yes = pc + insn->jt, no = pc + insn->jf;
		bool taken;

		switch (CB_CLASS(insn->code)) {
		case CB_LD:
			if (CB_MODE(insn->code) == CB_IND)
				at += x;
			trail = (struct trail){ 0 };
			if (CB_MODE(insn->code) == CB_MEM) {
				a = mem[insn->k];
			} else if (CB_MODE(insn->code) != CB_ABS && CB_MODE(insn->code) != CB_IND) {
				a = CB_MODE(insn->code) == CB_LEN ? b->n : insn->k;
			} else if (at < PACKET_MAX - 4) {
				if (at + size > b->n && roll(dice, 4))
					b->n = at + size;
				trail = (struct trail){ at, size, UINT32_MAX >> (32 - size * 8) };
				a = be32_load(b->data + at) >> (32 - size * 8);
			}
			break;
		case CB_LDX:
			x = CB_MODE(insn->code) == CB_MEM ? mem[insn->k] : insn->k;
			if (CB_MODE(insn->code) == CB_LEN)
				x = b->n;
			if (CB_MODE(insn->code) == CB_MSH)
				x = insn->k < PACKET_MAX ? (b->data[insn->k] & 15u) * 4 : 0;
			break;
		case CB_ST:
			mem[insn->k] = a;
			break;
		case CB_STX:
			mem[insn->k] = x;
			break;
		case CB_ALU:
			if (insn->code == (CB_ALU | CB_AND | CB_K)) {
				trail.mask &= insn->k;
				a &= insn->k;
			} else {
				trail.size = 0;
				if (CB_OP(insn->code) == CB_ADD)
					a += CB_SRC(insn->code) == CB_X ? x : insn->k;
			}
			break;
		case CB_MISC:
			if ((insn->code & 0xf8) == CB_TAX)
				x = a;
			else
				a = x;
			break;
		case CB_JMP:
			if (CB_OP(insn->code) == CB_JA) {
				pc += (size_t)(int32_t)insn->k;
				break;
			}
			taken = roll(dice, 2);
			if (roll(dice, 20))
				taken = can[yes] && (!can[no] || taken);
			if (CB_SRC(insn->code) == CB_K)
				trail_decide(b, &trail, insn, a, taken);
			pc = taken ? yes : no;
			break;
		default:
			return;
		}
	}
}

/*
 * A packet for a program: one of those given or random bytes, mostly made so that the program goes some way with it. So
 * deep ways are gone, too, whatever the captures hold.
 */
HELP void packet_for(const struct pf_insn *insns, size_t n, struct dice *dice,
		     const struct packets *from, struct bytes *out)
{
	if (from->n) {
		*out = from->of[roll(dice, (uint32_t)from->n)];
	} else {
		*out = (struct bytes){ .n = 20 + roll(dice, 140) };
		for (uint32_t i = 0; i < out->n; i++)
			out->data[i] = (uint8_t)roll(dice, roll(dice, 4) ? 6 : 256);
	}
	if (roll(dice, 5))
		explore(insns, n, dice, out);
}

/* --- random classic BPF ---------------------------------------------------------------------- */

HELP struct pf_insn random_load(struct dice *dice, uint32_t written)
{
	static const uint16_t sizes[] = { CB_W, CB_H, CB_B };
	uint16_t size = sizes[roll(dice, 3)];
	uint32_t near = roll(dice, 10) ? roll(dice, 60) : roll_number(dice);

	switch (roll(dice, 12)) {
	case 0:
		return (struct pf_insn){ .code = CB_LD | CB_IMM, .k = roll_number(dice) };
	case 1:
		return (struct pf_insn){ .code = CB_LDX | CB_IMM,
					 .k = roll(dice, 3) ? near : roll_number(dice) };
	case 2:
		return (struct pf_insn){ .code = CB_LD | CB_LEN };
	case 3:
		return (struct pf_insn){ .code = CB_LDX | CB_LEN };
	case 4:
	case 5:
		return (struct pf_insn){ .code = CB_LDX | CB_B | CB_MSH, .k = near };
	case 6:
	case 7:
		return (struct pf_insn){ .code = CB_LD | size | CB_IND, .k = near };
	case 8:
	case 9:
		/* A word that was written. */
		for (uint32_t word = roll(dice, CB_WORDS); written; word = (word + 1) % CB_WORDS)
			if (written >> word & 1)
				return (struct pf_insn){
					.code = (uint16_t)((roll(dice, 2) ? CB_LD : CB_LDX) | CB_MEM),
					.k = word
				};
		/* fallthrough */
	default:
		/* Not the fields beside the bytes: kernel and library know different ones. */
		return (struct pf_insn){ .code = CB_LD | size | CB_ABS,
					 .k = near >= 0x80000000 ? 14 : near };
	}
}

HELP struct pf_insn random_alu(struct dice *dice)
{
	static const uint16_t ops[] = { CB_ADD, CB_SUB, CB_MUL, CB_DIV, CB_OR,	CB_AND,
					CB_LSH, CB_RSH, CB_MOD, CB_XOR, CB_AND, CB_AND };
	uint16_t op = ops[roll(dice, ARRAY_SIZE(ops))];
	uint32_t k = roll(dice, 2) ? roll_number(dice) : 1 + roll(dice, 40);

	if (!roll(dice, 16))
		return (struct pf_insn){ .code = CB_ALU | CB_NEG };
	if (roll(dice, 3) == 0)
		return (struct pf_insn){ .code = CB_ALU | op | CB_X };
	if (op == CB_LSH || op == CB_RSH)
		k &= 31; /* more is undefined in libpcap and refused by Linux */
	if ((op == CB_DIV || op == CB_MOD) && !k)
		k = 3;
	return (struct pf_insn){ .code = CB_ALU | op | CB_K, .k = k };
}

HELP struct pf_insn random_jump(struct dice *dice, uint32_t left)
{
	static const uint16_t ops[] = { CB_JEQ, CB_JGT, CB_JGE, CB_JSET };
	struct pf_insn insn = { .code = (uint16_t)(CB_JMP | ops[roll(dice, 4)]),
				.k = roll_number(dice) };

	if (!roll(dice, 8))
		return (struct pf_insn){ .code = CB_JMP | CB_JA, .k = roll(dice, left < 6 ? left : 6) };
	if (!roll(dice, 4)) {
		insn.code |= CB_X;
		insn.k = 0;
	}
	insn.jt = (uint8_t)roll(dice, left < 10 ? left : 10);
	insn.jf = (uint8_t)roll(dice, left < 10 ? left : 10);
	return insn;
}

/* At most max instructions; words are only read when something before has surely written them. Returns how many. */
HELP size_t random_program(struct dice *dice, struct pf_insn *insns, size_t max)
{
	size_t n = 3 + roll(dice, (uint32_t)max - 3);
	uint32_t written = 0;

	for (size_t i = 0; i < n; i++) {
		struct pf_insn *insn = &insns[i];
		uint32_t left = (uint32_t)(n - i - 1);

		*insn = (struct pf_insn){ .code = CB_RET | CB_K,
					  .k = roll(dice, 3) ? roll_number(dice) : 0 };
		if (i + 1 >= n || !roll(dice, 16)) {
			if (roll(dice, 4) == 0)
				*insn = (struct pf_insn){ .code = CB_RET | CB_A };
			continue;
		}
		switch (roll(dice, 10)) {
		case 0:
		case 1:
		case 2:
			*insn = random_load(dice, written);
			break;
		case 3:
		case 4:
			*insn = random_alu(dice);
			break;
		case 5:
			*insn = (struct pf_insn){ .code = roll(dice, 2) ? CB_ST : CB_STX,
						  .k = roll(dice, CB_WORDS) };
			/* Only at the beginning is it sure that nothing jumps over it. */
			if (i < 6)
				written |= 1u << insn->k;
			break;
		case 6:
			*insn = (struct pf_insn){
				.code = (uint16_t)(CB_MISC | (roll(dice, 2) ? CB_TAX : CB_TXA))
			};
			break;
		default:
			*insn = i < 6 ? random_load(dice, written) : random_jump(dice, left);
			break;
		}
	}
	return n;
}

#endif
