/* The state of the machine: terms, what several ways bring, the stack. */
#include "pf/prove/smt_ebpf_i.h"

#include <stdarg.h>
#include <stdio.h>

void smt_ebpf_ways_free(struct way *way)
{
	while (way) {
		struct way *next = way->next;

		free(way);
		way = next;
	}
}

void smt_ebpf_release(struct smt_ebpf *w)
{
	for (size_t i = 0; w->into && w->back && i < w->n; i++) {
		smt_ebpf_ways_free(w->into[i]);
		smt_ebpf_ways_free(w->back[i]);
	}
	free(w->into);
	free(w->back);
	pfs_buf_release(&w->result);
	pfs_buf_release(&w->cut);
	pfs_buf_release(&w->bad);
	pfs_buf_release(&w->end);
}

void smt_ebpf_fail(struct smt_ebpf *w, int err)
{
	if (!w->err)
		w->err = err;
}

/* --- terms ----------------------------------------------------------------------------------- */

uint32_t smt_ebpf_term(struct smt_ebpf *w, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		smt_ebpf_fail(w, -E2BIG);
	pfs_buf_printf(w->out, "(define-fun %s.d%u () (_ BitVec 64) %s)\n", w->name, ++w->terms, text);
	return w->terms;
}

struct reg smt_ebpf_number(uint32_t t, uint64_t max)
{
	return (struct reg){ .kind = NUMBER, .term = t, .max = max };
}

struct reg smt_ebpf_constant(struct smt_ebpf *w, uint64_t k)
{
	if (!k && !w->zero)
		w->zero = smt_ebpf_term(w, "#x0000000000000000");
	if (!k)
		return smt_ebpf_number(w->zero, 0);
	return smt_ebpf_number(smt_ebpf_term(w, "#x%016llx", (unsigned long long)k), k);
}

/* --- ways ------------------------------------------------------------------------------------ */

void smt_ebpf_add_way(struct smt_ebpf *w, struct way **into, uint32_t cond)
{
	struct way *way = malloc(sizeof(*way));

	if (!way) {
		smt_ebpf_fail(w, -ENOMEM);
		return;
	}
	way->next = *into;
	way->state = w->s;
	way->state.cond = cond;
	*into = way;
}

/* One term of those that ways bring, which get() gives. */
static uint32_t join_terms(struct smt_ebpf *w, const struct way *first,
			   uint32_t (*get)(const struct state *s, int at), int at)
{
	uint32_t n = 0, all = get(&first->state, at);
	const struct way *way;

	for (way = first; way && get(&way->state, at) == all; way = way->next)
		;
	if (!way)
		return all;
	pfs_buf_printf(w->out, "(define-fun %s.d%u () (_ BitVec 64) ", w->name, ++w->terms);
	for (way = first; way->next; way = way->next, n++)
		pfs_buf_printf(w->out, "(ite %s.c%u %s.d%u ", w->name, way->state.cond, w->name,
			       get(&way->state, at));
	pfs_buf_printf(w->out, "%s.d%u", w->name, get(&way->state, at));
	while (n-- > 0)
		pfs_buf_str(w->out, ")");
	pfs_buf_str(w->out, ")\n");
	return w->terms;
}

static uint32_t reg_term(const struct state *s, int at)
{
	return s->reg[at].term;
}

static uint32_t cell_term(const struct state *s, int at)
{
	return s->cell[at].term;
}

static uint32_t layer_size(const struct state *s, int at)
{
	(void)at;
	return s->layer.size;
}

static uint32_t layer_ok(const struct state *s, int at)
{
	(void)at;
	return s->layer.ok;
}

static bool same_place(const struct reg *a, const struct reg *b)
{
	return a->kind == b->kind && a->off == b->off && a->term == b->term;
}

static void join_regs(struct smt_ebpf *w, const struct way *first)
{
	for (int i = 0; i < REGS; i++) {
		struct reg *reg = &w->s.reg[i];

		for (const struct way *way = first->next; way; way = way->next) {
			const struct reg *other = &way->state.reg[i];

			if (other->kind != reg->kind ||
			    (reg->kind != NUMBER && !same_place(other, reg)))
				reg->kind = NOTHING;
			reg->max = pfs_max(reg->max, other->max);
		}
		if (reg->kind == NUMBER)
			reg->term = join_terms(w, first, reg_term, i);
	}
}

/* Do all ways bring at `at` what they bring one byte below, so many bytes further in its term? */
static bool like_below(const struct way *first, int at, uint32_t further)
{
	for (const struct way *way = first; way; way = way->next) {
		const struct cell *cell = way->state.cell;

		if (cell[at].term != cell[at - 1].term || cell[at].at != cell[at - 1].at + further)
			return false;
	}
	return true;
}

static bool bytes_differ(const struct way *first, int at)
{
	for (const struct way *way = first->next; way; way = way->next)
		if (way->state.cell[at].term != first->state.cell[at].term ||
		    way->state.cell[at].at != first->state.cell[at].at)
			return true;
	return false;
}

/* Is what one way brings for a slot a number of 64 bits, and on some way not just one byte eight times? */
static bool is_slot(const struct way *first, int at)
{
	bool flat = true;

	for (const struct way *way = first; way; way = way->next) {
		const struct cell *cell = &way->state.cell[at];
		bool number = true, same = true;

		for (uint32_t i = 0; i < 8; i++) {
			number = number && cell[i].term == cell->term && cell[i].at == i;
			same = same && cell[i].term == cell->term && !cell[i].at;
		}
		if (!number && !same)
			return false;
		flat = flat && same;
	}
	return !flat;
}

/* Bytes that are each way's own: terms that stand for them byte by byte, as far as possible the same. */
static void join_cells(struct smt_ebpf *w, const struct way *first)
{
	for (int i = 0; i < SMT_STACK; i++) {
		bool aligned = true;

		if (!bytes_differ(first, i))
			continue;
		if (!(i & 7) && is_slot(first, i)) {
			uint32_t slot = join_terms(w, first, cell_term, i);

			for (uint32_t k = 0; k < 8; k++)
				w->s.cell[i + (int)k] = (struct cell){ slot, k };
			i += 7;
			continue;
		}
		if (i > 0 && bytes_differ(first, i - 1) && like_below(first, i, 1)) {
			w->s.cell[i] = w->s.cell[i - 1];
			w->s.cell[i].at++;
			continue;
		}
		if (i > 0 && bytes_differ(first, i - 1) && like_below(first, i, 0)) {
			w->s.cell[i] = w->s.cell[i - 1];
			continue;
		}
		for (const struct way *way = first; way; way = way->next)
			aligned = aligned && way->state.cell[i].at == first->state.cell[i].at;
		if (aligned)
			w->s.cell[i] = (struct cell){ join_terms(w, first, cell_term, i),
						      first->state.cell[i].at };
		else
			smt_ebpf_fail(w, -ENOTSUP);
	}
	for (int i = 0; i < SMT_STACK / 8; i++)
		for (const struct way *way = first->next; way; way = way->next)
			if (!same_place(&way->state.place[i], &w->s.place[i]))
				w->s.place[i].kind = NOTHING;
}

/* A way without a layer has one of no bytes. */
static void join_layer(struct smt_ebpf *w, struct way *first)
{
	const struct layer *any = NULL;
	uint32_t none = 0;

	for (const struct way *way = first; way; way = way->next) {
		const struct layer *l = &way->state.layer;

		if (l->n && any && (l->lo != any->lo || l->n != any->n || l->from != any->from))
			smt_ebpf_fail(w, -ENOTSUP);
		any = l->n ? l : any;
	}
	if (!any)
		return;
	for (struct way *way = first; way; way = way->next) {
		if (way->state.layer.n)
			continue;
		if (!none)
			none = smt_ebpf_constant(w, 0).term;
		way->state.layer = *any;
		way->state.layer.size = way->state.layer.ok = none;
	}
	w->s.layer = *any;
	w->s.layer.size = join_terms(w, first, layer_size, 0);
	w->s.layer.ok = join_terms(w, first, layer_ok, 0);
}

void smt_ebpf_put_memory(const struct smt_ebpf *w, uint32_t mem, struct pfs_buf *out)
{
	if (mem)
		pfs_buf_printf(out, "%s.d%u", w->name, mem);
	else
		pfs_buf_str(out, "mem");
}

static void join_memory(struct smt_ebpf *w, const struct way *first)
{
	const struct way *way;
	uint32_t n = 0;

	for (way = first; way && way->state.mem == first->state.mem; way = way->next)
		;
	if (!way)
		return;
	pfs_buf_printf(w->out, "(define-fun %s.d%u () " MEMORY_SORT " ", w->name, ++w->terms);
	for (way = first; way->next; way = way->next, n++) {
		pfs_buf_printf(w->out, "(ite %s.c%u ", w->name, way->state.cond);
		smt_ebpf_put_memory(w, way->state.mem, w->out);
		pfs_buf_str(w->out, " ");
	}
	smt_ebpf_put_memory(w, way->state.mem, w->out);
	while (n-- > 0)
		pfs_buf_str(w->out, ")");
	pfs_buf_str(w->out, ")\n");
	w->s.mem = w->terms;
}

bool smt_ebpf_arrive(struct smt_ebpf *w, size_t at)
{
	struct way *first = w->into[at];

	if (!first)
		return false;
	w->s = first->state;
	if (!first->next)
		return true;
	pfs_buf_printf(w->out, "(define-fun %s.c%u () Bool (or", w->name, ++w->conds);
	for (const struct way *way = first; way; way = way->next)
		pfs_buf_printf(w->out, " %s.c%u", w->name, way->state.cond);
	pfs_buf_str(w->out, "))\n");
	w->s.cond = w->conds;
	join_regs(w, first);
	join_cells(w, first);
	join_layer(w, first);
	join_memory(w, first);
	return true;
}

/* --- the stack ------------------------------------------------------------------------------- */

static void put_byte(const struct smt_ebpf *w, struct cell cell, char text[80])
{
	snprintf(text, 80, "((_ extract %u %u) %s.d%u)", cell.at * 8 + 7, cell.at * 8, w->name,
		 cell.term);
}

/*
 * The layer's byte with the number in `index`, 32 bits; else what is below it. Said with few words, so that the solver
 * sees the packet's byte at a place that it knows from the other program.
 */
static uint32_t layer_byte(struct smt_ebpf *w, const char *index, struct cell below)
{
	const struct layer *l = &w->s.layer;
	char text[80], from[80] = "i";

	put_byte(w, below, text);
	if (l->from != w->zero)
		snprintf(from, sizeof(from), "(bvadd ((_ extract 31 0) %s.d%u) i)", w->name, l->from);
	return smt_ebpf_term(w,
			     "(let ((i %s)) (concat #x00000000000000 (ite (bvult (concat #x00000000 i) %s.d%u) "
			     "(ite (= %s.d%u #x0000000000000001) (select p %s) #x00) %s)))",
			     index, w->name, l->size, w->name, l->ok, from, text);
}

bool smt_ebpf_in_layer(const struct smt_ebpf *w, int at)
{
	const struct layer *l = &w->s.layer;

	return l->n && at >= l->lo && at < l->lo + (int)l->n;
}

/* Terms that are one byte each, the lowest first, put together. */
struct reg smt_ebpf_bytes(struct smt_ebpf *w, const struct cell *bytes, unsigned size)
{
	char text[600] = "", byte[80];
	bool run = true;

	for (unsigned i = 1; i < size; i++)
		run = run && bytes[i].term == bytes[0].term && bytes[i].at == bytes[0].at + i;
	if (run && size == 8 && !bytes[0].at)
		return smt_ebpf_number(bytes[0].term, UINT64_MAX);
	snprintf(text, sizeof(text), "(concat");
	if (size < 8)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " #x%0*x",
			 (int)(16 - size * 2), 0);
	for (unsigned i = size; i-- > 0;) {
		put_byte(w, bytes[i], byte);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " %s", byte);
	}
	return smt_ebpf_number(smt_ebpf_term(w, "%s)", text),
			       size == 8 ? UINT64_MAX : (UINT64_C(1) << size * 8) - 1);
}

/* At a place that is known. */
static struct reg load_known(struct smt_ebpf *w, int at, unsigned size)
{
	struct cell bytes[8];

	if (size == 8 && !(at & 7) && w->s.place[at / 8].kind != NOTHING)
		return w->s.place[at / 8];
	for (unsigned i = 0; i < size; i++) {
		char index[40];

		bytes[i] = w->s.cell[at + (int)i];
		if (!smt_ebpf_in_layer(w, at + (int)i))
			continue;
		snprintf(index, sizeof(index), "#x%08x", at + (int)i - w->s.layer.lo);
		bytes[i] = (struct cell){ layer_byte(w, index, bytes[i]), 0 };
	}
	return smt_ebpf_bytes(w, bytes, size);
}

/* At one that is computed: in the layer, where all that is below it is the same. */
static struct reg load_computed(struct smt_ebpf *w, const struct reg *to, int at, unsigned size)
{
	struct cell bytes[8];
	uint64_t last = (uint64_t)at + to->max + size - 1;

	if (last >= SMT_STACK || !smt_ebpf_in_layer(w, at) || !smt_ebpf_in_layer(w, (int)last)) {
		smt_ebpf_fail(w, -ENOTSUP);
		return smt_ebpf_constant(w, 0);
	}
	for (int i = at; i <= (int)last; i++)
		if (w->s.cell[i].term != w->s.cell[at].term || w->s.cell[i].at != w->s.cell[at].at)
			smt_ebpf_fail(w, -ENOTSUP);
	for (unsigned i = 0; i < size; i++) {
		char index[120];

		snprintf(index, sizeof(index), "(bvadd ((_ extract 31 0) %s.d%u) #x%08x)", w->name,
			 to->term, at + (int)i - w->s.layer.lo);
		bytes[i] = (struct cell){ layer_byte(w, index, w->s.cell[at]), 0 };
	}
	return smt_ebpf_bytes(w, bytes, size);
}

/* A place of the stack as a number from its bottom. False: there is none. */
bool smt_ebpf_place(struct smt_ebpf *w, const struct reg *to, int64_t more, unsigned size, int *ret_at)
{
	int64_t at = SMT_STACK + to->off + more;

	if (to->kind != ON_STACK || at < 0 || at + size > SMT_STACK) {
		smt_ebpf_fail(w, -EINVAL);
		return false;
	}
	*ret_at = (int)at;
	return true;
}

void smt_ebpf_store(struct smt_ebpf *w, const struct reg *to, int off, unsigned size, struct reg from)
{
	int at;

	if (!smt_ebpf_place(w, to, off, size, &at))
		return;
	if (to->term || smt_ebpf_in_layer(w, at) || smt_ebpf_in_layer(w, at + (int)size - 1) ||
	    from.kind == NOTHING) {
		smt_ebpf_fail(w, -EINVAL);
		return;
	}
	if (from.kind != NUMBER) {
		if (size != 8 || at & 7)
			smt_ebpf_fail(w, -EINVAL);
		w->s.place[at / 8] = from;
		return;
	}
	w->s.place[at / 8].kind = NOTHING;
	for (unsigned i = 0; i < size; i++)
		w->s.cell[at + (int)i] = (struct cell){ from.term, from.term == w->zero ? 0 : i };
}

struct reg smt_ebpf_load(struct smt_ebpf *w, const struct reg *from, int at, unsigned size)
{
	return from->term ? load_computed(w, from, at, size) : load_known(w, at, size);
}
