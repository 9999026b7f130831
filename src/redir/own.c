#include "redir/own.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>

#define DEPTH 32
#define REMEMBER 100000000ULL /* ns */

void rd_own_init(struct rd_own *own, pid_t pid)
{
	memset(own, 0, sizeof(*own));
	own->pid = pid;
	pthread_mutex_init(&own->lock, NULL);
}

void rd_own_release(struct rd_own *own)
{
	pthread_mutex_destroy(&own->lock);
}

/*
 * The parent of a thread's process; 0: there is none, or the thread has ended. From status: stat waits for
 * who is in the middle of an exec, which closes files, and waits for us then.
 */
static pid_t parent_of(pid_t thread)
{
	char path[40], text[1024];
	const char *line;
	int parent = 0;
	PFS_CLOSE int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	/* The first line is the name, in which the kernel writes a newline as "\\n". */
	line = strstr(text, "\nPPid:");
	if (!line || sscanf(line, "\nPPid: %d", &parent) != 1)
		return 0;
	return parent;
}

static bool descends(pid_t pid, pid_t thread)
{
	for (int i = 0; i < DEPTH && thread > 1; i++) {
		thread = parent_of(thread);
		if (thread == pid)
			return true;
	}
	return false;
}

bool rd_own_is(struct rd_own *own, pid_t thread)
{
	size_t at = (size_t)thread % RD_OWN_REMEMBERED;
	uint64_t now;
	bool is;

	if (own->pid <= 0)
		return false;
	if (syscall(SYS_tgkill, own->pid, thread, 0) == 0)
		return true;
	now = pfs_clock_mono();
	pthread_mutex_lock(&own->lock);
	if (own->seen[at].pid == thread && own->seen[at].until > now) {
		is = own->seen[at].own;
		pthread_mutex_unlock(&own->lock);
		return is;
	}
	pthread_mutex_unlock(&own->lock);
	is = descends(own->pid, thread);
	pthread_mutex_lock(&own->lock);
	own->seen[at].pid = thread;
	own->seen[at].own = is;
	own->seen[at].until = now + REMEMBER;
	pthread_mutex_unlock(&own->lock);
	return is;
}
