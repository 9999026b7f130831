#include "graph/graph_i.h"

uint64_t pfs_emit_source_lost(const struct pfs_emitter *out)
{
	const struct pfs_node *node = out->step->node;
	uint64_t lost = pfs_node_lost_sum(node->domain->source);

	if (node->task)
		lost += node->task->source_lost;
	if (node->task && node->task->input)
		lost += node->task->input_lost + pfs_counter_get(&node->task->input->cursor.lost);
	return lost;
}
