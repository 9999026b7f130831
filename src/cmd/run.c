/*
 * run - a program of the pipeline language, as long as it runs
 *
 * Makes its directories in run:PID of a mounted tree, or of a private one, opens what comes out at the ends, lets the
 * sources begin, and copies. All of it goes when the descriptor of .run is closed, by us or by the kernel.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/name.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/run_i.h"
#include "cmd/tree.h"
#include "graph/tables.h"

const char *const run_formats[] = { "raw", "pcapng", "json", "txt", NULL };

struct run_options {
	const char *mount;
	const char *file;
	bool alone;
	bool dry;
};

static void run_release(struct run *run)
{
	for (size_t i = 0; i < run->nends; i++) {
		if (run->ends[i].fd >= 0)
			close(run->ends[i].fd);
		pfs_buf_release(&run->ends[i].held);
		pfs_buf_release(&run->ends[i].map);
	}
	free(run->ends);
	pfs_closep(&run->feed);
	pfs_buf_release(&run->fed);
	stages_release(&run->stages);
	/* Gone when this returns, and not a moment after our end. */
	if (run->hold >= 0 && write(run->hold, "end", 3) < 0 && errno != ENOTCONN)
		pfs_say("%s%s: %s", run->place.root, run->dir ? run->dir : "", strerror(errno));
	pfs_closep(&run->hold);
	pfs_closep(&run->root);
	free(run->dir);
	free(run->lost_before);
	lang_program_release(&run->program);
	place_release(&run->place);
}

/* --- the text ---------------------------------------------------------------------------------------- */

static int read_file(const char *path, struct pfs_buf *ret_text)
{
	PFS_CLOSE int fd = strcmp(path, "-") != 0 ? open(path, O_RDONLY | O_CLOEXEC)
						  : dup(STDIN_FILENO);
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && ret_text->len <= LANG_TEXT_MAX) {
		char *to = pfs_buf_reserve(ret_text, 4096);

		n = to ? read(fd, to, 4096) : -1;
		ret_text->len += n > 0 ? (size_t)n : 0;
	}
	return fd < 0 || n < 0 ? pfs_fail("%s: %s", path, strerror(errno)) : 0;
}

static int take_text(int argc, char **argv, const struct run_options *options, struct pfs_buf *ret_text)
{
	if (options->file && argc)
		return pfs_usage(&pfs_cmd_run, "a pipeline or -f FILE, not both");
	if (options->file)
		return read_file(options->file, ret_text);
	if (!argc)
		return pfs_usage(&pfs_cmd_run, "a pipeline is needed");
	for (int i = 0; i < argc; i++)
		pfs_buf_printf(ret_text, "%s%s", i ? " " : "", argv[i]);
	return ret_text->failed ? pfs_fail("not enough memory") : 0;
}

/* --- making -------------------------------------------------------------------------------------------- */

/* Opens .run: the directory is ours from here on. */
static int hold(struct run *run)
{
	char name[PFS_NAME_MAX + 1];
	ssize_t n;

	run->root = open(run->place.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run->root >= 0)
		run->hold = openat(run->root, ".run", O_RDWR | O_CLOEXEC);
	if (run->hold < 0)
		return pfs_fail("%s/.run: %s", run->place.root, strerror(errno));
	n = read(run->hold, name, sizeof(name) - 1);
	if (n <= 0)
		return pfs_fail("%s/.run: %s", run->place.root,
				n < 0 ? strerror(errno) : "nothing to be read");
	if (asprintf(&run->dir, "/%.*s", (int)n, name) < 0) {
		run->dir = NULL;
		return pfs_fail("not enough memory");
	}
	return 0;
}

static bool is_sink(const struct lang_program *program, size_t stage)
{
	const struct lang_stage *s = &program->stage[stage];
	const struct pfs_filter *filter =
		s->kind == LANG_CLASS || s->above == LANG_TOP
			? NULL
			: pfs_filter_find(s->name, pfs_name_type_len(s->name), false);

	return filter && (filter->flags & PFS_FILTER_SINK);
}

static void find_ends(struct run *run)
{
	for (size_t i = 0; i < run->program.n; i++) {
		bool sink = is_sink(&run->program, i);

		if (sink || run->program.stage[i].end)
			run->ends[run->nends++] =
				(struct run_end){ .fd = -1, .stage = i, .sink = sink };
	}
}

/* For a terminal text; else what is of most use: packets as a capture stream, other records as they are. */
static void choose_format(struct run *run)
{
	size_t packets = 0, others = 0;

	if (run->format != RUN_ANY)
		return;
	for (size_t i = 0; i < run->nends; i++) {
		if (run->ends[i].sink)
			continue;
		if (run_has_view(run, run->ends[i].stage, "all.pcapng"))
			packets++;
		else
			others++;
	}
	if (isatty(STDOUT_FILENO) || (packets && others))
		run->format = RUN_TXT;
	else
		run->format = packets ? RUN_PCAPNG : RUN_RAW;
}

static int refused(const struct run *run, size_t stage, const char *file, int error)
{
	PFS_BUF struct pfs_buf path = { 0 }, sentence = { 0 };

	stages_path(&run->stages, stage, &path);
	pfs_buf_printf(&path, "/%s", file);
	stages_reason(run->root, path.data ? path.data : "", error, &sentence);
	stages_say(&run->text, run->program.stage[stage].at,
		   sentence.data ? sentence.data : strerror(error));
	return PFS_EXIT_FAILED;
}

static int open_ends(struct run *run)
{
	int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | (run->nends > 1 ? O_DIRECT : 0);
	char name[32] = "all";

	if (run->format != RUN_RAW)
		snprintf(name, sizeof(name), "all.%s", run_formats[run->format]);
	for (size_t i = 0; i < run->nends; i++) {
		struct run_end *end = &run->ends[i];
		const char *file = end->sink ? "all,end" : name;

		end->fd = openat(run->stages.dir[end->stage], file, flags);
		if (end->fd < 0)
			return refused(run, end->stage, end->sink ? "all" : file, errno);
	}
	return 0;
}

/* A source that processes write gets the standard input; there is one of it. */
static int open_feed(struct run *run)
{
	size_t found = LANG_TOP;

	for (size_t i = 0; i < run->program.n; i++) {
		const struct lang_stage *stage = &run->program.stage[i];
		const struct pfs_source *source =
			stage->above == LANG_TOP
				? pfs_source_find(stage->name, pfs_name_type_len(stage->name))
				: NULL;

		if (!source || !(source->flags & PFS_SOURCE_WRITABLE))
			continue;
		if (found != LANG_TOP) {
			stages_say(&run->text, stage->at,
				   "the standard input can go into one source only, and another takes it already");
			return PFS_EXIT_USAGE;
		}
		found = i;
	}
	if (found == LANG_TOP)
		return 0;
	run->feed = openat(run->stages.dir[found], "all", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	return run->feed < 0 ? refused(run, found, "all", errno) : 0;
}

static int start(struct run *run)
{
	PFS_BUF struct pfs_buf sentence = { 0 };
	int error = EINTR;

	if (run_tell_begin(run) < 0)
		return pfs_fail("not enough memory");
	run_count(run, &run->before);
	/* A signal that ends it before it has begun is no error. */
	while (error == EINTR && !run_stopped())
		error = write(run->hold, "start", 5) == 5 ? 0 : errno;
	if (error == 0 || error == EINTR)
		return 0;
	if (run_mount_ended(run, error))
		return PFS_EXIT_FAILED;
	stages_reason(run->root, run->dir, error, &sentence);
	return pfs_fail("%s", sentence.data ? sentence.data : strerror(error));
}

/* --- the command ------------------------------------------------------------------------------------------ */

static int make(struct run *run, const struct run_options *options)
{
	int r = options->alone ? place_private(&run->place) : place_find(options->mount, &run->place);

	if (r == 0)
		r = hold(run);
	run->stages = (struct stages){
		.program = &run->program,
		.text = &run->text,
		.root = run->root,
		.below = run->dir,
	};
	if (r == 0)
		r = stages_make(&run->stages);
	if (r)
		return r;
	find_ends(run);
	choose_format(run);
	if (run->format == RUN_PCAPNG && isatty(STDOUT_FILENO) && run->nends)
		return pfs_fail("a capture stream is not for a terminal: send the output to a file or a program, "
				"or say -o txt");
	r = open_ends(run);
	return r ? r : open_feed(run);
}

static int dry_run(const struct run *run)
{
	for (size_t i = 0; i < run->program.n; i++) {
		PFS_BUF struct pfs_buf path = { 0 };

		lang_path(&run->program, i, false, &path);
		if (path.failed)
			return pfs_fail("not enough memory");
		puts(path.data);
	}
	return 0;
}

static int run_text(struct run *run, const struct run_options *options)
{
	int r = stages_parse(&run->text, &run->program);

	if (r)
		return r;
	if (!run->program.n)
		return pfs_usage(&pfs_cmd_run, "there is no pipeline in it");
	if (options->dry)
		return dry_run(run);
	run->ends = pfs_zalloc(run->program.n, sizeof(*run->ends));
	if (!run->ends || run_signals() < 0)
		return pfs_fail("not enough memory");
	r = make(run, options);
	if (r == 0 && !run_stopped())
		r = start(run);
	if (r)
		return r;
	r = run_copy(run);
	if (r == 0 && (run_stopped() || run->verbose))
		run_goodbye(run);
	/* When nobody reads our output any more there is nobody to be told. */
	return r == 0 && (run_stopped() || run_over(run)) ? run_tell(run) : r;
}

static int parse_options(int argc, char **argv, struct run *run, struct run_options *options)
{
	int c;

	while ((c = pfs_getopt(&pfs_cmd_run, argc, argv)) != -1) {
		switch (c) {
		case 'p':
			options->mount = optarg;
			break;
		case 'P':
			options->alone = true;
			break;
		case 'f':
			options->file = optarg;
			break;
		case 'n':
			options->dry = true;
			break;
		case 'v':
			run->verbose = true;
			break;
		case 'o':
			for (run->format = RUN_RAW; run->format < RUN_FORMATS; run->format++)
				if (!strcmp(optarg, run_formats[run->format]))
					break;
			if (run->format == RUN_FORMATS)
				return pfs_usage(&pfs_cmd_run,
						 "the format is raw, pcapng, json or txt, not '%s'",
						 optarg);
			break;
		default:
			return pfs_usage(&pfs_cmd_run, NULL);
		}
	}
	if (options->mount && options->alone)
		return pfs_usage(&pfs_cmd_run, "a mount that is there or a private one, not both");
	return 0;
}

static int run_run(int argc, char **argv)
{
	struct run run = { .root = -1, .hold = -1, .feed = -1, .format = RUN_ANY };
	struct run_options options = { 0 };
	PFS_BUF struct pfs_buf text = { 0 };
	int r = parse_options(argc, argv, &run, &options);

	if (r == 0)
		r = take_text(argc - optind, argv + optind, &options, &text);
	if (r)
		return r;
	run.text = (struct stages_text){
		.file = options.file,
		.text = text.data ? text.data : "",
		.len = text.len,
	};
	r = run_text(&run, &options);
	run_release(&run);
	return r;
}

static const struct pfs_option options_table[] = {
	{ .key = 'o',
	  .letter = true,
	  .name = "output",
	  .value = "FORMAT",
	  .words = PFS_WORDS_CHOICE,
	  .choices = run_formats,
	  .help = "raw, pcapng, json or txt. Without it: txt on a terminal, else pcapng\n"
		  "for packets and raw for what is none" },
	{ .key = 'p',
	  .letter = true,
	  .name = "mount",
	  .value = "DIR",
	  .words = PFS_WORDS_MOUNT,
	  .help = "work in the pipesfs at DIR. Without it: in the one that is mounted,\n"
		  "or in a private one that ends with the program" },
	{ .key = 'P', .letter = true, .name = "private", .help = "work in a private one in any case" },
	{ .key = 'f',
	  .letter = true,
	  .name = "file",
	  .value = "FILE",
	  .words = PFS_WORDS_FILE,
	  .help = "take the pipelines from FILE (-: the standard input)" },
	{ .key = 'n',
	  .letter = true,
	  .name = "dry-run",
	  .help = "only print the directories that would be made" },
	{ .key = 'v', .letter = true, .name = "verbose", .help = "say the counts at the end of a file, too" },
	{ 0 },
};

const struct pfs_command pfs_cmd_run = {
	.name = "run",
	.summary = "run a pipeline: pcapin trace.pcap | tcp | dstport |80 inspect",
	.options = options_table,
	.operands = "[PIPELINE]",
	.words = PFS_WORDS_PIPELINE,
	.help = "Quote the pipeline for your shell. NAME ARGUMENT... is a stage, a class right behind a bar a\n"
		"condition, ( a + b ) are branches, each of which gets all that comes in, and > FILE ends\n"
		"one in a file. Ctrl-C ends it and says what was captured, SIGUSR1 only says it.\n"
		"`man 7 pipesfs` has the language.\n",
	.run = run_run,
};
