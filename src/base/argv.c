#include "base/argv.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Where the next word begins; continued lines are passed over like blanks. */
static const char *word_begin(const char *s)
{
	for (;;) {
		if (is_blank(*s))
			s++;
		else if (*s == '\\' && (is_blank(s[1]) || s[1] == '\0'))
			s++;
		else
			return s;
	}
}

/* One quoted part; s stands behind its opening quote. Returns what follows the closing one, NULL: there is none. */
static const char *quoted_copy(const char *s, char quote, char **to)
{
	for (; *s && *s != quote; s++) {
		if (quote == '"' && *s == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		*(*to)++ = *s;
	}
	return *s ? s + 1 : NULL;
}

/* Copies one word and its NUL. Returns what follows it, NULL: a quote is not closed. */
static const char *word_copy(const char *s, char **to)
{
	while (s && *s && !is_blank(*s)) {
		if (*s == '\'' || *s == '"') {
			s = quoted_copy(s + 1, *s, to);
		} else if (*s == '\\' && s[1] == '\n') {
			s += 2;
		} else {
			if (*s == '\\' && s[1] && strchr(" \t'\"\\", s[1]))
				s++;
			*(*to)++ = *s++;
		}
	}
	*(*to)++ = '\0';
	return s;
}

void pfs_argv_release(struct pfs_argv *argv)
{
	free(argv->v);
	*argv = (struct pfs_argv){ 0 };
}

int pfs_argv_make(const char *const *words, size_t n, struct pfs_argv *ret_argv)
{
	size_t size = (n + 1) * sizeof(char *);
	char **v, *to;

	for (size_t i = 0; i < n; i++)
		size += strlen(words[i]) + 1;
	v = malloc(size);
	if (!v)
		return -ENOMEM;
	to = (char *)(v + n + 1);
	for (size_t i = 0; i < n; i++) {
		v[i] = to;
		to = stpcpy(to, words[i]) + 1;
	}
	v[n] = NULL;
	*ret_argv = (struct pfs_argv){ .n = n, .v = v };
	return 0;
}

int pfs_argv_split(const char *text, struct pfs_argv *ret_argv, struct pfs_diag *diag)
{
	PFS_ARGV struct pfs_argv argv = { 0 };
	size_t len = strlen(text), max = len / 2 + 1; /* each word has a byte and a blank */
	char *to;

	/* A word never needs more than its text and a NUL, for which there is the blank behind it. */
	argv.v = malloc((max + 1) * sizeof(char *) + len + 2);
	if (!argv.v)
		return -ENOMEM;
	to = (char *)(argv.v + max + 1);
	for (const char *s = word_begin(text); *s; s = word_begin(s)) {
		argv.v[argv.n++] = to;
		s = word_copy(s, &to);
		if (!s)
			return pfs_diag_set(
				diag, EINVAL,
				"a quote is not closed in '%.150s' (write \\' or \\\" for a quote)",
				text);
	}
	argv.v[argv.n] = NULL;
	*ret_argv = argv;
	argv.v = NULL;
	return 0;
}

void pfs_argv_quote(const char *word, size_t len, struct pfs_buf *out)
{
	bool plain = len > 0;

	for (size_t i = 0; i < len; i++)
		plain = plain && !strchr(" \t\n'\"\\", word[i]);
	if (plain) {
		pfs_buf_add(out, word, len);
		return;
	}
	pfs_buf_str(out, "\"");
	for (size_t i = 0; i < len; i++)
		pfs_buf_printf(out, "%s%c", word[i] == '"' || word[i] == '\\' ? "\\" : "", word[i]);
	pfs_buf_str(out, "\"");
}
