#include "packet/match.h"

#include "config.h"

#ifdef HAVE_HS

#include <hs.h>

struct pkt_match {
	hs_database_t *block, *stream; /* owned */
	hs_scratch_t *scratch;	       /* owned */
	uint32_t longest;
};

struct pkt_match_stream {
	hs_stream_t *hs; /* owned */
	uint64_t at;	 /* bytes so far */
};

static int compile(const char *text, size_t len, bool regex, unsigned flags, unsigned mode,
		   hs_database_t **ret_db, struct pfs_diag *diag)
{
	hs_compile_error_t *error = NULL;
	hs_error_t r;

	r = regex ? hs_compile(text, flags | HS_FLAG_MULTILINE | HS_FLAG_DOTALL, mode, NULL, ret_db,
			       &error)
		  : hs_compile_lit(text, flags, len, mode, NULL, ret_db, &error);
	if (r == HS_SUCCESS)
		return 0;
	pfs_diag_set(diag, EINVAL, "'%.80s': %.120s", text,
		     error ? error->message : "cannot be compiled");
	hs_free_compile_error(error);
	return -EINVAL;
}

/* Bytes of the longest match. */
static uint32_t longest_of(const char *text, size_t len, bool regex, unsigned flags)
{
	hs_compile_error_t *error = NULL;
	hs_expr_info_t *info = NULL;
	uint32_t longest = (uint32_t)len;

	if (!regex)
		return longest;
	longest = PKT_MATCH_UNBOUNDED;
	if (hs_expression_info(text, flags | HS_FLAG_MULTILINE | HS_FLAG_DOTALL, &info, &error) ==
	    HS_SUCCESS)
		longest = info->max_width > 0 ? info->max_width : 1;
	free(info);
	hs_free_compile_error(error);
	return longest;
}

int pkt_match_new(const char *text, size_t len, bool regex, bool nocase,
		  struct pkt_match **ret_match, struct pfs_diag *diag)
{
	unsigned flags = nocase ? HS_FLAG_CASELESS : 0;
	PFS_FREE char *copy = strndup(text, len);
	struct pkt_match *match;
	int r;

	if (len == 0)
		return pfs_diag_set(diag, EINVAL, "grep:STRING needs something to look for");
	if (hs_valid_platform() != HS_SUCCESS)
		return pfs_diag_set(diag, ENOTSUP, "the search library does not run on this processor");
	match = copy ? pfs_zalloc(1, sizeof(*match)) : NULL;
	if (!match)
		return -ENOMEM;
	match->longest = longest_of(copy, len, regex, flags);
	r = compile(copy, len, regex, flags, HS_MODE_BLOCK, &match->block, diag);
	if (r == 0)
		r = compile(copy, len, regex, flags, HS_MODE_STREAM, &match->stream, diag);
	if (r == 0 && (hs_alloc_scratch(match->block, &match->scratch) != HS_SUCCESS ||
		       hs_alloc_scratch(match->stream, &match->scratch) != HS_SUCCESS))
		r = -ENOMEM;
	if (r < 0) {
		pkt_match_free(match);
		return r;
	}
	*ret_match = match;
	return 0;
}

void pkt_match_free(struct pkt_match *match)
{
	if (!match)
		return;
	hs_free_scratch(match->scratch);
	hs_free_database(match->block);
	hs_free_database(match->stream);
	free(match);
}

uint32_t pkt_match_longest(const struct pkt_match *match)
{
	return match->longest;
}

static int take_first(unsigned id, unsigned long long from, unsigned long long to, unsigned flags,
		      void *context)
{
	uint64_t *first = context;

	(void)id;
	(void)from;
	(void)flags;
	if (to < *first)
		*first = to;
	return 0; /* a stream that is stopped cannot go on */
}

static int take_and_stop(unsigned id, unsigned long long from, unsigned long long to,
			 unsigned flags, void *context)
{
	return !take_first(id, from, to, flags, context);
}

uint64_t pkt_match_first(struct pkt_match *match, const uint8_t *p, size_t n)
{
	uint64_t first = PKT_MATCH_NONE;

	hs_scan(match->block, (const char *)p, (unsigned)n, 0, match->scratch, take_and_stop, &first);
	return first;
}

struct pkt_match_stream *pkt_match_stream_new(struct pkt_match *match)
{
	struct pkt_match_stream *stream = pfs_zalloc(1, sizeof(*stream));

	if (stream && hs_open_stream(match->stream, 0, &stream->hs) != HS_SUCCESS)
		free(TAKE_PTR(stream));
	return stream;
}

void pkt_match_stream_free(struct pkt_match *match, struct pkt_match_stream *stream)
{
	(void)match;
	if (!stream)
		return;
	hs_close_stream(stream->hs, NULL, NULL, NULL);
	free(stream);
}

void pkt_match_stream_reset(struct pkt_match *match, struct pkt_match_stream *stream)
{
	hs_reset_stream(stream->hs, 0, match->scratch, NULL, NULL);
	stream->at = 0;
}

uint64_t pkt_match_next(struct pkt_match *match, struct pkt_match_stream *stream, const uint8_t *p,
			size_t n)
{
	uint64_t first = PKT_MATCH_NONE;

	if (n == 0)
		return PKT_MATCH_NONE;
	hs_scan_stream(stream->hs, (const char *)p, (unsigned)n, 0, match->scratch, take_first, &first);
	if (first != PKT_MATCH_NONE)
		first -= pfs_min64(first, stream->at);
	stream->at += n;
	return first;
}

#else

#include <ctype.h>

struct pkt_match {
	bool nocase;
	uint32_t len;
	uint8_t *text;	/* owned */
	uint32_t *fail; /* owned; where to go on after so many that fit */
};

struct pkt_match_stream {
	uint32_t fit; /* bytes of the text that end here */
};

static uint8_t fold(const struct pkt_match *match, uint8_t c)
{
	return match->nocase ? (uint8_t)tolower(c) : c;
}

static uint32_t step(const struct pkt_match *match, uint32_t fit, uint8_t c)
{
	c = fold(match, c);
	while (fit > 0 && (fit == match->len || match->text[fit] != c))
		fit = match->fail[fit];
	return fit + (match->text[fit] == c);
}

int pkt_match_new(const char *text, size_t len, bool regex, bool nocase,
		  struct pkt_match **ret_match, struct pfs_diag *diag)
{
	struct pkt_match *match;

	if (len == 0)
		return pfs_diag_set(diag, EINVAL, "grep:STRING needs something to look for");
	if (regex)
		return pfs_diag_set(
			diag, ENOTSUP,
			"regular expressions need Vectorscan: this program was built without libhs");
	match = pfs_zalloc(1, sizeof(*match));
	if (!match)
		return -ENOMEM;
	match->nocase = nocase;
	match->len = (uint32_t)len;
	match->text = malloc(len);
	match->fail = pfs_zalloc(len + 1, sizeof(*match->fail));
	if (!match->text || !match->fail) {
		pkt_match_free(match);
		return -ENOMEM;
	}
	for (size_t i = 0; i < len; i++)
		match->text[i] = fold(match, (uint8_t)text[i]);
	for (uint32_t i = 1; i < len; i++)
		match->fail[i + 1] = step(match, match->fail[i], match->text[i]);
	*ret_match = match;
	return 0;
}

void pkt_match_free(struct pkt_match *match)
{
	if (!match)
		return;
	free(match->text);
	free(match->fail);
	free(match);
}

uint32_t pkt_match_longest(const struct pkt_match *match)
{
	return match->len;
}

struct pkt_match_stream *pkt_match_stream_new(struct pkt_match *match)
{
	(void)match;
	return pfs_zalloc(1, sizeof(struct pkt_match_stream));
}

void pkt_match_stream_free(struct pkt_match *match, struct pkt_match_stream *stream)
{
	(void)match;
	free(stream);
}

void pkt_match_stream_reset(struct pkt_match *match, struct pkt_match_stream *stream)
{
	(void)match;
	stream->fit = 0;
}

uint64_t pkt_match_next(struct pkt_match *match, struct pkt_match_stream *stream, const uint8_t *p,
			size_t n)
{
	uint64_t first = PKT_MATCH_NONE;

	for (size_t i = 0; i < n; i++) {
		stream->fit = step(match, stream->fit, p[i]);
		if (stream->fit == match->len && first == PKT_MATCH_NONE)
			first = i + 1;
	}
	return first;
}

uint64_t pkt_match_first(struct pkt_match *match, const uint8_t *p, size_t n)
{
	struct pkt_match_stream stream = { 0 };

	return pkt_match_next(match, &stream, p, n);
}

#endif
