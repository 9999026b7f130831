/*
 * what a client says in its page is brought into what can be true, and an honest reader beside it gets everything
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/mman.h>

#include "ring/queue.h"

enum { SLOTS = 512, LEN = 40 };

struct tree {
	struct pfs_rings *rings;
	struct pfs_cursors *cursors;
	struct pfs_ring *ring;
	struct pfs_queue *queue;
	struct pfs_cursor liar, honest;
	struct pfs_shared_cursor page;
	uint32_t pushed, got;
};

static uint64_t tree_limit(void *owner, struct pfs_ring *ring, uint64_t want)
{
	struct tree *tree = owner;

	return pfs_cursors_limit(tree->cursors, ring, want);
}

static void tree_init(struct tree *tree, size_t ring_size, bool reliable)
{
	*tree = (struct tree){ 0 };
	assert_int_equal(pfs_rings_new(&tree->rings), 0);
	assert_int_equal(pfs_cursors_new(tree->rings, &tree->cursors), 0);
	assert_int_equal(pfs_ring_new(tree->rings, ring_size, tree_limit, tree, &tree->ring), 0);
	assert_int_equal(pfs_queue_new_shared(SLOTS, tree->cursors, &tree->queue), 0);
	assert_int_equal(pfs_cursor_init(&tree->liar, tree->queue, 1, reliable), 0);
	assert_int_equal(pfs_cursor_init(&tree->honest, tree->queue, 1, true), 0);
	pfs_cursor_share(&tree->liar, &tree->page);
}

static void tree_release(struct tree *tree)
{
	pfs_cursor_release(&tree->liar);
	pfs_cursor_release(&tree->honest);
	pfs_queue_free(tree->queue);
	pfs_ring_free(tree->ring);
	pfs_cursors_unref(tree->cursors);
	pfs_rings_free(tree->rings);
}

/* A record whose bytes all tell its number. False: no room. */
static bool push(struct tree *tree)
{
	struct pfs_record *rec;
	struct pfs_ref ref;

	if (pfs_queue_room(tree->queue, 1) == 0 || pfs_ring_reserve(tree->ring, LEN, &rec) < 0)
		return false;
	memset(rec + 1, (int)(tree->pushed & 0xff), LEN);
	pfs_ring_commit(tree->ring, rec);
	ref = pfs_ref_of_record(tree->ring, rec, atomic_load(&tree->ring->head) - rec->size);
	pfs_queue_push(tree->queue, &ref, 1);
	tree->pushed++;
	return true;
}

/* The honest one takes what is there: each record, in order, whole. */
static void take_all(struct tree *tree)
{
	struct pfs_ref refs[64];
	size_t n;

	while ((n = pfs_cursor_pin(&tree->honest, refs, ARRAY_SIZE(refs))) > 0) {
		for (size_t i = 0; i < n; i++) {
			const uint8_t *bytes = pfs_ref_bytes(tree->rings, &refs[i]);

			for (size_t j = 0; j < LEN; j++)
				assert_int_equal(bytes[j], tree->got & 0xff);
			tree->got++;
		}
		pfs_cursor_unpin(&tree->honest, n);
	}
	assert_int_equal(tree->got, tree->pushed);
	assert_int_equal(pfs_counter_get(&tree->honest.lost), 0);
}

/* How many of `want` there is room for, with an honest reader who keeps up. */
static unsigned push_many(struct tree *tree, unsigned want)
{
	unsigned n = 0;

	while (n < want && push(tree)) {
		n++;
		if (n % 16 == 0)
			take_all(tree);
	}
	take_all(tree);
	return n;
}

/* The books stay between what they were and what was pushed. */
static void follow(struct tree *tree)
{
	uint64_t was = atomic_load(&tree->liar.records), lost_was = pfs_counter_get(&tree->liar.lost);
	uint64_t records, lost;

	pfs_cursor_follow(&tree->liar);
	records = atomic_load(&tree->liar.records);
	lost = pfs_counter_get(&tree->liar.lost);
	assert_in_range(records, was, tree->pushed);
	assert_in_range(lost, lost_was, lost_was + (records - was));
	assert_true(pfs_cursor_ready(&tree->liar) <= SLOTS);
}

/* Each lie stays, while three times as much is pushed as the queue holds. */
static void test_ahead(void **state)
{
	const uint64_t beyond[] = { 1, SLOTS, SLOTS + 1, UINT64_MAX / 2 };

	(void)state;
	for (size_t i = 0; i <= ARRAY_SIZE(beyond); i++) {
		struct tree tree;
		uint64_t lie;

		tree_init(&tree, 1 << 20, true);
		assert_int_equal(push_many(&tree, 100), 100);
		lie = i < ARRAY_SIZE(beyond) ? 3 * SLOTS + 200 + beyond[i] : UINT64_MAX;
		atomic_store(&tree.page.hold, lie);
		atomic_store(&tree.page.next, lie);
		atomic_store(&tree.page.records, lie);
		atomic_store(&tree.page.lost, lie);
		follow(&tree);
		assert_int_equal(push_many(&tree, 3 * SLOTS), 3 * SLOTS);
		follow(&tree);
		tree_release(&tree);
	}
}

/* Who holds what is long gone holds as one that does not read: no more than the queue. */
static void test_behind(void **state)
{
	struct tree tree;

	(void)state;
	tree_init(&tree, 1 << 20, true);
	atomic_store(&tree.page.hold, UINT64_MAX);
	assert_int_equal(push_many(&tree, 5 * SLOTS + 7), 5 * SLOTS + 7);
	atomic_store(&tree.page.hold, 0);
	atomic_store(&tree.page.next, 0);
	atomic_store(&tree.page.records, 0);
	follow(&tree);
	assert_true(push_many(&tree, 2 * SLOTS) <= SLOTS);
	assert_int_equal(atomic_load(&tree.page.wanted), 1);
	atomic_store(&tree.page.hold, tree.pushed);
	assert_int_equal(push_many(&tree, SLOTS), SLOTS);
	tree_release(&tree);
}

/* The ring's memory likewise: it is given out again as soon as the lie is over, never while somebody honest looks. */
static void test_memory(void **state)
{
	struct tree tree;
	unsigned n;

	(void)state;
	tree_init(&tree, 4096, true);
	n = push_many(&tree, SLOTS);
	assert_in_range(n, 16, SLOTS - 1); /* the ring is full before the queue: it holds from its first on */
	assert_int_equal(atomic_load(&tree.page.wanted), 1);
	for (uint64_t lie = 0; lie < 4; lie++) {
		atomic_store(&tree.page.hold, lie % 2 ? UINT64_MAX - lie : tree.pushed + 10 * SLOTS);
		assert_int_equal(push_many(&tree, 300), 300);
	}
	tree_release(&tree);
}

/* A lossy one holds nothing, whatever it says. */
static void test_lossy(void **state)
{
	struct tree tree;

	(void)state;
	tree_init(&tree, 4096, false);
	atomic_store(&tree.page.hold, 0);
	assert_int_equal(push_many(&tree, 4 * SLOTS), 4 * SLOTS);
	follow(&tree);
	tree_release(&tree);
}

/* Memory that is given back between two clients: indices go on, and the second is told where. */
static void test_trim(void **state)
{
	struct pfs_shared_cursor second = { 0 };
	struct pfs_shared_queue *shared;
	struct tree tree;

	(void)state;
	tree_init(&tree, 4096, false);
	for (int i = 0; i < 3; i++)
		assert_true(push(&tree));
	assert_false(pfs_queue_trim(tree.queue));
	pfs_cursor_release(&tree.liar);
	pfs_cursor_release(&tree.honest);
	assert_true(pfs_queue_trim(tree.queue));
	assert_int_equal(atomic_load(&tree.queue->slots[0]) | atomic_load(&tree.queue->slots[1]), 0);

	assert_int_equal(pfs_cursor_init(&tree.liar, tree.queue, 1, false), 0);
	assert_int_equal(pfs_cursor_init(&tree.honest, tree.queue, 1, true), 0);
	pfs_cursor_share(&tree.liar, &second);
	/* As a client maps it. */
	shared = mmap(NULL, PFS_SHARED_PAGE, PROT_READ, MAP_SHARED, tree.queue->fd, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	assert_int_equal(atomic_load(&second.next), 3);
	assert_int_equal(atomic_load(&shared->head), 3);
	assert_int_equal(atomic_load(&shared->records), 3);
	tree.got = 3;
	assert_true(push(&tree));
	take_all(&tree);
	assert_int_equal(tree.got, 4);
	assert_int_equal(atomic_load(&shared->head), 4);
	munmap(shared, PFS_SHARED_PAGE);
	tree_release(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ahead),  cmocka_unit_test(test_behind),
		cmocka_unit_test(test_memory), cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
