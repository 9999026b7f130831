/*
 * udplisten - at the root: UDP datagrams that come to one address
 *
 * Synopsis:   /p/udplisten:HOST:PORT
 *
 * As udp:ANY:PORT, for the address HOST of this machine alone (or ANY for all). mkdir says what bind(2) says
 * (EADDRINUSE, EACCES, EADDRNOTAVAIL: not an address of this machine).
 *
 * Stats:      connections (1), open, received (bytes), address, error
 * Parameters: none
 * Example:    mkdir /p/udplisten:127.0.0.1:5514; cat /p/udplisten:127.0.0.1:5514/all.json
 */
#include "source/intake.h"

static int udplisten_init(void *state, const char *name, const struct pfs_args *args,
			  const struct pfs_place *place, struct pfs_diag *diag)
{
	return intake_init(state, name, PFS_PORTAL_UDP, true, args, place, diag);
}

const struct pfs_source pfs_source_udplisten = {
	.name = "udplisten",
	.summary = "UDP datagrams that come to one address",
	.flags = PFS_SOURCE_LOSSY,
	.out = PFS_FLOW_TEXT,
	.init = udplisten_init,
	INTAKE_SOURCE,
};
