/*
 * redirctl_i - control of file filters, by the files below /p/redirfs/
 *
 *	redirctl.c	the command: its words, what it prints
 *	redirctl_conf.c	the same words as lines of a file: redir.d, `redirctl check`
 *	redirctl_top.c	`redirctl top`
 *
 * One table has the commands of both. Everything is done by reading and writing the files of the mount; a shell could.
 */
#ifndef PFS_CMD_REDIRCTL_I_H
#define PFS_CMD_REDIRCTL_I_H

#include "cmd/cmd.h"
#include "redir/registry.h"

#define REDIRCTL_TREE "redirfs" /* below the root of the mount */

enum redirctl_verb {
	REDIRCTL_LIST,
	REDIRCTL_PATHS,
	REDIRCTL_HOOKS,
	REDIRCTL_SETPATH,
	REDIRCTL_ACTIVATE,
	REDIRCTL_DEACTIVATE,
	REDIRCTL_LOAD,
	REDIRCTL_UNLOAD,
	REDIRCTL_PRIORITY,
	REDIRCTL_POLICY,
	REDIRCTL_DEADLINE,
	REDIRCTL_REMPATH,
	REDIRCTL_STAT,
	REDIRCTL_TOP,
	REDIRCTL_CHECK,
};

struct redirctl_word {
	const char *name, *operands;
	enum redirctl_verb verb;
	int min, max; /* operands behind it */
	bool in_file; /* may stand in a configuration */
	const char *summary;
};
extern const struct redirctl_word redirctl_words[]; /* ends with a NULL name */
/* words[0] is the command. NULL, with a sentence: there is none such, or it has other operands. */
const struct redirctl_word *redirctl_find(size_t n, char *const *words, struct pfs_diag *diag);
/* "include", "exclude"; "single", "subtree". -EINVAL */
int redirctl_kind(const char *which, const char *how, bool *ret_include, bool *ret_subtree,
		  struct pfs_diag *diag);

/* Where it is done, and how. */
struct redirctl {
	int root;	 /* of the mount; borrowed */
	const char *dir; /* its name */
	bool json, dry;
	bool once;	 /* top: one table */
	double interval; /* top: seconds */
};
/* Does one; 0, or -errno with a sentence. Text goes to out. */
int redirctl_do(const struct redirctl *ctl, const struct redirctl_word *word, char *const *operand,
		struct pfs_buf *out, struct pfs_diag *diag);

/* May a filter have that name? */
bool redirctl_is_name(const char *filter);
/*
 * Prints what the named filters are asked (none: those that can be read; ends with NULL), until it is killed, `q` is
 * pressed, nobody reads, or once. -errno with a sentence; -ENODEV: one that is named is not there.
 */
int redirctl_top(const struct redirctl *ctl, char *const *named, struct pfs_diag *diag);

/*
 * Understands a whole file, and does it in a registry of its own: so a name that is given twice and a filter that is
 * not there are found, too. Sentences, each with file and line, go to `say`. How many there were.
 */
unsigned redirctl_check(const char *file, const char *text, size_t len,
			void (*say)(const char *sentence));
/* Does what a file says, line by line, if all of it is right. How many lines were not, or could not be done. */
unsigned redirctl_apply(struct redirctl *ctl, const char *file, const char *text, size_t len,
			void (*say)(const char *sentence));

#endif
