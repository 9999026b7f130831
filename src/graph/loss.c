#include "graph/graph_i.h"

uint64_t pfs_emit_source_lost(const struct pfs_emitter *out)
{
	const struct pfs_node *node = out->step->node;
	uint64_t lost = pfs_node_lost_sum(node->domain->source);

	if (node->task && node->task->has_input)
		lost += pfs_counter_get(&node->task->input.lost);
	return lost;
}
