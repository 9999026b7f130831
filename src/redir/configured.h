/*
 * configured - the filters of a redirect process and their rules, replaced as one
 *
 * A *description* (struct rd_filter_desc[]) says which filters there are. rd_config_replace()
 * checks it as a whole, and either all of it is in force or nothing has changed. A filter is
 * known by its name: one that is in the old and in the new description goes on, with what it
 * keeps. What a filter *does* is its hook (hook.h), which comes and goes by itself: a filter in
 * another process connects later and may die. A filter without a hook fails, as its policy says.
 *
 *	static const struct rd_rule_desc rules[] = { { "/srv", true, true }, { "/srv/tmp", false, true } };
 *	static const struct rd_filter_desc filters[] = { { .name = "scan", .priority = 850000000, .active = true,
 *		.policy = -EIO, .deadline = 5 * RD_SECOND, .rules = rules, .n_rules = 2 } };
 *	rd_config_replace(config, filters, 1, &diag);
 *
 * Threads: everything here may be called on any thread. Changes wait for each other, never for a
 * filter, but for rd_hook_drain().
 */
#ifndef RD_CONFIGURED_H
#define RD_CONFIGURED_H

#include "redir/chain.h"

#define RD_SECOND 1000000000ULL
#define RD_DEADLINE (5 * RD_SECOND)
#define RD_DEADLINE_MAX (3600 * RD_SECOND)
#define RD_FILTERS_MAX 1024
#define RD_RULES_MAX 65536 /* of one filter */
#define RD_NAME_MAX 64
#define RD_ARGS_MAX 4096 /* of a shared object, with the NUL */

/*
 * What a call gets when its filter cannot answer: it has no hook, died, was late or answered nonsense.
 * < 0: that error. RD_FAIL_OPEN: as if the filter had not been asked. RD_FAIL_CLOSED is -EPERM.
 */
#define RD_FAIL_OPEN 1
#define RD_FAIL_CLOSED (-EPERM)
#define RD_FAIL_DEFAULT (-EIO)
/* "open", "closed", or an errno's name ("EIO", "EACCES") as rd_policy_name() gives it. -EINVAL. */
int rd_policy_parse(const char *text, int *ret_policy);
const char *rd_policy_name(int policy);

/* RedirFS's groups of priorities (groups.def): smaller is asked earlier. */
struct rd_group {
	const char *name, *summary;
	int low, high;
};
extern const struct rd_group rd_groups[];
extern const size_t rd_n_groups;
/* That a priority is in; NULL: none. */
const struct rd_group *rd_group_of(int priority);

struct rd_rule_desc {
	const char *path; /* absolute; no "." and "..", no double or last slash */
	bool include;	  /* else exclude */
	bool subtree;	  /* else this path alone */
};

struct rd_wants;
struct rd_filter_desc {
	const char *name; /* a letter, then letters, digits, "_", "-", "."; < RD_NAME_MAX */
	int priority;	  /* >= 0, unique */
	bool active;
	int policy;	   /* 0: RD_FAIL_DEFAULT */
	uint64_t deadline; /* ns, of one pre or post; 0: RD_DEADLINE */
	const struct rd_rule_desc *rules;
	size_t n_rules;
	const struct rd_wants *wants; /* of one in another process, hook or not; NULL: as its hook says */
};

int rd_config_new(struct rd_config **ret_config);
/* Chains that are still held stay; filters are asked no more. NULL is fine. */
void rd_config_free(struct rd_config *config);
/* -EEXIST: two filters of one name or priority; -EINVAL, -E2BIG, -ENOMEM. */
int rd_config_replace(struct rd_config *config, const struct rd_filter_desc *filters,
		      size_t n_filters, struct pfs_diag *diag);

/*
 * Changes of one filter, each a whole new configuration. -ENOENT: no such filter. -EEXIST: the
 * name, or the priority, is another's. A filter of that name without a hook, whose process has
 * died, is taken over with its rules.
 */
int rd_config_add(struct rd_config *config, const struct rd_filter_desc *desc, struct pfs_diag *diag);
int rd_config_remove(struct rd_config *config, const char *name);
int rd_config_activate(struct rd_config *config, const char *name, bool active);
/* Later of the same path and kind (single, subtree) wins. -EINVAL: no legal path; -E2BIG. */
int rd_config_add_rule(struct rd_config *config, const char *name, const struct rd_rule_desc *rule,
		       struct pfs_diag *diag);

/*
 * Connects a filter with what it does, or takes that away (hook NULL). The reference stays the
 * caller's. Nothing waits: who unloads a hook calls rd_hook_drain() (hook.h) then. -ENOENT;
 * -EBUSY: it has another one.
 */
struct rd_hook;
int rd_config_hook(struct rd_config *config, const char *name, struct rd_hook *hook);
/* Takes that one away, if it has it still. -ENOENT: it has not. */
int rd_config_unhook(struct rd_config *config, const char *name, struct rd_hook *hook);
/* A hook's wants have changed (rfs_set_operations): chains are made anew. */
void rd_config_touch(struct rd_config *config);

/*
 * Who is told of each operation that a filter is asked about, from now on: these, and nobody else; with references.
 * A filter that is taken out of the configuration forgets them. -ENOENT, -ENOMEM.
 */
struct rd_tap;
int rd_config_tap(struct rd_config *config, const char *name, struct rd_tap *const *taps, size_t n);

/* Numbers of one filter; -ENOENT. */
struct rd_filter_stat {
	bool active, hooked;
	uint64_t pres, posts, stops; /* asked before, after; of these, stopped */
	uint64_t failures, late;     /* ended by the policy; of these, by the deadline */
	uint64_t skipped;	     /* not asked: its own accesses, deactivated in between */
	uint64_t time_ns;	     /* in its hands, together */
};
int rd_config_stat(struct rd_config *config, const char *name, struct rd_filter_stat *ret_stat);

#endif
