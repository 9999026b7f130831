/*
 * outflow - what the sinks share that write to sockets: tcp, tcplisten, udp, unix
 *
 * mkdir opens the socket, as its maker (portal/dial.h), so that its errors are those of mkdir. Records go out one after
 * the other; into a socket of datagrams each is one. What the other side does not take holds up who writes to the sink
 * (behind devices and hooks records are lost then, by the engine).
 *
 * A stream is closed at the end of a generation, and another one opened for the next. One that is broken off is opened
 * again, soon and then less often; meanwhile records are lost, or wait (down=wait).
 *
 * tcplisten gives each record to all clients that are there, to the slowest of them last; without any it waits.
 *
 * Sockets are of the maker's share (mount option user_sockets=). Beyond it mkdir fails, and clients wait in the
 * listener's queue.
 *
 * Threads: as of graph/filter.h.
 */
#ifndef PFS_SINK_OUTFLOW_H
#define PFS_SINK_OUTFLOW_H

#include "graph/filter.h"
#include "packet/pour.h"
#include "portal/dial.h"

struct outflow_peer {
	struct pkt_pour pour; /* owns the descriptor */
	size_t ahead;	      /* how many of the records at the head of the input it has had */
	bool waits;	      /* full: epoll tells when it is not */
	bool heard_end;	      /* it says no more */
};

struct outflow {
	struct pfs_dial dial;
	struct pfs_purse purse;
	bool paid; /* for the socket of the directory; each client that was accepted pays, too */
	int epoll_fd, listener; /* owned; listener -1: none */
	bool packets, pcap;
	bool patient; /* down=wait */
	uint16_t link_type;
	unsigned max;
	struct outflow_peer *peer; /* owned; [n] */
	unsigned n;
	size_t had; /* records at the head of the input that one who has gone has had */
	bool skip;  /* a part of the record after these went with him */
	bool full;  /* no room or no descriptors for more clients: not listening, until retry_at */
	bool ending, said;
	uint64_t retry_at, leave_by; /* ns, monotonic */
	unsigned failures;	     /* in a row */
	char address[128];	     /* what mkdir has opened */
	struct pkt_pour_room room;

	pfs_counter accepted, written; /* these counters' writer is the worker */
	_Atomic unsigned open;
	_Atomic int error; /* of the last connection, positive */
};

#define OUTFLOW_CLIENTS 64 /* default of clients= */

/* as=, down=, clients= */
extern const struct pfs_param outflow_params[];

int outflow_init(struct outflow *out, enum pfs_portal_kind kind, bool listen,
		 const struct pfs_args *args, const struct pfs_place *place, struct pfs_diag *diag);

void outflow_fini(void *state);
size_t outflow_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		    uint64_t *ret_wait);
bool outflow_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
		     struct pfs_emitter *out);
void outflow_stats(void *state, struct pfs_buf *out);
int outflow_ready_fd(void *state);

/* Of each of them, beside its name, summary and init. */
#define OUTFLOW_SINK                                                                           \
	.flags = PFS_FILTER_SINK | PFS_FILTER_ASYNC, .in = PFS_FLOW_ANY, .out = PFS_FLOW_SAME, \
	.processes = 1, .has_arg = true, .needs_arg = true, .params = outflow_params,          \
	.state_size = sizeof(struct outflow), .fini = outflow_fini, .pull = outflow_pull,      \
	.control = outflow_control, .stats = outflow_stats, .ready_fd = outflow_ready_fd

#endif
