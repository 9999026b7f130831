#include "pf/ir/ir.h"

#include "pf/ir/ir_i.h"

const struct pf_op_info pf_ops[PF_OPS] = {
	[PF_OP_NONE] = { "NONE", "none", 0, false, "nothing" },
#define PF_OP(op, text, operands, effect, meaning) \
	[PF_OP_##op] = { #op, text, operands, effect, meaning },
#include "pf/ir/ops.def"
#undef PF_OP
};

/* --- memory ---------------------------------------------------------------------------------- */

struct pf_chunk {
	struct pf_chunk *next;
	size_t used, size;
	max_align_t data[];
};

#define CHUNK_MIN ((size_t)16 << 10)

void *pf_unit_alloc(struct pf_unit *u, size_t n, size_t size)
{
	struct pf_chunk *chunk = u->arena;
	size_t bytes;
	uint8_t *p;

	if (u->err)
		return NULL;
	if (n > PF_ARENA_MAX / (size ? size : 1)) {
		u->err = -E2BIG;
		return NULL;
	}
	bytes = (n * size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (u->arena_used + bytes > PF_ARENA_MAX) {
		u->err = -E2BIG;
		return NULL;
	}
	if (!chunk || chunk->size - chunk->used < bytes) {
		size_t room = pfs_max(bytes, CHUNK_MIN);

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk) {
			u->err = -ENOMEM;
			return NULL;
		}
		*chunk = (struct pf_chunk){ .next = u->arena, .size = room };
		u->arena = chunk;
	}
	p = (uint8_t *)chunk->data + chunk->used;
	chunk->used += bytes;
	u->arena_used += bytes;
	return memset(p, 0, bytes);
}

/* Room for one more in a vector of the arena that grows by doubling; the old one stays until the unit goes. */
static void *vector_grow(struct pf_unit *u, void *vector, uint32_t n, size_t size)
{
	void *grown;

	if (n && (n & (n - 1)))
		return vector; /* room up to the next power of two */
	grown = pf_unit_alloc(u, n ? (size_t)n * 2 : 1, size);
	if (grown && n)
		memcpy(grown, vector, n * size);
	return grown;
}

void pf_unit_init(struct pf_unit *u)
{
	*u = (struct pf_unit){ .nval = 1, .nblk = 1, .share = true };
}

void pf_unit_release(struct pf_unit *u)
{
	while (u->arena) {
		struct pf_chunk *next = u->arena->next;

		free(u->arena);
		u->arena = next;
	}
	free(u->val);
	free(u->blk);
	free(u->hash);
	for (uint32_t i = 0; i < u->ntable; i++)
		pf_table_unref(u->table[i]);
	free(u->table);
	*u = (struct pf_unit){ 0 };
}

/* Makes room for entry n of an array that the unit owns. */
static bool array_grow(struct pf_unit *u, void **array, uint32_t n, uint32_t *cap, uint32_t max,
		       size_t size)
{
	uint32_t want = *cap ? *cap * 2 : 64;
	void *p;

	if (u->err)
		return false;
	if (n < *cap)
		return true;
	if (n >= max) {
		u->err = -E2BIG;
		return false;
	}
	p = reallocarray(*array, want, size);
	if (!p) {
		u->err = -ENOMEM;
		return false;
	}
	memset((uint8_t *)p + *cap * size, 0, (want - *cap) * size);
	*array = p;
	*cap = want;
	return true;
}

/* --- values ---------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct pf_value *v)
{
	uint64_t h = (uint64_t)v->op * 0x9e3779b97f4a7c15u;

	h = (h ^ v->k) * 0xff51afd7ed558ccdu;
	h = (h ^ h >> 32 ^ v->a) * 0xc4ceb9fe1a85ec53u;
	h = (h ^ h >> 29 ^ v->b) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}

static bool hash_grow(struct pf_unit *u)
{
	uint32_t cap = u->caphash ? u->caphash * 2 : 256;
	uint32_t *hash = pfs_zalloc(cap, sizeof(*hash));

	if (!hash) {
		u->err = -ENOMEM;
		return false;
	}
	for (uint32_t i = 0; i < u->caphash; i++) {
		uint32_t at;

		if (!u->hash[i])
			continue;
		at = hash_of(&u->val[u->hash[i]]) & (cap - 1);
		while (hash[at])
			at = (at + 1) & (cap - 1);
		hash[at] = u->hash[i];
	}
	free(u->hash);
	u->hash = hash;
	u->caphash = cap;
	return true;
}

static pf_val value_append(struct pf_unit *u, const struct pf_value *v)
{
	if (!array_grow(u, (void **)&u->val, u->nval, &u->capval, PF_VALUES_MAX, sizeof(*u->val)))
		return 0;
	u->val[u->nval] = *v;
	return u->nval++;
}

pf_val pf_value_plain(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k)
{
	struct pf_value v = { .op = (uint8_t)op, .k = k, .a = a, .b = b };
	uint32_t at;

	if (u->err)
		return 0;
	pf_bound(u, &v);
	if (!u->share)
		return value_append(u, &v);
	if (u->nval >= u->caphash / 2 && !hash_grow(u))
		return 0;
	at = hash_of(&v) & (u->caphash - 1);
	for (; u->hash[at]; at = (at + 1) & (u->caphash - 1)) {
		const struct pf_value *o = &u->val[u->hash[at]];

		if (o->op == v.op && o->k == k && o->a == a && o->b == b)
			return u->hash[at];
	}
	u->hash[at] = value_append(u, &v);
	return u->hash[at];
}

pf_val pf_value(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k)
{
	pf_val simple;

	if (u->err)
		return 0;
	if (u->fold) {
		simple = pf_fold(u, op, a, b, k);
		if (simple || u->err)
			return simple;
	}
	return pf_value_plain(u, op, a, b, k);
}

pf_val pf_const(struct pf_unit *u, uint32_t k)
{
	return pf_value_plain(u, PF_OP_CONST, 0, 0, k);
}

pf_val pf_not(struct pf_unit *u, pf_val a)
{
	return pf_binary(u, PF_OP_EQ, a, pf_const(u, 0));
}

pf_val pf_load(struct pf_unit *u, unsigned size, pf_val base, uint32_t k)
{
	return pf_value(u,
			size == 1   ? PF_OP_LOAD8
			: size == 2 ? PF_OP_LOAD16
				    : PF_OP_LOAD32,
			base, 0, k);
}

pf_val pf_fits(struct pf_unit *u, pf_val base, uint32_t k, unsigned size)
{
	/* No packet has more than 2^32 - 1 bytes. */
	if (k > UINT32_MAX - size)
		return pf_const(u, 0);
	return pf_value(u, PF_OP_FITS, base, 0, k + size);
}

pf_val pf_find(struct pf_unit *u, struct pf_table *table, pf_val a, pf_val b)
{
	struct pf_table **p;
	uint32_t k = 0;

	if (u->err)
		return 0;
	while (k < u->ntable && u->table[k] != table)
		k++;
	if (k == u->ntable) {
		p = k < PF_TABLES_MAX ? reallocarray(u->table, k + 1, sizeof(struct pf_table *))
				      : NULL;
		if (!p) {
			u->err = k < PF_TABLES_MAX ? -ENOMEM : -E2BIG;
			return 0;
		}
		u->table = p;
		u->table[u->ntable++] = pf_table_ref(table);
	}
	return pf_value_plain(u, PF_OP_FIND, a, b, k);
}

unsigned pf_operands(const struct pf_value *v)
{
	if ((v->op == PF_OP_FITS || v->op == PF_OP_GET || pf_load_size(v->op)) && !v->a)
		return 0;
	if (v->op == PF_OP_SET && !v->b)
		return 1;
	return pf_ops[v->op].operands;
}

/* --- blocks ---------------------------------------------------------------------------------- */

pf_blk pf_block(struct pf_unit *u)
{
	if (!array_grow(u, (void **)&u->blk, u->nblk, &u->capblk, PF_BLOCKS_MAX, sizeof(*u->blk)))
		return 0;
	/* Value 0, which is none, may be looked at in a unit without values. */
	if (!u->val && !array_grow(u, (void **)&u->val, 0, &u->capval, PF_VALUES_MAX, sizeof(*u->val)))
		return 0;
	return u->nblk++;
}

pf_val pf_block_param(struct pf_unit *u, pf_blk b)
{
	struct pf_value v = {
		.op = PF_OP_PARAM,
		.a = b,
		.max = UINT32_MAX,
		.may = UINT32_MAX,
	};
	struct pf_block *block = &u->blk[b];
	pf_val *param;
	pf_val made;

	if (u->err)
		return 0;
	v.k = block->nparam;
	param = vector_grow(u, block->param, block->nparam, sizeof(*param));
	made = param ? value_append(u, &v) : 0;
	if (!made)
		return 0;
	block->param = param;
	param[block->nparam++] = made;
	return made;
}

pf_val pf_effect(struct pf_unit *u, enum pf_op op, pf_val a, pf_val b, uint32_t k)
{
	struct pf_value v = {
		.op = (uint8_t)op,
		.a = a,
		.b = b,
		.k = k,
		.max = UINT32_MAX,
		.may = UINT32_MAX,
	};

	return u->err ? 0 : value_append(u, &v);
}

void pf_block_pin(struct pf_unit *u, pf_blk b, pf_val effect)
{
	struct pf_block *block = &u->blk[b];
	pf_val *pin;

	if (u->err)
		return;
	pin = vector_grow(u, block->pin, block->npin, sizeof(*pin));
	if (!pin)
		return;
	block->pin = pin;
	pin[block->npin++] = effect;
}

void pf_block_result(struct pf_unit *u, pf_blk b, uint32_t id, pf_val value)
{
	pf_block_pin(u, b, pf_effect(u, PF_OP_RESULT, value, 0, id));
	if (!u->err && id >= u->nresult)
		u->nresult = id + 1;
}

/* --- memories -------------------------------------------------------------------------------- */

uint32_t pf_memory(struct pf_unit *u, uint32_t words)
{
	uint32_t *memory;

	assert(words && words <= PF_MEMORY_MAX);
	if (!u->err &&
	    (u->nmemory == PF_MEMORIES_MAX || pf_memory_at(u, u->nmemory) > PF_WORDS_MAX - words))
		u->err = -E2BIG;
	if (u->err)
		return 0;
	memory = vector_grow(u, u->memory, u->nmemory, sizeof(*memory));
	if (!memory)
		return 0;
	u->memory = memory;
	memory[u->nmemory] = words;
	return u->nmemory++;
}

uint32_t pf_memory_at(const struct pf_unit *u, uint32_t memory)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < memory; i++)
		at += u->memory[i];
	return at;
}

uint32_t pf_place_limit(const struct pf_unit *u, const struct pf_value *v)
{
	uint32_t words = u->memory[pf_place_memory(v)], at = pf_place_at(v);

	return at < words ? words - at : 0;
}

bool pf_place_fits(const struct pf_unit *u, const struct pf_value *v)
{
	pf_val base = pf_place_base(v);

	return (base ? u->val[base].max : 0) < pf_place_limit(u, v);
}

pf_val pf_block_get(struct pf_unit *u, pf_blk b, uint32_t memory, pf_val base, uint32_t at)
{
	pf_val get = pf_effect(u, PF_OP_GET, base, 0, pf_place(memory, at));

	pf_block_pin(u, b, get);
	return get;
}

void pf_block_set(struct pf_unit *u, pf_blk b, uint32_t memory, pf_val base, uint32_t at, pf_val value)
{
	pf_block_pin(u, b, pf_effect(u, PF_OP_SET, value, base, pf_place(memory, at)));
}

bool pf_block_sets(const struct pf_unit *u, pf_blk b)
{
	for (uint32_t i = 0; i < u->blk[b].npin; i++)
		if (u->val[u->blk[b].pin[i]].op == PF_OP_SET)
			return true;
	return false;
}

/* --- ends ------------------------------------------------------------------------------------ */

void pf_block_stop(struct pf_unit *u, pf_blk b)
{
	if (!u->err)
		u->blk[b].end = PF_END_STOP;
}

void pf_block_jump(struct pf_unit *u, pf_blk b, pf_blk to)
{
	if (u->err)
		return;
	u->blk[b].end = PF_END_JUMP;
	u->blk[b].edge[0] = (struct pf_edge){ .to = to };
}

void pf_block_branch(struct pf_unit *u, pf_blk b, pf_val cond, pf_blk yes, pf_blk no)
{
	if (u->err)
		return;
	u->blk[b].end = PF_END_BRANCH;
	u->blk[b].cond = cond;
	u->blk[b].edge[0] = (struct pf_edge){ .to = yes };
	u->blk[b].edge[1] = (struct pf_edge){ .to = no };
}

void pf_edge_arg(struct pf_unit *u, struct pf_edge *edge, pf_val arg)
{
	pf_val *args;

	if (u->err)
		return;
	args = vector_grow(u, edge->args, edge->nargs, sizeof(*args));
	if (!args)
		return;
	edge->args = args;
	args[edge->nargs++] = arg;
}

void pf_unit_split(struct pf_unit *u)
{
	for (pf_blk b = 1, n = u->nblk; b < n; b++) {
		for (unsigned e = 0; e < 2 && u->blk[b].end == PF_END_BRANCH; e++) {
			pf_blk between;

			if (!u->blk[b].edge[e].nargs)
				continue;
			between = pf_block(u);
			if (!between)
				return;
			u->blk[between].end = PF_END_JUMP;
			u->blk[between].edge[0] = u->blk[b].edge[e];
			u->blk[b].edge[e] = (struct pf_edge){ .to = between };
		}
	}
}
