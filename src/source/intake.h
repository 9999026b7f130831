/*
 * intake - what the sources share that read sockets: tcp, tcplisten, udp, udplisten, unix, unixlisten
 *
 * mkdir opens the socket, as its maker (portal/dial.h), so that its errors are those of mkdir. Bytes and connections
 * wait in it until there is a consumer, and again when the last one has left. A connection that has ended is the end of
 * the generation; a consumer that comes later opens another one. What listens goes on for ever.
 *
 * Each connection that is accepted is a stream of its own, with an origin of its own (its peer) as long as there are
 * numbers; a datagram is a record.
 *
 * Sockets are of the maker's share (mount option user_sockets=). Beyond it mkdir fails, and clients wait in the
 * listener's queue.
 *
 * Threads: as of graph/source.h: init and fini on the control thread, the rest on the source's own.
 */
#ifndef PFS_SOURCE_INTAKE_H
#define PFS_SOURCE_INTAKE_H

#include "graph/source.h"
#include "portal/dial.h"

struct intake_connection {
	int fd; /* owned; -1: over */
	uint32_t stream;
	uint16_t origin;
	bool has_origin; /* asked for in this run */
	char peer[60];
};

struct intake {
	struct pfs_dial dial;
	struct pfs_purse purse;
	bool paid;    /* for the socket of the directory; each client that was accepted pays, too */
	int listener; /* owned; -1: none */
	bool packets;
	unsigned max;			      /* connections at a time */
	struct intake_connection *connection; /* owned; [n] */
	unsigned n;
	uint32_t next_stream;
	uint64_t full_until; /* ns: no descriptors for more connections */
	uint32_t dropped;    /* datagrams, by the kernel, so far */
	char *name;	     /* owned: the origin's */
	char address[128];   /* what mkdir has opened: "LOCAL PEER", or where it listens */

	pfs_counter accepted, bytes; /* these counters' writer is the source's thread */
	_Atomic unsigned open;
	_Atomic int error; /* of the last connection, positive */
};

#define INTAKE_CLIENTS 256 /* default of clients= */

/* clients= */
extern const struct pfs_param intake_listen_params[];

/* For init: opens. name: of the source, for origins. */
int intake_init(struct intake *intake, const char *name, enum pfs_portal_kind kind, bool listen,
		const struct pfs_args *args, const struct pfs_place *place, struct pfs_diag *diag);

void intake_fini(void *state);
int intake_run(void *state, struct pfs_feed *feed);
void intake_stats(void *state, struct pfs_buf *out);

/* Of each of them, beside its name, summary, flags, out, params and init. */
#define INTAKE_SOURCE                                                            \
	.has_arg = true, .needs_arg = true, .state_size = sizeof(struct intake), \
	.fini = intake_fini, .run = intake_run, .stats = intake_stats

#endif
