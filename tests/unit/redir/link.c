/*
 * link - messages between streams and a redirect process: what is one, and what is not
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "redir/linked.h"

static struct rd_link_message message; /* too large for a stack */

static void make_pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* --- configurations ------------------------------------------------------------------------------ */

static const struct rd_rule_desc rules[] = { { "/srv", true, true }, { "/srv/t\nmp", false, false } };

static struct rd_link_filter filters[] = {
	{ { "scan", 850000000, true, -EACCES, 5 * RD_SECOND, rules, 2 }, "/lib/f.so", "-r,/etc/rules" },
	{ { "x", 0, false, 1, 1, NULL, 0 }, NULL, NULL },
};

static void config_bytes(struct pfs_buf *out)
{
	struct rd_link_config config = { .tree = "/srv", .filter = filters, .n = ARRAY_SIZE(filters) };

	rd_link_config_put(&config, out);
	assert_false(out->failed);
}

static void check_config(const struct rd_link_config *got)
{
	assert_string_equal(got->tree, "/srv");
	assert_int_equal(got->n, 2);
	assert_string_equal(got->filter[0].desc.name, "scan");
	assert_int_equal(got->filter[0].desc.priority, 850000000);
	assert_int_equal(got->filter[0].desc.policy, -EACCES);
	assert_int_equal(got->filter[0].desc.deadline, 5 * RD_SECOND);
	assert_true(got->filter[0].desc.active);
	assert_string_equal(got->filter[0].object, "/lib/f.so");
	assert_string_equal(got->filter[0].args, "-r,/etc/rules");
	assert_int_equal(got->filter[0].desc.n_rules, 2);
	assert_string_equal(got->filter[0].desc.rules[1].path, "/srv/t\nmp");
	assert_false(got->filter[0].desc.rules[1].include);
	assert_false(got->filter[0].desc.rules[1].subtree);
	assert_true(got->filter[0].desc.rules[0].include);
	assert_null(got->filter[1].object);
	assert_null(got->filter[1].args);
	assert_int_equal(got->filter[1].desc.n_rules, 0);
	assert_false(got->filter[1].desc.active);
}

static void test_config(void **state)
{
	struct rd_link_config config = { .tree = "/srv", .filter = filters, .n = 2 }, got;
	PFS_BUF struct pfs_buf bytes = { 0 };
	PFS_CLOSE int fd = -1;

	(void)state;
	config_bytes(&bytes);
	assert_int_equal(rd_link_config_get((uint8_t *)bytes.data, bytes.len, &got), 0);
	memset(bytes.data, 0xff, bytes.len); /* nothing of it is borrowed */
	check_config(&got);
	rd_link_config_release(&got);
	assert_int_equal(rd_link_config_to_fd(&config, &fd), 0);
	assert_int_equal(rd_link_config_from_fd(fd, &got), 0);
	check_config(&got);
	rd_link_config_release(&got);
	assert_true(write(fd, "x", 1) < 0);
}

/* Every beginning of one is refused, and one with something behind it; any changed byte is survived. */
static void test_config_bad(void **state)
{
	PFS_BUF struct pfs_buf bytes = { 0 };
	struct rd_link_config got;
	size_t len;

	(void)state;
	config_bytes(&bytes);
	len = bytes.len;
	for (size_t n = 0; n < len; n++) {
		PFS_FREE uint8_t *some = malloc(n + 1);

		memcpy(some, bytes.data, n);
		assert_int_equal(rd_link_config_get(some, n, &got), -EPROTO);
	}
	for (size_t at = 0; at < len; at++)
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes.data[at] = (char)(bytes.data[at] ^ (1 << bit));
			if (rd_link_config_get((uint8_t *)bytes.data, len, &got) == 0)
				rd_link_config_release(&got);
			bytes.data[at] = (char)(bytes.data[at] ^ (1 << bit));
		}
	pfs_buf_add(&bytes, "", 1);
	assert_int_equal(rd_link_config_get((uint8_t *)bytes.data, bytes.len, &got), -EPROTO);
}

/* Memory that could still change is not looked into. */
static void test_config_unsealed(void **state)
{
	PFS_CLOSE int fd = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING),
		      null = open("/dev/null", O_RDONLY);
	PFS_BUF struct pfs_buf bytes = { 0 };
	struct rd_link_config got;

	(void)state;
	config_bytes(&bytes);
	assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
	assert_int_equal(rd_link_config_from_fd(fd, &got), -EPROTO);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL), 0);
	assert_int_equal(rd_link_config_from_fd(fd, &got), -EPROTO);
	assert_int_equal(rd_link_config_from_fd(null, &got), -EPROTO);
}

/* --- messages ----------------------------------------------------------------------------------------- */

static void test_check(void **state)
{
	static const struct {
		uint32_t type;
		int64_t value;
		const char *body;
		size_t len, fds;
		bool good;
	} rows[] = {
		{ RD_LINK_CONFIGURE, 0, "", 0, 1, true },
		{ RD_LINK_CONFIGURE, 0, "", 0, 0, false },
		{ RD_LINK_CONFIGURE, 0, "", 0, 2, false },
		{ RD_LINK_CONFIGURE, 0, "x", 1, 1, false },
		{ RD_LINK_END, 0, "", 0, 0, true },
		{ RD_LINK_END, 0, "", 0, 1, false },
		{ RD_LINK_DONE, 0, "", 0, 0, true },
		{ RD_LINK_DONE, -EIO, "why", 3, 0, true },
		{ RD_LINK_DONE, 1, "", 0, 0, false },
		{ RD_LINK_DONE, -4096, "", 0, 0, false },
		{ RD_LINK_DONE, INT64_MIN, "", 0, 0, false },
		{ RD_LINK_DONE, -EIO, "w\0y", 3, 0, false },
		{ RD_LINK_NUMBERS, 0, "", 0, 0, true },
		{ RD_LINK_NUMBERS, 0, "x", 1, 0, false },
		{ RD_LINK_JOIN, 7, "pid.", 4, 0, true },
		{ RD_LINK_JOIN, 7, "pid", 3, 0, false },
		{ RD_LINK_JOIN, 7, "pid.", 4, 1, false },
		{ RD_LINK_CHANNEL, 0, "", 0, 2, true },
		{ RD_LINK_CHANNEL, 0, "", 0, 1, false },
		{ RD_LINK_CHANNEL, 0, "x", 1, 2, false },
		{ RD_LINK_SAY, 0, "f\nwhy", 5, 0, true },
		{ RD_LINK_SAY, 0, "\nwhy", 4, 0, false },
		{ RD_LINK_SAY, 0, "why", 3, 0, false },
		{ RD_LINK_SAY, 0, "", 0, 0, false },
		{ RD_LINK_SAY, 0, "f\nwhy", 5, 1, false },
		{ RD_LINK_TYPES, 0, "", 0, 0, false },
		{ UINT32_MAX, 0, "", 0, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rd_link_head head = { RD_LINK_MAGIC, rows[i].type, 1, rows[i].value };

		if (rd_link_check(&head, (const uint8_t *)rows[i].body, rows[i].len, rows[i].fds) !=
		    rows[i].good)
			fail_msg("row %zu", i);
		head.magic++;
		assert_false(rd_link_check(&head, (const uint8_t *)rows[i].body, rows[i].len,
					   rows[i].fds));
	}
}

/* What is no message is refused, and the descriptors that came with it are closed. */
static void test_nonsense(void **state)
{
	struct rd_link_head head = { RD_LINK_MAGIC, RD_LINK_END, 1, 0 };
	PFS_CLOSE int null = open("/dev/null", O_RDONLY);
	unsigned before;
	int fds[2];

	(void)state;
	make_pair(fds);
	before = open_fds();
	assert_int_equal(rd_link_receive(fds[0], &message), -EAGAIN);
	assert_int_equal(send(fds[1], "hello", 5, 0), 5);
	assert_int_equal(rd_link_receive(fds[0], &message), -EPROTO);
	assert_int_equal(rd_link_send(fds[1], &head, NULL, 0, &null, 1), 0);
	assert_int_equal(rd_link_receive(fds[0], &message), -EPROTO);
	assert_int_equal(open_fds(), before);
	assert_int_equal(rd_link_send(fds[1], &head, message.body, RD_LINK_BODY_MAX + 1, NULL, 0),
			 -EMSGSIZE);
	close(fds[1]);
	assert_int_equal(rd_link_receive(fds[0], &message), 0);
	close(fds[0]);
}

/* --- the process's end ------------------------------------------------------------------------------------ */

struct asked {
	unsigned configured, ended;
	int result;
};

static int on_configure(void *arg, const struct rd_link_config *config, struct pfs_diag *diag)
{
	struct asked *asked = arg;

	check_config(config);
	asked->configured++;
	return asked->result ? pfs_diag_set(diag, asked->result, "the sentence") : 0;
}

static int on_end(void *arg)
{
	((struct asked *)arg)->ended++;
	return 0;
}

static bool on_number(void *arg, size_t index, struct rd_link_number *ret_number)
{
	(void)arg;
	snprintf(ret_number->name, sizeof(ret_number->name), "f%zu", index);
	ret_number->pres = index;
	return index < 3;
}

static const struct rd_linked_ops ops = {
	.configure = on_configure,
	.end = on_end,
	.number = on_number,
};

static void expect_done(int fd, uint64_t serial, int64_t value, const char *text)
{
	assert_int_equal(rd_link_receive(fd, &message), 1);
	assert_int_equal(message.head.type, RD_LINK_DONE);
	assert_int_equal(message.head.serial, serial);
	assert_int_equal(message.head.value, value);
	assert_string_equal(message.body, text);
}

static void test_linked(void **state)
{
	struct rd_link_config config = { .tree = "/srv", .filter = filters, .n = 2 };
	struct rd_link_head head = { .serial = 7 };
	struct asked asked = { 0 };
	struct rd_linked linked = { .ops = &ops, .arg = &asked };
	struct rd_link_number numbers[3];
	unsigned before;
	int fds[2], fd;

	(void)state;
	make_pair(fds);
	linked.fd = fds[1];
	assert_int_equal(rd_link_config_to_fd(&config, &fd), 0);
	before = open_fds();
	head.type = RD_LINK_CONFIGURE;
	assert_int_equal(rd_link_send(fds[0], &head, NULL, 0, &fd, 1), 0);
	assert_int_equal(rd_linked_handle(&linked), 1);
	expect_done(fds[0], 7, 0, "");
	asked.result = EEXIST;
	assert_int_equal(rd_link_send(fds[0], &head, NULL, 0, &fd, 1), 0);
	assert_int_equal(rd_linked_handle(&linked), 1);
	expect_done(fds[0], 7, -EEXIST, "the sentence");
	assert_int_equal(asked.configured, 2);
	assert_int_equal(open_fds(), before);

	close(fd);
	head.type = RD_LINK_ASK;
	assert_int_equal(rd_link_send(fds[0], &head, NULL, 0, NULL, 0), 0);
	assert_int_equal(rd_linked_handle(&linked), 1);
	assert_int_equal(rd_link_receive(fds[0], &message), 1);
	assert_int_equal(message.len, sizeof(numbers));
	memcpy(numbers, message.body, sizeof(numbers));
	assert_string_equal(numbers[2].name, "f2");
	assert_int_equal(numbers[2].pres, 2);

	head.type = RD_LINK_DONE; /* an answer to the one who answers */
	assert_int_equal(rd_link_send(fds[0], &head, NULL, 0, NULL, 0), 0);
	assert_int_equal(rd_linked_handle(&linked), -EPROTO);
	close(fds[0]);
	assert_int_equal(rd_linked_handle(&linked), 0);
	close(fds[1]);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),		cmocka_unit_test(test_config_bad),
		cmocka_unit_test(test_config_unsealed), cmocka_unit_test(test_check),
		cmocka_unit_test(test_nonsense),	cmocka_unit_test(test_linked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
