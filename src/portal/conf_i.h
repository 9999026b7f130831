/*
 * conf_i - rules, as they are kept
 *
 * Prefixes and what is stripped are kept with single slashes: the kernel makes one of two, and who writes http://
 * means both.
 */
#ifndef PFS_PORTAL_CONF_I_H
#define PFS_PORTAL_CONF_I_H

#include <regex.h>

#include "base/argv.h"
#include "portal/portal.h"

enum pfs_provider {
	PFS_PROVIDER_FILE,
	PFS_PROVIDER_TCP,
	PFS_PROVIDER_TCPLISTEN,
	PFS_PROVIDER_UDP,
	PFS_PROVIDER_UNIX,
	PFS_PROVIDER_PIPE,
	PFS_PROVIDER_RFILTER,
	PFS_PROVIDER_WFILTER,
};

struct pfs_portal_rule {
	char *match; /* owned; slashes collapsed unless it is a regular expression */
	bool is_regex;
	regex_t regex; /* when is_regex */
	enum pfs_provider provider;
	char *strip; /* owned; slashes collapsed; "": nothing */
	uint64_t linger;
	struct pfs_argv command; /* rfilter, wfilter */
	unsigned line;		 /* 0: of the default */
};

struct pfs_portal_rules {
	_Atomic unsigned refs;
	size_t n;
	struct pfs_portal_rule *rule; /* owned */
	size_t n_names;
	char **name; /* owned, owned */
};

#define PFS_LINGER_DEFAULT 5000000000ULL /* ns */
#define PFS_LINGER_MAX (86400 * 1000000000ULL)

/* [::1] is ::1, with its length; what is in no brackets stays. -EINVAL: there is nothing in them. */
int pfs_host_unwrap(const char **host, size_t *len, struct pfs_diag *diag);
/* What follows prefix in path, where slashes in a row count as one; NULL: path does not begin so. */
const char *pfs_portal_after(const char *path, const char *prefix);

#endif
