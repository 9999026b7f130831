/*
 * rbtree: in order and balanced, whatever comes and goes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/rbtree.h"

struct item {
	struct pfs_rb node;
	uint32_t key;
	bool in;
};

static uint64_t seed = 1;

static uint32_t below(uint32_t n)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(seed >> 33) % n;
}

static void insert(struct pfs_rb_tree *tree, struct item *item)
{
	struct pfs_rb **at = &tree->root, *parent = NULL;

	while (*at) {
		parent = *at;
		at = item->key < CONTAINER_OF(parent, struct item, node)->key ? &parent->left
									      : &parent->right;
	}
	pfs_rb_insert(tree, &item->node, parent, at);
	item->in = true;
}

/* Black nodes on each way down; the rules of colours and parents hold below. */
static unsigned check(const struct pfs_rb *node, const struct pfs_rb *parent)
{
	unsigned left, right;

	if (!node)
		return 1;
	assert_ptr_equal(node->parent, parent);
	if (node->red)
		assert_false((node->left && node->left->red) || (node->right && node->right->red));
	left = check(node->left, node);
	right = check(node->right, node);
	assert_int_equal(left, right);
	return left + !node->red;
}

static void check_order(const struct pfs_rb_tree *tree, size_t n)
{
	const struct pfs_rb *last = NULL;

	for (const struct pfs_rb *at = pfs_rb_first(tree); at; at = pfs_rb_next(at), n--) {
		if (last)
			assert_true(CONTAINER_OF(last, struct item, node)->key <=
				    CONTAINER_OF(at, struct item, node)->key);
		last = at;
	}
	assert_ptr_equal(pfs_rb_last(tree), last);
	assert_int_equal(n, 0);
}

static void test_at_random(void **state)
{
	static struct item items[500];
	struct pfs_rb_tree tree = { 0 };
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < 50000; i++) {
		struct item *item = &items[below(i / 100 + 1)];

		if (item->in) {
			pfs_rb_erase(&tree, &item->node);
			item->in = false;
			n--;
		} else {
			item->key = below(1000);
			insert(&tree, item);
			n++;
		}
		assert_false(tree.root && tree.root->red);
		check(tree.root, NULL);
		if (i % 100 == 0)
			check_order(&tree, n);
	}
}

static void test_replace(void **state)
{
	static struct item items[100], others[100];
	struct pfs_rb_tree tree = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 100; i++) {
		items[i].key = others[i].key = below(1000);
		insert(&tree, &items[i]);
	}
	for (uint32_t i = 0; i < 100; i++) {
		pfs_rb_replace(&tree, &items[i].node, &others[i].node);
		memset(&items[i].node, 0xff, sizeof(items[i].node));
		check(tree.root, NULL);
		check_order(&tree, 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_random),
		cmocka_unit_test(test_replace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
