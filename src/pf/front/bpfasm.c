/* Assembler of classic BPF, one instruction a line. */
#include <stdio.h>

#include "pf/classic.h"
#include "pf/error.h"
#include "pf/front/bpftext_i.h"
#include "pf/front/cbpf.h"

#define WORD_MAX 64

enum kind { LOAD, STORE, ALU, NEG, JUMP, JA, RET, MISC, CKMATCH, MATCH, TIMED, KEY };

/* not: the condition is the other way round. imm: `ldi 5` is `ld #5`. */
static const struct mnemonic {
	const char *name;
	enum kind kind;
	uint16_t code;
	bool not ;
	bool imm;
} mnemonics[] = {
	{ "ld", LOAD, CB_LD | CB_W, 0, 0 },
	{ "ldh", LOAD, CB_LD | CB_H, 0, 0 },
	{ "ldb", LOAD, CB_LD | CB_B, 0, 0 },
	{ "ldx", LOAD, CB_LDX | CB_W, 0, 0 },
	{ "ldxb", LOAD, CB_LDX | CB_B, 0, 0 },
	{ "ldi", LOAD, CB_LD | CB_W, 0, 1 },
	{ "ldxi", LOAD, CB_LDX | CB_W, 0, 1 },
	{ "st", STORE, CB_ST, 0, 0 },
	{ "stx", STORE, CB_STX, 0, 0 },
	{ "add", ALU, CB_ADD, 0, 0 },
	{ "sub", ALU, CB_SUB, 0, 0 },
	{ "mul", ALU, CB_MUL, 0, 0 },
	{ "div", ALU, CB_DIV, 0, 0 },
	{ "mod", ALU, CB_MOD, 0, 0 },
	{ "and", ALU, CB_AND, 0, 0 },
	{ "or", ALU, CB_OR, 0, 0 },
	{ "xor", ALU, CB_XOR, 0, 0 },
	{ "lsh", ALU, CB_LSH, 0, 0 },
	{ "rsh", ALU, CB_RSH, 0, 0 },
	{ "neg", NEG, CB_ALU | CB_NEG, 0, 0 },
	{ "ja", JA, CB_JMP | CB_JA, 0, 0 },
	{ "jmp", JA, CB_JMP | CB_JA, 0, 0 },
	{ "jeq", JUMP, CB_JEQ, 0, 0 },
	{ "jne", JUMP, CB_JEQ, 1, 0 },
	{ "jneq", JUMP, CB_JEQ, 1, 0 },
	{ "jlt", JUMP, CB_JGE, 1, 0 },
	{ "jle", JUMP, CB_JGT, 1, 0 },
	{ "jgt", JUMP, CB_JGT, 0, 0 },
	{ "jge", JUMP, CB_JGE, 0, 0 },
	{ "jset", JUMP, CB_JSET, 0, 0 },
	{ "ret", RET, CB_RET, 0, 0 },
	{ "tax", MISC, CB_MISC | CB_TAX, 0, 0 },
	{ "txa", MISC, CB_MISC | CB_TXA, 0, 0 },
	/* From here on MPF's. */
	{ "ckmatch_imm", CKMATCH, CB_JMP | CB_CKMATCH_IMM, 0, 0 },
	{ "match_imm", MATCH, CB_RET | CB_MATCH_IMM, 0, 0 },
	{ "match_data", MATCH, CB_RET | CB_MATCH_DATA, 0, 0 },
	{ "reg_data", MATCH, CB_MISC | CB_REG_DATA, 0, 0 },
	{ "postpone", TIMED, CB_MISC | CB_POSTPONE, 0, 0 },
	{ "key", KEY, CB_MISC | CB_KEY, 0, 0 },
	/* Of xPF alone. */
	{ "addm", STORE, CB_ST | CB_ADDM, 0, 0 },
	{ "addm64", STORE, CB_ST | CB_ADDM64, 0, 0 },
};

/* Fields beside the bytes, as bpf_asm and as libpcap spell them. */
static const struct {
	const char *name;
	uint32_t offset;
} fields[] = {
	{ "proto", CB_AD_PROTOCOL },
	{ "type", CB_AD_PKTTYPE },
	{ "ifidx", CB_AD_IFINDEX },
	{ "nla", CB_AD_NLATTR },
	{ "nlan", CB_AD_NLATTR_NEST },
	{ "mark", CB_AD_MARK },
	{ "queue", CB_AD_QUEUE },
	{ "hatype", CB_AD_HATYPE },
	{ "rxhash", CB_AD_RXHASH },
	{ "cpu", CB_AD_CPU },
	{ "xor_x", CB_AD_XOR_X },
	{ "vlan_tci", CB_AD_VLAN_TCI },
	{ "vlan_avail", CB_AD_VLAN_PRESENT },
	{ "vlan_pr", CB_AD_VLAN_PRESENT },
	{ "vlanp", CB_AD_VLAN_PRESENT },
	{ "vlan_tpid", CB_AD_VLAN_TPID },
	{ "poff", CB_AD_PAYLOAD },
	{ "rand", CB_AD_RANDOM },
	{ "random", CB_AD_RANDOM },
};

/* Is this word next? Then it is taken. */
static bool take_word(struct bpf_asm *a, const char *want)
{
	char word[WORD_MAX];

	bpf_asm_peek(a, word, sizeof(word));
	if (strcmp(word, want) != 0)
		return false;
	bpf_asm_word(a, word, sizeof(word));
	return true;
}

static bool take_register(struct bpf_asm *a, const char *name)
{
	struct bpf_asm saved = *a;

	bpf_asm_skip_char(a, '%');
	if (take_word(a, name))
		return true;
	*a = saved;
	return false;
}

static int expect(struct bpf_asm *a, char c)
{
	char what[40];

	if (bpf_asm_skip_char(a, c))
		return 0;
	snprintf(what, sizeof(what), "a %c is missing", c);
	return bpf_asm_fail(a, EINVAL, what);
}

/* Nothing but blanks and a comment up to the end of the line? */
static bool at_line_end(const struct bpf_asm *a)
{
	const char *p = a->p;

	while (p < a->end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	return p == a->end || *p == '\n' || *p == ';';
}

/* --- loads ----------------------------------------------------------------------------------- */

/* A field's name: the load of it. */
static bool take_field(struct bpf_asm *a, struct pf_insn *insn)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (!take_word(a, fields[i].name))
			continue;
		insn->code |= CB_ABS;
		insn->k = CB_AD_OFF + fields[i].offset;
		return true;
	}
	return false;
}

static bool take_len(struct bpf_asm *a)
{
	return take_word(a, "len") || take_word(a, "pktlen");
}

/* Behind the bracket: k], x+k], a field's name]. */
static int take_place(struct bpf_asm *a, struct pf_insn *insn)
{
	int r = 0;

	if (take_register(a, "x")) {
		bool minus = bpf_asm_skip_char(a, '-');

		insn->code |= CB_IND;
		if (minus || bpf_asm_skip_char(a, '+'))
			r = bpf_asm_number(a, &insn->k);
		if (minus)
			insn->k = 0 - insn->k;
	} else if (!take_field(a, insn)) {
		insn->code |= CB_ABS;
		r = bpf_asm_number(a, &insn->k);
	}
	return r < 0 ? r : expect(a, ']');
}

/* 4*([k]&0xf) behind the 4 */
static int take_header_length(struct bpf_asm *a, struct pf_insn *insn)
{
	uint32_t mask = 0;
	int r = expect(a, '*');

	insn->code = CB_LDX | CB_B | CB_MSH;
	if (r == 0)
		r = expect(a, '(');
	if (r == 0)
		r = expect(a, '[');
	if (r == 0)
		r = bpf_asm_number(a, &insn->k);
	if (r == 0)
		r = expect(a, ']');
	if (r == 0)
		r = expect(a, '&');
	if (r == 0)
		r = bpf_asm_number(a, &mask);
	if (r == 0)
		r = expect(a, ')');
	if (r == 0 && mask != 15)
		r = bpf_asm_fail(a, EINVAL, "only 4*([k]&0xf) is there");
	return r;
}

/* Behind the P: [k] or [x + k]. */
static int take_persistent(struct bpf_asm *a, struct pf_insn *insn)
{
	int r = expect(a, '[');

	insn->code |= CB_PERSIST;
	if (r == 0 && take_register(a, "x")) {
		insn->code |= CB_PERSISTX;
		if (bpf_asm_skip_char(a, '+'))
			r = bpf_asm_number(a, &insn->k);
	} else if (r == 0) {
		r = bpf_asm_number(a, &insn->k);
	}
	return r < 0 ? r : expect(a, ']');
}

static int take_load(struct bpf_asm *a, const struct mnemonic *m, struct pf_insn *insn)
{
	bool hash;

	insn->code = m->code;
	if (bpf_asm_skip_char(a, '['))
		return take_place(a, insn);
	if (a->xpf && !m->imm && take_word(a, "p"))
		return take_persistent(a, insn);
	if (!m->imm && take_word(a, "m")) {
		int r = expect(a, '[');

		insn->code |= CB_MEM;
		if (r == 0)
			r = bpf_asm_number(a, &insn->k);
		return r < 0 ? r : expect(a, ']');
	}
	hash = bpf_asm_skip_char(a, '#');
	if (take_len(a)) {
		insn->code |= CB_LEN;
		return 0;
	}
	if (take_field(a, insn))
		return 0;
	if (!hash && CB_CLASS(m->code) == CB_LDX && !m->imm) {
		uint32_t four = 0;
		int r = bpf_asm_number(a, &four);

		if (r == 0 && four != 4)
			r = bpf_asm_fail(a, EINVAL, "only 4*([k]&0xf) is there");
		return r < 0 ? r : take_header_length(a, insn);
	}
	if (!hash && !m->imm)
		return bpf_asm_fail(a, EINVAL, "what should be loaded?");
	insn->code |= CB_IMM;
	return bpf_asm_number(a, &insn->k);
}

/* --- jumps ----------------------------------------------------------------------------------- */

static int add_fix(struct bpf_asm *a, uint8_t way)
{
	char word[WORD_MAX];
	void *p;

	bpf_asm_word(a, word, sizeof(word));
	if (!word[0])
		return bpf_asm_fail(a, EINVAL, "a label is missing");
	p = reallocarray(a->fix, a->nfix + 1, sizeof(*a->fix));
	if (!p)
		return bpf_asm_fail(a, ENOMEM, "no memory for the filter");
	a->fix = p;
	a->fix[a->nfix] = (struct bpf_fix){ a->n, strdup(word), a->line, way };
	return a->fix[a->nfix++].name ? 0 : bpf_asm_fail(a, ENOMEM, "no memory for the filter");
}

/* The number of an instruction, as listings have it: how far from this one? */
static int take_target(struct bpf_asm *a, uint32_t max, uint32_t *ret_distance)
{
	uint32_t to = 0;
	int r = bpf_asm_number(a, &to);

	if (r < 0)
		return r;
	to -= (uint32_t)a->n + 1;
	if (to > max)
		return bpf_asm_fail(a, EINVAL, "a jump that is too far, or back");
	*ret_distance = to;
	return 0;
}

/* A label of a conditional jump; one that is above is gone to by way of a jump of its own behind this one. */
static int add_way(struct bpf_asm *a, struct pf_insn *insn, uint8_t way)
{
	char word[WORD_MAX];

	bpf_asm_peek(a, word, sizeof(word));
	for (size_t i = 0; a->xpf && i < a->nlabel; i++) {
		if (strcmp(a->label[i].name, word) != 0)
			continue;
		bpf_asm_word(a, word, sizeof(word));
		*(way == 't' ? &insn->jt : &insn->jf) = (uint8_t)a->nback;
		a->back[a->nback++] = a->label[i].at;
		return 0;
	}
	return add_fix(a, way);
}

static int take_jump(struct bpf_asm *a, const struct mnemonic *m, struct pf_insn *insn)
{
	uint32_t jt = 0, jf = 0;
	int r = 0;

	insn->code = CB_JMP | m->code;
	if (take_register(a, "x")) {
		insn->code |= CB_X;
	} else {
		bpf_asm_skip_char(a, '#');
		r = bpf_asm_number(a, &insn->k);
	}
	if (r < 0)
		return r;
	if (take_word(a, "jt")) {
		r = take_target(a, UINT8_MAX, &jt);
		if (r == 0 && !take_word(a, "jf"))
			r = bpf_asm_fail(a, EINVAL, "jf is missing");
		if (r == 0)
			r = take_target(a, UINT8_MAX, &jf);
		insn->jt = (uint8_t)(m->not ? jf : jt);
		insn->jf = (uint8_t)(m->not ? jt : jf);
		return r;
	}
	r = expect(a, ',');
	if (r == 0)
		r = add_way(a, insn, m->not ? 'f' : 't');
	if (r == 0 && bpf_asm_skip_char(a, ','))
		r = add_way(a, insn, m->not ? 't' : 'f');
	else if (r == 0)
		*(m->not ? &insn->jt : &insn->jf) = (uint8_t)a->nback;
	return r;
}

static int take_ja(struct bpf_asm *a, struct pf_insn *insn)
{
	char word[WORD_MAX];

	insn->code = CB_JMP | CB_JA;
	bpf_asm_peek(a, word, sizeof(word));
	return word[0] ? add_fix(a, 'a') : take_target(a, UINT32_MAX, &insn->k);
}

/* --- the rest -------------------------------------------------------------------------------- */

static int take_store(struct bpf_asm *a, const struct mnemonic *m, struct pf_insn *insn)
{
	int r;

	insn->code = m->code;
	if (a->xpf && take_word(a, "p"))
		return take_persistent(a, insn);
	if ((m->code & 0x18) || !take_word(a, "m"))
		return bpf_asm_fail(a, EINVAL, m->code & 0x18 ? "P[k] is missing" : "M[k] is missing");
	r = expect(a, '[');
	if (r == 0)
		r = bpf_asm_number(a, &insn->k);
	return r < 0 ? r : expect(a, ']');
}

static int take_alu(struct bpf_asm *a, const struct mnemonic *m, struct pf_insn *insn)
{
	insn->code = CB_ALU | m->code;
	if (take_register(a, "x")) {
		insn->code |= CB_X;
		return 0;
	}
	bpf_asm_skip_char(a, '#');
	return bpf_asm_number(a, &insn->k);
}

static int take_ret(struct bpf_asm *a, struct pf_insn *insn)
{
	insn->code = CB_RET;
	if (at_line_end(a) || take_register(a, "a")) {
		insn->code |= CB_A;
		return 0;
	}
	bpf_asm_skip_char(a, '#');
	return bpf_asm_number(a, &insn->k);
}

static int take_constant(struct bpf_asm *a, uint32_t *ret_value)
{
	bpf_asm_skip_char(a, '#');
	return bpf_asm_number(a, ret_value);
}

/* #k, n: bytes or ms, and how many words. */
static int take_match(struct bpf_asm *a, struct pf_insn *insn)
{
	uint32_t words = 0;
	int r = take_constant(a, &insn->k);

	if (r == 0)
		r = expect(a, ',');
	if (r == 0)
		r = take_constant(a, &words);
	if (r == 0 && (words < 1 || words > CB_WORDS))
		return bpf_asm_fail(a, EINVAL, "there are words for 1 to 16");
	insn->jt = (uint8_t)words;
	return r;
}

/* #n, yes[, no]: the way without a label goes on behind the keys. */
static int take_ckmatch(struct bpf_asm *a, struct pf_insn *insn)
{
	int r = take_constant(a, &insn->k);

	if (r == 0 && (insn->k < 1 || insn->k > CB_WORDS))
		return bpf_asm_fail(a, EINVAL, "there are words for 1 to 16");
	insn->jf = (uint8_t)insn->k;
	if (r == 0)
		r = expect(a, ',');
	if (r == 0)
		r = add_fix(a, 't');
	return r == 0 && bpf_asm_skip_char(a, ',') ? add_fix(a, 'f') : r;
}

static int take_operands(struct bpf_asm *a, const struct mnemonic *m, struct pf_insn *insn)
{
	switch (m->kind) {
	case LOAD:
		return take_load(a, m, insn);
	case STORE:
		return take_store(a, m, insn);
	case ALU:
		return take_alu(a, m, insn);
	case JUMP:
		return take_jump(a, m, insn);
	case JA:
		return take_ja(a, insn);
	case RET:
		return take_ret(a, insn);
	default:
		insn->code = m->code;
		break;
	}
	return m->kind == CKMATCH		    ? take_ckmatch(a, insn)
	       : m->kind == MATCH		    ? take_match(a, insn)
	       : m->kind == TIMED || m->kind == KEY ? take_constant(a, &insn->k)
						    : 0;
}

static int add_label(struct bpf_asm *a, const char *name)
{
	void *p;

	if (a->nlabel >= CBPF_MAX)
		return bpf_asm_fail(a, E2BIG, "more labels than any filter needs");
	p = reallocarray(a->label, a->nlabel + 1, sizeof(*a->label));

	if (!p)
		return bpf_asm_fail(a, ENOMEM, "no memory for the filter");
	a->label = p;
	a->label[a->nlabel] = (struct bpf_label){ strdup(name), a->n, a->line };
	return a->label[a->nlabel++].name ? 0 : bpf_asm_fail(a, ENOMEM, "no memory for the filter");
}

/* "(012)" of a listing: it must be the next. */
static int take_line_number(struct bpf_asm *a)
{
	uint32_t at = 0;

	if (!bpf_asm_skip_char(a, '('))
		return 0;
	/* Leading zeros mean nothing here. */
	while (a->p + 1 < a->end && a->p[0] == '0' && a->p[1] >= '0' && a->p[1] <= '9')
		a->p++;
	if (bpf_asm_number(a, &at) < 0)
		return -EINVAL;
	if (at != a->n)
		return bpf_asm_fail(a, EINVAL, "instructions are not numbered in order");
	return expect(a, ')');
}

/* The jumps back of the conditional one that was appended last. */
static int append_back(struct bpf_asm *a)
{
	int r = 0;

	for (unsigned i = 0; i < a->nback && r == 0; i++)
		r = bpf_asm_append(a, &(struct pf_insn){ .code = CB_JMP | CB_JA,
							 .k = (uint32_t)(a->back[i] - a->n - 1) });
	a->nback = 0;
	return r;
}

static int parse_line(struct bpf_asm *a)
{
	struct pf_insn insn = { 0 };
	char word[WORD_MAX], what[WORD_MAX + 40];
	int r = take_line_number(a);

	if (r < 0)
		return r;
	if (a->xpf && bpf_asm_skip_char(a, '.'))
		return bpf_asm_declare(a);
	for (;;) {
		bpf_asm_word(a, word, sizeof(word));
		if (!word[0] || at_line_end(a) || !bpf_asm_skip_char(a, ':'))
			break;
		r = add_label(a, word);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(mnemonics); i++) {
		if (strcmp(word, mnemonics[i].name) != 0 || (mnemonics[i].kind > MISC && !a->mpf) ||
		    (!a->xpf && mnemonics[i].kind == STORE && (mnemonics[i].code & 0x18)))
			continue;
		r = take_operands(a, &mnemonics[i], &insn);
		if (r == 0)
			r = bpf_asm_append(a, &insn);
		return r < 0 ? r : append_back(a);
	}
	snprintf(what, sizeof(what), "there is no instruction '%s'", word);
	return bpf_asm_fail(a, EINVAL, what);
}

static int compare_labels(const void *a, const void *b)
{
	return strcmp(((const struct bpf_label *)a)->name, ((const struct bpf_label *)b)->name);
}

static int resolve_one(struct bpf_asm *a, const struct bpf_fix *fix)
{
	struct bpf_label key = { .name = fix->name };
	const struct bpf_label *label =
		a->nlabel ? bsearch(&key, a->label, a->nlabel, sizeof(key), compare_labels) : NULL;
	struct pf_insn *insn = &a->insn[fix->insn];
	size_t distance;

	if (!label || label->at >= a->n)
		return pf_fail_at(a->error, EINVAL, fix->line, 1, "there is no %s '%s'",
				  label ? "instruction behind" : "label", fix->name);
	distance = label->at - fix->insn - 1;
	if (label->at <= fix->insn && a->xpf && fix->way == 'a') {
		insn->k = (uint32_t)distance;
		return 0;
	}
	if (label->at <= fix->insn || (fix->way != 'a' && distance > UINT8_MAX))
		return pf_fail_at(a->error, EINVAL, fix->line, 1, "'%s' is %s", fix->name,
				  label->at <= fix->insn ? "behind: jumps only go forward"
							 : "too far for a conditional jump");
	if (fix->way == 't')
		insn->jt = (uint8_t)distance;
	else if (fix->way == 'f')
		insn->jf = (uint8_t)distance;
	else
		insn->k = (uint32_t)distance;
	return 0;
}

static int resolve(struct bpf_asm *a)
{
	int r = 0;

	if (a->nlabel)
		qsort(a->label, a->nlabel, sizeof(*a->label), compare_labels);
	for (size_t i = 1; i < a->nlabel; i++)
		if (strcmp(a->label[i - 1].name, a->label[i].name) == 0)
			return pf_fail_at(a->error, EINVAL, a->label[i].line, 1,
					  "label '%s' for the second time", a->label[i].name);
	for (size_t i = 0; i < a->nfix && r == 0; i++)
		r = resolve_one(a, &a->fix[i]);
	return r;
}

int bpf_asm_parse(struct bpf_asm *a)
{
	int r = 0;

	for (;;) {
		/* Takes blanks, newlines and comments too. */
		bpf_asm_skip_char(a, '\0');
		if (a->p >= a->end)
			return resolve(a);
		r = parse_line(a);
		if (r < 0)
			return r;
	}
}
