/*
 * redirfs - the operations that a filter of files was asked about
 *
 * Synopsis:   redirfs/FILTER
 * Parameters: none
 * Classes:    none
 *
 * Each filter that redirctl(8) lists is a directory, with the files that control it and the stream of its operations, a
 * line for each when it has ended:
 *
 *	TIME PID UID EXE OPERATION RESULT DURATION VERDICT PATH [PATH]
 *
 * The time is when it began (UTC), the duration in seconds; the result a number, or an error's name. The verdict is the
 * filter's: `continued`, `stopped` (it gave the result itself), `changed` (it gave another result afterwards), `failed`
 * (it could not answer, and its policy counts) and `expired` (its deadline did). rename, link and copy_file_range have
 * two paths. In paths blanks, control characters and backslashes are three octal digits behind a backslash; what is not
 * known is `-`. `all.json` has the same as pid, uid, exe, operation, result, error, duration, verdict, path and path2.
 *
 * While nobody reads nothing is sent. Nothing waits for who reads: what comes faster than it is taken is lost, and
 * counted ("ring full").
 *
 * Stats:      none beyond in, out, dropped, lost and bytes; redirfs/FILTER/.stats has the filter's, too
 * Example:    mkdir /p/redirfs/scan/grep:passwd; cat /p/redirfs/scan/grep:passwd/all
 */
#include <poll.h>
#include <stdio.h>

#include "graph/source.h"
#include "packet/lines.h"
#include "redir/herd.h"

struct redirfs {
	struct rd_herd *herd;	/* borrowed */
	char *name;		/* owned: the filter's */
	struct rd_watch *watch; /* while it is attached */
	uint64_t lost;		/* what of it has been told */
};

/* --- a line ------------------------------------------------------------------------------------- */

/* As a field. */
static void put_text(struct pfs_buf *out, const char *text, size_t n)
{
	size_t start = 0;

	if (n == 0)
		pfs_buf_str(out, " -");
	else
		pfs_buf_str(out, " ");
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c > 0x20 && c != 0x7f && c != '\\' && !(c == '-' && n == 1))
			continue;
		pfs_buf_add(out, text + start, i - start);
		pfs_buf_printf(out, "\\%03o", c);
		start = i + 1;
	}
	pfs_buf_add(out, text + start, n - start);
}

static void put_operation(struct pfs_buf *out, const struct rd_operation *o)
{
	char time[PKT_TIME_SIZE], word[RD_OP_WORD];
	const char *error = o->result < 0 ? strerrorname_np((int)-o->result) : NULL;

	pfs_buf_add(out, time, pkt_time(o->time, 'T', time));
	pfs_buf_printf(out, " %ld %lu", (long)o->pid, (unsigned long)o->uid);
	put_text(out, o->exe, o->exe_len);
	pfs_buf_printf(out, " %s ", rd_op_word(o->op, word));
	if (error)
		pfs_buf_str(out, error);
	else
		pfs_buf_printf(out, "%lld", (long long)o->result);
	pfs_buf_printf(out, " %llu.%09llu %s", (unsigned long long)(o->duration / RD_SECOND),
		       (unsigned long long)(o->duration % RD_SECOND), rd_seen_names[o->seen]);
	put_text(out, o->path, o->path_len);
	if (o->path2_len)
		put_text(out, o->path2, o->path2_len);
	pfs_buf_str(out, "\n");
}

/* --- a line taken apart: all.json ------------------------------------------------------------------ */

/* The next field, without the blank in front of it; false: there is none. */
static bool next_field(const uint8_t **p, const uint8_t *end, const char **ret_text, size_t *ret_n)
{
	const uint8_t *start = *p, *at;

	while (start < end && *start == ' ')
		start++;
	at = start;
	while (at < end && *at != ' ' && *at != '\n')
		at++;
	*p = at;
	*ret_text = (const char *)start;
	*ret_n = (size_t)(at - start);
	return at > start;
}

static bool is_octal(const char *p, size_t n)
{
	return n >= 4 && p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
	       p[3] >= '0' && p[3] <= '7';
}

static void json_text(struct pfs_buf *out, const char *name, const char *text, size_t n)
{
	PFS_BUF struct pfs_buf plain = { 0 };

	if (n == 1 && *text == '-')
		return;
	for (size_t i = 0; i < n; i++) {
		char c = text[i];

		if (is_octal(text + i, n - i)) {
			c = (char)((text[i + 1] - '0') << 6 | (text[i + 2] - '0') << 3 |
				   (text[i + 3] - '0'));
			i += 3;
		}
		pfs_buf_add(&plain, &c, 1);
	}
	if (plain.failed || !plain.data)
		return;
	pfs_buf_printf(out, ",\"%s\":\"", name);
	pfs_buf_json(out, plain.data, plain.len);
	pfs_buf_str(out, "\"");
}

/* Digits, of which one may be a point: a number of JSON as it is. */
static bool is_number(const char *text, size_t n)
{
	size_t digits = 0, points = 0;

	for (size_t i = 0; i < n; i++) {
		if (text[i] == '.' && i > 0 && i < n - 1)
			points++;
		else if (text[i] >= '0' && text[i] <= '9')
			digits++;
		else
			return false;
	}
	return digits > 0 && points <= 1 && (n == 1 || text[0] != '0' || text[1] == '.');
}

static void json_result(struct pfs_buf *out, const char *text, size_t n)
{
	char name[24];

	if (is_number(text, n)) {
		pfs_buf_printf(out, ",\"result\":%.*s", (int)n, text);
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)pfs_min(n, sizeof(name) - 1), text);
	for (int error = 1; error < 4096; error++) {
		const char *known = strerrorname_np(error);

		if (known && !strcmp(known, name)) {
			pfs_buf_printf(out, ",\"result\":-%d", error);
			break;
		}
	}
	json_text(out, "error", text, n);
}

static void describe_json(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	/* The time is the record's. */
	static const char *const names[] = { NULL,     "pid",	   "uid",     "exe",  "operation",
					     "result", "duration", "verdict", "path", "path2" };
	const uint8_t *end = p + n;
	const char *text;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(names) && next_field(&p, end, &text, &len); i++) {
		if (!names[i])
			continue;
		if (!strcmp(names[i], "result"))
			json_result(out, text, len);
		else if (is_number(text, len) && (i == 1 || i == 2 || i == 6))
			pfs_buf_printf(out, ",\"%s\":%.*s", names[i], (int)len, text);
		else
			json_text(out, names[i], text, len);
	}
}

static const struct pkt_describe describe = { .json = describe_json, .whole = true };

/* --- the source ----------------------------------------------------------------------------------- */

static int redirfs_init(void *state, const char *name, const struct pfs_args *args,
			const struct pfs_place *place, struct pfs_diag *diag)
{
	struct redirfs *s = state;

	(void)name;
	if (!place->herd)
		return pfs_diag_set(diag, ENODEV, "there are no filters of files here");
	s->herd = place->herd;
	s->name = strdup(args->arg);
	return s->name ? 0 : -ENOMEM;
}

static void redirfs_fini(void *state)
{
	struct redirfs *s = state;

	free(s->name);
}

static int redirfs_start(void *state, struct pfs_feed *feed, struct pfs_diag *diag)
{
	struct redirfs *s = state;
	int r = rd_herd_watch(s->herd, s->name, &s->watch);

	(void)feed;
	s->lost = 0;
	return r < 0 ? pfs_diag_set(diag, -r, "the filter's operations cannot be had: %s",
				    strerror(-r))
		     : 0;
}

static void redirfs_stop(void *state)
{
	struct redirfs *s = state;

	rd_herd_unwatch(s->herd, TAKE_PTR(s->watch));
}

/* One run. */
struct run {
	struct redirfs *s;
	struct pfs_feed *feed;
	struct pfs_ring *ring;
	uint16_t origin;
	struct pfs_buf line;
	struct pfs_ref batch[PFS_BATCH];
	size_t n;
};

static int run_push(struct run *run)
{
	size_t n = run->n;
	int r = n ? pfs_feed_push(run->feed, run->batch, n) : 0;

	run->n = 0;
	if (r == -EINTR)
		pfs_feed_lost(run->feed, "no reader", n);
	return r;
}

static int run_operation(struct run *run, const struct rd_operation *operation)
{
	struct pfs_record *rec;
	int r;

	run->line.len = 0;
	put_operation(&run->line, operation);
	if (run->line.failed || run->line.len > pfs_ring_max_record(run->ring)) {
		pfs_buf_release(&run->line);
		run->line = (struct pfs_buf){ 0 };
		pfs_feed_lost(run->feed, "oversize", 1);
		return 0;
	}
	r = pfs_feed_reserve(run->feed, run->ring, run->line.len, &rec);
	if (r < 0)
		return r;
	memcpy(rec + 1, run->line.data, run->line.len);
	rec->time = operation->time;
	rec->origin = run->origin;
	pfs_ring_commit(run->ring, rec);
	run->batch[run->n++] = pfs_ref_of_record(
		run->ring, rec, pfs_ring_pos(run->ring, rec, atomic_load(&run->ring->head)));
	return run->n == PFS_BATCH ? run_push(run) : 0;
}

/* All that there is. */
static int run_all(struct run *run)
{
	struct rd_operation operation;
	uint64_t lost;
	int r = 0;

	while (r == 0 && !pfs_feed_stopping(run->feed) && rd_watch_read(run->s->watch, &operation) == 1)
		r = run_operation(run, &operation);
	if (r == 0)
		r = run_push(run);
	lost = rd_watch_lost(run->s->watch);
	/* What comes from elsewhere may be any number. */
	if (lost > run->s->lost) {
		pfs_feed_lost(run->feed, "ring full", lost - run->s->lost);
		run->s->lost = lost;
	}
	return r;
}

static int redirfs_run(void *state, struct pfs_feed *feed)
{
	struct run *run = pfs_zalloc(1, sizeof(*run));
	struct redirfs *s = state;
	struct pfs_origin origin = { .link_type = PFS_LINK_BYTES };
	struct pollfd fds[2] = { { .fd = pfs_feed_stop_fd(feed), .events = POLLIN },
				 { .fd = rd_watch_fd(s->watch), .events = POLLIN } };
	int r = run ? pfs_feed_ring(feed, 0, &run->ring) : -ENOMEM;

	snprintf(origin.name, sizeof(origin.name), "%s", s->name);
	if (r == 0)
		r = pfs_feed_origin(feed, &origin, &run->origin);
	if (r == 0) {
		run->s = s;
		run->feed = feed;
		while ((r = run_all(run)) == 0 && !pfs_feed_stopping(feed))
			if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
				break;
		pfs_buf_release(&run->line);
	}
	if (r < 0 && r != -EINTR) {
		pfs_feed_lost(feed, "no memory", 1);
		r = pfs_feed_eof(feed);
	}
	free(run);
	return r;
}

struct asked {
	const char *name;
	uid_t *uid;
	bool there;
	void (*each)(void *arg, const char *name);
	void *arg;
};

static void ask_one(void *arg, const struct rd_registry *now)
{
	struct asked *asked = arg;
	const struct rd_registered *filter = rd_registry_find(now, asked->name);

	asked->there = filter;
	if (filter)
		*asked->uid = filter->uid;
}

static bool filter_exists(struct rd_herd *herd, const char *name, uid_t *ret_uid)
{
	struct asked asked = { .name = name, .uid = ret_uid };

	if (herd)
		rd_herd_look(herd, ask_one, &asked);
	return asked.there;
}

static void ask_each(void *arg, const struct rd_registry *now)
{
	struct asked *asked = arg;

	for (size_t i = 0; i < now->n; i++)
		asked->each(asked->arg, now->filter[i]->name);
}

static void filters(struct rd_herd *herd, void (*each)(void *arg, const char *name), void *arg)
{
	struct asked asked = { .each = each, .arg = arg };

	if (herd)
		rd_herd_look(herd, ask_each, &asked);
}

const struct pfs_source pfs_source_redirfs = {
	.name = "redirfs",
	.summary = "the operations that a filter of files was asked about",
	.flags = PFS_SOURCE_DEVICES | PFS_SOURCE_LOSSY,
	.out = PFS_FLOW_TEXT,
	.has_arg = true,
	.needs_arg = true,
	.state_size = sizeof(struct redirfs),
	.describe = &describe,
	.init = redirfs_init,
	.fini = redirfs_fini,
	.start = redirfs_start,
	.run = redirfs_run,
	.stop = redirfs_stop,
	.device = "filter of files",
	.device_exists = filter_exists,
	.devices = filters,
};
