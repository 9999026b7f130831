/*
 * place - a mounted pipesfs to work in: one that is there, or a private one that ends with us
 *
 * A private mount lies in a directory of its own below TMPDIR, is closed to others, and is taken away with its
 * directory when this process ends, however that happens: its keeper asks the kernel to be told.
 */
#ifndef PFS_CMD_PLACE_H
#define PFS_CMD_PLACE_H

#include <sys/types.h>

#include "base/base.h"

struct place {
	char *root;   /* owned; the mount point */
	pid_t keeper; /* of a private one, our child; 0: it was there */
};

/*
 * The mount that `dir` lies in; without dir: the mount that is there, if it is one, answers and lets us in, else a
 * private one. Exit status, after the sentence was said.
 */
int place_find(const char *dir, struct place *ret_place);
/* The same, but never a private one: exit status when there is no mount, or it cannot be told which. */
int place_mounted(const char *dir, struct place *ret_place);
int place_private(struct place *ret_place);
/* Ends a private one, and waits until it is gone. */
void place_release(struct place *place);

/* Is that the mount point of somebody's private one? */
bool place_is_private(const char *point);

#endif
