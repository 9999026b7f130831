/*
 * ebpf - programs for the kernel out of the intermediate form
 *
 * For all program types whose context is a socket buffer: socket filters, traffic control, cgroups.
 * Socket filters may not look at the packet's memory, and a packet's later part need not lie there
 * anyway. So the beginning, as much as the filter looks at, is copied to the stack once; what lies
 * beyond is fetched piece by piece. The copy is placed so that most fields are aligned, which the
 * verifier wants of loads from the stack; others are put together from bytes.
 *
 * In the kernel the length of a packet and the captured length are one, unless the caller says otherwise: he may have
 * put both on the stack.
 *
 * A unit with several filters leaves the set of those that accept on the stack (struct pf_ebpf_spec). Bits are added,
 * to words that begin as 0 without the verifier knowing: if it knew, it would follow each set apart.
 *
 * Loops need Linux 6.9.
 */
#ifndef PFS_PF_BACK_EBPF_H
#define PFS_PF_BACK_EBPF_H

#include "pf/back/kcode.h"
#include "pf/ir/ir.h"

/*
 * Where a table is in the kernel. map: a descriptor; keys are two 32-bit numbers, a and b, the value is one.
 * Negative: there is none. bits: an array with one value of 2^(log - 3) bytes, in which bit pf_ebpf_bit() is set
 * for every key that the map has (others may be set, too), so that most keys which it does not have cost no look.
 * Negative: there is none.
 */
struct pf_ebpf_table {
	int map, bits;
	unsigned log;	   /* 3 to 31 */
	uint32_t m_a, m_b; /* odd */
};

static inline uint32_t pf_ebpf_bit(const struct pf_ebpf_table *t, uint32_t a, uint32_t b)
{
	return (a * t->m_a ^ b * t->m_b) >> (32 - t->log);
}

struct pf_ebpf_spec {
	int stack;	 /* the code may use the stack below this offset from R10: 0, -64 ... */
	unsigned accept; /* label: R0 has the result, which is not 0, of a program with one filter; */
	unsigned reject; /* label */
	/* NULL: there are no tables. */
	struct pf_ebpf_table (*table)(void *arg, const struct pf_table *table);
	void *arg;
	/*
	 * Of a unit with memories: where on the stack, above `stack`, the address of a map's value lies (eight bytes at
	 * this offset from R10; 0: nowhere), and at which of its bytes the memories begin, one behind the other. With a
	 * map that is one for each CPU nobody else writes there meanwhile.
	 */
	int words;
	uint32_t words_at;
	/* Filled in: does anything lead to them? The verifier refuses code to which nothing does. */
	bool accepts, rejects;

	/* Where the lengths are, as u32: stack offsets; 0: both are that of the context. */
	int len, caplen;
	/* Not a socket buffer: the packet is read through the struct bpf_dynptr at this stack offset; 0: it is one. */
	int dynptr;

	/*
	 * Several filters. Bit k % 32 of word k / 32 says that filter k accepts; every run ends at `accept`, which
	 * is the same label as `reject` then, but one in which filter `undecided` or a later one has a result: that
	 * ends at `unsure`, and so does one in which bytes cannot be read. With `undecided_at` the run goes on instead,
	 * and the u32 at this stack offset becomes 0.
	 */
	bool many;
	bool values; /* the words are the results, word k that of filter k; where it has none nothing is written */
	int set; /* stack offset of the words (u32) */
	uint32_t undecided;
	int undecided_at; /* 0: nowhere */
	unsigned unsure;  /* label */
	bool unsures;	  /* filled in */
};

/*
 * Appends code that ends at one of the two labels, which are the caller's to place. On entry R6 is
 * the context, and it stays so; all other registers may be changed. 0; -ENOTSUP: fields that
 * no program can see, several filters, tables without maps, memories without a place; -E2BIG: a program too long, more
 * values at a time than the
 * stack holds; -ENOMEM.
 */
int pf_ebpf_emit(const struct pf_unit *u, struct pf_ebpf_spec *spec, struct kcode *c);

/* A whole program: returns the result. map: the descriptor of an array whose value 0 has the memories; -1: none. */
int pf_ebpf_program(const struct pf_unit *u, int map, struct kcode *c);
/* The same of one that asks tables: table and arg are those of struct pf_ebpf_spec. */
int pf_ebpf_program_with(const struct pf_unit *u, int map,
			 struct pf_ebpf_table (*table)(void *arg, const struct pf_table *table),
			 void *arg, struct kcode *c);

#endif
