/*
 * process_peer - filters in other processes, as the link (link.h) names them
 *
 * A *peer* is such a process: JOIN makes the channel to it, the next configuration has filters that are in it. What no
 * filter is of any more goes with the configuration that says so, but for calls that are in the filter: their hook, and
 * the channel with it, is put aside until the last of them has its answer, or its end. Nobody waits for that.
 */
#include <stdio.h>
#include <sys/eventfd.h>

#include "redir/process_i.h"
#include "redir/remote.h"

struct rd_linked_peer {
	struct rd_linked_peer *next;
	unsigned refs; /* of the list, and of each hook */
	uint64_t number;
	struct rd_remote *remote;
};

/* Connects a filter of the configuration with its process. */
struct rd_linked_hook {
	struct rd_linked_hook *next;
	char name[RD_NAME_MAX];
	struct rd_linked_peer *peer; /* a reference */
	uint32_t id;
	struct rd_hook *hook; /* a reference */
};

static struct rd_linked_peer *find_peer(const struct rd_process *process, uint64_t number)
{
	struct rd_linked_peer *peer = process->peers;

	while (peer && peer->number != number)
		peer = peer->next;
	return peer;
}

int rd_process_peer_join(struct rd_process *process, uint64_t number, pid_t pid, int *ret_fd,
			 int *ret_memory, struct pfs_diag *diag)
{
	struct rd_linked_peer *peer;
	int r;

	if (!process->layer || find_peer(process, number))
		return pfs_diag_set(diag, EIO, "%s",
				    process->layer ? "that process has joined already"
						   : process->failure.text);
	peer = pfs_zalloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	r = rd_remote_new(pid, &peer->remote, ret_fd, ret_memory);
	if (r < 0) {
		free(peer);
		return r;
	}
	rd_remote_ready(peer->remote, true);
	peer->refs = 1;
	peer->number = number;
	peer->next = process->peers;
	process->peers = peer;
	return 0;
}

static void peer_unref(struct rd_linked_peer *peer)
{
	if (--peer->refs > 0)
		return;
	rd_remote_free(peer->remote);
	free(peer);
}

/* Those that nobody is in any more. */
static void aside_sweep(struct rd_process *process)
{
	for (struct rd_linked_hook **at = &process->aside; *at;) {
		struct rd_linked_hook *linked = *at;

		if (!rd_hook_is_empty(linked->hook, process->empty_fd)) {
			at = &linked->next;
			continue;
		}
		*at = linked->next;
		rd_hook_unref(linked->hook);
		peer_unref(linked->peer);
		free(linked);
	}
}

void rd_process_peers_emptied(struct rd_process *process)
{
	eventfd_t count;

	if (eventfd_read(process->empty_fd, &count) == 0)
		aside_sweep(process);
}

static void put_aside(struct rd_process *process, struct rd_linked_hook *linked)
{
	/* The filter has another one already, or has gone with its hook. */
	(void)rd_config_unhook(process->config, linked->name, linked->hook);
	linked->next = process->aside;
	process->aside = linked;
}

/* The filter is asked in that process from now on; nobody fails between the one that it had and this. */
static int connect_filter(struct rd_process *process, const struct rd_link_filter *filter)
{
	struct rd_linked_peer *peer = find_peer(process, filter->peer);
	struct rd_linked_hook *linked;
	int r;

	if (!peer)
		return 0; /* it fails by its policy */
	linked = pfs_zalloc(1, sizeof(*linked));
	if (!linked)
		return -ENOMEM;
	r = rd_remote_hook(peer->remote, filter->id, &linked->hook);
	if (r < 0) {
		free(linked);
		return r;
	}
	snprintf(linked->name, sizeof(linked->name), "%s", filter->desc.name);
	linked->peer = peer;
	peer->refs++;
	linked->id = filter->id;
	rd_hook_set_wants(process->config, linked->hook, &filter->wants);
	for (struct rd_linked_hook **at = &process->hooks; *at; at = &(*at)->next)
		if (!strcmp((*at)->name, linked->name)) {
			struct rd_linked_hook *old = *at;

			*at = old->next;
			put_aside(process, old);
			break;
		}
	r = rd_config_hook(process->config, linked->name, linked->hook);
	linked->next = process->hooks;
	process->hooks = linked;
	return r;
}

int rd_process_peers_connect(struct rd_process *process, const struct rd_link_config *config)
{
	int r = 0;

	for (size_t i = 0; i < config->n && r == 0; i++) {
		const struct rd_link_filter *filter = &config->filter[i];
		const struct rd_linked_hook *linked = process->hooks;

		while (linked && strcmp(linked->name, filter->desc.name) != 0)
			linked = linked->next;
		if (filter->peer &&
		    (!linked || linked->peer->number != filter->peer || linked->id != filter->id))
			r = connect_filter(process, filter);
	}
	return r;
}

void rd_process_peers_sweep(struct rd_process *process, const struct rd_link_config *config)
{
	for (struct rd_linked_hook **at = &process->hooks; *at;) {
		struct rd_linked_hook *linked = *at;
		const struct rd_link_filter *filter = rd_link_config_find(config, linked->name);

		if (filter && filter->peer == linked->peer->number && filter->id == linked->id) {
			at = &linked->next;
			continue;
		}
		*at = linked->next;
		put_aside(process, linked);
	}
	aside_sweep(process);
	for (struct rd_linked_peer **at = &process->peers; *at;) {
		struct rd_linked_peer *peer = *at;
		size_t i = 0;

		while (i < config->n && config->filter[i].peer != peer->number)
			i++;
		if (i < config->n) {
			at = &peer->next;
			continue;
		}
		*at = peer->next;
		rd_remote_ready(peer->remote, false); /* who is about to ask need not */
		peer_unref(peer);
	}
}
