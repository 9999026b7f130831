/*
 * unixlisten - at the root: the bytes that clients of a Unix socket send
 *
 * Synopsis:   /p/unixlisten:PATH[,clients=N]
 *             /p/unixlisten:@NAME
 *
 * As tcplisten, on a Unix socket of streams: PATH (whole, its slashes as %2f), made as the maker with his umask, or an
 * abstract name. What bind(2) says is what mkdir says: EADDRINUSE, where there is something already; but a socket that
 * nobody listens to any more is replaced. EACCES, ENOENT, ELOOP: a path in a pipesfs. The name of the last part has at
 * most 80 bytes or so (ENAMETOOLONG). With the directory the listener goes, and leaves its name behind.
 *
 * Each connection is a stream of its own; `from` in all.json says which process and user opened it.
 *
 * Stats:      connections (that came), open (now), received (bytes), address (where it listens), error (of the last
 *             connection that was broken off)
 * Parameters: clients=N  as of tcplisten
 * Example:    mkdir -p /p/unixlisten:%2frun%2flines/lines; echo hello | socat - UNIX-CONNECT:/run/lines
 */
#include "source/intake.h"

static int unixlisten_init(void *state, const char *name, const struct pfs_args *args,
			   const struct pfs_place *place, struct pfs_diag *diag)
{
	return intake_init(state, name, PFS_PORTAL_UNIX, true, args, place, diag);
}

const struct pfs_source pfs_source_unixlisten = {
	.name = "unixlisten",
	.summary = "the bytes that clients of a Unix socket send",
	.out = PFS_FLOW_BYTES,
	.params = intake_listen_params,
	.init = unixlisten_init,
	INTAKE_SOURCE,
};
