#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

int pfs_diag_set(struct pfs_diag *diag, int err, const char *fmt, ...)
{
	va_list ap;

	if (diag) {
		va_start(ap, fmt);
		vsnprintf(diag->text, sizeof(diag->text), fmt, ap);
		va_end(ap);
	}
	return -err;
}

void pfs_buf_release(struct pfs_buf *buf)
{
	free(buf->data);
	*buf = (struct pfs_buf){ 0 };
}

void *pfs_buf_reserve(struct pfs_buf *buf, size_t len)
{
	size_t cap;
	char *p;

	if (buf->failed || len > PFS_BUF_MAX - buf->len) {
		buf->failed = true;
		return NULL;
	}
	if (buf->cap - buf->len > len)
		return buf->data + buf->len;
	cap = pfs_max(buf->cap * 2, pfs_align8(buf->len + len + 1));
	cap = pfs_max(cap, 128);
	p = realloc(buf->data, cap);
	if (!p) {
		buf->failed = true;
		return NULL;
	}
	buf->data = p;
	buf->cap = cap;
	return p + buf->len;
}

void pfs_buf_add(struct pfs_buf *buf, const void *data, size_t len)
{
	char *p = pfs_buf_reserve(buf, len);

	if (!p)
		return;
	if (len)
		memcpy(p, data, len);
	p[len] = '\0';
	buf->len += len;
}

void pfs_buf_str(struct pfs_buf *buf, const char *s)
{
	pfs_buf_add(buf, s, strlen(s));
}

void pfs_buf_printf(struct pfs_buf *buf, const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = n < 0 ? NULL : pfs_buf_reserve(buf, (size_t)n);
	if (!p)
		return;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
}

size_t pfs_utf8_len(const char *text, size_t n)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

/* `before`, then the byte as two hexadecimal digits. */
static void add_hex(struct pfs_buf *buf, const char *before, unsigned char c)
{
	static const char digits[] = "0123456789abcdef";
	char *p;
	size_t n = strlen(before);

	p = pfs_buf_reserve(buf, n + 3);
	if (!p)
		return;
	memcpy(p, before, n);
	p[n] = digits[c >> 4];
	p[n + 1] = digits[c & 15];
	p[n + 2] = '\0';
	buf->len += n + 2;
}

/* How many of the bytes stand for themselves in JSON and on a terminal: ASCII without quotes and backslashes. */
static size_t plain_len(const unsigned char *p, size_t len)
{
	size_t n = 0;

	while (n < len && p[n] >= 0x20 && p[n] < 0x7f && p[n] != '"' && p[n] != '\\')
		n++;
	return n;
}

void pfs_buf_json(struct pfs_buf *buf, const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;

	for (size_t i = 0; i < len;) {
		size_t n = plain_len(p + i, len - i);

		pfs_buf_add(buf, p + i, n);
		i += n;
		if (i == len)
			break;
		n = pfs_utf8_len(s + i, len - i);
		if (p[i] == '"' || p[i] == '\\') {
			pfs_buf_str(buf, p[i] == '"' ? "\\\"" : "\\\\");
		} else if (n == 0 || p[i] < 0x20 || p[i] == 0x7f) {
			add_hex(buf, "\\u00", p[i]); /* a stray byte reads as Latin-1 */
			n = 1;
		} else if (p[i] == 0xc2 && p[i + 1] < 0xa0) {
			add_hex(buf, "\\u00", p[i + 1]); /* C1: terminals obey these too */
		} else {
			pfs_buf_add(buf, p + i, n);
		}
		i += n ? n : 1;
	}
}

void pfs_buf_clean(struct pfs_buf *buf, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = plain_len((const unsigned char *)s + i, len - i);

		pfs_buf_add(buf, s + i, n);
		i += n;
		if (i == len)
			break;
		if (s[i] == '"')
			pfs_buf_add(buf, s + i, 1);
		else
			add_hex(buf, "\\x", (unsigned char)s[i]);
		i++;
	}
}

static uint64_t clock_read(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t pfs_clock_real(void)
{
	return clock_read(CLOCK_REALTIME);
}

uint64_t pfs_clock_mono(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

int64_t pfs_clock_offset(int64_t last)
{
	uint64_t least = UINT64_MAX;
	int64_t offset = 0;

	/* The reading that was interrupted least is the one to believe. */
	for (int i = 0; i < 4; i++) {
		uint64_t before = pfs_clock_mono(), real = pfs_clock_real();
		uint64_t took = pfs_clock_mono() - before;

		if (took >= least)
			continue;
		least = took;
		offset = (int64_t)(real - before - took / 2);
	}
	if (last && llabs(offset - last) < 100000)
		return last;
	return offset;
}
