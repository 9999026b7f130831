/*
 * conf - portal.conf: which paths are which portals
 *
 *	# match      provider     arguments
 *	tcp/         tcp          tcp/
 *	gz/          rfilter      gz/ gzip -dc
 *	^v[0-9]+/    file         v
 *
 * One rule a line, words separated as by base/argv.h, # to the end of the line is a comment. Field 1 is a prefix of
 * the path below the mount point; with one of []^$*+?.|(){}\ in it, an extended regular expression (not anchored by
 * itself). The first rule that matches counts, in the order of the file. The first argument is what is taken off
 * the front of the path before the provider sees it (nil: nothing).
 *
 *	file fs			STRIP			opens /REST
 *	tcp udp			STRIP			HOST/PORT
 *	tcplisten		STRIP [linger=TIME]	HOST/PORT
 *	unix			STRIP			connects to the socket /REST
 *	pipe			STRIP			runs the command /REST
 *	rfilter wfilter		STRIP COMMAND...	runs COMMAND for reading, for writing; %s in a word is REST,
 *				%p is /REST, %% is %; without any of them /REST is the last word. Never a shell; REST
 *				is never split, and a word that it would begin with '-' is refused
 *
 * Without a file the rules are those of portalfs: fs/ tcp/ tcplisten/ udp/ unix/ pipe/.
 *
 * A set of rules never changes; who reloads makes a new one and drops the old.
 */
#ifndef PFS_PORTAL_CONF_H
#define PFS_PORTAL_CONF_H

#include "base/base.h"

struct pfs_portal_rules; /* reference-counted, immutable */

/* The rules that hold without a file. -ENOMEM. */
int pfs_portal_rules_default(struct pfs_portal_rules **ret_rules);
/*
 * From text. -EINVAL: the sentence names the first line that is wrong (with `name` in front); -ENODATA: no rule in
 * it. all: gets every complaint, one a line, and what is doubtful but works (a rule that can never match); may be
 * NULL.
 */
int pfs_portal_rules_parse(const char *name, const char *text, size_t len,
			   struct pfs_portal_rules **ret_rules, struct pfs_buf *all,
			   struct pfs_diag *diag);
/* From a file of at most 1 MiB. -errno of open and read, and as above. */
int pfs_portal_rules_load(const char *path, struct pfs_portal_rules **ret_rules,
			  struct pfs_buf *all, struct pfs_diag *diag);

struct pfs_portal_rules *pfs_portal_rules_ref(struct pfs_portal_rules *rules);
void pfs_portal_rules_unref(struct pfs_portal_rules *rules); /* NULL is fine */

/* The rules, one a line, as they are understood. */
void pfs_portal_rules_print(const struct pfs_portal_rules *rules, struct pfs_buf *out);

/* First components of all prefix rules, each once: the directories that are listed in the root of the mount. */
size_t pfs_portal_rules_names(const struct pfs_portal_rules *rules);
const char *pfs_portal_rules_name(const struct pfs_portal_rules *rules, size_t i);

#endif
