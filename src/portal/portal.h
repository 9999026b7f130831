/*
 * portal - paths that are sockets, processes and files
 *
 *	fs/PATH					opens PATH
 *	tcp/HOST/PORT[/priv]			connects; priv: from a port below 1024, for root
 *	tcplisten/HOST|ANY/PORT[,linger=TIME]	accepts one connection; the listener stays for the next
 *	udp/HOST|ANY/PORT			datagrams to and from there; ANY: receives
 *	unix/PATH				connects to a socket of any type; unix/@NAME: an abstract one
 *	pipe/PATH ARGUMENTS			runs a command: read its output, or write its input
 *
 * Three steps, none of which knows FUSE:
 *
 *	pfs_portal_shape()	is this path a directory, a portal, or both? Looks at the text only.
 *	pfs_portal_parse()	path and rules (portal/conf.h) -> plan. Pure.
 *	pfs_portal_open()	plan -> descriptor, in this process and as whoever it is. Never waits; the answer is a
 *				callback.
 *
 * Paths are what follows the mount point, without a leading slash: "tcp/localhost/smtp". In a component, %2f is a
 * slash, %2e a dot, and %25 before one of these a percent sign; every other % is itself.
 *
 * Threads: shape and parse any. A struct pfs_portals and all that is opened with it belongs to one thread. It forks
 * (commands; what may wait: names to be resolved, files to be opened), so the process should have one thread, or do
 * what helper processes are for (portal/helper.h): they run this with the rights of others.
 *
 *	struct pfs_portals *portals;
 *	pfs_portals_new(&portals);
 *	opening->done = ...;
 *	pfs_portal_open(portals, opening);
 *	for (;;) {
 *		poll(pfs_portals_fd(portals), ...);
 *		pfs_portals_run(portals);		callbacks come from here only
 *	}
 */
#ifndef PFS_PORTAL_PORTAL_H
#define PFS_PORTAL_PORTAL_H

#include <sys/resource.h>
#include <sys/stat.h>

#include "base/argv.h"
#include "portal/conf.h"

/* --- what a path is ------------------------------------------------------------------------ */

enum pfs_portal_shape {
	PFS_SHAPE_NONE,	  /* no rule could match this or anything below it */
	PFS_SHAPE_DIR,	  /* something must follow: tcp, tcp/HOST, pipe */
	PFS_SHAPE_FILE,	  /* complete: tcp/HOST/PORT/priv */
	PFS_SHAPE_EITHER, /* complete, and more may follow; usually a file: tcp/HOST/PORT */
	PFS_SHAPE_OPEN,	  /* may end anywhere: fs/etc, pipe/bin/ls */
};

/* path: "tcp/localhost", slashes in a row count as one. */
enum pfs_portal_shape pfs_portal_shape(const struct pfs_portal_rules *rules, const char *path);

/*
 * What stat(2) says of a portal: a file of size 0 that anybody may open, made now. directory: 0555. Owner and numbers
 * stay as they are.
 */
void pfs_portal_stat(bool directory, struct stat *st);

/* --- what is to be done --------------------------------------------------------------------- */

enum pfs_portal_kind {
	PFS_PORTAL_FILE,
	PFS_PORTAL_TCP,
	PFS_PORTAL_TCPLISTEN,
	PFS_PORTAL_UDP,
	PFS_PORTAL_UNIX,
	PFS_PORTAL_COMMAND,
};

struct pfs_portal_plan {
	enum pfs_portal_kind kind;
	char *path;	 /* file, unix: absolute, or '@' and an abstract name; owned */
	char *host;	 /* sockets: name or address; NULL: ANY; owned */
	char *port;	 /* sockets: name or number; owned */
	bool priv;	 /* tcp */
	uint64_t linger; /* tcplisten: ns that the listener stays after its last connection was closed */
	/* tcplisten, unix: what is opened is the listener itself; udp: bound to host, not connected */
	bool listen;
	struct pfs_argv argv; /* command: argv[0] is absolute, or (rfilter, wfilter) looked for in the clean PATH */
	bool read_only, write_only; /* command by rfilter, wfilter */
};

#define PFS_PORTAL_PLAN PFS_CLEANUP(pfs_portal_plan_release)

/*
 * collapsed: the kernel has made one slash of two, so a URL's get back what they lost (http:/host/x, file:/x).
 * access: O_RDONLY, O_WRONLY, O_RDWR.
 *
 * -ENOENT: no rule matches; nothing after the prefix; an empty command. -EISDIR: something is missing (tcp/HOST).
 * -EINVAL: a command for reading and writing; no such port or service; a suffix other than priv; a bad parameter; a
 * quote that is not closed. -EACCES: the wrong direction for an rfilter or wfilter. -ENAMETOOLONG; -ENOMEM. The
 * sentence is in diag.
 */
int pfs_portal_parse(const struct pfs_portal_rules *rules, const char *path, bool collapsed,
		     int access, struct pfs_portal_plan *ret_plan, struct pfs_diag *diag);
void pfs_portal_plan_release(struct pfs_portal_plan *plan);

/* --- doing it ---------------------------------------------------------------------------------- */

/* What the descriptor is, for who relays it. */
enum pfs_portal_type {
	PFS_PORTAL_STREAM,   /* a socket without boundaries: half-close by shutdown(2) */
	PFS_PORTAL_PACKETS,  /* a socket with: one read, one datagram */
	PFS_PORTAL_LISTENER, /* a socket that accepts; not blocking */
	PFS_PORTAL_PIPE, /* a pipe, FIFO, terminal, character device: read, write, poll; no offset */
	PFS_PORTAL_SEEKABLE, /* a regular file or block device: has offsets, is always ready, may wait */
};

struct pfs_portal_opening;

struct pfs_portal_result {
	int fd; /* the callee's from here on; O_CLOEXEC, and O_NONBLOCK if that was asked for */
	enum pfs_portal_type type;
	pid_t pid; /* command */
	/* "10.0.0.1:40000 10.0.0.2:25", "pid 4711": for people */
	char what[128];
};

/*
 * One open: made by the caller, filled in up to arg, alive until pfs_portal_end().
 *
 *	waits	tcplisten: it listens there, "[::]:40001", and nobody has come yet; may come from pfs_portal_open()
 *	done	once: 0 and the result, or -errno and the sentence
 *	said	command: a line that it wrote to stderr, without newline, at most 1000 bytes, any byte in it
 *	ended	command: it has ended, with status as from waitpid(2); after the last said
 *
 * Errors of done: what open(2), connect(2), bind(2), execv(2) say. -ENOENT: no such host; the sentence tells it
 * from no such file. -ELOOP: fs/ and unix/ into a pipesfs. -EISDIR: a directory. -EPERM: priv without root.
 * -EAGAIN: no more processes.
 */
struct pfs_portal_opening {
	const struct pfs_portal_plan *plan; /* borrowed until done */
	/* Of open(2): O_ACCMODE, O_NONBLOCK, O_APPEND, O_TRUNC, O_CREAT, O_EXCL, O_NOFOLLOW, O_DIRECT, O_SYNC. */
	int flags;
	mode_t umask; /* for O_CREAT, and of commands */
	const struct rlimit *limits; /* of commands, RLIM_NLIMITS of them, borrowed until done; NULL: this process's */
	void (*done)(struct pfs_portal_opening *opening, int result,
		     const struct pfs_portal_result *res, const struct pfs_diag *diag);
	void (*waits)(struct pfs_portal_opening *opening, const char *where);
	void (*said)(struct pfs_portal_opening *opening, const char *line, size_t len);
	void (*ended)(struct pfs_portal_opening *opening, int status);
	void *arg;
	bool terse;		      /* nobody wants to read `what` of the result */
	struct pfs_portal_work *work; /* private */
	struct pfs_helper_call *call; /* private to portal/helper.h */
};

struct pfs_portals;

int pfs_portals_new(struct pfs_portals **ret_portals);
/* Ends listeners and commands. Every opening has been ended. NULL is fine. */
void pfs_portals_free(struct pfs_portals *portals);

/* Readable: pfs_portals_run() has something to do. One descriptor for all, time included. */
int pfs_portals_fd(const struct pfs_portals *portals);
/* Does what can be done without waiting. */
void pfs_portals_run(struct pfs_portals *portals);
/* Nothing is open, runs or lingers: the process may go. */
bool pfs_portals_idle(const struct pfs_portals *portals);
/* Nothing lingers any more: listeners go, processes that run are told to end (SIGTERM, two seconds later SIGKILL). */
void pfs_portals_terminate(struct pfs_portals *portals);

/* Begins: 0, and done() comes later from pfs_portals_run(), never from here. -ENOMEM: it does not come. */
int pfs_portal_open(struct pfs_portals *portals, struct pfs_portal_opening *opening);
/*
 * Nobody wants it any more: before done, it is given up (the interrupt of an open); afterwards its descriptor has
 * been closed: a listener's time begins, a command that was read is ended (SIGTERM, two seconds later SIGKILL), one
 * that was written to runs on to its end. No callback comes after this. Exactly once per opening; may be called in
 * a callback.
 */
void pfs_portal_end(struct pfs_portals *portals, struct pfs_portal_opening *opening);

#endif
