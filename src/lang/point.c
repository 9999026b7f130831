/*
 * point - shows where in a text something is wrong
 */
#include "base/base.h"

#include "lang/lang_i.h"

#define SHOWN 72 /* columns of a long line, around the place */

static bool begins_char(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t line_begin(const char *text, size_t at)
{
	while (at > 0 && text[at - 1] != '\n')
		at--;
	return at;
}

void lang_position(const char *text, size_t len, size_t at, size_t *ret_line, size_t *ret_column)
{
	size_t line = 1, column = 1;

	at = pfs_min(at, len);
	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	for (size_t i = line_begin(text, at); i < at; i++)
		column += begins_char(text[i]);
	*ret_line = line;
	*ret_column = column;
}

void lang_point(const char *text, size_t len, size_t at, struct pfs_buf *out)
{
	size_t begin, end, line, column;

	at = pfs_min(at, len);
	lang_position(text, len, at, &line, &column);
	begin = line_begin(text, at);
	for (end = at; end < len && text[end] != '\n';)
		end++;
	while (column > SHOWN / 2 + 1 && begin < at) {
		begin++;
		column -= begin < len && begins_char(text[begin]);
	}
	pfs_buf_str(out, "  ");
	for (size_t i = begin, shown = 0; i < end; i++) {
		unsigned char c = (unsigned char)text[i];

		shown += begins_char(text[i]);
		if (shown > SHOWN)
			break;
		pfs_buf_add(out, c < 0x20 || c == 0x7f ? " " : &text[i], 1);
	}
	pfs_buf_printf(out, "\n  %*s^\n", (int)(column - 1), "");
}
