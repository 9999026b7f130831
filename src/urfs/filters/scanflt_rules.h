/*
 * scanflt_rules - YARA rules: compiled, and put to bytes
 *
 * All of libyara that scanflt knows. Rules are immutable; up to SCAN_SCANS_MAX threads scan with them at a time.
 */
#ifndef SCANFLT_RULES_H
#define SCANFLT_RULES_H

#include "urfs/scan_cache.h"
#include "urfs/scan_conf.h"

#define SCAN_ERROR_SIZE 512

struct scan_rules;

/*
 * Of all files that the configuration names, or none of them. -EINVAL, -errno: error says which file, which
 * line and why. Other files are not included by rules: `include` is an error.
 */
int scan_rules_new(const struct scan_conf *conf, struct scan_rules **ret_rules,
		   char error[SCAN_ERROR_SIZE]);
void scan_rules_free(struct scan_rules *rules); /* NULL is fine */
size_t scan_rules_count(const struct scan_rules *rules);

/*
 * 0, with the first rule that matches, if one does; -ETIMEDOUT: more than `seconds`; -ENOMEM; -EIO: libyara
 * gave up, or something matched more often than it counts and nothing else was found.
 */
int scan_rules_apply(const struct scan_rules *rules, const uint8_t *bytes, size_t len,
		     unsigned seconds, struct scan_result *ret_result);

#endif
