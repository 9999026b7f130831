/*
 * registry - which filters of files there are, by name and priority, and what they are to do where
 *
 * Lives in streams, which shows it as /p/redirfs/; no filter runs here. It is plain data: a change is made on a copy
 * (rd_registry_copy(), which shares what does not change), and whoever keeps it (herd.h) takes the copy for the old one
 * only when all redirect processes run by it. So a change is in force as a whole, or nothing has changed.
 *
 *	rd_registry_copy(now, &next);
 *	r = rd_registry_set(next, "scan", RD_SETTING_ACTIVE, "1", &diag);
 *
 * A filter comes from a shared object, which redirect processes load, or from a process that joins (join.h).
 * Paths are absolute and clean
 * (rd_path_is_clean() in rules.h); nothing is asked of the filesystem here: which directory has to be redirected for a
 * path is said by the caller.
 *
 * Threads: a copy belongs to whoever made it; what it shares is only read.
 */
#ifndef RD_REGISTRY_H
#define RD_REGISTRY_H

#include <sys/types.h>

#include "base/name.h"
#include "redir/hook.h"

struct rd_registry_rule {
	_Atomic unsigned refs;
	bool include, subtree;
	char *path; /* owned */
	char *tree; /* owned: the directory that is redirected for it: path, or the one that path is in */
};

/* A filter. Read only, but through the functions below. */
struct rd_registered {
	_Atomic unsigned refs;
	char name[RD_NAME_MAX];
	int priority;
	bool active;
	bool modifier; /* others may set its paths and activity: it has a modifier callback */
	int policy;
	uint64_t deadline; /* ns */
	char *object;	   /* owned; NULL: of nothing, it fails by its policy */
	char *args;	   /* owned: for it, with commas between; NULL: none */
	uid_t uid;	   /* whose it is */
	/* Of a process; object is NULL then. */
	bool process;
	uint64_t peer; /* its connection; 0: it has died */
	pid_t pid;     /* of it, or of what it was */
	uint32_t id;   /* that the process has given it */
	bool ready;    /* is asked */
	bool missed; /* was asked, and died: it fails by its policy until one of its name is ready */
	struct rd_wants wants;
	struct rd_registry_rule **rule; /* owned, as are the references; in the order in which they were set */
	size_t n_rules;
};

struct rd_registry {
	struct rd_registered **filter; /* owned, as are the references; by priority, smallest first */
	size_t n;
	uint64_t serial; /* counts copies: one that was made later has a greater one */
};

enum rd_setting {
	RD_SETTING_ACTIVE,   /* 0, 1 */
	RD_SETTING_PRIORITY, /* a number, or a group's name: the first free one of it */
	RD_SETTING_POLICY,   /* open, closed, an errno's name */
	RD_SETTING_DEADLINE, /* a time, "500ms" */
	RD_SETTINGS,
};

int rd_registry_new(struct rd_registry **ret_registry); /* empty */
int rd_registry_copy(const struct rd_registry *registry, struct rd_registry **ret_copy);
void rd_registry_free(struct rd_registry *registry); /* NULL is fine */
#define RD_REGISTRY PFS_CLEANUP(rd_registry_freep)
static inline void rd_registry_freep(struct rd_registry **registry)
{
	rd_registry_free(*registry);
}

const struct rd_registered *rd_registry_find(const struct rd_registry *registry, const char *name);

/* What is not said is 0 and gets the default: policy EIO, deadline 5 s. */
struct rd_registering {
	const char *name;
	const char *priority; /* as RD_SETTING_PRIORITY */
	const char *object, *args;
	bool active, modifier;
	uid_t uid;
};
/*
 * -EEXIST: the name or the priority is another filter's, the sentence says which; -EINVAL: no name, priority or path;
 * -ENOSPC: RD_FILTERS_MAX; -ENOMEM.
 */
int rd_registry_add(struct rd_registry *registry, const struct rd_registering *what,
		    struct pfs_diag *diag);
/* -ENODEV: there is none of that name (so with all that follow). */
int rd_registry_remove(struct rd_registry *registry, const char *name, struct pfs_diag *diag);
/* -EINVAL, -EEXIST (priority). For activity: -EPERM, it has no modifier callback. text may end with newlines. */
int rd_registry_set(struct rd_registry *registry, const char *name, enum rd_setting setting,
		    const char *text, struct pfs_diag *diag);
/* As it is read: "1\n", "850000000\n", "EIO\n", "5s\n". */
void rd_registered_say(const struct rd_registered *filter, enum rd_setting setting,
		       struct pfs_buf *out);

struct rd_rule_new {
	struct rd_rule_desc desc;
	const char *tree;
};
/*
 * Of the same path and kind the later takes the place of the earlier one. -EPERM: no modifier callback; -EINVAL: no
 * clean path; -E2BIG: RD_RULES_MAX.
 */
int rd_registry_rule_add(struct rd_registry *registry, const char *name,
			 const struct rd_rule_new *rule, struct pfs_diag *diag);
/* Takes the rules of that path away. -ENOENT: there is none. */
int rd_registry_rule_remove(struct rd_registry *registry, const char *name, const char *path,
			    struct pfs_diag *diag);

/* --- what a process says of its own filters (join.h): no modifier is asked ------------------ */

struct rd_joining {
	const char *name;
	int priority; /* this, and what follows to deadline, counts when there is none of that name */
	bool active;
	int policy;	   /* 0: RD_FAIL_DEFAULT */
	uint64_t deadline; /* 0: RD_DEADLINE */
	uint64_t peer;
	pid_t pid;
	uid_t uid;
	uint32_t id;
};
/* Takes the place of one of that name whose process has died. As rd_registry_add(). */
int rd_registry_join(struct rd_registry *registry, const struct rd_joining *what,
		     struct pfs_diag *diag);
/* Of that peer and name. -ENODEV: it has none of that name (any more). */
int rd_registry_joined(struct rd_registry *registry, uint64_t peer, const char *name,
		       struct rd_registered **ret_filter, struct pfs_diag *diag);
int rd_registered_rule_add(struct rd_registered *filter, const struct rd_rule_new *rule,
			   struct pfs_diag *diag);
/* All of that peer: they are asked from now on, or not. -ENOMEM. */
int rd_registry_ready(struct rd_registry *registry, uint64_t peer, bool ready);
/* It has died. How many filters it had; -ENOMEM. */
int rd_registry_lose(struct rd_registry *registry, uint64_t peer);
/* Every operation that the filter is asked about, "pre REG_FOP_OPEN\n". */
void rd_registered_hooks(const struct rd_registered *filter, struct pfs_buf *out);

/*
 * Rules as text. A line as it is written and read in include and exclude, "PATH single" or "PATH subtree" (subtree if
 * nothing is said), and as RedirFS's redirctl said them, "PATH 0xFLAGS": 1 single, 2 subtree, 4 include, 8 exclude. In
 * paths control characters, backslashes, a last blank and what is no ASCII stand as \ooo, three octal digits, so
 * that a line is a line.
 */
enum { RD_RULE_SINGLE = 1, RD_RULE_SUBTREE = 2, RD_RULE_INCLUDE = 4, RD_RULE_EXCLUDE = 8 };
/* *ret_path is the caller's. -EINVAL: no path, an escape that is none, an empty line; -ENAMETOOLONG; -ENOMEM. */
int rd_rule_parse(const char *line, size_t len, char **ret_path, bool *ret_subtree,
		  struct pfs_diag *diag);
void rd_path_say(struct pfs_buf *out, const char *path);
/* Those that include, or those that exclude. */
void rd_registered_rules(const struct rd_registered *filter, bool include, struct pfs_buf *out);
void rd_registered_paths(const struct rd_registered *filter, struct pfs_buf *out);

#endif
