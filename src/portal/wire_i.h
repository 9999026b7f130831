/*
 * wire_i - what a helper and its client say to each other, one message of a SOCK_SEQPACKET a time
 *
 * Both are of the same program, so structs travel as they are. The client believes nothing: sizes, numbers and texts
 * of an answer are checked.
 */
#ifndef PFS_PORTAL_WIRE_I_H
#define PFS_PORTAL_WIRE_I_H

#include "portal/portal.h"

#define PFS_WIRE_MAX ((size_t)64 << 10)
#define PFS_WIRE_TEXT_MAX 1024 /* of an answer */

enum pfs_wire_ask {
	PFS_WIRE_OPEN,
	PFS_WIRE_END,
};

/* Then the strings: path, host, port, each if it has one, and the words of a command, with their NULs. */
struct pfs_wire_request {
	uint32_t type, id;
	int32_t flags;
	uint32_t umask;
	uint32_t kind;
	uint32_t words;
	uint64_t linger;
	bool priv, listen, has_path, has_host, has_port, has_limits;
	struct rlimit limits[RLIM_NLIMITS];
};

enum pfs_wire_tell {
	PFS_WIRE_DONE, /* value: result; the text is its `what`, or the sentence; with a descriptor */
	PFS_WIRE_WAITS,
	PFS_WIRE_SAID,
	PFS_WIRE_ENDED, /* value: status */
	PFS_WIRE_IDLE,	/* it has nothing to do, and would go if nobody wants it */
};

/* Then the text, without NUL. */
struct pfs_wire_answer {
	uint32_t type, id;
	int32_t value;
	uint32_t fd_type;
	int32_t pid;
};

#endif
