/*
 * tcp:HOST:PORT - at the root: the bytes that a TCP connection brings
 *
 * Synopsis:   /p/tcp:HOST:PORT
 *
 * mkdir connects, as its maker: a name is resolved, each of its addresses tried, and what connect(2) says is what mkdir
 * says (ECONNREFUSED, EHOSTUNREACH; ETIMEDOUT after five seconds; ENOENT: no such host). An IPv6 address stands in
 * brackets, tcp:[::1]:80; PORT may be the name of a service. The port of the socket is the kernel's choice.
 *
 * What comes is a byte stream; it waits in the socket, and the other side with it, while nobody reads or who reads is
 * slow. When the connection ends readers get end of file. A reader that comes later has it connected anew; if that
 * fails he gets the end at once, and `error` in .stats says why. Nothing is sent: that is the sink of this name, or the
 * portal tcp/HOST/PORT.
 *
 * Stats:      connections, open, received (bytes), address (ours and theirs, of the first), error (the last)
 * Parameters: none
 * Example:    mkdir -p /p/tcp:localhost:4711/lines/grep:error; cat /p/tcp:localhost:4711/lines/grep:error/all
 */
#include "source/intake.h"

static int tcp_init(void *state, const char *name, const struct pfs_args *args,
		    const struct pfs_place *place, struct pfs_diag *diag)
{
	return intake_init(state, name, PFS_PORTAL_TCP, false, args, place, diag);
}

const struct pfs_source pfs_source_tcp = {
	.name = "tcp",
	.summary = "the bytes that a TCP connection brings",
	.out = PFS_FLOW_BYTES,
	.init = tcp_init,
	INTAKE_SOURCE,
};
