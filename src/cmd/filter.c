/*
 * filter - the packet-filter compiler by hand: any language in, any stage out
 *
 *	pipesfs filter 'tcp port 80'			the graph behind the passes
 *	pipesfs filter --dump cbpf 'tcp port 80'	as tcpdump -d prints it
 *	pipesfs filter --run FILE 'tcp port 80'		how many packets match
 *	pipesfs filter --explain 'tcp port 80'		what each pass has done
 *	pipesfs filter --bench 'tcp port 80'		how long a packet takes, beside libpcap
 *	pipesfs filter --set FILE			many filters, one a line, as one program
 */
#include "cmd/cmd.h"
#include "cmd/filter_i.h"
#include "cmd/options.h"
#include "packet/expr.h"

#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>

#define PROGRAMS_MAX 64

struct asked {
	struct filter_source source;
	struct pfs_buf text;
	enum filter_work work;
	const char *stage;
	const char *run; /* a capture */
	bool numbers;
	bool set; /* the text is many filters, one a line */
};

int filter_compile(const struct filter_source *source, const struct pf_options *options,
		   struct pf_prog **ret_prog)
{
	struct pf_error error = { "" };
	int r = pf_compile(source->language, source->text, source->len, options, ret_prog, &error);
	struct pfs_diag diag;

	if (r == 0)
		return 0;
	pkt_expr_refuse(-r, &error, &diag);
	return pfs_fail("%s", diag.text);
}

/* --- libpcap's ------------------------------------------------------------------------------- */

/* LINKTYPE_RAW of files is another number in programs; of the rest that matter here, none. */
static int dlt_of(uint16_t link_type)
{
	return link_type == 101 ? DLT_RAW : link_type;
}

struct bpf_program *filter_peer(const struct filter_source *source)
{
	struct bpf_program *program = NULL;
	pcap_t *p;

	if (strcmp(source->language, "pcap") != 0)
		return NULL;
	p = pcap_open_dead(dlt_of(source->options.link_type), (int)source->options.snaplen);
	program = p ? pfs_zalloc(1, sizeof(*program)) : NULL;
	if (program && pcap_compile(p, program, source->text, 1, 0) < 0) {
		free(program);
		program = NULL;
	}
	if (p)
		pcap_close(p);
	return program;
}

void filter_peer_free(struct bpf_program *program)
{
	if (program)
		pcap_freecode(program);
	free(program);
}

/* --- over a capture -------------------------------------------------------------------------- */

/* One for each link type that the capture has; NULL: the filter does not fit it. */
struct program {
	uint16_t link_type;
	bool big_endian;
	struct pf_prog *prog;	/* owned */
	struct pf_state *state; /* owned; what it keeps from packet to packet */
};

struct running {
	const struct filter_source *source;
	struct program programs[PROGRAMS_MAX];
	unsigned n;
	struct pf_error error; /* of the last that does not fit */
	uint64_t packets, matched, unfit;
};

static void running_release(struct running *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		pf_state_free(r->programs[i].state);
		pf_unref(r->programs[i].prog);
	}
}

static const struct program *program_for(struct running *r, const struct filter_packet *p)
{
	struct pf_options options = r->source->options;
	bool big = p->big_endian && p->link_type == 0;
	struct program *program;

	for (unsigned i = 0; i < r->n; i++)
		if (r->source->forced ||
		    (r->programs[i].link_type == p->link_type && r->programs[i].big_endian == big))
			return &r->programs[i];
	if (r->n == PROGRAMS_MAX)
		return NULL;
	program = &r->programs[r->n++];
	*program = (struct program){ .link_type = p->link_type, .big_endian = big };
	if (!r->source->forced) {
		options.link_type = p->link_type;
		options.big_endian = big;
	}
	if (pf_compile(r->source->language, r->source->text, r->source->len, &options,
		       &program->prog, &r->error) < 0)
		program->prog = NULL;
	if (program->prog && pf_state_new(program->prog, &program->state, &r->error) < 0) {
		pf_unref(program->prog);
		program->prog = NULL;
	}
	return program;
}

/* What a capture says beside the bytes: the direction. */
struct pf_aux filter_aux_of(const struct filter_packet *p)
{
	struct pf_aux aux = { 0 };

	if (p->flags & (PFS_REC_IN | PFS_REC_OUT)) {
		aux.known = 1u << PF_AUX_PKTTYPE;
		aux.value[PF_AUX_PKTTYPE] = p->flags & PFS_REC_OUT ? 4 : 0;
	}
	return aux;
}

static void run_packet(struct running *r, const struct filter_packet *p, bool numbers)
{
	const struct program *program = program_for(r, p);
	struct pf_aux aux = filter_aux_of(p);
	struct pf_packet packet = { p->data, p->caplen, p->len, &aux };

	r->packets++;
	if (!program || !program->prog) {
		r->unfit++;
		return;
	}
	if (!pf_run_state(program->state, &packet))
		return;
	r->matched++;
	if (numbers)
		printf("%llu\n", (unsigned long long)r->packets);
}

/* The numbers that a program with memory has names for. */
static void print_cells(const struct running *r)
{
	for (unsigned i = 0; i < r->n && r->programs[i].prog; i++)
		for (unsigned k = 0; pf_cell_name(r->programs[i].prog, k); k++) {
			const char *name = pf_cell_name(r->programs[i].prog, k);
			uint64_t value = 0;

			pf_state_cell(r->programs[i].state, name, &value);
			printf("%s %llu\n", name, (unsigned long long)value);
		}
}

static int run_capture(const struct asked *asked)
{
	FILTER_FILE struct filter_file file = { 0 };
	PFS_CLEANUP(running_release) struct running running = { .source = &asked->source };
	struct filter_packet p;
	struct pfs_diag diag = { "" };
	int r = filter_file_open(asked->run, &file);

	if (r < 0)
		return pfs_fail("%s: %s", asked->run, strerror(-r));
	while ((r = filter_file_next(&file, &p, &diag)) > 0)
		run_packet(&running, &p, asked->numbers);
	if (!asked->numbers) {
		printf("%llu of %llu packets\n", (unsigned long long)running.matched,
		       (unsigned long long)running.packets);
		print_cells(&running);
	}
	if (running.unfit)
		pfs_say("%llu packets have a link type that the filter does not fit: %s",
			(unsigned long long)running.unfit, running.error.text);
	if (r < 0)
		return pfs_fail("%s: %s", asked->run, diag.text);
	return running.unfit ? PFS_EXIT_FAILED : 0;
}

/* --- the command line ------------------------------------------------------------------------ */

static int dump(const struct asked *asked)
{
	FILTER_PROG struct pf_prog *prog = NULL;
	PFS_FREE char *text = NULL;
	struct pf_error error;
	int r = filter_compile(&asked->source, &asked->source.options, &prog);

	if (r)
		return r;
	if (pf_dump(prog, asked->stage, &text, &error) < 0)
		return pfs_fail("%s", error.text);
	fputs(text, stdout);
	return 0;
}

static int read_text(const char *path, struct pfs_buf *out)
{
	PFS_CLOSE int opened = -1;
	char block[4096];
	ssize_t n = 0;
	int fd = STDIN_FILENO;

	if (strcmp(path, "-") != 0)
		fd = opened = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return pfs_fail("%s: %s", path, strerror(errno));
	while (!out->failed && (n = read(fd, block, sizeof(block))) > 0)
		pfs_buf_add(out, block, (size_t)n);
	if (n < 0)
		return pfs_fail("%s: %s", path, strerror(errno));
	return out->failed ? pfs_fail("%s is too large", path) : 0;
}

static int pass_bit(const char *name, size_t len, uint64_t *bits)
{
	if (len == 3 && !memcmp(name, "all", 3)) {
		*bits = PF_ALL_PASSES;
		return 0;
	}
	for (unsigned i = 0; pf_pass_name(i); i++) {
		if (strlen(pf_pass_name(i)) != len || memcmp(pf_pass_name(i), name, len) != 0)
			continue;
		*bits |= UINT64_C(1) << i;
		return 0;
	}
	return -ENOENT;
}

static int parse_without(const char *list, uint64_t *bits)
{
	while (*list) {
		size_t len = strcspn(list, ",");

		if (pass_bit(list, len, bits) < 0)
			return pfs_usage(&pfs_cmd_filter, "there is no pass '%.*s'", (int)len, list);
		list += len + (list[len] == ',');
	}
	return 0;
}

/* A number of at most max, in full. */
static int parse_number(const char *what, const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 0);
	if (*text < '0' || *text > '9' || *end || errno || *ret > max)
		return pfs_usage(&pfs_cmd_filter, "'%s' is no %s", text, what);
	return 0;
}

static const char *const languages[] = { "pcap", "bpf", "cspf", "mpf", "dpf", "xpf", NULL };
static const char *const stages[] = { "ir",  "opt", "cbpf",   "ebpf", "x86",
				      "dot", "smt", "merged", NULL };
static const char *const engines[] = { "best", "interp", "native", NULL };
static const char *const passes[] = { "share",	"fold",	 "bool",  "assert", "thread", "tidy",
				      "bounds", "order", "widen", "all",    NULL };

static int choice(const char *what, const char *text, const char *const *choices)
{
	for (int i = 0; choices[i]; i++)
		if (!strcmp(choices[i], text))
			return i;
	pfs_usage(&pfs_cmd_filter, "there is no %s '%s'", what, text);
	return -1;
}

static int option(struct asked *asked, int c)
{
	struct pf_options *options = &asked->source.options;
	unsigned long number;
	int r = 0;

	switch (c) {
	case 'l':
		asked->source.language = optarg;
		return choice("language", optarg, languages) < 0 ? PFS_EXIT_USAGE : 0;
	case 'f':
		return read_text(optarg, &asked->text);
	case 'S':
		asked->set = true;
		return read_text(optarg, &asked->text);
	case 'y':
		r = parse_number("link type (a LINKTYPE_ number)", optarg, UINT16_MAX, &number);
		options->link_type = (uint16_t)(r ? 0 : number);
		asked->source.forced = true;
		return r;
	case 's':
		r = parse_number("number of bytes", optarg, INT32_MAX, &number);
		options->snaplen = r || !number ? FILTER_SNAPLEN : (uint32_t)number;
		return r;
	case 'd':
		asked->stage = optarg;
		return choice("stage", optarg, stages) < 0 ? PFS_EXIT_USAGE : 0;
	case 'r':
		asked->run = optarg;
		return 0;
	case 'n':
		asked->numbers = true;
		return 0;
	case 'b':
		asked->work = FILTER_BENCH;
		return 0;
	case 'e':
		asked->work = FILTER_EXPLAIN;
		return 0;
	case 'p':
		asked->work = FILTER_PROVE;
		return 0;
	case 'w':
		return parse_without(optarg, &options->without);
	case 'E':
		r = choice("engine", optarg, engines);
		options->engine = (enum pf_engine)(r < 0 ? 0 : r);
		return r < 0 ? PFS_EXIT_USAGE : 0;
	default:
		return pfs_usage(&pfs_cmd_filter, NULL);
	}
}

static int parse(struct asked *asked, int argc, char **argv)
{
	int c, r = 0;

	while (!r && (c = pfs_getopt(&pfs_cmd_filter, argc, argv)) != -1)
		r = option(asked, c);
	if (r)
		return r;
	if (optind < argc && asked->text.data)
		return pfs_usage(&pfs_cmd_filter, "a filter from a file or as arguments, not both");
	if (optind == argc && !asked->text.data)
		return pfs_usage(&pfs_cmd_filter, "say which filter; '' is one that takes everything");
	for (int i = optind; i < argc; i++)
		pfs_buf_printf(&asked->text, "%s%s", i > optind ? " " : "", argv[i]);
	if (asked->stage && asked->work != FILTER_DUMP)
		return pfs_usage(&pfs_cmd_filter, "one of --dump, --explain, --bench, --prove");
	asked->set = asked->set || (asked->stage && !strcmp(asked->stage, "merged"));
	if (asked->set && (asked->numbers || asked->work == FILTER_BENCH))
		return pfs_usage(&pfs_cmd_filter,
				 "of a set there are --dump, --explain, --prove and --run");
	if (asked->stage && asked->run)
		return pfs_usage(&pfs_cmd_filter, "--run shows no listing; leave out --dump");
	if (asked->run && (asked->work == FILTER_EXPLAIN || asked->work == FILTER_PROVE))
		return pfs_usage(&pfs_cmd_filter, "--explain and --prove take no capture");
	if (asked->run && asked->work == FILTER_DUMP)
		asked->work = FILTER_RUN;
	return asked->text.failed ? pfs_fail("the filter is too large") : 0;
}

static int work(struct asked *asked)
{
	if (asked->set)
		return filter_set(&asked->source, asked->work, asked->stage, asked->run);
	switch (asked->work) {
	case FILTER_EXPLAIN:
		return filter_explain(&asked->source);
	case FILTER_BENCH:
		return filter_bench(&asked->source, asked->run);
	case FILTER_PROVE:
		return filter_prove(&asked->source);
	case FILTER_RUN:
		return run_capture(asked);
	default:
		asked->stage = asked->stage ? asked->stage : "opt";
		return dump(asked);
	}
}

static int filter_run(int argc, char **argv)
{
	struct asked asked = {
		.source = { .language = "pcap", .options = PF_OPTIONS_INIT },
	};
	int r = parse(&asked, argc, argv);

	asked.source.text = asked.text.data ? asked.text.data : "";
	asked.source.len = asked.text.len;
	if (!r)
		r = work(&asked);
	pfs_buf_release(&asked.text);
	if (!r && fflush(stdout) == EOF)
		r = pfs_fail("standard output: %s", strerror(errno));
	return r;
}

static void more_help(struct pfs_buf *out)
{
	pfs_buf_str(out, "Passes, in their order:\n");
	for (unsigned i = 0; pf_pass_name(i); i++)
		pfs_buf_printf(out, "  %-8s %s\n", pf_pass_name(i), pf_pass_summary(i));
}

static const struct pfs_option filter_options[] = {
	{ .key = 'l',
	  .letter = true,
	  .name = "language",
	  .value = "LANGUAGE",
	  .help = "pcap (expressions, the default), bpf (classic BPF as text or bytes),\n"
		  "cspf (words of a stack machine, pf-cspf(7)), mpf (classic BPF with keys, pf-mpf(7)),\n"
		  "dpf (atoms, pf-dpf(7)), xpf (classic BPF with memory and loops, pf-xpf(7))",
	  .words = PFS_WORDS_CHOICE,
	  .choices = languages },
	{ .key = 'f',
	  .letter = true,
	  .name = "file",
	  .value = "FILE",
	  .help = "the filter is in FILE, - for the standard input",
	  .words = PFS_WORDS_FILE },
	{ .key = 'S',
	  .name = "set",
	  .value = "FILE",
	  .help = "many filters, one a line of FILE: as one program, with --run how many\n"
		  "packets each of them accepts",
	  .words = PFS_WORDS_FILE },
	{ .key = 'y',
	  .letter = true,
	  .name = "link-type",
	  .value = "NUMBER",
	  .help = "of the packets, as capture files number them (default 1, Ethernet;\n"
		  "with --run what the capture says)" },
	{ .key = 's',
	  .letter = true,
	  .name = "snaplen",
	  .value = "BYTES",
	  .help = "what an expression returns for a match (default 262144)" },
	{ .key = 'd',
	  .letter = true,
	  .name = "dump",
	  .value = "STAGE",
	  .help = "print a stage: ir, opt (the default), cbpf, ebpf, x86, dot, smt;\n"
		  "of a set merged (the default), dot, smt",
	  .words = PFS_WORDS_CHOICE,
	  .choices = stages },
	{ .key = 'r',
	  .letter = true,
	  .name = "run",
	  .value = "CAPTURE",
	  .help = "say how many packets of a pcap or pcapng file match",
	  .words = PFS_WORDS_FILE },
	{ .key = 'n',
	  .letter = true,
	  .name = "numbers",
	  .help = "with --run: which, a number a line, the first is 1" },
	{ .key = 'b',
	  .letter = true,
	  .name = "bench",
	  .help = "say how long a packet takes, beside libpcap; of --run CAPTURE, or made-up ones" },
	{ .key = 'e',
	  .letter = true,
	  .name = "explain",
	  .help = "say what each pass has changed, and how large the programs are" },
	{ .key = 'p',
	  .letter = true,
	  .name = "prove",
	  .help = "have z3 prove that the stages agree about every packet of up to 256 bytes" },
	{ .key = 'w',
	  .name = "without",
	  .value = "PASS,...",
	  .help = "leave out these passes; all: every one",
	  .words = PFS_WORDS_CHOICE,
	  .choices = passes },
	{ .key = 'E',
	  .name = "engine",
	  .value = "ENGINE",
	  .help = "best (the default), interp or native: what --run runs",
	  .words = PFS_WORDS_CHOICE,
	  .choices = engines },
	{ 0 },
};

const struct pfs_command pfs_cmd_filter = {
	.name = "filter",
	.summary = "compile a packet filter, show its stages, run it, measure it",
	.options = filter_options,
	.operands = "[FILTER...]",
	.more_help = more_help,
	.run = filter_run,
};
