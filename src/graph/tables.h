/*
 * tables - every filter, sink, view and source of this build, sorted by name
 *
 * Generated from src/modules.list by tools/gentables; a missing file is a link error.
 */
#ifndef PFS_GRAPH_TABLES_H
#define PFS_GRAPH_TABLES_H

#include "graph/filter.h"
#include "graph/source.h"

struct pfs_manual {
	const char *name;
	const char *text; /* the head comment of its file */
};

extern const struct pfs_filter *const pfs_filters[]; /* filters, sinks and views; ends with NULL */
extern const struct pfs_source *const pfs_sources[]; /* ends with NULL */
extern const struct pfs_manual pfs_manuals[];	     /* ends with a NULL name */

/* By name or alias, `len` bytes of it. view: among the views, else among all others. NULL: there is none. */
const struct pfs_filter *pfs_filter_find(const char *type, size_t len, bool view);
const struct pfs_source *pfs_source_find(const char *type, size_t len);

#endif
