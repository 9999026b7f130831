/*
 * serve - runs a command for which portals are real descriptors
 *
 *	pfs_serve_start(&options, &server, &diag);
 *	while (poll(server.socket ...) && pfs_serve_news(&server, &news) > 0)
 *		...
 *
 * The server is a process between the caller and the command; portal/notify_i.h draws the picture. It stays as long as
 * anything that the command has started, and ends with the last of it. The caller is told what happens to the command,
 * which it stands for; when the caller dies before the command has ended, the command is killed.
 *
 * What the command inherits: descriptors, working directory, environment, process group, terminal, limits, and the
 * dispositions of signals, all as the caller has them, with the signal mask that it asks for. no_new_privs is set if
 * the caller may not do without: a set-user-ID program below then runs as who started it.
 */
#ifndef PFS_PORTAL_SERVE_H
#define PFS_PORTAL_SERVE_H

#include <signal.h>
#include <sys/types.h>

#include "portal/conf.h"
#include "portal/where.h"

struct pfs_serve_options {
	char *const *argv; /* looked for in PATH */
	const struct pfs_where *where;
	const struct pfs_portal_rules *rules;
	const sigset_t *mask; /* the command's signal mask; the caller blocks what it does not want itself */
	bool verbose; /* on stderr: why opens of portals were refused, and what commands behind portals say */
};

struct pfs_server {
	pid_t pid; /* a child of the caller, which reaps it */
	int socket; /* owned; readable: there are news. End of file: the server has died or is done */
};

enum pfs_news_kind {
	PFS_NEWS_STARTED, /* *ret_pidfd is the command, until it runs a copy of the caller */
	PFS_NEWS_FAILED,  /* nothing was started; text says why */
	PFS_NEWS_EXEC,	  /* the command cannot be run: errno is in status. Its end follows */
	PFS_NEWS_STOPPED, /* by the signal in status; the caller may stop itself */
	PFS_NEWS_CONTINUED,
	/*
	 * The command has ended (status), and the server waits until those that were written to through portals have
	 * too. PFS_SERVE_ENOUGH makes it not wait.
	 */
	PFS_NEWS_FINISHING,
	PFS_NEWS_ENDED, /* status as from waitpid(2) */
	PFS_NEWS_LAST, /* the same, and nothing else runs: the server ends now, and can be waited for */
};

struct pfs_news {
	enum pfs_news_kind kind;
	int status;
	char text[256];
};

/*
 * The calling process has one thread. It should be a subreaper, so that the command comes back to it if the server
 * dies.
 */
int pfs_serve_start(const struct pfs_serve_options *options, struct pfs_server *ret_server,
		    struct pfs_diag *diag);
/* 1; 0: there will be no more. *ret_pidfd is set by PFS_NEWS_STARTED alone, owned by the caller. */
int pfs_serve_news(const struct pfs_server *server, struct pfs_news *ret_news, int *ret_pidfd);
/* After any news but PFS_NEWS_STOPPED: PFS_SERVE_AWAKE. Until then the caller gets SIGCONT if it may have stopped. */
void pfs_serve_say(const struct pfs_server *server, char what);
#define PFS_SERVE_AWAKE 'a'
#define PFS_SERVE_ENOUGH 'e'

/* Exit status of the child when the command cannot be run, as env(1) has it. */
#define PFS_SERVE_NOT_FOUND 127
#define PFS_SERVE_NOT_RUN 126

#endif
