/*
 * input - what a pulling filter takes from: the queue of the directory above, and before that what is left of those
 * where it was before a move
 *
 * The last input goes on; those before it have an end and go when they have come to it.
 */
#include "graph/graph_i.h"

int pfs_input_new(struct pfs_input **ret_input)
{
	struct pfs_input *input = pfs_zalloc(1, sizeof(*input));

	if (!input)
		return -ENOMEM;
	*ret_input = input;
	return 0;
}

void pfs_input_free(struct pfs_input *input)
{
	if (!input)
		return;
	while (input->marks) {
		struct pfs_mark *mark = input->marks;

		input->marks = mark->next;
		free(mark);
	}
	if (input->from) {
		struct pfs_graph *graph = input->from->graph;

		if (input->cursor.until != UINT64_MAX)
			atomic_fetch_sub(&graph->ending, 1);
		pthread_rwlock_rdlock(&graph->places); /* its queue may be taken to another tree just now */
		pfs_cursor_release(&input->cursor);
		pthread_rwlock_unlock(&graph->places);
		pfs_node_unref(input->from);
	}
	free(input);
}

struct pfs_input *pfs_input_last(const struct pfs_task *task)
{
	struct pfs_input *input = task->inputs;

	while (input && input->next)
		input = input->next;
	return input;
}

void pfs_input_attach(struct pfs_task *task, struct pfs_input *input, bool reliable)
{
	struct pfs_node *above = task->node->above;
	struct pfs_input **at;

	input->from = pfs_node_ref(above);
	pfs_cursor_init(&input->cursor, above->queue, above->depth * 2, reliable);
	input->first = atomic_load(&input->cursor.records);
	for (at = &task->inputs; *at; at = &(*at)->next)
		;
	*at = input;
	task->attached = true;
}

void pfs_input_end(struct pfs_task *task)
{
	if (!task->attached)
		return;
	pfs_cursor_end(&pfs_input_last(task)->cursor);
	atomic_fetch_add(&task->node->graph->ending, 1);
	task->attached = false;
	pfs_inputs_trim(task);
}

void pfs_inputs_trim(struct pfs_task *task)
{
	struct pfs_input *input;

	while ((input = task->inputs) && input->cursor.until != UINT64_MAX && !input->marks &&
	       !pfs_cursor_ready(&input->cursor)) {
		pfs_input_tell(task, input);
		task->inputs = input->next;
		pfs_input_free(input);
	}
}

void pfs_input_tell(struct pfs_task *task, struct pfs_input *input)
{
	uint64_t lost = pfs_counter_get(&input->cursor.lost);

	if (lost == input->told)
		return;
	pfs_node_lost(task->node, "overrun", lost - input->told);
	pfs_counter_add(&task->overrun, lost - input->told);
	input->told = lost;
	/* A mark may have been among it: nobody is to wait for that. */
	for (unsigned i = 0; task->plan && i < task->plan->nsteps; i++)
		task->plan->steps[i]->node->join = 0;
}

bool pfs_inputs_ready(const struct pfs_task *task)
{
	for (const struct pfs_input *i = task->inputs; i; i = i->next)
		if (pfs_cursor_ready(&i->cursor))
			return true;
	return false;
}

unsigned pfs_inputs_count(const struct pfs_task *task)
{
	unsigned n = 0;

	for (const struct pfs_input *i = task->inputs; i; i = i->next)
		n++;
	return n;
}

void pfs_inputs_drop(struct pfs_task *task)
{
	task->attached = false;
	while (task->inputs) {
		struct pfs_input *input = task->inputs;
		struct pfs_node *from = pfs_node_ref(input->from);

		pfs_input_tell(task, input);
		task->inputs = input->next;
		pfs_input_free(input);
		pfs_node_queue_trim(from);
		pfs_node_unref(from);
	}
}
