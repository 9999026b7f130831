#include "graph/graph.h"

#include "graph/graph_i.h"

/* The sources that are there without mkdir. */
static int make_static(struct pfs_graph *graph)
{
	struct pfs_cred cred = { .uid = graph->options.uid, .gid = graph->options.gid };
	struct pfs_node *node;
	int r = 0;

	for (size_t i = 0; pfs_sources[i] && r == 0; i++) {
		const struct pfs_source *source = pfs_sources[i];
		struct pfs_args args = { 0 };

		if (source->flags & PFS_SOURCE_DEVICES) {
			r = pfs_node_new(graph, graph->root, PFS_NODE_FOLDER, source->name,
					 cred.uid, &node);
			if (r < 0)
				break;
			node->from = source;
			node->mode = 0755;
			pfs_node_link(graph->root, node);
		} else if (source->flags & PFS_SOURCE_STATIC) {
			r = pfs_build_source(graph->root, source, source->name, &args, &cred, 0700,
					     &node, NULL);
		}
	}
	return r;
}

static void set_defaults(struct pfs_graph_options *options)
{
	if (!options->ring_size)
		options->ring_size = (size_t)16 << 20;
	if (options->ring_size < 4 * PFS_WRITE_MAX)
		options->ring_size = 4 * PFS_WRITE_MAX;
	if (!options->memory_max)
		options->memory_max = (size_t)2 << 30;
	if (!options->patience)
		options->patience = PFS_PATIENCE;
	if (!options->nodes_max)
		options->nodes_max = 20000;
	if (!options->user_memory)
		options->user_memory = options->memory_max / 4;
	if (!options->user_nodes)
		options->user_nodes = options->nodes_max / 4;
	if (!options->user_processes)
		options->user_processes = 256;
	if (!options->user_opens)
		options->user_opens = 256;
	if (!options->user_sockets)
		options->user_sockets = 1024;
}

/* Who wants to change places does not wait until nobody looks any more: there is always somebody. */
static void places_init(pthread_rwlock_t *places)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(places, &attr);
	pthread_rwlockattr_destroy(&attr);
}

int pfs_graph_new(const struct pfs_graph_options *options, struct pfs_graph **ret_graph)
{
	struct pfs_graph *graph = pfs_zalloc(1, sizeof(*graph));
	int r;

	if (!graph)
		return -ENOMEM;
	graph->options = *options;
	set_defaults(&graph->options);
	pthread_mutex_init(&graph->control, NULL);
	pthread_mutex_init(&graph->users.lock, NULL);
	pthread_mutex_init(&graph->names, NULL);
	pthread_mutex_init(&graph->moves, NULL);
	places_init(&graph->places);
	r = pfs_rings_new(&graph->rings);
	if (r == 0)
		r = pfs_retired_init(graph);
	if (r == 0)
		r = pfs_ticker_new(graph, &graph->ticker);
	if (r == 0)
		r = pfs_decider_new(graph);
	pthread_mutex_lock(&graph->control);
	if (r == 0)
		r = pfs_node_new(graph, NULL, PFS_NODE_ROOT, "", options->uid, &graph->root);
	if (r == 0)
		r = pfs_node_new(graph, NULL, PFS_NODE_ROOT, "", options->uid, &graph->common);
	if (r == 0) {
		graph->common->common = true;
		graph->root->uid = graph->options.uid;
		graph->root->gid = graph->options.gid;
		graph->root->mode = 01777;
		r = make_static(graph);
	}
	pthread_mutex_unlock(&graph->control);
	if (r < 0) {
		pfs_graph_free(graph);
		return r;
	}
	*ret_graph = graph;
	return 0;
}

struct pfs_node *pfs_graph_root(struct pfs_graph *graph)
{
	return graph->root;
}

uint64_t pfs_graph_memory(const struct pfs_graph *graph)
{
	return pfs_due_all((struct pfs_graph *)graph, PFS_DUE_MEMORY);
}

static void wake_everything(struct pfs_node *node)
{
	if (node->queue)
		pfs_wait_wake(&node->queue->waiters);
	if (node->kind == PFS_NODE_SOURCE)
		pfs_wait_wake(&node->domain->space);
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		wake_everything(c);
}

static void stop_feeds(struct pfs_node *node)
{
	if (node->kind == PFS_NODE_SOURCE)
		pfs_feed_stop(node->domain);
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		stop_feeds(c);
}

void pfs_graph_shutdown(struct pfs_graph *graph)
{
	bool outermost = pfs_work_begin_short(graph->options.patience);

	pthread_mutex_lock(&graph->control);
	atomic_store(&graph->shutdown, true);
	stop_feeds(graph->root);
	stop_feeds(graph->common);
	wake_everything(graph->root);
	wake_everything(graph->common);
	if (graph->decider.running)
		pthread_cond_broadcast(&graph->decider.done);
	pthread_mutex_unlock(&graph->control);
	pfs_work_end(outermost);
}

/* From the leaves up, with everything that ever ran stopped. */
static void free_tree(struct pfs_node *node)
{
	while (node->children.first)
		free_tree(node->children.first);
	atomic_store(&node->dead, true);
	pfs_node_finish(node);
	if (node->parent)
		pfs_node_unlink(node);
	else
		pfs_node_unref(node);
}

/* No plan may know a node that free_tree() ends. */
static void drop_plans(struct pfs_node *node)
{
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		drop_plans(c);
	if (node->kind == PFS_NODE_SOURCE)
		pfs_feed_stop(node->domain);
	if (node->task)
		pfs_task_retire(node->task);
}

static void end_tree(struct pfs_node *root)
{
	if (!root)
		return;
	stop_feeds(root);
	drop_plans(root);
	free_tree(root);
}

void pfs_graph_free(struct pfs_graph *graph)
{
	if (!graph)
		return;
	pfs_decider_free(graph);
	pthread_mutex_lock(&graph->control);
	atomic_store(&graph->shutdown, true);
	end_tree(graph->root);
	end_tree(graph->common);
	pthread_mutex_unlock(&graph->control);
	pfs_ticker_free(TAKE_PTR(graph->ticker));
	pfs_retired_release(graph);
	pfs_rings_free(graph->rings);
	pfs_users_release(graph);
	pthread_rwlock_destroy(&graph->places);
	pthread_mutex_destroy(&graph->moves);
	pthread_mutex_destroy(&graph->names);
	pthread_mutex_destroy(&graph->control);
	free(graph);
}
