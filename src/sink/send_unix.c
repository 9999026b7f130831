/*
 * unix:PATH - below a pipeline: send what comes to a Unix socket
 *
 * Synopsis:   …/unix:PATH[,as=raw|pcap][,down=lose|wait]
 *             …/unix:@NAME
 *
 * A sink, as tcp:HOST:PORT is; PATH and errors are those of the source of this name. To a socket of packets each record
 * is one, and a generation does not end the connection.
 *
 * Stats:      connections, open, written (bytes), address, error (the last)
 * Parameters: as=, down=  as of the sink tcp:HOST:PORT
 * Example:    mkdir -p /p/accept/lines/unix:%2fdev%2flog
 */
#include "sink/outflow.h"

static int send_unix_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
			  struct pfs_diag *diag)
{
	return outflow_init(state, PFS_PORTAL_UNIX, false, args, place, diag);
}

const struct pfs_filter pfs_filter_send_unix = {
	.name = "unix",
	.summary = "send what comes to a Unix socket",
	.init = send_unix_init,
	OUTFLOW_SINK,
};
