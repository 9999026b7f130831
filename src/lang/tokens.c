/*
 * tokens - the text of a pipeline as words and operators
 */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

#include "lang/lang_i.h"

#define OPERATORS "|()>"
#define REFUSED "<;&"

struct lexer {
	const char *text;
	size_t len, at;
	struct lang_tokens tokens;
	struct lang_error *error;
	size_t last_end; /* of the token before */
};

int lang_wrong(struct lang_error *error, int err, size_t at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error->diag.text, sizeof(error->diag.text), fmt, ap);
	va_end(ap);
	error->at = at;
	return -err;
}

static void token_release(struct lang_token *token)
{
	free(token->text);
	free(token->plain);
}

void lang_tokens_release(struct lang_tokens *tokens)
{
	for (size_t i = 0; i < tokens->n; i++)
		token_release(&tokens->token[i]);
	free(tokens->token);
	*tokens = (struct lang_tokens){ 0 };
}

/* Takes over what a word owns. */
static int add(struct lexer *lexer, struct lang_token token)
{
	struct lang_tokens *tokens = &lexer->tokens;

	if (!(tokens->n & (tokens->n - 1))) {
		void *grown = reallocarray(tokens->token, tokens->n ? 2 * tokens->n : 1,
					   sizeof(*tokens->token));

		if (!grown) {
			token_release(&token);
			return -ENOMEM;
		}
		tokens->token = grown;
	}
	token.close = tokens->n && token.at == lexer->last_end;
	lexer->last_end = token.at + token.len;
	tokens->token[tokens->n++] = token;
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_at(const struct lexer *lexer, const char *set)
{
	char c = lexer->at < lexer->len ? lexer->text[lexer->at] : '\0';

	return c && strchr(set, c);
}

/* Blanks, comments, and newlines behind a backslash. */
static void skip(struct lexer *lexer)
{
	const char *text = lexer->text;

	for (; lexer->at < lexer->len; lexer->at++) {
		size_t at = lexer->at;

		if (text[at] == '\\' && at + 1 < lexer->len && text[at + 1] == '\n') {
			lexer->at++;
			continue;
		}
		if (text[at] == '#') {
			const char *end = memchr(text + at, '\n', lexer->len - at);

			lexer->at = end ? (size_t)(end - text) : lexer->len;
			return;
		}
		if (!is_blank(text[at]))
			return;
	}
}

/* --- words ------------------------------------------------------------------------------------ */

struct word {
	struct pfs_buf text, plain;
};

static void word_release(struct word *word)
{
	pfs_buf_release(&word->text);
	pfs_buf_release(&word->plain);
}

static int word_add(struct lexer *lexer, struct word *word, size_t at, bool plain)
{
	bool byte = plain;

	if (!lexer->text[at])
		return lang_wrong(lexer->error, EINVAL, at, "a zero byte cannot be part of a pipeline");
	pfs_buf_add(&word->text, lexer->text + at, 1);
	pfs_buf_add(&word->plain, &byte, sizeof(byte));
	return word->text.failed || word->plain.failed ? -ENOMEM : 0;
}

/* A backslash: the next byte as it is. At the end of the text there is none. */
static int word_escape(struct lexer *lexer, struct word *word)
{
	size_t at = lexer->at + 1;

	if (at == lexer->len)
		return lang_wrong(lexer->error, EINVAL, lexer->at,
				  "nothing follows this backslash; '\\\\' stands for one itself");
	lexer->at += 2;
	if (lexer->text[at] == '\n')
		return 0;
	return word_add(lexer, word, at, false);
}

static int word_quoted(struct lexer *lexer, struct word *word)
{
	size_t begin = lexer->at;
	char quote = lexer->text[begin];
	int r = 0;

	lexer->at++;
	while (r == 0 && lexer->at < lexer->len && lexer->text[lexer->at] != quote) {
		if (quote == '"' && lexer->text[lexer->at] == '\\')
			r = word_escape(lexer, word);
		else
			r = word_add(lexer, word, lexer->at++, false);
	}
	if (r == 0 && lexer->at == lexer->len)
		return lang_wrong(lexer->error, EINVAL, begin, "this quote is not closed");
	lexer->at++;
	return r;
}

static int read_word(struct lexer *lexer)
{
	PFS_CLEANUP(word_release) struct word word = { 0 };
	size_t begin = lexer->at;
	struct lang_token token;
	int r = 0;

	/* So that even "" has both. */
	pfs_buf_add(&word.text, "", 0);
	pfs_buf_add(&word.plain, "", 0);
	while (r == 0 && lexer->at < lexer->len && !is_blank(lexer->text[lexer->at]) &&
	       !is_at(lexer, OPERATORS REFUSED "\n")) {
		char c = lexer->text[lexer->at];

		if (c == '\'' || c == '"')
			r = word_quoted(lexer, &word);
		else if (c == '\\')
			r = word_escape(lexer, &word);
		else
			r = word_add(lexer, &word, lexer->at++, true);
	}
	if (r < 0 || word.text.failed || word.plain.failed)
		return r < 0 ? r : -ENOMEM;
	token = (struct lang_token){ .kind = LANG_WORD, .at = begin, .len = lexer->at - begin };
	token.size = word.text.len;
	token.text = TAKE_PTR(word.text.data);
	token.plain = (bool *)(void *)TAKE_PTR(word.plain.data);
	return add(lexer, token);
}

/* --- operators -------------------------------------------------------------------------------- */

static int refuse(struct lexer *lexer)
{
	char c = lexer->text[lexer->at];

	if (c == '<')
		return lang_wrong(lexer->error, EINVAL, lexer->at,
				  "'<' has no meaning here: the source `accept` reads the standard input; quote '<' "
				  "if it belongs to an argument");
	return lang_wrong(lexer->error, EINVAL, lexer->at,
			  "'%c' has no meaning here; quote it if it belongs to an argument", c);
}

static int read_operator(struct lexer *lexer)
{
	struct lang_token token = { .at = lexer->at, .len = 1 };

	switch (lexer->text[lexer->at]) {
	case '|':
		token.kind = LANG_BAR;
		break;
	case '+':
		token.kind = LANG_PLUS;
		break;
	case '(':
		token.kind = LANG_OPEN;
		break;
	case ')':
		token.kind = LANG_CLOSE;
		break;
	case '>':
		token.kind = LANG_GREATER;
		break;
	default:
		token.kind = LANG_LINE;
		break;
	}
	lexer->at++;
	if (token.kind == LANG_GREATER && is_at(lexer, ">"))
		return lang_wrong(lexer->error, EINVAL, token.at,
				  "there is no '>>': write '> FILE append=1'");
	return add(lexer, token);
}

static bool continues(enum lang_token_kind kind)
{
	return kind == LANG_BAR || kind == LANG_PLUS || kind == LANG_OPEN || kind == LANG_LINE;
}

static bool joins(enum lang_token_kind kind)
{
	return kind == LANG_BAR || kind == LANG_PLUS || kind == LANG_CLOSE ||
	       kind == LANG_GREATER || kind == LANG_LINE || kind == LANG_END;
}

/* Only newlines that separate two pipelines are left. */
static void drop_lines(struct lang_tokens *tokens)
{
	size_t n = 0;

	for (size_t i = 0; i < tokens->n; i++) {
		bool line = tokens->token[i].kind == LANG_LINE;

		if (line && (n == 0 || continues(tokens->token[n - 1].kind) ||
			     joins(tokens->token[i + 1].kind)))
			continue;
		tokens->token[n++] = tokens->token[i];
	}
	tokens->n = n;
}

int lang_tokenize(const char *text, size_t len, struct lang_tokens *ret_tokens, struct lang_error *error)
{
	struct lexer lexer = { .text = text, .len = len, .error = error };
	int r = 0;

	if (len > LANG_TEXT_MAX)
		r = lang_wrong(error, E2BIG, LANG_TEXT_MAX, "a program has at most %zu bytes",
			       LANG_TEXT_MAX);
	while (r == 0 && (skip(&lexer), lexer.at < len)) {
		if (is_at(&lexer, REFUSED))
			r = refuse(&lexer);
		else if (is_at(&lexer, OPERATORS "+\n"))
			r = read_operator(&lexer);
		else
			r = read_word(&lexer);
	}
	if (r == 0)
		r = add(&lexer, (struct lang_token){ .kind = LANG_END, .at = len });
	if (r < 0) {
		lang_tokens_release(&lexer.tokens);
		return r;
	}
	drop_lines(&lexer.tokens);
	*ret_tokens = lexer.tokens;
	return 0;
}
