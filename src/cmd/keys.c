#include "cmd/keys.h"

#include <signal.h>
#include <termios.h>

static struct termios before, single;
static volatile sig_atomic_t taken;

static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };

static bool in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* All of these may be called by signal handlers. */
static void give_back(void)
{
	if (taken && in_foreground())
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
}

static void on_end(int number)
{
	give_back();
	raise(number); /* it is as it was from now on */
}

static void on_stop(int number)
{
	int error = errno;

	(void)number;
	give_back();
	raise(SIGSTOP);
	errno = error;
}

static void on_continue(int number)
{
	int error = errno;

	(void)number;
	if (taken && in_foreground())
		tcsetattr(STDIN_FILENO, TCSADRAIN, &single);
	errno = error;
}

int keys_begin(void)
{
	struct sigaction end = { .sa_handler = on_end, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	struct sigaction stop = { .sa_handler = on_stop }, again = { .sa_handler = on_continue };

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !in_foreground() ||
	    tcgetattr(STDIN_FILENO, &before) < 0)
		return -1;
	single = before;
	single.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	single.c_cc[VMIN] = 1;
	single.c_cc[VTIME] = 0;
	taken = 1;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		sigaction(ends[i], &end, NULL);
	sigaction(SIGTSTP, &stop, NULL);
	sigaction(SIGCONT, &again, NULL);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &single) == 0)
		return STDIN_FILENO;
	keys_end();
	return -1;
}

int keys_read(void)
{
	unsigned char key;
	ssize_t n = read(STDIN_FILENO, &key, 1);

	if (n == 1)
		return key;
	return n < 0 && (errno == EINTR || errno == EAGAIN) ? 0 : -1;
}

void keys_end(void)
{
	if (!taken)
		return;
	give_back();
	taken = 0;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		signal(ends[i], SIG_DFL);
	signal(SIGTSTP, SIG_DFL);
	signal(SIGCONT, SIG_DFL);
}
