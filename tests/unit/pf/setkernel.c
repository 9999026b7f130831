/*
 * setkernel - a set in the kernel: its programs as one, its tables as maps that follow
 */
#include "help.h"

#include "pf/back/ebpf.h"
#include "pf/merge/merge.h"
#include "pf/merge/set.h"
#include "source/bpf.h"
#include "source/bpftables.h"

struct inside {
	struct kbpf_tables tables;
	int fd;
};

/* Negative: programs may not be loaded here. */
static int inside_make(struct inside *k, struct pf_set *set)
{
	KCODE_CLEANUP struct kcode c = { 0 };
	struct kbpf_prog_spec prog = { .type = BPF_PROG_TYPE_SCHED_CLS, .name = "pf_set" };
	struct pfs_diag diag = { "" };
	struct pf_unit u;
	int r;

	assert_int_equal(pf_set_unit(set, &u), 0);
	assert_int_equal(pf_merge_any(&u), 0);
	r = kbpf_tables_make(&k->tables, &u, 5000);
	if (r == 0) {
		assert_int_equal(pf_ebpf_program_with(&u, -1, kbpf_tables_where, &k->tables, &c), 0);
		prog.insns = c.insn;
		prog.n = c.n;
		k->fd = kbpf_prog_load(&prog, &diag);
		if (k->fd < 0)
			fail_msg("%s", diag.text);
	}
	pf_unit_release(&u);
	return r;
}

static void expect(const struct inside *k, struct pf_set_reader *reader, const struct packets *packets)
{
	unsigned wanted = 0;

	for (size_t i = 0; i < packets->n; i++) {
		const struct bytes *b = &packets->of[i];
		uint32_t got;
		size_t n = pf_set_run(reader, &(struct pf_packet){ b->data, b->n, b->n, NULL },
				      NULL, 0);

		/* The kernel wants whole headers. */
		if (b->n < 60)
			continue;
		assert_int_equal(kbpf_prog_run(k->fd, b->data, b->n, &got), 0);
		if ((got != 0) != (n != 0))
			fail_msg("packet %zu: %zu members accept, the kernel says %u", i, n, got);
		wanted += n != 0;
	}
	print_message("%u of %zu packets are wanted\n", wanted, packets->n);
}

static uint32_t add(struct pf_set *set, const char *text)
{
	struct pf_error error = { "" };
	struct pf_prog *prog;
	uint32_t id = 0;

	if (pf_compile("pcap", text, strlen(text), NULL, &prog, &error) < 0 ||
	    pf_set_add(set, prog, NULL, &id, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	pf_unref(prog);
	return id;
}

/* Ports of the packets themselves, so that adding one matters. */
static void test_follows(void **state)
{
	struct packets packets = { 0 };
	struct pf_set_reader *reader;
	struct inside k;
	struct pf_set *set;
	uint32_t id[600];
	char text[80];
	unsigned n = 0;

	(void)state;
	packets_generate(&packets, 9, 120);
	assert_int_equal(pf_set_new(NULL, &set, NULL), 0);
	assert_int_equal(pf_set_reader_new(set, &reader), 0);
	id[n++] = add(set, "tcp dst port 10");
	id[n++] = add(set, "tcp dst port 11");
	id[n++] = add(set, "host 1.2.3.4 and port 99");
	id[n++] = add(set, "host 1.2.3.5 and port 98");
	id[n++] = add(set, "icmp");
	if (inside_make(&k, set) < 0) {
		pf_set_reader_free(reader);
		pf_set_free(set);
		packets_release(&packets);
		print_message("needs the right to load programs\n");
		skip();
	}
	expect(&k, reader, &packets);
	/* The same program: only its maps change. */
	for (size_t i = 0; i < packets.n && n < 600; i += 2) {
		const uint8_t *p = packets.of[i].data;

		sprintf(text, "tcp dst port %u", 1 + be16_load(p + 36));
		id[n++] = add(set, text);
		sprintf(text, "tcp dst port %u", be16_load(p + 36));
		id[n++] = add(set, text);
		sprintf(text, "host %u.%u.%u.%u and port %u", p[26], p[27], p[28], p[29],
			be16_load(p + 34));
		if (p[12] == 8 && !p[13])
			id[n++] = add(set, text);
	}
	expect(&k, reader, &packets);
	for (unsigned half = 0; half < 2; half++) {
		for (unsigned i = 5 + half; i < n; i += 2)
			assert_int_equal(pf_set_remove(set, id[i]), 0);
		expect(&k, reader, &packets);
	}
	assert_int_equal(kbpf_tables_lost(&k.tables), 0);
	kbpf_tables_release(&k.tables);
	close(k.fd);
	pf_set_reader_free(reader);
	pf_set_free(set);
	packets_release(&packets);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
