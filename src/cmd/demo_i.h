/*
 * demo_i - a stage on which commands are shown and run
 *
 * A demo is a script in C: it prints each command line before it runs it through sh(1), exactly as printed, in a
 * directory of its own in which `pipesfs` is this very program; waits for conditions, not for time; compares what came
 * out with what must; and leaves nothing behind: demo_end() ends what still runs, undoes and removes, also after a
 * signal.
 *
 * The first error sticks: after it, and after a signal, every step does nothing, so that a script is a plain list of
 * steps and demo_end() tells how it went. Why a step failed is said at once.
 *
 * Signals are blocked from begin to end and taken only while waiting: there is no moment at which one could be missed
 * or could find half a step done.
 *
 *	struct demo demo;
 *
 *	demo_begin(&demo);
 *	demo_say(&demo, "A directory is a running filter.");
 *	demo_do(&demo, "mkdir -p p/accept/unpcap");
 *	demo_check(&demo, "packets", got, want);
 *	return demo_end(&demo);
 *
 * Threads: none. One demo at a time in a process.
 */
#ifndef PFS_CMD_DEMO_I_H
#define PFS_CMD_DEMO_I_H

#include "base/base.h"

#include <signal.h>
#include <sys/types.h>

#define DEMO_CHILDREN 8
#define DEMO_UNDO 8
#define DEMO_COMMAND_MAX 512

struct demo_child {
	pid_t pid;  /* also its process group; 0: it has been waited for */
	int status; /* of waitpid(2), when pid is 0 */
	char what[96];
};

struct demo {
	int error;	 /* 0, or the -errno that ended it */
	int signal;	 /* the one that ended it, or 0 */
	bool deaf;	 /* cleaning up: takes no signals */
	char dir[64];	 /* absolute; "" when there is none */
	int home;	 /* the working directory it was started in */
	sigset_t before; /* signal mask of the caller */
	unsigned checks;
	unsigned wrong; /* checks that failed */
	struct demo_child child[DEMO_CHILDREN];
	size_t nchildren;
	char *undo[DEMO_UNDO]; /* owned; run last to first by demo_end() */
	size_t nundo;
};

/* Makes the directory and goes there. demo_end() must follow, also when there is an error. */
void demo_begin(struct demo *demo);
/* Cleans up and returns the exit status: 0 when nothing failed and all checks held. */
int demo_end(struct demo *demo);
/* No error and no signal so far. */
bool demo_ok(const struct demo *demo);
/* The script itself has failed: says why, and sticks. */
void demo_fail(struct demo *demo, int error, const char *fmt, ...) PFS_PRINTF(3, 4);

/* A line for the reader. */
void demo_say(const struct demo *demo, const char *fmt, ...) PFS_PRINTF(2, 3);

/* Shows and runs a command to its end, which must be success within 20 s. */
void demo_do(struct demo *demo, const char *fmt, ...) PFS_PRINTF(2, 3);
/* Shows and starts a command that runs on; returns its index. */
size_t demo_start(struct demo *demo, const char *fmt, ...) PFS_PRINTF(2, 3);
/* Runs a function of ours as such a child, not shown; what it returns is the exit status. */
size_t demo_spawn(struct demo *demo, const char *what, int (*run)(void *arg), void *arg);
/* Waits for a child to end by itself, with success. */
void demo_join(struct demo *demo, size_t child, unsigned seconds);
/* Ends a child, and what it started, by SIGTERM. Works after errors too. */
void demo_stop(struct demo *demo, size_t child);
/* Until ready(arg) is true. */
void demo_wait_for(struct demo *demo, const char *what, unsigned seconds, bool (*ready)(void *arg),
		   void *arg);
/* Runs that at the end, unseen, whatever happens. Last one first. */
void demo_undo(struct demo *demo, const char *fmt, ...) PFS_PRINTF(2, 3);

/* Says "ok" or "WRONG", and counts. */
void demo_check(struct demo *demo, const char *what, uint64_t got, uint64_t want);

/* Lines in a file that contain `part` ("": all). */
uint64_t demo_count_lines(const char *file, const char *part);
/* Readers that a directory of a mounted tree has, its views' included; 0 also when it is not there. */
uint64_t demo_readers(const char *dir);
/* Is there such a program? */
bool demo_has(const char *program);

/* `pipesfs demo --live`: its script, in demo_live.c, for root. Returns an exit status. */
int demo_live(void);

#endif
