/*
 * bytes_help - where the tests of packets and captures get their bytes from
 */
#ifndef TESTS_BYTES_HELP_H
#define TESTS_BYTES_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/base.h"

#define BYTES_HELP __attribute__((unused)) static

/* "0800 45" to bytes; anything but hex digits is skipped. */
BYTES_HELP size_t from_hex(const char *hex, uint8_t *to, size_t max)
{
	size_t n = 0;
	int high = -1;

	for (; *hex; hex++) {
		const char *digits = "0123456789abcdef", *d = strchr(digits, *hex);
		int v = d ? (int)(d - digits) : -1;

		if (v < 0)
			continue;
		if (high < 0) {
			high = v;
			continue;
		}
		assert_true(n < max);
		to[n++] = (uint8_t)(high << 4 | v);
		high = -1;
	}
	return n;
}

/* A whole file, to be freed; NULL: it cannot be opened. */
BYTES_HELP void *read_file(const char *path, size_t *ret_len)
{
	struct pfs_buf buf = { 0 };
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return NULL;
	do {
		void *p = pfs_buf_reserve(&buf, 65536);

		n = p ? fread(p, 1, 65536, f) : 0;
		buf.len += n;
	} while (n > 0);
	fclose(f);
	*ret_len = buf.len;
	return buf.data;
}

#endif
