/*
 * stages - the directories of a program of the pipeline language, made in a mounted tree
 *
 * Who makes them speaks for itself: what is refused is said once, with the place in the text and the sentence that the
 * tree has for it in .errors.
 */
#ifndef PFS_CMD_STAGES_H
#define PFS_CMD_STAGES_H

#include "base/base.h"
#include "lang/lang.h"

/* A text, and how to call it when something is wrong in it. */
struct stages_text {
	const char *file; /* NULL: the command line */
	const char *text;
	size_t len;
	bool log; /* into the system's log, too */
};

/* Says a sentence about a place in the text on stderr: with line and column, and for people with the line itself. */
void stages_say(const struct stages_text *text, size_t at, const char *sentence);

/* Parses. Exit status, after the sentence was said. */
int stages_parse(const struct stages_text *text, struct lang_program *ret_program);

struct stages {
	const struct lang_program *program; /* borrowed */
	const struct stages_text *text;	    /* borrowed */
	int root;			    /* borrowed: descriptor of the mount's root */
	const char *below;		    /* borrowed: "/run:4711", or "" for the root itself */
	int *dir;			    /* owned: a descriptor for each stage, -1: not made */
};

/*
 * Makes them all, those above first; a directory that is there already is fine. After a failure nothing below it is
 * made, but all else is. Exit status; the sentences were said.
 */
int stages_make(struct stages *stages);
void stages_release(struct stages *stages);

/*
 * What .errors says last of a call on path (as in the tree, "/run:4711/tcp") that failed with -error, or the errno's
 * text.
 */
void stages_reason(int root, const char *path, int error, struct pfs_buf *out);
/* The path of a stage in the tree. */
void stages_path(const struct stages *stages, size_t stage, struct pfs_buf *out);

#endif
