/*
 * scanflt - on-access scanning: files are opened only when no YARA rule matches them
 *
 * Synopsis:	scanflt {-c CONFIGURATION | -r RULES} [-f open|closed|error] [-t MILLISECONDS] [-l LOG] [-s NUMBERS]
 *			[-p PRIORITY] [-n NAME] DIRECTORY...
 *		scanflt --test {RULES | -c CONFIGURATION} [FILE...]
 *
 * What is opened below the directories to be read or executed is looked through first; what a rule matches is not
 * opened (EPERM, as with fanotify's scanners). An unchanged file is scanned once, see scanflt_file.h. Files that were
 * written are scanned when they have been closed, so that the next open need not wait. scanflt(8) has the language of
 * the configuration. It and the rules are read again when they have changed, by a thread of its own, and taken as one,
 * or not at all.
 *
 * -f says what becomes of opens while it cannot be asked, and -t how long it is waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <yara.h>

#include <pipesfs/urfs.h>

#include "base/thread.h"
#include "urfs/filters/common.h"
#include "urfs/filters/scanflt_file.h"

#define EXEC_FLAG 040 /* the kernel's __FMODE_EXEC among the flags of an open */
#define THREADS 16
#define NUMBERS_MS 50 /* how old numbers may be */
#define AHEAD_MAX 64
#define AHEAD_TRIES 50
#define AHEAD_WAIT_MS 20

/* A file that a writer has closed. */
struct ahead {
	int fd;
	uint64_t generation;
	unsigned tries;
	char *path; /* owned */
	struct rfs_args who;
};

static struct {
	struct scan_engine engine;
	pthread_mutex_t lock;
	struct scan_setup *setup; /* lock; a reference */
	char *conf, *rules_file;  /* one of them */
	struct stat *seen; /* the watcher's: of the configuration, then of its files of rules */
	size_t n_seen;
	unsigned time_max; /* s; what a scan may be given later on: nobody waits longer; 0: not begun */

	struct urfs_conn conn; /* a copy, for urfs_say() */
	FILE *log;	       /* NULL: syslog */
	char *numbers_file;

	pthread_once_t once;
	bool started;
	_Atomic bool stop;
	_Atomic bool changed; /* numbers are not as they were written */
	int inotify, event;   /* the watcher's: files have changed, numbers have or it is to end */
	pthread_t watcher, scanner;
	pthread_cond_t wake;	       /* lock: the end, for both; one more file, for the scanner */
	struct ahead ahead[AHEAD_MAX]; /* lock */
	size_t n_ahead;
} state = { .lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT, .inotify = -1, .event = -1 };

static void watcher_wake(void)
{
	uint64_t one = 1;

	if (write(state.event, &one, sizeof(one)) < 0)
		return; /* it is awake */
}

static void numbers_changed(void)
{
	if (!atomic_exchange(&state.changed, true))
		watcher_wake();
}

static struct scan_setup *setup_get(void)
{
	struct scan_setup *setup;

	pthread_mutex_lock(&state.lock);
	setup = state.setup;
	atomic_fetch_add(&setup->refs, 1);
	pthread_mutex_unlock(&state.lock);
	return setup;
}

/* --- saying --- */

static void put(FILE *out, const char *key, const char *text)
{
	char shown[FILTER_SHOWN];

	fprintf(out, " %s=%s", key, filter_show(text, shown));
}

static void say(int level, char *line)
{
	if (!state.log) {
		syslog(LOG_AUTHPRIV | level, "%s", line);
		return;
	}
	flockfile(state.log);
	fprintf(state.log, "%s\n", line);
	fflush(state.log);
	funlockfile(state.log);
}

static void say_verdict(const struct rfs_args *args, const char *op, bool deny,
			enum scan_verdict verdict, const struct scan_result *result)
{
	char *line = NULL, exe[PATH_MAX];
	size_t size;
	FILE *out = open_memstream(&line, &size);

	if (!out)
		return;
	if (rfs_caller_exe(args, exe, sizeof(exe)) < 0)
		exe[0] = '\0';
	fprintf(out, "%s %s", deny ? "deny" : "allow", scan_verdict_names[verdict]);
	if (verdict == SCAN_FOUND)
		put(out, "rule", result->rule);
	fprintf(out, " op=%s uid=%u pid=%d", op, (unsigned)args->uid, (int)args->pid);
	put(out, "exe", exe);
	put(out, "path", args->path);
	fclose(out);
	if (line)
		say(LOG_NOTICE, line);
	free(line);
}

static void count(struct scan_numbers *numbers, enum scan_verdict verdict)
{
	if (verdict == SCAN_FOUND)
		atomic_fetch_add(&numbers->found, 1);
	if (verdict == SCAN_TOO_LARGE)
		atomic_fetch_add(&numbers->too_large, 1);
	if (verdict == SCAN_EXPIRED)
		atomic_fetch_add(&numbers->expired, 1);
	if (verdict == SCAN_FAILED)
		atomic_fetch_add(&numbers->failed, 1);
}

/* The file of numbers, as one. 0, or -errno. */
static int numbers_write(char **last)
{
	struct scan_numbers *numbers = &state.engine.numbers;
	struct scan_cache_numbers cache;
	char *text = NULL, *path = NULL;
	size_t size = 0;
	FILE *out;
	int r = 0;

	scan_cache_numbers(state.engine.cache, &cache);
	numbers->cached = cache.hits;
	numbers->waited = cache.waited;
	numbers->evicted = cache.evicted;
	numbers->entries = cache.entries;
	out = open_memstream(&text, &size);
	if (!out)
		return -ENOMEM;
#define X(name) fprintf(out, "%s %llu\n", #name, (unsigned long long)numbers->name);
	SCAN_NUMBERS(X)
#undef X
	fclose(out);
	if (!text || (*last && strcmp(*last, text) == 0)) {
		free(text);
		return 0;
	}
	if (asprintf(&path, "%s.new", state.numbers_file) < 0)
		path = NULL;
	out = path ? fopen(path, "we") : NULL;
	if (!out || fputs(text, out) < 0)
		r = -errno;
	if (out && fclose(out) != 0)
		r = -errno;
	if (r == 0 && path && rename(path, state.numbers_file) < 0)
		r = -errno;
	free(path);
	free(*last);
	*last = text;
	return r;
}

/* --- rules and limits, as of now --- */

/* The file that was named: the configuration, or rules for the usual one. */
static int conf_get(struct scan_conf *ret_conf, char error[SCAN_ERROR_SIZE])
{
	char why[ACCESS_ERROR_SIZE], text[PATH_MAX + 16];
	int n = 0, r;

	if (state.conf) {
		r = scan_conf_load(state.conf, ret_conf, why);
	} else {
		n = snprintf(text, sizeof(text), "rules %s\n", state.rules_file);
		r = scan_conf_parse(text, (size_t)n, ret_conf, why);
	}
	if (r < 0)
		snprintf(error, SCAN_ERROR_SIZE, "%.200s: %s",
			 state.conf ? state.conf : state.rules_file, why[0] ? why : strerror(-r));
	return r;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Each file as it is; a file that is not there is zeros. */
static struct stat *look(const struct scan_conf *conf, size_t *ret_n)
{
	struct stat *seen = calloc(conf->n_rules + 1, sizeof(*seen));

	for (size_t i = 0; seen && i <= conf->n_rules; i++) {
		const char *file = i == 0 ? state.conf : conf->rules[i - 1];

		if (!file || stat(file, &seen[i]) < 0)
			memset(&seen[i], 0, sizeof(seen[i]));
	}
	*ret_n = seen ? conf->n_rules + 1 : 0;
	return seen;
}

/* Is somebody writing one of them? When he closes it, they are looked at again. */
static bool half_written(const struct scan_conf *conf)
{
	bool written = false;

	for (size_t i = 0; i <= conf->n_rules && !written; i++) {
		const char *file = i == 0 ? state.conf : conf->rules[i - 1];
		int fd = file ? open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;

		if (fd < 0)
			continue;
		written = scan_is_written(fd) == 1;
		close(fd);
	}
	return written;
}

static void say_error(const char *error, const char *more)
{
	char sentence[SCAN_ERROR_SIZE + 100];

	snprintf(sentence, sizeof(sentence), "scanflt: %s%s", error, more);
	urfs_say(&state.conn, sentence);
}

static int setup_take(uint64_t version, char error[SCAN_ERROR_SIZE])
{
	struct scan_setup *setup, *old;
	struct scan_conf conf;
	int r = conf_get(&conf, error);

	if (r == 0 && state.time_max > 0 && conf.max_time > state.time_max) {
		snprintf(error, SCAN_ERROR_SIZE,
			 "max-time %u: who opens waits %u seconds, as was said when it began (-t)",
			 conf.max_time, state.time_max);
		scan_conf_release(&conf);
		r = -EINVAL;
	}
	if (r == 0)
		r = scan_setup_new(&conf, version, &setup, error);
	if (r < 0)
		return r;
	pthread_mutex_lock(&state.lock);
	old = state.setup;
	state.setup = setup;
	state.engine.numbers.rules = scan_rules_count(setup->rules);
	pthread_mutex_unlock(&state.lock);
	scan_setup_unref(old);
	return 0;
}

/* A file that is not there at the moment is being replaced, or was lost: the rules stay. */
static void look_again(void)
{
	struct scan_setup *setup = setup_get();
	char error[SCAN_ERROR_SIZE] = "", line[SCAN_ERROR_SIZE + 64];
	bool changed = false, lost = false;
	struct stat *seen;
	size_t n;

	seen = look(&setup->conf, &n);
	for (size_t i = 0; i < n && i < state.n_seen; i++) {
		lost |= seen[i].st_ino == 0 && state.seen[i].st_ino != 0;
		changed |= !same_stat(&seen[i], &state.seen[i]);
	}
	if (seen && changed && !lost && !half_written(&setup->conf)) {
		int r = setup_take(setup->version + 1, error);

		scan_setup_unref(setup);
		setup = setup_get();
		if (r == 0) {
			atomic_fetch_add(&state.engine.numbers.reloads, 1);
			snprintf(line, sizeof(line), "rules: %zu are taken",
				 scan_rules_count(setup->rules));
			free(seen);
			/* What has changed since is seen next time: these are of before, or of new files. */
			seen = look(&setup->conf, &n);
		} else {
			atomic_fetch_add(&state.engine.numbers.refused, 1);
			snprintf(line, sizeof(line), "%s; the rules before it stay", error);
			say_error(error, "; the rules before it stay");
		}
		say(r < 0 ? LOG_ERR : LOG_NOTICE, line);
		free(state.seen);
		state.seen = seen;
		state.n_seen = n;
		seen = NULL;
	}
	free(seen);
	scan_setup_unref(setup);
}

/* --- threads --- */

/* Locked. Until that many ms have gone, or it is woken. */
static void wait_ms(long ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += ms * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_cond_timedwait(&state.wake, &state.lock, &until);
}

/* The directories of the files: what is put into their place is noticed, too. */
static void watch_files(void)
{
	struct scan_setup *setup = setup_get();

	for (size_t i = 0; i <= setup->conf.n_rules; i++) {
		const char *file = i == 0 ? state.conf : setup->conf.rules[i - 1];
		char *dir = file ? strdup(file) : NULL;

		if (dir)
			inotify_add_watch(state.inotify, dirname(dir),
					  IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR);
		free(dir);
	}
	scan_setup_unref(setup);
}

/* Nothing is done while nothing happens. */
static void *watch(void *arg)
{
	_Alignas(struct inotify_event) char events[4096];
	struct pollfd fds[2] = { { state.inotify, POLLIN, 0 }, { state.event, POLLIN, 0 } };
	char *last = NULL;

	(void)arg;
	watch_files();
	look_again();
	while (!state.stop) {
		poll(fds, 2, -1);
		if (fds[1].revents && read(state.event, events, sizeof(events)) < 0)
			fds[1].revents = 0;
		if (fds[0].revents && read(state.inotify, events, sizeof(events)) > 0) {
			look_again();
			watch_files();
			state.changed = true;
		}
		if (!state.changed || state.stop)
			continue;
		pthread_mutex_lock(&state.lock);
		if (!state.stop)
			wait_ms(NUMBERS_MS);
		pthread_mutex_unlock(&state.lock);
		state.changed = false;
		if (state.numbers_file)
			numbers_write(&last);
	}
	free(last);
	return NULL;
}

static void ahead_free(struct ahead *ahead)
{
	close(ahead->fd);
	free(ahead->path);
}

static int ahead_open(void *arg)
{
	const struct ahead *ahead = arg;

	return fcntl(ahead->fd, F_DUPFD_CLOEXEC, 0);
}

/* false: somebody still writes. */
static bool ahead_scan(struct ahead *ahead)
{
	struct scan_setup *setup = setup_get();
	struct scan_result result;
	enum scan_verdict verdict = SCAN_CLEAN;
	bool cached = false, done = true;
	struct stat st;

	if (scan_is_written(ahead->fd) != 0) {
		done = false;
	} else if (fstat(ahead->fd, &st) == 0 && st.st_nlink > 0) {
		const struct scan_file file = {
			.stat = &st,
			.generation = ahead->generation,
			.open = ahead_open,
			.arg = ahead,
			.quiet = true,
			.ret_cached = &cached,
		};

		verdict = scan_file(&state.engine, setup, &file, &result);
		done = verdict <= SCAN_TOO_LARGE;
		if (done && !cached) {
			atomic_fetch_add(&state.engine.numbers.ahead, 1);
			if (verdict == SCAN_FOUND)
				say_verdict(&ahead->who, "close", false, verdict, &result);
		}
	}
	scan_setup_unref(setup);
	return done;
}

static void *scan_ahead(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&state.lock);
	while (!state.stop) {
		struct ahead ahead;
		bool done;

		if (state.n_ahead == 0) {
			pthread_cond_wait(&state.wake, &state.lock);
			continue;
		}
		ahead = state.ahead[0];
		state.n_ahead--;
		memmove(state.ahead, state.ahead + 1, state.n_ahead * sizeof(ahead));
		if (ahead.tries > 0)
			wait_ms(AHEAD_WAIT_MS);
		pthread_mutex_unlock(&state.lock);
		ahead.who.path = ahead.path;
		done = state.stop || ahead_scan(&ahead);
		pthread_mutex_lock(&state.lock);
		if (!done && ++ahead.tries < AHEAD_TRIES && state.n_ahead < AHEAD_MAX) {
			state.ahead[state.n_ahead++] = ahead;
			continue;
		}
		if (!done)
			atomic_fetch_add(&state.engine.numbers.ahead_lost, 1);
		ahead_free(&ahead);
		numbers_changed();
	}
	pthread_mutex_unlock(&state.lock);
	return NULL;
}

/* With the first callback: before it this process may not be the one that serves. */
static void threads_start(void)
{
	pthread_cond_init(&state.wake, NULL);
	state.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	state.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	state.started = state.inotify >= 0 && state.event >= 0 &&
			pfs_thread_start(watch, NULL, &state.watcher) == 0;
	if (state.started && pfs_thread_start(scan_ahead, NULL, &state.scanner) != 0) {
		state.stop = true;
		watcher_wake();
		pthread_join(state.watcher, NULL);
		state.started = false;
	}
	if (!state.started)
		syslog(LOG_AUTHPRIV | LOG_ERR, "no threads: changed rules will not be seen");
}

/* --- deciding --- */

static bool wanted(const struct scan_setup *setup, const struct rfs_args *args, bool exec)
{
	struct access_request request = { args->uid, args->gid, "", args->path,
					  exec ? ACCESS_EXEC : ACCESS_READ };
	char exe[PATH_MAX];

	if (setup->conf.n_choices == 0)
		return true;
	if (setup->conf.want_exe && rfs_caller_exe(args, exe, sizeof(exe)) == 0)
		request.exe = exe;
	return scan_conf_wants(&setup->conf, &request, args->args.f_open.stat.st_uid);
}

static int open_told(void *context)
{
	return rfs_open_file(context);
}

static bool decide(rfs_context context, const struct rfs_args *args, const struct scan_setup *setup)
{
	const struct scan_file file = { .stat = &args->args.f_open.stat,
					.generation = args->args.f_open.generation,
					.open = open_told,
					.arg = context };
	struct scan_numbers *numbers = &state.engine.numbers;
	bool exec = args->args.f_open.flags & EXEC_FLAG, deny;
	struct scan_result result = { .found = false };
	enum scan_verdict verdict = SCAN_FAILED;

	atomic_fetch_add(&numbers->opens, 1);
	if (!wanted(setup, args, exec)) {
		atomic_fetch_add(&numbers->skipped, 1);
		return false;
	}
	if (S_ISREG(file.stat->st_mode))
		verdict = scan_file(&state.engine, setup, &file, &result);
	deny = scan_denies(setup, verdict);
	count(numbers, verdict);
	if (deny)
		atomic_fetch_add(&numbers->denied, 1);
	if (verdict != SCAN_CLEAN)
		say_verdict(args, exec ? "exec" : "read", deny, verdict, &result);
	return deny;
}

static enum rfs_retv after_open(rfs_context context, struct rfs_args *args)
{
	uint32_t flags = args->args.f_open.flags;
	struct scan_setup *setup;

	pthread_once(&state.once, threads_start);
	/* Nobody reads, or there is nothing to be read. */
	if (args->retv.rv_int < 0 || (flags & O_ACCMODE) == O_WRONLY || flags & O_TRUNC)
		return RFS_CONTINUE;
	if (RFS_OP_ID_OPERATION(args->type.id) == RFS_CREATE && args->args.f_open.stat.st_size == 0)
		return RFS_CONTINUE;
	setup = setup_get();
	if (decide(context, args, setup))
		args->retv.rv_ssize = -EPERM;
	scan_setup_unref(setup);
	numbers_changed();
	return RFS_CONTINUE;
}

/* Who wrote has closed it. */
static enum rfs_retv after_release(rfs_context context, struct rfs_args *args)
{
	struct scan_setup *setup;
	struct ahead ahead;
	bool fits;

	if ((args->args.f_open.flags & O_ACCMODE) == O_RDONLY || args->args.f_open.stat.st_nlink == 0)
		return RFS_CONTINUE;
	pthread_once(&state.once, threads_start);
	setup = setup_get();
	fits = wanted(setup, args, false) &&
	       (uint64_t)args->args.f_open.stat.st_size <= setup->conf.max_size;
	scan_setup_unref(setup);
	if (!fits)
		return RFS_CONTINUE;
	ahead = (struct ahead){ .fd = rfs_open_file(context),
				.generation = args->args.f_open.generation,
				.path = strdup(args->path),
				.who = *args };
	if (ahead.fd < 0 || !ahead.path) {
		free(ahead.path);
		if (ahead.fd >= 0)
			close(ahead.fd);
		atomic_fetch_add(&state.engine.numbers.ahead_lost, 1);
		return RFS_CONTINUE;
	}
	pthread_mutex_lock(&state.lock);
	fits = state.started && !state.stop && state.n_ahead < AHEAD_MAX;
	if (fits) {
		state.ahead[state.n_ahead++] = ahead;
		pthread_cond_broadcast(&state.wake);
	}
	pthread_mutex_unlock(&state.lock);
	if (!fits) {
		ahead_free(&ahead);
		atomic_fetch_add(&state.engine.numbers.ahead_lost, 1);
	}
	return RFS_CONTINUE;
}

static struct rfs_op_info operations[] = {
	{ RFS_REG_FOP_OPEN, NULL, after_open },
	{ RFS_DIR_IOP_CREATE, NULL, after_open },
	{ RFS_REG_FOP_RELEASE, NULL, after_release },
	{ RFS_OP_END, NULL, NULL },
};

/* --- the beginning --- */

static int usage(void)
{
	urfs_say(&state.conn,
		 "usage: scanflt {-c CONFIGURATION | -r RULES} [-f open|closed|error] [-t MILLISECONDS]\n"
		 "               [-l LOG] [-s NUMBERS] [-p PRIORITY] [-n NAME] DIRECTORY...\n"
		 "       scanflt --test {RULES | -c CONFIGURATION} [FILE...]");
	return -EINVAL;
}

static int policy_of(const char *word)
{
	if (strcmp(word, "open") == 0)
		return RFS_FAIL_OPEN;
	return strcmp(word, "closed") == 0  ? RFS_FAIL_CLOSED
	       : strcmp(word, "error") == 0 ? -EIO
					    : 0;
}

static bool number_of(const char *text, int *ret_value)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	*ret_value = (int)value;
	return !errno && !*end && end != text && value >= 0 && value <= INT_MAX;
}

static void say_file(const char *file)
{
	char sentence[PATH_MAX + 100];

	snprintf(sentence, sizeof(sentence), "scanflt: %s: %s", file, strerror(errno));
	urfs_say(&state.conn, sentence);
}

static int name_file(const char *file, char **ret_path)
{
	int r;

	free(*ret_path);
	*ret_path = realpath(file, NULL);
	if (*ret_path)
		return 0;
	r = -errno;
	say_file(file);
	return r;
}

static int take_option(int option, const char *value, struct rfs_filter_info *info)
{
	int n = 0;

	switch (option) {
	case 'c':
		return name_file(value, &state.conf);
	case 'r':
		return name_file(value, &state.rules_file);
	case 'f':
		info->policy = policy_of(value);
		return info->policy == 0 ? usage() : 0;
	case 't':
		if (!number_of(value, &n) || n == 0)
			return usage();
		info->deadline_ms = (unsigned)n;
		return 0;
	case 'p':
		return number_of(value, &info->priority) ? 0 : usage();
	case 'n':
		info->name = value;
		return 0;
	case 'l':
		if (!(state.log = fopen(value, "ae")))
			say_file(value);
		return state.log ? 0 : -errno;
	case 's':
		free(state.numbers_file);
		state.numbers_file = strdup(value);
		return state.numbers_file ? 0 : -ENOMEM;
	default:
		return usage();
	}
}

/* The rules, the cache. Says what is wrong. */
static int begin(void)
{
	char error[SCAN_ERROR_SIZE] = "";
	struct scan_setup *setup;
	int r;

	if (yr_initialize() != ERROR_SUCCESS)
		return -ENOMEM;
	r = setup_take(1, error);
	if (r < 0) {
		say_error(error, "");
		return r;
	}
	setup = setup_get();
	state.seen = look(&setup->conf, &state.n_seen);
	r = scan_engine_init(&state.engine, setup->conf.cache);
	state.engine.numbers.rules = scan_rules_count(setup->rules);
	scan_setup_unref(setup);
	return r;
}

static int start(struct urfs_conn *conn, int argc, char **argv)
{
	struct rfs_filter_info info = {
		.name = "scanflt", .priority = 850000000, .active = 1, .policy = RFS_FAIL_CLOSED
	};
	char *last = NULL;
	int c, r;

	state.conn = *conn;
	openlog("scanflt", LOG_PID, LOG_AUTHPRIV);
	optind = 0; /* this program's, or that which has loaded us, may have used it */
	while ((c = getopt(argc, argv, "+c:r:f:t:l:s:p:n:")) != -1) {
		r = take_option(c, optarg, &info);
		if (r < 0)
			return r;
	}
	if (!state.conf == !state.rules_file)
		return usage();
	r = begin();
	if (r == 0 && state.numbers_file)
		r = numbers_write(&last);
	free(last);
	if (r == 0 && info.deadline_ms == 0)
		info.deadline_ms = (state.setup->conf.max_time + 2) * 1000;
	if (r == 0)
		state.time_max = info.deadline_ms / 1000 > state.setup->conf.max_time
					 ? info.deadline_ms / 1000
					 : state.setup->conf.max_time;
	if (r == 0)
		r = urfs_set_threads(conn, THREADS);
	return r < 0 ? r : filter_begin(conn, &info, operations, argc - optind, argv + optind);
}

/* The program, or the shared object, goes: nobody is in it. */
__attribute__((destructor)) static void finish(void)
{
	if (state.started) {
		pthread_mutex_lock(&state.lock);
		state.stop = true;
		pthread_cond_broadcast(&state.wake);
		pthread_mutex_unlock(&state.lock);
		watcher_wake();
		pthread_join(state.watcher, NULL);
		pthread_join(state.scanner, NULL);
	}
	for (size_t i = 0; i < state.n_ahead; i++)
		ahead_free(&state.ahead[i]);
	if (state.inotify >= 0)
		close(state.inotify);
	if (state.event >= 0)
		close(state.event);
	if (state.engine.cache)
		scan_engine_release(&state.engine);
	if (state.setup) {
		scan_setup_unref(state.setup);
		yr_finalize();
	}
	free(state.seen);
	free(state.conf);
	free(state.rules_file);
	free(state.numbers_file);
	if (state.log)
		fclose(state.log);
}

#ifdef RFS_MODULE
RFS_MAIN(start)
#else

/* --- testing rules --- */

static int open_named(void *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

/* Verdict, rule, time. 1: it would be denied; 2: there is no such file. */
static int test_file(const struct scan_setup *setup, const char *name)
{
	struct scan_result result = { .found = false };
	enum scan_verdict verdict;
	struct timespec a, b;
	struct stat st;
	struct scan_file file = { .stat = &st, .open = open_named, .arg = (void *)name };
	bool deny;

	if (stat(name, &st) < 0 || !S_ISREG(st.st_mode)) {
		fprintf(stderr, "scanflt: %s: %s\n", name, errno ? strerror(errno) : "it is no file");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	verdict = scan_file(&state.engine, setup, &file, &result);
	clock_gettime(CLOCK_MONOTONIC, &b);
	deny = scan_denies(setup, verdict);
	printf("%s %s %s %.3f ms", deny ? "deny" : "allow", scan_verdict_names[verdict],
	       verdict == SCAN_FOUND ? result.rule : "-",
	       (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6);
	put(stdout, "path", name);
	putchar('\n');
	return deny;
}

static int test(int argc, char **argv)
{
	bool with_conf = argc > 0 && strcmp(argv[0], "-c") == 0;
	struct scan_setup *setup;
	int status = 0;

	argc -= with_conf;
	argv += with_conf;
	if (argc < 1) {
		usage();
		return 2;
	}
	if (name_file(argv[0], with_conf ? &state.conf : &state.rules_file) < 0 || begin() < 0)
		return 2;
	setup = setup_get();
	if (argc == 1)
		printf("%zu rules\n", scan_rules_count(setup->rules));
	for (int i = 1; i < argc; i++) {
		int r;

		errno = 0;
		r = test_file(setup, argv[i]);
		status = r > status ? r : status;
	}
	scan_setup_unref(setup);
	return status;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--test") == 0)
		return test(argc - 2, argv + 2);
	return urfs_run(argc, argv, start);
}
#endif
