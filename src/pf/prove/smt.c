#include "pf/prove/smt.h"

#include <stdio.h>

/* Sums of an offset have more bits than a number: they do not wrap. */
static const char words[] =
	"(define-fun num ((b Bool)) (_ BitVec 32) (ite b #x00000001 #x00000000))\n"
	"(define-fun is ((v (_ BitVec 32))) Bool (distinct v #x00000000))\n"
	"(define-fun fits ((a (_ BitVec 32)) (k (_ BitVec 32))) Bool\n"
	"  (bvule (bvadd (concat #b00 a) (concat #b00 k)) (concat #b00 caplen)))\n"
	"(define-fun b1 ((a (_ BitVec 32))) (_ BitVec 32) (concat #x000000 (select p a)))\n"
	"(define-fun b2 ((a (_ BitVec 32))) (_ BitVec 32)\n"
	"  (concat #x0000 (select p a) (select p (bvadd a #x00000001))))\n"
	"(define-fun b4 ((a (_ BitVec 32))) (_ BitVec 32)\n"
	"  (concat (select p a) (select p (bvadd a #x00000001))\n"
	"          (select p (bvadd a #x00000002)) (select p (bvadd a #x00000003))))\n"
	"(define-fun div ((a (_ BitVec 32)) (b (_ BitVec 32))) (_ BitVec 32)\n"
	"  (ite (= b #x00000000) #x00000000 (bvudiv a b)))\n";

void pf_smt_packet(struct pfs_buf *out, uint32_t max)
{
	pfs_buf_str(out, "(set-option :produce-models true)\n(set-logic QF_ABV)\n"
			 "(declare-const p (Array (_ BitVec 32) (_ BitVec 8)))\n"
			 "(declare-const caplen (_ BitVec 32))\n(declare-const len (_ BitVec 32))\n"
			 "(declare-const known (_ BitVec 32))\n"
			 "(declare-const mem (Array (_ BitVec 32) (_ BitVec 32)))\n"
			 "(declare-const where (_ BitVec 32))\n");
	for (unsigned i = 0; i < PF_AUX_FIELDS; i++)
		pfs_buf_printf(out, "(declare-const aux%u (_ BitVec 32))\n", i);
	pfs_buf_printf(out, "(assert (bvule caplen #x%08x))\n%s", max, words);
}

void pf_smt_claim(const char *a, const char *b, unsigned flags, struct pfs_buf *out)
{
	pfs_buf_str(out, "(push 1)\n");
	if (flags & PF_SMT_LOOPS)
		pfs_buf_printf(out, "(assert (not (or %s.cut %s.cut)))\n", a, b);
	pfs_buf_printf(out, "(assert (or (distinct %s.result %s.result)", a, b);
	if (flags & PF_SMT_MEMORY)
		pfs_buf_printf(out, " (distinct (select %s.mem where) (select %s.mem where))", a, b);
	pfs_buf_str(out, "))\n(check-sat)\n(pop 1)\n");
}

/* Numbers in hexadecimal, in this order. */
void pf_smt_ask_packet(uint32_t max, struct pfs_buf *out)
{
	pfs_buf_str(out, "(get-value (caplen len known");
	for (unsigned i = 0; i < PF_AUX_FIELDS; i++)
		pfs_buf_printf(out, " aux%u", i);
	for (uint32_t i = 0; i < max; i++)
		pfs_buf_printf(out, " (select p #x%08x)", i);
	pfs_buf_str(out, "))\n");
}

/* The next number: "#x" and digits. */
static int next_number(const char **p, uint32_t *ret_number)
{
	const char *at = strstr(*p, "#x");
	int n = 0;

	if (!at || sscanf(at, "#x%8x%n", ret_number, &n) != 1)
		return -EBADMSG;
	*p = at + n;
	return 0;
}

int pf_smt_read_packet(const char *answer, uint32_t max, struct pf_counterexample *ret_packet)
{
	struct pf_counterexample c = { .caplen = 0 };
	const char *p = answer;
	int r = next_number(&p, &c.caplen);

	if (r == 0)
		r = next_number(&p, &c.len);
	if (r == 0)
		r = next_number(&p, &c.aux.known);
	for (unsigned i = 0; i < PF_AUX_FIELDS && r == 0; i++)
		r = next_number(&p, &c.aux.value[i]);
	for (uint32_t i = 0; i < max && i < sizeof(c.bytes) && r == 0; i++) {
		uint32_t at = 0, byte = 0;

		/* ((select p #x00000007) #xff) */
		r = next_number(&p, &at);
		if (r == 0)
			r = next_number(&p, &byte);
		if (at != i || byte > UINT8_MAX)
			r = -EBADMSG;
		c.bytes[i] = (uint8_t)byte;
	}
	if (r == 0 && (c.caplen > max || max > sizeof(c.bytes)))
		r = -EBADMSG;
	if (r == 0)
		*ret_packet = c;
	return r;
}
