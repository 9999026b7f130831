/*
 * graph - the running graph: what runs where, and how fast
 *
 * Reads .graph.json of a mounted tree, .graph.dot for a drawing, which graphviz does.
 */
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/picture.h"
#include "cmd/place.h"
#include "cmd/tree.h"
#include "cmd/units.h"

struct graph_options {
	bool all, dot, svg, json;
};

/* --- as a table --------------------------------------------------------------------------------------- */

/* In which of the places that there are for code does it run? */
static const char *runs_in(const struct picture_node *node)
{
	if (strcmp(node->state, "running") != 0)
		return node->flow[0] ? "idle" : "";
	return node->kernel ? "kernel" : node->shape;
}

static void put_node(const struct picture *picture, const struct picture_row *row, size_t width)
{
	const struct picture_node *node = &picture->node[row->node];
	char in[UNITS_SIZE], out[UNITS_SIZE], bytes[UNITS_SIZE], lost[UNITS_SIZE];
	size_t into = node->into ? picture_find(picture, node->into) : SIZE_MAX;

	printf("%s", row->label.data);
	if (!node->flow[0]) {
		putchar('\n');
		return;
	}
	units_rate(node->rate.in, in);
	units_rate(node->rate.out, out);
	units_rate(node->rate.bytes, bytes);
	units_count(node->lost, lost);
	printf("%*s %8s %8s %8s %8s %5llu  %s", (int)(row->width < width ? width - row->width : 0),
	       "", in, out, bytes, lost, (unsigned long long)node->readers, runs_in(node));
	if (node->shared > 1)
		printf(", for %llu pipelines", (unsigned long long)node->shared);
	if (into != SIZE_MAX) {
		PFS_BUF struct pfs_buf path = { 0 };

		pfs_buf_clean(&path, picture->node[into].path, strlen(picture->node[into].path));
		printf(" -> %s", path.data ? path.data : "");
	}
	putchar('\n');
}

static int print_table(const struct picture *picture, const char *root, bool all)
{
	PFS_CLEANUP(picture_rows_release) struct picture_rows rows = { 0 };
	struct picture_view view = { .all = all, .utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8") };
	char memory[UNITS_SIZE];
	size_t width = 20;

	if (picture_rows(picture, &view, &rows) < 0)
		return pfs_fail("not enough memory");
	for (size_t i = 0; i < rows.n; i++)
		if (rows.row[i].width <= 60)
			width = pfs_max(width, rows.row[i].width);
	units_count(picture->memory, memory);
	printf("%s: %llu directories, %s bytes of rings and queues; rates over %.1f s\n", root,
	       (unsigned long long)picture->nodes, memory, picture->interval);
	printf("%*s %8s %8s %8s %8s %5s  %s\n", (int)width, "", "in/s", "out/s", "bytes/s", "lost",
	       "reads", "runs");
	for (size_t i = 0; i < rows.n; i++)
		put_node(picture, &rows.row[i], width);
	if (rows.hidden)
		printf("(%zu that are idle are not shown; -a shows them)\n", rows.hidden);
	if (picture->hidden)
		printf("(%llu are closed to you)\n", (unsigned long long)picture->hidden);
	return 0;
}

/* --- as a drawing ---------------------------------------------------------------------------------------- */

static int draw(const struct pfs_buf *dot)
{
	int status;
	FILE *pipe;

	fflush(stdout);
	if (system("command -v dot >/dev/null 2>&1") != 0)
		return pfs_fail(
			"graphviz draws it, and is not installed; --dot prints what it would draw");
	pipe = popen("exec dot -Tsvg", "we");
	if (!pipe)
		return pfs_fail("dot: %s", strerror(errno));
	fwrite(dot->data, 1, dot->len, pipe);
	status = pclose(pipe);
	/* Nobody reads what it draws: it has said nothing, nor do we. */
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE)
		return 0;
	return status ? pfs_fail("dot has failed with status %d", WEXITSTATUS(status)) : 0;
}

static int print_file(int root, const char *file, bool svg)
{
	PFS_BUF struct pfs_buf text = { 0 };
	int r = tree_read_file(root, file, &text);

	if (r < 0)
		return pfs_fail("%s: %s", file, strerror(-r));
	if (svg)
		return draw(&text);
	fwrite(text.data, 1, text.len, stdout);
	return 0;
}

/* --- the command --------------------------------------------------------------------------------------- */

static int show(const struct place *place, const char *dir, const struct graph_options *options)
{
	PFS_CLOSE int root = open(place->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PFS_FREE char *path = dir ? realpath(dir, NULL) : strdup(place->root);
	PICTURE struct picture picture = { 0 };
	struct pfs_diag diag = { "" };

	if (root < 0 || !path)
		return pfs_fail("%s: %s", root < 0 ? place->root : dir, strerror(errno));
	if (options->dot || options->svg)
		return print_file(root, ".graph.dot", options->svg);
	if (options->json)
		return print_file(root, ".graph.json", false);
	if (picture_read(root, &picture, &diag) < 0)
		return pfs_fail("%s", diag.text);
	picture_cut(&picture, path + strlen(place->root));
	return print_table(&picture, path, options->all);
}

static int graph_run(int argc, char **argv)
{
	PFS_CLEANUP(place_release) struct place place = { 0 };
	struct graph_options options = { 0 };
	const char *dir;
	int c, r;

	setlocale(LC_CTYPE, "");
	while ((c = pfs_getopt(&pfs_cmd_graph, argc, argv)) != -1) {
		if (c == '?')
			return pfs_usage(&pfs_cmd_graph, NULL);
		options.all |= c == 'a';
		options.dot |= c == 'd';
		options.svg |= c == 's';
		options.json |= c == 'j';
	}
	if (argc - optind > 1)
		return pfs_usage(&pfs_cmd_graph, "one directory at a time");
	if (options.dot + options.svg + options.json > 1)
		return pfs_usage(&pfs_cmd_graph, "one form at a time");
	dir = argv[optind];
	r = place_mounted(dir, &place);
	return r ? r : show(&place, dir, &options);
}

static const struct pfs_option graph_options_table[] = {
	{ .key = 'a', .letter = true, .name = "all", .help = "also what is idle" },
	{ .key = 'd', .name = "dot", .help = "the whole graph, for graphviz" },
	{ .key = 's', .name = "svg", .help = "the same drawn by graphviz" },
	{ .key = 'j', .name = "json", .help = "the whole graph, as in .graph.json" },
	{ 0 },
};

const struct pfs_command pfs_cmd_graph = {
	.name = "graph",
	.summary = "show the running graph: what runs where, and how fast",
	.options = graph_options_table,
	.operands = "[DIR]",
	.words = PFS_WORDS_TREE,
	.help = "Rates are since the last look of anybody, a second ago or more. Without DIR: the mounted tree.\n",
	.run = graph_run,
};
