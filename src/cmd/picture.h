/*
 * picture - .graph.json of a mounted tree, read into memory, and the rows of a table made from it
 *
 * The file and its members are described in docs/formats.md. What is missing is nothing, what is unknown is passed
 * over, so that a mount of another version can be looked at. Needs jansson; without it, reading says -ENOSYS.
 */
#ifndef PFS_CMD_PICTURE_H
#define PFS_CMD_PICTURE_H

#include "base/base.h"

struct picture_node {
	uint64_t id, parent;
	char *path, *name, *kind, *type, *flow, *state, *policy, *shape; /* owned; never NULL */
	bool kernel;
	uint64_t in, out, dropped, lost, bytes, lag, memory, readers, writers;
	uint64_t into;	 /* number of the directory that a join writes into; 0: none */
	uint64_t shared; /* pipelines that use it, of a stage of a run; 0: it is none */
	struct picture_rates {
		double in, out, lost, bytes; /* per second */
	} rate;
	size_t up; /* index of its parent; SIZE_MAX: the root */
};

struct picture {
	uint64_t clock;	 /* ns, CLOCK_MONOTONIC, of the reading */
	double interval; /* seconds that the rates are over */
	uint64_t nodes, nodes_max, memory, memory_max, hidden;
	struct picture_node *node; /* owned; parents before children */
	size_t n;
};

/* Of a directory descriptor of the mount's root. -errno; the sentence is in diag. */
int picture_read(int root, struct picture *ret_picture, struct pfs_diag *diag);
/* The same from text. -EINVAL: no such file, with the reason. */
int picture_parse(const char *text, size_t len, struct picture *ret_picture, struct pfs_diag *diag);
void picture_release(struct picture *picture);
/*
 * Rates from the counters of two readings, in place of the file's own; what was not there before counts from nothing.
 */
void picture_rates(struct picture *now, const struct picture *before);
/* SIZE_MAX: none. */
size_t picture_find(const struct picture *picture, uint64_t id);
/* Of one path and all below it; "/" is all. */
void picture_cut(struct picture *picture, const char *path);

enum picture_sort {
	PICTURE_TREE,
	PICTURE_IN,
	PICTURE_OUT,
	PICTURE_BYTES,
	PICTURE_LOST,
	PICTURE_LAG,
	PICTURE_SORTS,
};
extern const char *const picture_sorts[]; /* their names; ends with NULL */

struct picture_view {
	enum picture_sort sort; /* tree: as it is; else the most first, by path */
	bool all;		/* idle ones too */
	const char *filter; /* only what has it in its path, and in a tree what is above; NULL: all */
	bool utf8;
};

struct picture_row {
	size_t node;
	struct pfs_buf label; /* as it is drawn: branches and name, without control characters */
	size_t width;	      /* of it, in columns */
};

struct picture_rows {
	struct picture_row *row; /* owned */
	size_t n;
	size_t hidden; /* nodes left out because they are idle */
};

int picture_rows(const struct picture *picture, const struct picture_view *view,
		 struct picture_rows *ret_rows);
void picture_rows_release(struct picture_rows *rows);

#define PICTURE PFS_CLEANUP(picture_release)

#endif
