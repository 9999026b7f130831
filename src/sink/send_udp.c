/*
 * udp:HOST:PORT - below a pipeline: send each record as a UDP datagram
 *
 * Synopsis:   …/udp:HOST:PORT
 *
 * A sink: consumes by itself, as long as the directory exists. mkdir resolves the name, as its maker (ENOENT: no such
 * host). Each record that comes is a datagram; one that is too long for that (65,507 bytes) is lost, "oversize", and
 * each that the other side says it could not deliver, "refused". Nobody else says whether a datagram has come.
 *
 * Stats:      connections (1), open, written (bytes), address (ours and theirs), error (the last)
 * Parameters: none
 * Example:    mkdir -p /p/accept/lines/udp:loghost:514; journalctl -f > /p/accept/all
 */
#include "sink/outflow.h"

static int send_udp_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
			 struct pfs_diag *diag)
{
	return outflow_init(state, PFS_PORTAL_UDP, false, args, place, diag);
}

const struct pfs_filter pfs_filter_send_udp = {
	.name = "udp",
	.summary = "send each record as a UDP datagram",
	.init = send_udp_init,
	OUTFLOW_SINK,
};
