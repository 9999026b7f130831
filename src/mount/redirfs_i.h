/*
 * redirfs_i - the tree of file filters: /p/redirfs/FILTER/FILE
 *
 *	redirfs.c	its directories: looking, mkdir, rmdir
 *	redirfs_file.c	its files: reading and writing
 *	redirfs_change.c	what mkdir, rmdir and a write do to the registry (redir/herd.h)
 *
 * What may wait (other processes are asked) is done by a pool.
 */
#ifndef PFS_MOUNT_REDIRFS_I_H
#define PFS_MOUNT_REDIRFS_I_H

#include "mount/mount_i.h"
#include "redir/herd.h"
#include "redir/join.h"

struct pfs_redirfs {
	struct rd_herd *herd;	 /* owned */
	struct rd_join *join;	 /* owned; NULL: filters of other processes cannot join */
	struct pfs_node *folder; /* borrowed from the graph */
};

enum pfs_redir_file {
	PFS_REDIR_ACTIVE, /* as enum rd_setting */
	PFS_REDIR_PRIORITY,
	PFS_REDIR_POLICY,
	PFS_REDIR_DEADLINE,
	PFS_REDIR_INCLUDE,
	PFS_REDIR_EXCLUDE,
	PFS_REDIR_REMOVE,
	PFS_REDIR_PATHS,
	PFS_REDIR_FROM,
	PFS_REDIR_HOOKS,
	PFS_REDIR_STATS,
	PFS_REDIR_UNREGISTER,
	PFS_REDIR_FILES,
};

/* One change, made of what a user wrote; then in force or refused as a whole. */
struct pfs_redir_change {
	enum { PFS_REDIR_MAKE, PFS_REDIR_DROP, PFS_REDIR_WRITE } kind;
	char name[RD_NAME_MAX];	  /* DROP, WRITE: the filter's */
	enum pfs_redir_file file; /* WRITE */
	const char *text; /* borrowed: MAKE: the directory's name; WRITE: what was written, with a NUL behind it */
	size_t len;
	uid_t uid; /* who asks */
	/* Its own. */
	struct rd_registering what;
	struct pfs_args args;
	struct rd_rule_new *rule; /* owned, as are the paths */
	size_t n_rules;
};

/* Asks the filesystem about paths and takes the change to the herd. Waits. -errno with a sentence. */
int pfs_redir_change(struct pfs_mount *mount, struct pfs_redir_change *change, struct pfs_diag *diag);
/* The directory that is redirected for a path, and the path as it is without links. */
int pfs_redir_place(struct rd_rule_new *rule, struct pfs_diag *diag);
/* The name part of "NAME,so=FILE,priority=N". False: it is no name. */
bool pfs_redir_name(const char *text, char ret_name[RD_NAME_MAX]);

/* redirfs_file.c */
extern const struct pfs_kind pfs_kind_redir_file;
int pfs_redir_file_name(const char *name); /* which; -ENOENT */
void pfs_redir_files_list(uint64_t dir, unsigned slot, struct pfs_listing *listing);
/* Leaves the sentence in .errors. file NULL: of the directory. */
void pfs_redir_refuse(struct pfs_mount *mount, const struct pfs_cred *cred, const char *filter,
		      const char *file, int error, const struct pfs_diag *diag);

#endif
