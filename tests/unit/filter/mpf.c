/*
 * mpf - a directory of sessions: what is refused, what changes while it runs, fragments that there is no room for
 */
#include "../rig.h"

/* The last octet of the source is the key. */
#define BY_FROM "ld [26]%0aand #0xff%0ast M[0]%0amatch_imm #1, 1%0akey #"

static void refused(const char *path, const char *words)
{
	struct pfs_diag diag = { "" };
	struct rig rig;

	assert_int_equal(rig_try(&rig, path, &diag), -EINVAL);
	if (!strstr(diag.text, words))
		fail_msg("%s: %s", path, diag.text);
	rig_release(&rig);
}

static void test_what_is_refused(void **state)
{
	(void)state;
	refused("accept/unpcap/mpf", "needs a program");
	refused("accept/unpcap/mpf:ret #1", "asks for no session");
	refused("accept/unpcap/mpf:nonsense", "there is no instruction");
	refused("accept/unpcap/mpf:" BY_FROM "1,waiting=0", "waiting");
	refused("accept/unpcap/mpf:" BY_FROM "1,max=70000", "max");
	refused("accept/mpf:" BY_FROM "1", "does not fit");
}

static void put(struct rig *rig, struct pfs_writer *writer, unsigned from, struct pfs_buf *got)
{
	PFS_BUF struct pfs_buf cap = { 0 };

	cap_tcp(&cap, from, 2, 1, 0x10, "x");
	rig_write(rig, writer, cap.data, cap.len, 0, got);
}

static void set(struct rig *rig, const char *text, int want, const char *words)
{
	struct pfs_cred cred = rig_cred();
	struct pfs_diag diag = { "" };

	assert_int_equal(pfs_node_params_set(rig->node, text, strlen(text), &cred, &diag), want);
	if (words && !strstr(diag.text, words))
		fail_msg("%s: %s", text, diag.text);
}

static void test_another_program(void **state)
{
	PFS_BUF struct pfs_buf got = { 0 }, head = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/unpcap/mpf:" BY_FROM "1", NULL);
	writer = rig_writer(&rig);
	cap_head(&head, 1);
	rig_write(&rig, writer, head.data, head.len, 0, &got);
	put(&rig, writer, 1, &got);
	put(&rig, writer, 3, &got);
	rig_expect(&rig, "out", 1);
	rig_expect(&rig, "sessions", 1);
	set(&rig, "program=ret #1", -EINVAL, "asks for no session");
	set(&rig, "program=ld #1%0ast M[0]%0ast M[1]%0amatch_imm #1, 2%0akey #1%0akey #1", -EINVAL,
	    "2 keys");
	put(&rig, writer, 1, &got);
	rig_expect(&rig, "out", 2);
	/* The first session stays, another one is added. */
	set(&rig, "program=" BY_FROM "3", 0, NULL);
	rig_expect(&rig, "sessions", 2);
	put(&rig, writer, 1, &got);
	put(&rig, writer, 3, &got);
	put(&rig, writer, 4, &got);
	rig_expect(&rig, "out", 4);
	rig_expect(&rig, "in", 6);
	set(&rig, "max=1", -EBUSY, NULL);
	pfs_writer_close(writer);
	rig_release(&rig);
}

/* A fragment of TCP from 10.0.0.1: the session is the destination port's, which only the first has. */
#define FRAGMENT_BYTES 60u
#define FRAGMENTS                                                                                    \
	"ldh [20]%0ajset #0x1fff, later%0aldh [36]%0ast M[0]%0ackmatch_imm #1, yes, no%0akey #80%0a" \
	"yes: ldh [18]%0ast M[0]%0areg_data #9000, 1%0aret #1%0a"                                    \
	"later: ldh [18]%0ast M[0]%0apostpone #1000%0amatch_data #1, 1%0ano: ret #0"

static void fragment(struct rig *rig, struct pfs_writer *writer, uint16_t id, uint16_t at,
		     uint64_t ms, struct pfs_buf *got)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	uint8_t p[FRAGMENT_BYTES] = { [12] = 8, [14] = 0x45, [37] = 80 };

	be16_store(p + 18, id);
	be16_store(p + 20, at);
	cap_packet(&cap, RIG_TIME + ms * 1000000, p, sizeof(p));
	rig_write(rig, writer, cap.data, cap.len, 0, got);
}

static void test_fragments(void **state)
{
	PFS_BUF struct pfs_buf got = { 0 }, head = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/unpcap/mpf:" FRAGMENTS ",waiting=2", NULL);
	writer = rig_writer(&rig);
	cap_head(&head, 1);
	rig_write(&rig, writer, head.data, head.len, 0, &got);
	/* Three wait, and there is room for two. */
	fragment(&rig, writer, 1, 1, 0, &got);
	fragment(&rig, writer, 1, 2, 0, &got);
	fragment(&rig, writer, 1, 3, 0, &got);
	rig_expect(&rig, "kept", 2);
	rig_expect(&rig, "lost.memory", 1);
	rig_expect(&rig, "out", 0);
	fragment(&rig, writer, 1, 0, 1000, &got);
	rig_expect(&rig, "out", 3);
	rig_expect(&rig, "registered", 1);
	fragment(&rig, writer, 1, 4, 1001, &got);
	rig_expect(&rig, "out", 4);
	/* Too late for the first one. */
	fragment(&rig, writer, 2, 1, 2000, &got);
	fragment(&rig, writer, 2, 0, 3001, &got);
	rig_expect(&rig, "lost.timeout", 1);
	rig_expect(&rig, "out", 5);
	/* A new program: what waits has waited in vain. So has what waits at the end. */
	fragment(&rig, writer, 3, 1, 4000, &got);
	set(&rig, "waiting=3", 0, NULL);
	fragment(&rig, writer, 4, 1, 4000, &got);
	pfs_writer_close(writer);
	rig_finish(&rig, &got);
	rig_expect(&rig, "lost.incomplete", 2);
	rig_expect(&rig, "kept", 0);
	rig_expect(&rig, "in", 9);
	rig_expect(&rig, "out", 5);
	rig_release(&rig);
}

/* What waits is bounded by its bytes, too; what is given up is counted, once. */
static void test_bytes(void **state)
{
	PFS_BUF struct pfs_buf got = { 0 }, head = { 0 };
	struct pfs_writer *writer;
	struct rig rig;

	(void)state;
	refused("accept/unpcap/mpf:" BY_FROM "1,bytes=0", "bytes");
	rig_open(&rig, "accept/unpcap/mpf:" FRAGMENTS ",bytes=130", NULL);
	writer = rig_writer(&rig);
	cap_head(&head, 1);
	rig_write(&rig, writer, head.data, head.len, 0, &got);
	for (uint16_t i = 1; i <= 5; i++)
		fragment(&rig, writer, 1, i, 0, &got);
	rig_expect(&rig, "kept", 130 / FRAGMENT_BYTES);
	rig_expect(&rig, "kept.bytes", 130 / FRAGMENT_BYTES * FRAGMENT_BYTES);
	rig_expect(&rig, "lost.memory", 5 - 130 / FRAGMENT_BYTES);
	fragment(&rig, writer, 1, 0, 1, &got);
	rig_expect(&rig, "out", 1 + 130 / FRAGMENT_BYTES);
	rig_expect(&rig, "kept.bytes", 0);
	/* None fits: each is lost when its turn has come. */
	set(&rig, "bytes=10", 0, NULL);
	fragment(&rig, writer, 2, 1, 2, &got);
	rig_expect(&rig, "kept.bytes", 0);
	fragment(&rig, writer, 2, 0, 3, &got);
	rig_expect(&rig, "out", 2 + 130 / FRAGMENT_BYTES);
	rig_expect(&rig, "lost.memory", 6 - 130 / FRAGMENT_BYTES);
	pfs_writer_close(writer);
	rig_finish(&rig, &got);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_another_program),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
