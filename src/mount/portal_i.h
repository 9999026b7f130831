/*
 * portal_i - portals in the mount: tcp/HOST/PORT, pipe/COMMAND ... (src/portal)
 *
 *	portal.c	names: which are directories, which files; attributes
 *	portal_ask.c	what the caller's own path says about that
 *	portal_open.c	OPEN as the caller, RELEASE
 *	portal_io.c	READ, WRITE, poll: the relay
 *	portal_tube.c	large answers to READ
 *	portal_flush.c	what close(2) says of a command that was written to
 *	portal_gate.c	the thread that hears helpers and descriptors; rules
 *
 * FUSE tells one component after the other and never which is the last, while a portal's slashes are its arguments.
 * The type of a component must be told at LOOKUP. So the path that the caller gave to its system call is read, for
 * this choice and for slashes that the kernel has collapsed, never for a right. What it does not tell is guessed
 * from the portal's form; a guess that it is a directory is corrected when it is opened as a file (ESTALE makes the
 * kernel walk again).
 *
 * Whoever looks a portal up acts on nothing. Each LOOKUP of a file gives a nodeid of its own, as each open of it will
 * be another connection; its st_ino is that of the path.
 */
#ifndef PFS_MOUNT_PORTAL_I_H
#define PFS_MOUNT_PORTAL_I_H

#include <sys/ioctl.h>

#include "base/hash.h"
#include "mount/channel_i.h"
#include "portal/helper.h"

#define PFS_PORTAL_TEXT_MAX 4096 /* as a path: longer ones the kernel refuses */
#define PFS_FLIPS 32

/* ioctl(2): shutdown(2) of a connection; the int is SHUT_RD, SHUT_WR or SHUT_RDWR. 0x40047070. */
#define PFS_PORTAL_SHUTDOWN _IOW('p', 0x70, int)

struct pfs_flush;

struct pfs_gate {
	struct pfs_mount *mount; /* borrowed */
	struct pfs_seed seed;
	struct pfs_helpers *helpers;
	struct pfs_pool pool; /* short work: who the caller is, helpers to be started, files to be read */
	struct pfs_pool asks;  /* callers' paths, whose memory may make us wait */
	int epoll_fd, wake_fd; /* wake_fd: an eventfd, the graveyard or the end */
	pthread_t thread;
	bool running;
	_Atomic bool ending;
	pthread_mutex_t lock;
	struct pfs_portal_rules *rules; /* lock */
	struct pfs_portal *graves;	/* lock: nobody refers to them any more */
	unsigned open;			/* lock: portals that are not freed */
	struct {
		pid_t tid;
		uint64_t hash, at;
	} flips[PFS_FLIPS]; /* lock: directories that were opened as files just now */
	unsigned next_flip;
};

/* A portal that is open, or being opened. */
struct pfs_portal {
	struct pfs_channel channel;
	struct pfs_gate *gate; /* borrowed */
	struct pfs_portal_opening opening;
	struct pfs_cred cred;
	struct pfs_job job;   /* to begin; in the end, to close what may wait */
	struct pfs_held held; /* the OPEN */
	int flags;
	int fd; /* owned; -1: not open yet */
	enum pfs_portal_type type;
	bool command, polled_fd;
	struct pfs_waitlist in, out; /* who waits for fd */
	pthread_mutex_t arm;
	ssize_t before;	    /* who serves the read lane: what the last read got */
	_Atomic bool eof;   /* its output has ended, but not yet the command */
	_Atomic bool ended; /* the command, with status */
	int status;
	_Atomic unsigned flushed;  /* closes of copies so far */
	struct pfs_flush *flushes; /* lock of channel: wait for the command's end */
	struct pfs_portal *next;   /* graves */
};

static inline struct pfs_portal *pfs_portal_of(struct pfs_channel *channel)
{
	return CONTAINER_OF(channel, struct pfs_portal, channel);
}

/* --- portal_gate.c ------------------------------------------------------------------- */

struct pfs_portal_rules *pfs_gate_rules(struct pfs_gate *gate); /* a reference */
uint64_t pfs_gate_hash(const struct pfs_gate *gate, const char *text);
/* Nobody refers to it: freed by the gate's thread. */
void pfs_gate_bury(struct pfs_portal *portal);
/* Frees it; the gate's thread. */
void pfs_portal_free(struct pfs_portal *portal);

/* --- portal_ask.c ---------------------------------------------------------------------- */

enum pfs_answer {
	PFS_ANSWER_UNKNOWN,
	PFS_ANSWER_DIR,
	PFS_ANSWER_FILE,
};

/*
 * Is text ("pipe/bin/ls") the end of the path that thread tid is walking? *ret_raw (owned): the same with the
 * slashes as they were written; *ret_flags: of its open(2), 0 if it is none. May wait for the caller's memory.
 */
enum pfs_answer pfs_portal_asked(struct pfs_gate *gate, pid_t tid, const char *text, char **ret_raw,
				 int *ret_flags);

/* --- portal_io.c --------------------------------------------------------------------------- */

extern const struct pfs_channel_ops pfs_portal_ops;
void pfs_portal_read(struct pfs_file *file, fuse_req_t req, size_t size, off_t off, int flags);
void pfs_portal_write(struct pfs_file *file, fuse_req_t req, const char *bytes, size_t size,
		      off_t off, int flags);
int pfs_portal_ioctl(struct pfs_file *file, unsigned command, int value);
/* The gate's thread: epoll has said something of its descriptor. */
void pfs_portal_event(struct pfs_portal *portal, uint32_t events);
/* The command has ended: who waits for that goes on. */
void pfs_portal_command_ended(struct pfs_portal *portal);

/* --- portal_tube.c -------------------------------------------------------------------------- */

struct pfs_tube;
/* NULL: no memory or descriptors. */
struct pfs_tube *pfs_tube_get(void);
void pfs_tube_put(struct pfs_tube *tube);
/* Up to size bytes of a socket or pipe that does not block; how many, 0 at its end, -errno. */
ssize_t pfs_tube_take(struct pfs_tube *tube, int fd, size_t size);
/* Answers a READ, the kernel's number of which is unique, with all that was taken. */
void pfs_tube_answer(struct pfs_tube *tube, struct pfs_mount *mount, fuse_req_t req, uint64_t unique);
/* No portal is open: those that are kept for the next answers are freed. */
void pfs_tubes_drop(void);

/* --- portal_flush.c ----------------------------------------------------------------------------- */

void pfs_portal_flush(struct pfs_file *file, fuse_req_t req);
/* The command has ended: who closes it hears. */
void pfs_portal_flushed(struct pfs_portal *portal);

/* --- portal_open.c --------------------------------------------------------------------------- */

void pfs_portal_open_request(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry,
			     struct fuse_file_info *fi);
void pfs_portal_release(struct pfs_file *file);

#endif
