/*
 * dpf_plain - DPF once more: what a list of atoms means, said plainly, and lists that are made up
 *
 * Nothing of src/ is used but the numbers that look random. A list becomes text in one of the many ways to write it, so
 * the parser is tried as well.
 */
#ifndef TESTS_PF_DPF_PLAIN_H
#define TESTS_PF_DPF_PLAIN_H

#include "tests/unit/pf/random.h"

enum plain_kind { PLAIN_EQUAL, PLAIN_SHIFT, PLAIN_MOVE };

struct plain_atom {
	enum plain_kind kind;
	unsigned bits;
	uint32_t offset, mask, number;
};

#define PLAIN_ATOMS 14

/* The field if all of its bytes are in the packet. */
HELP bool plain_field(const struct plain_atom *a, unsigned __int128 position, const uint8_t *data,
		      uint32_t n, uint32_t *ret_field)
{
	unsigned __int128 at = position + a->offset;
	uint32_t field = 0;

	for (unsigned i = 0; i < a->bits / 8; i++) {
		if (at + i >= n)
			return false;
		field = field * 256 + data[(size_t)at + i];
	}
	*ret_field = field & a->mask;
	return true;
}

HELP bool plain_matches(const struct plain_atom *atoms, size_t natoms, const uint8_t *data, uint32_t n)
{
	unsigned __int128 position = 0;

	for (size_t i = 0; i < natoms; i++) {
		const struct plain_atom *a = &atoms[i];
		uint32_t field;

		if (a->kind == PLAIN_MOVE) {
			position += a->number;
			continue;
		}
		if (!plain_field(a, position, data, n, &field))
			return false;
		if (a->kind == PLAIN_EQUAL && field != a->number)
			return false;
		if (a->kind == PLAIN_SHIFT)
			position += (unsigned __int128)field << a->number;
	}
	return true;
}

/* --- made up --------------------------------------------------------------------------------- */

HELP uint32_t plain_all(unsigned bits)
{
	return bits == 32 ? UINT32_MAX : (1u << bits) - 1;
}

HELP struct plain_atom plain_random_atom(struct dice *dice)
{
	struct plain_atom a = { .kind = PLAIN_EQUAL, .bits = 8u << roll(dice, 3) };

	a.offset = roll(dice, 20) ? roll(dice, 40) : roll_number(dice) & 0xffff;
	a.mask = plain_all(a.bits);
	if (!roll(dice, 2))
		a.mask &= roll_number(dice);
	if (!a.mask)
		a.mask = 1u << roll(dice, a.bits);
	switch (roll(dice, 6)) {
	case 0:
		a.kind = PLAIN_MOVE;
		a.number = roll(dice, 12) ? roll(dice, 30) : roll_number(dice) & 0xffff;
		break;
	case 1:
		a.kind = PLAIN_SHIFT;
		/* Mostly so that it stays inside of packets. */
		if (roll(dice, 6)) {
			a.bits = 8;
			a.mask = roll(dice, 2) ? 15 : 7;
			a.number = roll(dice, 3);
		} else {
			a.number = roll(dice, 32);
		}
		break;
	default:
		a.number = roll_number(dice) & a.mask;
		break;
	}
	return a;
}

/* Returns how many. */
HELP size_t plain_random(struct dice *dice, struct plain_atom *atoms, size_t max)
{
	size_t n = roll(dice, (uint32_t)max + 1);

	for (size_t i = 0; i < n; i++)
		atoms[i] = plain_random_atom(dice);
	/* The same field asked twice. */
	if (n > 2 && !roll(dice, 4)) {
		atoms[n - 1] = atoms[roll(dice, (uint32_t)n - 1)];
		if (atoms[n - 1].kind == PLAIN_EQUAL && !roll(dice, 2))
			atoms[n - 1].number = roll_number(dice) & atoms[n - 1].mask;
	}
	return n;
}

HELP void plain_say_number(struct dice *dice, uint32_t number, struct pfs_buf *out)
{
	pfs_buf_printf(out, roll(dice, 2) ? "%u" : roll(dice, 2) ? "0x%x" : "0X%X", number);
}

/* The field with its mask; in parentheses or not. */
HELP void plain_say_field(struct dice *dice, const struct plain_atom *a, bool parens,
			  struct pfs_buf *out)
{
	bool inner = roll(dice, 3) == 0;

	pfs_buf_str(out, parens ? "(" : "");
	pfs_buf_printf(out, inner ? "(%u : %u)" : "%u:%u", a->offset, a->bits);
	if (a->mask != plain_all(a->bits) || !roll(dice, 8)) {
		pfs_buf_str(out, roll(dice, 2) ? " & " : "&");
		plain_say_number(dice, a->mask, out);
	}
	pfs_buf_str(out, parens ? ")" : "");
}

HELP void plain_say_atom(struct dice *dice, const struct plain_atom *a, struct pfs_buf *out)
{
	bool parens = roll(dice, 2);

	if (a->kind == PLAIN_MOVE) {
		pfs_buf_printf(out, parens ? "SHIFT(%u)" : "shift %u", a->number);
		return;
	}
	if (a->kind == PLAIN_SHIFT) {
		bool around = roll(dice, 2);

		pfs_buf_str(out, around ? "Shift(" : "shift ");
		plain_say_field(dice, a, roll(dice, 2), out);
		if (a->number || roll(dice, 2))
			pfs_buf_printf(out, " << %u", a->number);
		pfs_buf_str(out, around ? ")" : "");
		return;
	}
	pfs_buf_str(out, parens ? "(" : "");
	plain_say_field(dice, a, roll(dice, 2), out);
	pfs_buf_str(out, roll(dice, 2) ? " == " : "==");
	if (a->bits == 32 && !roll(dice, 3))
		pfs_buf_printf(out, "%u.%u.%u.%u", a->number >> 24, a->number >> 16 & 255,
			       a->number >> 8 & 255, a->number & 255);
	else
		plain_say_number(dice, a->number, out);
	pfs_buf_str(out, parens ? ")" : "");
}

HELP void plain_say(struct dice *dice, const struct plain_atom *atoms, size_t n, struct pfs_buf *out)
{
	static const char *const between[] = { " && ", "&&",	     ", ",	" and ",
					       "\n",   " # why\n\n", " &&\n\t", "\nand " };

	pfs_buf_str(out, roll(dice, 4) ? "" : "\n# a filter\n ");
	for (size_t i = 0; i < n; i++) {
		pfs_buf_str(out, i ? between[roll(dice, ARRAY_SIZE(between))] : "");
		plain_say_atom(dice, &atoms[i], out);
	}
	pfs_buf_str(out, roll(dice, 4) ? "" : "\n");
}

/* Bytes for which the list mostly holds, or nearly. */
HELP void plain_packet(struct dice *dice, const struct plain_atom *atoms, size_t natoms,
		       const struct packets *from, struct bytes *b)
{
	unsigned __int128 position = 0;

	*b = (struct bytes){ .n = roll(dice, 120) };
	if (from->n && roll(dice, 3))
		*b = from->of[roll(dice, (uint32_t)from->n)];
	for (size_t i = 0; i < natoms && roll(dice, 24); i++) {
		const struct plain_atom *a = &atoms[i];
		unsigned __int128 at = position + a->offset;
		uint32_t field = 0;

		if (a->kind == PLAIN_MOVE) {
			position += a->number;
			continue;
		}
		if (at + a->bits / 8 > PACKET_MAX)
			return;
		if (at + a->bits / 8 > b->n)
			b->n = (uint32_t)at + a->bits / 8;
		for (unsigned k = 0; k < a->bits / 8 && a->kind == PLAIN_EQUAL; k++) {
			unsigned shift = a->bits - 8 - k * 8;
			uint8_t *byte = &b->data[(size_t)at + k];

			*byte = (uint8_t)((*byte & ~(a->mask >> shift)) | (a->number >> shift));
		}
		if (a->kind == PLAIN_SHIFT && plain_field(a, position, b->data, b->n, &field))
			position += (unsigned __int128)field << a->number;
	}
	if (!roll(dice, 3))
		b->n = roll(dice, b->n + 1);
}

#endif
