/*
 * children - what is right below a directory: in the order in which it came, and by name
 *
 * Finding one, adding and taking away cost the same beside ten brothers and ten thousand. Views are among the children,
 * and have no names there. Under the control lock.
 */
#ifndef PFS_GRAPH_CHILDREN_H
#define PFS_GRAPH_CHILDREN_H

#include "base/rbtree.h"

struct pfs_node;

/* In each node: its own children, and its place among those of the node above. */
struct pfs_children {
	struct pfs_node *first, *last;
	struct pfs_rb_tree names;
	unsigned filters; /* below, also below classes that are children */
};
struct pfs_child {
	struct pfs_node *next, **at; /* at: what points to it; NULL: it is nobody's child */
	struct pfs_rb name;
};

/* As the last. */
void pfs_child_add(struct pfs_node *parent, struct pfs_node *node);
/* Nothing happens to one that is no child of `parent`. */
void pfs_child_remove(struct pfs_node *parent, struct pfs_node *node);
/* It has another name now. */
void pfs_child_renamed(struct pfs_node *parent, struct pfs_node *node);

/* Borrowed; NULL: there is none. */
struct pfs_node *pfs_node_child(const struct pfs_node *dir, const char *name);
/* Below it, also below its classes. */
unsigned pfs_node_filters(const struct pfs_node *dir);

#endif
