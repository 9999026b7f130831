/*
 * Classic BPF as formulas, as libpcap's interpreter runs it: for each instruction whether it is reached, for A, X and
 * the scratch words what they hold. An instruction that several lead to takes from each what it brings.
 */
#include <stdio.h>

#include "pf/classic.h"
#include "pf/front/cbpf.h"
#include "pf/prove/smt.h"

#define REG_A CB_WORDS
#define REG_X (CB_WORDS + 1)
#define REG_MATCHED (CB_WORDS + 2) /* MPF: 1 when a session was found */
#define REG_MEMORY (CB_WORDS + 3)  /* what is in the memory that stays: an array */
#define REGS (CB_WORDS + 4)
#define MEMORY_SORT "(Array (_ BitVec 32) (_ BitVec 32))"
#define ZERO 0 /* the number of a term: 0 is the constant, others are NAME.dN */

/* A way into an instruction, and what the registers hold on it. */
struct way {
	struct way *next;
	uint32_t cond; /* the number of a truth value, NAME.cN */
	uint32_t reg[REGS];
};

struct walking {
	const struct pf_insn *insn;
	size_t n;
	const char *name;
	struct pfs_buf *out;
	struct way **into; /* owned, each; by instruction */
	struct way **back; /* owned, each; by instruction: what has jumped back to it, for the next round */
	uint32_t round; /* jumps back so far */
	uint32_t words, loops;
	struct pfs_buf cut; /* " c4 c9" */
	struct pfs_buf end; /* "(ite c4 d9 (ite ...": the memory where runs end */
	uint32_t ends;
	bool matches; /* MPF: it asks for a session, and only that accepts */
	uint32_t terms, conds;
	struct pfs_buf result; /* "(ite c4 d9 (ite ..." */
	uint32_t returns;
	/* now: */
	uint32_t cond;
	uint32_t reg[REGS];
	int err;
};

static void ways_free(struct way *way)
{
	while (way) {
		struct way *next = way->next;

		free(way);
		way = next;
	}
}

static void walking_release(struct walking *w)
{
	for (size_t i = 0; w->into && i < w->n; i++)
		ways_free(w->into[i]);
	for (size_t i = 0; w->back && i < w->n; i++)
		ways_free(w->back[i]);
	free(w->into);
	free(w->back);
	pfs_buf_release(&w->cut);
	pfs_buf_release(&w->end);
	pfs_buf_release(&w->result);
}

/* --- terms ----------------------------------------------------------------------------------- */

static void term_text(const struct walking *w, uint32_t term, char text[40])
{
	if (term == ZERO)
		snprintf(text, 40, "#x00000000");
	else
		snprintf(text, 40, "%s.d%u", w->name, term);
}

/* A new number; what stands for it follows, then "\n". */
static uint32_t new_term(struct walking *w)
{
	pfs_buf_printf(w->out, "(define-fun %s.d%u () (_ BitVec 32) ", w->name, ++w->terms);
	return w->terms;
}

static uint32_t new_cond(struct walking *w)
{
	pfs_buf_printf(w->out, "(define-fun %s.c%u () Bool ", w->name, ++w->conds);
	return w->conds;
}

static uint32_t number(struct walking *w, uint32_t k)
{
	uint32_t term = new_term(w);

	pfs_buf_printf(w->out, "#x%08x)\n", k);
	return term;
}

static uint32_t binary(struct walking *w, const char *op, uint32_t a, uint32_t b)
{
	char left[40], right[40];
	uint32_t term;

	term_text(w, a, left);
	term_text(w, b, right);
	term = new_term(w);
	pfs_buf_printf(w->out, "(%s %s %s))\n", op, left, right);
	return term;
}

static void memory_text(const struct walking *w, char text[40])
{
	if (w->reg[REG_MEMORY] == ZERO)
		snprintf(text, 40, "mem");
	else
		term_text(w, w->reg[REG_MEMORY], text);
}

/* A run that comes to here and for which that holds ends: the memory stays as it is. */
static void end_if(struct walking *w, const char *test)
{
	char text[40];

	if (w->reg[REG_MEMORY] == ZERO)
		return;
	memory_text(w, text);
	pfs_buf_printf(&w->end, "(ite (and %s.c%u %s) %s ", w->name, w->cond, test, text);
	w->ends++;
}

/* Goes on only if that holds. */
static void go_on_if(struct walking *w, const char *test)
{
	char not [200];
	uint32_t before = w->cond;

	snprintf(not, sizeof(not ), "(not %s)", test);
	end_if(w, not );
	w->cond = new_cond(w);
	pfs_buf_printf(w->out, "(and %s.c%u %s))\n", w->name, before, test);
}

/* --- instructions ---------------------------------------------------------------------------- */

static void add_way(struct walking *w, struct way **into, uint32_t cond)
{
	struct way *way = malloc(sizeof(*way));

	if (!way) {
		w->err = -ENOMEM;
		return;
	}
	way->next = *into;
	way->cond = cond;
	memcpy(way->reg, w->reg, sizeof(way->reg));
	*into = way;
}

static void lead_to(struct walking *w, size_t to, uint32_t cond)
{
	add_way(w, &w->into[to], cond);
}

/* One jump back more; too many reject. */
static void lead_back(struct walking *w, size_t to)
{
	if (w->loops && w->round == w->loops)
		end_if(w, "true");
	else if (w->round == PF_SMT_ROUNDS)
		pfs_buf_printf(&w->cut, " %s.c%u", w->name, w->cond);
	else
		add_way(w, &w->back[to], w->cond);
}

/* What all ways bring, made one. False: none leads here. */
static bool arrive(struct walking *w, size_t at)
{
	const struct way *first = w->into[at], *way;

	if (!first)
		return false;
	memcpy(w->reg, first->reg, sizeof(w->reg));
	w->cond = first->cond;
	if (!first->next)
		return true;
	w->cond = new_cond(w);
	pfs_buf_str(w->out, "(or");
	for (way = first; way; way = way->next)
		pfs_buf_printf(w->out, " %s.c%u", w->name, way->cond);
	pfs_buf_str(w->out, "))\n");
	for (unsigned reg = 0; reg < REGS; reg++) {
		char text[40];
		unsigned n = 0;

		for (way = first; way && way->reg[reg] == first->reg[reg]; way = way->next)
			;
		if (!way)
			continue;
		pfs_buf_printf(w->out, "(define-fun %s.d%u () %s ", w->name, ++w->terms,
			       reg == REG_MEMORY ? MEMORY_SORT : "(_ BitVec 32)");
		for (way = first; way; way = way->next, n++) {
			if (reg == REG_MEMORY && way->reg[reg] == ZERO)
				snprintf(text, sizeof(text), "mem");
			else
				term_text(w, way->reg[reg], text);
			if (way->next)
				pfs_buf_printf(w->out, "(ite %s.c%u %s ", w->name, way->cond, text);
			else
				pfs_buf_str(w->out, text);
		}
		while (n-- > 0)
			pfs_buf_str(w->out, ")");
		pfs_buf_str(w->out, "\n");
		w->reg[reg] = w->terms;
	}
	return true;
}

/* The packet's bytes at base + k, after it was seen that they are there. */
static uint32_t load(struct walking *w, unsigned size, uint32_t base, uint32_t k)
{
	char at[40], test[160];
	uint32_t term;

	term_text(w, base, at);
	snprintf(test, sizeof(test),
		 "(bvule (bvadd (concat #b00 %s) (concat #b00 #x%08x) (concat #b00 #x%08x)) (concat #b00 caplen))",
		 at, k, size);
	go_on_if(w, test);
	term = new_term(w);
	pfs_buf_printf(w->out, "(b%u (bvadd %s #x%08x)))\n", size, at, k);
	return term;
}

static unsigned load_size(uint16_t code)
{
	return CB_SIZE(code) == CB_W ? 4 : CB_SIZE(code) == CB_H ? 2 : 1;
}

static uint32_t load_field(struct walking *w, unsigned field)
{
	char test[60];
	uint32_t term;

	snprintf(test, sizeof(test), "(= ((_ extract %u %u) known) #b1)", field, field);
	go_on_if(w, test);
	term = new_term(w);
	pfs_buf_printf(w->out, "aux%u)\n", field);
	return term;
}

static void walk_load(struct walking *w, const struct pf_insn *insn)
{
	unsigned size = load_size(insn->code);
	uint32_t *reg = &w->reg[CB_CLASS(insn->code) == CB_LD ? REG_A : REG_X], term;
	int field = pf_aux_of_offset(insn->k);

	switch (CB_MODE(insn->code)) {
	case CB_IMM:
		*reg = number(w, insn->k);
		break;
	case CB_MEM:
		*reg = w->reg[insn->k];
		break;
	case CB_LEN:
		*reg = new_term(w);
		pfs_buf_str(w->out, "len)\n");
		break;
	case CB_IND:
		*reg = load(w, size, w->reg[REG_X], insn->k);
		break;
	case CB_MSH:
		term = load(w, 1, ZERO, insn->k);
		*reg = binary(w, "bvmul", binary(w, "bvand", term, number(w, 15)), number(w, 4));
		break;
	default: /* ABS */
		if (insn->k == CB_AD_OFF + CB_AD_XOR_X)
			*reg = binary(w, "bvxor", w->reg[REG_A], w->reg[REG_X]);
		else if (field >= 0)
			*reg = load_field(w, (unsigned)field);
		else
			*reg = load(w, size, ZERO, insn->k);
		break;
	}
}

static void walk_alu(struct walking *w, const struct pf_insn *insn)
{
	static const char *const ops[16] = {
		[CB_ADD >> 4] = "bvadd",  [CB_SUB >> 4] = "bvsub",  [CB_MUL >> 4] = "bvmul",
		[CB_DIV >> 4] = "bvudiv", [CB_OR >> 4] = "bvor",    [CB_AND >> 4] = "bvand",
		[CB_LSH >> 4] = "bvshl",  [CB_RSH >> 4] = "bvlshr", [CB_MOD >> 4] = "bvurem",
		[CB_XOR >> 4] = "bvxor",
	};
	unsigned op = CB_OP(insn->code);
	char text[40], test[80];
	uint32_t b;

	if (op == CB_NEG) {
		w->reg[REG_A] = binary(w, "bvsub", ZERO, w->reg[REG_A]);
		return;
	}
	b = CB_SRC(insn->code) == CB_X ? w->reg[REG_X] : number(w, insn->k);
	/* By 0: the packet is rejected. */
	if (op == CB_DIV || op == CB_MOD) {
		term_text(w, b, text);
		snprintf(test, sizeof(test), "(distinct %s #x00000000)", text);
		go_on_if(w, test);
	}
	w->reg[REG_A] = binary(w, ops[op >> 4], w->reg[REG_A], b);
}

static void walk_jump(struct walking *w, const struct pf_insn *insn, size_t at)
{
	unsigned op = CB_OP(insn->code);
	uint32_t here = w->cond, b, yes, no;
	char left[40], right[40];

	if (op == CB_JA && insn->k >> 31) {
		lead_back(w, at + 1 - (size_t) - (int64_t)(int32_t)insn->k);
		return;
	}
	if (op == CB_JA) {
		lead_to(w, at + 1 + insn->k, here);
		return;
	}
	b = CB_SRC(insn->code) == CB_X ? w->reg[REG_X] : number(w, insn->k);
	term_text(w, w->reg[REG_A], left);
	term_text(w, b, right);
	yes = new_cond(w);
	pfs_buf_printf(w->out, "(and %s.c%u ", w->name, here);
	if (op == CB_JSET)
		pfs_buf_printf(w->out, "(distinct (bvand %s %s) #x00000000)))\n", left, right);
	else
		pfs_buf_printf(w->out, "(%s %s %s)))\n",
			       op == CB_JEQ   ? "="
			       : op == CB_JGT ? "bvugt"
					      : "bvuge",
			       left, right);
	no = new_cond(w);
	pfs_buf_printf(w->out, "(and %s.c%u (not %s.c%u)))\n", w->name, here, w->name, yes);
	lead_to(w, at + 1 + insn->jt, yes);
	lead_to(w, at + 1 + insn->jf, no);
}

/* --- words that stay ------------------------------------------------------------------------- */

static uint32_t word(struct walking *w, const char *index)
{
	char text[40];
	uint32_t term;

	memory_text(w, text);
	term = new_term(w);
	pfs_buf_printf(w->out, "(select %s %s))\n", text, index);
	return term;
}

static void set_word(struct walking *w, const char *index, uint32_t term)
{
	char memory[40], text[40];

	memory_text(w, memory);
	term_text(w, term, text);
	pfs_buf_printf(w->out, "(define-fun %s.d%u () " MEMORY_SORT " (store %s %s %s))\n", w->name,
		       ++w->terms, memory, index, text);
	w->reg[REG_MEMORY] = w->terms;
}

/* What A makes larger; 64 bits are two words, put together. */
static void add_to_word(struct walking *w, bool wide, const char *index, const char *behind)
{
	uint32_t low = word(w, index), high, sum, more;
	char a[40], b[40];

	if (!wide) {
		set_word(w, index, binary(w, "bvadd", low, w->reg[REG_A]));
		return;
	}
	high = word(w, behind);
	term_text(w, low, a);
	term_text(w, w->reg[REG_A], b);
	pfs_buf_printf(w->out,
		       "(define-fun %s.w%u () (_ BitVec 64) (bvadd (concat %s.d%u %s) (concat #x00000000 %s)))\n",
		       w->name, w->terms, w->name, high, a, b);
	more = w->terms;
	sum = new_term(w);
	pfs_buf_printf(w->out, "((_ extract 31 0) %s.w%u))\n", w->name, more);
	set_word(w, index, sum);
	sum = new_term(w);
	pfs_buf_printf(w->out, "((_ extract 63 32) %s.w%u))\n", w->name, more);
	set_word(w, behind, sum);
}

static bool persists(const struct pf_insn *insn)
{
	return CB_CLASS(insn->code) <= CB_STX && (insn->code & CB_PERSIST) == CB_PERSIST;
}

static void walk_persistent(struct walking *w, const struct pf_insn *insn)
{
	unsigned class = CB_CLASS(insn->code), what = CB_SIZE(insn->code);
	bool wide = class == CB_ST && what == CB_ADDM64;
	char base[40], index[80], behind[80], test[200];

	term_text(w, CB_MODE(insn->code) == CB_PERSISTX ? w->reg[REG_X] : ZERO, base);
	snprintf(index, sizeof(index), "(bvadd %s #x%08x)", base, insn->k);
	snprintf(behind, sizeof(behind), "(bvadd %s #x%08x)", base, insn->k + 1);
	snprintf(test, sizeof(test),
		 "(bvult (bvadd (concat #b00 %s) (concat #b00 #x%08x) (concat #b00 #x%08x)) (concat #b00 #x%08x))",
		 base, insn->k, (uint32_t)wide, w->words);
	go_on_if(w, test);
	if (class == CB_LD)
		w->reg[REG_A] = word(w, index);
	else if (class == CB_LDX)
		w->reg[REG_X] = word(w, index);
	else if (class == CB_STX || !what)
		set_word(w, index, w->reg[class == CB_STX ? REG_X : REG_A]);
	else
		add_to_word(w, wide, index, behind);
}

/* --- MPF ------------------------------------------------------------------------------------- */

/* "(and (= d1 key) (= d2 key))": the first n words are the keys behind that instruction. */
static void put_keys_equal(struct walking *w, size_t at, uint32_t n)
{
	char text[40];

	pfs_buf_str(w->out, "(and true");
	for (uint32_t i = 0; i < n; i++) {
		term_text(w, w->reg[i], text);
		pfs_buf_printf(w->out, " (= %s #x%08x)", text, w->insn[at + 1 + i].k);
	}
	pfs_buf_str(w->out, ")");
}

static uint32_t keys_equal(struct walking *w, size_t at, uint32_t n, bool equal)
{
	uint32_t before = w->cond, cond = new_cond(w);

	pfs_buf_printf(w->out, "(and %s.c%u %s", w->name, before, equal ? "" : "(not ");
	put_keys_equal(w, at, n);
	pfs_buf_str(w->out, equal ? "))\n" : ")))\n");
	return cond;
}

static void walk_ckmatch(struct walking *w, size_t at)
{
	const struct pf_insn *insn = &w->insn[at];
	uint32_t yes = keys_equal(w, at, insn->k, true), no = keys_equal(w, at, insn->k, false);
	uint32_t before = w->reg[REG_MATCHED];

	lead_to(w, at + 1 + insn->jf, no);
	w->reg[REG_MATCHED] = number(w, 1);
	lead_to(w, at + 1 + insn->jt, yes);
	w->reg[REG_MATCHED] = before;
}

/* Nothing is registered, so nothing can be found there. */
static void walk_match(struct walking *w, size_t at)
{
	const struct pf_insn *insn = &w->insn[at];

	if (insn->code == (CB_RET | CB_MATCH_DATA))
		return;
	pfs_buf_printf(&w->result, "(ite %s.c%u #x%08x ", w->name,
		       keys_equal(w, at, insn->jt, true), insn->k);
	w->returns++;
}

static void walk_return(struct walking *w, const struct pf_insn *insn)
{
	char text[40], test[80];

	if (w->matches) {
		term_text(w, w->reg[REG_MATCHED], text);
		snprintf(test, sizeof(test), "(= %s #x00000001)", text);
		go_on_if(w, test);
	}
	term_text(w, w->reg[REG_A], text);
	if ((insn->code & 0x18) != CB_A)
		snprintf(text, sizeof(text), "#x%08x", insn->k);
	end_if(w, "true");
	pfs_buf_printf(&w->result, "(ite %s.c%u %s ", w->name, w->cond, text);
	w->returns++;
}

static void walk_insn(struct walking *w, size_t at)
{
	const struct pf_insn *insn = &w->insn[at];

	if (persists(insn)) {
		walk_persistent(w, insn);
		lead_to(w, at + 1, w->cond);
		return;
	}
	switch (CB_CLASS(insn->code)) {
	case CB_LD:
	case CB_LDX:
		walk_load(w, insn);
		break;
	case CB_ST:
		w->reg[insn->k] = w->reg[REG_A];
		break;
	case CB_STX:
		w->reg[insn->k] = w->reg[REG_X];
		break;
	case CB_ALU:
		walk_alu(w, insn);
		break;
	case CB_JMP:
		if (CB_OP(insn->code) == CB_CKMATCH_IMM)
			walk_ckmatch(w, at);
		else
			walk_jump(w, insn, at);
		return;
	case CB_RET:
		if (insn->code > (CB_RET | CB_A))
			walk_match(w, at);
		else
			walk_return(w, insn);
		return;
	default:
		if ((insn->code & 0xf8) == CB_TAX)
			w->reg[REG_X] = w->reg[REG_A];
		else if ((insn->code & 0xf8) == CB_TXA)
			w->reg[REG_A] = w->reg[REG_X];
		break;
	}
	lead_to(w, at + 1, w->cond);
}

/* What a run does up to the next jump back; false: none comes to that. */
static bool walk_round(struct walking *w)
{
	struct way **into = w->into;
	bool any = false;

	for (size_t i = 0; i < w->n && !w->err; i++) {
		if (!arrive(w, i))
			continue;
		any = true;
		walk_insn(w, i);
		ways_free(w->into[i]);
		w->into[i] = NULL;
	}
	w->into = w->back;
	w->back = into;
	return any && !w->err;
}

static void put_end(struct walking *w)
{
	pfs_buf_printf(w->out, "(define-fun %s.result () (_ BitVec 32) ", w->name);
	if (w->result.len)
		pfs_buf_add(w->out, w->result.data, w->result.len);
	pfs_buf_str(w->out, "#x00000000");
	for (; w->returns > 0; w->returns--)
		pfs_buf_str(w->out, ")");
	pfs_buf_printf(w->out, ")\n(define-fun %s.cut () Bool (or false%.*s))\n", w->name,
		       (int)w->cut.len, w->cut.len ? w->cut.data : "");
	pfs_buf_printf(w->out, "(define-fun %s.mem () " MEMORY_SORT " ", w->name);
	if (w->end.len)
		pfs_buf_add(w->out, w->end.data, w->end.len);
	pfs_buf_str(w->out, "mem");
	for (; w->ends > 0; w->ends--)
		pfs_buf_str(w->out, ")");
	pfs_buf_str(w->out, ")\n");
}

static int say(struct walking *w)
{
	struct pfs_buf *out = w->out;

	if (w->n > PF_SMT_INSNS_MAX)
		return -E2BIG;
	for (size_t i = 0; i < w->n; i++)
		w->matches = w->matches || w->insn[i].code == (CB_RET | CB_MATCH_IMM) ||
			     w->insn[i].code == (CB_JMP | CB_CKMATCH_IMM);
	w->into = pfs_zalloc(w->n, sizeof(struct way *));
	w->back = pfs_zalloc(w->n, sizeof(struct way *));
	if (!w->into || !w->back)
		return -ENOMEM;
	w->cond = new_cond(w);
	pfs_buf_str(out, "true)\n");
	lead_to(w, 0, w->cond);
	while (walk_round(w) && out->len <= PF_SMT_TEXT_MAX)
		w->round++;
	put_end(w);
	if (w->err < 0)
		return w->err;
	if (out->len > PF_SMT_TEXT_MAX)
		return -E2BIG;
	return out->failed || w->result.failed || w->end.failed || w->cut.failed ? -ENOMEM : 0;
}

int pf_smt_insns(const struct pf_insn *insns, size_t n, const char *name, struct pfs_buf *out)
{
	PFS_CLEANUP(walking_release)
	struct walking w = { .insn = insns, .n = n, .name = name, .out = out };

	return pf_cbpf_check(insns, n, CBPF_LOOPS, NULL) < 0 ? -ENOTSUP : say(&w);
}

int pf_smt_xpf(const struct pf_insn *insns, size_t n, uint32_t words, uint32_t loops,
	       const char *name, struct pfs_buf *out)
{
	PFS_CLEANUP(walking_release)
	struct walking w = {
		.insn = insns, .n = n, .words = words, .loops = loops, .name = name, .out = out
	};

	return say(&w);
}

int pf_smt_mpf(const struct pf_insn *insns, size_t n, const char *name, struct pfs_buf *out)
{
	PFS_CLEANUP(walking_release)
	struct walking w = { .insn = insns, .n = n, .name = name, .out = out };

	return pf_cbpf_check(insns, n, CBPF_MPF, NULL) < 0 ? -ENOTSUP : say(&w);
}
