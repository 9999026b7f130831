/*
 * udp:ANY:PORT - at the root: UDP datagrams
 *
 * Synopsis:   /p/udp:ANY:PORT
 *             /p/udp:HOST:PORT
 *
 * With ANY the port is taken, for all addresses of this machine, and each datagram that comes there from anybody is a
 * record, with its sender as origin and the time at which the kernel got it; udplisten takes it for one address. With a
 * host, only datagrams that come from there, to a port that the kernel has chosen (`address` in .stats).
 *
 * Nobody waits: what a slow reader has not read in time is lost to him, "overrun"; what comes faster than it can be
 * taken, or while there is no consumer and the socket is full, is lost, "socket buffer full". Datagrams without bytes
 * are left out, "empty". Each record is a datagram already: no `lines` is needed.
 *
 * Stats:      connections (1), open, received (bytes), address, error
 * Parameters: none
 * Example:    mkdir -p /p/udp:ANY:514/grep:error; cat /p/udp:ANY:514/grep:error/all
 */
#include "source/intake.h"

static int udp_init(void *state, const char *name, const struct pfs_args *args,
		    const struct pfs_place *place, struct pfs_diag *diag)
{
	return intake_init(state, name, PFS_PORTAL_UDP, false, args, place, diag);
}

const struct pfs_source pfs_source_udp = {
	.name = "udp",
	.summary = "UDP datagrams",
	.flags = PFS_SOURCE_LOSSY,
	.out = PFS_FLOW_TEXT,
	.init = udp_init,
	INTAKE_SOURCE,
};
