/*
 * serve - the control end of liburfs's wire: filters of other processes register with a configuration
 *
 * For a process that has chains itself (`pipesfs redirect`): each connection gets one channel
 * (remote.h), and what it registers becomes a filter of the configuration. Only root and the user
 * that this process runs as may connect.
 *
 * A process that unregisters its filters, or closes, takes them with it. When it dies, they stay
 * without it and fail by their policy, until a process registers that name again, or
 * rd_config_remove().
 */
#ifndef RD_SERVE_H
#define RD_SERVE_H

#include <pipesfs/urfs.h>

#include "redir/configured.h"

struct rd_server;

/*
 * Listens at path (mode 0600; what was there is replaced if nobody listens there). -EADDRINUSE:
 * somebody does.
 */
int rd_server_new(struct rd_config *config, const char *path, struct rd_server **ret_server,
		  struct pfs_diag *diag);
/*
 * One more connection, over a socket (SOCK_SEQPACKET) that is there; owned. path may be NULL in
 * rd_server_new(): only such.
 */
int rd_server_connect(struct rd_server *server, int fd);
/* Ends all connections. NULL is fine. */
void rd_server_free(struct rd_server *server);
/*
 * Asks a filter's modifier callback, for at most a deadline. -ENOENT: no such filter here;
 * -EOPNOTSUPP: it has none; -ETIMEDOUT; -EBUSY: it is being asked.
 */
int rd_server_modify(struct rd_server *server, const char *name, const union rfs_mod *mod,
		     uint64_t deadline);

#endif
