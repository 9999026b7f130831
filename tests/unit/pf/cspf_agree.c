/*
 * cspf_agree - CSPF programs, from a plain interpreter of the language to the kernel: the same verdict
 *
 * PF_AGREE_SECONDS=60 makes random programs for a minute. PFS_PCAPS=DIR adds the captures there; with PF_DIFF_FULL=1
 * each packet of theirs is cut at every length up to 128.
 */
#include "agree.h"
#include "cspf_plain.h"

static int compile(const void *program, const struct pf_options *options, struct pf_prog **ret_prog,
		   struct pf_error *error)
{
	const struct cspf_program *prog = program;
	struct pf_options own = *options;

	own.link_type = prog->link_type;
	own.little_words = prog->little;
	own.snaplen = prog->accept;
	return pf_compile_words(prog->word, prog->n, &own, ret_prog, error);
}

static void print(const void *program)
{
	const struct cspf_program *prog = program;

	print_error(".order %s ; link type %u\n", prog->little ? "little" : "big", prog->link_type);
	for (size_t i = 0; i < prog->n; i++)
		print_error("0x%04x ; %u %u\n", prog->word[i], prog->word[i] & 0x3ffu,
			    prog->word[i] >> 10);
}

static void make(struct dice *dice, const struct bytes *b, void *ret_program)
{
	cspf_random(dice, b, ret_program);
}

static const struct agree_language language = { compile, cspf_plain, print };

static const struct pf_options defaults = PF_OPTIONS_INIT;

static void test_random(void **state)
{
	struct cspf_program prog;

	(void)state;
	agree_random(&language, &defaults, make, &prog, 20);
}

/* Found by the above: in classic BPF a value that had been put aside was computed over. */
static void test_found(void **state)
{
	static const uint16_t words[] = {
		0x3801, 0x005e, 0x000e, 0x000f, 0x03e0, 0x0423, 0x082b, 0x142b,
		0x3c0f, 0x001f, 0x2401, 0x000a, 0x000e, 0x1c01, 0x000a, 0x0002,
		0x3010, 0x1026, 0x3402, 0x0000, 0x000e, 0x4410, 0x2024, 0x1c02,
		0x001f, 0x2801, 0x000a, 0x0002, 0x2402, 0x0013, 0x0801, 0x646e,
	};
	static const uint8_t data[] = {
		0x02, 0x00, 0x5e, 0x00, 0x00, 0x01, 0x02, 0x00, 0x5e, 0x01, 0x01, 0x1f, 0x86,
		0xdd, 0x60, 0x00, 0x00, 0x00, 0x02, 0xd8, 0x06, 0x40, 0x20, 0x01, 0x0d, 0xb8,
		0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x1f, 0x20,
		0x01, 0x0d, 0xb8, 0x00, 0xff, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
		0x00, 0x15, 0x86, 0x27, 0x01, 0xbb, 0x04, 0x88, 0x71, 0x0d, 0x1e, 0xc8, 0x24,
		0x8a, 0x50, 0x18, 0x20, 0x14, 0x61, 0x9a, 0x00, 0x00, 0x17, 0x03, 0x03, 0x02,
		0xbf, 0x4c, 0x38, 0x2c, 0xe4, 0x7e, 0x0f,
	};
	struct cspf_program prog = {
		.n = ARRAY_SIZE(words), .little = true, .header = 14, .link_type = 1, .accept = 262144
	};
	static struct bytes packet = { .n = sizeof(data) };
	struct agree a;

	(void)state;
	memcpy(prog.word, words, sizeof(words));
	memcpy(packet.data, data, sizeof(data));
	agree_init(&a, &language, &prog, &defaults, true);
	for (uint32_t n = 0; n <= sizeof(data); n++)
		agree_run(&a, &packet, n, 6);
	agree_release(&a);
}

/* What people would write, and the programs of the paper with the numbers of Ethernet and IP. */
static const char *const programs[] = {
	"PUSHWORD+6, PUSHLIT|EQ, 0x0800",
	"PUSHWORD+6, PUSHLIT|CAND, 0x0800, PUSHWORD+11, PUSH00FF|AND, PUSHLIT|EQ, 6",
	"PUSHWORD+6, PUSHLIT|CAND, 0x0800, PUSHWORD+18, PUSHLIT|CAND, 80, PUSHONE",
	"PUSHHDR+6, PUSHLIT|COR, 0x86dd, PUSHHDR+6, PUSHLIT|COR, 0x0806, PUSHZERO",
	/* The length of the IP header counts: the destination port, wherever it is. */
	("PUSHWORD+6, PUSHLIT|CAND, 0x0800, PUSHWORD+7, PUSHLIT|RSH, 8, PUSHLIT|AND, 15, PUSHLIT|LSH, 1,"
	 "PUSHLIT|ADD, 8, PUSHIND, PUSHLIT|EQ, 80"),
	".order little, PUSHWORD+6, PUSHLIT|EQ, 0x0008",
	"PUSHZERO, PUSHHDRIND, PUSHLIT|LT, 0x0200, PUSHWORD+1, PUSHSTK+1|XOR, NOPUSH|NEQ",
	"",
};

static int compile_text(const void *program, const struct pf_options *options,
			struct pf_prog **ret_prog, struct pf_error *error)
{
	return pf_compile("cspf", program, strlen(program), options, ret_prog, error);
}

/* By hand, for each of the above: what the text means in bytes. */
static bool is(const struct pf_packet *p, uint32_t at, uint16_t want)
{
	return at + 2 <= p->caplen && be16_load(p->data + at) == want;
}

static uint32_t meaning(const void *program, const struct pf_packet *p)
{
	const uint8_t *d = p->data;
	bool ip = is(p, 12, 0x800), yes = true;
	uint16_t x;

	if (program == programs[0] || program == programs[5])
		yes = ip;
	else if (program == programs[1])
		yes = ip && p->caplen >= 24 && d[23] == 6;
	else if (program == programs[2])
		yes = ip && is(p, 36, 80);
	else if (program == programs[3])
		yes = is(p, 12, 0x86dd) || is(p, 12, 0x806);
	else if (program == programs[4])
		yes = ip && p->caplen >= 16 && is(p, 14 + (d[14] & 15u) * 4 + 2, 80);
	else if (program == programs[6] && p->caplen >= 4) {
		x = be16_load(d) < 0x200;
		yes = x != (be16_load(d + 2) ^ x);
	} else if (program == programs[6])
		yes = false;
	return yes ? 262144 : 0;
}

static void print_text(const void *program)
{
	print_error("%s\n", (const char *)program);
}

static const struct agree_language by_hand = { compile_text, meaning, print_text };

static void test_captures(void **state)
{
	bool full = getenv("PF_DIFF_FULL");
	struct packets packets = { 0 };
	uint64_t runs = 0, accepted[ARRAY_SIZE(programs)] = { 0 };

	(void)state;
	agree_captures(&packets);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
		struct agree a;

		agree_init(&a, &by_hand, programs[i], &defaults, true);
		/* In short: of each packet some lengths, of some packets each, and in the kernel. */
		for (size_t k = 0; k < packets.n; k++) {
			if (full || k % 40 == i)
				agree_cuts(&a, &packets.of[k], 0, 1);
			else if (packets.n < 1000 || k % 9 == i)
				agree_cuts(&a, &packets.of[k], (uint32_t)(k % 23), 23);
		}
		agree_kernel(&a);
		for (size_t k = i; k < packets.n; k += packets.n / 20)
			agree_cuts(&a, &packets.of[k], 0, full ? 1 : 7);
		runs += a.runs;
		accepted[i] = a.accepted;
		agree_release(&a);
	}
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (!accepted[i])
			fail_msg("%s: accepts nothing", programs[i]);
	print_message("%zu packets, %llu runs\n", packets.n, (unsigned long long)runs);
	packets_release(&packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_captures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
