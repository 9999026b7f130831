/*
 * top_i - `pipesfs top` inside
 *
 *	top.c		the command, readings, the plain output
 *	top_lines.c	what stands in a line
 *	top_screen.c	the terminal: drawing and keys (ncurses)
 */
#ifndef PFS_CMD_TOP_I_H
#define PFS_CMD_TOP_I_H

#include "cmd/picture.h"

#define TOP_FILTER_MAX 64

struct top {
	const char *mount; /* borrowed: the mount point */
	const char *path;  /* borrowed: of what is shown, below the root: "" or "/accept" */
	int root;	   /* borrowed */
	double interval;   /* seconds */
	struct picture now, before;
	bool rated; /* now's rates are over our own interval */
	struct picture_view view;
	struct picture_rows rows;
	char filter[TOP_FILTER_MAX];
	bool paused;
};

/* A new reading, and its rows. -errno with a sentence; what was there stays. */
int top_update(struct top *top, struct pfs_diag *diag);
/* The rows of the last reading once more, after the view was changed. */
int top_arrange(struct top *top);
void top_release(struct top *top);

/* The line above all: what is mounted, how much is used. */
void top_summary(const struct top *top, struct pfs_buf *out);
/* The titles of the columns; `width` columns in all, 0: as many as it takes. */
void top_titles(const struct top *top, size_t width, struct pfs_buf *out);
void top_row(const struct top *top, size_t row, size_t width, struct pfs_buf *out);
/* The readers of a node, a line each; empty without any. */
void top_readers(const struct top *top, const struct picture_node *node, struct pfs_buf *out);

/* True: one of the signals that end a program has come. */
bool top_ended(void);

/* In a terminal, until a key, a signal, or `rounds` readings (0: for ever). -errno; -ENOTTY: there is none. */
int top_screen(struct top *top, uint64_t rounds, struct pfs_diag *diag);

#endif
