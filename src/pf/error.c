#include "pf/error.h"

#include <stdarg.h>
#include <stdio.h>

static int fail(struct pf_error *error, int code, unsigned line, unsigned column, const char *fmt,
		va_list ap)
{
	if (!error)
		return -code;
	*error = (struct pf_error){ .line = line, .column = column };
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	return -code;
}

int pf_fail(struct pf_error *error, int code, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(error, code, 0, 0, fmt, ap);
	va_end(ap);
	return r;
}

int pf_fail_at(struct pf_error *error, int code, unsigned line, unsigned column, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = fail(error, code, line, column, fmt, ap);
	va_end(ap);
	return r;
}
