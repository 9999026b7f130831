/*
 * tcp:HOST:PORT - below a pipeline: send what comes over a TCP connection
 *
 * Synopsis:   …/tcp:HOST:PORT[,as=raw|pcap][,down=lose|wait]
 *
 * A sink: consumes by itself, as long as the directory exists. mkdir connects, as its maker, with the errors of the
 * source of this name (/p/tcp:HOST:PORT). Records go out one after the other, packets as their bare bytes or as a
 * capture file. While the other side does not take them, who writes waits; behind devices and hooks records are lost
 * then, "overrun". What the other side says is not read.
 *
 * At the end of a generation the connection is closed, in order; the next generation has another one. One that the
 * other side closes or breaks off is opened again, after 0.1 to 5 seconds. Until then records are lost, "not
 * connected", and .errors says so once; or they wait. A record that was cut by the end is lost, "connection lost";
 * what had been sent, but not yet read there, nobody can count.
 *
 * Stats:      connections, open, written (bytes), address (ours and theirs, of the first), error (the last)
 * Parameters: as=    raw (default), or pcap: a capture file with nanoseconds (packets of another link type than the
 *                    first are lost, "link type"); of packets
 *             down=  lose (default) or wait: records, while the other side is not there
 * Example:    mkdir -p /p/dev/lo/tcp/port/80/tcp:collector:9999
 */
#include "sink/outflow.h"

static int send_tcp_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
			 struct pfs_diag *diag)
{
	return outflow_init(state, PFS_PORTAL_TCP, false, args, place, diag);
}

const struct pfs_filter pfs_filter_send_tcp = {
	.name = "tcp",
	.summary = "send what comes over a TCP connection",
	.init = send_tcp_init,
	OUTFLOW_SINK,
};
