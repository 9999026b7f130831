/*
 * lang - the pipeline language: a text in, the directories it stands for out
 *
 *	pcapin trace.pcap | tcp | dstport |80 inspect
 *
 *	program  = pipeline { ( "+" | newline ) pipeline }
 *	pipeline = [ element { "|" element } ] [ ">" FILE { KEY=VALUE } ]	one of the two at least
 *	element  = [ CLASS ] [ stage ] | "(" program ")"			one of the two at least
 *	stage    = NAME { KEY=VALUE | ARGUMENT }
 *
 * A *stage* is one directory. Its words after the first are the argument, joined by single blanks; KEY=VALUE is a
 * parameter where the table of that filter has the key, else part of the argument. What a directory name would have to
 * escape is escaped here: `pcapin /tmp/t.pcap` is `pcapin:%2ftmp%2ft.pcap`. A first word with a colon or comma is a
 * name as the tree has it: `head:10`, `dev:eth0,snaplen=96`, and so is `dev/eth0`.
 *
 * A *class* is a condition: only records of that class go on. The first word behind a bar is one when the stage before
 * it may have a class of that name: when it is in its closed set (`httpplus |get`), or the set is open (`dstport |80`)
 * and the word is either no filter's name or stands right behind the bar.
 *
 * *Branches*: each branch of a group gets all that comes into the group, and whatever follows the group follows each
 * branch by itself: `a | ( b + c ) | d` is `a | b | d + a | c | d`. Equal stages at an equal place are one. The program
 * gives what comes out of the last stage of every branch; `> FILE` is the sink file:FILE and gives nothing.
 *
 * Words end at blanks. | ( ) > < ; & and newlines are not part of a word unless they are quoted, nor + and # at its
 * beginning (# begins a comment). 'single quotes' take all as it is; in "double quotes" and outside, a backslash takes
 * the next character as it is (and a newline away). A newline ends a pipeline, but not behind | + ( nor before
 * | + ) >.
 *
 * Pure: no files, no tree, no output. Whether a filter exists, fits and likes its argument is not asked here: making
 * the directory tells. Bounded: LANG_TEXT_MAX, LANG_STAGES_MAX, LANG_DEPTH_MAX.
 */
#ifndef PFS_LANG_LANG_H
#define PFS_LANG_LANG_H

#include "base/base.h"

#define LANG_TEXT_MAX ((size_t)64 << 10)
#define LANG_STAGES_MAX 1024
#define LANG_DEPTH_MAX 62 /* stages one after the other; nested groups */
#define LANG_TOP SIZE_MAX /* above of a source */

enum lang_kind {
	LANG_STAGE, /* a filter, sink, or (at the top) source */
	LANG_CLASS, /* a class of the stage above */
	LANG_FILE,  /* > FILE */
};

struct lang_stage {
	enum lang_kind kind;
	size_t above; /* index of the stage above, smaller than its own; LANG_TOP: a source */
	char *name;   /* owned; the directory's name */
	size_t at;    /* where it stands in the text, and how many bytes */
	size_t len;
	bool end; /* what comes out of it is what the program gives */
};

struct lang_program {
	struct lang_stage *stage; /* owned; whoever is above comes before */
	size_t n;
};

/* Why a text is no program, and where. */
struct lang_error {
	size_t at; /* byte in the text */
	struct pfs_diag diag;
};

/*
 * -EINVAL with *ret_error, -E2BIG (too long, too many stages; *ret_error too), -ENOMEM. A text of comments alone is a
 * program of no stages.
 */
int lang_parse(const char *text, size_t len, struct lang_program *ret_program,
	       struct lang_error *ret_error);
void lang_program_release(struct lang_program *program);

/*
 * Path of a stage below the directory that the sources lie in: "pcapin:t.pcap/tcp". at_root: as at the root of the
 * tree, where devices lie in a folder: "dev/eth0/tcp".
 */
void lang_path(const struct lang_program *program, size_t stage, bool at_root, struct pfs_buf *out);

/* Line and column, from 1, of a byte of the text; columns are characters of UTF-8. */
void lang_position(const char *text, size_t len, size_t at, size_t *ret_line, size_t *ret_column);
/* That line of the text, and below it a caret under that column: for people. Control characters are blanks. */
void lang_point(const char *text, size_t len, size_t at, struct pfs_buf *out);

#define LANG_PROGRAM PFS_CLEANUP(lang_program_release)

#endif
