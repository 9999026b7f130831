/*
 * lang_i - the steps of the language
 *
 *	tokens.c	text to tokens
 *	parse.c		tokens to stages
 *	words.c		the words of one stage to the name of its directory
 *	point.c		where in the text something is, for people
 */
#ifndef PFS_LANG_LANG_I_H
#define PFS_LANG_LANG_I_H

#include "graph/tables.h"
#include "lang/lang.h"

enum lang_token_kind {
	LANG_WORD,
	LANG_BAR,
	LANG_PLUS,
	LANG_OPEN,
	LANG_CLOSE,
	LANG_GREATER,
	LANG_LINE, /* only between two pipelines */
	LANG_END,
};

struct lang_token {
	enum lang_token_kind kind;
	size_t at, len; /* in the text, with its quotes */
	bool close;	/* stands right behind the token before it */
	/* words: */
	char *text;  /* owned; without quotes, ends with NUL */
	bool *plain; /* owned; by byte of text: it was not quoted */
	size_t size; /* bytes of text */
};

struct lang_tokens {
	struct lang_token *token; /* owned; the last one is LANG_END */
	size_t n;
};

/* As lang_parse(). */
int lang_tokenize(const char *text, size_t len, struct lang_tokens *ret_tokens,
		  struct lang_error *error);
void lang_tokens_release(struct lang_tokens *tokens);

/* Sets the sentence and where it belongs; returns -err. */
int lang_wrong(struct lang_error *error, int err, size_t at, const char *fmt, ...) PFS_PRINTF(4, 5);

/* The words of a stage (n > 0) as a directory's name. type: instead of a first word, "file" of `> FILE`; or NULL. */
int lang_name(const char *type, const struct lang_token *words, size_t n, char **ret_name,
	      struct lang_error *error);
/* The name of a class. */
int lang_class_name(const struct lang_token *word, char **ret_name, struct lang_error *error);

#endif
