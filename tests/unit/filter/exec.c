/*
 * exec: real commands, run by a real spawner as whoever runs the test
 */
#include "../rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/spawn.h"

static struct {
	pthread_mutex_t lock;
	struct pfs_buf text; /* lock: "ERROR sentence\n" */
} said = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void complain(void *arg, const struct pfs_complaint *complaint)
{
	(void)arg;
	pthread_mutex_lock(&said.lock);
	pfs_buf_printf(&said.text, "%s %s\n",
		       complaint->error ? strerrorname_np(complaint->error) : "-", complaint->text);
	pthread_mutex_unlock(&said.lock);
}

static void said_clear(void)
{
	pthread_mutex_lock(&said.lock);
	pfs_buf_release(&said.text);
	pfs_buf_str(&said.text, "");
	pfs_buf_add(&said.text, "", 0);
	pthread_mutex_unlock(&said.lock);
}

static bool said_has(const char *part)
{
	bool has;

	pthread_mutex_lock(&said.lock);
	has = said.text.data && strstr(said.text.data, part);
	pthread_mutex_unlock(&said.lock);
	return has;
}

static void expect_said(const char *part)
{
	WAIT_WHILE(!said_has(part));
	if (!said_has(part))
		print_error("wanted '%s', got:\n%s", part, said.text.data ? said.text.data : "");
	assert_true(said_has(part));
}

/* "accept/exec:..." with the slashes and commas of the command escaped. */
static const char *path_of(const char *above, const char *command, const char *params)
{
	static char path[1024];
	PFS_BUF struct pfs_buf escaped = { 0 };

	pfs_name_escape(&escaped, command, strlen(command));
	snprintf(path, sizeof(path), "%s/exec:%s%s", above, escaped.data, params);
	return path;
}

/* What comes out when this is written. */
static void run(const char *command, const char *params, const char *input, const char *want)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	said_clear();
	rig_run(&rig, path_of("accept", command, params), NULL, input, strlen(input), 0, &out);
	pfs_buf_add(&out, "", 1);
	assert_string_equal(out.data, want);
	rig_release(&rig);
}

static int refused(const char *above, const char *command, const char *params, struct pfs_diag *diag)
{
	struct rig rig;
	int r = rig_try(&rig, path_of(above, command, params), diag);

	rig_release(&rig);
	return r;
}

/* Reads on over the ends of generations. */
static void wait_len(struct rig *rig, struct pfs_buf *out, size_t len)
{
	for (int i = 0; out->len < len && i < PATIENCE; i++) {
		rig_drain(rig, out);
		usleep(1000);
	}
	assert_int_equal(out->len, len);
}

static void fill(struct pfs_buf *in, size_t size)
{
	uint32_t x = 1;

	while (in->len < size) {
		x = x * 1664525 + 1013904223;
		pfs_buf_add(in, &x, sizeof(x));
	}
}

static void test_words(void **state)
{
	(void)state;
	run("cat", "", "hello", "hello");
	run("tr a-z A-Z", "", "hello", "HELLO");
	run("printf '%s|' \"a b\" c\\ d '' e", "", "", "a b|c d||e|");
	run("echo $HOME ; * > x", "", "", "$HOME ; * > x\n");
	run("/bin/echo x", "", "", "x\n");
}

static void test_much(void **state)
{
	static const size_t chunks[] = { 1 << 20, 65536, 4097 };
	PFS_BUF struct pfs_buf in = { 0 };

	(void)state;
	fill(&in, 24 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct rig rig;

		rig_run(&rig, "accept/exec:cat/exec:gzip -1/exec:gunzip", NULL, in.data, in.len,
			chunks[i], &out);
		assert_int_equal(out.len, in.len);
		assert_memory_equal(out.data, in.data, in.len);
		rig_release(&rig);
	}
}

/* A process for each generation; the end of one is the end of its stdin. */
static void test_generations(void **state)
{
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/exec:wc -c", NULL);
	for (int i = 0; i < 3; i++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct pfs_writer *writer = rig_writer(&rig);

		rig_write(&rig, writer, "12345", (size_t)i + 1, 0, &out);
		assert_int_equal(rig_drain(&rig, &out), -EAGAIN);
		pfs_writer_close(writer);
		rig_finish(&rig, &out);
		assert_int_equal(out.len, 2);
		assert_int_equal(out.data[0], '1' + i);
	}
	assert_int_equal(rig_stat(&rig, "started"), 3);
	rig_release(&rig);
}

/* Nothing is written: it runs with the reader, and its end is his. */
static void test_without_input(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/exec:echo now", NULL);
	rig_finish(&rig, &out);
	assert_int_equal(out.len, 4);
	rig_release(&rig);
	/* A writer who has nothing to say: the command has its end, too. */
	rig_run(&rig, "accept/exec:wc -c", NULL, "", 0, 0, &out);
	assert_memory_equal(out.data + 4, "0\n", 2);
	rig_release(&rig);
}

/* It ends before its input: so does the stream, and nobody is stalled by what nobody reads. */
static void test_early_end(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 }, out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	said_clear();
	fill(&in, 32 << 20);
	rig_open(&rig, "accept/exec:head -c 3", NULL);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, in.data, in.len, 0, &out); /* reads on over the end */
	wait_len(&rig, &out, 3);
	assert_memory_equal(out.data, in.data, 3);
	rig_expect(&rig, "in", in.len >> 20);
	assert_true(rig_stat(&rig, "ignored") > 0);
	pfs_writer_close(writer);
	/* The next generation has a command of its own. */
	out.len = 0;
	writer = rig_writer(&rig);
	rig_write(&rig, writer, "abcdef", 6, 0, &out);
	wait_len(&rig, &out, 3);
	assert_memory_equal(out.data, "abc", 3);
	pfs_writer_close(writer);
	rig_release(&rig);
	assert_false(said_has("E"));
}

static void test_refused(void **state)
{
	struct pfs_diag diag;

	(void)state;
	assert_int_equal(refused("accept", "no-such-command x", "", &diag), -ENOENT);
	assert_non_null(strstr(diag.text, "no-such-command"));
	assert_int_equal(refused("accept", "/no/such", "", &diag), -ENOENT);
	assert_int_equal(refused("accept", "", "", &diag), -ENOENT);
	assert_int_equal(refused("accept", "  ", "", &diag), -ENOENT);
	assert_int_equal(refused("accept", "bin/cat", "", &diag), -EINVAL);
	assert_int_equal(refused("accept", "cat 'x", "", &diag), -EINVAL);
	assert_non_null(strstr(diag.text, "quote"));
	assert_int_equal(refused("accept", "/tmp", "", &diag), -EINVAL);
	assert_int_equal(refused("accept", "cat", ",restart=maybe", &diag), -EINVAL);
	assert_int_equal(refused("accept", "cat", ",as=pcap", &diag), -EINVAL);
	assert_int_equal(refused("accept/unpcap", "cat", ",as=x", &diag), -EINVAL);
}

static void test_failures(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	char text[] = "/tmp/pipesfs-exec-XXXXXX";
	struct rig rig;
	int fd;

	(void)state;
	run("false", "", "x", "");
	expect_said("EIO false ended with status 1\n");
	run("sh -c 'echo half; kill -9 $$'", "", "x", "half\n");
	expect_said("EIO sh was killed by signal 9, Killed\n");
	/* There, but nothing that can be run. */
	fd = mkstemp(text);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0600), 0);
	close(fd);
	run(text, "", "x", "");
	expect_said("EACCES ");
	expect_said("cannot be started: Permission denied\n");
	assert_int_equal(chmod(text, 0700), 0);
	run(text, "", "x", "");
	expect_said("ENOEXEC ");
	unlink(text);

	rig_run(&rig, path_of("accept", "sh -c 'exit 7'", ""), NULL, "x", 1, 0, &out);
	rig_expect(&rig, "exit", 7);
	rig_release(&rig);
	rig_run(&rig, path_of("accept", "sh -c 'kill -TERM $$'", ""), NULL, "x", 1, 0, &out);
	rig_expect(&rig, "signal", SIGTERM);
	rig_release(&rig);
}

static void test_stderr(void **state)
{
	char text[300];

	(void)state;
	run("sh -c 'echo one >&2; echo out; printf two >&2'", "", "", "out\n");
	expect_said("- one\n");
	expect_said("- two\n");
	/* A line that is too long, and too many of them. */
	run("awk 'BEGIN { while (i++ < 300) s = s \"x\"; print s > \"/dev/stderr\"; print \"y\" > \"/dev/stderr\" }'",
	    "", "", "");
	memset(text, 'x', 200);
	snprintf(text + 200, 10, "\n- y\n");
	expect_said(text);
	run("sh -c 'seq 1 30000 >&2; echo done'", "", "", "done\n");
	assert_true(said_has("- 7\n"));
	assert_true(said.text.len < 4096);
}

/* Each takes four bytes of what it is given; the rest of the input is for the next. */
static void test_restart(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/exec:head -c 4,restart=2", NULL);
	writer = rig_writer(&rig);
	for (size_t i = 0; i < 2; i++) {
		rig_write(&rig, writer, &"aaaabbbbcccc"[4 * i], 4, 0, &out);
		rig_wait(&rig, &out, 4 * (i + 1));
	}
	assert_int_equal(pfs_writer_write(writer, "cccc", 4), 4);
	rig_finish(&rig, &out);
	assert_memory_equal(out.data, "aaaabbbbcccc", 12);
	assert_int_equal(rig_stat(&rig, "restarts"), 2);
	assert_int_equal(rig_stat(&rig, "started"), 3);
	pfs_writer_close(writer);
	rig_release(&rig);

	/* What the one that ended had not read is lost, and counted. */
	out.len = 0;
	rig_open(&rig, "accept/exec:head -c 4,restart=yes", NULL);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, "aaaabbbbcccc", 12, 0, &out);
	rig_wait(&rig, &out, 4);
	rig_expect(&rig, "unread", 8);
	rig_write(&rig, writer, "dddd", 4, 0, &out);
	rig_wait(&rig, &out, 8);
	assert_memory_equal(out.data, "aaaadddd", 8);
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	rig_release(&rig);
}

static bool alive(pid_t pid)
{
	char path[64], line[256], state = 'X';
	const char *end;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f && fgets(line, sizeof(line), f) && (end = strrchr(line, ')')))
		state = end[2];
	if (f)
		fclose(f);
	return state != 'X' && state != 'Z';
}

static pid_t wait_pid(struct rig *rig)
{
	pid_t pid = 0;

	for (int i = 0; pid == 0 && i < PATIENCE; i++) {
		pid = (pid_t)rig_stat(rig, "pid");
		usleep(1000);
	}
	assert_true(pid > 0);
	return pid;
}

static void expect_dead(pid_t pid)
{
	WAIT_WHILE(alive(pid));
	assert_false(alive(pid));
}

/* Killed from outside while data flows. */
static void test_death(void **state)
{
	PFS_BUF struct pfs_buf in = { 0 }, out = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	said_clear();
	fill(&in, 16 << 20);
	rig_open(&rig, "accept/exec:cat", NULL);
	writer = rig_writer(&rig);
	rig_write(&rig, writer, in.data, 1000, 0, &out);
	rig_wait(&rig, &out, 1000); /* it runs, and reads */
	assert_int_equal(kill(wait_pid(&rig), SIGKILL), 0);
	rig_finish(&rig, &out);
	rig_write(&rig, writer, in.data, in.len, 0, &out); /* nobody waits for a dead one */
	expect_said("cat was killed by signal 9");
	assert_int_equal(rig_stat(&rig, "signal"), 9);
	pfs_writer_close(writer);
	rig_release(&rig);
}

/* Nothing of it is left when nobody reads, and when the directory is gone; even of one that does not want to go. */
static void test_ends_with_its_readers(void **state)
{
	static const char *const commands[] = { "sleep 1000", "sh -c 'sleep 1000 & sleep 1001; true'",
						"sh -c 'trap \"\" TERM; while :; do sleep 1; done'" };
	struct rig rig;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		rig_open(&rig, path_of("accept", commands[i], ""), NULL);
		pid = wait_pid(&rig);
		pfs_reader_close(rig.reader);
		expect_dead(pid);
		assert_int_equal(rig_stat(&rig, "pid"), 0);
		rig_read(&rig, NULL);
		pid = wait_pid(&rig);
		rig_release(&rig);
		expect_dead(pid);
		for (int j = 0; kill(-pid, 0) == 0 && j < PATIENCE; j++)
			usleep(1000);
		assert_int_equal(kill(-pid, 0), -1); /* nobody of its group is left */
	}
}

/* The leader has ended, and what it left holds its stdout: that goes, too. */
static void test_what_is_left(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;
	pid_t pid;

	(void)state;
	rig_open(&rig, path_of("accept", "sh -c 'sleep 1000 & echo $!'", ""), NULL);
	for (int i = 0; out.len == 0 && i < PATIENCE; i++) {
		rig_drain(&rig, &out);
		usleep(1000);
	}
	pfs_buf_add(&out, "", 1);
	pid = atoi(out.data);
	assert_true(pid > 0 && alive(pid));
	rig_expect(&rig, "exit", 0);
	rig_expect(&rig, "pid", 0);
	assert_true(alive(pid));
	rig_release(&rig);
	expect_dead(pid);
}

/* One that reads nothing holds up the writer, and only him; removing it lets him go. */
static void test_stuck(void **state)
{
	struct pfs_cred cred = rig_cred();
	static char block[1 << 20];
	struct pfs_writer *writer;
	struct pfs_diag diag;
	struct rig rig;
	ssize_t n;

	(void)state;
	rig_options.ring_size = 4 << 20;
	rig_open(&rig, "accept/exec:sleep 1000", NULL);
	writer = rig_writer(&rig);
	while ((n = pfs_writer_write(writer, block, sizeof(block))) > 0)
		;
	assert_int_equal(n, -EAGAIN);
	assert_int_equal(pfs_node_remove(rig.top, "exec:sleep 1000", &cred, &diag), 0);
	pfs_writer_close(writer);
	rig_release(&rig);
	rig_options.ring_size = 0;
}

/* Its surroundings are the documented ones. */
static void test_surroundings(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	setenv("SECRET", "x", 1);
	run("sh -c 'ls /proc/self/fd | tr \"\\n\" \" \"'", "", "", "0 1 2 3 "); /* 3 is the listing's own */
	run("pwd", "", "", "/\n");
	run("sh -c 'env | cut -d= -f1 | grep -v -e LANG -e PWD -e SHLVL -e ^_ | sort | tr \"\\n\" \" \"'",
	    "", "", "HOME LOGNAME PATH SHELL USER ");
	run("awk '/^NoNewPrivs|^CapEff|^CapPrm|^CapInh|^CapAmb/ { print $2 }' /proc/self/status",
	    "", "", "0000000000000000\n0000000000000000\n0000000000000000\n0000000000000000\n1\n");
	run("awk '/^SigBlk|^SigIgn|^SigCgt/ { print $2 }' /proc/self/status", "", "",
	    "0000000000000000\n0000000000000000\n0000000000000000\n");
	rig_run(&rig, "accept/exec:id -u", NULL, "", 0, 0, &out);
	assert_int_equal(strtoul(out.data, NULL, 10), geteuid());
	rig_release(&rig);
}

static void test_capture(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 }, bare = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	for (unsigned i = 0; i < 3000; i++)
		cap_tcp(&cap, 1, 2, i, 0x10, i % 7 ? "hello" : "");
	rig_run(&rig, "accept/unpcap/exec:cat,as=pcap", NULL, cap.data, cap.len, 65536, &out);
	assert_int_equal(out.len, cap.len);
	memcpy(out.data + 16, cap.data + 16, 4); /* the snaplen is another */
	assert_memory_equal(out.data, cap.data, cap.len);
	rig_release(&rig);
	out.len = 0;
	rig_run(&rig, "accept/unpcap/exec:cat", NULL, cap.data, cap.len, 65536, &out);
	rig_bare_packets(&cap, &bare);
	assert_int_equal(out.len, bare.len);
	assert_memory_equal(out.data, bare.data, bare.len);
	rig_release(&rig);
	/* A capture without packets is one, too. */
	out.len = 0;
	rig_run(&rig, "accept/unpcap/exec:cat,as=pcap", NULL, cap.data, 24, 0, &out);
	assert_int_equal(out.len, 24);
	rig_release(&rig);
}

static void test_parameters(void **state)
{
	struct pfs_cred cred = rig_cred();
	PFS_BUF struct pfs_buf text = { 0 };
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/exec:cat", "");
	assert_int_equal(pfs_node_params_set(rig.node, "restart=yes", 11, &cred, &diag), 0);
	assert_int_equal(pfs_node_text(rig.node, PFS_TEXT_PARAMS, &text), 0);
	assert_string_equal(text.data, "arg=cat\nrestart=yes\n");
	assert_int_equal(pfs_node_params_set(rig.node, "restart=x", 9, &cred, &diag), -EINVAL);
	assert_int_equal(pfs_node_params_set(rig.node, "arg=tac", 7, &cred, &diag), -EINVAL);
	assert_int_equal(rig_stat(&rig, "started"), 0); /* nobody reads */
	rig_release(&rig);
}

static struct pfs_home home;

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_much),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_without_input),
		cmocka_unit_test(test_early_end),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_stderr),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_death),
		cmocka_unit_test(test_ends_with_its_readers),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_surroundings),
		cmocka_unit_test(test_capture),
		cmocka_unit_test(test_parameters),
	};
	struct pfs_spawner *spawner;
	int failed;

	signal(SIGPIPE, SIG_IGN);
	if (pfs_home_get(&home) < 0 || pfs_spawner_new(NULL, NULL, NULL, &spawner) < 0 ||
	    pfs_spawner_start(spawner) < 0)
		return 1;
	rig_options.spawner = spawner;
	rig_options.home = &home;
	rig_options.complain = complain;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pfs_spawner_free(spawner);
	pfs_buf_release(&said.text);
	return failed;
}
