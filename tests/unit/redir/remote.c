/*
 * Filters in another process: what a good one does, and that one that dies, stops or never answers is felt by the
 * calls of its own filters alone, by their policy and within their deadline.
 */
#include "files.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "redir/serve.h"
#include "../until.h"
#include "urfs/filter.h"

static char dir[] = "/tmp/redir-remote-XXXXXX";
static char socket_path[64], file[64];
static struct rd_config *config;
static struct rd_server *server;

/* Between the filter's process and the test. */
static struct shared {
	_Atomic int asked[4]; /* by priority */
	_Atomic int pres, posts, freed, inside, most_inside, go, state;
	_Atomic int64_t value;
} * shared;

/* The filter's process is forked here, where there are threads, and starts its own. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "die_after_fork=0";
}

/* --- the filter's process ------------------------------------------------------------------------- */

static int me; /* in shared->asked */

static void count_free(void *data)
{
	shared->freed += *(int *)data;
	free(data);
}

static int *number(int n)
{
	int *data = malloc(sizeof(*data));

	*data = n;
	return data;
}

static enum rfs_retv keep(rfs_context context, struct rfs_args *args)
{
	void *there = NULL;
	int *mine = number(1);

	if (args->type.call == RFS_POSTCALL) {
		shared->value = *(int *)rfs_get_data(context, RFS_KEEP_CALL);
		free(mine);
		return RFS_CONTINUE;
	}
	if (rfs_attach_data(context, RFS_KEEP_OBJECT, mine, count_free, &there) == -EEXIST) {
		shared->state = *(int *)there == 1 ? 2 : -1;
		free(mine);
	}
	rfs_attach_data(context, RFS_KEEP_CALL, number(100), count_free, NULL);
	return RFS_CONTINUE;
}

/* What was opened: its bytes, and what was said of it. The result is their sum, or the error. */
static void see_file(rfs_context context, struct rfs_args *args)
{
	int fd = rfs_open_file(context);
	char bytes[8] = "";

	args->retv.rv_int = fd;
	if (fd < 0)
		return;
	args->retv.rv_int =
		read(fd, bytes, 3) == 3 && strcmp(bytes, "abc") == 0 && write(fd, "x", 1) < 0 &&
				(fcntl(fd, F_GETFD) & FD_CLOEXEC)
			? (int)args->args.f_open.stat.st_size + (int)args->args.f_open.generation
			: -EBADF;
	close(fd);
}

static enum rfs_retv on_open(rfs_context context, struct rfs_args *args)
{
	const char *name = strrchr(args->path, '/') + 1;
	bool pre = args->type.call == RFS_PRECALL;
	void *private_data = NULL;
	int inside = ++shared->inside, most = shared->most_inside;

	shared->asked[me]++;
	++*(pre ? &shared->pres : &shared->posts);
	while (inside > most && !atomic_compare_exchange_weak(&shared->most_inside, &most, inside))
		;
	if (pre && strcmp(name, "stop") == 0) {
		args->retv.rv_int = -EACCES;
		shared->inside--;
		return RFS_STOP;
	}
	if (pre && strcmp(name, "sub") == 0) {
		rfs_subcall(context, args);
		args->retv.rv_ssize += 1000;
		shared->inside--;
		return RFS_STOP;
	}
	if (pre && strcmp(name, "wait") == 0)
		while (!shared->go)
			usleep(200);
	if (pre && strcmp(name, "die") == 0)
		raise(SIGKILL);
	if (!pre && strcmp(name, "late") == 0)
		args->retv.rv_int = -EROFS;
	if (strcmp(name, "who") == 0 && rfs_get_context_flt_private_data(context, &private_data) == 0)
		shared->value = *(int *)private_data + (int64_t)args->uid;
	if (!pre && strncmp(name, "read", 4) == 0)
		see_file(context, args);
	shared->inside--;
	return strcmp(name, "keep") == 0 ? keep(context, args) : RFS_CONTINUE;
}

static enum rfs_retv swap(rfs_context context, struct rfs_args *args)
{
	bool pre = args->type.call == RFS_PRECALL;
	size_t n = pre ? args->args.f_write.count : (size_t)args->retv.rv_ssize;

	if (pre || args->retv.rv_ssize > 0)
		for (size_t i = 0; i < n; i++)
			args->args.f_read.buf[i] = (char)((uint8_t)args->args.f_read.buf[i] << 4 |
							  (uint8_t)args->args.f_read.buf[i] >> 4);
	return RFS_CONTINUE;
}

static enum rfs_err modify(rfs_filter filter, union rfs_mod *mod)
{
	if (mod->id == RFS_SET_PATH)
		return rfs_set_path(filter, &mod->set_path.path_info);
	return mod->id == RFS_ACTIVATE ? rfs_activate_filter(filter) : rfs_deactivate_filter(filter);
}

static struct rfs_op_info operations[] = {
	{ RFS_REG_FOP_OPEN, on_open, on_open },
	{ RFS_REG_FOP_WRITE, swap, NULL },
	{ RFS_REG_FOP_READ, NULL, swap },
	{ RFS_OP_END, NULL, NULL },
};

struct how {
	const char *name;
	int priority, policy;
	unsigned deadline_ms, threads;
	bool own_loop, no_data;
};

static int start_filter(struct urfs_conn *conn, const struct how *how, rfs_filter *ret_filter)
{
	struct rfs_filter_info info = { how->name, how->priority, 1, how->policy, how->deadline_ms };
	struct rfs_path_info path = { dir, RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };
	static int data = 7;
	struct rfs_op_info no_data[] = { operations[0], operations[3] };
	int r = urfs_filter_alloc(ret_filter, conn);

	if (r == 0)
		r = rfs_register_filter(ret_filter, &info);
	if (r == 0)
		r = rfs_set_operations(*ret_filter, how->no_data ? no_data : operations);
	if (r == 0)
		r = rfs_set_path(*ret_filter, &path);
	if (r == 0)
		r = rfs_set_private_data(*ret_filter, &data);
	if (r == 0)
		r = rfs_set_mod_filter_cb(*ret_filter, modify);
	return r;
}

static void own_loop(struct urfs_conn *conn)
{
	struct pollfd fd = { conn->fd, POLLIN, 0 };
	int r = urfs_dispatch(conn); /* callbacks from now on */

	shared->state = 1;
	while (r == 0 && !shared->go) {
		poll(&fd, 1, 20);
		r = urfs_dispatch(conn);
	}
}

static pid_t spawn(const struct how *how)
{
	struct urfs_conn conn;
	rfs_filter filter;
	pid_t pid;
	struct rd_filter_stat stat;

	shared->state = 0;
	shared->asked[how->priority - 100] = 0;
	pid = fork();
	if (pid == 0) {
		int r = urfs_open(&conn);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		me = how->priority - 100;

		if (r == 0)
			r = start_filter(&conn, how, &filter);
		if (r != 0)
			_exit(100 - r % 100);
		urfs_set_threads(&conn, how->threads);
		if (how->own_loop)
			own_loop(&conn);
		else
			r = urfs_main(&conn, filter);
		urfs_close(&conn);
		_exit(r == 0 ? 0 : 99);
	}
	UNTIL(how->own_loop ? shared->state == 1
			    : rd_config_stat(config, how->name, &stat) == 0 && stat.hooked &&
				      file_op(config, file, RD_OPEN) == 0 &&
				      shared->asked[how->priority - 100] > 0);
	shared->pres = shared->posts = 0;
	return pid;
}

static int end(pid_t pid, int number)
{
	int status;

	kill(pid, number);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static const char *in(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const struct how usual = { "good", 100, 0, 0, 0, false, false };

/* --- tests ------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct pfs_diag diag = { "" };

	memset(shared, 0, sizeof(*shared));
	assert_int_equal(rd_config_new(&config), 0);
	if (rd_server_new(config, socket_path, &server, &diag) < 0)
		fail_msg("%s", diag.text);
	return 0;
}

static int teardown(void **state)
{
	rd_server_free(server);
	rd_config_free(config);
	return 0;
}

static void test_good(void **state)
{
	pid_t pid = spawn(&usual);
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(file_op(config, in("plain"), RD_OPEN), 0);
	assert_int_equal(file_op(config, in("stop"), RD_OPEN), -EACCES);
	assert_int_equal(file_op(config, in("late"), RD_OPEN), -EROFS);
	assert_int_equal(file_op(config, in("sub"), RD_OPEN), 1000);
	assert_int_equal(file_op(config, in("who"), RD_OPEN), 0);
	assert_int_equal(shared->value, 1007);
	assert_int_equal(shared->pres, 5);
	assert_int_equal(shared->posts, 5);
	assert_int_equal(file_op(config, "/elsewhere/stop", RD_OPEN), 0);
	file_scrambles(config, file, fd, 200);
	close(fd);
	for (int i = 0; i < 2; i++) {
		static const int numbers[] = { SIGTERM, SIGHUP };

		assert_int_equal(end(pid, numbers[i]), 0); /* urfs_main() returned 0 */
		assert_int_equal(file_op(config, in("stop"), RD_OPEN), 0); /* it took its filter with it */
		pid = spawn(&usual);
	}
	assert_int_equal(end(pid, SIGINT), 0);
}

/*
 * Two over one another: neither can have the bytes in its own memory, so they are copied. Swapped
 * twice they are as they were.
 */
static void test_two(void **state)
{
	struct how second = { "second", 101, 0, 0, 0, false, false };
	pid_t one = spawn(&usual), two = spawn(&second);
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char bytes[] = "as it was", raw[16];

	assert_int_equal(file_io(config, file, fd, RD_WRITE, bytes, 9, 0), 9);
	assert_int_equal(pread(fd, raw, sizeof(raw), 0), 9);
	assert_memory_equal(raw, "as it was", 9);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(file_io(config, file, fd, RD_READ, bytes, 9, 0), 9);
	assert_memory_equal(bytes, "as it was", 9);
	assert_int_equal(end(two, SIGTERM), 0);
	assert_int_equal(file_io(config, file, fd, RD_READ, bytes, 9, 0), 9);
	assert_memory_not_equal(bytes, "as it was", 9);
	assert_int_equal(end(one, SIGTERM), 0);
	close(fd);
}

/* The demonstration that inproc.c loads, from the same source, as a program. */
static void test_program(void **state)
{
	const char *build = getenv("BUILDDIR");
	char program[512];
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	pid_t pid;

	snprintf(program, sizeof(program), "%s/src/scrambleflt", build ? build : ".");
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl(program, program, dir, NULL);
		_exit(127);
	}
	UNTIL(file_op(config, file, RD_COPY_FILE_RANGE) == -EXDEV);
	file_scrambles(config, file, fd, 200);
	close(fd);
	assert_int_equal(end(pid, SIGTERM), 0);
	assert_int_equal(file_op(config, file, RD_COPY_FILE_RANGE), 0);
}

static void test_own_loop(void **state)
{
	struct how how = usual;
	pid_t pid;
	int status;

	how.own_loop = true;
	pid = spawn(&how);
	assert_int_equal(file_op(config, in("stop"), RD_OPEN), -EACCES);
	assert_int_equal(file_op(config, in("sub"), RD_OPEN), 1000);
	shared->go = 1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(file_op(config, in("stop"), RD_OPEN), 0);
}

static void test_kept(void **state)
{
	pid_t pid = spawn(&usual);
	struct rd_slots slots = { 0 };
	struct file_call fc = { .call = { .op = RD_OPEN, .type = S_IFREG, .path = (char *)in("keep") } };

	fc.call.chain = rd_chain_find(config, in("keep"));
	fc.call.slots = &slots;
	assert_int_equal(file_call(&fc), 0);
	assert_int_equal(shared->value, 100); /* from pre to post */
	UNTIL(shared->freed == 100);
	assert_int_equal(file_call(&fc), 0);
	assert_int_equal(shared->state, 2); /* what was there was found */
	UNTIL(shared->freed == 200);
	rd_slots_release(&slots);
	UNTIL(shared->freed == 201);
	rd_chain_unref(fc.call.chain);
	assert_int_equal(end(pid, SIGTERM), 0);
}

static int open_abc(struct rd_call *call)
{
	int fd = strcmp(strrchr(call->path, '/'), "/read-not") == 0
			 ? -EACCES
			 : open(file, O_RDONLY | O_CLOEXEC);

	while (strcmp(strrchr(call->path, '/'), "/read-killed") == 0 && !shared->go)
		usleep(200);
	return fd;
}

static int64_t open_told(const char *name, bool can)
{
	struct file_call fc = { .call = { .op = RD_OPEN, .type = S_IFREG, .path = (char *)in(name) } };
	int64_t r;

	fc.call.chain = rd_chain_find(config, fc.call.path);
	fc.call.arg.open.stat.st_size = 3;
	fc.call.arg.open.generation = 4000;
	fc.call.open_file = can ? open_abc : NULL;
	r = file_call(&fc);
	rd_chain_unref(fc.call.chain);
	return r;
}

static void *open_told_run(void *arg)
{
	*(int64_t *)arg = open_told("read-killed", true);
	return NULL;
}

/* The filter is handed the file that it is asked about. */
static void test_open_file(void **state)
{
	pid_t pid = spawn(&usual);
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	pthread_t thread;
	int64_t result;

	assert_int_equal(write(fd, "abc", 3), 3);
	close(fd);
	for (int i = 0; i < 2000; i++) /* more than there may be descriptors, were they kept */
		assert_int_equal(open_told("read", true), 4003);
	assert_int_equal(open_told("read-not", true), -EACCES);
	assert_int_equal(open_told("read", false), -ENOENT);
	/* It dies while it is being opened: its policy. */
	pthread_create(&thread, NULL, open_told_run, &result);
	UNTIL(shared->inside == 1);
	assert_true(WIFSIGNALED(end(pid, SIGKILL)));
	shared->go = 1;
	pthread_join(thread, NULL);
	assert_int_equal(result, -EIO);
}

/* --- many at once --------------------------------------------------------------------------------------- */

struct opener {
	pthread_t thread;
	const char *path;
	int64_t result;
};

static void *opener_run(void *arg)
{
	struct opener *opener = arg;

	opener->result = file_op(config, opener->path, RD_OPEN);
	return NULL;
}

static void openers_start(struct opener *openers, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++) {
		openers[i].path = path;
		assert_int_equal(pthread_create(&openers[i].thread, NULL, opener_run, &openers[i]), 0);
	}
}

static void openers_end(struct opener *openers, size_t n, int64_t want)
{
	for (size_t i = 0; i < n; i++) {
		pthread_join(openers[i].thread, NULL);
		assert_int_equal(openers[i].result, want);
	}
}

static void test_many(void **state)
{
	struct how how = usual;
	struct opener openers[40];
	pid_t pid;

	how.threads = 8;
	pid = spawn(&how);
	openers_start(openers, ARRAY_SIZE(openers), in("wait"));
	UNTIL(shared->inside == 8); /* at the same time, in one process, of one connection */
	shared->go = 1;
	openers_end(openers, ARRAY_SIZE(openers), 0);
	assert_int_equal(shared->most_inside, 8);
	assert_int_equal(end(pid, SIGTERM), 0);
}

/* How often the threads of a process have gone to sleep. */
static unsigned slept(pid_t pid)
{
	unsigned n, sum = 0;
	struct dirent *entry;
	char path[300], text[4096];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	assert_non_null(tasks);
	while ((entry = readdir(tasks))) {
		PFS_CLOSE int fd = -1;

		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		memset(text, 0, sizeof(text));
		if (read(fd, text, sizeof(text) - 1) > 0 &&
		    sscanf(strstr(text, "\nvoluntary_ctxt"), "\nvoluntary_ctxt_switches: %u", &n) == 1)
			sum += n;
	}
	closedir(tasks);
	return sum;
}

/* One call wakes one of a filter's threads, however many it has. */
static void test_wakes(void **state)
{
	struct how how = usual;
	unsigned before;
	pid_t pid;

	how.threads = 8;
	pid = spawn(&how);
	before = slept(pid);
	for (int i = 0; i < 500; i++)
		assert_int_equal(file_op(config, in("stop"), RD_OPEN), -EACCES);
	/* Before and after, 1000; a thread that is about to sleep may be quicker than the one that was woken. */
	assert_in_range(slept(pid) - before, 1, 1700);
	assert_int_equal(end(pid, SIGTERM), 0);
}

/*
 * --- bad ones
 * ------------------------------------------------------------------------------------------------
 */

static void test_killed(void **state)
{
	struct how how = usual;
	struct opener openers[10];
	struct rd_filter_stat stat;
	pid_t pid;

	how.policy = -ESTALE;
	how.threads = 2;
	pid = spawn(&how);
	openers_start(openers, ARRAY_SIZE(openers), in("wait"));
	UNTIL(shared->inside == 2);
	end(pid, SIGKILL);
	openers_end(openers, ARRAY_SIZE(openers), -ESTALE); /* what it held, and what waited behind */
	UNTIL(rd_config_stat(config, "good", &stat) == 0 && !stat.hooked);
	assert_int_equal(file_op(config, file, RD_OPEN), -ESTALE); /* the declared error stays */
	/* In the middle of a callback, by itself. */
	shared->inside = 0;
	shared->pres = 0;
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct urfs_conn conn;
		rfs_filter filter;

		if (urfs_open(&conn) == 0 && start_filter(&conn, &how, &filter) == 0)
			urfs_main(&conn, filter);
		_exit(1);
	}
	UNTIL(file_op(config, file, RD_OPEN) == 0 && shared->pres > 0); /* it has taken its name over */
	assert_int_equal(file_op(config, in("die"), RD_OPEN), -ESTALE);
	assert_true(WIFSIGNALED(end(pid, 0)));
	assert_int_equal(rd_config_remove(config, "good"), 0);
	assert_int_equal(file_op(config, file, RD_OPEN), 0);
}

static void test_stopped(void **state)
{
	static const struct {
		int policy;
		int64_t want;
	} row[] = { { 0, -EIO }, { RFS_FAIL_CLOSED, -EPERM }, { -EAGAIN, -EAGAIN }, { RFS_FAIL_OPEN, 0 } };
	struct rd_filter_stat stat;

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct how how = { "good", 100, row[i].policy, 300, 0, false, false };
		struct opener openers[20];
		uint64_t start;
		pid_t pid = spawn(&how);
		int status;

		assert_int_equal(kill(pid, SIGSTOP), 0);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid); /* with all of its threads */
		start = pfs_clock_mono();
		openers_start(openers, ARRAY_SIZE(openers), in("plain"));
		openers_end(openers, ARRAY_SIZE(openers), row[i].want);
		assert_true(pfs_clock_mono() - start >= 290000000);
		assert_true(pfs_clock_mono() - start < 3000000000);
		assert_int_equal(rd_config_stat(config, "good", &stat), 0);
		assert_int_equal(stat.late % ARRAY_SIZE(openers), 0);
		/* It goes on: its late answers are for nobody, new ones count. */
		assert_int_equal(kill(pid, SIGCONT), 0);
		UNTIL(file_op(config, in("stop"), RD_OPEN) == -EACCES);
		assert_int_equal(end(pid, SIGTERM), 0);
	}
}

/*
 * More are asked than its socket takes: nobody waits for room there. All get their answers in time, whom it does not
 * concern at once, and when it goes on it gets what comes from then on.
 */
static void test_full(void **state)
{
	struct how how = { "good", 100, RFS_FAIL_CLOSED, 1000, 0, false, false };
	static struct opener openers[1500];
	struct rd_filter_stat stat;
	pid_t pid = spawn(&how);
	uint64_t start;
	int status;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	start = pfs_clock_mono();
	openers_start(openers, ARRAY_SIZE(openers), in("plain"));
	assert_int_equal(file_op(config, "/elsewhere/plain", RD_OPEN), 0);
	openers_end(openers, ARRAY_SIZE(openers), -EPERM);
	assert_true(pfs_clock_mono() - start < 20000000000); /* each 1 s after it came, on a loaded machine */
	assert_int_equal(rd_config_stat(config, "good", &stat), 0);
	assert_int_equal(stat.late, ARRAY_SIZE(openers));
	assert_int_equal(kill(pid, SIGCONT), 0);
	UNTIL(file_op(config, in("stop"), RD_OPEN) == -EACCES);
	assert_int_equal(end(pid, SIGTERM), 0);
}

/* What the filter's process, or a child of it, does in the tree is not asked of it. */
static void test_own(void **state)
{
	pid_t pid = spawn(&usual), other = fork();
	struct file_call fc = { .call = { .op = RD_OPEN, .type = S_IFREG, .path = (char *)in("stop") } };

	if (other == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	fc.call.chain = rd_chain_find(config, in("stop"));
	fc.call.caller.pid = pid;
	assert_int_equal(file_call(&fc), 0);
	fc.call.caller.pid = other; /* a sister is none */
	assert_int_equal(file_call(&fc), -EACCES);
	end(other, SIGKILL);
	assert_int_equal(end(pid, SIGTERM), 0);
	rd_chain_unref(fc.call.chain);
}

static void test_modify(void **state)
{
	union rfs_mod mod = { .id = RFS_DEACTIVATE };
	pid_t pid = spawn(&usual);
	int status;

	assert_int_equal(rd_server_modify(server, "nobody", &mod, RD_SECOND), -ENOENT);
	assert_int_equal(rd_server_modify(server, "good", &mod, 5 * RD_SECOND), 0);
	assert_int_equal(file_op(config, in("stop"), RD_OPEN), 0);
	mod.id = RFS_ACTIVATE;
	assert_int_equal(rd_server_modify(server, "good", &mod, 5 * RD_SECOND), 0);
	assert_int_equal(file_op(config, in("stop"), RD_OPEN), -EACCES);
	mod.set_path.id = RFS_SET_PATH;
	mod.set_path.path_info =
		(struct rfs_path_info){ "/elsewhere", RFS_PATH_INCLUDE | RFS_PATH_SUBTREE };
	assert_int_equal(rd_server_modify(server, "good", &mod, 5 * RD_SECOND), 0);
	assert_int_equal(file_op(config, "/elsewhere/stop", RD_OPEN), -EACCES);
	mod.set_path.path_info.path = "relative";
	assert_int_equal(rd_server_modify(server, "good", &mod, 5 * RD_SECOND), -EINVAL);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_int_equal(rd_server_modify(server, "good", &mod, RD_SECOND / 10), -ETIMEDOUT);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(end(pid, SIGTERM), 0);
}

static void test_refused(void **state)
{
	struct urfs_conn conn;
	rfs_filter filters[URFS_FILTERS_MAX], one, two;
	struct how how = usual, same = { "other", 100, 0, 0, 0, false, false };
	struct rfs_path_info bad[] = { { "relative", 6 }, { "/a", 7 }, { "/a", 4 },
				       { "/a", 12 },	  { NULL, 6 }, { "/a/../b", 6 } };
	struct rfs_op_info none = { (enum rfs_op_id)100000, on_open, NULL };
	char name[16];

	assert_int_equal(urfs_open(&conn), 0);
	assert_int_equal(start_filter(&conn, &how, &one), 0);
	assert_int_equal(start_filter(&conn, &how, &two), RFS_ERR_EXIST);
	assert_int_equal(start_filter(&conn, &same, &two), RFS_ERR_EXIST);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(rfs_set_path(one, &bad[i]), RFS_ERR_INVAL);
	assert_int_equal(rfs_set_operations(one, &none), RFS_ERR_INVAL);
	assert_int_equal(rfs_activate_filter(two), RFS_ERR_INVAL);
	assert_int_equal(rfs_unregister_filter(one), 0);
	assert_int_equal(rfs_unregister_filter(one), RFS_ERR_INVAL);
	urfs_close(&conn);
	/* As many as a connection has, and one more. */
	assert_int_equal(urfs_open(&conn), 0);
	for (int i = 0; i < URFS_FILTERS_MAX; i++) {
		struct rfs_filter_info info = { name, 1000 + i, 1, 0, 0 };

		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(urfs_filter_alloc(&filters[i], &conn), 0);
		assert_int_equal(rfs_register_filter(&filters[i], &info), 0);
	}
	assert_int_equal(urfs_filter_alloc(&two, &conn), -ENOSPC);
	urfs_close(&conn);
	assert_int_equal(rd_config_remove(config, "f0"), -ENOENT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_good),	T(test_two),	 T(test_own_loop), T(test_kept),  T(test_open_file),
		T(test_many),	T(test_killed),	 T(test_stopped),  T(test_full),  T(test_own),
		T(test_modify), T(test_refused), T(test_program),  T(test_wakes),
	};
	int r;

	if (!mkdtemp(dir))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
	snprintf(file, sizeof(file), "%s/f", dir);
	setenv("PIPESFS_URFS", socket_path, 1);
	signal(SIGPIPE, SIG_DFL);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(file);
	rmdir(dir);
	return r;
}
