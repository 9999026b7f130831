/*
 * rbtree - a red-black tree of nodes that lie inside of what is sorted
 *
 * The caller walks down from the root by its own order to where a node belongs, links it there and lets the tree
 * balance itself. The shape is that of Linux's lib/rbtree.c after the same calls (the textbook's: Cormen et al.,
 * Introduction to Algorithms, chapter 13), which matters where the way down matters.
 *
 *	for (at = &tree.root; *at; at = less ? &parent->left : &parent->right)
 *		parent = *at;
 *	pfs_rb_insert(&tree, &item->node, parent, at);
 *
 * A zeroed tree is empty. Nodes are the caller's.
 */
#ifndef PFS_BASE_RBTREE_H
#define PFS_BASE_RBTREE_H

#include "base/base.h"

struct pfs_rb {
	struct pfs_rb *parent, *left, *right;
	bool red;
};

struct pfs_rb_tree {
	struct pfs_rb *root;
};

/* at: where `parent` (NULL: nobody) points to the node. */
void pfs_rb_insert(struct pfs_rb_tree *tree, struct pfs_rb *node, struct pfs_rb *parent,
		   struct pfs_rb **at);
void pfs_rb_erase(struct pfs_rb_tree *tree, struct pfs_rb *node);
/* Puts `node` where `old` is. */
void pfs_rb_replace(struct pfs_rb_tree *tree, struct pfs_rb *old, struct pfs_rb *node);

/* In order; NULL: there is none. */
struct pfs_rb *pfs_rb_first(const struct pfs_rb_tree *tree);
struct pfs_rb *pfs_rb_last(const struct pfs_rb_tree *tree);
struct pfs_rb *pfs_rb_next(const struct pfs_rb *node);

#endif
