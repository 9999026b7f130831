/*
 * tcplisten - at the root: the bytes that TCP clients send
 *
 * Synopsis:   /p/tcplisten:HOST:PORT[,clients=N]
 *             /p/tcplisten:ANY:PORT
 *
 * mkdir listens, as its maker, on that address of this machine, or on all, and as long as the directory exists; what
 * bind(2) says is what mkdir says (EADDRINUSE; EACCES: a port below 1024 for who may not). Clients are accepted while
 * there is a consumer, and wait in the listener's queue until then.
 *
 * Each connection is a stream of its own, as each process that writes to accept is: `lines` below never mixes two.
 * When nobody reads, or who reads is slow, the clients wait. Clients come and go; the directory has no end by itself.
 *
 * Stats:      connections (that came), open (now), received (bytes), address (where it listens), error (of the last
 *             connection that was broken off)
 * Parameters: clients=N  connections at a time, 1 to 4096 (default 256); others wait in the queue, as those do that are
 *                        beyond their maker's share of sockets (mount option user_sockets=)
 * Example:    mkdir -p /p/tcplisten:ANY:5140/lines/grep:error; cat /p/tcplisten:ANY:5140/lines/grep:error/all
 */
#include "source/intake.h"

static int tcplisten_init(void *state, const char *name, const struct pfs_args *args,
			  const struct pfs_place *place, struct pfs_diag *diag)
{
	return intake_init(state, name, PFS_PORTAL_TCPLISTEN, true, args, place, diag);
}

const struct pfs_source pfs_source_tcplisten = {
	.name = "tcplisten",
	.summary = "the bytes that TCP clients send",
	.out = PFS_FLOW_BYTES,
	.params = intake_listen_params,
	.init = tcplisten_init,
	INTAKE_SOURCE,
};
