/*
 * ebpf - programs for the kernel out of the intermediate form
 *
 * For all program types whose context is a socket buffer: socket filters, traffic control, cgroups.
 * Socket filters may not look at the packet's memory, and a packet's later part need not lie there
 * anyway. So the beginning, as much as the filter looks at, is copied to the stack once; what lies
 * beyond is fetched piece by piece. The copy is placed so that most fields are aligned, which the
 * verifier wants of loads from the stack; others are put together from bytes.
 *
 * In the kernel the length of a packet and the captured length are one.
 */
#ifndef PFS_PF_BACK_EBPF_H
#define PFS_PF_BACK_EBPF_H

#include "pf/back/kcode.h"
#include "pf/ir/ir.h"

struct pf_ebpf_spec {
	int stack;	 /* the code may use the stack below this offset from R10: 0, -64 ... */
	unsigned accept; /* label: R0 has the result, which is not 0, of a program with one filter; */
	unsigned reject; /* label */
	/* Filled in: does anything lead to them? The verifier refuses code to which nothing does. */
	bool accepts, rejects;
};

/*
 * Appends code that ends at one of the two labels, which are the caller's to place. On entry R6 is
 * the context, and it stays so; all other registers may be changed. 0; -ENOTSUP: loops, fields that
 * no program can see, several filters; -E2BIG: a program too long, more values at a time than the
 * stack holds; -ENOMEM.
 */
int pf_ebpf_emit(const struct pf_unit *u, struct pf_ebpf_spec *spec, struct kcode *c);

/* A whole program: returns the result. */
int pf_ebpf_program(const struct pf_unit *u, struct kcode *c);

#endif
