/*
 * words - the words of a stage as the name of its directory
 *
 * What was not quoted in the first word may be the tree's own syntax: `head:10`, `dev:eth0,snaplen=96`, with its
 * escapes. All else is meant literally and is escaped. Several words that are a command line are quoted again where
 * they have to be: `exec sh -c 'a; b'` has three words. One alone is the whole line: `exec 'gzip -9'`.
 */
#include "base/base.h"

#include <stdio.h>

#include "base/argv.h"
#include "lang/lang_i.h"

/* A name in the making. */
struct maker {
	struct pfs_buf argument; /* escaped */
	struct pfs_buf quoted;	 /* the same, its words quoted again */
	struct pfs_buf params;	 /* escaped: ",key=value" */
	size_t words;		 /* of the argument */
	struct lang_error *error;
};

static void maker_release(struct maker *maker)
{
	pfs_buf_release(&maker->argument);
	pfs_buf_release(&maker->quoted);
	pfs_buf_release(&maker->params);
}

/* What the table knows of a filter or source. */
struct type {
	bool known;
	const struct pfs_param *params; /* NULL: none */
	bool devices;
	bool argv;
};

static struct type type_of(const char *name, size_t len)
{
	const struct pfs_filter *filter = pfs_filter_find(name, len, false);
	const struct pfs_source *source = pfs_source_find(name, len);

	return (struct type){
		.known = filter || source,
		.params = filter   ? filter->params
			  : source ? source->params
				   : NULL,
		.devices = source && (source->flags & PFS_SOURCE_DEVICES),
		.argv = filter && (filter->flags & PFS_FILTER_ARGV),
	};
}

/* The same of `name:...`, where another filter of that name may be meant: `tcp HOST PORT`. */
static struct type type_with_argument(const char *name, size_t len)
{
	PFS_BUF struct pfs_buf named = { 0 };

	pfs_buf_printf(&named, "%.*s:x", (int)len, name);
	return type_of(named.failed ? name : named.data, len);
}

/* Is [i] the byte c, and not quoted? */
static bool plain_at(const struct lang_token *word, size_t i, char c)
{
	return i < word->size && word->plain[i] && word->text[i] == c;
}

/* Length of a key of the table that stands at [i] as `key=`; 0: there is none. */
static size_t key_at(const struct lang_token *word, size_t i, const struct pfs_param *params)
{
	for (; params && params->key; params++) {
		size_t len = strlen(params->key);
		bool plain = true;

		if (strncmp(word->text + i, params->key, len) != 0 || word->text[i + len] != '=')
			continue;
		for (size_t j = i; j <= i + len; j++)
			plain = plain && word->plain[j];
		if (plain)
			return len;
	}
	return 0;
}

/* Bytes [from, to) of the tree's syntax: escapes and commas stay what they are unless they were quoted. */
static void add_syntax(struct pfs_buf *out, const struct lang_token *word, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		char c = word->text[i];

		if (word->plain[i] && (c == '%' || c == ','))
			pfs_buf_add(out, &c, 1);
		else
			pfs_name_escape(out, &c, 1);
	}
}

/* ",key=value" from [i] of a word, up to its end or the next ",key="; returns where that is. */
static size_t add_param(struct maker *maker, const struct lang_token *word, size_t i, size_t key,
			const struct pfs_param *params)
{
	size_t end = i + key + 1;

	while (end < word->size && !(plain_at(word, end, ',') && key_at(word, end + 1, params)))
		end++;
	pfs_buf_printf(&maker->params, ",%.*s=", (int)key, word->text + i);
	return end;
}

/* The tree's syntax behind the type: ":argument,key=value,..." from [i]. */
static int add_tail(struct maker *maker, const struct lang_token *word, size_t i,
		    const struct type *type)
{
	size_t end = i;

	if (!type->known) { /* who makes the directory will say so */
		add_syntax(&maker->params, word, i, word->size);
		return 0;
	}
	if (!plain_at(word, i, ',')) { /* a colon, or the slash behind `dev` */
		maker->words++;
		while (end < word->size &&
		       !(plain_at(word, end, ',') && key_at(word, end + 1, type->params)))
			end++;
		add_syntax(&maker->argument, word, i + 1, end);
		add_syntax(&maker->quoted, word, i + 1, end);
	}
	while (end < word->size) {
		size_t key = key_at(word, end + 1, type->params), from = end + 1;

		if (!key)
			return lang_wrong(maker->error, EINVAL, word->at,
					  "'%.40s' has no parameter '%.60s'", word->text,
					  word->text + end + 1);
		end = add_param(maker, word, from, key, type->params);
		add_syntax(&maker->params, word, from + key + 1, end);
	}
	return 0;
}

static void add_word(struct maker *maker, const struct lang_token *word, const struct type *type)
{
	size_t key = key_at(word, 0, type->params);
	PFS_BUF struct pfs_buf quoted = { 0 };

	if (key) {
		pfs_buf_printf(&maker->params, ",%.*s=", (int)key, word->text);
		pfs_name_escape(&maker->params, word->text + key + 1, word->size - key - 1);
		return;
	}
	if (maker->words++) {
		pfs_buf_str(&maker->argument, " ");
		pfs_buf_str(&maker->quoted, " ");
	}
	pfs_name_escape(&maker->argument, word->text, word->size);
	pfs_argv_quote(word->text, word->size, &quoted);
	pfs_name_escape(&maker->quoted, quoted.data, quoted.len);
	maker->quoted.failed |= quoted.failed;
}

/* How much of the first word is the type. */
static size_t type_len(const struct lang_token *word)
{
	size_t i = 0;

	while (i < word->size && !plain_at(word, i, ':') && !plain_at(word, i, ',') &&
	       !plain_at(word, i, '/'))
		i++;
	return i;
}

static int check_length(const struct pfs_buf *name, const struct lang_token *word,
			struct lang_error *error)
{
	if (name->failed)
		return -ENOMEM;
	if (name->len > PFS_NAME_MAX)
		return lang_wrong(error, EINVAL, word->at,
				  "the directory of this stage would have a name of %zu bytes, of %d that are "
				  "possible; shorten the argument",
				  name->len, PFS_NAME_MAX);
	return 0;
}

/* argv: the argument is a command line, whose words are told apart if they are several. */
static int finish(struct maker *maker, bool argv, const char *type, size_t len,
		  const struct lang_token *word, char **ret_name)
{
	const struct pfs_buf *argument = argv && maker->words > 1 ? &maker->quoted : &maker->argument;
	PFS_BUF struct pfs_buf name = { 0 };
	int r;

	pfs_name_escape(&name, type, len);
	if (maker->words)
		pfs_buf_printf(&name, ":%s", argument->len ? argument->data : "");
	if (maker->params.len)
		pfs_buf_str(&name, maker->params.data);
	if (argument->failed || maker->params.failed)
		return -ENOMEM;
	r = check_length(&name, word, maker->error);
	if (r == 0)
		*ret_name = TAKE_PTR(name.data);
	return r;
}

/* ".", ".." and the hidden files are no directories that could be made. */
static int check_type(const struct lang_token *word, size_t len, bool devices, struct lang_error *error)
{
	if (len == 0 || word->text[0] == '.')
		return lang_wrong(error, EINVAL, word->at,
				  "'%.60s' cannot be the name of a stage; `ls .filters` names the filters",
				  word->text);
	for (size_t i = 0; i < len; i++)
		if (plain_at(word, i, '+'))
			return lang_wrong(error, EINVAL, word->at,
					  "'%.60s' is one word: put a blank before the '+'",
					  word->text);
	if (plain_at(word, len, '/') && !devices)
		return lang_wrong(error, EINVAL, word->at,
				  "'%.60s' is one word: stages are separated by bars, and only the argument of a "
				  "stage may have slashes",
				  word->text);
	return 0;
}

int lang_name(const char *type, const struct lang_token *words, size_t n, char **ret_name,
	      struct lang_error *error)
{
	PFS_CLEANUP(maker_release) struct maker maker = { .error = error };
	struct type known;
	size_t len;
	int r = 0;

	if (type) {
		known = type_of(type, strlen(type));
		for (size_t i = 0; i < n; i++)
			add_word(&maker, &words[i], &known);
		return finish(&maker, false, type, strlen(type), &words[0], ret_name);
	}
	len = type_len(&words[0]);
	known = type_of(words[0].text, len);
	for (size_t i = 1; i < n; i++)
		if (!key_at(&words[i], 0, known.params))
			known = type_with_argument(words[0].text, len);
	r = check_type(&words[0], len, known.devices, error);
	if (r == 0 && len < words[0].size)
		r = add_tail(&maker, &words[0], len, &known);
	for (size_t i = 1; r == 0 && i < n; i++)
		add_word(&maker, &words[i], &known);
	return r < 0 ? r : finish(&maker, known.argv, words[0].text, len, &words[0], ret_name);
}

int lang_class_name(const struct lang_token *word, char **ret_name, struct lang_error *error)
{
	PFS_BUF struct pfs_buf name = { 0 };
	int r;

	if (word->size == 0 || word->text[0] == '.')
		return lang_wrong(error, EINVAL, word->at, "'%.60s' cannot be the name of a class",
				  word->text);
	for (size_t i = 0; i < word->size; i++) {
		unsigned char c = (unsigned char)word->text[i];

		if (c < 0x20 || c == 0x7f || c == '/')
			pfs_name_escape(&name, &word->text[i], 1);
		else
			pfs_buf_add(&name, &word->text[i], 1);
	}
	r = check_length(&name, word, error);
	if (r == 0)
		*ret_name = TAKE_PTR(name.data);
	return r;
}
