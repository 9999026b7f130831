#include "source/bpfsort.h"

#include <sys/mman.h>

#include "pf/back/ebpf.h"
#include "source/bpf.h"
#include "source/bpfcapture.h"

#define CELL(field) ((int)offsetof(struct ksort_cell, field))

/* --- sorters -------------------------------------------------------------------------------------- */

/* The cell of a number of the set's; 0: it has none. */
static uint32_t cell_of(const struct ksorter *s, uint32_t number)
{
	if (number >= PFS_CLASSES_UNFIT)
		return s->entries - PKT_UNFIT_COUNT_ + (number - PFS_CLASSES_UNFIT);
	return number <= s->classes ? s->at[number] : 0;
}

static uint32_t take_first(const struct ksorter *s, uint32_t *list)
{
	uint32_t cell = *list;

	if (cell)
		*list = s->next[cell];
	return cell;
}

static void put_first(const struct ksorter *s, uint32_t *list, uint32_t cell)
{
	s->next[cell] = *list;
	*list = cell;
}

/* Two lists become one. */
static void join_lists(const struct ksorter *s, uint32_t *to, uint32_t *from)
{
	uint32_t cell;

	while ((cell = take_first(s, from)))
		put_first(s, to, cell);
}

/* An entry is the words of its key, and the cell behind them. */
static int map_enter(const struct ksorter *s, const uint32_t *words, uint32_t cell)
{
	uint32_t entry[PKT_KEYS_WORDS + 1];

	memcpy(entry, words, 4 * s->words);
	entry[s->words] = cell;
	return kbpf_map_set(s->map, words, entry);
}

static void cell_restart(struct ksort_cell *cell)
{
	atomic_store(&cell->packets, 0);
	atomic_store(&cell->bytes, 0);
	atomic_store(&cell->last, 0);
}

static void cell_clear(struct ksort_cell *cell)
{
	cell_restart(cell);
	atomic_store(&cell->takers, 0);
}

static void sorter_enter(void *arg, uint32_t number, const struct pkt_key *key)
{
	struct ksorter *s = arg;
	uint32_t words[PKT_KEYS_WORDS], at;

	at = number <= s->classes ? take_first(s, &s->spare) : 0;
	if (!at)
		return;
	s->at[number] = at;
	pkt_keys_pack(s->set->field, key, words);
	cell_clear(&s->cell[at]);
	/* Should there be no memory for it, it stays unknown there. */
	(void)map_enter(s, words, at);
}

static void sorter_leave(void *arg, uint32_t number, const struct pkt_key *key)
{
	struct ksorter *s = arg;
	uint32_t words[PKT_KEYS_WORDS], at = cell_of(s, number);

	if (!at)
		return;
	pkt_keys_pack(s->set->field, key, words);
	(void)kbpf_map_unset(s->map, words);
	/* Who has found it there may count in it still. */
	atomic_store(&s->cell[at].takers, 0);
	s->at[number] = 0;
	put_first(s, &s->left, at);
}

static void sorter_count(void *arg, uint32_t number, struct pfs_class_tally *ret_tally)
{
	const struct ksorter *s = arg;
	uint32_t at = cell_of(s, number);

	if (!at)
		return;
	*ret_tally = (struct pfs_class_tally){
		.packets = atomic_load_explicit(&s->cell[at].packets, memory_order_relaxed),
		.bytes = atomic_load_explicit(&s->cell[at].bytes, memory_order_relaxed),
		.last = atomic_load_explicit(&s->cell[at].last, memory_order_relaxed),
	};
}

static void sorter_restart(void *arg)
{
	struct ksorter *s = arg;

	for (uint32_t i = 0; i < s->entries; i++)
		cell_restart(&s->cell[i]);
}

static void sorter_left(void *arg)
{
	struct ksorter *s = arg;

	s->set = NULL;
}

static const struct pfs_classes_beside beside = {
	.enter = sorter_enter,
	.leave = sorter_leave,
	.count = sorter_count,
	.restart = sorter_restart,
	.left = sorter_left,
};

static void sorter_free(struct ksorter *s)
{
	if (!s)
		return;
	if (s->set)
		pfs_classes_follow(s->set, NULL, NULL);
	if (s->cell)
		munmap(s->cell, s->cell_bytes);
	if (s->cells >= 0)
		close(s->cells);
	if (s->map >= 0)
		close(s->map);
	free(s->at);
	free(s->next);
	free(s);
}
static inline void sorter_freep(struct ksorter **s)
{
	sorter_free(*s);
}

static int make_maps(struct ksorter *s)
{
	struct kbpf_map_spec map = { .type = BPF_MAP_TYPE_HASH,
				     .key_size = 4 * s->words,
				     .value_size = 4 * (s->words + 1),
				     .entries = s->classes + 1 + PKT_UNFIT_COUNT_,
				     .inner = -1,
				     .name = "pfs_classes" };
	struct kbpf_map_spec cells = { .type = BPF_MAP_TYPE_ARRAY,
				       .key_size = 4,
				       .value_size = sizeof(struct ksort_cell),
				       .entries = s->entries,
				       .flags = BPF_F_MMAPABLE,
				       .inner = -1,
				       .name = "pfs_cells" };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p;

	s->map = kbpf_map_new(&map);
	if (s->map < 0)
		return s->map;
	s->cells = kbpf_map_new(&cells);
	if (s->cells < 0)
		return s->cells;
	s->cell_bytes = (s->entries * sizeof(struct ksort_cell) + page - 1) & ~(page - 1);
	p = mmap(NULL, s->cell_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->cells, 0);
	if (p == MAP_FAILED)
		return -errno;
	s->cell = p;
	return 0;
}

/* Packets without such a field are in a class of their own, as far as the kernel knows. */
static int enter_reasons(struct ksorter *s)
{
	int r = 0;

	for (unsigned why = 1; why < PKT_UNFIT_COUNT_ && r == 0; why++) {
		uint32_t words[PKT_KEYS_WORDS], at = cell_of(s, PFS_CLASSES_UNFIT + why);

		pkt_keys_unfit((enum pkt_unfit)why, words);
		r = map_enter(s, words, at);
	}
	return r;
}

int ksort_get(struct kcap *kcap, struct pfs_classes *set, struct ksorter **ret_sorter)
{
	__attribute__((cleanup(sorter_freep))) struct ksorter *s = NULL;
	int r;

	for (struct ksorter *i = kcap->sorters; i; i = i->next_sorter) {
		if (i->set == set) {
			*ret_sorter = i;
			return 0;
		}
	}
	s = pfs_zalloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->map = s->cells = -1;
	s->words = pkt_keys_words(set->field);
	s->classes = (uint32_t)pfs_min(set->max, KSORT_CLASSES_MAX);
	s->entries = 2 * s->classes + KSORT_SPARE + 1 + PKT_UNFIT_COUNT_;
	s->at = pfs_zalloc(s->classes + 1, sizeof(*s->at));
	s->next = pfs_zalloc(s->entries, sizeof(*s->next));
	if (!s->at || !s->next)
		return -ENOMEM;
	for (uint32_t i = s->entries - PKT_UNFIT_COUNT_; i-- > 1;)
		put_first(s, &s->spare, i);
	r = make_maps(s);
	if (r == 0)
		r = enter_reasons(s);
	if (r < 0)
		return r;
	s->set = set;
	pfs_classes_follow(set, &beside, s);
	s->next_sorter = kcap->sorters;
	kcap->sorters = s;
	*ret_sorter = TAKE_PTR(s);
	return 0;
}

static bool is_used(const struct kcap_body *body, const struct ksorter *s)
{
	for (unsigned i = 0; i < body->nsort; i++)
		if (body->sort[i].sorter == s)
			return true;
	return false;
}

void ksort_prune(struct kcap *kcap)
{
	for (struct ksorter **at = &kcap->sorters; *at;) {
		struct ksorter *s = *at;

		if (s->set || s->makings || is_used(&kcap->now.body, s) ||
		    is_used(&kcap->next.body, s)) {
			at = &s->next_sorter;
			continue;
		}
		*at = s->next_sorter;
		sorter_free(s);
	}
}

void ksort_free_all(struct kcap *kcap)
{
	while (kcap->sorters) {
		struct ksorter *s = kcap->sorters;

		kcap->sorters = s->next_sorter;
		sorter_free(s);
	}
}

/* --- cells that rest ---------------------------------------------------------------------------------- */

struct rest {
	struct pfs_making making;
	struct kcap *kcap; /* a reference */
	bool waited;
};

static void set_lock(const struct ksorter *s)
{
	if (s->set)
		pfs_classes_lock(s->set);
}

static void set_unlock(const struct ksorter *s)
{
	if (s->set)
		pfs_classes_unlock(s->set);
}

static int rest_make(struct pfs_making *making, struct pfs_diag *diag)
{
	struct rest *rest = CONTAINER_OF(making, struct rest, making);
	int r = kbpf_grace();

	rest->waited = r == 0;
	return r < 0 ? pfs_diag_set(diag, -r, "cannot wait for the kernel: %s", strerror(-r)) : 0;
}

/* Sorters that have gone meanwhile are not among them; in those that have come nothing rests. */
static void rest_free(struct pfs_making *making)
{
	struct rest *rest = CONTAINER_OF(making, struct rest, making);

	for (struct ksorter *s = rest->kcap->sorters; s; s = s->next_sorter) {
		set_lock(s);
		join_lists(s, rest->waited ? &s->spare : &s->left, &s->resting);
		set_unlock(s);
	}
	kcap_free(rest->kcap);
	free(rest);
}

struct pfs_making *ksort_rest(struct kcap *kcap)
{
	struct rest *rest = pfs_zalloc(1, sizeof(*rest));
	bool any = false;

	if (!rest)
		return NULL;
	rest->making = (struct pfs_making){ .make = rest_make, .free = rest_free };
	rest->kcap = kcap_ref(kcap);
	for (struct ksorter *s = kcap->sorters; s; s = s->next_sorter) {
		set_lock(s);
		join_lists(s, &s->resting, &s->left);
		any |= s->resting != 0;
		set_unlock(s);
	}
	if (any)
		return &rest->making;
	rest_free(&rest->making);
	return NULL;
}

static bool takes(const struct kcap_body *body, const struct ksort_class *class_)
{
	for (size_t i = 0; i < body->nclass; i++)
		if (body->class_[i].sorter == class_->sorter && body->class_[i].class_ == class_->class_)
			return true;
	return false;
}

static struct ksort_cell *cell_of_class(const struct ksort_class *class_)
{
	uint32_t at = class_->sorter->set ? cell_of(class_->sorter, class_->class_) : 0;

	return at ? &class_->sorter->cell[at] : NULL;
}

/* The word of the set, and the bit in it. */
static uint64_t takers_of(uint16_t number)
{
	return (uint64_t)(number / 32) << 32 | UINT32_C(1) << number % 32;
}

void ksort_enter(const struct kcap_body *body)
{
	for (size_t i = 0; i < body->nclass; i++) {
		const struct ksort_class *class_ = &body->class_[i];
		struct ksort_cell *cell = cell_of_class(class_);

		if (cell)
			atomic_store(&cell->takers, takers_of(class_->number));
	}
}

void ksort_leave(const struct kcap_body *old, const struct kcap_body *now)
{
	for (size_t i = 0; i < old->nclass; i++) {
		struct ksort_cell *cell = cell_of_class(&old->class_[i]);

		if (cell && !takes(now, &old->class_[i]))
			atomic_store(&cell->takers, 0);
	}
}

/* --- in the program --------------------------------------------------------------------------------- */

static int found_at(const struct ksort_spec *spec, unsigned sorter, unsigned key)
{
	return spec->found + (int)(8 * sorter + 4 * key);
}

/* How much of the packet the filter sees, into a register. */
static void emit_seen(const struct ksort *sort, const struct ksort_spec *spec, struct kcode *c,
		      unsigned reg)
{
	kcode_load(c, BPF_W, reg, R10, spec->len);
	kcode_most(c, reg, sort->cut);
}

/* Goes to `no` unless the filter accepted the packet. */
static void emit_if_accepted(const struct ksort *sort, const struct ksort_spec *spec,
			     struct kcode *c, unsigned no)
{
	kcode_load(c, BPF_W, R1, R10, spec->set + 4 * (int)(sort->number / 32));
	kcode_alu32_imm(c, BPF_AND, R1, UINT32_C(1) << sort->number % 32);
	kcode_jump32_imm(c, BPF_JEQ, R1, 0, no);
}

/* The number of the class with the key at that word goes to `found`. */
static void emit_look(const struct ksort *sort, struct ksort_spec *spec, struct kcode *c,
		      unsigned word, int found)
{
	kcode_map(c, R1, sort->sorter->map);
	kcode_mov(c, R2, R10);
	kcode_alu_imm(c, BPF_ADD, R2, spec->keys + 4 * (int)word);
	kcode_call(c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, spec->unknown);
	/* The cell first, the key then: as it is written, the other way round. */
	kcode_load(c, BPF_W, R3, R0, 4 * (int)sort->sorter->words);
	for (unsigned w = 0; w < sort->sorter->words; w++) {
		kcode_load(c, BPF_W, R1, R0, 4 * (int)w);
		kcode_load(c, BPF_W, R2, R10, spec->keys + 4 * (int)(word + w));
		kcode_jump32_reg(c, BPF_JNE, R1, R2, spec->unknown);
	}
	kcode_store(c, BPF_W, R10, found, R3);
	spec->unsure = true;
}

/* Finds its keys, and for each of them the class. */
static int emit_find(const struct ksort *sort, unsigned i, struct ksort_spec *spec, struct kcode *c)
{
	unsigned words = sort->sorter->words, none = kcode_label(c), done = kcode_label(c);
	struct pf_ebpf_spec ebpf = {
		.stack = spec->found,
		.len = spec->wire,
		.caplen = sort->cut ? spec->seen : spec->len,
		.dynptr = spec->dynptr,
		.accept = kcode_label(c),
		.many = true,
		.values = true,
		.set = spec->keys,
		.undecided = 1 + 2 * words,
		.unsure = spec->unknown,
	};
	int r;

	ebpf.reject = ebpf.accept;
	kcode_note(c, "which classes it is in");
	kcode_load(c, BPF_W, R1, R7, spec->zero);
	kcode_store(c, BPF_W, R10, found_at(spec, i, 0), R1);
	kcode_store(c, BPF_W, R10, found_at(spec, i, 1), R1);
	emit_if_accepted(sort, spec, c, done);
	for (unsigned w = 0; w < 1 + 2 * words; w++)
		kcode_store(c, BPF_W, R10, spec->keys + 4 * (int)w, R1);
	if (sort->cut) {
		emit_seen(sort, spec, c, R1);
		kcode_store(c, BPF_W, R10, spec->seen, R1);
	}
	r = pf_ebpf_emit(&sort->unit, &ebpf, c);
	if (r < 0)
		return r;
	spec->unsure |= ebpf.unsures;
	kcode_place(c, ebpf.accept);
	emit_look(sort, spec, c, 1, found_at(spec, i, 0));
	kcode_load(c, BPF_W, R1, R10, spec->keys);
	kcode_jump32_imm(c, BPF_JNE, R1, 2, none);
	emit_look(sort, spec, c, 1 + words, found_at(spec, i, 1));
	kcode_place(c, none);
	kcode_load(c, BPF_DW, R7, R10, spec->slot);
	kcode_place(c, done);
	return 0;
}

/* R0: the cell. Who takes the class goes into the set. */
static void emit_takers(const struct ksort_spec *spec, struct kcode *c, unsigned none)
{
	kcode_load(c, BPF_DW, R2, R0, CELL(takers));
	kcode_jump_imm(c, BPF_JEQ, R2, 0, none);
	kcode_mov(c, R1, R2);
	kcode_alu_imm(c, BPF_RSH, R1, 32);
	kcode_alu_imm(c, BPF_AND, R1, PFS_TAKERS_MAX / 32 - 1);
	kcode_alu_imm(c, BPF_LSH, R1, 2);
	kcode_mov(c, R3, R10);
	kcode_alu(c, BPF_ADD, R3, R1);
	kcode_load(c, BPF_W, R1, R3, spec->set);
	kcode_alu(c, BPF_OR, R1, R2);
	kcode_store(c, BPF_W, R3, spec->set, R1);
}

/* Counts the packet in the class that was found. */
static void emit_class(const struct ksort *sort, const struct ksort_spec *spec, struct kcode *c,
		       int found)
{
	unsigned none = kcode_label(c);

	kcode_load(c, BPF_W, R1, R10, found);
	kcode_jump32_imm(c, BPF_JEQ, R1, 0, none);
	kcode_map(c, R1, sort->sorter->cells);
	kcode_mov(c, R2, R10);
	kcode_alu_imm(c, BPF_ADD, R2, found);
	kcode_call(c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, none);
	kcode_mov_imm(c, R1, 1);
	kcode_atomic_add(c, R0, CELL(packets), R1);
	emit_seen(sort, spec, c, R1);
	kcode_atomic_add(c, R0, CELL(bytes), R1);
	kcode_store(c, BPF_DW, R0, CELL(last), R8);
	emit_takers(spec, c, none);
	kcode_place(c, none);
}

int ksort_emit(const struct kcap_body *body, struct ksort_spec *spec, struct kcode *c)
{
	int r = 0;

	/* All keys have to be known before it counts for any: else the engine counts for all. */
	for (unsigned i = 0; i < body->nsort && r == 0; i++)
		r = emit_find(&body->sort[i], i, spec, c);
	if (r < 0)
		return r;
	kcode_note(c, "it counts there");
	kcode_call(c, spec->dynptr ? BPF_FUNC_ktime_get_ns : BPF_FUNC_ktime_get_coarse_ns);
	kcode_mov(c, R8, R0);
	for (unsigned i = 0; i < body->nsort; i++)
		for (unsigned key = 0; key < 2; key++)
			emit_class(&body->sort[i], spec, c, found_at(spec, i, key));
	return 0;
}
