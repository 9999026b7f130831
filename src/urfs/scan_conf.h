/*
 * scan_conf - what scanflt is told: which rules, what is scanned, how much may be spent on it
 *
 * One setting a line; `#` begins a comment.
 *
 *	rules FILE		YARA rules, as source; several lines add up. Paths are absolute
 *	max-size SIZE		larger files are not scanned (32M); K, M, G
 *	on-large ACTION		... but this is done: allow (which is the default), deny
 *	max-time SECONDS	for an open that waits, and for a scan (10)
 *	on-expiry ACTION	... when it is over (deny)
 *	on-failure ACTION	what cannot be read or looked through (deny)
 *	scans N			at the same time (4); each takes up to max-size of memory
 *	cache N			results that are kept (65536)
 *	scan KEY=VALUE...	files that are scanned, and
 *	skip KEY=VALUE...	those that are not: the first line that fits decides, scanned is what none fits
 *
 * Keys and patterns are those of accessflt (access.h): uid gid user group (of the caller), exe, path, op (read, exec);
 * and owner, of the file: numbers and ranges, or names.
 */
#ifndef URFS_SCAN_CONF_H
#define URFS_SCAN_CONF_H

#include "urfs/access.h"

#define SCAN_CONF_LINE_MAX ACCESS_LINE_MAX
#define SCAN_CONF_CHOICES_MAX 4096
#define SCAN_CONF_RULES_MAX 256
#define SCAN_SCANS_MAX 16
#define SCAN_SIZE_MAX ((uint64_t)1 << 32)
#define SCAN_TIME_MAX 3600
#define SCAN_CACHE_MAX 16777216

struct scan_choice;

struct scan_conf {
	char **rules; /* owned, as are they */
	size_t n_rules;
	uint64_t max_size;
	unsigned max_time; /* s */
	unsigned scans, cache;
	bool deny_large, deny_expired, deny_failed;
	struct scan_choice *choices; /* owned */
	size_t n_choices;
	bool want_exe;
};

/* -EINVAL: error says the line and why, in a sentence; -ENOMEM. */
int scan_conf_parse(const char *text, size_t len, struct scan_conf *ret_conf,
		    char error[ACCESS_ERROR_SIZE]);
/* The same of a file, at most 1 MiB of it. -errno of reading it. */
int scan_conf_load(const char *file, struct scan_conf *ret_conf, char error[ACCESS_ERROR_SIZE]);
void scan_conf_release(struct scan_conf *conf);

/* Is it to be scanned? request->op: ACCESS_READ, ACCESS_EXEC. */
bool scan_conf_wants(const struct scan_conf *conf, const struct access_request *request, uid_t owner);

#endif
