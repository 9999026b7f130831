#include "packet/dissect.h"

#include <strings.h>

/* RFC 9110, PATCH (RFC 5789) and WebDAV (RFC 4918). */
const char *const pkt_http_methods[] = {
	"GET",	    "POST",  "PUT",  "HEAD", "DELETE", "OPTIONS", "CONNECT",   "TRACE", "PATCH",
	"PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK",   "UNLOCK",  "PROPPATCH", NULL,
};

#define METHOD_MAX 24 /* letters; longer ones are something else */

/* A run of bytes: borrowed. */
struct span {
	const uint8_t *p;
	size_t n;
};

/* The line at *at without its end; false: it is not complete. A bare LF ends it too (RFC 9112, 2.2). */
static bool line_next(const uint8_t *p, size_t n, size_t *at, struct span *ret_line)
{
	const uint8_t *end = memchr(p + *at, '\n', n - *at);

	if (!end)
		return false;
	ret_line->p = p + *at;
	ret_line->n = (size_t)(end - ret_line->p);
	*at += ret_line->n + 1;
	if (ret_line->n > 0 && ret_line->p[ret_line->n - 1] == '\r')
		ret_line->n--;
	return true;
}

static bool starts_with(struct span s, const char *word)
{
	size_t len = strlen(word);

	return s.n >= len && memcmp(s.p, word, len) == 0;
}

static bool starts_with_nocase(struct span s, const char *word)
{
	size_t len = strlen(word);

	return s.n >= len && strncasecmp((const char *)s.p, word, len) == 0;
}

static struct span trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* "http://host/path" (RFC 9112, 3.2.2): host and path apart. */
static void split_absolute(struct pkt_http_head *head)
{
	struct span rest = { head->path, head->path_len };
	const uint8_t *slash;

	if (starts_with_nocase(rest, "http://"))
		rest = (struct span){ rest.p + 7, rest.n - 7 };
	else if (starts_with_nocase(rest, "https://"))
		rest = (struct span){ rest.p + 8, rest.n - 8 };
	else
		return;
	slash = memchr(rest.p, '/', rest.n);
	if (!slash)
		return; /* the path may be cut off, or is meant to be "/" */
	head->host = rest.p;
	head->host_len = (size_t)(slash - rest.p);
	head->path = slash;
	head->path_len = rest.n - head->host_len;
}

/* Is it " HTTP/1.x", or as much of that as is there? */
static bool is_version(struct span s, bool whole)
{
	static const char word[] = " HTTP/1.";
	size_t len = sizeof(word) - 1;

	if (s.n <= len)
		return !whole && memcmp(s.p, word, s.n) == 0;
	return is_digit(s.p[len]) && (s.n == len + 1 || (!whole && s.p[len + 1] == '\r'));
}

/* The target of a request, up to a space or the end of what is there; false: no request looks like that. */
static bool request_target(struct span s, bool whole, struct pkt_http_head *head)
{
	struct span rest;
	size_t len = 0;

	while (len < s.n && s.p[len] > 0x20 && s.p[len] != 0x7f)
		len++;
	rest = (struct span){ s.p + len, s.n - len };
	if (!is_version(rest, whole) || (len == 0 && s.n > 0))
		return false;
	head->path = s.p;
	head->path_len = len;
	return true;
}

/* Length of the method; 0: none begins here. One that is not known must be followed by a whole line. */
static size_t method_len(struct span s, bool whole, struct pkt_http_head *head)
{
	size_t len = 0;

	while (len < s.n && len <= METHOD_MAX &&
	       ((s.p[len] >= 'A' && s.p[len] <= 'Z') || is_digit(s.p[len]) || s.p[len] == '-' ||
		s.p[len] == '_'))
		len++;
	if (len == 0 || len > METHOD_MAX || len == s.n || s.p[len] != ' ')
		return 0;
	for (unsigned i = 0; pkt_http_methods[i] && !head->method; i++)
		if (strlen(pkt_http_methods[i]) == len && starts_with(s, pkt_http_methods[i]))
			head->method = pkt_http_methods[i];
	return head->method || whole ? len : 0;
}

static bool request_line(struct span s, bool whole, struct pkt_http_head *head)
{
	size_t len = method_len(s, whole, head);

	if (len == 0)
		return false;
	head->method_text = s.p;
	head->method_len = len;
	s = (struct span){ s.p + len + 1, s.n - len - 1 };
	if ((s.n == 0 && !head->method) || !request_target(s, whole, head))
		return false;
	if (whole)
		head->minor = s.p[s.n - 1] - '0';
	head->kind = PKT_HTTP_REQUEST;
	return true;
}

/* "HTTP/1.1 200 OK"; the reason may be missing. */
static bool status_line(struct span s, struct pkt_http_head *head)
{
	if (!starts_with(s, "HTTP/1.") || s.n < 12 || !is_digit(s.p[7]) || s.p[8] != ' ')
		return false;
	if (!is_digit(s.p[9]) || !is_digit(s.p[10]) || !is_digit(s.p[11]))
		return false;
	if (s.n > 12 && s.p[12] != ' ')
		return false;
	head->kind = PKT_HTTP_RESPONSE;
	head->minor = s.p[7] - '0';
	head->status = (s.p[9] - '0') * 100u + (s.p[10] - '0') * 10u + (s.p[11] - '0');
	return true;
}

/* -1: not a number. */
static int64_t parse_length(struct span s)
{
	int64_t value = 0;

	if (s.n == 0)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_digit(s.p[i]) || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, s.p[i] - '0', &value))
			return -1;
	}
	return value;
}

/* Is the last transfer coding chunked? */
static bool is_chunked(struct span value)
{
	static const char word[] = "chunked";
	size_t len = sizeof(word) - 1;

	return value.n >= len && strncasecmp((const char *)value.p + value.n - len, word, len) == 0 &&
	       (value.n == len || strchr(" \t,", value.p[value.n - len - 1]));
}

/* "5", or "5, 5": a list whose members are equal (RFC 9110, 8.6). -1: not a number. */
static int64_t parse_lengths(struct span s, bool *ret_contradictory)
{
	int64_t first = -1;

	for (size_t n = 0;; n++) {
		const uint8_t *comma = memchr(s.p, ',', s.n);
		struct span one = { s.p, comma ? (size_t)(comma - s.p) : s.n };
		int64_t length = parse_length(trim(one));

		if (n == 0)
			first = length;
		else if (length != first)
			*ret_contradictory = true;
		if (!comma)
			return first;
		s = (struct span){ comma + 1, s.n - one.n - 1 };
	}
}

static void take_length(struct span value, struct pkt_http_head *head)
{
	int64_t length = parse_lengths(value, &head->contradictory);

	if (head->content_length >= 0 && length != head->content_length)
		head->contradictory = true;
	head->content_length = length;
}

static void take_coding(struct span value, struct pkt_http_head *head)
{
	head->chunked = is_chunked(value);
	head->coded = !head->chunked;
}

static void header_line(struct span line, bool host_given, struct pkt_http_head *head)
{
	const uint8_t *colon = memchr(line.p, ':', line.n);
	struct span value;

	if (!colon)
		return;
	value.p = colon + 1;
	value.n = line.n - (size_t)(value.p - line.p);
	value = trim(value);
	if (starts_with_nocase(line, "host:")) {
		if (!host_given && !head->host) {
			head->host = value.p;
			head->host_len = value.n;
		}
	} else if (starts_with_nocase(line, "content-length:")) {
		take_length(value, head);
	} else if (starts_with_nocase(line, "transfer-encoding:")) {
		take_coding(value, head);
	}
}

void pkt_http(const uint8_t *p, size_t n, struct pkt_http_head *ret_head)
{
	struct span line = { p, n };
	bool whole, host_given;
	size_t at = 0;

	*ret_head = (struct pkt_http_head){ .content_length = -1 };
	/* Cheap refusal: most packets are something else. */
	if (n < 4 || p[0] < 'A' || p[0] > 'Z')
		return;
	whole = line_next(p, n, &at, &line);
	if (!request_line(line, whole, ret_head) && !status_line(line, ret_head)) {
		*ret_head = (struct pkt_http_head){ .content_length = -1 };
		return;
	}
	if (ret_head->kind == PKT_HTTP_REQUEST)
		split_absolute(ret_head);
	if (!whole)
		return;
	host_given = ret_head->host;
	while (line_next(p, n, &at, &line)) {
		if (line.n == 0) {
			ret_head->complete = true;
			ret_head->head_len = at;
			return;
		}
		header_line(line, host_given, ret_head);
	}
}
