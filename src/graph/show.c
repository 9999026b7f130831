/*
 * show - the graph for people and for graphviz
 */
#include "graph/shot_i.h"

int pfs_graph_show(struct pfs_node *top, enum pfs_show which, const struct pfs_cred *cred,
		   struct pfs_buf *out)
{
	static void (*const show[])(const struct pfs_shot *shot, struct pfs_buf *out) = {
		[PFS_SHOW_GRAPH] = pfs_show_text,
		[PFS_SHOW_DOT] = pfs_show_dot,
		[PFS_SHOW_JSON] = pfs_show_json,
		[PFS_SHOW_METRICS] = pfs_show_metrics,
	};
	PFS_CLEANUP(pfs_shot_release) struct pfs_shot shot;
	int r = pfs_shot_take(top, cred, &shot);

	if (r == 0)
		show[which](&shot, out);
	return r == 0 && out->failed ? -ENOMEM : r;
}

/* --- .graph --------------------------------------------------------------------------------------- */

static void text_name(const struct pfs_shot_node *node, struct pfs_buf *out)
{
	if (node->above == SIZE_MAX && node->dir[0]) {
		pfs_buf_clean(out, node->dir, strlen(node->dir));
		pfs_buf_str(out, "/");
	}
	pfs_buf_clean(out, node->name, strlen(node->name));
}

static const struct pfs_shot_node *find(const struct pfs_shot *shot, uint64_t id, size_t *ret_index)
{
	for (size_t i = 0; i < shot->n; i++) {
		if (shot->nodes[i].id == id) {
			*ret_index = i;
			return &shot->nodes[i];
		}
	}
	return NULL;
}

static void text_into(const struct pfs_shot *shot, uint64_t id, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf path = { 0 };
	size_t i;

	if (!find(shot, id, &i)) {
		pfs_buf_printf(out, " -> %llu", (unsigned long long)id);
		return;
	}
	pfs_shot_path(shot, i, &path);
	pfs_buf_str(out, " -> ");
	if (!path.failed)
		pfs_buf_clean(out, path.data, path.len);
}

static void text_node(const struct pfs_shot *shot, const struct pfs_shot_node *node,
		      struct pfs_buf *out)
{
	pfs_buf_printf(out, "%*s", 2 * (int)node->depth, "");
	text_name(node, out);
	pfs_buf_printf(out, "  %s", node->kind);
	if (node->data)
		pfs_buf_printf(out, " %s in=%llu out=%llu bytes=%llu lost=%llu readers=%u",
			       node->running ? "running" : "idle", (unsigned long long)node->in,
			       (unsigned long long)node->out, (unsigned long long)node->bytes,
			       (unsigned long long)node->lost, node->readers);
	if (node->running)
		pfs_buf_printf(out, " in/s=%.1f out/s=%.1f bytes/s=%.0f", node->rate_in,
			       node->rate_out, node->rate_bytes);
	if (node->kernel)
		pfs_buf_str(out, " kernel");
	if (node->into)
		text_into(shot, node->into, out);
	pfs_buf_str(out, "\n");
}

void pfs_show_text(const struct pfs_shot *shot, struct pfs_buf *out)
{
	pfs_buf_printf(out, "rates over %.3f s; %llu of %llu directories, %llu of %llu bytes",
		       shot->interval, (unsigned long long)shot->used[PFS_DUE_NODES],
		       (unsigned long long)pfs_due_limit(shot->graph, PFS_DUE_NODES),
		       (unsigned long long)shot->used[PFS_DUE_MEMORY],
		       (unsigned long long)pfs_due_limit(shot->graph, PFS_DUE_MEMORY));
	if (shot->hidden)
		pfs_buf_printf(out, "; %llu closed to you", (unsigned long long)shot->hidden);
	pfs_buf_str(out, "\n");
	for (size_t i = 0; i < shot->n; i++)
		text_node(shot, &shot->nodes[i], out);
}

/* --- .graph.dot ------------------------------------------------------------------------------------- */

/* In a quoted string of dot: a backslash of ours stays one. */
static void dot_text(const char *s, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf clean = { 0 };

	pfs_buf_clean(&clean, s, strlen(s));
	for (const char *p = clean.data; p && *p; p++)
		pfs_buf_printf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
}

static void dot_node(const struct pfs_shot_node *node, struct pfs_buf *out)
{
	pfs_buf_printf(out, "\tn%llu [label=\"", (unsigned long long)node->id);
	dot_text(node->name, out);
	if (node->data)
		pfs_buf_printf(out, "\\n%llu in, %llu out", (unsigned long long)node->in,
			       (unsigned long long)node->out);
	if (node->lost)
		pfs_buf_printf(out, ", %llu lost", (unsigned long long)node->lost);
	if (node->running)
		pfs_buf_printf(out, "\\n%.1f/s in, %.1f/s out", node->rate_in, node->rate_out);
	pfs_buf_str(out, "\"");
	if (node->kernel)
		pfs_buf_str(out, ", style=filled, fillcolor=lightgrey");
	else if (!node->running)
		pfs_buf_str(out, ", style=dashed");
	if (node->lost)
		pfs_buf_str(out, ", color=red");
	pfs_buf_str(out, "];\n");
}

void pfs_show_dot(const struct pfs_shot *shot, struct pfs_buf *out)
{
	pfs_buf_str(out, "digraph pipesfs {\n\trankdir=LR;\n\tnode [shape=box, fontname=monospace];\n");
	for (size_t i = 0; i < shot->n; i++)
		dot_node(&shot->nodes[i], out);
	for (size_t i = 0; i < shot->n; i++) {
		const struct pfs_shot_node *node = &shot->nodes[i];
		size_t target;

		if (node->above != SIZE_MAX)
			pfs_buf_printf(out, "\tn%llu -> n%llu%s;\n",
				       (unsigned long long)node->parent, (unsigned long long)node->id,
				       strcmp(node->shape, "pulling") == 0 ? " [label=queue]" : "");
		if (node->into && find(shot, node->into, &target))
			pfs_buf_printf(out, "\tn%llu -> n%llu [label=into, style=bold];\n",
				       (unsigned long long)node->id, (unsigned long long)node->into);
	}
	pfs_buf_str(out, "}\n");
}
