/*
 * log - the two places where the processes of a mount speak
 */
#include "mount/mount_i.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

static bool to_syslog; /* set before there are threads */

void pfs_log_to_syslog(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	openlog("pipesfs", LOG_PID, LOG_DAEMON);
	to_syslog = true;
	for (int fd = 0; null >= 0 && fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
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
