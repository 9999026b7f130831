/*
 * unix - at the root: what a Unix socket brings
 *
 * Synopsis:   /p/unix:PATH
 *             /p/unix:@NAME
 *
 * mkdir connects, as its maker, to the socket PATH (whole, its slashes as %2f) or to the abstract name; what
 * connect(2) says is what mkdir says (ENOENT, EACCES, ECONNREFUSED; ELOOP: a path in a pipesfs).
 * A stream's bytes are one byte stream; what comes in packets (SOCK_SEQPACKET, SOCK_DGRAM) is a record each. It waits
 * while nobody reads, and the other side with it. When the connection ends readers get end of file, and one that comes
 * later has it connected anew.
 *
 * Stats:      connections, open, received (bytes), address, error (the last)
 * Parameters: none
 * Example:    mkdir /p/unix:%2frun%2facpid.socket; cat /p/unix:%2frun%2facpid.socket/all
 */
#include "source/intake.h"

static int unix_init(void *state, const char *name, const struct pfs_args *args,
		     const struct pfs_place *place, struct pfs_diag *diag)
{
	return intake_init(state, name, PFS_PORTAL_UNIX, false, args, place, diag);
}

const struct pfs_source pfs_source_unix = {
	.name = "unix",
	.summary = "what a Unix socket brings",
	.out = PFS_FLOW_BYTES,
	.init = unix_init,
	INTAKE_SOURCE,
};
