/*
 * rules - which paths a filter covers
 *
 * A rule includes or excludes a path, *single* (it alone) or as a *subtree* (with all below it).
 * Of the rules that cover a path the one with the longest path decides; of the same path single
 * before subtree; of the same path and kind the later. What no rule covers is excluded. A path
 * covers what is below it by whole names: /srv does not cover /srv2.
 */
#ifndef RD_RULES_H
#define RD_RULES_H

#include "redir/configured.h"

struct rd_rules; /* immutable */

/* -EINVAL: a path that is not legal, with a sentence; -E2BIG: too many; -ENOMEM. */
int rd_rules_new(const struct rd_rule_desc *rules, size_t n, struct rd_rules **ret_rules,
		 struct pfs_diag *diag);
struct rd_rules *rd_rules_ref(struct rd_rules *rules);
void rd_rules_unref(struct rd_rules *rules);
/* Is the path, absolute and clean, included? */
bool rd_rules_cover(const struct rd_rules *rules, const char *path);
/* Does the path or anything below it? */
bool rd_rules_touch(const struct rd_rules *rules, const char *path);
/* The rules in the order of their paths, without those that a later one took the place of. */
const struct rd_rule_desc *rd_rules_list(const struct rd_rules *rules, size_t *ret_n);
/* Absolute, no ".", "..", "//", no slash at the end but for "/" itself, shorter than PATH_MAX? */
bool rd_path_is_clean(const char *path);

#endif
