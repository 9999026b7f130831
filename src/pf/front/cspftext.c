/* Text of CSPF programs: pf-cspf(7) is the reference. */
#include <ctype.h>
#include <stdio.h>

#include "pf/error.h"
#include "pf/front/cspf.h"

#define NAME_MAX_ 24

struct parsing {
	const char *p, *end, *begin; /* of the line */
	unsigned line;
	uint16_t *word;	 /* owned */
	unsigned *lines; /* owned; of each */
	size_t n, cap;
	unsigned flags;
	struct pf_error *error;
};

static void parsing_release(struct parsing *t)
{
	free(t->word);
	free(t->lines);
}

static int fail(const struct parsing *t, int code, const char *what)
{
	return pf_fail_at(t->error, code, t->line, (unsigned)(t->p - t->begin) + 1, "%s", what);
}

static int append(struct parsing *t, uint32_t word)
{
	if (t->n > CSPF_MAX)
		return fail(t, E2BIG, "more words than any filter needs");
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		uint16_t *w = reallocarray(t->word, cap, sizeof(*w));
		unsigned *l;

		t->word = w ? w : t->word;
		l = w ? reallocarray(t->lines, cap, sizeof(*l)) : NULL;
		if (!l)
			return fail(t, ENOMEM, "no memory for the filter");
		t->lines = l;
		t->cap = cap;
	}
	t->lines[t->n] = t->line;
	t->word[t->n++] = (uint16_t)word;
	return 0;
}

/* --- names ----------------------------------------------------------------------------------- */

enum kind { ACTION, ACTION_N, LITERAL, OPERATOR };

static const struct name {
	const char *name;
	enum kind kind;
	uint16_t value; /* of an ACTION_N: the first; of a LITERAL: the word that is pushed */
	uint16_t last;	/* of an ACTION_N: the greatest number behind the + */
} names[] = {
	{ "NOPUSH", ACTION, CSPF_NOPUSH, 0 },
	{ "PUSHLIT", ACTION, CSPF_PUSHLIT, 0 },
	{ "PUSHZERO", ACTION, CSPF_PUSHZERO, 0 },
	{ "PUSHIND", ACTION, CSPF_PUSHIND, 0 },
	{ "PUSHHDRIND", ACTION, CSPF_PUSHHDRIND, 0 },
	{ "PUSHWORD", ACTION_N, CSPF_PUSHWORD, CSPF_PUSHHDR - CSPF_PUSHWORD - 1 },
	{ "PUSHHDR", ACTION_N, CSPF_PUSHHDR, 31 },
	{ "PUSHSTK", ACTION_N, CSPF_PUSHSTK, 31 },
	/* The paper has them, Mach has not: a PUSHLIT and a word. */
	{ "PUSHONE", LITERAL, 1, 0 },
	{ "PUSHFFFF", LITERAL, 0xffff, 0 },
	{ "PUSHFF00", LITERAL, 0xff00, 0 },
	{ "PUSH00FF", LITERAL, 0x00ff, 0 },
	{ "NOP", OPERATOR, CSPF_NOP, 0 },
	{ "EQ", OPERATOR, CSPF_EQ, 0 },
	{ "LT", OPERATOR, CSPF_LT, 0 },
	{ "LE", OPERATOR, CSPF_LE, 0 },
	{ "GT", OPERATOR, CSPF_GT, 0 },
	{ "GE", OPERATOR, CSPF_GE, 0 },
	{ "AND", OPERATOR, CSPF_AND, 0 },
	{ "OR", OPERATOR, CSPF_OR, 0 },
	{ "XOR", OPERATOR, CSPF_XOR, 0 },
	{ "COR", OPERATOR, CSPF_COR, 0 },
	{ "CAND", OPERATOR, CSPF_CAND, 0 },
	{ "CNOR", OPERATOR, CSPF_CNOR, 0 },
	{ "CNAND", OPERATOR, CSPF_CNAND, 0 },
	{ "NEQ", OPERATOR, CSPF_NEQ, 0 },
	{ "LSH", OPERATOR, CSPF_LSH, 0 },
	{ "RSH", OPERATOR, CSPF_RSH, 0 },
	{ "ADD", OPERATOR, CSPF_ADD, 0 },
	{ "SUB", OPERATOR, CSPF_SUB, 0 },
};

/* As NETF_EQ in Mach's header and ENF_EQ in Stanford's. */
static const struct name *find_name(const char *word)
{
	if (!strncmp(word, "NETF_", 5))
		word += 5;
	else if (!strncmp(word, "ENF_", 4))
		word += 4;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, word))
			return &names[i];
	return NULL;
}

/* --- characters ------------------------------------------------------------------------------ */

static bool at(const struct parsing *t, const char *what)
{
	size_t n = strlen(what);

	return (size_t)(t->end - t->p) >= n && !memcmp(t->p, what, n);
}

static void skip_line(struct parsing *t)
{
	while (t->p < t->end && *t->p != '\n')
		t->p++;
}

static void skip_block(struct parsing *t)
{
	for (t->p += 2; t->p < t->end && !at(t, "*/"); t->p++) {
		if (*t->p == '\n') {
			t->line++;
			t->begin = t->p + 1;
		}
	}
	t->p += t->p < t->end ? 2 : 0;
}

/* Blanks and comments; with newlines and commas, all that stands between words. */
static void skip(struct parsing *t, bool between)
{
	while (t->p < t->end) {
		if (*t->p == ';' || *t->p == '#' || at(t, "//")) {
			skip_line(t);
		} else if (at(t, "/*")) {
			skip_block(t);
		} else if (*t->p == '\n' && between) {
			t->line++;
			t->begin = ++t->p;
		} else if ((*t->p == ',' && between) ||
			   (*t->p != '\n' && isspace((unsigned char)*t->p))) {
			t->p++;
		} else {
			return;
		}
	}
}

static bool take(struct parsing *t, char c)
{
	skip(t, false);
	if (t->p >= t->end || *t->p != c)
		return false;
	t->p++;
	skip(t, false);
	return true;
}

/* Letters, digits and _, in upper case; too long: cut, so that it is none that is known. */
static void take_name(struct parsing *t, char name[NAME_MAX_])
{
	size_t n = 0;

	for (; t->p < t->end && (isalnum((unsigned char)*t->p) || *t->p == '_'); t->p++)
		if (n + 1 < NAME_MAX_)
			name[n++] = (char)toupper((unsigned char)*t->p);
	name[n] = '\0';
}

/* Decimal, 0x hexadecimal, 0 octal: up to max. */
static int take_number(struct parsing *t, uint32_t max, uint32_t *ret)
{
	char word[NAME_MAX_], *rest;
	unsigned long value;

	take_name(t, word);
	if (!isdigit((unsigned char)word[0]))
		return fail(t, EINVAL, "a number is missing");
	value = strtoul(word, &rest, 0);
	if (*rest || strlen(word) + 1 == NAME_MAX_)
		return fail(t, EINVAL, "not a number");
	if (value > max) {
		char what[60];

		snprintf(what, sizeof(what), "a number above %u", max);
		return fail(t, EINVAL, what);
	}
	*ret = (uint32_t)value;
	return 0;
}

/* --- words ----------------------------------------------------------------------------------- */

/* What the parts of one word have said so far. */
struct item {
	bool action, op, literal;
	uint16_t word, pushed;
};

static int add_name(struct parsing *t, struct item *item, const struct name *name)
{
	uint32_t n = 0;
	int r = 0;

	if (name->kind == OPERATOR) {
		if (item->op)
			return fail(t, EINVAL, "two operators in one word");
		item->op = true;
		item->word |= (uint16_t)(name->value << 10);
		return 0;
	}
	if (item->action)
		return fail(t, EINVAL, "two actions in one word");
	item->action = true;
	if (name->kind == LITERAL) {
		item->literal = true;
		item->word |= CSPF_PUSHLIT;
		item->pushed = name->value;
		return 0;
	}
	if (name->kind == ACTION_N && take(t, '+'))
		r = take_number(t, name->last, &n);
	item->word |= (uint16_t)(name->value + n);
	return r;
}

/* The word behind a PUSHLIT: on the same line or the next. */
static int take_literal(struct parsing *t)
{
	uint32_t value = 0;
	int r;

	skip(t, true);
	if (t->p >= t->end)
		return fail(t, EINVAL, "PUSHLIT without a word behind it");
	r = take_number(t, UINT16_MAX, &value);
	return r < 0 ? r : append(t, value);
}

static int take_item(struct parsing *t)
{
	struct item item = { 0 };
	char word[NAME_MAX_], what[60];
	int r = 0;

	do {
		const struct name *name;

		take_name(t, word);
		name = find_name(word);
		if (!name) {
			snprintf(what, sizeof(what),
				 word[0] ? "there is no '%s'" : "a name is missing%s", word);
			return fail(t, EINVAL, what);
		}
		r = add_name(t, &item, name);
	} while (r == 0 && take(t, '|'));
	if (r == 0)
		r = append(t, item.word);
	if (r == 0 && item.literal)
		return append(t, item.pushed);
	return r == 0 && CSPF_ACTION(item.word) == CSPF_PUSHLIT ? take_literal(t) : r;
}

/* ".order little" */
static int take_directive(struct parsing *t)
{
	char word[NAME_MAX_];

	t->p++;
	take_name(t, word);
	if (strcmp(word, "ORDER") != 0)
		return fail(t, EINVAL, "there is only .order");
	skip(t, false);
	take_name(t, word);
	if (!strcmp(word, "LITTLE"))
		t->flags |= CSPF_LITTLE;
	else if (strcmp(word, "BIG") != 0)
		return fail(t, EINVAL, ".order is big or little");
	return 0;
}

static int parse(struct parsing *t)
{
	uint32_t value = 0;
	int r = 0;

	for (skip(t, true); t->p < t->end && r == 0; skip(t, true)) {
		if (*t->p == '.') {
			r = take_directive(t);
		} else if (isdigit((unsigned char)*t->p)) {
			r = take_number(t, UINT16_MAX, &value);
			if (r == 0)
				r = append(t, value);
			if (r == 0 && CSPF_ACTION(value) == CSPF_PUSHLIT)
				r = take_literal(t);
		} else {
			r = take_item(t);
		}
	}
	return r;
}

int pf_cspf_parse(const char *text, size_t len, uint16_t **ret_words, unsigned **ret_lines,
		  size_t *ret_n, unsigned *ret_flags, struct pf_error *error)
{
	PFS_CLEANUP(parsing_release)
	struct parsing t = { .p = text, .begin = text, .end = text + len, .line = 1, .error = error };
	int r = parse(&t);

	/* An empty program is one, too: there is memory for it. */
	if (r == 0 && !t.cap) {
		t.word = pfs_zalloc(1, sizeof(*t.word));
		t.lines = pfs_zalloc(1, sizeof(*t.lines));
		if (!t.word || !t.lines)
			r = fail(&t, ENOMEM, "no memory for the filter");
	}
	if (r < 0)
		return r;
	*ret_words = TAKE_PTR(t.word);
	*ret_lines = TAKE_PTR(t.lines);
	*ret_n = t.n;
	*ret_flags = t.flags;
	return 0;
}
