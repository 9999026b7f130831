/*
 * Garbage from a filter's process, for each type of message: what is no message ends the connection it came by, what is
 * one and says nothing known is nobody's; its filters' calls end by their policy, at once, and nobody hangs. The other
 * direction is in urfs/garbage.c.
 */
#include "files.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "base/socket.h"
#include "redir/serve.h"
#include "../urfs/kinds.h"

#define LATE_MS 300

static char dir[] = "/tmp/redir-garbage-XXXXXX";
static char socket_path[64], file[64];
static struct rd_config *config;
static struct rd_server *server;

/* --- a filter's process that does not speak our language ----------------------------------------------------- */

struct raw {
	int control, channel;
	uint8_t *memory;
};

static int raw_say(struct raw *raw, void *message, uint32_t type, size_t size)
{
	struct uw_head *head = message;
	struct uw_reply reply;
	ssize_t n;
	int fds[2];

	head->type = type;
	head->size = (uint32_t)size;
	send_message(raw->control, message, size);
	do {
		n = pfs_socket_receive(raw->control, &reply, sizeof(reply), 0, fds, 2);
		if (n == sizeof(struct uw_channel)) {
			raw->channel = fds[0];
			patience(raw->channel);
			raw->memory =
				mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
			/* Its size is not ours to change. */
			assert_int_equal(ftruncate(fds[1], 0), -1);
			close(fds[1]);
		}
	} while (n > 0 && reply.head.type != UW_REPLY);
	return n > 0 ? reply.result : -ENODEV;
}

static void raw_connect(struct raw *raw)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*raw = (struct raw){ .channel = -1 };
	strcpy(address.sun_path, socket_path);
	raw->control = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	patience(raw->control);
	assert_int_equal(connect(raw->control, (struct sockaddr *)&address, sizeof(address)), 0);
}

enum { PRE = 1, POST = 2 };

/* What it says of a registered filter before it is asked, in any order. */
enum { WANTS, PATHS, ACTIVE, READY, STEPS };

static void raw_step(struct raw *raw, int step, unsigned when)
{
	_Alignas(8) uint8_t room[sizeof(struct uw_command) + sizeof(dir)] = { 0 };
	struct uw_command *c = (struct uw_command *)room;
	struct uw_want want = { .filter = 0 };

	c->value = 1;
	switch (step) {
	case WANTS:
		memset(want.wants.pre, when & PRE ? 0xff : 0, sizeof(want.wants.pre));
		memset(want.wants.post, when & POST ? 0xff : 0, sizeof(want.wants.post));
		assert_int_equal(raw_say(raw, &want, UW_WANT, sizeof(want)), 0);
		break;
	case PATHS:
		strcpy(c->text, dir);
		c->value = RFS_PATH_INCLUDE | RFS_PATH_SUBTREE;
		c->text_size = sizeof(dir);
		assert_int_equal(raw_say(raw, c, UW_PATH, sizeof(room)), 0);
		break;
	default:
		assert_int_equal(raw_say(raw, c, step == READY ? UW_READY : UW_ACTIVATE, sizeof(*c)),
				 0);
		break;
	}
}

static void raw_register(struct raw *raw, unsigned deadline_ms)
{
	struct uw_hello hello;
	_Alignas(8) uint8_t room[sizeof(struct uw_command) + 5] = { 0 };
	struct uw_command *c = (struct uw_command *)room;

	raw_connect(raw);
	uw_hello_make(&hello);
	assert_int_equal(raw_say(raw, &hello, UW_HELLO, sizeof(hello)), 0);
	*c = (struct uw_command){ .value = 100, .deadline_ms = deadline_ms, .text_size = 5 };
	strcpy(c->text, "evil");
	assert_int_equal(raw_say(raw, c, UW_REGISTER, sizeof(room)), 0);
}

static void raw_open(struct raw *raw, unsigned deadline_ms, unsigned when)
{
	raw_register(raw, deadline_ms);
	for (int step = 0; step < STEPS; step++)
		raw_step(raw, step, when);
}

static void raw_close(struct raw *raw)
{
	struct rd_filter_stat stat;
	int r;

	close(raw->control);
	pfs_closep(&raw->channel);
	munmap(raw->memory, MEMORY);
	/* It has died, and is still there; or it has said that it goes. */
	UNTIL((r = rd_config_stat(config, "evil", &stat)) < 0 || !stat.hooked);
	assert_int_equal(rd_config_remove(config, "evil"), r);
}

/* Somebody innocent. */
struct caller {
	pthread_t thread;
	enum rd_op op;
	char bytes[4096];
	int64_t result;
	uint64_t key; /* of what the filter was asked */
};

static void *caller_run(void *arg)
{
	struct caller *caller = arg;

	caller->result = caller->op == RD_READ ? file_io(config, file, 0, RD_READ, caller->bytes,
							 sizeof(caller->bytes), 0)
					       : file_op(config, file, caller->op);
	return NULL;
}

/* The next that the filter is told: a message of that type, about `key`. */
static void hears(struct raw *raw, uint32_t type, uint64_t *ret_key, int64_t *ret_result)
{
	_Alignas(8) uint8_t room[UW_CALL_MAX];

	assert_true(recv(raw->channel, room, sizeof(room), 0) > 0);
	assert_int_equal(((struct uw_head *)room)->type, type);
	if (type == UW_CALL) {
		*ret_key = ((struct uw_call *)room)->key;
	} else {
		*ret_key = ((struct uw_answer *)room)->key;
		*ret_result = ((struct uw_answer *)room)->result;
	}
}

static void caller_start(struct caller *caller, enum rd_op op, struct raw *raw)
{
	*caller = (struct caller){ .op = op };
	assert_int_equal(pthread_create(&caller->thread, NULL, caller_run, caller), 0);
	hears(raw, UW_CALL, &caller->key, NULL);
}

static int64_t caller_end(struct caller *caller)
{
	pthread_join(caller->thread, NULL);
	return caller->result;
}

static void answer(struct raw *raw, uint64_t key, uint32_t type, uint32_t verdict, int64_t result)
{
	struct uw_answer message;

	memset(&message, 0, sizeof(message));
	message.head = (struct uw_head){ type, sizeof(message) };
	message.key = key;
	message.verdict = verdict;
	message.result = result;
	send_message(raw->channel, &message, sizeof(message));
}

/* It is asked, and what it says counts. */
static void assert_works(struct raw *raw)
{
	struct caller caller;

	caller_start(&caller, RD_OPEN, raw);
	answer(raw, caller.key, UW_ANSWER, RFS_STOP, -ENOTTY);
	assert_int_equal(caller_end(&caller), -ENOTTY);
}

static void test_control(void **state)
{
	_Alignas(8) static uint8_t room[BIG];
	struct kind kind = { 0 };
	struct raw raw;

	do {
		size_t n = make(&kind, room);
		int type = uw_check(UW_CONTROL_FROM_FILTER, room, n);
		struct uw_reply reply;

		raw_open(&raw, PATIENCE, PRE);
		send_message(raw.control, room, n);
		if (type < 0 || type == UW_HELLO) {
			assert_ended(raw.control);
			assert_ended(raw.channel);
			assert_int_equal(file_op(config, file, RD_OPEN), -EIO); /* by its policy */
		} else if (type != UW_MODIFIED) {
			assert_int_equal(recv(raw.control, &reply, sizeof(reply), 0), sizeof(reply));
			assert_int_equal(reply.head.type, UW_REPLY);
		} else {
			assert_works(&raw);
		}
		raw_close(&raw);
	} while (next_kind(&kind));
	assert_int_equal(file_op(config, file, RD_OPEN), 0);
}

/* While it is being asked. */
static void test_channel(void **state)
{
	_Alignas(8) static uint8_t room[BIG];
	struct kind kind = { 0 };
	struct caller caller;
	struct raw raw;

	do {
		size_t n = make(&kind, room);
		int type = uw_check(UW_CHANNEL_FROM_FILTER, room, n);

		raw_open(&raw, PATIENCE, PRE);
		caller_start(&caller, RD_OPEN, &raw);
		send_message(raw.channel, room, n);
		if (type < 0) {
			assert_ended(raw.channel);
			assert_int_equal(caller_end(&caller), -EIO);
		} else {
			/* Its key is nobody's. */
			answer(&raw, caller.key, UW_ANSWER, RFS_STOP, -ENOTTY);
			assert_int_equal(caller_end(&caller), -ENOTTY);
			assert_works(&raw);
		}
		raw_close(&raw);
	} while (next_kind(&kind));
	assert_int_equal(file_op(config, file, RD_OPEN), 0);
}

/* Before it has said who it is: whatever it is, it is refused. */
static void test_strangers(void **state)
{
	_Alignas(8) static uint8_t room[BIG];
	struct kind kind = { 0 };
	struct rd_server *again;
	struct uw_hello hello;
	struct pfs_diag diag;
	struct raw raw;

	assert_int_equal(rd_server_new(config, socket_path, &again, &diag), -EADDRINUSE);
	do {
		size_t n = make(&kind, room);

		raw_connect(&raw);
		send_message(raw.control, room, n);
		assert_ended(raw.control);
		close(raw.control);
	} while (next_kind(&kind));
	raw_connect(&raw);
	uw_hello_make(&hello);
	hello.version++;
	assert_int_equal(raw_say(&raw, &hello, UW_HELLO, sizeof(hello)), -EPROTO);
	close(raw.control);
}

/* Answers that are well-formed, and wrong: which, when, what, and what the caller gets. */
static void test_answers(void **state)
{
	static const struct {
		enum rd_op op;
		unsigned when;
		uint32_t type, verdict;
		int64_t result, want;
	} row[] = {
		{ RD_OPEN, PRE, UW_ANSWER, RFS_STOP, -EACCES, -EACCES },
		{ RD_OPEN, PRE, UW_ANSWER, RFS_CONTINUE, -EACCES, 0 }, /* nothing was said to that */
		{ RD_OPEN, PRE, UW_ANSWER, RFS_STOP, -4095, -4095 },
		{ RD_OPEN, PRE, UW_ANSWER, RFS_STOP, -4096, -EIO }, /* no errno */
		{ RD_OPEN, PRE, UW_ANSWER, RFS_STOP, INT64_MIN, -EIO },
		{ RD_OPEN, PRE, UW_ANSWER, RFS_CONTINUE + 1, 0, -EIO }, /* no verdict */
		{ RD_OPEN, POST, UW_ANSWER, RFS_CONTINUE, -ENOENT, -ENOENT },
		{ RD_OPEN, POST, UW_ANSWER, RFS_CONTINUE, -4096, -EIO },
		{ RD_OPEN, POST, UW_SUBCALL, RFS_CONTINUE, 0, -EIO }, /* it has been done already */
		{ RD_READ, PRE, UW_ANSWER, RFS_STOP, 4097, -EIO }, /* more than there was room for */
		{ RD_READ, PRE, UW_ANSWER, RFS_STOP, 4096, 4096 },
		{ RD_READ, POST, UW_ANSWER, RFS_CONTINUE, 4097, -EIO },
		{ RD_READ, POST, UW_ANSWER, RFS_CONTINUE, INT64_MAX, -EIO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct caller caller;
		struct raw raw;

		raw_open(&raw, PATIENCE, row[i].when);
		caller_start(&caller, row[i].op, &raw);
		answer(&raw, caller.key, row[i].type, row[i].verdict, row[i].result);
		if (caller_end(&caller) != row[i].want)
			fail_msg("row %zu: %" PRId64, i, caller.result);
		raw_close(&raw);
	}
}

/* Twice, too late, in another order, about something else: each caller gets what was said to him. */
static void test_order(void **state)
{
	struct caller one, two;
	uint64_t key;
	int64_t result;
	struct raw raw;

	raw_open(&raw, PATIENCE, PRE);
	caller_start(&one, RD_OPEN, &raw);
	caller_start(&two, RD_OPEN, &raw);
	answer(&raw, two.key, UW_ANSWER, RFS_STOP, -ENOTDIR);
	assert_int_equal(caller_end(&two), -ENOTDIR);
	answer(&raw, two.key, UW_ANSWER, RFS_STOP, -EISDIR);
	answer(&raw, one.key, UW_ANSWER, RFS_STOP, -EACCES);
	answer(&raw, one.key, UW_ANSWER, RFS_STOP, -EISDIR);
	answer(&raw, one.key, UW_SUBCALL, RFS_CONTINUE, 0);
	answer(&raw, one.key, UW_OPEN, RFS_CONTINUE, 0);
	assert_int_equal(caller_end(&one), -EACCES);
	assert_works(&raw);

	/* A sub-call, and what is said while it is under way, which is nothing or over. */
	caller_start(&one, RD_OPEN, &raw);
	answer(&raw, one.key, UW_SUBCALL, RFS_CONTINUE, 0);
	hears(&raw, UW_SUBDONE, &key, &result);
	assert_int_equal(key, one.key);
	assert_int_equal(result, 0);
	/* There is no file that could be given. */
	answer(&raw, one.key, UW_OPEN, RFS_CONTINUE, 0);
	hears(&raw, UW_OPENED, &key, &result);
	assert_int_equal(key, one.key);
	assert_int_equal(result, -ENOENT);
	answer(&raw, one.key, UW_ANSWER, RFS_STOP, -EMLINK);
	assert_int_equal(caller_end(&one), -EMLINK);
	assert_works(&raw);
	raw_close(&raw);

	/* Late: its policy, and what comes after that is nobody's. */
	raw_open(&raw, LATE_MS, PRE);
	caller_start(&one, RD_OPEN, &raw);
	assert_int_equal(caller_end(&one), -EIO);
	for (int i = 0; i < 3; i++)
		answer(&raw, one.key, i == 1 ? UW_SUBCALL : UW_ANSWER, RFS_STOP, 0);
	raw_close(&raw);

	/* A message without bytes is an end; very many that say nothing known are no filter's. */
	raw_open(&raw, PATIENCE, PRE);
	caller_start(&one, RD_OPEN, &raw);
	send_message(raw.channel, "", 0);
	assert_int_equal(caller_end(&one), -EIO);
	raw_close(&raw);
	raw_open(&raw, PATIENCE, PRE);
	caller_start(&one, RD_OPEN, &raw);
	for (int i = 0; i < 2000; i++) {
		const struct uw_answer strange = { { UW_ANSWER, sizeof(strange) }, .key = 1 };

		if (send(raw.channel, &strange, sizeof(strange), MSG_NOSIGNAL) < 0)
			break;
	}
	assert_int_equal(caller_end(&one), -EIO);
	raw_close(&raw);
}

/* Whatever order it says that in: it is asked when all of it has been said, and not before. */
static void test_steps(void **state)
{
	for (int order = 0; order < STEPS * STEPS * STEPS * STEPS; order++) {
		int step[STEPS], n = order, said = 0;
		struct caller caller = { .op = RD_OPEN };
		struct raw raw;

		for (int i = 0; i < STEPS; i++, n /= STEPS)
			said |= 1 << (step[i] = n % STEPS);
		if (said != (1 << STEPS) - 1)
			continue; /* one of them twice */
		raw_register(&raw, PATIENCE);
		for (int i = 0; i < STEPS; i++) {
			caller_run(&caller);
			assert_int_equal(caller.result, 0);
			raw_step(&raw, step[i], PRE);
		}
		assert_works(&raw);
		raw_close(&raw);
	}
}

/* It takes back that it is ready, or goes, in the middle: between what comes before and what comes after. */
static void test_between(void **state)
{
	static const struct {
		uint32_t type;
		int64_t want;
	} row[] = { { UW_READY, 0 },
		    { UW_ACTIVATE, 0 },
		    { UW_UNREGISTER, 0 },
		    { UW_SUBCALL, -EIO },
		    { 0, -EIO } };

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		struct uw_command no = { .value = 0 };
		struct caller caller;
		struct raw raw;

		raw_open(&raw, PATIENCE, PRE | POST);
		caller_start(&caller, RD_OPEN, &raw);
		if (row[i].type == UW_READY || row[i].type == UW_ACTIVATE ||
		    row[i].type == UW_UNREGISTER)
			assert_int_equal(raw_say(&raw, &no, row[i].type, sizeof(no)), 0);
		if (row[i].type == UW_SUBCALL)
			answer(&raw, caller.key, UW_SUBCALL, RFS_CONTINUE, 0);
		if (row[i].type == 0 || row[i].type == UW_SUBCALL) { /* it dies */
			close(raw.channel);
			raw.channel = -1;
		} else {
			answer(&raw, caller.key, UW_ANSWER, RFS_CONTINUE, 0);
		}
		if (caller_end(&caller) != row[i].want)
			fail_msg("row %zu: %" PRId64, i, caller.result);
		raw_close(&raw);
	}
}

/* --- all --------------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
	struct pfs_diag diag = { "" };

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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_control), T(test_channel), T(test_strangers), T(test_answers),
		T(test_order),	 T(test_steps),	  T(test_between),
	};
	int r;

	if (!mkdtemp(dir))
		return 1;
	snprintf(socket_path, sizeof(socket_path), "%s/socket", dir);
	snprintf(file, sizeof(file), "%s/f", dir);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return r;
}
