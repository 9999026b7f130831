/* Which classic BPF programs are accepted. */
#include "pf/classic.h"
#include "pf/error.h"
#include "pf/front/cbpf_i.h"

#define A_BIT (1u << CB_WORDS)
#define X_BIT (1u << (CB_WORDS + 1))

static bool is_mpf_code(uint16_t code)
{
	return code == (CB_RET | CB_MATCH_IMM) || code == (CB_RET | CB_MATCH_DATA) ||
	       code == (CB_JMP | CB_CKMATCH_IMM) || code == (CB_MISC | CB_KEY) ||
	       code == (CB_MISC | CB_REG_DATA) || code == (CB_MISC | CB_POSTPONE);
}

/* Every instruction that there is, in full. */
static bool is_code(uint16_t code)
{
	switch (code) {
	case CB_LD | CB_W | CB_ABS:
	case CB_LD | CB_H | CB_ABS:
	case CB_LD | CB_B | CB_ABS:
	case CB_LD | CB_W | CB_IND:
	case CB_LD | CB_H | CB_IND:
	case CB_LD | CB_B | CB_IND:
	case CB_LD | CB_W | CB_IMM:
	case CB_LD | CB_W | CB_MEM:
	case CB_LD | CB_W | CB_LEN:
	case CB_LDX | CB_IMM:
	case CB_LDX | CB_W | CB_MEM:
	case CB_LDX | CB_W | CB_LEN:
	case CB_LDX | CB_B | CB_MSH:
	case CB_ST:
	case CB_STX:
	case CB_ALU | CB_NEG:
	case CB_JMP | CB_JA:
	case CB_RET | CB_K:
	case CB_RET | CB_A:
	case CB_MISC | CB_TAX:
	case CB_MISC | CB_TXA:
		return true;
	default:
		break;
	}
	if (code & ~0xffu)
		return false;
	if (CB_CLASS(code) == CB_ALU)
		return CB_OP(code) <= CB_XOR && CB_OP(code) != CB_NEG;
	return CB_CLASS(code) == CB_JMP && CB_OP(code) >= CB_JEQ && CB_OP(code) <= CB_JSET;
}

/* Every one of xPF's own. */
static bool is_persistent_code(uint16_t code)
{
	switch (code) {
	case CB_LD | CB_PERSIST:
	case CB_LD | CB_PERSISTX:
	case CB_LDX | CB_PERSIST:
	case CB_LDX | CB_PERSISTX:
	case CB_ST | CB_PERSIST:
	case CB_ST | CB_PERSISTX:
	case CB_STX | CB_PERSIST:
	case CB_ST | CB_PERSIST | CB_ADDM:
	case CB_ST | CB_PERSISTX | CB_ADDM:
	case CB_ST | CB_PERSIST | CB_ADDM64:
	case CB_ST | CB_PERSISTX | CB_ADDM64:
		return true;
	default:
		return false;
	}
}

static struct cbpf_effect persistent_effect(const struct pf_insn *insn)
{
	uint32_t base = CB_MODE(insn->code) == CB_PERSISTX ? X_BIT : 0;

	switch (CB_CLASS(insn->code)) {
	case CB_LD:
		return (struct cbpf_effect){ base, A_BIT };
	case CB_LDX:
		return (struct cbpf_effect){ base, X_BIT };
	case CB_ST:
		return (struct cbpf_effect){ base | A_BIT, 0 };
	default:
		return (struct cbpf_effect){ X_BIT, 0 };
	}
}

struct cbpf_effect cbpf_effect(const struct pf_insn *insn)
{
	bool x = CB_SRC(insn->code) == CB_X;
	uint32_t target = CB_CLASS(insn->code) == CB_LD ? A_BIT : X_BIT;

	if (is_mpf_code(insn->code)) {
		bool none = insn->code == (CB_MISC | CB_KEY) || insn->code == (CB_MISC | CB_POSTPONE);
		uint32_t words = insn->code == (CB_JMP | CB_CKMATCH_IMM) ? insn->k
				 : none					 ? 0
									 : insn->jt;

		return (struct cbpf_effect){ (1u << words) - 1, 0 };
	}
	if (cbpf_persists(insn))
		return persistent_effect(insn);

	switch (CB_CLASS(insn->code)) {
	case CB_LD:
	case CB_LDX:
		if (CB_MODE(insn->code) == CB_IND)
			return (struct cbpf_effect){ X_BIT, target };
		if (CB_MODE(insn->code) == CB_MEM)
			return (struct cbpf_effect){ 1u << insn->k, target };
		if (CB_MODE(insn->code) == CB_ABS && insn->k == CB_AD_OFF + CB_AD_XOR_X)
			return (struct cbpf_effect){ A_BIT | X_BIT, target };
		return (struct cbpf_effect){ 0, target };
	case CB_ST:
		return (struct cbpf_effect){ A_BIT, 1u << insn->k };
	case CB_STX:
		return (struct cbpf_effect){ X_BIT, 1u << insn->k };
	case CB_ALU:
		return (struct cbpf_effect){ A_BIT | (x && CB_OP(insn->code) != CB_NEG ? X_BIT : 0),
					     A_BIT };
	case CB_JMP:
		if (CB_OP(insn->code) == CB_JA)
			return (struct cbpf_effect){ 0, 0 };
		return (struct cbpf_effect){ A_BIT | (x ? X_BIT : 0), 0 };
	case CB_RET:
		return (struct cbpf_effect){ (insn->code & 0x18) == CB_A ? A_BIT : 0, 0 };
	default:
		if ((insn->code & 0xf8) == CB_TAX)
			return (struct cbpf_effect){ A_BIT, X_BIT };
		return (struct cbpf_effect){ X_BIT, A_BIT };
	}
}

static int check_jump(const struct pf_insn *insn, size_t i, size_t n, unsigned flags,
		      struct pf_error *error)
{
	size_t left = n - i - 1; /* instructions behind this one */

	if (CB_OP(insn->code) != CB_JA) {
		if (insn->jt >= left || insn->jf >= left)
			return pf_fail(error, EINVAL, "instruction %zu jumps out of the program", i);
		return 0;
	}
	if (insn->k < left)
		return 0;
	if ((flags & CBPF_LOOPS) && insn->k >= UINT32_MAX - i)
		return 0;
	return pf_fail(error, EINVAL, "instruction %zu jumps %s", i,
		       insn->k >> 31 ? "back" : "out of the program");
}

static int check_persistent(const struct pf_insn *insn, size_t i, const struct cbpf_more *more,
			    struct pf_error *error)
{
	uint32_t last = insn->k + ((insn->code & 0x18) == CB_ADDM64);

	if (!more || !is_persistent_code(insn->code))
		return pf_fail(error, EINVAL, "instruction %zu: there is no code 0x%x", i, insn->code);
	if (!more->words)
		return pf_fail(error, EINVAL,
			       "instruction %zu: no memory is declared: .memory WORDS", i);
	if (last >= more->words || last < insn->k)
		return pf_fail(error, EINVAL, "instruction %zu: there is no P[%u], only 0 to %u", i,
			       last, more->words - 1);
	return 0;
}

static int check_insn(const struct pf_insn *insn, size_t i, size_t n, unsigned flags,
		      const struct cbpf_more *more, struct pf_error *error)
{
	unsigned class = CB_CLASS(insn->code), op = CB_OP(insn->code);
	bool memory = class == CB_ST || class == CB_STX ||
		      ((class == CB_LD || class == CB_LDX) && CB_MODE(insn->code) == CB_MEM);

	if (cbpf_persists(insn))
		return check_persistent(insn, i, more, error);
	if (!is_code(insn->code) && !((flags & CBPF_MPF) && is_mpf_code(insn->code)))
		return pf_fail(error, EINVAL, "instruction %zu: there is no code 0x%x", i, insn->code);
	if (memory && insn->k >= CB_WORDS)
		return pf_fail(error, EINVAL, "instruction %zu: there is no M[%u], only 0 to %u", i,
			       insn->k, CB_WORDS - 1);
	if (class == CB_ALU && (op == CB_DIV || op == CB_MOD) && CB_SRC(insn->code) == CB_K && !insn->k)
		return pf_fail(error, EINVAL, "instruction %zu divides by 0", i);
	if (class == CB_JMP)
		return check_jump(insn, i, n, flags, error);
	if (class == CB_LD && CB_MODE(insn->code) == CB_ABS && insn->k >= CB_LL_OFF) {
		if (insn->k == CB_AD_OFF + CB_AD_NLATTR || insn->k == CB_AD_OFF + CB_AD_NLATTR_NEST)
			return pf_fail(error, EINVAL,
				       "instruction %zu searches netlink attributes, which only a kernel can",
				       i);
		if (insn->k < CB_AD_OFF)
			return pf_fail(error, EINVAL,
				       "instruction %zu loads from the kernel's %s header: count from the first byte",
				       i, insn->k >= CB_NET_OFF ? "network" : "link");
		if (insn->k != CB_AD_OFF + CB_AD_XOR_X && pf_aux_of_offset(insn->k) < 0)
			return pf_fail(error, EINVAL,
				       "instruction %zu: nothing is known beside the bytes at %d",
				       i, (int)insn->k);
	}
	return 0;
}

/*
 * Is each scratch word written before it is read, whatever the way? known[] has the words that are on all ways to an
 * instruction. A way back comes from below its target, so it knows no less.
 */
static int check_words(const struct pf_insn *insns, size_t n, struct pf_error *error)
{
	PFS_FREE uint32_t *known = malloc(n * sizeof(*known));
	PFS_FREE uint8_t *reached = pfs_zalloc(n, 1);

	if (!known || !reached)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	memset(known, 0xff, n * sizeof(*known));
	known[0] = A_BIT | X_BIT;
	reached[0] = 1;
	for (size_t i = 0; i < n; i++) {
		const struct pf_insn *insn = &insns[i];
		struct cbpf_effect effect = cbpf_effect(insn);
		size_t next[2] = { i + 1, i + 1 };

		if (!reached[i])
			continue;
		if (effect.reads & ~known[i])
			return pf_fail(error, EINVAL,
				       "instruction %zu reads M[%d], which may not have been written",
				       i, __builtin_ctz(effect.reads & ~known[i]));
		if (CB_CLASS(insn->code) == CB_RET)
			continue;
		if (CB_CLASS(insn->code) == CB_JMP && CB_OP(insn->code) == CB_JA) {
			if (insn->k >> 31)
				continue;
			next[0] = next[1] = i + 1 + insn->k;
		} else if (CB_CLASS(insn->code) == CB_JMP) {
			next[0] = i + 1 + insn->jt;
			next[1] = i + 1 + insn->jf;
		}
		for (unsigned e = 0; e < 2; e++) {
			known[next[e]] &= known[i] | effect.writes;
			reached[next[e]] = 1;
		}
	}
	return 0;
}

static int check_mpf(const struct pf_insn *insns, size_t n, struct pf_error *error)
{
	PFS_FREE uint8_t *state = pfs_zalloc(n, 1);

	return state ? mpf_check(insns, n, state, error)
		     : pf_fail(error, ENOMEM, "no memory for the filter");
}

int cbpf_check(const struct pf_insn *insns, size_t n, unsigned flags, const struct cbpf_more *more,
	       struct pf_error *error)
{
	bool ends;

	if (!n)
		return pf_fail(error, EINVAL, "an empty program");
	if (n > CBPF_MAX)
		return pf_fail(error, E2BIG,
			       "a program of %zu instructions; %u are enough for any use", n,
			       CBPF_MAX);
	for (size_t i = 0; i < n; i++) {
		int r = check_insn(&insns[i], i, n, flags, more, error);

		if (r < 0)
			return r;
	}
	ends = CB_CLASS(insns[n - 1].code) == CB_RET;
	if (!ends && !((flags & CBPF_MPF) && insns[n - 1].code == (CB_MISC | CB_KEY)))
		return pf_fail(error, EINVAL, "the last instruction is no return");
	if (flags & CBPF_MPF) {
		int r = check_mpf(insns, n, error);

		if (r < 0)
			return r;
	}
	return check_words(insns, n, error);
}

int pf_cbpf_check(const struct pf_insn *insns, size_t n, unsigned flags, struct pf_error *error)
{
	return cbpf_check(insns, n, flags, NULL, error);
}
