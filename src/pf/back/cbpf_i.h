/*
 * cbpf_i - what the files of the classic BPF emitter share among themselves
 *
 * A block's code is straight; how it ends is said apart, so that blocks can be laid out when all is
 * known. While code is written, the emitter keeps what A, X and the scratch words hold (struct
 * cb_state): a value that is there is not computed again. What it holds at the head of a block is
 * what it holds on all edges into it.
 *
 * A value is computed again where it is needed and not at hand, unless it is to be *saved*: then it
 * goes into a word when it is first made. Which ones to save is found by trying.
 */
#ifndef PFS_PF_BACK_CBPF_I_H
#define PFS_PF_BACK_CBPF_I_H

#include "pf/back/cbpf.h"
#include "pf/classic.h"
#include "pf/front/cbpf.h"
#include "pf/ir/facts.h"

struct cb_state {
	pf_val a, x; /* 0: something that nobody wants */
	pf_val m[CB_WORDS];
};

enum cb_end { CB_END_RET, CB_END_RET_A, CB_END_GO, CB_END_TEST };

struct cb_block {
	uint32_t first, n; /* instructions in code */
	enum cb_end end;
	struct pf_insn test; /* TEST: without distances */
	uint32_t k;	     /* RET */
	pf_blk yes, no;	     /* GO: yes */
};

/* Where a parameter is at the head of its block. */
#define CB_HOME_WORD 0xff /* wants a word */
#define CB_HOME_A 0xfe
#define CB_HOME_X 0xfd

/* What is known of the unit before any code. */
struct cb_plan {
	bool linux_rules;
	struct pf_unit u; /* owned */
	struct pf_flow flow;
	struct pf_extents extents;
	uint32_t *last; /* owned; by value: 1 + the last position of a block that needs it; 0: none does */
	uint8_t *is_base; /* owned; by value: loads count from it */
	uint8_t *home;	  /* owned; of parameters: CB_HOME_, or a word */
	uint8_t *wish; /* owned; of parameters: the home that trying has shown to be better; 0: the usual one */
	uint32_t *top; /* owned; by value: the position of the block that dominates all that need it */
	uint8_t *early; /* owned; by value: made at the end of that block, in X */
	uint8_t *saved; /* owned; by value: goes into a word when it is made */
	uint32_t *weight; /* owned; by value: instructions that making it anew has taken, in the last try */
	uint32_t *times; /* owned; by value: how often it was made anew in the last try */
	unsigned nearly; /* values that are made early */
	unsigned words;	 /* that parameters hold all the time, from the last one down */

	/* What blocks load by themselves: reach[span[2 * position]] up to span[2 * position + 1]. */
	struct pf_extent *reach; /* owned */
	uint32_t nreach;
	uint32_t *span; /* owned */

	uint32_t *seen; /* owned; by position: the last question in which it was looked at */
	uint32_t mark;	/* of the question now */
	pf_blk *stack;	/* owned */
};

struct cb_gen {
	struct cb_plan *p;
	struct pf_insn *code; /* owned */
	uint32_t n, cap, max;
	struct cb_block *block; /* owned; by position */
	struct cb_state *left;	/* owned; by position: at its end */
	struct cb_state st;
	uint32_t at;	 /* position of the block that is written */
	unsigned keep_x; /* X holds what is wanted in a moment */
	unsigned busy;	 /* words that hold an intermediate result */
	bool try_again;	 /* a parameter was not at hand: it is saved now */
	int err;
};

/* --- cbpf_code.c: values and tests ----------------------------------------------------------- */

void cb_put(struct cb_gen *g, uint16_t code, uint32_t k);
void cb_into_a(struct cb_gen *g, pf_val v);
void cb_into_x(struct cb_gen *g, pf_val v);
void cb_save_a(struct cb_gen *g, unsigned word);
/* A branch on cond: fills in the end of the block. */
void cb_test(struct cb_gen *g, struct cb_block *block, pf_val cond, pf_blk yes, pf_blk no);
/* Saves what the state has in A or X, if it is to be saved and is not yet. */
void cb_settle(struct cb_gen *g);

/* --- cbpf_plan.c ----------------------------------------------------------------------------- */

int cb_plan_make(struct cb_plan *p, const struct pf_unit *u, unsigned flags);
void cb_plan_release(struct cb_plan *p);
/* Where parameters live, as far as home[] does not say it already. -E2BIG: not enough words. */
int cb_plan_homes(struct cb_plan *p);
/*
 * Will every way from b on that accepts the packet load at base up to `end` at least? Then a check that it fits can be
 * left to those loads.
 */
bool cb_plan_covers(struct cb_plan *p, pf_blk b, pf_val base, uint32_t end);

/* Can v be made in that block though nobody there needs it: can it not make the program reject? */
bool cb_plan_can_make(const struct cb_plan *p, pf_val v, uint32_t at);

/* --- cbpf_tail.c ----------------------------------------------------------------------------- */

/* In place; returns how many are left. */
uint32_t cb_merge_tails(struct pf_insn *insns, uint32_t n);

/* --- cbpf_layout.c --------------------------------------------------------------------------- */

/* Puts the blocks one after the other. *ret_insns is to be freed. */
int cb_layout(const struct cb_gen *g, struct pf_insn **ret_insns, size_t *ret_n);

#endif
