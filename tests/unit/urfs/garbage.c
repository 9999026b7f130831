/*
 * Garbage from a redirect process, for each type of message: what is no message ends the connection it came by, and so
 * urfs_main() returns; what is one and says nothing known is nobody's. Callbacks see no bytes but those they may, no
 * descriptor is lost, and nobody hangs. The other direction is in redir/garbage.c.
 */
#include "kinds.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <pipesfs/urfs.h>

#include "base/base.h"
#include "base/socket.h"

struct process {
	pthread_t thread;
	int control, channel; /* the other ends: ours */
	int theirs;
	uint8_t *memory;
	int opened, ended; /* of urfs_open_fd() and what follows, of urfs_main() */
	_Atomic int asked;
};
static struct process process; /* callbacks know no other */

static enum rfs_retv on_call(rfs_context context, struct rfs_args *args)
{
	void *kept = rfs_get_data(context, RFS_KEEP_OBJECT);

	process.asked++;
	args->retv.rv_ssize = kept ? -1 : -ENOTTY; /* nothing was ever kept */
	return RFS_STOP;
}

static enum rfs_retv on_bytes(rfs_context context, struct rfs_args *args)
{
	size_t n = args->type.call == RFS_POSTCALL ? (size_t)args->retv.rv_ssize
						   : args->args.f_write.count;

	(void)context;
	process.asked++;
	if (args->args.f_read.buf)
		memset(args->args.f_read.buf, 'x', n);
	return RFS_CONTINUE;
}

static struct rfs_op_info operations[] = {
	{ RFS_REG_FOP_OPEN, on_call, on_call },
	{ RFS_REG_FOP_READ, NULL, on_bytes },
	{ RFS_REG_FOP_WRITE, on_bytes, NULL },
	{ RFS_OP_END, NULL, NULL },
};

static void *process_run(void *arg)
{
	struct rfs_filter_info info = { "good", 100, 1, 0, 0 };
	struct urfs_conn conn;
	rfs_filter filter;
	int r = urfs_open_fd(&conn, process.theirs);

	if (r == 0)
		r = urfs_filter_alloc(&filter, &conn);
	if (r == 0)
		r = rfs_register_filter(&filter, &info);
	if (r == 0)
		r = rfs_set_operations(filter, operations);
	process.opened = r;
	process.ended = r == 0 ? urfs_main(&conn, filter) : 0;
	urfs_close(&conn);
	return NULL;
}

static void reply(void)
{
	const struct uw_reply message = { { UW_REPLY, sizeof(message) }, .result = 0 };

	send_message(process.control, &message, sizeof(message));
}

static int hears_command(void)
{
	_Alignas(8) uint8_t room[UW_FROM_FILTER_MAX];
	ssize_t n = recv(process.control, room, sizeof(room), 0);

	return n > 0 ? uw_check(UW_CONTROL_FROM_FILTER, room, (size_t)n) : -1;
}

static int memory_new(size_t size, bool sealed)
{
	int fd = memfd_create("garbage", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	if (sealed)
		assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	return fd;
}

static void send_channel(const int *fds, size_t n)
{
	struct uw_channel message = { { UW_CHANNEL, sizeof(message) } };
	const struct iovec iov = { &message, sizeof(message) };

	assert_int_equal(pfs_socket_send(process.control, &iov, 1, 0, fds, n), sizeof(message));
}

static void process_start(void)
{
	int pair[2];

	process = (struct process){ .channel = -1 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	process.control = pair[0];
	process.theirs = pair[1];
	patience(process.control);
	assert_int_equal(pthread_create(&process.thread, NULL, process_run, NULL), 0);
}

/* As a good one does it, until there are callbacks. */
static void process_ready(void)
{
	int type, fds[2], pair[2];

	process_start();
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	process.channel = pair[0];
	patience(process.channel);
	fds[0] = pair[1];
	fds[1] = memory_new(MEMORY, true);
	process.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	do {
		type = hears_command();
		assert_true(type > 0);
		if (type == UW_HELLO)
			send_channel(fds, 2);
		reply();
	} while (type != UW_READY);
	close(fds[0]);
	close(fds[1]);
}

/* By itself. */
static int process_ended(void)
{
	pthread_join(process.thread, NULL);
	close(process.control);
	pfs_closep(&process.channel);
	if (process.memory)
		munmap(process.memory, MEMORY);
	return process.opened < 0 ? process.opened : process.ended;
}

static int process_end(void)
{
	shutdown(process.control, SHUT_WR);
	return process_ended();
}

static struct uw_call *make_call(uint8_t *room, uint32_t filter, uint32_t op)
{
	struct uw_call *call = (struct uw_call *)room;

	memset(room, 0, sizeof(*call) + 3);
	call->head = (struct uw_head){ UW_CALL, sizeof(*call) + 3 };
	call->key = 4711;
	call->filter = filter;
	call->op_id = op;
	call->slot = UW_NO_SLOT;
	call->path_size = call->path2_size = call->name_size = 1;
	return call;
}

/* It is asked, and answers. */
static void assert_answers(void)
{
	_Alignas(8) uint8_t room[sizeof(struct uw_call) + 8];
	struct uw_answer got;

	make_call(room, 0, RFS_REG_FOP_OPEN);
	send_message(process.channel, room, ((struct uw_head *)room)->size);
	do
		assert_int_equal(recv(process.channel, &got, sizeof(got), 0), sizeof(got));
	while (got.key != 4711);
	assert_int_equal(got.head.type, UW_ANSWER);
	assert_int_equal(got.verdict, RFS_STOP);
	assert_int_equal(got.result, -ENOTTY);
}

static size_t descriptors(void)
{
	DIR *fds = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(fds))
		n++;
	closedir(fds);
	return n;
}

/* Instead of a reply: to HELLO, and to what comes third. */
static void test_replies(void **state)
{
	_Alignas(8) static uint8_t room[BIG];
	size_t had = descriptors();
	struct kind kind = { 0 };

	do {
		size_t n = make(&kind, room);
		bool reply_it_is = uw_check(UW_CONTROL_TO_FILTER, room, n) == UW_REPLY;
		unsigned before = kind.length % 3;

		if (reply_it_is || uw_check(UW_CONTROL_TO_FILTER, room, n) == UW_MODIFY)
			continue; /* that is none */
		process_start();
		for (unsigned i = 0; i < before; i++) {
			assert_true(hears_command() > 0);
			reply();
		}
		assert_true(hears_command() > 0);
		send_message(process.control, room, n);
		assert_true(process_ended() < 0);
	} while (next_kind(&kind));
	assert_int_equal(descriptors(), had);
}

/* When there are callbacks, by themselves. */
static void test_commands(void **state)
{
	_Alignas(8) static uint8_t room[BIG];
	size_t had = descriptors();
	struct kind kind = { 0 };

	do {
		size_t n = make(&kind, room);
		int type = uw_check(UW_CONTROL_TO_FILTER, room, n);

		process_ready();
		send_message(process.control, room, n);
		if (type == UW_MODIFY)
			assert_int_equal(hears_command(), UW_MODIFIED);
		if (type == UW_MODIFY || type == UW_REPLY) {
			assert_answers();
			assert_int_equal(process_end(), -ENODEV);
		} else {
			assert_int_equal(process_ended(), -ENODEV);
		}
	} while (next_kind(&kind));
	assert_int_equal(descriptors(), had);
}

static void test_asks(void **state)
{
	_Alignas(8) static uint8_t room[BIG];
	struct kind kind = { 0 };

	do {
		size_t n = make(&kind, room);

		process_ready();
		send_message(process.channel, room, n);
		if (uw_check(UW_CHANNEL_TO_FILTER, room, n) < 0)
			assert_ended(process.channel); /* who asks there need not wait for anything */
		else
			assert_answers();
		assert_int_equal(process_end(), -ENODEV);
	} while (next_kind(&kind));
}

/* CALLs that are well-formed but for one thing: a callback sees no bytes but those it may. */
static void test_calls(void **state)
{
	static const struct {
		uint32_t filter, op, post, slot;
		uint64_t data_size, count;
		int64_t result;
		bool answered;
		int asked;
	} row[] = {
		{ 1, RFS_REG_FOP_OPEN, 0, UW_NO_SLOT, 0, 0, 0, true, 0 },
		{ URFS_FILTERS_MAX, RFS_REG_FOP_OPEN, 0, UW_NO_SLOT, 0, 0, 0, false, 0 },
		{ 0, RFS_REG_FOP_RELEASE, 0, UW_NO_SLOT, 0, 0, 0, true, 0 },
		{ 0, RFS_OP_ID(0, RFS_OPERATIONS), 0, UW_NO_SLOT, 0, 0, 0, false, 0 },
		{ 0, RFS_REG_FOP_OPEN, 2, UW_NO_SLOT, 0, 0, 0, false, 0 },
		{ 0, RFS_REG_FOP_WRITE, 0, UW_NO_SLOT, 0, UINT64_MAX, 0, true, 1 },
		{ 0, RFS_REG_FOP_WRITE, 0, 0, 10, 10, 0, true, 1 },
		{ 0, RFS_REG_FOP_WRITE, 0, 0, 10, 11, 0, false, 0 },
		{ 0, RFS_REG_FOP_WRITE, 0, UW_SLOTS - 1, UW_SLOT_SIZE, UW_SLOT_SIZE, 0, true, 1 },
		{ 0, RFS_REG_FOP_WRITE, 0, UW_SLOTS - 1, UW_SLOT_SIZE + 1, UW_SLOT_SIZE, 0, false, 0 },
		{ 0, RFS_REG_FOP_WRITE, 0, UW_SLOTS, 10, 10, 0, false, 0 },
		{ 0, RFS_REG_FOP_READ, 1, UW_NO_SLOT, 0, 0, 1 << 20, true, 1 },
		{ 0, RFS_REG_FOP_READ, 1, UW_SLOTS - 1, UW_SLOT_SIZE, 0, UW_SLOT_SIZE, true, 1 },
		{ 0, RFS_REG_FOP_READ, 1, UW_SLOTS - 1, UW_SLOT_SIZE, 0, UW_SLOT_SIZE + 1, false, 0 },
		{ 0, RFS_REG_FOP_READ, 1, 3, 0, 0, INT64_MAX, false, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		_Alignas(8) uint8_t room[sizeof(struct uw_call) + 8];
		struct uw_call *call = make_call(room, row[i].filter, row[i].op);
		struct uw_answer got;

		process_ready();
		call->key = i;
		call->post = row[i].post;
		call->slot = row[i].slot;
		call->data_size = row[i].data_size;
		call->count = row[i].count;
		call->result = row[i].result;
		memset(call->kept, 0xab, sizeof(call->kept)); /* it has kept nothing */
		send_message(process.channel, call, call->head.size);
		if (!row[i].answered) {
			assert_ended(process.channel);
		} else {
			assert_int_equal(recv(process.channel, &got, sizeof(got), 0), sizeof(got));
			assert_int_equal(got.key, i);
			assert_int_equal(got.verdict, RFS_CONTINUE);
			assert_answers();
		}
		if (process.asked - row[i].answered != row[i].asked)
			fail_msg("row %zu: asked %d times", i, process.asked);
		assert_int_equal(process_end(), -ENODEV);
	}
}

/* Channels whose descriptors are not what they should be; and descriptors that nobody has asked for. */
static void test_descriptors(void **state)
{
	size_t had = descriptors();

	for (int i = 0; i < 5; i++) {
		int pair[2], fds[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		fds[0] = i == 2 ? memory_new(MEMORY, true) : pair[0];
		fds[1] = i == 3	  ? memory_new(4096, true)
			 : i == 4 ? memory_new(MEMORY, false)
				  : memory_new(MEMORY, true);
		process_ready();
		send_channel(fds, i > 2 ? 2 : (size_t)i);
		assert_int_equal(process_ended(), -ENODEV);
		if (fds[0] != pair[0])
			close(fds[0]);
		close(fds[1]);
		close(pair[0]);
		close(pair[1]);
	}
	process_ready();
	for (int i = 0; i < 10; i++) {
		struct uw_answer message = { { UW_OPENED, sizeof(message) }, .key = 4711 };
		const struct iovec iov = { &message, sizeof(message) };

		assert_int_equal(pfs_socket_send(process.channel, &iov, 1, 0, &process.channel, 1),
				 sizeof(message));
	}
	assert_answers();
	assert_int_equal(process_end(), -ENODEV);
	assert_int_equal(descriptors(), had);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),	    cmocka_unit_test(test_commands),
		cmocka_unit_test(test_asks),	    cmocka_unit_test(test_calls),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
