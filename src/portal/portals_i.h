/*
 * portals_i - openings that are under way, inside
 *
 *	portals.c	the loop: watches, time, processes, and what is public
 *	resolve.c	names and ports -> addresses; a child for what may wait
 *	connect.c	tcp, udp
 *	listen.c	tcplisten: listeners that stay
 *	file.c		fs, unix: a child opens
 *	command.c	pipe
 *
 * One thread. A *work* is one opening: it has at most one thing that it waits for at a time, and ends by
 * pfs_work_done(), after which it only keeps what its end will need. What must not wait is done in a child of this
 * process that has our rights, and answers on a socket.
 */
#ifndef PFS_PORTAL_PORTALS_I_H
#define PFS_PORTAL_PORTALS_I_H

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "portal/portal.h"

/* --- watches ------------------------------------------------------------------------- */

/* A descriptor of the loop. ready() may remove and free it. */
struct pfs_watch {
	int fd; /* borrowed */
	void (*ready)(struct pfs_watch *watch, uint32_t events);
};

int pfs_watch_add(struct pfs_portals *portals, struct pfs_watch *watch, uint32_t events);
void pfs_watch_change(struct pfs_portals *portals, struct pfs_watch *watch, uint32_t events);
void pfs_watch_remove(struct pfs_portals *portals, struct pfs_watch *watch);

/* --- processes ------------------------------------------------------------------------- */

/* A child of ours, until it has been waited for. */
struct pfs_process {
	struct pfs_portals *portals;
	struct pfs_watch watch; /* of its pidfd, which it owns */
	pid_t pid;
	bool group; /* it leads a process group */
	/* Its end; NULL: nobody wants to know. */
	void (*ended)(void *arg, int status);
	void *arg;
	uint64_t kill_at; /* ns, monotonic; 0: no */
	struct pfs_process *prev, *next;
};

/* Takes over a child that was just forked. On failure it has been killed and waited for. */
int pfs_process_new(struct pfs_portals *portals, pid_t pid, bool group,
		    struct pfs_process **ret_process);
/* Nobody wants it any more: SIGTERM, and SIGKILL later; patient false: SIGKILL. */
void pfs_process_leave(struct pfs_process *process, bool patient);

/* --- children that do what may wait -------------------------------------------------------- */

#define PFS_ERRAND_MAX 2048 /* bytes of an answer */

struct pfs_errand {
	struct pfs_portals *portals;
	struct pfs_process *process; /* NULL: has ended */
	struct pfs_watch watch;	     /* of a socket, which it owns; -1: not under way */
	/* result 0: bytes and perhaps a descriptor, which is the callee's; -EIO: the child has died. */
	void (*answered)(struct pfs_errand *errand, int result, const void *bytes, size_t n, int fd);
};

/* In the child: do() answers once by this. */
void pfs_errand_answer(int sock, const void *bytes, size_t n, int fd);
/* Forks; run(arg, sock) in the child, which then exits. */
int pfs_errand_begin(struct pfs_portals *portals, struct pfs_errand *errand,
		     void (*run)(const void *arg, int sock), const void *arg);
void pfs_errand_cancel(struct pfs_errand *errand);

/* --- addresses --------------------------------------------------------------------------------- */

#define PFS_ADDRESSES_MAX 16

struct pfs_addresses {
	unsigned n;
	int error; /* 0, or why there are none: -errno */
	char why[100];
	struct sockaddr_in6 at[PFS_ADDRESSES_MAX]; /* an IPv4 one is a sockaddr_in in there */
};

socklen_t pfs_address_size(const struct sockaddr_in6 *address);
/* "10.0.0.1:80", "[::1]:80" */
void pfs_address_text(const struct sockaddr_in6 *address, char *text, size_t size);

/* --- works --------------------------------------------------------------------------------------- */

struct pfs_listener;

struct pfs_portal_work {
	struct pfs_portals *portals;
	struct pfs_portal_opening *opening; /* NULL: ended by its owner */
	struct pfs_portal_work *prev, *next;
	bool told;  /* done() was called, or will be with `result` */
	int result; /* what done() will say; told already: unused */
	struct pfs_portal_result res;
	struct pfs_diag diag;
	struct pfs_portal_work *next_told; /* portals->told */
	bool queued;

	struct pfs_errand errand; /* resolve, file */
	/* resolve, then what is done with the addresses */
	struct pfs_addresses addresses;
	void (*resolved)(struct pfs_portal_work *work);
	/* connect */
	unsigned next_address;
	int worst; /* the most telling error so far */
	int fd;	   /* owned */
	struct pfs_watch watch;
	bool watched;
	/* listen */
	struct pfs_listener *listener;
	bool accepted;
	struct pfs_portal_work *next_waiting; /* of the listener */
	/* command */
	struct pfs_command_state *command;
};

/* Ends the opening: done() will be called from the loop. The sentence is in work->diag. */
void pfs_work_done(struct pfs_portal_work *work, int result);
int pfs_work_fail(struct pfs_portal_work *work, int error, const char *fmt, ...) PFS_PRINTF(3, 4);
void pfs_work_watch(struct pfs_portal_work *work, uint32_t events,
		    void (*ready)(struct pfs_watch *watch, uint32_t events));
void pfs_work_unwatch(struct pfs_portal_work *work);
void pfs_work_close(struct pfs_portal_work *work);

/* Resolves the plan's host and port, then calls work->resolved. */
void pfs_work_resolve(struct pfs_portal_work *work, int socktype, bool passive,
		      void (*resolved)(struct pfs_portal_work *work));

/* One a kind: begin, and what ends it early or late. */
void pfs_tcp_begin(struct pfs_portal_work *work);
void pfs_udp_begin(struct pfs_portal_work *work);
void pfs_listen_begin(struct pfs_portal_work *work);
void pfs_listen_end(struct pfs_portal_work *work);
void pfs_file_begin(struct pfs_portal_work *work);
void pfs_unix_begin(struct pfs_portal_work *work);
void pfs_command_begin(struct pfs_portal_work *work);
/* done() has been called. */
void pfs_command_told(struct pfs_portal_work *work);
void pfs_command_end(struct pfs_portal_work *work);

/* Time: each looks at its own, ends what is over, and returns when it wants to be called again. */
uint64_t pfs_listeners_tick(struct pfs_portals *portals, uint64_t now);
void pfs_listeners_free(struct pfs_portals *portals);

struct pfs_portals {
	int epoll_fd;
	struct pfs_watch time; /* timerfd, owned */
	struct pfs_portal_work *first;
	struct pfs_portal_work *told;	 /* done() is to be called */
	struct pfs_portal_work *telling; /* ... is being called; NULL: that has ended it */
	struct pfs_process *processes;
	struct pfs_listener *listeners;
	struct pfs_argv env; /* of commands */
	unsigned commands;   /* that run */
	bool turning; /* pfs_portals_run() runs, or follows at once: what is done need not wake it */
};

/* The loop's clock must be set anew: something is due earlier. */
void pfs_portals_hurry(struct pfs_portals *portals);

#endif
