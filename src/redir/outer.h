/*
 * outer - which directories have to be redirected for a set of rules, and in which order that is brought about
 *
 * One redirect process serves one *outermost* tree: a directory that some active filter includes, and that is in no
 * other such directory. Filters nest inside it. Pure functions; any thread.
 */
#ifndef RD_OUTER_H
#define RD_OUTER_H

#include "redir/registry.h"

struct rd_trees {
	char **path; /* owned, as are the strings; sorted, none is inside another */
	size_t n;
};
void rd_trees_release(struct rd_trees *trees);
#define RD_TREES PFS_CLEANUP(rd_trees_release)

/* Is `path` `tree` or below it, by whole names? */
bool rd_tree_holds(const char *tree, const char *path);
/* Of a list of directories, those that are in no other. -ENOMEM. */
int rd_trees_outermost(const char *const *paths, size_t n, struct rd_trees *ret_trees);
/* Of the including rules of the active filters. */
int rd_trees_of(const struct rd_registry *registry, struct rd_trees *ret_trees);
bool rd_trees_have(const struct rd_trees *trees, const char *path);

/*
 * From one set of trees to another. What goes and what comes has no order of its own, except where one is inside the
 * other: a tree that comes over one that is there, or in place of an outer one that goes, begins when that has been
 * detached. In between its files are not redirected: a moment, which cannot be avoided, since a mount that was there
 * when an outer tree began would be in its way for ever. (What is open stays with the process that it was opened with.)
 */
enum rd_step_kind { RD_STEP_END, RD_STEP_BEGIN };
struct rd_step {
	enum rd_step_kind kind;
	const char *path; /* borrowed from one of the two */
};
/* Ends first; ret_steps has room for old->n + new->n. Returns how many. */
size_t rd_trees_plan(const struct rd_trees *old, const struct rd_trees *next,
		     struct rd_step *ret_steps);

#endif
