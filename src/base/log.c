/*
 * log - the two places where the processes of a mount speak
 */
#include "base/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

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

/* syslog(3) waits for a daemon that does not read, and holds its lock meanwhile. */
void pfs_log_try(const char *text)
{
	static const struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	PFS_CLOSE int fd = -1;
	time_t now = time(NULL);
	char line[1024], stamp[32];
	struct tm tm;
	int n;

	if (!to_syslog) {
		fprintf(stderr, "pipesfs: %s\n", text);
		return;
	}
	strftime(stamp, sizeof(stamp), "%b %e %T", localtime_r(&now, &tm));
	n = snprintf(line, sizeof(line), "<%d>%s pipesfs[%ld]: %s", LOG_DAEMON | LOG_NOTICE, stamp,
		     (long)getpid(), text);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Without a daemon there is nobody to tell it to. */
	(void)sendto(fd, line, pfs_min((size_t)n, sizeof(line) - 1), MSG_DONTWAIT | MSG_NOSIGNAL,
		     (const struct sockaddr *)&to, sizeof(to));
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
