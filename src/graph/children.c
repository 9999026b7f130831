#include "graph/children.h"

#include <string.h>

#include "graph/graph_i.h"

static struct pfs_node *named(struct pfs_rb *rb)
{
	return (struct pfs_node *)((char *)rb - offsetof(struct pfs_node, child.name));
}

static void add_name(struct pfs_node *parent, struct pfs_node *node)
{
	struct pfs_rb **at = &parent->children.names.root, *above = NULL;

	while (*at) {
		above = *at;
		at = strcmp(node->name, named(above)->name) < 0 ? &above->left : &above->right;
	}
	pfs_rb_insert(&parent->children.names, &node->child.name, above, at);
}

/* How many more directories there are below `node`, for it and for what it is a class of. */
static void count(struct pfs_node *node, int more)
{
	node->children.filters += (unsigned)more;
	while (node->child.at && pfs_node_real(node)->kind == PFS_NODE_CLASS) {
		node = node->parent;
		node->children.filters += (unsigned)more;
	}
}

static int weight(const struct pfs_node *node)
{
	enum pfs_node_kind kind = pfs_node_real((struct pfs_node *)node)->kind;

	if (kind == PFS_NODE_CLASS)
		return (int)node->children.filters;
	return kind != PFS_NODE_VIEW;
}

void pfs_child_add(struct pfs_node *parent, struct pfs_node *node)
{
	struct pfs_children *c = &parent->children;

	node->child.at = c->last ? &c->last->child.next : &c->first;
	*node->child.at = node;
	c->last = node;
	if (node->kind != PFS_NODE_VIEW)
		add_name(parent, node);
	count(parent, weight(node));
}

void pfs_child_remove(struct pfs_node *parent, struct pfs_node *node)
{
	struct pfs_children *c = &parent->children;
	struct pfs_node **at = node->child.at;

	if (!at)
		return;
	count(parent, -weight(node));
	if (node->kind != PFS_NODE_VIEW)
		pfs_rb_erase(&c->names, &node->child.name);
	*at = node->child.next;
	if (*at)
		(*at)->child.at = at;
	else
		c->last = at == &c->first
				  ? NULL
				  : (struct pfs_node *)((char *)at -
							offsetof(struct pfs_node, child.next));
	node->child = (struct pfs_child){ 0 };
}

void pfs_child_renamed(struct pfs_node *parent, struct pfs_node *node)
{
	pfs_rb_erase(&parent->children.names, &node->child.name);
	add_name(parent, node);
}

struct pfs_node *pfs_node_child(const struct pfs_node *dir, const char *name)
{
	struct pfs_rb *rb = dir->children.names.root;

	while (rb) {
		int order = strcmp(name, named(rb)->name);

		if (order == 0)
			return named(rb);
		rb = order < 0 ? rb->left : rb->right;
	}
	return NULL;
}

unsigned pfs_node_filters(const struct pfs_node *dir)
{
	return dir->children.filters;
}
