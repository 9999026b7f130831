/*
 * filter_explain - what each pass has changed, and how large the programs are
 *
 * A pass is told by its listings before and after: which conditions and results are gone, which are new. Numbers of
 * blocks do not count, they change with everything.
 */
#include "cmd/cmd.h"
#include "cmd/filter_i.h"

#include <pcap/pcap.h>
#include <stdio.h>

struct lines {
	char **of; /* owned, each; sorted */
	size_t n, cap;
	unsigned branches;
};

struct explaining {
	struct lines before;
	bool failed;
};

static void lines_release(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		free(lines->of[i]);
	free(lines->of);
	*lines = (struct lines){ 0 };
}

static bool lines_add(struct lines *lines, const char *text, size_t len)
{
	if (lines->n == lines->cap) {
		size_t cap = lines->cap ? lines->cap * 2 : 32;
		void *p = reallocarray(lines->of, cap, sizeof(*lines->of));

		if (!p)
			return false;
		lines->of = p;
		lines->cap = cap;
	}
	lines->of[lines->n] = strndup(text, len);
	return lines->of[lines->n] && ++lines->n;
}

static int order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is said inside of blocks, without where it goes on. */
static bool lines_read(struct lines *lines, const char *listing)
{
	for (const char *p = listing; *p;) {
		size_t len = strcspn(p, "\n"), text = len;
		const char *go = memmem(p, len, " go b", 5);

		if (len > 4 && !memcmp(p, "\tif ", 4)) {
			lines->branches++;
			text = go ? (size_t)(go - p) : len;
		}
		if (p[0] == '\t' && memcmp(p, "\tgo b", 5) != 0 && memcmp(p, "\tstop", 5) != 0 &&
		    !lines_add(lines, p + 1, text - 1))
			return false;
		p += len + (p[len] == '\n');
	}
	if (lines->n)
		qsort(lines->of, lines->n, sizeof(*lines->of), order);
	return true;
}

static void print_changes(const struct lines *before, const struct lines *after)
{
	size_t i = 0, k = 0;

	while (i < before->n || k < after->n) {
		int c = i == before->n	? 1
			: k == after->n ? -1
					: strcmp(before->of[i], after->of[k]);

		if (c < 0)
			printf("    - %s\n", before->of[i]);
		else if (c > 0)
			printf("    + %s\n", after->of[k]);
		i += c <= 0;
		k += c >= 0;
	}
}

static const char *summary_of(const char *pass)
{
	for (unsigned i = 0; pf_pass_name(i); i++)
		if (!strcmp(pf_pass_name(i), pass))
			return pf_pass_summary(i);
	return "";
}

static void explain_pass(void *arg, const char *pass, const char *listing)
{
	struct explaining *e = arg;
	struct lines after = { 0 };

	if (!lines_read(&after, listing)) {
		e->failed = true;
		lines_release(&after);
		return;
	}
	if (pass) {
		printf("%s: %s\n", pass, summary_of(pass));
		printf("    branches %u, now %u\n", e->before.branches, after.branches);
		print_changes(&e->before, &after);
	} else {
		printf("%u branches\n", after.branches);
	}
	lines_release(&e->before);
	e->before = after;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* One line for each back end; what one cannot say it says. */
static void print_sizes(const struct filter_source *source, const struct pf_prog *prog)
{
	struct bpf_program *peer = filter_peer(source);
	PFS_FREE struct pf_insn *insns = NULL;
	PFS_FREE uint64_t *kernel = NULL;
	PFS_FREE char *x86 = NULL;
	struct pf_error error;
	size_t n;

	if (pf_emit_cbpf(prog, 0, &insns, &n, &error) < 0)
		printf("classic BPF: %s\n", error.text);
	else if (peer)
		printf("classic BPF: %zu instructions; libpcap's optimiser leaves %u\n", n,
		       peer->bf_len);
	else
		printf("classic BPF: %zu instructions\n", n);
	if (pf_emit_ebpf(prog, &kernel, &n, &error) < 0)
		printf("eBPF: %s\n", error.text);
	else
		printf("eBPF: %zu instructions\n", n);
	if (pf_dump(prog, "x86", &x86, &error) < 0)
		printf("x86-64: %s\n", error.text);
	else
		printf("x86-64: %zu instructions\n", count_lines(x86));
	filter_peer_free(peer);
}

int filter_explain(const struct filter_source *source)
{
	FILTER_PROG struct pf_prog *prog = NULL;
	struct pf_options options = source->options;
	struct explaining explaining = { 0 };
	int r;

	options.trace = explain_pass;
	options.trace_arg = &explaining;
	r = filter_compile(source, &options, &prog);
	lines_release(&explaining.before);
	if (r)
		return r;
	if (explaining.failed)
		return pfs_fail("not enough memory");
	print_sizes(source, prog);
	return 0;
}
