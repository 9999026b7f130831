#include "graph/shot_i.h"

#include <stdio.h>

#define LOOK UINT64_C(1000000000) /* ns: rates are taken anew when they are that old */

/* --- rates -------------------------------------------------------------------------------------- */

static double per_second(uint64_t now, uint64_t before, uint64_t ns)
{
	return ns ? (double)(now - before) * 1e9 / (double)ns : 0;
}

static void rate_node(struct pfs_node *node, uint64_t now)
{
	struct pfs_rates *rates = &node->rates;
	uint64_t since = pfs_max64(node->born, node->graph->rated_at);
	uint64_t in, out, bytes, lost = pfs_node_lost_sum(node);

	pfs_node_counts(node, &in, &out, &bytes);
	*rates = (struct pfs_rates){
		.in = in,
		.out = out,
		.bytes = bytes,
		.lost = lost,
		.in_rate = per_second(in, rates->in, now - since),
		.out_rate = per_second(out, rates->out, now - since),
		.bytes_rate = per_second(bytes, rates->bytes, now - since),
		.lost_rate = per_second(lost, rates->lost, now - since),
	};
	for (struct pfs_node *c = node->children.first; c; c = c->child.next)
		rate_node(c, now);
}

/* Whoever looks makes the rates, at most once a second: nobody looks, nothing is done. */
static void rate_all(struct pfs_graph *graph, uint64_t now)
{
	if (now - graph->rated_at < LOOK)
		return;
	rate_node(graph->root, now);
	rate_node(graph->common, now);
	graph->rated_over = now - pfs_max64(graph->rated_at, graph->root->born);
	graph->rated_at = now;
}

/* --- one node ------------------------------------------------------------------------------------- */

static const char *kind_of(const struct pfs_node *node)
{
	static const char *const kinds[] = {
		[PFS_NODE_ROOT] = "root",     [PFS_NODE_FOLDER] = "folder",
		[PFS_NODE_SOURCE] = "source", [PFS_NODE_FILTER] = "filter",
		[PFS_NODE_CLASS] = "class",   [PFS_NODE_VIEW] = "view",
		[PFS_NODE_RUN] = "run",
	};

	if (node->filter && (node->filter->flags & PFS_FILTER_SINK))
		return "sink";
	return kinds[node->kind];
}

static const char *flow_of(const struct pfs_node *node)
{
	if (!node->domain)
		return "";
	if (node->flow & PFS_FLOW_PACKETS)
		return "packets";
	if (node->flow & PFS_FLOW_IP)
		return "ip";
	return node->flow & PFS_FLOW_TEXT ? "text" : "bytes";
}

static const char *shape_of(const struct pfs_node *node)
{
	if (!node->domain)
		return "";
	if (node->kind == PFS_NODE_SOURCE)
		return "source";
	return node->task ? "pulling" : "inline";
}

static char *name_of(const struct pfs_node *node)
{
	char *name = NULL;

	if (node->kind != PFS_NODE_VIEW)
		return strdup(node->name);
	return asprintf(&name, "all.%s", node->name) < 0 ? NULL : name;
}

static uint64_t inject_memory(struct pfs_inject *inject)
{
	uint64_t size;

	if (!inject)
		return 0;
	pthread_mutex_lock(&inject->lock);
	size = inject->ring ? inject->ring->size : 0;
	pthread_mutex_unlock(&inject->lock);
	return size;
}

static uint64_t memory_of(const struct pfs_node *node)
{
	uint64_t sum = 0;

	if (node->queue && node->queue_charged)
		sum += node->queue->size * sizeof(struct pfs_ref);
	sum += inject_memory(node->inject);
	if (node->task)
		sum += atomic_load_explicit(&node->task->ring_size, memory_order_relaxed);
	if (node->kind != PFS_NODE_SOURCE)
		return sum;
	pthread_mutex_lock(&node->domain->feed.lock);
	for (const struct pfs_ring *r = node->domain->rings; r; r = r->next)
		sum += r->size;
	pthread_mutex_unlock(&node->domain->feed.lock);
	return sum;
}

static void take_counters(struct pfs_node *node, struct pfs_shot_node *to)
{
	const struct pfs_rates *rates = &node->rates;
	bool fresh = node->born > node->graph->rated_at;
	uint64_t life = pfs_clock_mono() - node->born;

	pfs_node_counts(node, &to->in, &to->out, &to->bytes);
	to->lost = pfs_node_lost_sum(node);
	to->dropped = pfs_node_dropped(node);
	for (size_t i = 0; i < PFS_REASONS_MAX; i++) {
		const char *reason = atomic_load(&node->lost[i].reason);

		if (!reason)
			continue;
		to->reason[to->nreasons].name = reason;
		to->reason[to->nreasons++].n = pfs_counter_get(&node->lost[i].n);
	}
	to->rate_in = fresh ? per_second(to->in, 0, life) : rates->in_rate;
	to->rate_out = fresh ? per_second(to->out, 0, life) : rates->out_rate;
	to->rate_bytes = fresh ? per_second(to->bytes, 0, life) : rates->bytes_rate;
	to->rate_lost = fresh ? per_second(to->lost, 0, life) : rates->lost_rate;
}

/* The names in a run tell of the nodes that they stand for. */
static void take_node(struct pfs_node *name, struct pfs_shot_node *to)
{
	struct pfs_node *node = pfs_node_real(name);
	const struct pfs_node *target = node->join ? pfs_join_node(node->join) : NULL;

	*to = (struct pfs_shot_node){
		.id = name->id,
		.parent = name->parent ? name->parent->id : 0,
		.into = target ? target->id : 0,
		.name = name_of(name),
		.kind = kind_of(node),
		.type = node->filter ? node->filter->name
			: node->from ? node->from->name
				     : "",
		.flow = flow_of(node),
		.shape = shape_of(node),
		.uid = name->uid,
		.gid = name->gid,
		.mode = name->mode,
		.data = node->domain,
		.running = node->wanted,
		.lossy = node->domain && node->domain->lossy,
		.kernel = (node->kind == PFS_NODE_SOURCE && node->wanted && node->from &&
			   node->from->program) ||
			  pfs_decides(node),
		.readers = node->readers,
		.writers = node->inject ? atomic_load(&node->inject->writers) : 0,
		.memory = memory_of(node),
		.shared = node->uses,
	};
	if (node->domain && node->kind == PFS_NODE_SOURCE)
		pfs_decide_sync(node->domain); /* for all below: they come behind */
	if (node->domain)
		take_counters(node, to);
	pfs_readers_sum(node, &to->delivered, &to->missed, &to->lag);
	pfs_node_own_stats(node, &to->stats);
}

/* --- the walk ------------------------------------------------------------------------------------- */

static struct pfs_shot_node *shot_add(struct pfs_shot *shot)
{
	if (shot->n == shot->cap) {
		size_t cap = shot->cap ? shot->cap * 2 : 64;
		void *p = reallocarray(shot->nodes, cap, sizeof(*shot->nodes));

		if (!p) {
			shot->failed = true;
			return NULL;
		}
		shot->nodes = p;
		shot->cap = cap;
	}
	return &shot->nodes[shot->n++];
}

/* Path of the parent; "" is the root's. NULL: no memory. */
static char *dir_of(const struct pfs_node *node)
{
	struct pfs_buf path = { 0 };

	if (node->parent && node->parent->parent)
		pfs_node_path_add(node->parent, &path);
	else
		pfs_buf_add(&path, "", 0);
	if (!path.failed && path.data)
		return path.data;
	pfs_buf_release(&path);
	return path.failed ? NULL : strdup("");
}

static void take_below(struct pfs_shot *shot, struct pfs_node *node, const struct pfs_cred *cred,
		       size_t above, unsigned depth)
{
	bool search = node->kind == PFS_NODE_VIEW || pfs_may(cred, node, PFS_MAY_SEARCH);
	bool read = node->kind == PFS_NODE_VIEW || pfs_may(cred, node, PFS_MAY_SEARCH | PFS_MAY_READ);
	struct pfs_shot_node *to = NULL;

	if (node->kind != PFS_NODE_ROOT && read)
		to = shot_add(shot);
	if (to) {
		take_node(node, to);
		to->above = above;
		to->dir = above == SIZE_MAX ? dir_of(node) : NULL;
		to->depth = depth;
		shot->failed |= !to->name || to->stats.failed || (above == SIZE_MAX && !to->dir);
	}
	above = to ? shot->n - 1 : SIZE_MAX;
	shot->hidden += !read;
	for (struct pfs_node *c = search ? node->children.first : NULL; c && !shot->failed;
	     c = c->child.next)
		if (!atomic_load(&c->dead))
			take_below(shot, c, cred, above, depth + 1);
}

struct users_asked {
	struct pfs_shot *shot;
	const struct pfs_cred *cred;
};

static void take_user(void *arg, uid_t uid, const uint64_t has[PFS_DUES])
{
	struct users_asked *asked = arg;
	struct pfs_shot *shot = asked->shot;
	struct pfs_shot_user *user;

	if (asked->cred->uid != 0 && asked->cred->uid != uid)
		return;
	if (shot->nusers == shot->cap_users) {
		size_t cap = shot->cap_users ? shot->cap_users * 2 : 8;
		void *p = reallocarray(shot->users, cap, sizeof(*shot->users));

		if (!p) {
			shot->failed = true;
			return;
		}
		shot->users = p;
		shot->cap_users = cap;
	}
	user = &shot->users[shot->nusers++];
	user->uid = uid;
	memcpy(user->has, has, sizeof(user->has));
}

int pfs_shot_take(struct pfs_node *top, const struct pfs_cred *cred, struct pfs_shot *shot)
{
	struct pfs_graph *graph = top->graph;
	struct users_asked asked = { .shot = shot, .cred = cred };

	*shot = (struct pfs_shot){ .graph = graph };
	pthread_mutex_lock(&graph->control);
	shot->real = pfs_clock_real();
	shot->mono = pfs_clock_mono();
	rate_all(graph, shot->mono);
	shot->interval = (double)graph->rated_over / 1e9;
	if (!atomic_load(&top->dead))
		take_below(shot, top, cred, SIZE_MAX, 0);
	pthread_mutex_unlock(&graph->control);
	pfs_users_each(graph, take_user, &asked);
	for (int due = 0; due < PFS_DUES; due++)
		shot->used[due] = pfs_due_all(graph, (enum pfs_due)due);
	return shot->failed ? -ENOMEM : 0;
}

void pfs_shot_release(struct pfs_shot *shot)
{
	for (size_t i = 0; i < shot->n; i++) {
		free(shot->nodes[i].name);
		free(shot->nodes[i].dir);
		pfs_buf_release(&shot->nodes[i].stats);
	}
	free(shot->nodes);
	free(shot->users);
	*shot = (struct pfs_shot){ 0 };
}

/* --- looking at it ----------------------------------------------------------------------------------- */

void pfs_shot_path(const struct pfs_shot *shot, size_t index, struct pfs_buf *out)
{
	const struct pfs_shot_node *node = &shot->nodes[index];

	if (node->above != SIZE_MAX)
		pfs_shot_path(shot, node->above, out);
	else
		pfs_buf_str(out, node->dir);
	pfs_buf_str(out, "/");
	pfs_buf_str(out, node->name);
}

void pfs_shot_stats(const struct pfs_shot_node *node,
		    void (*each)(void *arg, const char *name, size_t len, const char *value),
		    void *arg)
{
	for (const char *line = node->stats.data; line && *line;) {
		const char *end = strchrnul(line, '\n');
		const char *blank = memchr(line, ' ', (size_t)(end - line));
		char value[256];

		if (blank) {
			snprintf(value, sizeof(value), "%.*s", (int)(end - blank - 1), blank + 1);
			each(arg, line, (size_t)(blank - line), value);
		}
		line = *end ? end + 1 : end;
	}
}
