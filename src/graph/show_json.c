/*
 * show_json - .graph.json
 */
#include <stdio.h>

#include "graph/shot_i.h"

static const char *const due_names[PFS_DUES] = {
	[PFS_DUE_NODES] = "nodes", [PFS_DUE_MEMORY] = "memory",	  [PFS_DUE_PROCESSES] = "processes",
	[PFS_DUE_OPENS] = "opens", [PFS_DUE_SOCKETS] = "sockets",
};

static void text(struct pfs_buf *out, const char *key, const char *value)
{
	pfs_buf_printf(out, ",\"%s\":\"", key);
	pfs_buf_json(out, value, strlen(value));
	pfs_buf_str(out, "\"");
}

static void number(struct pfs_buf *out, const char *key, uint64_t value)
{
	pfs_buf_printf(out, ",\"%s\":%llu", key, (unsigned long long)value);
}

static void put_limits(const struct pfs_shot *shot, struct pfs_buf *out)
{
	const char *comma = "";

	pfs_buf_str(out, ",\"limits\":{");
	for (int due = 0; due < PFS_DUES; due++) {
		uint64_t limit = pfs_due_limit(shot->graph, (enum pfs_due)due);

		if (limit != UINT64_MAX)
			pfs_buf_printf(out, "%s\"%s\":%llu", comma, due_names[due],
				       (unsigned long long)limit);
		comma = limit != UINT64_MAX ? "," : comma;
		pfs_buf_printf(out, "%s\"user_%s\":%llu", comma, due_names[due],
			       (unsigned long long)pfs_due_share(shot->graph, (enum pfs_due)due));
		comma = ",";
	}
	pfs_buf_str(out, "}");
}

static void put_dues(const uint64_t has[PFS_DUES], struct pfs_buf *out)
{
	for (int due = 0; due < PFS_DUES; due++)
		pfs_buf_printf(out, "%s\"%s\":%llu", due ? "," : "", due_names[due],
			       (unsigned long long)has[due]);
}

static void put_head(const struct pfs_shot *shot, struct pfs_buf *out)
{
	time_t seconds = (time_t)(shot->real / 1000000000);
	char stamp[40];
	struct tm tm;

	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
	pfs_buf_printf(out, "{\"version\":1,\"time\":\"%s.%09lluZ\",\"clock\":%llu,\"interval\":%.3f",
		       stamp, (unsigned long long)(shot->real % 1000000000),
		       (unsigned long long)shot->mono, shot->interval);
	put_limits(shot, out);
	pfs_buf_str(out, ",\"used\":{");
	put_dues(shot->used, out);
	pfs_buf_str(out, "},\"users\":[");
	for (size_t i = 0; i < shot->nusers; i++) {
		pfs_buf_printf(out, "%s{\"uid\":%lu,", i ? "," : "", (unsigned long)shot->users[i].uid);
		put_dues(shot->users[i].has, out);
		pfs_buf_str(out, "}");
	}
	pfs_buf_printf(out, "],\"hidden\":%llu,\"nodes\":[", (unsigned long long)shot->hidden);
}

static void put_place(const struct pfs_shot *shot, size_t index, struct pfs_buf *out)
{
	const struct pfs_shot_node *node = &shot->nodes[index];
	PFS_BUF struct pfs_buf path = { 0 };

	pfs_shot_path(shot, index, &path);
	pfs_buf_printf(out, "{\"id\":%llu,\"parent\":%llu", (unsigned long long)node->id,
		       (unsigned long long)node->parent);
	out->failed |= path.failed;
	if (!path.failed)
		text(out, "path", path.data);
	text(out, "name", node->name);
	text(out, "kind", node->kind);
	text(out, "type", node->type[0] ? node->type : node->name);
	text(out, "flow", node->flow);
	pfs_buf_printf(out, ",\"uid\":%lu,\"gid\":%lu,\"mode\":\"%04o\"", (unsigned long)node->uid,
		       (unsigned long)node->gid, (unsigned)node->mode);
	text(out, "state", node->running ? "running" : "idle");
	text(out, "policy", !node->data ? "" : node->lossy ? "lossy" : "reliable");
	text(out, "shape", node->shape);
	pfs_buf_printf(out, ",\"kernel\":%s", node->kernel ? "true" : "false");
}

static void put_counters(const struct pfs_shot_node *node, struct pfs_buf *out)
{
	number(out, "in", node->in);
	number(out, "out", node->out);
	number(out, "dropped", node->dropped);
	number(out, "lost", node->lost);
	number(out, "bytes", node->bytes);
	pfs_buf_str(out, ",\"losses\":{");
	for (size_t i = 0; i < node->nreasons; i++) {
		pfs_buf_str(out, i ? ",\"" : "\"");
		pfs_node_reason(node->reason[i].name, out);
		pfs_buf_printf(out, "\":%llu", (unsigned long long)node->reason[i].n);
	}
	pfs_buf_printf(out, "},\"rate\":{\"in\":%.1f,\"out\":%.1f,\"lost\":%.1f,\"bytes\":%.1f}",
		       node->rate_in, node->rate_out, node->rate_lost, node->rate_bytes);
	number(out, "readers", node->readers);
	number(out, "writers", node->writers);
	number(out, "lag", node->lag);
	number(out, "memory", node->memory);
	if (node->into)
		number(out, "into", node->into);
	if (node->shared)
		number(out, "shared", node->shared);
}

struct stats_to {
	struct pfs_buf *out;
	bool any;
};

/* A number of JSON is one as it stands: digits, perhaps with a fraction, no zero in front. */
static bool is_number(const char *value)
{
	size_t n = strspn(value, "0123456789");

	if (n == 0 || (n > 1 && value[0] == '0'))
		return false;
	if (value[n] == '.') {
		size_t part = strspn(value + n + 1, "0123456789");

		return part > 0 && !value[n + 1 + part];
	}
	return !value[n];
}

static void put_stat(void *arg, const char *name, size_t len, const char *value)
{
	struct stats_to *to = arg;

	pfs_buf_str(to->out, to->any ? ",\"" : "\"");
	pfs_buf_json(to->out, name, len);
	pfs_buf_str(to->out, "\":");
	if (!is_number(value))
		pfs_buf_str(to->out, "\"");
	pfs_buf_json(to->out, value, strlen(value));
	if (!is_number(value))
		pfs_buf_str(to->out, "\"");
	to->any = true;
}

void pfs_show_json(const struct pfs_shot *shot, struct pfs_buf *out)
{
	put_head(shot, out);
	for (size_t i = 0; i < shot->n; i++) {
		struct stats_to to = { .out = out };

		pfs_buf_str(out, i ? ",\n" : "\n");
		put_place(shot, i, out);
		put_counters(&shot->nodes[i], out);
		if (shot->nodes[i].stats.len) {
			pfs_buf_str(out, ",\"stats\":{");
			pfs_shot_stats(&shot->nodes[i], put_stat, &to);
			pfs_buf_str(out, "}");
		}
		pfs_buf_str(out, "}");
	}
	pfs_buf_str(out, "\n]}\n");
}
