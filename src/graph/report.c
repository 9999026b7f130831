#include "graph/report.h"

#include "packet/lines.h"

#define SECOND UINT64_C(1000000000)

int pfs_report_set(struct pfs_report *report, const struct pfs_args *args, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "every");
	uint64_t every = 1;

	if (text && pfs_number_parse(text, false, 1, 86400, &every) < 0)
		return pfs_diag_set(diag, EINVAL, "every= takes seconds, 1 to 86400, not '%.32s'",
				    text);
	report->every = every * SECOND;
	return 0;
}

void pfs_report_release(struct pfs_report *report)
{
	pfs_buf_release(&report->text);
}

static void line_text(pfs_report_fn fn, void *state, uint64_t time, struct pfs_buf *out)
{
	char text[PKT_TIME_SIZE];

	pfs_buf_str(out, "{\"time\":\"");
	pfs_buf_add(out, text, pkt_time(time, 'T', text));
	pfs_buf_str(out, "\",");
	fn(state, out);
	pfs_buf_str(out, "}\n");
}

/* False: no room now. */
static bool line_emit(struct pfs_report *report, pfs_report_fn fn, void *state, struct pfs_emitter *out)
{
	uint64_t time = pfs_clock_real();
	struct pfs_record *rec;
	void *p;

	report->text.len = 0;
	line_text(fn, state, time, &report->text);
	if (report->text.failed || report->text.len > PFS_REPORT_RING / 4) {
		pfs_emit_lost(out, report->text.failed ? "no memory" : "oversize", 1);
		pfs_buf_release(&report->text);
		return true;
	}
	p = out->room ? pfs_emit_new(out, report->text.len, &rec) : NULL;
	if (!p)
		return false;
	memcpy(p, report->text.data, report->text.len);
	rec->time = time;
	pfs_emit_commit(out, rec);
	return true;
}

/* A line that finds no room is made anew when there is some, with newer numbers. */
size_t pfs_report(struct pfs_report *report, pfs_report_fn fn, void *state, size_t n,
		  struct pfs_emitter *out, uint64_t *ret_wait)
{
	uint64_t now = pfs_clock_mono();

	report->news |= n > 0;
	if (!report->news)
		return n;
	if (now >= report->next && line_emit(report, fn, state, out)) {
		report->news = false;
		report->next = now + report->every;
	} else {
		*ret_wait = now < report->next ? report->next - now : report->every;
	}
	return n;
}

bool pfs_report_end(struct pfs_report *report, pfs_report_fn fn, void *state,
		    const struct pfs_ref *ref, struct pfs_emitter *out)
{
	if (!(ref->flags & PFS_REF_EOF))
		return true;
	if (!line_emit(report, fn, state, out))
		return false;
	report->news = false;
	return true;
}

int pfs_report_line(pfs_report_fn fn, void *state, struct pfs_buf *ret_bytes)
{
	line_text(fn, state, pfs_clock_real(), ret_bytes);
	return ret_bytes->failed ? -ENOMEM : 0;
}
