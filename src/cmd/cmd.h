/*
 * cmd - the subcommands of pipesfs
 *
 * One file a subcommand, one `const struct pfs_command pfs_cmd_NAME` in it, one line in the table
 * of main.c. The program is the only place that speaks: libraries return a number and a struct
 * pfs_diag, the command says the sentence once, on stderr, in words that tell what to do next.
 * Results go to stdout.
 *
 * Exit status: 0, PFS_EXIT_FAILED when what was asked for could not be done, PFS_EXIT_USAGE when it
 * was not understood.
 *
 *	static int hello_run(int argc, char **argv)
 *	{
 *		if (argc != 2)
 *			return pfs_usage(&pfs_cmd_hello, "one name is needed");
 *		printf("hello %s\n", argv[1]);
 *		return 0;
 *	}
 */
#ifndef PFS_CMD_CMD_H
#define PFS_CMD_CMD_H

#include "base/base.h"

enum {
	PFS_EXIT_OK = 0,
	PFS_EXIT_FAILED = 1,
	PFS_EXIT_USAGE = 2,
};

struct pfs_command {
	const char *name;
	const char *summary; /* one line for the list of commands */
	const char *usage;   /* what follows "pipesfs NAME": "[-f] [-o OPTION,...] DIR" */
	const char *help; /* lines for `pipesfs help NAME`, each ended by a newline; NULL: none */
	void (*more_help)(struct pfs_buf *out); /* lines made from a table; NULL: none */
	/* argv[0] is the name; getopt(3) may be used as it is. Returns the exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct pfs_command pfs_cmd_abort;
extern const struct pfs_command pfs_cmd_demo;
extern const struct pfs_command pfs_cmd_doctor;
extern const struct pfs_command pfs_cmd_ls;
extern const struct pfs_command pfs_cmd_mount;
extern const struct pfs_command pfs_cmd_portal;
extern const struct pfs_command pfs_cmd_stat;
extern const struct pfs_command pfs_cmd_umount;

/* "pipesfs: sentence" on stderr. */
void pfs_say(const char *fmt, ...) PFS_PRINTF(1, 2);
/* The same, and returns PFS_EXIT_FAILED. */
int pfs_fail(const char *fmt, ...) PFS_PRINTF(1, 2);
/*
 * The same with the command's usage below, and returns PFS_EXIT_USAGE. fmt NULL: the usage alone.
 */
int pfs_usage(const struct pfs_command *cmd, const char *fmt, ...) PFS_PRINTF(2, 3);

#endif
