#include "source/bpfnth.h"

#include <sys/mman.h>

#include "source/bpf.h"
#include "source/bpfcapture.h"

/* --- cells ---------------------------------------------------------------------------------------- */

static void cell_left(void *arg)
{
	struct knth_cell *cell = arg;

	cell->nth = NULL;
}

static void nths_free(struct knths *nths)
{
	if (!nths)
		return;
	for (unsigned i = 0; i < KNTH_CELLS; i++)
		if (nths->cell[i].nth)
			pfs_nth_follow(nths->cell[i].nth, NULL, NULL, NULL);
	if (nths->number)
		munmap(nths->number, nths->bytes);
	if (nths->map >= 0)
		close(nths->map);
	free(nths);
}
static inline void nths_freep(struct knths **nths)
{
	nths_free(*nths);
}

void knth_free_all(struct knths *nths)
{
	nths_free(nths);
}

static int nths_make(struct kcap *kcap)
{
	__attribute__((cleanup(nths_freep))) struct knths *nths = pfs_zalloc(1, sizeof(*nths));
	struct kbpf_map_spec spec = { .type = BPF_MAP_TYPE_ARRAY,
				      .key_size = 4,
				      .value_size = KNTH_CELLS * sizeof(uint64_t),
				      .entries = 1,
				      .flags = BPF_F_MMAPABLE,
				      .inner = -1,
				      .name = "pfs_nth" };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	if (!nths)
		return -ENOMEM;
	nths->map = kbpf_map_new(&spec);
	if (nths->map < 0)
		return nths->map;
	nths->bytes = (spec.value_size + page - 1) & ~(page - 1);
	p = mmap(NULL, nths->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, nths->map, 0);
	if (p == MAP_FAILED)
		return -errno;
	nths->number = p;
	kcap->nths = TAKE_PTR(nths);
	return 0;
}

int knth_get(struct kcap *kcap, struct pfs_nth *nth, uint32_t *ret_cell)
{
	struct knth_cell *cell = NULL;
	int r = kcap->nths ? 0 : nths_make(kcap);

	if (r < 0)
		return r;
	assert(kcap->nths);
	for (unsigned i = 0; i < KNTH_CELLS; i++) {
		uint32_t n = (kcap->nths->turn + i) % KNTH_CELLS;
		struct knth_cell *at = &kcap->nths->cell[n];

		if (at->nth == nth) {
			*ret_cell = n;
			return 0;
		}
		if (!at->used && !cell)
			cell = at;
	}
	if (!cell)
		return -ENOSPC;
	kcap->nths->turn = (unsigned)(cell - kcap->nths->cell) + 1;
	*cell = (struct knth_cell){ .nth = nth, .used = true };
	*ret_cell = (uint32_t)(cell - kcap->nths->cell);
	pfs_nth_follow(nth, &kcap->nths->number[*ret_cell], cell_left, cell);
	return 0;
}

static bool is_used(const struct kcap_body *body, uint32_t cell)
{
	for (unsigned i = 0; i < body->nnth; i++)
		if (body->nth[i].cell == cell)
			return true;
	return false;
}

void knth_prune(struct kcap *kcap)
{
	for (uint32_t i = 0; kcap->nths && i < KNTH_CELLS; i++) {
		struct knth_cell *cell = &kcap->nths->cell[i];

		cell->used = cell->nth || cell->makings || is_used(&kcap->now.body, i) ||
			     is_used(&kcap->next.body, i);
	}
}

/* --- in the program --------------------------------------------------------------------------------- */

static void emit_take(const struct knth *nth, int set, struct kcode *c)
{
	for (unsigned w = 0; w < PFS_TAKERS_MAX / 32; w++) {
		if (!nth->set[w])
			continue;
		kcode_load(c, BPF_W, R1, R10, set + 4 * (int)w);
		kcode_alu32_imm(c, BPF_OR, R1, nth->set[w]);
		kcode_store(c, BPF_W, R10, set + 4 * (int)w, R1);
	}
}

/* To `no` if this packet is none of its; R1 to R5 change, and R0. */
static void emit_count(const struct knths *nths, const struct knth *nth, unsigned no, struct kcode *c)
{
	kcode_note(c, "every %u-th", nth->every);
	kcode_map_value(c, R2, nths->map);
	kcode_mov_imm(c, R1, 1);
	kcode_atomic_fetch_add(c, R2, 8 * (int)nth->cell, R1);
	kcode_alu_imm(c, BPF_ADD, R1, 1);
	kcode_alu32_imm(c, BPF_MOV, R2, nth->every);
	kcode_alu(c, BPF_MOD, R1, R2);
	kcode_alu32_imm(c, BPF_MOV, R2, nth->phase);
	kcode_jump_reg(c, BPF_JNE, R1, R2, no);
}

/* The same of one that does not count. Of 64 bits, since N may have 32. R8 is free here. */
static void emit_random(const struct knth *nth, unsigned no, struct kcode *c)
{
	kcode_note(c, "one of %u, at random", nth->every);
	kcode_call(c, BPF_FUNC_get_prandom_u32);
	kcode_mov(c, R8, R0);
	kcode_call(c, BPF_FUNC_get_prandom_u32);
	kcode_alu_imm(c, BPF_LSH, R8, 32);
	kcode_alu(c, BPF_OR, R0, R8);
	kcode_mov_imm(c, R1, -1);
	kcode_alu32_imm(c, BPF_MOV, R2, nth->every);
	kcode_alu(c, BPF_DIV, R1, R2);
	kcode_jump_reg(c, BPF_JGT, R0, R1, no);
}

/* It, and those below it. Returns the first that is not. */
static unsigned emit_one(const struct knths *nths, const struct kcap_body *body, unsigned i,
			 int set, struct kcode *c)
{
	const struct knth *nth = &body->nth[i];
	unsigned no = kcode_label(c), end = i + 1 + nth->below;

	if (nth->phase == PFS_NTH_RANDOM)
		emit_random(nth, no, c);
	else
		emit_count(nths, nth, no, c);
	emit_take(nth, set, c);
	for (i++; i < end;)
		i = emit_one(nths, body, i, set, c);
	kcode_place(c, no);
	return end;
}

void knth_emit(const struct knths *nths, const struct kcap_body *body, int set, struct kcode *c)
{
	for (unsigned i = 0; i < body->nnth;)
		i = emit_one(nths, body, i, set, c);
}
