/*
 * complete_i - what may stand at the cursor of a command line
 *
 *	complete.c	the command: which place it is, and what may stand there
 *	complete_line.c	a word of the shell's, a place in a pipeline: where the cursor is in them
 */
#ifndef PFS_CMD_COMPLETE_I_H
#define PFS_CMD_COMPLETE_I_H

#include "base/base.h"

/* The word without its quotes, as far as it goes: the last quote may be open. */
void complete_unquote(const char *word, struct pfs_buf *out);

enum complete_place {
	PLACE_SOURCE,	/* a source's name */
	PLACE_STAGE,	/* a filter's, or a class of the stage before */
	PLACE_FILE,	/* a file's */
	PLACE_ARGUMENT, /* of the stage */
};

/* Where a pipeline that ends at the cursor goes on. */
struct complete_cursor {
	enum complete_place place;
	size_t begin;	 /* byte of the text where the unfinished word begins */
	char stage[64];	 /* type of the stage whose argument it is; "": none */
	char before[64]; /* type of the stage before the bar; "": none */
	bool attached;	 /* it stands right behind the bar */
};
void complete_pipeline(const char *text, struct complete_cursor *ret_cursor);

#endif
