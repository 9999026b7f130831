/*
 * cmd - the subcommands of pipesfs
 *
 * One file a subcommand, one `const struct pfs_command pfs_cmd_NAME` in it, one line in the table
 * of commands.c. The program is the only place that speaks: libraries return a number and a struct
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

/* What stands in a place of the command line: for completion. */
enum pfs_words {
	PFS_WORDS_NONE,
	PFS_WORDS_CHOICE, /* one of the list beside it */
	PFS_WORDS_DIR,
	PFS_WORDS_FILE,
	PFS_WORDS_MOUNT,    /* where a pipesfs is mounted */
	PFS_WORDS_TREE,	    /* a path in one */
	PFS_WORDS_OPTIONS,  /* mount options, separated by commas */
	PFS_WORDS_PIPELINE, /* the pipeline language */
	PFS_WORDS_COMMAND,  /* a command of ours */
};

struct pfs_option {
	char key;	      /* what pfs_getopt() returns; unique in its table; 0 ends the table */
	bool letter;	      /* the key is also the short form: -k */
	const char *name;     /* the long form, or NULL */
	const char *value;    /* what it takes, in capitals: "SECONDS"; NULL: nothing */
	const char *help;     /* NULL: understood, but not told */
	enum pfs_words words; /* of the value */
	const char *const *choices; /* PFS_WORDS_CHOICE: ends with NULL */
};

struct pfs_command {
	const char *name;
	const char *summary;		  /* one line for the list of commands */
	const struct pfs_option *options; /* NULL: none */
	bool options_first;		  /* what follows the first operand is no option of ours */
	const char *operands;		  /* what follows the options: "[DIR...]"; NULL: nothing */
	enum pfs_words words;		  /* of the operands */
	const char *const *choices;
	const char *usage; /* what follows "pipesfs NAME"; NULL: made from options and operands */
	const char *help; /* lines for `pipesfs help NAME` behind the options, each ended by a newline; NULL: none */
	void (*more_help)(struct pfs_buf *out); /* lines made from a table; NULL: none */
	/* argv[0] is the name; cmd/options.h. Returns the exit status. */
	int (*run)(int argc, char **argv);
};

extern const struct pfs_command pfs_cmd_abort;
extern const struct pfs_command pfs_cmd_bench;
extern const struct pfs_command pfs_cmd_complete;
extern const struct pfs_command pfs_cmd_demo;
extern const struct pfs_command pfs_cmd_doctor;
extern const struct pfs_command pfs_cmd_filter;
extern const struct pfs_command pfs_cmd_graph;
extern const struct pfs_command pfs_cmd_ls;
extern const struct pfs_command pfs_cmd_mount;
extern const struct pfs_command pfs_cmd_portal;
extern const struct pfs_command pfs_cmd_redirect;
extern const struct pfs_command pfs_cmd_redirctl;
extern const struct pfs_command pfs_cmd_restore;
extern const struct pfs_command pfs_cmd_run;
extern const struct pfs_command pfs_cmd_save;
extern const struct pfs_command pfs_cmd_stat;
extern const struct pfs_command pfs_cmd_top;
extern const struct pfs_command pfs_cmd_umount;

extern const struct pfs_command *const pfs_commands[];	      /* all of them; ends with NULL */
const struct pfs_command *pfs_command_find(const char *name); /* NULL: there is none */

/* "pipesfs: sentence" on stderr. */
void pfs_say(const char *fmt, ...) PFS_PRINTF(1, 2);
/* The same, and returns PFS_EXIT_FAILED. */
int pfs_fail(const char *fmt, ...) PFS_PRINTF(1, 2);
/*
 * The same with the command's usage below, and returns PFS_EXIT_USAGE. fmt NULL: the usage alone.
 */
int pfs_usage(const struct pfs_command *cmd, const char *fmt, ...) PFS_PRINTF(2, 3);

/* Seconds between two readings, as an option says them; else PFS_EXIT_USAGE after the sentence. */
int pfs_interval_parse(const struct pfs_command *cmd, const char *text, double *ret_seconds);

#endif
