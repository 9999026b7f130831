/*
 * say - how commands speak to people
 */
#include "cmd/cmd.h"
#include "cmd/options.h"

#include <stdarg.h>
#include <stdio.h>

/* One write, so that two processes of ours do not mix their lines. */
static void say_line(const char *fmt, va_list ap)
{
	char line[1024];
	int n = vsnprintf(line, sizeof(line), fmt, ap);

	if (n < 0)
		return;
	fprintf(stderr, "pipesfs: %s%s\n", line, (size_t)n >= sizeof(line) ? "..." : "");
}

void pfs_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_line(fmt, ap);
	va_end(ap);
}

int pfs_fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say_line(fmt, ap);
	va_end(ap);
	return PFS_EXIT_FAILED;
}

int pfs_usage(const struct pfs_command *cmd, const char *fmt, ...)
{
	PFS_BUF struct pfs_buf usage = { 0 };
	va_list ap;

	if (fmt) {
		va_start(ap, fmt);
		say_line(fmt, ap);
		va_end(ap);
	}
	pfs_options_usage(cmd, &usage);
	fprintf(stderr, "usage: pipesfs %s %s\n", cmd->name, usage.data ? usage.data : "");
	return PFS_EXIT_USAGE;
}

int pfs_interval_parse(const struct pfs_command *cmd, const char *text, double *ret_seconds)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.1 && seconds <= 3600))
		return pfs_usage(cmd, "the interval is a number of seconds from 0.1 to 3600, not '%s'",
				 text);
	*ret_seconds = seconds;
	return 0;
}
