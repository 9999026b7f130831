/*
 * options - one table of a command's options: getopt(3), usage, help and completion are made from it
 *
 *	while ((c = pfs_getopt(&pfs_cmd_hello, argc, argv)) != -1)
 *		if (c == 'l')
 *			loud = true;
 *		else
 *			return pfs_usage(&pfs_cmd_hello, NULL);
 */
#ifndef PFS_CMD_OPTIONS_H
#define PFS_CMD_OPTIONS_H

#include "cmd/cmd.h"

/*
 * As getopt(3): the key of the next option, its value in optarg; -1: operands follow, from optind on; '?': it was said.
 */
int pfs_getopt(const struct pfs_command *cmd, int argc, char **argv);

size_t pfs_options_count(const struct pfs_command *cmd);

/* "[-a] [-i SECONDS] [DIR...]" */
void pfs_options_usage(const struct pfs_command *cmd, struct pfs_buf *out);
/* A line or more for each option. */
void pfs_options_help(const struct pfs_command *cmd, struct pfs_buf *out);

#endif
