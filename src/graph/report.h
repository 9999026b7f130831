/*
 * report - what counting filters share: they take records and give numbers, now and then
 *
 * A counter consumes by itself and passes nothing on. What comes out of its directory is lines of JSON: one for a
 * reader who comes, one every so many seconds while something was counted since, and one at the end of a generation.
 *
 *	pull:	count; then return pfs_report(&r->report, text, r, n, out, ret_wait)
 *	control: return pfs_report_end(...)
 *	preamble: pfs_report_line(...)
 */
#ifndef PFS_GRAPH_REPORT_H
#define PFS_GRAPH_REPORT_H

#include "graph/filter.h"

#define PFS_REPORT_RING ((size_t)1 << 20)

/* The object without its braces and its time: `"packets":12`. */
typedef void (*pfs_report_fn)(void *state, struct pfs_buf *out);

struct pfs_report {
	uint64_t every;	     /* ns */
	uint64_t next;	     /* ns, mono: when the next line may come */
	bool news;	     /* something was counted since the last one */
	struct pfs_buf text; /* owned: scratch */
};

/* every= */
#define PFS_REPORT_PARAM                                                               \
	{                                                                              \
		"every", "seconds between two lines of numbers, 1 to 86400; default 1" \
	}

/* For init and reconfigure. -EINVAL. */
int pfs_report_set(struct pfs_report *report, const struct pfs_args *args, struct pfs_diag *diag);
void pfs_report_release(struct pfs_report *report);

/* n records were counted. Returns n, for pull to return. */
size_t pfs_report(struct pfs_report *report, pfs_report_fn fn, void *state, size_t n,
		  struct pfs_emitter *out, uint64_t *ret_wait);
/* For control to return. */
bool pfs_report_end(struct pfs_report *report, pfs_report_fn fn, void *state,
		    const struct pfs_ref *ref, struct pfs_emitter *out);
/* For preamble to return. */
int pfs_report_line(pfs_report_fn fn, void *state, struct pfs_buf *ret_bytes);

#endif
