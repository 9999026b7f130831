/*
 * zbuf - FreeBSD's contract: against a plain model of it, record by record, with a process that takes, waits, asks
 * and lies; by two threads; and the example of the manual
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "ring/zbuf.h"

#define SIZE 4096
#define ROOM (SIZE - 32)

/* The process's end: maps what it was given, knows nothing else. */
struct process {
	uint8_t *memory;
	size_t size;
	unsigned turn;
};

static void process_init(struct process *p, const struct pfs_zbuf *blocks, size_t size)
{
	p->size = size;
	p->turn = 0;
	p->memory =
		mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_SHARED, pfs_zbuf_memory(blocks), 0);
	assert_ptr_not_equal(p->memory, MAP_FAILED);
}

static struct pfs_zbuf_header *process_block(const struct process *p, unsigned i)
{
	return (struct pfs_zbuf_header *)(void *)(p->memory + i * p->size);
}

/* The block whose turn it is, if it is the process's: then it is the other's turn. */
static struct pfs_zbuf_header *process_take(struct process *p)
{
	struct pfs_zbuf_header *block = process_block(p, p->turn);

	if (!pfs_zbuf_yours(block))
		return NULL;
	p->turn = !p->turn;
	return block;
}

static void process_release(struct process *p)
{
	munmap(p->memory, 2 * p->size);
}

static struct pfs_zbuf *blocks_make(size_t size)
{
	struct pfs_zbuf *blocks;

	assert_int_equal(pfs_zbuf_new(size, &blocks), 0);
	return blocks;
}

static int put(struct pfs_zbuf *blocks, uint32_t n, uint32_t len, uint32_t link_len)
{
	uint8_t *bytes = malloc(len ? len : 1);
	struct pfs_zbuf_record record = { .time = n * 1000003ull,
					  .len = len,
					  .wire_len = len + n % 3,
					  .link_len = (uint16_t)link_len };
	int r;

	for (uint32_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(n * 7 + i);
	r = pfs_zbuf_put(blocks, &record, bytes);
	free(bytes);
	return r;
}

/* One record, as bpf(4) says it. Returns where the next one begins. */
static const uint8_t *record_check(const uint8_t *p, uint32_t n, uint32_t len, uint32_t link_len)
{
	const struct pfs_xhdr *h = (const void *)p;
	const uint8_t *bytes = p + h->bh_hdrlen;
	bool wrong = false;

	assert_int_equal((uintptr_t)p % sizeof(long), 0);
	assert_in_range(h->bh_hdrlen, 26, 26 + sizeof(long));
	assert_int_equal(((uintptr_t)bytes + link_len) % sizeof(long), 0);
	assert_int_equal(h->bh_caplen, len);
	assert_int_equal(h->bh_datalen, len + n % 3);
	assert_int_equal(h->bh_tstamp.bt_sec * 1000000000 +
				 (int64_t)((1000000000ull * (h->bh_tstamp.bt_frac >> 32)) >> 32),
			 n * 1000003ull);
	for (uint32_t i = 0; i < len; i++)
		wrong |= bytes[i] != (uint8_t)(n * 7 + i);
	assert_false(wrong);
	return p + PFS_ZBUF_WORDALIGN(h->bh_hdrlen + h->bh_caplen);
}

static void sizes(void **state)
{
	static const size_t bad[] = { 0, 1, 4095, 4097, PFS_BLOCK_MAX + 4096, SIZE_MAX };
	struct pfs_zbuf *blocks;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(pfs_zbuf_new(bad[i], &blocks), -EINVAL);
	assert_int_equal(pfs_zbuf_new(PFS_BLOCK_MAX, &blocks), 0);
	assert_int_equal(ftruncate(pfs_zbuf_memory(blocks), 0), -1); /* sealed */
	assert_int_equal(ftruncate(pfs_zbuf_memory(blocks), 8 * PFS_BLOCK_MAX), -1);
	pfs_zbuf_free(blocks);
	pfs_zbuf_free(NULL);
}

/* Handed over when full, early when there is no other, on demand; given back by copying the generation. */
static void contract(void **state)
{
	struct pfs_zbuf *blocks = blocks_make(SIZE);
	struct process p;
	unsigned which;
	size_t len;

	process_init(&p, blocks, SIZE);
	assert_false(pfs_zbuf_rotate(blocks, &which, &len)); /* there is nothing */
	for (uint32_t n = 0; n < 2; n++)
		assert_int_equal(put(blocks, n, 2000, 0), 0);
	assert_false(pfs_zbuf_handed(blocks));
	assert_null(process_take(&p));
	assert_int_equal(put(blocks, 2, 2000, 0), 0); /* into the other one */
	assert_true(pfs_zbuf_handed(blocks));
	assert_false(pfs_zbuf_handed(blocks));
	assert_int_equal(process_block(&p, 0)->bzh_kernel_gen, 1);
	assert_int_equal(process_block(&p, 0)->bzh_kernel_len, 2032 + 2000 + 32);
	assert_false(pfs_zbuf_rotate(blocks, &which, &len)); /* one is held */
	assert_false(pfs_zbuf_yours(process_block(&p, 1)));
	assert_int_equal(put(blocks, 3, 2000, 0), 0);
	assert_int_equal(put(blocks, 4, 2000, 0), -EAGAIN);
	assert_true(pfs_zbuf_handed(blocks)); /* early, both are the process's now */
	assert_true(pfs_zbuf_yours(process_block(&p, 0)) && pfs_zbuf_yours(process_block(&p, 1)));
	assert_int_equal(put(blocks, 4, 1, 0), -EAGAIN);
	assert_false(pfs_zbuf_handed(blocks));
	assert_false(pfs_zbuf_room(blocks));
	pfs_zbuf_give(process_take(&p));
	assert_true(pfs_zbuf_room(blocks));
	assert_int_equal(put(blocks, 4, 1, 0), 0);
	assert_false(pfs_zbuf_handed(blocks));
	assert_int_equal(process_block(&p, 0)->bzh_kernel_gen, 1); /* not handed over again */
	assert_false(pfs_zbuf_rotate(blocks, &which, &len));
	pfs_zbuf_give(process_take(&p));
	assert_true(pfs_zbuf_rotate(blocks, &which, &len));
	assert_int_equal(which, 0);
	assert_int_equal(len, 33);
	assert_true(pfs_zbuf_handed(blocks));
	record_check((const uint8_t *)(process_take(&p) + 1), 4, 1, 0);
	process_release(&p);
	pfs_zbuf_free(blocks);
}

/* What no block holds is cut, and says so; empty ones are records, too; times to their ends. */
static void records(void **state)
{
	static const uint64_t times[] = { 0,	     1, 999999999, 1000000000, 1700000000123456789,
					  UINT64_MAX };
	struct pfs_zbuf *blocks = blocks_make(SIZE);
	static uint8_t bytes[SIZE * 2];
	const struct pfs_xhdr *h;
	struct process p;
	unsigned which;
	size_t len;

	process_init(&p, blocks, SIZE);
	h = (const void *)(process_block(&p, 0) + 1);
	assert_int_equal(pfs_zbuf_record_max(blocks, 14), ROOM - 26);
	assert_int_equal(put(blocks, 0, sizeof(bytes), 14), 0);
	assert_true(pfs_zbuf_rotate(blocks, &which, &len));
	assert_int_equal(len, ROOM);
	assert_int_equal(h->bh_caplen, ROOM - 26);
	assert_int_equal(h->bh_datalen, sizeof(bytes));
	pfs_zbuf_give(process_take(&p));
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		struct pfs_zbuf_record record = { .time = times[i] };
		struct pfs_zbuf_header *block;

		assert_int_equal(pfs_zbuf_put(blocks, &record, bytes), 0);
		assert_true(pfs_zbuf_rotate(blocks, &which, &len));
		block = process_take(&p);
		h = (const void *)(block + 1);
		assert_int_equal(h->bh_caplen, 0);
		assert_int_equal(
			(uint64_t)h->bh_tstamp.bt_sec * 1000000000 +
				(uint64_t)(((__uint128_t)h->bh_tstamp.bt_frac * 1000000000) >> 64),
			times[i]);
		pfs_zbuf_give(block);
	}
	process_release(&p);
	pfs_zbuf_free(blocks);
}

/* A block has records of one link type only, and says which. At the end all is handed over, whoever has what. */
static void links_and_end(void **state)
{
	static const uint16_t types[] = { 1, 1, 101, 101, 65535 };
	struct pfs_zbuf *blocks = blocks_make(SIZE);
	struct pfs_zbuf_header *block;
	struct process p;
	int r = 0;

	process_init(&p, blocks, SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct pfs_zbuf_record record = { .len = 1, .link_type = types[i] };

		r = pfs_zbuf_put(blocks, &record, "x");
		assert_int_equal(r, i < 4 ? 0 : -EAGAIN);
	}
	pfs_zbuf_end(blocks);
	for (unsigned i = 0; i < 2; i++) {
		block = process_take(&p);
		assert_non_null(block);
		assert_int_equal(block->bzh_link_type, i ? 101 : 1);
		assert_int_equal(block->bzh_kernel_len, 40 + 33);
		pfs_zbuf_give(block);
	}
	assert_int_equal(
		pfs_zbuf_put(blocks, &(struct pfs_zbuf_record){ .len = 1, .link_type = 65535 }, "x"),
		0);
	assert_null(process_take(&p));
	pfs_zbuf_end(blocks);
	pfs_zbuf_end(blocks);
	pfs_zbuf_state(blocks, PFS_ZBUF_END);
	block = process_take(&p);
	assert_int_equal(block->bzh_state, PFS_ZBUF_END);
	assert_int_equal(block->bzh_link_type, 65535);
	assert_int_equal(block->bzh_kernel_gen, 2);
	process_release(&p);
	pfs_zbuf_free(blocks);
}

/* --- model ------------------------------------------------------------------------------------------ */

/*
 * The contract as the process sees it, without places: two blocks in turn, each somebody's, with a list of records.
 */
struct model_block {
	bool users;
	uint32_t n[ROOM / 26 + 1], len[ROOM / 26 + 1];
	size_t count, bytes;
};

struct model {
	struct model_block block[2];
	unsigned turn; /* whose turn to be filled it is */
};

static size_t padded(size_t n)
{
	return (n + sizeof(long) - 1) / sizeof(long) * sizeof(long);
}

static void model_next(struct model *m)
{
	m->turn = !m->turn;
	m->block[m->turn].count = m->block[m->turn].bytes = 0;
}

static bool model_put(struct model *m, uint32_t n, uint32_t len, uint32_t link_len)
{
	size_t total = padded(26 + link_len) - link_len + len;
	struct model_block *b = &m->block[m->turn];

	if (b->users || padded(b->bytes) + total > ROOM || b->count == ARRAY_SIZE(b->n)) {
		b->users |= b->count > 0;
		if (m->block[!m->turn].users)
			return false;
		model_next(m);
		b = &m->block[m->turn];
	}
	b->n[b->count] = n;
	b->len[b->count++] = len;
	b->bytes = padded(b->bytes) + total;
	return true;
}

static bool model_rotate(struct model *m)
{
	struct model_block *b = &m->block[m->turn];

	if (m->block[!m->turn].users || b->count == 0 || b->users)
		return false;
	b->users = true;
	model_next(m);
	return true;
}

static uint32_t rnd(uint32_t *x)
{
	*x = *x * 1664525 + 1013904223;
	return *x >> 8;
}

struct trial {
	struct pfs_zbuf *blocks;
	struct process p;
	struct model m;
	struct pfs_zbuf_header *taken[2]; /* by the process, oldest first */
	unsigned ntaken;
};

static void same(struct trial *t)
{
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pfs_zbuf_yours(process_block(&t->p, i)), t->m.block[i].users);
}

static void take(struct trial *t, uint32_t link_len)
{
	unsigned which = t->p.turn;
	const struct model_block *b = &t->m.block[which];
	struct pfs_zbuf_header *block;
	const uint8_t *at;

	if (t->ntaken == 2)
		return;
	block = process_take(&t->p);
	assert_int_equal(block != NULL,
			 b->users && !(t->ntaken && t->taken[0] == process_block(&t->p, which)));
	if (!block)
		return;
	assert_int_equal(block->bzh_kernel_len, b->bytes);
	at = (const uint8_t *)(block + 1);
	for (size_t i = 0; i < b->count; i++)
		at = record_check(at, b->n[i], b->len[i], link_len);
	assert_int_equal(at - (const uint8_t *)(block + 1), padded(b->bytes));
	t->taken[t->ntaken++] = block;
}

/* The one that was handed over first. */
static void give(struct trial *t)
{
	struct pfs_zbuf_header *block = t->taken[0];
	unsigned which;

	if (t->ntaken == 0)
		return;
	t->taken[0] = t->taken[1];
	t->ntaken--;
	which = block != process_block(&t->p, 0);
	t->m.block[which].users = false;
	if (which == t->m.turn)
		model_next(&t->m); /* it was handed over early: it is over, too */
	pfs_zbuf_give(block);
}

static void against_model(void **state)
{
	for (uint32_t seed = 1; seed <= 300; seed++) {
		const uint32_t link_len = (uint32_t[]){ 0, 14, 4, 16 }[seed % 4];
		const unsigned hurry = seed % 7 + 1;
		struct trial t = { .blocks = blocks_make(SIZE) };
		uint32_t x = seed, n = 0, len;
		unsigned which;
		size_t got;

		process_init(&t.p, t.blocks, SIZE);
		for (unsigned i = 0; i < 2000; i++) {
			switch (rnd(&x) % (8 + hurry)) {
			case 0:
				take(&t, link_len);
				break;
			case 1:
				give(&t);
				break;
			case 2:
				assert_int_equal(pfs_zbuf_rotate(t.blocks, &which, &got),
						 model_rotate(&t.m));
				break;
			default:
				len = rnd(&x) % (rnd(&x) % 4 ? 100 : ROOM - 40);
				assert_int_equal(put(t.blocks, n, len, link_len),
						 model_put(&t.m, n, len, link_len) ? 0 : -EAGAIN);
				n++;
				break;
			}
			same(&t);
		}
		process_release(&t.p);
		pfs_zbuf_free(t.blocks);
	}
}

/* Given back in the other order: nothing is lost or twice, and both are there again in the end. */
static void backwards(void **state)
{
	struct pfs_zbuf *blocks = blocks_make(SIZE);
	struct process p;
	unsigned which;
	size_t len;

	process_init(&p, blocks, SIZE);
	for (uint32_t n = 0; n < 2; n++)
		assert_int_equal(put(blocks, n, 3000, 0), 0);
	assert_int_equal(put(blocks, 2, 3000, 0), -EAGAIN);
	pfs_zbuf_give(process_block(&p, 1));
	assert_int_equal(put(blocks, 2, 3000, 0), -EAGAIN);
	assert_false(pfs_zbuf_rotate(blocks, &which, &len));
	pfs_zbuf_give(process_block(&p, 0));
	assert_false(pfs_zbuf_rotate(blocks, &which, &len)); /* it has been there already */
	for (uint32_t n = 2; n < 4; n++)
		assert_int_equal(put(blocks, n, 3000, 0), 0);
	assert_true(pfs_zbuf_yours(process_block(&p, 0)));
	assert_false(pfs_zbuf_yours(process_block(&p, 1)));
	record_check((const uint8_t *)(process_block(&p, 0) + 1), 2, 3000, 0);
	pfs_zbuf_give(process_block(&p, 0));
	assert_true(pfs_zbuf_rotate(blocks, &which, &len));
	assert_int_equal(which, 1);
	record_check((const uint8_t *)(process_block(&p, 1) + 1), 3, 3000, 0);
	process_release(&p);
	pfs_zbuf_free(blocks);
}

/* Whatever is written into all of it: puts end in 0 or -EAGAIN, and memory beside it is not touched. */
static void liar(void **state)
{
	struct pfs_zbuf *blocks = blocks_make(SIZE);
	struct process p;
	uint32_t x = 5;
	unsigned which;
	size_t len;

	process_init(&p, blocks, SIZE);
	for (unsigned i = 0; i < 200000; i++) {
		uint32_t *words = (uint32_t *)(void *)(p.memory + SIZE * (rnd(&x) % 2));
		int r;

		words[rnd(&x) % (rnd(&x) % 2 ? 3 : SIZE / 4)] = rnd(&x) % 3 ? rnd(&x) % 4
									    : UINT32_MAX - rnd(&x);
		r = put(blocks, i, rnd(&x) % 700, 14);
		assert_true(r == 0 || r == -EAGAIN);
		if (pfs_zbuf_rotate(blocks, &which, &len))
			assert_true(which < 2 && len <= ROOM);
	}
	process_release(&p);
	pfs_zbuf_free(blocks);
}

/* --- threads ---------------------------------------------------------------------------------------- */

#define MANY 200000

static struct pfs_zbuf *taken_from;
static atomic_bool taken_all;

/* In the same mapping: ThreadSanitizer goes by addresses. */
static void *taker(void *arg)
{
	uint32_t n = 0;

	for (unsigned turn = 0; n < MANY;) {
		struct pfs_zbuf_header *block = pfs_zbuf_header(taken_from, turn);
		const uint8_t *at, *end;

		if (!pfs_zbuf_yours(block))
			continue;
		at = (const uint8_t *)(block + 1);
		end = at + block->bzh_kernel_len;
		for (; at < end; n++)
			at = record_check(at, n, n % 300, 0);
		pfs_zbuf_give(block);
		turn = !turn;
	}
	atomic_store(&taken_all, true);
	return NULL;
}

static void threads(void **state)
{
	struct pfs_zbuf *blocks = blocks_make(SIZE);
	pthread_t thread;
	unsigned which;
	size_t len;

	taken_from = blocks;
	assert_int_equal(pthread_create(&thread, NULL, taker, NULL), 0);
	for (uint32_t n = 0; n < MANY;) {
		n += put(blocks, n, n % 300, 0) == 0;
		if (n % 1000 == 0)
			(void)pfs_zbuf_rotate(blocks, &which, &len);
	}
	while (!atomic_load(&taken_all))
		(void)pfs_zbuf_rotate(blocks, &which, &len);
	pthread_join(thread, NULL);
	pfs_zbuf_free(blocks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),     cmocka_unit_test(contract),
		cmocka_unit_test(records),   cmocka_unit_test(links_and_end),
		cmocka_unit_test(backwards), cmocka_unit_test(against_model),
		cmocka_unit_test(liar),	     cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
