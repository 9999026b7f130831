/*
 * users - what each user has of the graph, and how much of it he may have
 *
 * A user pays for the directories he made and their rings, queues and sockets, whoever they belong to later, and for
 * the pipes he has open. Root and whoever mounted have no share of their own, and an eighth of the whole is for them
 * alone: they can always look, and remove.
 */
#include "graph/graph_i.h"

#define RESERVE 8 /* one part in so many is for who is privileged */

struct pfs_user {
	uid_t uid;
	uint64_t has[PFS_DUES];
	struct pfs_user *next;
};

static bool is_privileged(const struct pfs_graph *graph, uid_t uid)
{
	return uid == 0 || uid == graph->options.uid;
}

uint64_t pfs_due_limit(const struct pfs_graph *graph, enum pfs_due due)
{
	switch (due) {
	case PFS_DUE_NODES:
		return graph->options.nodes_max;
	case PFS_DUE_MEMORY:
		return graph->options.memory_max;
	default:
		return UINT64_MAX;
	}
}

uint64_t pfs_due_share(const struct pfs_graph *graph, enum pfs_due due)
{
	switch (due) {
	case PFS_DUE_NODES:
		return graph->options.user_nodes;
	case PFS_DUE_MEMORY:
		return graph->options.user_memory;
	case PFS_DUE_PROCESSES:
		return graph->options.user_processes;
	case PFS_DUE_SOCKETS:
		return graph->options.user_sockets;
	default:
		return graph->options.user_opens;
	}
}

/* Lock held. The place where the user is, or would be. */
static struct pfs_user **user_at(struct pfs_users *users, uid_t uid)
{
	struct pfs_user **at = &users->buckets[(uid ^ uid >> 8) % PFS_USERS_BUCKETS];

	while (*at && (*at)->uid != uid)
		at = &(*at)->next;
	return at;
}

/* Lock held. */
static int take(struct pfs_graph *graph, uid_t uid, enum pfs_due due, uint64_t n)
{
	struct pfs_users *users = &graph->users;
	struct pfs_user **at = user_at(users, uid);
	uint64_t limit = pfs_due_limit(graph, due), has = *at ? (*at)->has[due] : 0;

	if (!is_privileged(graph, uid)) {
		if (has + n > pfs_due_share(graph, due))
			return -EDQUOT;
		limit -= limit / RESERVE;
	}
	if (users->all[due] + n > limit)
		return due == PFS_DUE_NODES ? -ENOSPC : -ENOMEM;
	if (!*at) {
		*at = pfs_zalloc(1, sizeof(**at));
		if (!*at)
			return -ENOMEM;
		(*at)->uid = uid;
	}
	(*at)->has[due] += n;
	users->all[due] += n;
	return 0;
}

int pfs_due_take(struct pfs_graph *graph, uid_t uid, enum pfs_due due, uint64_t n)
{
	int r;

	pthread_mutex_lock(&graph->users.lock);
	r = take(graph, uid, due, n);
	pthread_mutex_unlock(&graph->users.lock);
	return r;
}

void pfs_due_give(struct pfs_graph *graph, uid_t uid, enum pfs_due due, uint64_t n)
{
	struct pfs_users *users = &graph->users;
	struct pfs_user **at, *user;
	uint64_t left = 0;

	pthread_mutex_lock(&users->lock);
	at = user_at(users, uid);
	user = *at;
	assert(user && user->has[due] >= n);
	user->has[due] -= n;
	users->all[due] -= n;
	for (int i = 0; i < PFS_DUES; i++)
		left |= user->has[i];
	if (!left) {
		*at = user->next;
		free(user);
	}
	pthread_mutex_unlock(&users->lock);
}

int pfs_due_refused(const struct pfs_graph *graph, enum pfs_due due, int r, struct pfs_diag *diag)
{
	static const char *const share[PFS_DUES] = {
		[PFS_DUE_NODES] =
			"you have as many directories as one user may have, %llu (mount option user_nodes=)",
		[PFS_DUE_MEMORY] =
			"your rings and queues are as large as one user's may be, %llu bytes (mount "
			"option user_memory=)",
		[PFS_DUE_PROCESSES] =
			"your commands are as many as one user may have, %llu processes (mount "
			"option user_processes=)",
		[PFS_DUE_OPENS] =
			"you have as many pipes open as one user may have, %llu (mount option user_opens=)",
		[PFS_DUE_SOCKETS] =
			"your directories have as many sockets as one user's may have, %llu (mount option "
			"user_sockets=)",
	};

	if (r == -EDQUOT)
		return pfs_diag_set(diag, EDQUOT, share[due],
				    (unsigned long long)pfs_due_share(graph, due));
	if (r == -ENOSPC && due == PFS_DUE_NODES)
		return pfs_diag_set(diag, ENOSPC,
				    "there are %u directories already (mount option nodes=)",
				    graph->options.nodes_max);
	if (r == -ENOMEM && due == PFS_DUE_MEMORY)
		return pfs_diag_set(diag, ENOMEM,
				    "no memory left for another ring or queue (mount option memory=)");
	return r;
}

int pfs_sockets_take(const struct pfs_purse *purse, struct pfs_diag *diag)
{
	int r = purse->graph ? pfs_due_take(purse->graph, purse->uid, PFS_DUE_SOCKETS, 1) : 0;

	return r < 0 && diag ? pfs_due_refused(purse->graph, PFS_DUE_SOCKETS, r, diag) : r;
}

void pfs_sockets_give(const struct pfs_purse *purse)
{
	if (purse->graph)
		pfs_due_give(purse->graph, purse->uid, PFS_DUE_SOCKETS, 1);
}

int pfs_bytes_take(const struct pfs_purse *purse, size_t n)
{
	return purse->graph ? pfs_due_take(purse->graph, purse->uid, PFS_DUE_MEMORY, n) : 0;
}

void pfs_bytes_give(const struct pfs_purse *purse, size_t n)
{
	if (purse->graph)
		pfs_due_give(purse->graph, purse->uid, PFS_DUE_MEMORY, n);
}

uint64_t pfs_due_all(struct pfs_graph *graph, enum pfs_due due)
{
	uint64_t n;

	pthread_mutex_lock(&graph->users.lock);
	n = graph->users.all[due];
	pthread_mutex_unlock(&graph->users.lock);
	return n;
}

void pfs_users_each(struct pfs_graph *graph,
		    void (*each)(void *arg, uid_t uid, const uint64_t has[PFS_DUES]), void *arg)
{
	pthread_mutex_lock(&graph->users.lock);
	for (size_t i = 0; i < PFS_USERS_BUCKETS; i++)
		for (struct pfs_user *u = graph->users.buckets[i]; u; u = u->next)
			each(arg, u->uid, u->has);
	pthread_mutex_unlock(&graph->users.lock);
}

void pfs_users_release(struct pfs_graph *graph)
{
	for (size_t i = 0; i < PFS_USERS_BUCKETS; i++)
		assert(!graph->users.buckets[i]); /* each has given back what was taken */
	pthread_mutex_destroy(&graph->users.lock);
}
