/*
 * pffilter - filters written in C by hand, as one would who needs just this filter
 *
 * What they do is what tcpdump's expression beside them says, for Ethernet frames of any length: each reads only what
 * has been captured.
 */
#ifndef BENCH_PFFILTER_H
#define BENCH_PFFILTER_H

#include <pipesfs/pf.h>

/* Called as code of pf_get_code() is. */
typedef pf_code_fn byhand_fn;

struct byhand_filter {
	const char *name;
	const char *text;
	byhand_fn *run;
};

extern const struct byhand_filter byhand_filters[];

#endif
