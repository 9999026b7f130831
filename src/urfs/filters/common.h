/*
 * common - what filters that ship have in common
 */
#ifndef FILTERS_COMMON_H
#define FILTERS_COMMON_H

#include <pipesfs/urfs.h>

#define FILTER_SHOWN 1024 /* bytes of a text in a log, with the NUL */

/* The text with nothing in it that ends a word or leads a terminal astray. Gives out. */
const char *filter_show(const char *text, char out[FILTER_SHOWN]);
/*
 * A filter that lets redirctl change everything, asked about these operations in these directories, with all below
 * them. -errno.
 */
int filter_begin(struct urfs_conn *conn, struct rfs_filter_info *info,
		 struct rfs_op_info *operations, int n, char *const *dirs);

#endif
