/*
 * top_lines - what stands in a line
 */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "cmd/top_i.h"
#include "cmd/tree.h"
#include "cmd/units.h"

#define NUMBERS_WIDTH 50 /* of the columns behind the label */
#define LABEL_MIN 12
#define LABEL_MAX 100

/* The widest label of what is shown. */
static size_t label_width(const struct top *top, size_t width)
{
	size_t widest = LABEL_MIN;

	if (width)
		return width > NUMBERS_WIDTH + LABEL_MIN ? width - NUMBERS_WIDTH : LABEL_MIN;
	for (size_t i = 0; i < top->rows.n; i++)
		widest = pfs_max(widest, top->rows.row[i].width);
	return pfs_min(widest, LABEL_MAX);
}

/* Exactly so many columns of it; what is cut off is told by a tilde. */
static void put_label(const char *label, size_t have, size_t width, struct pfs_buf *out)
{
	size_t columns = 0, n = 0;

	if (have <= width) {
		pfs_buf_printf(out, "%s%*s", label, (int)(width - have), "");
		return;
	}
	for (; label[n]; n++) {
		columns += ((unsigned char)label[n] & 0xc0) != 0x80;
		if (columns == width)
			break;
	}
	pfs_buf_add(out, label, n);
	pfs_buf_str(out, "~");
}

static void memory_text(uint64_t bytes, char text[UNITS_SIZE])
{
	snprintf(text, UNITS_SIZE, "%.1fM", (double)bytes / (1 << 20));
}

void top_summary(const struct top *top, struct pfs_buf *out)
{
	const struct picture *now = &top->now;
	char used[UNITS_SIZE], max[UNITS_SIZE], lost[UNITS_SIZE], when[16];
	uint64_t readers = 0, waits = 0;
	double loses = 0;
	time_t time_ = time(NULL);
	struct tm tm;

	for (size_t i = 0; i < now->n; i++) {
		readers += now->node[i].readers;
		loses += now->node[i].rate.lost;
		waits = pfs_max64(waits, now->node[i].lag);
	}
	memory_text(now->memory, used);
	memory_text(now->memory_max, max);
	units_rate(loses, lost);
	strftime(when, sizeof(when), "%H:%M:%S", localtime_r(&time_, &tm));
	pfs_buf_printf(out, "%s %s%s: %llu of %llu directories, %s of %s, %llu readers, %s lost/s",
		       when, top->mount, top->path, (unsigned long long)now->nodes,
		       (unsigned long long)now->nodes_max, used, max, (unsigned long long)readers,
		       lost);
}

void top_titles(const struct top *top, size_t width, struct pfs_buf *out)
{
	bool tree = top->view.sort == PICTURE_TREE;

	put_label(tree ? "directory" : "path", tree ? 9 : 4, label_width(top, width), out);
	pfs_buf_printf(out, " %7s %7s %7s %7s %7s %6s %2s", "in/s", "out/s", "bytes/s", "lost/s",
		       "lost", "lag", "rd");
}

/* Of a count, at most seven columns. */
static void short_count(uint64_t value, char text[UNITS_SIZE])
{
	if (value < 1000000)
		snprintf(text, UNITS_SIZE, "%llu", (unsigned long long)value);
	else
		units_rate((double)value, text);
}

void top_row(const struct top *top, size_t row, size_t width, struct pfs_buf *out)
{
	const struct picture_row *shown = &top->rows.row[row];
	const struct picture_node *node = &top->now.node[shown->node];
	char in[UNITS_SIZE], passed[UNITS_SIZE], bytes[UNITS_SIZE], loses[UNITS_SIZE],
		lost[UNITS_SIZE], lag[UNITS_SIZE];

	put_label(shown->label.data, shown->width, label_width(top, width), out);
	if (!node->flow[0])
		return; /* a folder */
	units_rate(node->rate.in, in);
	units_rate(node->rate.out, passed);
	units_rate(node->rate.bytes, bytes);
	units_rate(node->rate.lost, loses);
	short_count(node->lost, lost);
	short_count(node->lag, lag);
	pfs_buf_printf(out, " %7s %7s %7s %7s %7s %6s %2llu", in, passed, bytes, loses, lost, lag,
		       (unsigned long long)node->readers);
}

void top_readers(const struct top *top, const struct picture_node *node, struct pfs_buf *out)
{
	PFS_BUF struct pfs_buf path = { 0 }, text = { 0 };
	char *save = NULL;

	pfs_buf_printf(&path, "%s/.readers", node->path + (node->path[0] == '/'));
	if (path.failed || tree_read_file(top->root, path.data, &text) < 0 || !text.data)
		return;
	for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		pfs_buf_clean(out, line, strlen(line));
		pfs_buf_str(out, "\n");
	}
}
