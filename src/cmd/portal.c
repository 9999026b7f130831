/*
 * portal - `pipesfs portal COMMAND`: opens of portal paths get the socket, pipe or file itself
 *
 * This process stands for the command: signals that it gets go to the command, it stops when the command stops, and
 * ends as the command ends. The server (portal/serve.h) is between the two.
 */
#include "cmd/options.h"
#include "portal/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define EXIT_OURS 125 /* as env(1), timeout(1): what went wrong is not the command's */

struct waiter {
	struct pfs_server server;
	int signals; /* signalfd of all */
	int command; /* pidfd; -1: not started */
	const char *name;
	bool alone;	/* the server has died */
	bool finishing; /* the command has ended, and only what it wrote to has not */
	bool ended;
	int status; /* as from waitpid(2), or -1: nothing was run */
};

/* --- signals ------------------------------------------------------------------------------ */

static pid_t parent_of(pid_t pid)
{
	char path[40], text[512], *at;
	long parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fgets(text, sizeof(text), f) && (at = strrchr(text, ')')) &&
	    sscanf(at + 1, " %*c %ld", &parent) != 1)
		parent = 0;
	fclose(f);
	return (pid_t)parent;
}

/* Did the command send it, or something that it started? All of these are below the server. */
static bool is_below(const struct waiter *w, pid_t pid)
{
	while (pid > 1 && pid != w->server.pid)
		pid = parent_of(pid);
	return pid == w->server.pid;
}

/*
 * A signal came here. What the kernel sends (Ctrl-C in the terminal) went to the whole process group, the command
 * too; and what the command sends to its group, it has sent to itself.
 */
static void pass_on(struct waiter *w, const struct signalfd_siginfo *info)
{
	int number = (int)info->ssi_signo;

	if (number == SIGCHLD)
		return;
	if (w->finishing) {
		pfs_serve_say(&w->server, PFS_SERVE_ENOUGH);
		w->ended = w->status >= 0;
		return;
	}
	if (w->command < 0 || info->ssi_code == SI_KERNEL || is_below(w, (pid_t)info->ssi_pid))
		return;
	syscall(SYS_pidfd_send_signal, w->command, number, NULL, 0);
}

static void signals_read(struct waiter *w)
{
	struct signalfd_siginfo info;

	while (read(w->signals, &info, sizeof(info)) == sizeof(info))
		pass_on(w, &info);
}

/* --- news ----------------------------------------------------------------------------------- */

static void news_read(struct waiter *w)
{
	struct pfs_news news;

	if (!pfs_serve_news(&w->server, &news, &w->command)) {
		if (w->status >= 0) {
			waitpid(w->server.pid, NULL, 0);
			w->ended = true;
			return;
		}
		w->alone = true;
		if (w->command < 0) {
			w->ended = true;
			w->status = -1;
			pfs_say("the process that serves portals has died before %s was started",
				w->name);
		} else {
			pfs_say("the process that served portals has died: %s goes on, but whatever it opens now is "
				"\"Function not implemented\"",
				w->name);
		}
		return;
	}
	if (news.kind != PFS_NEWS_STOPPED)
		pfs_serve_say(&w->server, PFS_SERVE_AWAKE);
	switch (news.kind) {
	case PFS_NEWS_STARTED:
	case PFS_NEWS_CONTINUED:
		break;
	case PFS_NEWS_FAILED:
		pfs_say("%s", news.text);
		w->ended = true;
		w->status = -1;
		break;
	case PFS_NEWS_EXEC:
		pfs_say("cannot run '%s': %s", w->name, strerror(news.status));
		break;
	case PFS_NEWS_STOPPED:
		raise(SIGSTOP);
		break;
	case PFS_NEWS_FINISHING:
		w->finishing = true;
		break;
	case PFS_NEWS_LAST:
		/* Who has no parent left to reap it stays as a zombie where process 1 is a shell. */
		w->finishing = true;
		w->status = news.status;
		break;
	case PFS_NEWS_ENDED:
		w->ended = true;
		w->status = news.status;
		break;
	}
}

/* Without its parent the command has come to us. */
static void wait_alone(struct waiter *w)
{
	siginfo_t info = { 0 };

	if (waitid(P_PIDFD, (id_t)w->command, &info, WEXITED | WNOHANG) < 0) {
		pfs_say("the end of %s cannot be waited for: %s", w->name, strerror(errno));
		w->ended = true;
		w->status = EXIT_OURS << 8;
	} else if (info.si_pid) {
		w->ended = true;
		w->status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
	}
}

static void wait_for_end(struct waiter *w)
{
	while (!w->ended) {
		struct pollfd fds[] = {
			{ .fd = w->signals, .events = POLLIN },
			{ .fd = w->alone ? w->command : w->server.socket, .events = POLLIN },
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return;
		if (fds[0].revents)
			signals_read(w);
		if (fds[1].revents && w->alone)
			wait_alone(w);
		else if (fds[1].revents)
			news_read(w);
	}
}

/* As the command has ended. */
static int end_as(int status)
{
	struct rlimit none = { 0, 0 };
	struct sigaction deflt = { .sa_handler = SIG_DFL };
	sigset_t mask;

	if (status < 0)
		return EXIT_OURS;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	/* It has dumped core, if anybody should. */
	setrlimit(RLIMIT_CORE, &none);
	sigaction(WTERMSIG(status), &deflt, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

/* --- the command ---------------------------------------------------------------------------------- */

struct options {
	const char *config;
	const char *prefix;
	bool verbose;
};

static int usage(const char *sentence)
{
	pfs_usage(&pfs_cmd_portal, "%s", sentence);
	return EXIT_OURS;
}

static int parse(int argc, char **argv, struct options *o)
{
	int c;

	while ((c = pfs_getopt(&pfs_cmd_portal, argc, argv)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'p':
			o->prefix = optarg;
			break;
		case 'v':
			o->verbose = true;
			break;
		default:
			return EXIT_OURS;
		}
	}
	return optind == argc ? usage("a command is needed") : 0;
}

static int rules_get(const struct options *o, struct pfs_portal_rules **ret_rules)
{
	struct pfs_diag diag = { "" };
	int r = o->config ? pfs_portal_rules_load(o->config, ret_rules, NULL, &diag)
			  : pfs_portal_rules_default(ret_rules);

	if (r < 0)
		pfs_say("%s", diag.text[0] ? diag.text : strerror(-r));
	return r;
}

static int run(const struct pfs_serve_options *serve)
{
	struct waiter w = { .signals = -1, .command = -1, .name = serve->argv[0], .status = -1 };
	struct pfs_diag diag = { "" };
	sigset_t all;

	sigfillset(&all);
	w.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w.signals < 0) {
		pfs_say("signalfd: %s", strerror(errno));
		return EXIT_OURS;
	}
	if (pfs_serve_start(serve, &w.server, &diag) < 0) {
		pfs_say("%s", diag.text);
		return EXIT_OURS;
	}
	wait_for_end(&w);
	return end_as(w.status);
}

static int portal_run(int argc, char **argv)
{
	struct options options = { .prefix = "/p" };
	struct pfs_portal_rules *rules = NULL;
	struct pfs_where where;
	struct pfs_diag diag = { "" };
	sigset_t all, mask;
	int r = parse(argc, argv, &options);

	if (r)
		return r;
	if (rules_get(&options, &rules) < 0)
		return EXIT_OURS;
	if (pfs_where_init(&where, options.prefix, &diag) < 0) {
		pfs_say("%s", diag.text);
		pfs_portal_rules_unref(rules);
		return EXIT_OURS;
	}

	struct pfs_serve_options serve = {
		.argv = argv + optind,
		.where = &where,
		.rules = rules,
		.mask = &mask,
		.verbose = options.verbose,
	};

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	r = run(&serve);
	pfs_where_release(&where);
	pfs_portal_rules_unref(rules);
	return r;
}

static const struct pfs_option portal_options[] = {
	{ .key = 'v',
	  .letter = true,
	  .name = "verbose",
	  .help = "say on stderr why an open was refused, and what commands behind portals say" },
	{ .key = 'c',
	  .letter = true,
	  .name = "config",
	  .value = "FILE",
	  .help = "rules as in portal.conf; default: fs/ tcp/ tcplisten/ udp/ unix/ pipe/",
	  .words = PFS_WORDS_FILE },
	{ .key = 'p',
	  .letter = true,
	  .name = "prefix",
	  .value = "DIR",
	  .help = "where portals are; default: /p",
	  .words = PFS_WORDS_DIR },
	{ 0 },
};

const struct pfs_command pfs_cmd_portal = {
	.name = "portal",
	.summary = "run COMMAND with portals that are real sockets, pipes and files",
	.options = portal_options,
	.options_first = true,
	.operands = "[--] COMMAND [ARGUMENT...]",
	.words = PFS_WORDS_FILE,
	.help = "Opens of DIR/tcp/HOST/PORT and the like, in COMMAND and all that it starts, get the descriptor\n"
		"itself. Works without a mount, and for any user. Programs that ask stat(2) before they open\n"
		"(cp, diff, ls, tar) need `pipesfs mount DIR` beneath as well.\n\n"
		"Exit status: that of COMMAND; 125 when pipesfs fails, 126 and 127 when COMMAND cannot be run or\n"
		"found.\n",
	.run = portal_run,
};
