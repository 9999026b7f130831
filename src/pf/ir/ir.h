/*
 * ir - the intermediate form of packet filters
 *
 * docs/ir.md is the definition; this is how it is held. A unit is one decision graph: blocks that
 * end in a branch, a jump or the end, and values. A value is a number of 32 bits, defined once, and
 * most values *float*: they belong to no block, have no effect and cannot fail, so a back end
 * computes them where, and as often, as it likes. Two facts tie them down:
 *
 *   - A PARAM is a parameter of a block; each edge into the block brings an argument for it.
 *   - A LOAD may only be computed where a branch on FITS has shown that its bytes are there.
 *     Nothing else can fail, so "the packet is too short" is an ordinary branch, which passes can
 *     reason about and merging can redirect. pf_verify() proves it for every use of every load: no
 *     back end checks anything by itself.
 *
 * RESULT is pinned: it stands in a block. Reaching the end of the graph without one for a filter
 * means that the filter rejects the packet. So are GET and SET, which read and write the memories that a unit has from
 * one packet to the next (docs/ir.md, Memory): they happen in the order in which they stand.
 *
 * The graph is acyclic but for loops: an edge back to a block that dominates its source, marked
 * `loop`, whose parameter `fuel` counts down from a constant (docs/ir.md, Loops).
 *
 * Builders hold a sticky error (unit->err): after a failure every call returns 0, which is no value
 * and no block, and the caller looks once, at the end. Everything is owned by the unit. Threads:
 * one at a time.
 */
#ifndef PFS_PF_IR_IR_H
#define PFS_PF_IR_IR_H

#include "base/base.h"
#include "pf/ir/table.h"

enum pf_op {
	PF_OP_NONE,
#define PF_OP(name, text, operands, effect, meaning) PF_OP_##name,
#include "pf/ir/ops.def"
#undef PF_OP
	PF_OPS
};

struct pf_op_info {
	const char *name; /* "LOAD8" */
	const char *text; /* as it is printed */
	uint8_t operands;
	bool effect;
	const char *meaning;
};

extern const struct pf_op_info pf_ops[PF_OPS];

#define PF_CELL_NAME 31u /* bytes of a name */

typedef uint32_t pf_val; /* index into unit->val; 0: none */
typedef uint32_t pf_blk; /* index into unit->blk; 0: none */

struct pf_value {
	uint8_t op;
	uint32_t k;
	pf_val a, b;  /* operands; of a PARAM: a is its block */
	uint32_t max; /* the value is never greater, */
	uint32_t may; /* and has no other bits than these */
};

struct pf_edge {
	pf_blk to;
	uint32_t nargs;
	pf_val *args; /* in the arena; as many as `to` has parameters */
};

enum pf_end {
	PF_END_NONE,   /* under construction */
	PF_END_STOP,   /* the run is over */
	PF_END_JUMP,   /* edge[0] */
	PF_END_BRANCH, /* cond != 0: edge[0], else edge[1] */
};

struct pf_block {
	uint8_t end; /* enum pf_end */
	bool loop;   /* edges may come back to it */
	pf_val cond;
	struct pf_edge edge[2];
	pf_val *param; /* in the arena */
	uint32_t nparam;
	uint32_t fuel; /* loop: the parameter that counts down */
	pf_val *pin;   /* in the arena; in order */
	uint32_t npin;
};

/* A word, or a pair with the lower half first, that has a name for those who look. */
struct pf_cell {
	char name[PF_CELL_NAME + 1];
	uint32_t at; /* in memory 0 */
	uint8_t bits;
};

struct pf_chunk;

struct pf_unit {
	struct pf_value *val; /* owned */
	uint32_t nval, capval;
	struct pf_block *blk; /* owned */
	uint32_t nblk, capblk;
	pf_blk entry;
	uint32_t nresult; /* filters: results are numbered from 0 */
	uint32_t *memory; /* in the arena; words of each memory */
	uint32_t nmemory;
	struct pf_cell *cell; /* in the arena; of the unit that a front end has made: copies have none */
	uint32_t ncell;
	bool share;	/* equal floating values are made once */
	bool fold;	/* constants are computed, identities applied */
	uint32_t *hash; /* owned; of values, open addressing */
	uint32_t caphash;
	struct pf_table **table; /* owned, and a reference to each */
	uint32_t ntable;
	struct pf_chunk *arena; /* owned */
	size_t arena_used;
	int err; /* 0, or the first error: -ENOMEM, -E2BIG */
};

/* Limits on what a filter can make us allocate. */
#define PF_VALUES_MAX (1u << 20)
#define PF_BLOCKS_MAX (1u << 18)
#define PF_TABLES_MAX 4096u
#define PF_ARENA_MAX ((size_t)256 << 20)
#define PF_FUEL_MAX 65536u
#define PF_MEMORY_MAX 65536u /* words of one memory, */
#define PF_MEMORIES_MAX 65536u
#define PF_WORDS_MAX (1u << 24) /* and of all */

void pf_unit_init(struct pf_unit *u);
void pf_unit_release(struct pf_unit *u);
/* Zeroed memory for n objects, which lives as long as the unit; NULL and a sticky error when there is none. */
void *pf_unit_alloc(struct pf_unit *u, size_t n, size_t size);

/* --- values ---------------------------------------------------------------------------------- */

/* A floating value. With unit->fold the result may be another, simpler one. */
pf_val pf_value(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k);
pf_val pf_const(struct pf_unit *u, uint32_t k);

static inline pf_val pf_binary(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b)
{
	return pf_value(u, op, a, b, 0);
}

/* a == 0, a != 0 */
pf_val pf_not(struct pf_unit *u, pf_val a);
/* load of 1, 2 or 4 bytes and the check that belongs to it; base 0: none. fits is 0-valued when it cannot ever fit. */
pf_val pf_load(struct pf_unit *u, unsigned size, pf_val base, uint32_t k);
pf_val pf_fits(struct pf_unit *u, pf_val base, uint32_t k, unsigned size);

/* What the table has for the pair a, b. The unit keeps a reference to the table. */
pf_val pf_find(struct pf_unit *u, struct pf_table *table, pf_val a, pf_val b);

/* --- memories -------------------------------------------------------------------------------- */

/* A new one; its number. */
uint32_t pf_memory(struct pf_unit *u, uint32_t words);
/* Where it begins, when all lie one behind the other; of memory u->nmemory: how many words there are. */
uint32_t pf_memory_at(const struct pf_unit *u, uint32_t memory);

/* The k of GET and SET has the memory's number and the place in it. */
static inline uint32_t pf_place(uint32_t memory, uint32_t at)
{
	return memory << 16 | at;
}

static inline uint32_t pf_place_memory(const struct pf_value *v)
{
	return v->k >> 16;
}

static inline uint32_t pf_place_at(const struct pf_value *v)
{
	return v->k & 0xffff;
}

/* What GET and SET count from; 0: the beginning. */
static inline pf_val pf_place_base(const struct pf_value *v)
{
	return v->op == PF_OP_SET ? v->b : v->a;
}

/* Is the place inside, whatever the base is? */
bool pf_place_fits(const struct pf_unit *u, const struct pf_value *v);
/* How many values of the base are inside: all those below. */
uint32_t pf_place_limit(const struct pf_unit *u, const struct pf_value *v);

static inline bool pf_is_const(const struct pf_unit *u, pf_val v)
{
	return u->val[v].op == PF_OP_CONST;
}

static inline bool pf_is(const struct pf_unit *u, pf_val v, uint32_t k)
{
	return u->val[v].op == PF_OP_CONST && u->val[v].k == k;
}

/* Bytes that a load takes; 0: it is none. */
static inline unsigned pf_load_size(enum pf_op op)
{
	return op == PF_OP_LOAD8 ? 1 : op == PF_OP_LOAD16 ? 2 : op == PF_OP_LOAD32 ? 4 : 0;
}

/* Is it always 0 or 1? */
static inline bool pf_is_bool(const struct pf_unit *u, pf_val v)
{
	return u->val[v].max <= 1;
}

/* What op makes of two numbers; op is one of those with two operands. */
static inline uint32_t pf_compute(enum pf_op op, uint32_t a, uint32_t b)
{
	switch (op) {
	case PF_OP_ADD:
		return a + b;
	case PF_OP_SUB:
		return a - b;
	case PF_OP_MUL:
		return a * b;
	case PF_OP_DIV:
		return b ? a / b : 0;
	case PF_OP_MOD:
		return b ? a % b : a;
	case PF_OP_AND:
		return a & b;
	case PF_OP_OR:
		return a | b;
	case PF_OP_XOR:
		return a ^ b;
	case PF_OP_SHL:
		return b > 31 ? 0 : a << b;
	case PF_OP_SHR:
		return b > 31 ? 0 : a >> b;
	case PF_OP_EQ:
		return a == b;
	case PF_OP_LT:
		return a < b;
	default:
		assert(0 && "an operation on two numbers");
		return 0;
	}
}

/* Number of operands that are there: 1 for a LOAD with a base, 0 for one without. */
unsigned pf_operands(const struct pf_value *v);

/* Is it a number, which others may use? */
static inline bool pf_is_number(const struct pf_value *v)
{
	return !pf_ops[v->op].effect || v->op == PF_OP_GET;
}

static inline bool pf_is_memory(const struct pf_value *v)
{
	return v->op == PF_OP_GET || v->op == PF_OP_SET;
}

/* --- blocks ---------------------------------------------------------------------------------- */

/* Without an end and parameters. */
pf_blk pf_block(struct pf_unit *u);
pf_val pf_block_param(struct pf_unit *u, pf_blk b);
void pf_block_result(struct pf_unit *u, pf_blk b, uint32_t id, pf_val value);
/* The word at base + at, and value into it. base 0: none. */
pf_val pf_block_get(struct pf_unit *u, pf_blk b, uint32_t memory, pf_val base, uint32_t at);
void pf_block_set(struct pf_unit *u, pf_blk b, uint32_t memory, pf_val base, uint32_t at, pf_val value);
/* A value with an effect, and its place at the end of what stands in the block already. */
pf_val pf_effect(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k);
void pf_block_pin(struct pf_unit *u, pf_blk b, pf_val effect);
/* Does it write to a memory? */
bool pf_block_sets(const struct pf_unit *u, pf_blk b);
void pf_block_stop(struct pf_unit *u, pf_blk b);
void pf_block_jump(struct pf_unit *u, pf_blk b, pf_blk to);
void pf_block_branch(struct pf_unit *u, pf_blk b, pf_val cond, pf_blk yes, pf_blk no);
/* Another argument for the next parameter of the edge's target. */
void pf_edge_arg(struct pf_unit *u, struct pf_edge *edge, pf_val arg);

static inline unsigned pf_edges(const struct pf_block *b)
{
	return b->end == PF_END_BRANCH ? 2 : b->end == PF_END_JUMP ? 1 : 0;
}

/* Gives each edge with arguments that leaves a branch a block of its own, where they can be made. */
void pf_unit_split(struct pf_unit *u);

/* Does nothing and stops: what "reject" comes to. */
static inline bool pf_is_reject(const struct pf_block *b)
{
	return b->end == PF_END_STOP && !b->npin;
}

/* Everything that can be reached and is used, into an empty unit. 0, -ENOMEM, -E2BIG. */
int pf_unit_copy(struct pf_unit *to, const struct pf_unit *from);
/* The same with another value in place of v wherever alias[v] is not 0. Such chains must end. */
int pf_unit_copy_as(struct pf_unit *to, const struct pf_unit *from, const pf_val *alias);
/* The same in place: what is not reached or used is gone, blocks and values stand in order. */
int pf_unit_compact(struct pf_unit *u);
int pf_unit_compact_as(struct pf_unit *u, const pf_val *alias);

/* The same number for the same compact unit; another one, very likely, if anything differs. */
uint64_t pf_unit_digest(const struct pf_unit *u);

#endif
