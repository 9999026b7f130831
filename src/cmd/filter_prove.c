/*
 * filter_prove - that the stages of a filter agree about every packet: z3 is asked for one about which they do not
 *
 * What it is asked is the stage "smt": claims, one behind the other, each with a line that says what is claimed. A
 * packet that is found is shown; it is a mistake of ours.
 */
#include "cmd/cmd.h"
#include "cmd/filter_i.h"

#include <stdio.h>

#include "pf/prove/smt.h"

#define CLAIM_MS 60000u
#define PACKET_MAX 256u

/* The solver's answer to len bytes of text, and to a question behind them. */
static int ask(const char *text, size_t len, const struct pfs_buf *question, struct pfs_buf *answer)
{
	FILE *file = tmpfile(), *pipe;
	char command[80], block[4096];
	size_t n;

	if (!file)
		return pfs_fail("a temporary file: %s", strerror(errno));
	fwrite(text, 1, len, file);
	if (question)
		fwrite(question->data, 1, question->len, file);
	if (fflush(file) == EOF) {
		fclose(file);
		return pfs_fail("a temporary file: %s", strerror(errno));
	}
	/* It reads by a path, and the file has none but this. */
	snprintf(command, sizeof(command), "exec z3 -t:%u /dev/fd/%d", CLAIM_MS, fileno(file));
	pipe = popen(command, "re");
	if (!pipe) {
		fclose(file);
		return pfs_fail("z3: %s", strerror(errno));
	}
	while ((n = fread(block, 1, sizeof(block), pipe)) > 0)
		pfs_buf_add(answer, block, n);
	pfs_buf_str(answer, "");
	/* Its status tells of errors that its answer shows. */
	pclose(pipe);
	fclose(file);
	return answer->failed ? pfs_fail("not enough memory") : 0;
}

static void show(const struct pf_counterexample *c)
{
	printf("    a packet of %u bytes, %u on the wire:", c->caplen, c->len);
	for (uint32_t i = 0; i < c->caplen; i++)
		printf("%s%02x", i % 16 ? " " : "\n    ", c->bytes[i]);
	putchar('\n');
	for (unsigned i = 0; i < PF_AUX_FIELDS; i++)
		if (c->aux.known >> i & 1)
			printf("    field %u beside the bytes is %u\n", i, c->aux.value[i]);
}

/* The packet for which the claim that ends at `end` fails. */
static int find_packet(const char *text, const char *end)
{
	PFS_BUF struct pfs_buf question = { 0 }, answer = { 0 };
	struct pf_counterexample packet;
	int r;

	pf_smt_ask_packet(PACKET_MAX, &question);
	r = ask(text, (size_t)(end - text), &question, &answer);
	if (r)
		return r;
	if (pf_smt_read_packet(answer.data ? answer.data : "", PACKET_MAX, &packet) < 0)
		return pfs_fail("z3 does not say for which packet");
	show(&packet);
	return 0;
}

/* One answer a claim, in their order. Returns an exit status. */
static int tell(const char *text, const char *answer)
{
	static const char check[] = "(check-sat)\n";
	int status = 0;

	/* Of what all of it is said, if that is not everything. */
	if (!strncmp(text, "; ", 2))
		printf("%.*s\n", (int)strcspn(text + 2, "\n"), text + 2);
	for (const char *claim = strstr(text, "\n; "); claim; claim = strstr(claim + 1, "\n; ")) {
		size_t len = strcspn(answer, "\n"), what = strcspn(claim + 3, "?\n");
		const char *end = strstr(claim, check);

		printf("%.*s: ", (int)what, claim + 3);
		if (len == 5 && !memcmp(answer, "unsat", 5)) {
			puts("never");
		} else if (len == 3 && !memcmp(answer, "sat", 3) && end) {
			puts("yes, which is a mistake of this program");
			status = PFS_EXIT_FAILED;
			find_packet(text, end + strlen(check));
		} else {
			printf("not known (z3: %.*s)\n", (int)pfs_min(len, 200), answer);
			status = PFS_EXIT_FAILED;
		}
		answer += len + (answer[len] == '\n');
	}
	return status;
}

int filter_prove_text(const char *text)
{
	PFS_BUF struct pfs_buf answer = { 0 };
	int r;

	if (system("command -v z3 >/dev/null 2>&1") != 0)
		return pfs_fail(
			"z3 proves it, and is not installed; --dump smt prints what it would be asked");
	r = ask(text, strlen(text), NULL, &answer);
	return r ? r : tell(text, answer.data ? answer.data : "");
}

int filter_prove(const struct filter_source *source)
{
	FILTER_PROG struct pf_prog *prog = NULL;
	PFS_FREE char *text = NULL;
	struct pf_error error;
	int r = filter_compile(source, &source->options, &prog);

	if (r)
		return r;
	if (pf_dump(prog, "smt", &text, &error) < 0)
		return pfs_fail("%s", error.text);
	return filter_prove_text(text);
}
