/*
 * complete_line - reads what is not finished yet
 */
#include <ctype.h>

#include "cmd/complete_i.h"

void complete_unquote(const char *word, struct pfs_buf *out)
{
	char quote = 0;

	pfs_buf_str(out, "");
	for (; *word; word++) {
		if (quote ? *word == quote : (*word == '\'' || *word == '"')) {
			quote = quote ? 0 : *word;
			continue;
		}
		if (*word == '\\' && quote != '\'' && word[1])
			word++;
		pfs_buf_add(out, word, 1);
	}
}

/* The reading of a pipeline up to some byte. */
struct reading {
	struct complete_cursor cursor;
	bool in_word;
	bool stage_named; /* the stage has its name */
	bool class_named; /* a class right behind the bar: a name may follow */
	unsigned depth;
	char open[64][64]; /* the stage before each open group */
	char last[64];	   /* the stage that is at its end */
};

static void copy(char to[64], const char *from, size_t len)
{
	len = pfs_min(len, 63);
	memcpy(to, from, len);
	to[len] = '\0';
}

static void word_ends(struct reading *r, const char *text, size_t end)
{
	struct complete_cursor *cursor = &r->cursor;
	size_t len = 0;

	if (!r->in_word)
		return;
	r->in_word = false;
	if (cursor->place != PLACE_SOURCE && cursor->place != PLACE_STAGE)
		return;
	while (cursor->begin + len < end && !strchr(":,/", text[cursor->begin + len]))
		len++;
	copy(cursor->stage, text + cursor->begin, len);
	cursor->place = PLACE_ARGUMENT;
}

/* What stands before it comes in from the left of the next stage. */
static void operator_at(struct reading *r, char c)
{
	struct complete_cursor *cursor = &r->cursor;

	if (cursor->stage[0])
		copy(r->last, cursor->stage, strlen(cursor->stage));
	cursor->stage[0] = '\0';
	if (c == '(' && r->depth < 63) {
		copy(r->open[r->depth++], cursor->before, strlen(cursor->before));
		return;
	}
	if (c == ')') {
		r->depth -= r->depth > 0;
		cursor->before[0] = '\0';
		cursor->place = PLACE_STAGE;
		return;
	}
	if (c == '|')
		copy(cursor->before, r->last, strlen(r->last));
	else if (r->depth)
		copy(cursor->before, r->open[r->depth - 1], strlen(r->open[r->depth - 1]));
	else
		cursor->before[0] = '\0';
	cursor->place = c == '>'			? PLACE_FILE
			: cursor->before[0] || c == '|' ? PLACE_STAGE
							: PLACE_SOURCE;
}

void complete_pipeline(const char *text, struct complete_cursor *ret_cursor)
{
	struct reading r = { 0 };
	char quote = 0;
	size_t i;

	for (i = 0; text[i]; i++) {
		char c = text[i];
		bool begins = !r.in_word && !isspace((unsigned char)c);

		if (quote) {
			quote = c == quote ? 0 : quote;
			continue;
		}
		if (isspace((unsigned char)c) || strchr("|()>", c) || (begins && c == '+')) {
			word_ends(&r, text, i);
			if (c == '\n')
				operator_at(&r, '+');
			else if (!isspace((unsigned char)c))
				operator_at(&r, c);
			continue;
		}
		if (begins) {
			r.in_word = true;
			r.cursor.begin = i;
			r.cursor.attached = i > 0 && text[i - 1] == '|';
		}
		if (c == '\'' || c == '"')
			quote = c;
		else if (c == '\\' && text[i + 1])
			i++;
	}
	if (!r.in_word) {
		r.cursor.begin = i;
		r.cursor.attached = i > 0 && text[i - 1] == '|';
	}
	*ret_cursor = r.cursor;
}
