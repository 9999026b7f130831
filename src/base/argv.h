/*
 * argv - a command line as a list of words, without a shell
 *
 * For commands that stand in a path: `pipe/bin/grep -c "two words" /etc/motd`, `exec:gzip -9`. The result goes to
 * execv(2) as it is: no variables, no wildcards, no pipes, nothing that could be injected.
 *
 *	blanks		spaces, tabs and newlines separate words
 *	'...'		everything in it is itself
 *	"..."		the same, but \" and \\ are a quote and a backslash
 *	\		makes a blank, a quote or a backslash part of the word; before anything else it is
 *			itself, so that `sed s/\./,/` needs no second one
 *	\ alone		between blanks, or at the end of a line, it is nothing: a continued line
 *
 * Quotes may begin and end within a word: --format='%h %s'. "" is an empty word. Text without quotes and
 * backslashes is split as portalfs did.
 */
#ifndef PFS_BASE_ARGV_H
#define PFS_BASE_ARGV_H

#include "base/base.h"

struct pfs_argv {
	size_t n;
	char **v; /* owned, one block with the words; v[n] is NULL. NULL itself when it was never filled */
};

void pfs_argv_release(struct pfs_argv *argv);

#define PFS_ARGV PFS_CLEANUP(pfs_argv_release)

/* Copies words. -ENOMEM. */
int pfs_argv_make(const char *const *words, size_t n, struct pfs_argv *ret_argv);

/*
 * Splits text. 0, also when there is no word in it (n is 0). -EINVAL: a quote is not closed; -ENOMEM.
 */
int pfs_argv_split(const char *text, struct pfs_argv *ret_argv, struct pfs_diag *diag);

/* Adds a word so that a split gives it back. */
void pfs_argv_quote(const char *word, size_t len, struct pfs_buf *out);

#endif
