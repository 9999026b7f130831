/*
 * smt_ebpf_i - the machine that eBPF runs on, as formulas: what the files about it share among themselves
 */
#ifndef PFS_PF_PROVE_SMT_EBPF_I_H
#define PFS_PF_PROVE_SMT_EBPF_I_H

#include <linux/bpf.h>

#include "pf/prove/smt.h"

#define MEMORY_SORT "(Array (_ BitVec 32) (_ BitVec 32))"
#define SMT_STACK 512
#define REGS 11
#define FREE_TERM 1 /* what nobody has written */

enum kind { NOTHING, NUMBER, ON_STACK, CONTEXT, MEMORY, MAP };

/* What a register holds. A place is off, counted from the top of the stack or the beginning of the memories, + term. */
struct reg {
	enum kind kind;
	uint32_t term; /* NAME.dN, 64 bits; of places 0: nothing is added */
	int64_t off;
	uint64_t max; /* the number, or what is added, is at most that */
};

/* A byte of a term. Terms of which byte 0 lies at several places are that byte eight times. */
struct cell {
	uint32_t term;
	uint32_t at;
};

/* Bytes of the packet above the stack's own: byte i of it where i < size, 0 if it was not read. */
struct layer {
	int lo;			 /* the first, from the bottom of the stack */
	uint32_t n;		 /* how many at most; 0: there is none */
	uint32_t from, size, ok; /* terms; ok is 1 or 0 */
};

struct state {
	uint32_t cond;
	struct reg reg[REGS];
	struct cell cell[SMT_STACK];
	struct reg place[SMT_STACK / 8]; /* an address that lies there; NOTHING: numbers do */
	struct layer layer;
	uint32_t mem; /* 0: as it was at first */
};

struct way {
	struct way *next;
	struct state state;
};

struct smt_ebpf {
	const struct bpf_insn *insn;
	size_t n;
	const char *name;
	struct pfs_buf *out;
	uint32_t words;
	struct way **into, **back; /* owned, each; by instruction: of this round, of the next */
	uint32_t round, terms, conds;
	uint32_t zero; /* a term; 0: not said yet */
	struct pfs_buf result, cut, bad, end;
	uint32_t returns, ends;
	struct state s; /* now */
	int err;
};

void smt_ebpf_release(struct smt_ebpf *w);
/* Remembers the first error. */
void smt_ebpf_fail(struct smt_ebpf *w, int err);

/* A new term of 64 bits; its number. */
uint32_t smt_ebpf_term(struct smt_ebpf *w, const char *fmt, ...) PFS_PRINTF(2, 3);
struct reg smt_ebpf_number(uint32_t term, uint64_t max);
struct reg smt_ebpf_constant(struct smt_ebpf *w, uint64_t k);
/* Bytes put together, the lowest first. */
struct reg smt_ebpf_bytes(struct smt_ebpf *w, const struct cell *bytes, unsigned size);

/* The state now, brought to an instruction, if that holds; and what all that was brought there comes to. */
void smt_ebpf_add_way(struct smt_ebpf *w, struct way **into, uint32_t cond);
void smt_ebpf_ways_free(struct way *way);
bool smt_ebpf_arrive(struct smt_ebpf *w, size_t at);
void smt_ebpf_put_memory(const struct smt_ebpf *w, uint32_t mem, struct pfs_buf *out);

/* The stack. A place of it as a number from its bottom; false: there is none. */
bool smt_ebpf_place(struct smt_ebpf *w, const struct reg *to, int64_t more, unsigned size, int *ret_at);
bool smt_ebpf_in_layer(const struct smt_ebpf *w, int at);
struct reg smt_ebpf_load(struct smt_ebpf *w, const struct reg *from, int at, unsigned size);
void smt_ebpf_store(struct smt_ebpf *w, const struct reg *to, int off, unsigned size, struct reg from);

#endif
