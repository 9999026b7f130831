/*
 * ring and queue, alone and against a plain model, with readers that come, lag, hold and go
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ring/queue.h"

struct tree {
	struct pfs_rings *rings;
	struct pfs_cursors *cursors;
	struct pfs_ring *ring;
	struct pfs_queue *queue;
};

static uint64_t tree_limit(void *owner, struct pfs_ring *ring, uint64_t want)
{
	struct tree *tree = owner;

	return pfs_cursors_limit(tree->cursors, ring, want);
}

static void tree_init(struct tree *tree, size_t ring_size, size_t queue_size)
{
	assert_int_equal(pfs_rings_new(&tree->rings), 0);
	assert_int_equal(pfs_cursors_new(tree->rings, &tree->cursors), 0);
	assert_int_equal(pfs_ring_new(tree->rings, ring_size, tree_limit, tree, &tree->ring), 0);
	assert_int_equal(pfs_queue_new(queue_size, tree->cursors, &tree->queue), 0);
}

static void tree_release(struct tree *tree)
{
	pfs_queue_free(tree->queue);
	pfs_ring_free(tree->ring);
	pfs_cursors_unref(tree->cursors);
	pfs_rings_free(tree->rings);
}

/* A record whose every byte tells its number; false: no room. */
static bool push_number(struct tree *tree, uint32_t number, size_t len)
{
	struct pfs_record *rec;
	struct pfs_ref ref;
	uint64_t pos;

	if (pfs_queue_room(tree->queue, 1) == 0)
		return false;
	if (pfs_ring_reserve(tree->ring, len, &rec) < 0)
		return false;
	pos = atomic_load(&tree->ring->head) - rec->size;
	memset(rec + 1, (int)(number & 0xff), len);
	memcpy(rec + 1, &number, pfs_min(len, sizeof(number)));
	rec->mark = number;
	pfs_ring_commit(tree->ring, rec);
	ref = pfs_ref_of_record(tree->ring, rec, pos);
	pfs_queue_push(tree->queue, &ref, 1);
	return true;
}

static bool check_number(const struct tree *tree, const struct pfs_ref *ref, uint32_t *ret_number)
{
	const uint8_t *p = pfs_ref_bytes(tree->rings, ref);

	memcpy(ret_number, p, sizeof(*ret_number));
	for (size_t i = sizeof(*ret_number); i < ref->len; i++)
		if (p[i] != (*ret_number & 0xff))
			return false;
	return true;
}

static void test_records_never_wrap_visibly(void **state)
{
	struct tree tree;
	struct pfs_record *rec;

	(void)state;
	tree_init(&tree, 4096, 512);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(pfs_ring_reserve(tree.ring, 700, &rec), 0);
		memset(rec + 1, (int)(i & 0xff), 700);
		pfs_ring_commit(tree.ring, rec);
		for (unsigned j = 0; j < 700; j++)
			assert_int_equal(((uint8_t *)(rec + 1))[j], i & 0xff);
	}
	assert_int_equal(pfs_ring_reserve(tree.ring, 4096, &rec), -EMSGSIZE);
	tree_release(&tree);
}

static void test_scan_stops_at_busy_and_skips_discarded(void **state)
{
	struct tree tree;
	struct pfs_record *a, *b, *c;
	uint64_t pos = 0;

	(void)state;
	tree_init(&tree, 4096, 512);
	assert_null(pfs_ring_scan(tree.ring, &pos));
	assert_int_equal(pfs_ring_reserve(tree.ring, 10, &a), 0);
	assert_int_equal(pfs_ring_reserve(tree.ring, 20, &b), 0);
	assert_int_equal(pfs_ring_reserve(tree.ring, 100, &c), 0);
	pfs_ring_shrink(tree.ring, c, 30);
	assert_null(pfs_ring_scan(tree.ring, &pos));
	atomic_store(&a->state, PFS_RECORD_DISCARD);
	assert_null(pfs_ring_scan(tree.ring, &pos));
	pfs_ring_commit(tree.ring, b);
	assert_ptr_equal(pfs_ring_scan(tree.ring, &pos), b);
	pos += b->size;
	pfs_ring_commit(tree.ring, c);
	assert_ptr_equal(pfs_ring_scan(tree.ring, &pos), c);
	assert_int_equal(c->len, 30);
	pos += c->size;
	assert_int_equal(pos, atomic_load(&tree.ring->head));
	tree_release(&tree);
}

static void test_reliable_cursor_holds_the_ring(void **state)
{
	struct pfs_cursor cursor;
	struct pfs_ref refs[64];
	struct tree tree;
	uint32_t sent = 0, seen = 0, number;
	size_t n;

	(void)state;
	tree_init(&tree, 16384, 512);
	pfs_cursor_init(&cursor, tree.queue, 1, true);
	for (int round = 0; round < 200; round++) {
		while (push_number(&tree, sent, 100))
			sent++;
		assert_true(sent > seen);
		n = pfs_cursor_pin(&cursor, refs, 17);
		assert_true(n > 0);
		for (size_t i = 0; i < n; i++) {
			assert_true(check_number(&tree, &refs[i], &number));
			assert_int_equal(number, seen++);
		}
		pfs_cursor_unpin(&cursor, n);
	}
	assert_int_equal(pfs_counter_get(&cursor.lost), 0);
	pfs_cursor_release(&cursor);
	tree_release(&tree);
}

static void test_lossy_cursor_counts_what_it_lost(void **state)
{
	struct pfs_cursor cursor;
	struct pfs_ref refs[64];
	struct tree tree;
	uint32_t number, next = 0;
	uint64_t seen = 0;
	size_t n;

	(void)state;
	tree_init(&tree, 16384, 512);
	pfs_cursor_init(&cursor, tree.queue, 1, false);
	for (uint32_t i = 0; i < 5000; i++) {
		assert_true(push_number(&tree, i, 100));
		if (i % 701 != 700 && i != 4999)
			continue;
		while ((n = pfs_cursor_pin(&cursor, refs, 64)) > 0) {
			for (size_t j = 0; j < n; j++) {
				assert_true(check_number(&tree, &refs[j], &number));
				assert_true(number >= next);
				next = number + 1;
			}
			seen += n;
			pfs_cursor_unpin(&cursor, n);
		}
	}
	assert_true(pfs_counter_get(&cursor.lost) > 0);
	assert_int_equal(seen + pfs_counter_get(&cursor.lost), 5000);
	assert_int_equal(next, 5000);
	pfs_cursor_release(&cursor);
	tree_release(&tree);
}

static void test_pinned_bytes_stay(void **state)
{
	struct pfs_cursor cursor;
	struct pfs_ref refs[4];
	struct tree tree;
	uint32_t number, sent = 0;
	size_t n;

	(void)state;
	tree_init(&tree, 16384, 512);
	pfs_cursor_init(&cursor, tree.queue, 1, false);
	assert_true(push_number(&tree, sent++, 1000));
	n = pfs_cursor_pin(&cursor, refs, 4);
	assert_int_equal(n, 1);
	while (push_number(&tree, sent, 1000))
		assert_true(++sent < 100);
	assert_true(check_number(&tree, &refs[0], &number));
	assert_int_equal(number, 0);
	pfs_cursor_unpin(&cursor, 1);
	assert_true(push_number(&tree, sent, 1000));
	pfs_cursor_release(&cursor);
	tree_release(&tree);
}

static void test_begun_record_is_rescued(void **state)
{
	struct pfs_cursor cursor;
	struct pfs_ref ref;
	struct tree tree;

	(void)state;
	tree_init(&tree, 16384, 512);
	pfs_cursor_init(&cursor, tree.queue, 1, false);
	assert_true(push_number(&tree, 7, 1000));
	assert_int_equal(pfs_cursor_pin(&cursor, &ref, 1), 1);
	cursor.begun = true;
	cursor.rest = ref;
	cursor.rest.off += 600;
	cursor.rest.len -= 600;
	pfs_cursor_unpin(&cursor, 1);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(push_number(&tree, 100 + i, 1000));
	assert_non_null(cursor.rescued);
	for (int i = 0; i < 400; i++)
		assert_int_equal(cursor.rescued[i], 7);
	pfs_cursor_release(&cursor);
	tree_release(&tree);
}

/* --- threads ------------------------------------------------------------------------------- */

struct stress {
	struct tree tree;
	_Atomic bool over;
	_Atomic uint32_t sent;
};

struct stress_reader {
	struct stress *stress;
	bool reliable;
	unsigned seed;
	uint64_t seen, lost;
	bool torn, disorder;
	uint32_t first, next;
};

static void *stress_read(void *arg)
{
	struct stress_reader *reader = arg;
	struct stress *stress = reader->stress;
	struct pfs_cursor cursor;
	struct pfs_ref refs[64];
	uint32_t number;
	bool over;
	size_t n;

	pfs_cursor_init(&cursor, stress->tree.queue, 1, reader->reliable);
	reader->first = reader->next = (uint32_t)atomic_load(&cursor.next);
	do {
		over = atomic_load(&stress->over);
		while ((n = pfs_cursor_pin(&cursor, refs, 1 + (size_t)rand_r(&reader->seed) % 64)) > 0) {
			for (size_t i = 0; i < n; i++) {
				reader->torn |= !check_number(&stress->tree, &refs[i], &number);
				reader->disorder |= number < reader->next;
				reader->next = number + 1;
			}
			reader->seen += n;
			pfs_cursor_unpin(&cursor, n);
			if (!reader->reliable && rand_r(&reader->seed) % 8 == 0)
				sched_yield();
		}
		sched_yield();
	} while (!over);
	reader->lost = pfs_counter_get(&cursor.lost);
	pfs_cursor_release(&cursor);
	return NULL;
}

static void stress_run(bool reliable)
{
	enum { READERS = 4, RECORDS = 60000 };
	struct stress stress = { .over = false };
	struct stress_reader readers[READERS];
	pthread_t threads[READERS];

	tree_init(&stress.tree, 65536, 512);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct stress_reader){ .stress = &stress,
						     .reliable = reliable && i % 2,
						     .seed = i + 1 };
		pthread_create(&threads[i], NULL, stress_read, &readers[i]);
	}
	for (uint32_t i = 0; i < RECORDS; i++)
		while (!push_number(&stress.tree, i, 16 + i % 400))
			sched_yield();
	atomic_store(&stress.over, true);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		assert_false(readers[i].torn);
		assert_false(readers[i].disorder);
		assert_int_equal(readers[i].seen + readers[i].lost, RECORDS - readers[i].first);
		if (readers[i].reliable)
			assert_int_equal(readers[i].lost, 0);
	}
	tree_release(&stress.tree);
}

static void test_threads_lossy(void **state)
{
	(void)state;
	stress_run(false);
}

static void test_threads_mixed(void **state)
{
	(void)state;
	stress_run(true);
}

/* --- wait lists -------------------------------------------------------------------------------- */

struct sleeper {
	struct pfs_waiter waiter;
	int woken;
};

static void sleeper_wake(struct pfs_waiter *waiter)
{
	CONTAINER_OF(waiter, struct sleeper, waiter)->woken++;
}

static void test_waiters_are_woken_once(void **state)
{
	struct pfs_waitlist list;
	struct sleeper s[3] = { 0 };

	(void)state;
	pfs_waitlist_init(&list);
	for (int i = 0; i < 3; i++) {
		s[i].waiter.wake = sleeper_wake;
		pfs_wait_add(&list, &s[i].waiter);
	}
	assert_true(pfs_wait_remove(&list, &s[1].waiter));
	assert_false(pfs_wait_remove(&list, &s[1].waiter));
	pfs_wait_wake(&list);
	pfs_wait_wake(&list);
	assert_int_equal(s[0].woken, 1);
	assert_int_equal(s[1].woken, 0);
	assert_int_equal(s[2].woken, 1);
	assert_false(pfs_wait_remove(&list, &s[2].waiter));
	pfs_waitlist_release(&list);
}

/* Control refs are no records, however many of them are overtaken. */
static void test_control_refs_are_not_counted_as_lost(void **state)
{
	struct pfs_ref end = { .flags = PFS_REF_STREAM_END }, refs[64];
	struct pfs_cursor cursor;
	uint64_t pushed = 0, seen = 0;
	struct tree tree;
	size_t n;

	(void)state;
	tree_init(&tree, 1 << 20, 512);
	pfs_cursor_init(&cursor, tree.queue, 1, false);
	for (unsigned i = 0; i < 20000; i++) {
		if (i % 3 == 0 && push_number(&tree, i, 100))
			pushed++;
		else if (pfs_queue_room(tree.queue, 1))
			pfs_queue_push(tree.queue, &end, 1);
		if (i % 1700 == 0) {
			n = pfs_cursor_pin(&cursor, refs, i % 64 + 1);
			for (size_t j = 0; j < n; j++)
				seen += !(refs[j].flags & PFS_REF_CONTROL);
			if (n)
				pfs_cursor_unpin(&cursor, n);
		}
		assert_int_equal(seen + pfs_counter_get(&cursor.lost) + pfs_cursor_lag(&cursor),
				 pushed);
	}
	assert_true(pfs_counter_get(&cursor.lost) > 1000);
	pfs_cursor_release(&cursor);
	tree_release(&tree);
}

/* A cursor that becomes reliable holds from then on, one that becomes lossy lets go. */
static void test_a_cursor_changes_its_policy(void **state)
{
	struct pfs_cursor cursor;
	struct pfs_ref refs[8];
	uint32_t sent = 0, number;
	struct tree tree;

	(void)state;
	tree_init(&tree, 1 << 20, 512);
	pfs_cursor_init(&cursor, tree.queue, 1, false);
	for (; sent < 2000; sent++)
		assert_true(push_number(&tree, sent, 8));
	pfs_cursor_set_reliable(&cursor, true);
	while (push_number(&tree, sent, 8))
		sent++;
	assert_true(sent < 2512);
	assert_int_equal(pfs_cursor_pin(&cursor, refs, 8), 8);
	assert_true(check_number(&tree, &refs[0], &number));
	assert_int_equal(number, pfs_counter_get(&cursor.lost));
	pfs_cursor_unpin(&cursor, 8);
	pfs_cursor_set_reliable(&cursor, false);
	for (unsigned i = 0; i < 2000; i++)
		assert_true(push_number(&tree, sent++, 8));
	pfs_cursor_release(&cursor);
	tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_never_wrap_visibly),
		cmocka_unit_test(test_scan_stops_at_busy_and_skips_discarded),
		cmocka_unit_test(test_reliable_cursor_holds_the_ring),
		cmocka_unit_test(test_lossy_cursor_counts_what_it_lost),
		cmocka_unit_test(test_pinned_bytes_stay),
		cmocka_unit_test(test_begun_record_is_rescued),
		cmocka_unit_test(test_threads_lossy),
		cmocka_unit_test(test_threads_mixed),
		cmocka_unit_test(test_waiters_are_woken_once),
		cmocka_unit_test(test_control_refs_are_not_counted_as_lost),
		cmocka_unit_test(test_a_cursor_changes_its_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
