/*
 * log - the two places where the processes of a mount speak
 */
#include "mount/mount_i.h"

#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

static bool to_syslog; /* set before there are threads */

void pfs_log_to_syslog(void)
{
	openlog("pipesfs", LOG_PID, LOG_DAEMON);
	to_syslog = true;
}

void pfs_log(const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (to_syslog)
		syslog(LOG_NOTICE, "%s", line);
	else
		fprintf(stderr, "pipesfs: %s\n", line);
}
