/*
 * doctor_i - one question about this machine, and its answer
 *
 * A check looks, changes nothing, and fills a struct finding. What a missing thing costs is the same everywhere, so it
 * stands in the table; what to do about it depends on what was found, so the check says it. A new check is one
 * function and one line of the table.
 */
#ifndef PFS_CMD_DOCTOR_I_H
#define PFS_CMD_DOCTOR_I_H

#include "base/base.h"

enum verdict {
	VERDICT_YES,
	VERDICT_PART, /* works, with less than there could be */
	VERDICT_NO,
	VERDICT_COUNT_,
};

struct finding {
	enum verdict verdict;
	char value[160];  /* what was found */
	char remedy[256]; /* what to do about it; "" when nothing can be done or need be */
};

struct check {
	const char *name;
	const char *without; /* what is lost when the verdict is not yes: a sentence; NULL: the finding says it */
	bool vital; /* nothing works without it: the exit status says so */
	void (*look)(struct finding *ret_finding);
};

struct check_group {
	const char *title;
	const struct check *checks; /* ends with a NULL name */
};

/* The parts of the table, one file each. */
extern const struct check doctor_mount_checks[];
extern const struct check doctor_kernel_checks[];
extern const struct check doctor_process_checks[];

void finding_set(struct finding *finding, enum verdict verdict, const char *fmt, ...) PFS_PRINTF(3, 4);
void finding_remedy(struct finding *finding, const char *fmt, ...) PFS_PRINTF(2, 3);

/* --- how the checks look ------------------------------------------------------------------ */

/* First line of a small file. -errno. */
int doctor_line(const char *path, char *line, size_t size);
/* A number in a file; -1 when it cannot be read or is none. */
long long doctor_number(const char *path);
/* Is that capability effective? */
bool doctor_capable(unsigned capability);
/* Is there an executable of that name on PATH? Its path, too. */
bool doctor_program(const char *name, char *path, size_t size);
/* Kernel at least major.minor. */
bool doctor_kernel(unsigned major, unsigned minor);
/* Runs look() in a child process, which may unshare and drop what it likes; returns its 0 or errno. */
int doctor_apart(int (*look)(void));

#endif
