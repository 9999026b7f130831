/*
 * tcplisten:HOST:PORT - below a pipeline: send what comes to all TCP clients
 *
 * Synopsis:   …/tcplisten:HOST:PORT[,as=raw|pcap][,clients=N]
 *             …/tcplisten:ANY:PORT
 *
 * A sink: consumes by itself, as long as the directory exists. mkdir listens, with the errors of the source of this
 * name. Each client gets every record from when it has come on. Without a client records wait, and who writes them;
 * behind devices and hooks records are lost then, "overrun". Clients are served together, so that the slowest holds up
 * all; one that takes nothing for a minute is closed. What clients say is not read.
 *
 * At the end of a generation their connections are closed, when they have got everything; who comes then gets the next.
 *
 * Stats:      connections (that came), open (now), written (bytes, to all together), address (where it listens), error
 * Parameters: as=       as of the sink tcp: raw or pcap, a capture file for each client
 *             clients=  at a time, 1 to 1024 (default 64); others wait in the listener's queue, as those do that are
 *                       beyond their maker's share of sockets (mount option user_sockets=)
 * Example:    mkdir -p /p/dev/eth0/tcplisten:ANY:9999,as=pcap      ... and elsewhere: nc HOST 9999 | tshark -r -
 */
#include "sink/outflow.h"

static int send_tcplisten_init(void *state, const struct pfs_args *args,
			       const struct pfs_place *place, struct pfs_diag *diag)
{
	return outflow_init(state, PFS_PORTAL_TCPLISTEN, true, args, place, diag);
}

const struct pfs_filter pfs_filter_send_tcplisten = {
	.name = "tcplisten",
	.summary = "send what comes to all TCP clients",
	.init = send_tcplisten_init,
	OUTFLOW_SINK,
};
