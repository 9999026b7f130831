/*
 * native - the machine code itself: what we list is what a disassembler reads, jumps stay inside, memory is W^X
 */
#include "help.h"

#include <fcntl.h>

#include "pf/back/native.h"
#include "pf/back/x86_64.h"
#include "pf/front/cbpf.h"
#include "pf/front/pcap.h"
#include "pf/ir/verify.h"

/* Code of many programs, one after the other, and what we say of it. */
struct blob {
	struct pfs_buf code, listing;
};

/* Listings begin at 0; here they go on. */
static void add_listing(struct blob *blob, const char *text, size_t base, size_t n)
{
	PFS_FREE uint8_t *starts = pfs_zalloc(n + 1, 1), *targets = pfs_zalloc(n + 1, 1);

	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		unsigned at, to;
		int rest = 0;

		assert_int_equal(sscanf(line, "%x: %n", &at, &rest), 1);
		assert_true(at < n && !starts[at]);
		starts[at] = 1;
		if (line[rest] == 'j') {
			char name[8];

			assert_int_equal(sscanf(line + rest, "%7s 0x%x", name, &to), 2);
			assert_true(to < n);
			targets[to] = 1;
			pfs_buf_printf(&blob->listing, "%zx: %-6s 0x%zx\n", base + at, name, base + to);
		} else {
			pfs_buf_printf(&blob->listing, "%zx: %.*s\n", base + at,
				       (int)strcspn(line + rest, "\n"), line + rest);
		}
	}
	/* No jump goes into the midst of an instruction. */
	for (size_t i = 0; i < n; i++)
		assert_true(!targets[i] || starts[i]);
}

static void add_unit(struct blob *blob, const struct pf_unit *u, unsigned flags)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct pf_x86_64 made;

	assert_int_equal(pf_x86_64_emit(u, flags, &made, &text), 0);
	assert_true(made.entry % 16 == 0 && made.entry < made.n);
	add_listing(blob, text.data, blob->code.len, made.n);
	pfs_buf_add(&blob->code, made.code, made.n);
	free(made.code);
}

static void add_insns(struct blob *blob, const struct pf_insn *insns, size_t n, unsigned flags)
{
	struct pf_unit u;

	pf_unit_init(&u);
	if (pf_front_cbpf(&u, insns, n, flags, NULL) == 0) {
		add_unit(blob, &u, 0);
		add_unit(blob, &u, PF_X86_64_BATCH);
	}
	pf_unit_release(&u);
}

/* No language asks tables by itself. */
static void add_find(struct blob *blob)
{
	struct pf_table *table;
	struct pf_unit u;
	pf_blk entry, yes, no;
	pf_val len, found;

	pf_unit_init(&u);
	assert_int_equal(pf_table_new(&table), 0);
	entry = pf_block(&u);
	yes = pf_block(&u);
	no = pf_block(&u);
	len = pf_value(&u, PF_OP_LEN, 0, 0, 0);
	found = pf_find(&u, table, pf_const(&u, 0), len);
	found = pf_find(&u, table, found, pf_load(&u, 4, 0, 10));
	found = pf_find(&u, table, found, pf_const(&u, 7));
	pf_block_branch(&u, entry, pf_fits(&u, 0, 10, 4), yes, no);
	pf_block_result(&u, yes, 0, found);
	pf_block_stop(&u, yes);
	pf_block_stop(&u, no);
	u.entry = entry;
	assert_int_equal(pf_verify(&u, NULL), 0);
	add_unit(blob, &u, 0);
	add_unit(blob, &u, PF_X86_64_BATCH);
	pf_unit_release(&u);
	pf_table_unref(table);
}

/* objdump's lines, as ours: "  12:\t..bytes..\tmov    eax,ecx". */
static void disassemble(const char *path, struct pfs_buf *out)
{
	PFS_FREE char *line = NULL;
	char command[4200];
	size_t cap = 0;
	FILE *f;

	snprintf(command, sizeof(command),
		 "objdump -D -w -b binary -m i386:x86-64 -M intel --no-show-raw-insn '%s'", path);
	f = popen(command, "r");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		unsigned at;
		int rest = 0;
		size_t len;

		if (sscanf(line, " %x: %n", &at, &rest) != 1 || !rest)
			continue;
		len = strcspn(line + rest, "#\n");
		while (len && line[rest + (int)len - 1] == ' ')
			len--;
		pfs_buf_printf(out, "%x: %.*s\n", at, (int)len, line + rest);
	}
	assert_int_equal(pclose(f), 0);
}

/* "mov    DWORD PTR [rsp-0x4],eax": does the instruction write to memory? Where: the base. */
static bool writes(const char *line, char base[4])
{
	static const char *const readers[] = { "cmp", "test" };
	const char *args = strchr(line, ' '), *to = args ? strchr(args, '[') : NULL;
	const char *comma = args ? strchr(args, ',') : NULL;

	/* The first operand is what is written, and memory if it has brackets. */
	if (!to || (comma && to > comma))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++)
		if (strncmp(line, readers[i], strlen(readers[i])) == 0)
			return false;
	snprintf(base, 4, "%.3s", to + 1);
	return true;
}

/* Only these, and nothing writes elsewhere than to the stack and where R8 points: hits, or the results of a batch. */
static void expect_harmless(const char *line)
{
	static const char *const known[] = {
		"mov",	"movzx", "add",	  "or",	   "sbb",    "and",    "sub",  "xor",
		"cmp",	"test",	 "bswap", "rol",   "lea",    "imul",   "div",  "neg",
		"shl",	"shr",	 "sete",  "setne", "setb",   "setae",  "seta", "setbe",
		"push", "pop",	 "ret",	  "jmp",   "je",     "jne",    "jb",   "jae",
		"ja",	"jbe",	 "int3",  "cmove", "cmovne", "movabs",
	};
	char name[12] = "", base[4];
	size_t i = 0;

	sscanf(line, "%11s", name);
	while (i < ARRAY_SIZE(known) && strcmp(known[i], name) != 0)
		i++;
	if (i == ARRAY_SIZE(known))
		fail_msg("what is '%s'?", line);
	if (writes(line, base) && strcmp(base, "rsp") != 0 && strncmp(base, "r8", 2) != 0)
		fail_msg("'%s' writes elsewhere", line);
}

static void test_the_disassembler_reads_what_we_say(void **state)
{
	struct dice dice = { 99 };
	struct blob blob = { 0 };
	struct pfs_buf read = { 0 };
	struct expression *corpus;
	size_t n = corpus_load(&corpus);
	char path[] = "/tmp/pf-native-XXXXXX";
	int fd;

	(void)state;
	if (system("objdump --version >/dev/null 2>&1") != 0) {
		print_message("objdump (binutils) is not here\n");
		skip();
	}
	for (size_t i = 0; i < n; i += 4) {
		struct pf_options options = PF_OPTIONS_INIT;
		struct pf_insn *insns;
		size_t ninsns;

		options.link_type = corpus[i].link_type;
		assert_int_equal(pf_pcap_parse(corpus[i].text, &options, &insns, &ninsns, NULL), 0);
		add_insns(&blob, insns, ninsns, CBPF_LOOPS);
		free(insns);
	}
	for (unsigned i = 0; i < 600; i++) {
		struct pf_insn insns[60];

		add_insns(&blob, insns, random_program(&dice, insns, 60), 0);
	}
	add_find(&blob);
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, blob.code.data, blob.code.len), blob.code.len);
	close(fd);
	disassemble(path, &read);
	unlink(path);
	for (char *a = blob.listing.data, *b = read.data; *a || *b;) {
		size_t la = strcspn(a, "\n"), lb = strcspn(b, "\n");

		if (la != lb || memcmp(a, b, la) != 0)
			fail_msg("we say '%.*s', it reads '%.*s'", (int)la, a, (int)lb, b);
		if (lb) {
			b[lb] = '\0';
			expect_harmless(strchr(b, ' ') + 1);
			b[lb] = '\n';
		}
		a += la + 1;
		b += lb + 1;
	}
	print_message("%zu bytes of code\n", blob.code.len);
	pfs_buf_release(&blob.code);
	pfs_buf_release(&blob.listing);
	pfs_buf_release(&read);
	corpus_release(corpus, n);
}

/* More values at a time than there are registers, and than the red zone holds. */
static void test_values_in_memory(void **state)
{
	static const unsigned counts[] = { 3, 9, 12, 30, 60, 200 };
	uint8_t bytes[400];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	for (size_t c = 0; c < ARRAY_SIZE(counts); c++) {
		unsigned n = counts[c];
		struct pf_unit u;
		pf_val v[200], sum;
		pf_blk next, no;
		uint32_t want = 0;

		pf_unit_init(&u);
		u.entry = pf_block(&u);
		next = pf_block(&u);
		no = pf_block(&u);
		pf_block_branch(&u, u.entry, pf_fits(&u, 0, 398, 2), next, no);
		pf_block_stop(&u, no);
		for (unsigned i = 0; i < n; i++)
			v[i] = pf_load(&u, 2, 0, i);
		/* All of them are needed before the first is used up. */
		sum = v[0];
		for (unsigned i = 1; i < n; i++)
			sum = pf_binary(&u, PF_OP_ADD, sum, v[i]);
		for (unsigned i = 0; i < n; i++) {
			sum = pf_binary(&u, i % 2 ? PF_OP_XOR : PF_OP_SUB, v[n - 1 - i], sum);
			sum = pf_binary(&u, PF_OP_MUL, sum, v[i]);
		}
		pf_block_result(&u, next, 0, sum);
		pf_block_stop(&u, next);
		{
			PFS_BUF struct pfs_buf text = { 0 };
			struct pf_x86_64 made;
			struct pf_packet p = { bytes, 400, 400, NULL };
			struct pf_native *native;
			struct eval eval;

			assert_int_equal(pf_x86_64_emit(&u, 0, &made, &text), 0);
			free(made.code);
			assert_int_equal(strstr(text.data, "[rsp") != NULL, n > 10);
			assert_int_equal(strstr(text.data, "sub    rsp") != NULL, n > 50);
			eval_init(&eval, &u);
			want = eval_run(&eval, &p);
			assert_int_equal(pf_native_make(&u, &native), 0);
			assert_int_equal(pf_native_run(native, &p, NULL), want);
			p.caplen = 399;
			assert_int_equal(pf_native_run(native, &p, NULL), 0);
			pf_native_free(native);
			eval_release(&eval);
		}
		pf_unit_release(&u);
	}
}

static void test_memory_is_never_writable_and_executable(void **state)
{
	PFS_FREE char *line = NULL;
	struct pf_prog *prog;
	bool found = false;
	size_t cap = 0;
	FILE *f;

	(void)state;
	assert_int_equal(pf_compile("pcap", "tcp port 80", 11, NULL, &prog, NULL), 0);
	f = fopen("/proc/self/maps", "re");
	assert_non_null(f);
	while (getline(&line, &cap, f) > 0) {
		assert_null(strstr(line, " rwx"));
		/* Ours has no file behind it. */
		found = found || strstr(line, " r-xp 00000000 00:00 0 \n");
	}
	fclose(f);
	assert_true(found);
	pf_unref(prog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_disassembler_reads_what_we_say),
		cmocka_unit_test(test_values_in_memory),
		cmocka_unit_test(test_memory_is_never_writable_and_executable),
	};

#if !defined(__x86_64__)
	print_message("no x86-64\n");
	return 0;
#endif
	return cmocka_run_group_tests(tests, NULL, NULL);
}
