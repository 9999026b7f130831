#include "pf/front/bpftext.h"

#include <ctype.h>
#include <stdio.h>

#include "pf/classic.h"
#include "pf/error.h"
#include "pf/front/bpftext_i.h"
#include "pf/front/cbpf.h"
#include "pf/front/front.h"
#include "pf/front/mpf.h"

#define TEXT_MAX ((size_t)16 << 20)

void bpf_asm_release(struct bpf_asm *a)
{
	for (size_t i = 0; i < a->nlabel; i++)
		free(a->label[i].name);
	for (size_t i = 0; i < a->nfix; i++)
		free(a->fix[i].name);
	free(a->label);
	free(a->fix);
	free(a->insn);
}

int bpf_asm_fail(struct bpf_asm *a, int code, const char *what)
{
	return pf_fail_at(a->error, code, a->line, (unsigned)(a->p - a->begin) + 1, "%s", what);
}

int bpf_asm_append(struct bpf_asm *a, const struct pf_insn *insn)
{
	if (a->n >= CBPF_MAX)
		return bpf_asm_fail(a, E2BIG, "more instructions than any filter needs");
	if (a->n == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 64;
		void *p = reallocarray(a->insn, cap, sizeof(*a->insn));

		if (!p)
			return bpf_asm_fail(a, ENOMEM, "no memory for the filter");
		a->insn = p;
		a->cap = cap;
	}
	a->insn[a->n++] = *insn;
	return 0;
}

/* --- words ----------------------------------------------------------------------------------- */

/* Blanks, newlines and comments; counts lines. */
static void skip(struct bpf_asm *a)
{
	while (a->p < a->end) {
		if (*a->p == '\n') {
			a->line++;
			a->begin = a->p + 1;
		} else if (*a->p == ';') {
			while (a->p + 1 < a->end && a->p[1] != '\n')
				a->p++;
		} else if (*a->p == '/' && a->p + 1 < a->end && a->p[1] == '*') {
			a->p += 2;
			while (a->p + 1 < a->end && !(a->p[0] == '*' && a->p[1] == '/')) {
				if (*a->p == '\n') {
					a->line++;
					a->begin = a->p + 1;
				}
				a->p++;
			}
			a->p += a->p < a->end;
		} else if (!isspace((unsigned char)*a->p)) {
			return;
		}
		a->p += a->p < a->end;
	}
}

bool bpf_asm_skip_char(struct bpf_asm *a, char c)
{
	skip(a);
	if (a->p >= a->end || *a->p != c)
		return false;
	a->p++;
	return true;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* A name, in lower case; too long: cut, so that it is none that is known. Empty: there is none. */
void bpf_asm_word(struct bpf_asm *a, char *word, size_t size)
{
	size_t n = 0;

	skip(a);
	if (a->p < a->end && isdigit((unsigned char)*a->p)) {
		word[0] = '\0';
		return;
	}
	for (; a->p < a->end && is_word(*a->p); a->p++)
		if (n + 1 < size)
			word[n++] = (char)tolower((unsigned char)*a->p);
	word[n] = '\0';
}

/* The word that is next, without taking it. */
void bpf_asm_peek(struct bpf_asm *a, char *word, size_t size)
{
	struct bpf_asm saved = *a;

	bpf_asm_word(a, word, size);
	*a = saved;
}

/* Decimal, 0x hexadecimal, 0b binary, 0 octal; a minus makes it a negative number of 32 bits. */
int bpf_asm_number(struct bpf_asm *a, uint32_t *ret_value)
{
	bool minus = bpf_asm_skip_char(a, '-');
	unsigned base = 10;
	uint64_t value = 0;
	const char *from;

	skip(a);
	if (a->p + 1 < a->end && a->p[0] == '0') {
		char c = (char)tolower((unsigned char)a->p[1]);

		base = c == 'x' ? 16 : c == 'b' ? 2 : isdigit((unsigned char)c) ? 8 : 10;
		a->p += base == 16 || base == 2 ? 2 : 0;
	}
	for (from = a->p; a->p < a->end && isalnum((unsigned char)*a->p); a->p++) {
		char c = (char)tolower((unsigned char)*a->p);
		unsigned digit = isdigit((unsigned char)c) ? (unsigned)(c - '0')
							   : (unsigned)(c - 'a') + 10;

		if (digit >= base)
			return bpf_asm_fail(a, EINVAL, "not a number");
		value = value * base + digit;
		if (value > UINT32_MAX)
			return bpf_asm_fail(a, EINVAL, "a number of more than 32 bits");
	}
	if (from == a->p)
		return bpf_asm_fail(a, EINVAL, "a number is missing");
	if (minus && value > UINT32_C(1) << 31)
		return bpf_asm_fail(a, EINVAL, "a number of more than 32 bits");
	*ret_value = minus ? 0 - (uint32_t)value : (uint32_t)value;
	return 0;
}

/* --- numbers alone --------------------------------------------------------------------------- */

/* One field of an instruction in the forms of -dd and -ddd. */
static int field(struct bpf_asm *a, uint32_t max, uint32_t *ret_value)
{
	int r = bpf_asm_number(a, ret_value);

	if (r == 0 && *ret_value > max)
		r = bpf_asm_fail(a, EINVAL, "a number that is too large for its field");
	return r;
}

static int numbers(struct bpf_asm *a, bool commas)
{
	uint32_t value[4] = { 0 };
	static const uint32_t max[4] = { UINT16_MAX, UINT8_MAX, UINT8_MAX, UINT32_MAX };

	for (unsigned i = 0; i < 4; i++) {
		int r = field(a, max[i], &value[i]);

		if (r < 0)
			return r;
		if (i < 3 && commas && !bpf_asm_skip_char(a, ','))
			return bpf_asm_fail(a, EINVAL, "a comma is missing");
	}
	return bpf_asm_append(a, &(struct pf_insn){ (uint16_t)value[0], (uint8_t)value[1],
						    (uint8_t)value[2], value[3] });
}

/* -dd: { 0x28, 0, 0, 0x0000000c }, */
static int parse_initialisers(struct bpf_asm *a)
{
	int r = 0;

	for (skip(a); a->p < a->end && r == 0; skip(a)) {
		if (!bpf_asm_skip_char(a, '{'))
			return bpf_asm_fail(a, EINVAL, "a { is missing");
		r = numbers(a, true);
		if (r == 0 && !bpf_asm_skip_char(a, '}'))
			return bpf_asm_fail(a, EINVAL, "a } is missing");
		bpf_asm_skip_char(a, ',');
	}
	return r;
}

/* -ddd: how many, then four numbers each; lines or commas between. */
static int parse_decimals(struct bpf_asm *a)
{
	uint32_t n = 0;
	int r = field(a, CBPF_MAX, &n);

	bpf_asm_skip_char(a, ',');
	for (skip(a); a->p < a->end && r == 0; skip(a)) {
		r = numbers(a, false);
		bpf_asm_skip_char(a, ',');
	}
	if (r == 0 && a->n != n) {
		char what[80];

		snprintf(what, sizeof(what), "%u instructions were announced, here are %zu", n, a->n);
		return bpf_asm_fail(a, EINVAL, what);
	}
	return r;
}

/* --- bytes ----------------------------------------------------------------------------------- */

/* Some byte of every program is zero; no text has one. */
static int parse_bytes(struct bpf_asm *a)
{
	size_t len = (size_t)(a->end - a->p);
	int r = 0;

	if (len % sizeof(struct pf_insn))
		return pf_fail(a->error, EINVAL, "%zu bytes are no program: an instruction has %zu",
			       len, sizeof(struct pf_insn));
	for (; a->p < a->end && r == 0; a->p += sizeof(struct pf_insn)) {
		struct pf_insn insn;

		memcpy(&insn, a->p, sizeof(insn));
		r = bpf_asm_append(a, &insn);
	}
	return r;
}

int bpf_asm_any(struct bpf_asm *a)
{
	if (memchr(a->p, 0, (size_t)(a->end - a->p)))
		return parse_bytes(a);
	skip(a);
	if (a->p < a->end && *a->p == '{')
		return parse_initialisers(a);
	if (a->p < a->end && isdigit((unsigned char)*a->p))
		return parse_decimals(a);
	return bpf_asm_parse(a);
}

static int parse_text(const char *text, size_t len, bool mpf, struct pf_insn **ret_insns,
		      size_t *ret_n, struct pf_error *error)
{
	PFS_CLEANUP(bpf_asm_release)
	struct bpf_asm a = {
		.p = text, .begin = text, .end = text + len, .line = 1, .mpf = mpf, .error = error
	};
	int r;

	r = bpf_asm_any(&a);
	if (r < 0)
		return r;
	if (!a.n)
		return pf_fail(error, EINVAL, "an empty program");
	*ret_insns = TAKE_PTR(a.insn);
	*ret_n = a.n;
	return 0;
}

int pf_bpf_parse(const char *text, size_t len, struct pf_insn **ret_insns, size_t *ret_n,
		 struct pf_error *error)
{
	return parse_text(text, len, false, ret_insns, ret_n, error);
}

int pf_mpf_parse(const char *text, size_t len, struct pf_insn **ret_insns, size_t *ret_n,
		 struct pf_error *error)
{
	return parse_text(text, len, true, ret_insns, ret_n, error);
}

static int make(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		struct pf_said *ret_said, struct pf_error *error)
{
	PFS_FREE struct pf_insn *insns = NULL;
	size_t n = 0;
	int r = pf_bpf_parse(text, len, &insns, &n, error);

	if (r == 0)
		r = pf_front_cbpf(u, insns, n, 0, error);
	if (r == 0)
		*ret_said = pf_said_insns(TAKE_PTR(insns), n);
	return r;
}

const struct pf_front pf_front_bpf = {
	.name = "bpf",
	.max = TEXT_MAX,
	.make = make,
};
