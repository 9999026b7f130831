#include "pf/front/dpf.h"

#include <ctype.h>

#include "pf/error.h"
#include "pf/front/front.h"
#include "pf/prove/smt.h"

#define TEXT_MAX ((size_t)64 << 10)
#define DEPTH_MAX 16u /* of parentheses */

/* --- words ----------------------------------------------------------------------------------- */

struct parsing {
	const char *p, *end;
	const char *begin; /* of the line */
	unsigned line;
	unsigned last; /* line on which the last word stood */
	unsigned depth;
	struct dpf *dpf; /* owned */
	size_t cap;
	struct pf_error *error; /* borrowed */
};

/* What was read so far of an atom. */
enum part {
	PART_FIELD,  /* offset:bits */
	PART_MASKED, /* offset:bits & mask */
	PART_ATOM    /* all of it */
};

static void parsing_release(struct parsing *s)
{
	free(s->dpf);
}

static int fail(struct parsing *s, const char *what)
{
	return pf_fail_at(s->error, EINVAL, s->line, (unsigned)(s->p - s->begin) + 1, "%s", what);
}

/* Blanks, newlines, and comments from # to the end of the line. */
static void skip(struct parsing *s)
{
	for (; s->p < s->end; s->p++) {
		if (*s->p == '#') {
			while (s->p + 1 < s->end && s->p[1] != '\n')
				s->p++;
		} else if (*s->p == '\n') {
			s->line++;
			s->begin = s->p + 1;
		} else if (!isspace((unsigned char)*s->p)) {
			return;
		}
	}
}

static bool take(struct parsing *s, const char *text)
{
	size_t n = strlen(text);

	skip(s);
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, text, n) != 0)
		return false;
	s->p += n;
	s->last = s->line;
	return true;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* In small letters here, in any there. */
static bool take_word(struct parsing *s, const char *word)
{
	size_t n = strlen(word);

	skip(s);
	if ((size_t)(s->end - s->p) < n || (s->p + n < s->end && is_word(s->p[n])))
		return false;
	for (size_t i = 0; i < n; i++)
		if (tolower((unsigned char)s->p[i]) != word[i])
			return false;
	s->p += n;
	s->last = s->line;
	return true;
}

static int expect(struct parsing *s, const char *text, const char *what)
{
	return take(s, text) ? 0 : fail(s, what);
}

/* Decimal, 0x hexadecimal, 0b binary. */
static int take_number(struct parsing *s, uint32_t max, const char *too_large, uint32_t *ret_value)
{
	unsigned base = 10;
	uint64_t value = 0;
	const char *from;

	skip(s);
	if (s->p + 1 < s->end && s->p[0] == '0' && isalnum((unsigned char)s->p[1])) {
		char c = (char)tolower((unsigned char)s->p[1]);

		if (c != 'x' && c != 'b')
			return fail(s, "a number with a 0 in front: there are decimal, 0x and 0b numbers");
		base = c == 'x' ? 16 : 2;
		s->p += 2;
	}
	for (from = s->p; s->p < s->end && is_word(*s->p); s->p++) {
		char c = (char)tolower((unsigned char)*s->p);
		unsigned digit = isdigit((unsigned char)c)   ? (unsigned)(c - '0')
				 : isalpha((unsigned char)c) ? (unsigned)(c - 'a') + 10
							     : base;

		if (digit >= base)
			return fail(s, "not a number");
		value = value * base + digit;
		if (value > max)
			return fail(s, too_large);
	}
	if (from == s->p)
		return fail(s, "a number is missing");
	*ret_value = (uint32_t)value;
	s->last = s->line;
	return 0;
}

/* A number, or an address of four bytes: 10.0.0.1. */
static int take_value(struct parsing *s, uint32_t *ret_value)
{
	uint32_t value = 0, byte = 0;
	int r = take_number(s, UINT32_MAX, "a number of more than 32 bits", &value);

	if (r < 0 || s->p == s->end || *s->p != '.') {
		*ret_value = value;
		return r;
	}
	if (value > UINT8_MAX)
		return fail(s, "a byte of an address is at most 255");
	for (unsigned i = 1; i < 4 && r == 0; i++) {
		if (s->p == s->end || *s->p != '.')
			return fail(s, "an address has four bytes: 10.0.0.1");
		s->p++;
		r = take_number(s, UINT8_MAX, "a byte of an address is at most 255", &byte);
		value = value << 8 | byte;
	}
	*ret_value = value;
	return r;
}

/* --- atoms ----------------------------------------------------------------------------------- */

static uint32_t all_bits(unsigned size)
{
	assert(size);
	return UINT32_MAX >> (32 - size * 8);
}

/* offset:bits */
static int take_field(struct parsing *s, struct dpf_atom *atom)
{
	uint32_t bits = 0;
	int r = take_number(s, DPF_OFFSET_MAX, "an offset of more than 65535 bytes", &atom->offset);

	if (r == 0)
		r = expect(s, ":", "a field is OFFSET:BITS, as in 12:16");
	if (r == 0)
		r = take_number(s, 32, "a field has 8, 16 or 32 bits", &bits);
	if (r == 0 && bits != 8 && bits != 16 && bits != 32)
		r = fail(s, "a field has 8, 16 or 32 bits");
	if (r < 0)
		return r;
	atom->size = (uint8_t)(bits / 8);
	atom->mask = all_bits(atom->size);
	return 0;
}

static int take_mask(struct parsing *s, struct dpf_atom *atom)
{
	uint32_t mask = 0;
	int r = take_value(s, &mask);

	if (r < 0)
		return r;
	if (mask & ~all_bits(atom->size))
		return fail(s, "a mask with more bits than the field");
	if (!mask)
		return fail(s, "a mask of 0 leaves nothing to ask for");
	atom->mask = mask;
	return 0;
}

/* A single & is a mask; two are another atom. */
static bool take_single_and(struct parsing *s)
{
	skip(s);
	if (s->p + 1 < s->end && s->p[0] == '&' && s->p[1] == '&')
		return false;
	return take(s, "&");
}

static int take_item(struct parsing *s, struct dpf_atom *atom, enum part *part);

/* field, field & mask, with parentheses wherever one likes; in them, if `whole`, may be all of an atom. */
static int take_part(struct parsing *s, struct dpf_atom *atom, bool whole, enum part *ret_part)
{
	int r;

	if (!take(s, "(")) {
		*ret_part = PART_FIELD;
		r = take_field(s, atom);
	} else {
		if (++s->depth > DEPTH_MAX)
			return fail(s, "too many parentheses");
		r = whole ? take_item(s, atom, ret_part) : take_part(s, atom, false, ret_part);
		if (r == 0)
			r = expect(s, ")", "a ) is missing");
		s->depth--;
	}
	if (r == 0 && *ret_part == PART_FIELD && take_single_and(s)) {
		*ret_part = PART_MASKED;
		r = take_mask(s, atom);
	}
	return r;
}

static int take_shift(struct parsing *s, struct dpf_atom *atom, enum part *part);

/* An atom, or the field that one begins with if it stands in parentheses. */
static int take_item(struct parsing *s, struct dpf_atom *atom, enum part *part)
{
	int r;

	if (take_word(s, "shift"))
		return take_shift(s, atom, part);
	r = take_part(s, atom, true, part);
	if (r < 0 || *part == PART_ATOM || !take(s, "=="))
		return r;
	*part = PART_ATOM;
	atom->kind = DPF_EQ;
	r = take_value(s, &atom->value);
	if (r == 0 && (atom->value & ~atom->mask))
		r = fail(s, "the field can never have this value");
	return r;
}

/* Is a field next, and no constant? It has a colon behind its number. */
static bool field_is_next(struct parsing *s)
{
	const char *p;

	skip(s);
	for (p = s->p; p < s->end && (*p == '(' || isspace((unsigned char)*p)); p++)
		;
	while (p < s->end && is_word(*p))
		p++;
	while (p < s->end && isspace((unsigned char)*p))
		p++;
	return p < s->end && *p == ':';
}

/* What stands between the parentheses of SHIFT( ), or behind the word. */
static int take_amount(struct parsing *s, struct dpf_atom *atom, enum part *part)
{
	int r;

	*part = PART_ATOM;
	if (!field_is_next(s)) {
		atom->kind = DPF_SKIP;
		return take_number(s, DPF_OFFSET_MAX, "a shift by more than 65535 bytes", &atom->value);
	}
	atom->kind = DPF_SHIFT;
	r = take_part(s, atom, false, part);
	*part = PART_ATOM;
	if (r == 0 && take(s, "<<"))
		r = take_number(s, 31, "a field is shifted by at most 31 bits", &atom->value);
	return r;
}

static int take_shift(struct parsing *s, struct dpf_atom *atom, enum part *part)
{
	struct parsing saved;
	struct pf_error unused;
	int r;

	skip(s);
	/* `shift ((0:8 & 0xf) << 2)` and `shift (0:8 & 0xf) << 2`: the first ( may be the amount's or all of it. */
	saved = *s;
	saved.error = &unused;
	if (take(&saved, "(") && take_amount(&saved, atom, part) == 0 && take(&saved, ")") &&
	    !take(&saved, "<<") && !take_single_and(&saved)) {
		take(s, "(");
		r = take_amount(s, atom, part);
		return r < 0 ? r : expect(s, ")", "a ) is missing");
	}
	*atom = (struct dpf_atom){ 0 };
	return take_amount(s, atom, part);
}

/* Room for n atoms. */
static int reserve(struct parsing *s, size_t n)
{
	size_t cap = n > s->cap ? pfs_max(n, s->cap * 2) : s->cap;
	struct dpf *dpf = cap > s->cap ? realloc(s->dpf, sizeof(*dpf) + cap * sizeof(dpf->atom[0]))
				       : s->dpf;

	if (!dpf)
		return pf_fail(s->error, ENOMEM, "no memory for the filter");
	s->dpf = dpf;
	s->cap = cap;
	return 0;
}

static int add(struct parsing *s, const struct dpf_atom *atom)
{
	int r;

	if (s->dpf->n == DPF_ATOMS_MAX)
		return pf_fail_at(s->error, E2BIG, s->line, 1, "more than %u atoms", DPF_ATOMS_MAX);
	r = reserve(s, s->dpf->n + 1);
	if (r == 0)
		s->dpf->atom[s->dpf->n++] = *atom;
	return r;
}

/* Between two atoms: &&, and, a comma, or the end of a line. *ret_last: there is no other. */
static int take_separator(struct parsing *s, bool *ret_last)
{
	bool newline;

	skip(s);
	newline = s->line != s->last;
	*ret_last = s->p == s->end;
	if (*ret_last)
		return 0;
	if (take(s, "&&") || take(s, ",") || take_word(s, "and")) {
		skip(s);
		return s->p == s->end ? fail(s, "an atom is missing at the end") : 0;
	}
	return newline ? 0 : fail(s, "between atoms stands && or a comma, or a line ends");
}

static int parse(struct parsing *s)
{
	bool last;
	int r = 0;

	skip(s);
	for (last = s->p == s->end; r == 0 && !last;) {
		struct dpf_atom atom = { 0 };
		enum part part = PART_FIELD;

		s->depth = 0;
		r = take_item(s, &atom, &part);
		if (r == 0 && part != PART_ATOM)
			r = fail(s, "what should the field be? == is missing");
		if (r == 0)
			r = add(s, &atom);
		if (r == 0)
			r = take_separator(s, &last);
	}
	return r;
}

int pf_dpf_parse(const char *text, size_t len, uint32_t keep, struct dpf **ret_dpf,
		 struct pf_error *error)
{
	PFS_CLEANUP(parsing_release)
	struct parsing s = { .p = text, .begin = text, .end = text + len, .line = 1, .error = error };
	int r = reserve(&s, 16);

	if (r < 0)
		return r;
	assert(s.dpf);
	*s.dpf = (struct dpf){ .keep = keep };
	r = parse(&s);
	if (r == 0)
		*ret_dpf = TAKE_PTR(s.dpf);
	return r;
}

/* --- the graph ------------------------------------------------------------------------------- */

struct making {
	struct pf_unit *u;
	pf_blk at, reject;
	pf_val base;   /* what fields have moved the position on by; 0: none has */
	uint32_t skip; /* and constants: 512 of at most 65535 do not wrap, */
	uint32_t fits; /* ... what is known to be there behind base */
};

/* Goes on if cond is as said, rejects if not. */
static void need(struct making *m, pf_val cond, bool yes)
{
	pf_blk next = pf_block(m->u);

	pf_block_branch(m->u, m->at, cond, yes ? next : m->reject, yes ? m->reject : next);
	m->at = next;
}

/* The field behind its check, masked. */
static pf_val make_field(struct making *m, const struct dpf_atom *atom)
{
	uint32_t at = m->skip + atom->offset;
	pf_val v;

	if (at + atom->size > m->fits) {
		need(m, pf_fits(m->u, m->base, at, atom->size), true);
		m->fits = at + atom->size;
	}
	v = pf_load(m->u, atom->size, m->base, at);
	return atom->mask == all_bits(atom->size)
		       ? v
		       : pf_binary(m->u, PF_OP_AND, v, pf_const(m->u, atom->mask));
}

/* The position moves on. Where that is beyond all numbers of 32 bits, no field is there. */
static void make_shift(struct making *m, const struct dpf_atom *atom, pf_val by)
{
	uint32_t most = UINT32_MAX >> atom->value;
	pf_val moved;

	if (atom->mask > most)
		need(m, pf_binary(m->u, PF_OP_LT, pf_const(m->u, most), by), false);
	if (atom->value)
		by = pf_binary(m->u, PF_OP_SHL, by, pf_const(m->u, atom->value));
	moved = m->base ? pf_binary(m->u, PF_OP_ADD, m->base, by) : by;
	if (m->base && !m->u->err && m->u->val[m->base].max > UINT32_MAX - m->u->val[by].max)
		need(m, pf_binary(m->u, PF_OP_LT, moved, m->base), false);
	m->base = moved;
	m->fits = 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct dpf_atom *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	if (x->mask != y->mask)
		return x->mask < y->mask ? -1 : 1;
	return (x->value > y->value) - (x->value < y->value);
}

/* Those between shifts in the order of their offsets. */
static void sort_atoms(struct dpf_atom *atoms, size_t n)
{
	for (size_t i = 0, first = 0; i <= n; i++) {
		if (i < n && atoms[i].kind == DPF_EQ)
			continue;
		qsort(atoms + first, i - first, sizeof(*atoms), by_offset);
		first = i + 1;
	}
}

static void make_atoms(struct making *m, const struct dpf_atom *atoms, size_t n)
{
	/* Where the position is behind the last field matters to nobody. */
	while (n && atoms[n - 1].kind == DPF_SKIP)
		n--;
	for (size_t i = 0; i < n && !m->u->err; i++) {
		const struct dpf_atom *atom = &atoms[i];
		pf_val v;

		if (atom->kind == DPF_SKIP) {
			m->skip += atom->value;
			continue;
		}
		v = make_field(m, atom);
		if (atom->kind == DPF_EQ)
			need(m, pf_binary(m->u, PF_OP_EQ, v, pf_const(m->u, atom->value)), true);
		else if (i + 1 < n)
			make_shift(m, atom, v);
	}
}

int pf_dpf_make(struct pf_unit *u, const struct dpf *dpf, struct pf_error *error)
{
	PFS_FREE struct dpf_atom *sorted = pfs_zalloc(dpf->n + 1, sizeof(*sorted));
	struct making m = { .u = u };

	if (!sorted)
		return pf_fail(error, ENOMEM, "no memory for the filter");
	memcpy(sorted, dpf->atom, dpf->n * sizeof(*sorted));
	sort_atoms(sorted, dpf->n);
	u->nresult = 1;
	u->entry = pf_block(u);
	m.reject = pf_block(u);
	pf_block_stop(u, m.reject);
	m.at = u->entry;
	make_atoms(&m, sorted, dpf->n);
	pf_block_result(u, m.at, 0, pf_const(u, dpf->keep));
	pf_block_stop(u, m.at);
	return u->err ? pf_fail(error, -u->err, "no memory for the filter") : 0;
}

static int smt(const void *program, size_t n, const char *name, struct pfs_buf *out)
{
	(void)n;
	return pf_smt_dpf(program, name, out);
}

static int make(struct pf_unit *u, const char *text, size_t len, const struct pf_options *options,
		struct pf_said *ret_said, struct pf_error *error)
{
	PFS_FREE struct dpf *dpf = NULL;
	int r;

	if (!options->snaplen)
		return pf_fail(error, EINVAL, "a snapshot of 0 bytes");
	r = pf_dpf_parse(text, len, options->snaplen, &dpf, error);
	if (r == 0)
		r = pf_dpf_make(u, dpf, error);
	if (r == 0)
		*ret_said = (struct pf_said){ .program = TAKE_PTR(dpf), .n = 1, .smt = smt };
	return r;
}

const struct pf_front pf_front_dpf = {
	.name = "dpf",
	.max = TEXT_MAX,
	.make = make,
};
