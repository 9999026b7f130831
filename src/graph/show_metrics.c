/*
 * show_metrics - .metrics: OpenMetrics text
 *
 * The OpenMetrics specification 1.0 (openmetrics.io): the samples of a family stand together, names of counters end in
 * _total, label values have \\ \" and \n escaped, the last line is # EOF. Values are UTF-8: bytes that are not, and
 * what a terminal obeys, are \xNN.
 */
#include "config.h"

#include <stdio.h>

#include "graph/shot_i.h"

#define PATH_SHOWN 200 /* bytes of a path, escaped; longer ones lose their beginning */

/* --- labels -------------------------------------------------------------------------------------- */

static void label_byte(struct pfs_buf *out, char c)
{
	if (c == '"' || c == '\\')
		pfs_buf_add(out, "\\", 1);
	pfs_buf_add(out, &c, 1);
}

/* One character of text that pfs_buf_clean() or UTF-8 leaves. */
static void label_value(struct pfs_buf *out, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = pfs_utf8_len(s + i, len - i);
		unsigned char c = (unsigned char)s[i];
		bool control = c < 0x20 || c == 0x7f ||
			       (n == 2 && c == 0xc2 && (unsigned char)s[i + 1] < 0xa0);

		if (c == '\n')
			pfs_buf_str(out, "\\n");
		else if (n == 0 || (control && n == 1))
			pfs_buf_printf(out, "\\\\x%02x", c);
		else if (control)
			pfs_buf_printf(out, "\\\\x%02x", (unsigned char)s[i + 1]);
		else if (n == 1)
			label_byte(out, s[i]);
		else
			pfs_buf_add(out, s + i, n);
		i += n ? n : 1;
	}
}

/* Where the last characters begin that escaped are not longer than PATH_SHOWN. */
static size_t label_from(const char *path, size_t len)
{
	PFS_BUF struct pfs_buf one = { 0 };
	size_t from = len, size = 0;

	while (from > 0) {
		size_t at = from - 1;

		while (at > 0 && from - at < 4 && ((unsigned char)path[at] & 0xc0) == 0x80)
			at--;
		if (pfs_utf8_len(path + at, from - at) != from - at)
			at = from - 1;
		one.len = 0;
		label_value(&one, path + at, from - at);
		size += one.len;
		if (size > PATH_SHOWN)
			break;
		from = at;
	}
	return from;
}

static void label_path(struct pfs_buf *out, const char *path, size_t len)
{
	size_t from = label_from(path, len);

	if (from)
		pfs_buf_str(out, "...");
	label_value(out, path + from, len - from);
}

/* --- families -------------------------------------------------------------------------------------- */

struct page {
	const struct pfs_shot *shot;
	struct pfs_buf *out;
	struct pfs_buf *labels; /* owned; of each node: id="17",path="/accept" */
};

static void family(struct page *page, const char *name, const char *type, const char *unit,
		   const char *help)
{
	pfs_buf_printf(page->out, "# TYPE %s %s\n", name, type);
	if (unit)
		pfs_buf_printf(page->out, "# UNIT %s %s\n", name, unit);
	pfs_buf_printf(page->out, "# HELP %s %s\n", name, help);
}

static void sample(struct page *page, const char *name, size_t i, uint64_t value)
{
	pfs_buf_printf(page->out, "%s{%s} %llu\n", name, page->labels[i].data,
		       (unsigned long long)value);
}

enum { COUNTER, GAUGE };

/* The numbers that every node has. */
static const struct {
	const char *name;
	size_t offset;
	int type;
	const char *unit, *help;
} numbers[] = {
#define AT(f) offsetof(struct pfs_shot_node, f)
	{ "pipesfs_records_in", AT(in), COUNTER, NULL,
	  "Records that came from the parent; of a source: that it made" },
	{ "pipesfs_records_out", AT(out), COUNTER, NULL,
	  "Records that went to readers and filters below" },
	{ "pipesfs_records_dropped", AT(dropped), COUNTER, NULL,
	  "Records that the filter did not want" },
	{ "pipesfs_records_lost", AT(lost), COUNTER, NULL, "Records lost here, for all reasons" },
	{ "pipesfs_output_bytes", AT(bytes), COUNTER, "bytes", "Bytes of the records that went out" },
	{ "pipesfs_reader_delivered", AT(delivered), COUNTER, NULL,
	  "Records that readers got, those that left too" },
	{ "pipesfs_reader_lost", AT(missed), COUNTER, NULL,
	  "Records that readers were too slow for, those that left too" },
	{ "pipesfs_reader_lag_records", AT(lag), GAUGE, "records",
	  "Records that wait for the slowest reader" },
	{ "pipesfs_memory_bytes", AT(memory), GAUGE, "bytes", "Rings and queue of the directory" },
#undef AT
};

static void put_numbers(struct page *page)
{
	char name[64];

	for (size_t f = 0; f < ARRAY_SIZE(numbers); f++) {
		bool counter = numbers[f].type == COUNTER;

		family(page, numbers[f].name, counter ? "counter" : "gauge", numbers[f].unit,
		       numbers[f].help);
		snprintf(name, sizeof(name), "%s%s", numbers[f].name, counter ? "_total" : "");
		for (size_t i = 0; i < page->shot->n; i++) {
			const struct pfs_shot_node *node = &page->shot->nodes[i];
			uint64_t value;

			memcpy(&value, (const char *)node + numbers[f].offset, sizeof(value));
			if (node->data)
				sample(page, name, i, value);
		}
	}
}

static void put_flags(struct page *page)
{
	const struct pfs_shot *shot = page->shot;

	family(page, "pipesfs_readers", "gauge", NULL, "Open pipes that are read");
	for (size_t i = 0; i < shot->n; i++)
		if (shot->nodes[i].data)
			sample(page, "pipesfs_readers", i, shot->nodes[i].readers);
	family(page, "pipesfs_writers", "gauge", NULL, "Open pipes that are written, and joins");
	for (size_t i = 0; i < shot->n; i++)
		if (shot->nodes[i].data)
			sample(page, "pipesfs_writers", i, shot->nodes[i].writers);
	family(page, "pipesfs_running", "gauge", NULL, "1 while somebody consumes it");
	for (size_t i = 0; i < shot->n; i++)
		if (shot->nodes[i].data)
			sample(page, "pipesfs_running", i, shot->nodes[i].running);
}

static void put_losses(struct page *page)
{
	family(page, "pipesfs_records_lost_reason", "counter", NULL, "Records lost here, by reason");
	for (size_t i = 0; i < page->shot->n; i++) {
		const struct pfs_shot_node *node = &page->shot->nodes[i];

		for (size_t j = 0; j < node->nreasons; j++) {
			pfs_buf_printf(page->out, "pipesfs_records_lost_reason_total{%s,reason=\"",
				       page->labels[i].data);
			pfs_node_reason(node->reason[j].name, page->out);
			pfs_buf_printf(page->out, "\"} %llu\n", (unsigned long long)node->reason[j].n);
		}
	}
}

#define STATS_MAX 64 /* of a filter; a name comes once */

struct stat_to {
	struct page *page;
	size_t node, n;
	struct {
		const char *name;
		size_t len;
	} seen[STATS_MAX];
};

static bool is_new(struct stat_to *to, const char *name, size_t len)
{
	for (size_t i = 0; i < to->n; i++)
		if (to->seen[i].len == len && memcmp(to->seen[i].name, name, len) == 0)
			return false;
	if (to->n == STATS_MAX)
		return false;
	to->seen[to->n].name = name;
	to->seen[to->n++].len = len;
	return true;
}

static void put_stat(void *arg, const char *name, size_t len, const char *value)
{
	struct stat_to *to = arg;
	size_t digits = strspn(value, "0123456789"), part = 0;

	if (value[digits] == '.')
		part = 1 + strspn(value + digits + 1, "0123456789");
	if (digits == 0 || part == 1 || value[digits + part] || !is_new(to, name, len))
		return; /* words, or said already */
	pfs_buf_printf(to->page->out, "pipesfs_stat{%s,name=\"", to->page->labels[to->node].data);
	label_value(to->page->out, name, len);
	pfs_buf_printf(to->page->out, "\"} %s\n", value);
}

static void put_stats(struct page *page)
{
	family(page, "pipesfs_stat", "unknown", NULL, "The filter's own numbers in .stats");
	for (size_t i = 0; i < page->shot->n; i++) {
		struct stat_to to = { .page = page, .node = i };

		pfs_shot_stats(&page->shot->nodes[i], put_stat, &to);
	}
}

static void put_users(struct page *page)
{
	static const struct {
		const char *name, *unit, *help;
	} dues[PFS_DUES] = {
		[PFS_DUE_NODES] = { "pipesfs_nodes", NULL, "Directories that a user made" },
		[PFS_DUE_MEMORY] = { "pipesfs_used_memory_bytes", "bytes", "Rings and queues of these" },
		[PFS_DUE_PROCESSES] = { "pipesfs_processes", NULL, "Processes of his commands" },
		[PFS_DUE_OPENS] = { "pipesfs_opens", NULL, "Pipes that he has open" },
		[PFS_DUE_SOCKETS] = { "pipesfs_sockets", NULL, "Sockets of his directories" },
	};

	for (int due = 0; due < PFS_DUES; due++) {
		family(page, dues[due].name, "gauge", dues[due].unit, dues[due].help);
		for (size_t i = 0; i < page->shot->nusers; i++)
			pfs_buf_printf(page->out, "%s{uid=\"%lu\"} %llu\n", dues[due].name,
				       (unsigned long)page->shot->users[i].uid,
				       (unsigned long long)page->shot->users[i].has[due]);
	}
}

static void labels_make(struct page *page)
{
	const struct pfs_shot *shot = page->shot;

	for (size_t i = 0; i < shot->n; i++) {
		PFS_BUF struct pfs_buf path = { 0 };

		pfs_shot_path(shot, i, &path);
		pfs_buf_printf(&page->labels[i], "id=\"%llu\",path=\"",
			       (unsigned long long)shot->nodes[i].id);
		if (!path.failed)
			label_path(&page->labels[i], path.data, path.len);
		pfs_buf_str(&page->labels[i], "\"");
		page->out->failed |= path.failed || page->labels[i].failed;
	}
}

void pfs_show_metrics(const struct pfs_shot *shot, struct pfs_buf *out)
{
	struct page page = { .shot = shot, .out = out };

	page.labels = pfs_zalloc(shot->n, sizeof(*page.labels));
	if (!page.labels) {
		out->failed = true;
		return;
	}
	labels_make(&page);
	if (!out->failed) {
		family(&page, "pipesfs_build", "info", NULL, "What this is");
		pfs_buf_printf(out, "pipesfs_build_info{version=\"%s\"} 1\n", PIPESFS_VERSION);
		put_numbers(&page);
		put_flags(&page);
		put_losses(&page);
		put_stats(&page);
		put_users(&page);
		pfs_buf_str(out, "# EOF\n");
	}
	for (size_t i = 0; i < shot->n; i++)
		pfs_buf_release(&page.labels[i]);
	free(page.labels);
}
