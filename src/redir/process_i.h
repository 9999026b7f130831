/*
 * process_i - the server of a redirected tree
 *
 *	process.c		keeper and server, from mounting to the end
 *	process_link.c		what comes through the link (link.h): the configuration, again and again
 *	process_peer.c		filters in other processes that it names
 */
#ifndef RD_PROCESS_I_H
#define RD_PROCESS_I_H

#include <pthread.h>

#include "base/keeper.h"
#include "redir/inproc.h"
#include "redir/link.h"
#include "redir/process.h"
#include "redir/serve.h"

/* Of a shared object that the link has named. */
struct rd_linked_module {
	struct rd_linked_module *next;
	char name[RD_NAME_MAX];
	struct rd_module *module;
};

/* Somebody reads the operations of a filter. */
struct rd_linked_watch {
	struct rd_linked_watch *next;
	char name[RD_NAME_MAX];
	int64_t number;
	struct rd_tap *tap; /* a reference */
};

struct rd_process {
	const struct rd_process_options *options;
	struct rd_layer *layer;	  /* NULL: it could not be mounted */
	struct rd_config *config; /* NULL: no filters */
	struct rd_module **modules;
	size_t n_modules;
	struct rd_server *server;
	struct pfs_kept kept;
	/* The link's, and its thread's. */
	int link_fd;  /* -1: none */
	int begin_fd; /* readable when all is mounted */
	int begun_fd; /* its other end */
	pthread_t link_thread;
	struct pfs_diag failure;    /* why it could not be mounted */
	struct rd_link_config have; /* what is in force */
	struct rd_linked_module *linked;
	struct rd_linked_watch *watches;
	struct rd_linked_peer *peers;
	struct rd_linked_hook *hooks;
	struct rd_linked_hook *aside; /* of no filter any more, with calls in them */
	int empty_fd;		      /* readable when one of these has none; -1: no link */
};

#define RD_MODULE_ARGS 64
/* The words between commas, in copy, which is changed. How many: argv has room for RD_MODULE_ARGS. -E2BIG. */
int rd_process_args(char *copy, char **argv, struct pfs_diag *diag);

/* Waits until something comes. False: the link has ended. */
bool rd_process_link_wait(const struct rd_process *process);
/* Answers until the link ends, or nonsense comes; then it is shut down. Without a layer: that it was not mounted. */
void rd_process_link_serve(struct rd_process *process);
/* The same on a thread of its own, once begin_fd says so. */
int rd_process_link_start(struct rd_process *process);
/* Ends the link. False: the thread is still at work, perhaps in a shared object. */
bool rd_process_link_join(struct rd_process *process, unsigned milliseconds);
/*
 * Filters in other processes. A process that a later configuration has filters of; both descriptors are for it.
 */
int rd_process_peer_join(struct rd_process *process, uint64_t number, pid_t pid, int *ret_fd,
			 int *ret_memory, struct pfs_diag *diag);
/* Before the configuration is in force: filters that it has in other processes than before are asked there. */
int rd_process_peers_connect(struct rd_process *process, const struct rd_link_config *config);
/* When it is: hooks and processes that it has no use for go, at the latest when empty_fd says so. */
void rd_process_peers_sweep(struct rd_process *process, const struct rd_link_config *config);
void rd_process_peers_emptied(struct rd_process *process);

/* The layer has gone: shared objects go. */
void rd_process_link_release(struct rd_process *process);

#endif
