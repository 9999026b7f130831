/*
 * study - how the kernel and processes hand each other bytes, measured alike
 *
 * A mechanism is one file with one `const struct mechanism` (two or three if they differ in a number). It has two
 * *ends*: 0 is the process that measures; 1 is the kernel, or another process (`peer`), which this frame forks.
 *
 *	read	bytes that the far end has become readable here: get() at end 0; a peer calls put() at end 1
 *	write	bytes of ours become readable there: put() at end 0; a peer calls get() at end 1
 *	trip	64 bytes there and an answer of 64 bytes back: trip(), or put() and get() at both ends
 *
 * "Readable" is: at an address of the receiver. Who hands over mapped memory need not copy, who reads into a buffer
 * has copied; that is what differs. The sender has its bytes in a buffer of its own. So the number of copies is
 * counted from the sender's memory to the receiver's eyes, the same for all.
 *
 * Everything that arrives is checked outside of the timed part: for each measurement the far end gets a new pattern,
 * and the last transfer is compared with it. Between two processes, each transfer begins with its number, which the
 * receiver compares (one load). Patterns are printable, since attributes and trace messages are texts.
 *
 * Processes: we are pinned to the first CPU that we may use, peers and servers to the last ("other"), except for
 * the trips on one CPU ("same").
 * Errors: open() says why it cannot in study_why() and returns NULL; what goes wrong later ends the program with a
 * sentence: a figure that could be wrong is worth nothing.
 */
#ifndef BENCH_INTERSPACE_STUDY_H
#define BENCH_INTERSPACE_STUDY_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define STUDY_MAX (2u << 20)
#define STUDY_TRIP 64u

struct mechanism {
	const char *name;
	const char *stands_for; /* which file, family, device it is here, and what it costs besides */
	bool thesis;		/* one of the six of the thesis */
	bool peer;		/* end 1 is a process */
	bool unstamped; /* a buffer that was put is still read after put(): no numbers are written into it */
	bool read, write, trips;
	bool unchecked_write; /* nothing arrives anywhere */
	int variant;	      /* for the file */

	/* In the process that measures, before the peer is forked. NULL: not here, and study_why() was called. */
	void *(*open)(const struct mechanism *m);
	/* In the peer, at first; NULL: nothing to do. */
	void (*start)(void *state);
	/* Behind it nothing is left in the system. The peer is gone by then. */
	void (*close)(void *state);

	/* `len` bytes from the other end; where they lie, until the next get(): `into`, or elsewhere. */
	const uint8_t *(*get)(void *state, int end, uint8_t *into, size_t len);
	void (*put)(void *state, int end, const uint8_t *from, size_t len);
	void (*trip)(void *state, int end);
	/* All that was put or asked for is done; NULL: it always is. */
	void (*flush)(void *state, int end);

	/* Where the sender's bytes lie, 2 MiB that both ends see; NULL: in memory of the frame. */
	uint8_t *(*source)(void *state);
	/*
	 * Without a peer: have the kernel hold the pattern for get(); what get() must bring. NULL: it has a
	 * text of its own.
	 */
	const uint8_t *(*load)(void *state, const uint8_t *pattern, size_t len);
	/* Without a peer: what the last put() brought. */
	void (*fetch)(void *state, uint8_t *into, size_t len);
};

/* The table; ends with NULL. */
extern const struct mechanism *const mechanisms[];

/* --- for the mechanisms ----------------------------------------------------------------------------------------- */

/* Say why not; returns NULL. With an errno: its text behind it. */
void *study_why(int error, const char *fmt, ...) PFS_PRINTF(2, 3);
/* "NAME: what: errno", and the end of everything. */
__attribute__((noreturn)) void study_die(const char *what);

uint64_t study_now(void);
/* What lies between the two is not counted. */
void study_pause(void);
void study_resume(void);

/* A process that answers for the mechanism all the time (a file server): pinned like a peer. open() says which. */
void study_server(pid_t pid);
/* fork(), and the child ends with us. */
pid_t study_fork(void);
void study_end(pid_t pid);
int study_cpu(int end);

/* Called when everything ends early, too: what is changed in the system is put back. */
void study_undo(void (*undo)(void));
bool study_root(void);
/* Run a program and wait; -errno or its status. */
int study_run(const char *const argv[]);
/* A pair of network devices, NEAR and FAR, up, without addresses; `mtu` of both. 0 or -errno. */
int study_veth(const char *near_end, const char *far_end, unsigned mtu);
int study_memfd(const char *name, size_t size);
uint8_t *study_shared(size_t size); /* memory that peers share */
/* All of it, or the end. */
void study_read_all(int fd, uint8_t *into, size_t len);
void study_write_all(int fd, const uint8_t *from, size_t len);

/* --- run.c ------------------------------------------------------------------------------------------------------ */

enum study_what { STUDY_READ, STUDY_WRITE, STUDY_OTHER, STUDY_SAME };

struct running;

struct running *running_new(const struct mechanism *m); /* NULL: study_reason() */
const char *study_reason(void);
bool running_can(const struct running *r, enum study_what what);
/* ns of one transfer; about so many ms are spent on it. 0: as few as possible. */
double running_measure(struct running *r, enum study_what what, size_t len, double ms);
void running_free(struct running *r);

#endif
