#include "base/rbtree.h"

static bool is_red(const struct pfs_rb *node)
{
	return node && node->red;
}

/* Whatever pointed to `old` points to `node`. */
static void hang(struct pfs_rb_tree *tree, struct pfs_rb *parent, const struct pfs_rb *old,
		 struct pfs_rb *node)
{
	if (!parent)
		tree->root = node;
	else if (parent->left == old)
		parent->left = node;
	else
		parent->right = node;
	if (node)
		node->parent = parent;
}

/* The child on the other side takes the place of `node`, which becomes its child. */
static void rotate(struct pfs_rb_tree *tree, struct pfs_rb *node, bool to_left)
{
	struct pfs_rb *up = to_left ? node->right : node->left;
	struct pfs_rb *middle = to_left ? up->left : up->right;

	hang(tree, node->parent, node, up);
	*(to_left ? &node->right : &node->left) = middle;
	if (middle)
		middle->parent = node;
	*(to_left ? &up->left : &up->right) = node;
	node->parent = up;
}

void pfs_rb_insert(struct pfs_rb_tree *tree, struct pfs_rb *node, struct pfs_rb *parent,
		   struct pfs_rb **at)
{
	*node = (struct pfs_rb){ .parent = parent, .red = true };
	*at = node;
	while (is_red(node->parent)) {
		struct pfs_rb *father = node->parent, *grand = father->parent;
		bool left = father == grand->left;
		struct pfs_rb *uncle = left ? grand->right : grand->left;

		if (is_red(uncle)) {
			father->red = uncle->red = false;
			grand->red = true;
			node = grand;
			continue;
		}
		if (node == (left ? father->right : father->left)) {
			rotate(tree, father, left);
			father = node;
		}
		father->red = false;
		grand->red = true;
		rotate(tree, grand, !left);
		break;
	}
	tree->root->red = false;
}

/* Below `parent`, where `node` is (it may be nobody), a black one is missing. */
static void erase_fix(struct pfs_rb_tree *tree, struct pfs_rb *node, struct pfs_rb *parent)
{
	while (parent && !is_red(node)) {
		bool left = node == parent->left;
		struct pfs_rb *sibling = left ? parent->right : parent->left;

		if (sibling->red) {
			sibling->red = false;
			parent->red = true;
			rotate(tree, parent, left);
			sibling = left ? parent->right : parent->left;
		}
		if (!is_red(sibling->left) && !is_red(sibling->right)) {
			sibling->red = true;
			node = parent;
			parent = node->parent;
			continue;
		}
		if (!is_red(left ? sibling->right : sibling->left)) {
			(left ? sibling->left : sibling->right)->red = false;
			sibling->red = true;
			rotate(tree, sibling, !left);
			sibling = left ? parent->right : parent->left;
		}
		sibling->red = parent->red;
		parent->red = false;
		(left ? sibling->right : sibling->left)->red = false;
		rotate(tree, parent, left);
		return;
	}
	if (node)
		node->red = false;
}

void pfs_rb_erase(struct pfs_rb_tree *tree, struct pfs_rb *node)
{
	struct pfs_rb *child, *parent, *next;
	bool red;

	if (node->left && node->right) { /* the next one comes here */
		for (next = node->right; next->left;)
			next = next->left;
		child = next->right;
		red = next->red;
		parent = next->parent == node ? next : next->parent;
		if (parent != next) {
			hang(tree, parent, next, child);
			next->right = node->right;
			next->right->parent = next;
		}
		next->left = node->left;
		next->left->parent = next;
		next->red = node->red;
		hang(tree, node->parent, node, next);
	} else {
		child = node->left ? node->left : node->right;
		red = node->red;
		parent = node->parent;
		hang(tree, parent, node, child);
	}
	if (!red)
		erase_fix(tree, child, parent);
}

void pfs_rb_replace(struct pfs_rb_tree *tree, struct pfs_rb *old, struct pfs_rb *node)
{
	*node = *old;
	hang(tree, old->parent, old, node);
	if (node->left)
		node->left->parent = node;
	if (node->right)
		node->right->parent = node;
}

struct pfs_rb *pfs_rb_first(const struct pfs_rb_tree *tree)
{
	struct pfs_rb *node = tree->root;

	while (node && node->left)
		node = node->left;
	return node;
}

struct pfs_rb *pfs_rb_last(const struct pfs_rb_tree *tree)
{
	struct pfs_rb *node = tree->root;

	while (node && node->right)
		node = node->right;
	return node;
}

struct pfs_rb *pfs_rb_next(const struct pfs_rb *node)
{
	struct pfs_rb *at = node->right;

	if (at) {
		while (at->left)
			at = at->left;
		return at;
	}
	for (at = node->parent; at && node == at->right; at = at->parent)
		node = at;
	return at;
}
