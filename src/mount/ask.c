/*
 * ask - questions to a mounted pipesfs that end in time
 *
 * A daemon that is stopped answers nobody, and who asked it cannot be killed. So a child asks and
 * its parent waits no longer than it said it would; when the mount is aborted afterwards the child
 * is freed too.
 */
#include "mount/mount.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <sys/wait.h>

struct answer {
	int error; /* -errno */
	long keeper, streams;
};

/* In the child. What is written here is what control.c understands. */
static void end_ask(const char *dir, struct answer *answer)
{
	PFS_CLOSE int fd = -1;
	char path[PATH_MAX + 16], text[256];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/.control", dir);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == EROFS) {
		answer->error = -EROFS;
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0) {
		answer->error = -errno;
		return;
	}
	n = read(fd, text, sizeof(text) - 1);
	if (n > 0) {
		text[n] = '\0';
		sscanf(text, "keeper %ld\nstreams %ld\n", &answer->keeper, &answer->streams);
	}
	if (answer->error == 0 && write(fd, "end\n", 4) != 4)
		answer->error = -errno;
}

static void answers_ask(const char *dir, struct answer *answer)
{
	struct statfs st;

	if (statfs(dir, &st) < 0)
		answer->error = -errno;
}

static int ask(void (*question)(const char *dir, struct answer *answer), const char *dir,
	       unsigned milliseconds, struct answer *ret_answer)
{
	struct pollfd poll_fd;
	int fds[2];
	ssize_t n = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int r = -errno;

		close(fds[0]);
		close(fds[1]);
		return r;
	}
	if (pid == 0) {
		struct answer answer = { 0 };

		close(fds[0]);
		question(dir, &answer);
		_exit(write(fds[1], &answer, sizeof(answer)) == sizeof(answer) ? 0 : 1);
	}
	close(fds[1]);
	poll_fd = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	if (poll(&poll_fd, 1, (int)milliseconds) > 0)
		n = read(fds[0], ret_answer, sizeof(*ret_answer));
	close(fds[0]);
	kill(pid, SIGKILL);
	/* A child that cannot die yet is left to whoever inherits it. */
	if (n == sizeof(*ret_answer))
		waitpid(pid, NULL, 0);
	else
		waitpid(pid, NULL, WNOHANG);
	return n == sizeof(*ret_answer) ? ret_answer->error : -ETIMEDOUT;
}

int pfs_mount_answers(const char *dir, unsigned milliseconds)
{
	struct answer answer;

	return ask(answers_ask, dir, milliseconds, &answer);
}

int pfs_mount_end(const char *dir, unsigned milliseconds, pid_t *ret_keeper, pid_t *ret_streams)
{
	struct answer answer = { 0 };
	int r = ask(end_ask, dir, milliseconds, &answer);

	*ret_keeper = (pid_t)answer.keeper;
	*ret_streams = (pid_t)answer.streams;
	return r;
}
