#include <stdarg.h>

#include "base/bytes.h"
#include "packet/brief_i.h"

#define DIGITS_MAX 20 /* of 64 bits */

/* Decimal digits of v at p; how many. */
static size_t put_number(char *p, uint64_t v)
{
	char digits[DIGITS_MAX];
	size_t n = 0;

	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	for (size_t i = 0; i < n; i++)
		p[i] = digits[n - 1 - i];
	return n;
}

static size_t put_hex(char *p, uint16_t v)
{
	static const char hex[] = "0123456789abcdef";
	size_t n = 0;

	for (int shift = 12; shift >= 0; shift -= 4)
		if (n > 0 || v >> shift || shift == 0)
			p[n++] = hex[v >> shift & 15];
	return n;
}

void pkt_brief_ip4(const uint8_t *addr, char ret_text[BRIEF_ADDR_MAX])
{
	size_t n = 0;

	for (int i = 0; i < 4; i++) {
		n += put_number(ret_text + n, addr[i]);
		ret_text[n++] = i < 3 ? '.' : '\0';
	}
}

/* The longest run of zero words, of two at least (RFC 5952); the first of equals. 8: there is none. */
static int zero_run(const uint8_t *addr, int *ret_len)
{
	int best = 8, best_len = 1;

	for (int i = 0; i < 8; i++) {
		int len = 0;

		while (i + len < 8 && be16_load(addr + (i + len) * 2) == 0)
			len++;
		if (len > best_len) {
			best = i;
			best_len = len;
		}
		i += len;
	}
	*ret_len = best_len;
	return best;
}

void pkt_brief_ip6(const uint8_t *addr, char ret_text[BRIEF_ADDR_MAX])
{
	int run_len, run = zero_run(addr, &run_len);
	size_t n = 0;

	for (int i = 0; i < 8; i++) {
		if (i == run) {
			ret_text[n++] = ':';
			i += run_len - 1;
			if (i == 7)
				ret_text[n++] = ':';
			continue;
		}
		if (i > 0)
			ret_text[n++] = ':';
		/* ::1.2.3.4 and ::ffff:1.2.3.4, as inet_ntop(3) */
		if (i == 6 && run == 0 &&
		    (run_len == 6 || (run_len == 5 && be16_load(addr + 10) == 0xffff))) {
			pkt_brief_ip4(addr + 12, ret_text + n);
			return;
		}
		n += put_hex(ret_text + n, be16_load(addr + i * 2));
	}
	ret_text[n] = '\0';
}

/* One conversion at *fmt, behind the percent sign. */
static void say_value(struct pfs_buf *out, const char **fmt, va_list *ap)
{
	char number[DIGITS_MAX];
	const char *s;

	switch (*(*fmt)++) {
	case 's':
		s = va_arg(*ap, const char *);
		pfs_buf_add(out, s, strlen(s));
		return;
	case 'u':
		pfs_buf_add(out, number, put_number(number, va_arg(*ap, unsigned)));
		return;
	case 'z':
		assert(**fmt == 'u');
		(*fmt)++;
		pfs_buf_add(out, number, put_number(number, va_arg(*ap, size_t)));
		return;
	default:
		assert(false);
	}
}

void pkt_say(struct pfs_buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	while (*fmt) {
		size_t run = strcspn(fmt, "%");

		pfs_buf_add(out, fmt, run);
		fmt += run;
		if (*fmt == '%') {
			fmt++;
			say_value(out, &fmt, &ap);
		}
	}
	va_end(ap);
}
