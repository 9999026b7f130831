/*
 * run_i - `pipesfs run` inside
 *
 *	run.c		the command: parse, make, start, wait, goodbye
 *	run_copy.c	what comes out of the pipelines, to the standard output
 *	run_ng.c	several capture streams as one
 *	run_count.c	tcpdump's goodbye
 */
#ifndef PFS_CMD_RUN_I_H
#define PFS_CMD_RUN_I_H

#include "cmd/place.h"
#include "cmd/stages.h"

enum run_format {
	RUN_RAW,
	RUN_PCAPNG,
	RUN_JSON,
	RUN_TXT,
	RUN_FORMATS,
	RUN_ANY, /* what fits the output */
};

extern const char *const run_formats[]; /* their names; ends with NULL */

/* One open pipe: what comes out of a stage, or the end of a sink. */
struct run_end {
	int fd; /* owned; -1: it has come to its end */
	size_t stage;
	bool sink;
	struct pfs_buf held; /* of a record: what has been read of it */
	struct pfs_buf map; /* pcapng of several: uint32_t by interface, its number in the output */
	bool section;	    /* ... its first section has begun */
};

struct run_counts {
	uint64_t seen;	   /* packets that the first stage with packets gave */
	uint64_t lost;	   /* by the sources */
	uint64_t captured; /* what came out: given to us, or taken by sinks */
	uint64_t missed;   /* what we were too slow for */
	bool packets;	   /* else: records */
};

struct run {
	struct stages_text text;
	struct lang_program program;
	struct stages stages;
	struct place place;
	int root;  /* owned */
	int hold;  /* owned: .run */
	char *dir; /* owned: "/run:4711" */
	enum run_format format;
	struct run_end *ends; /* owned */
	size_t nends;
	int feed;	    /* owned: `all` of accept, which gets the standard input; -1: none */
	struct pfs_buf fed; /* read and not written yet, from `fed_at` on */
	size_t fed_at;
	struct run_counts before; /* when it started */
	struct run_counts taken;  /* of ends that are closed */
	uint64_t blocks;	  /* packets of capture streams that went out */
	uint64_t cut;		  /* records too long to be mixed with others */
	uint32_t interfaces;	  /* of the mixed capture stream */
	bool head;		  /* ... its section has begun */
	bool verbose;
	uint64_t *lost_before; /* owned: of each stage, when it started */
	char began[40];	       /* when, as .errors says it */
};

/* --- run_copy.c ---------------------------------------------------------------------------------- */

/* Signals: INT, TERM and HUP end a run, USR1 asks for the counts. Before anything that may block. -errno. */
int run_signals(void);
bool run_stopped(void);

/* Is that the error of a mount that has gone? Then it is said. */
bool run_mount_ended(const struct run *run, int error);

/*
 * Until every pipe has come to its end, somebody stops us, or nobody reads our output any more. Exit status, after the
 * sentence was said.
 */
int run_copy(struct run *run);

/* --- run_ng.c -------------------------------------------------------------------------------------- */

/* How many of the bytes are whole blocks; counts the packets among them. */
size_t run_ng_whole(const uint8_t *bytes, size_t n, uint64_t *packets);
/* The same blocks as they are in one stream with those of other ends: one section, interfaces numbered anew. */
void run_ng_mix(struct run *run, struct run_end *end, const uint8_t *bytes, size_t n,
		struct pfs_buf *out);

/* True: every pipe has come to its end. */
bool run_over(const struct run *run);

/* --- run_tell.c ------------------------------------------------------------------------------------- */

/* Before it starts: what stages that others use have lost before us. -ENOMEM. */
int run_tell_begin(struct run *run);
/*
 * Says what was lost in our stages, what commands wrote to stderr and how they failed. Exit status: a sink that lost
 * something, or a command that failed, is a failure.
 */
int run_tell(const struct run *run);

/* --- run_count.c ------------------------------------------------------------------------------------ */

/* Is that pipe listed there? (Looked up, it is there in any case.) */
bool run_has_view(const struct run *run, size_t stage, const char *name);
/* Adds what an open end has got. */
void run_count_end(const struct run *run, const struct run_end *end, struct run_counts *counts);
void run_count(const struct run *run, struct run_counts *ret_counts);
/* Says what has happened since run->before, on stderr. */
void run_goodbye(const struct run *run);

#endif
