#include "urfs/filters/scanflt_rules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yara.h>

struct scan_rules {
	YR_RULES *yara;
	size_t count;
};

/* --- compiling --- */

struct complaint {
	const char *file; /* that is being compiled */
	char *error;
	bool there; /* the first counts */
};

static void complain(int level, const char *file, int line, const YR_RULE *rule,
		     const char *message, void *arg)
{
	struct complaint *complaint = arg;

	(void)file;
	(void)rule;
	if (level != YARA_ERROR_LEVEL_ERROR || complaint->there)
		return;
	complaint->there = true;
	snprintf(complaint->error, SCAN_ERROR_SIZE, "%.200s: line %d: %.250s", complaint->file,
		 line, message);
}

static int add_file(YR_COMPILER *compiler, struct complaint *complaint)
{
	FILE *f = fopen(complaint->file, "re");
	int wrong;

	if (!f) {
		snprintf(complaint->error, SCAN_ERROR_SIZE, "%.200s: %s", complaint->file,
			 strerror(errno));
		return -errno;
	}
	wrong = yr_compiler_add_file(compiler, f, complaint->file, complaint->file);
	fclose(f);
	if (wrong > 0 && !complaint->there)
		snprintf(complaint->error, SCAN_ERROR_SIZE, "%.200s: it does not compile",
			 complaint->file);
	return wrong > 0 ? -EINVAL : 0;
}

int scan_rules_new(const struct scan_conf *conf, struct scan_rules **ret_rules,
		   char error[SCAN_ERROR_SIZE])
{
	struct scan_rules *rules = calloc(1, sizeof(*rules));
	struct complaint complaint = { .error = error };
	YR_COMPILER *compiler = NULL;
	YR_RULE *rule;
	int r = 0;

	error[0] = '\0';
	if (!rules || yr_compiler_create(&compiler) != ERROR_SUCCESS)
		r = -ENOMEM;
	if (r == 0) {
		yr_compiler_set_callback(compiler, complain, &complaint);
		yr_compiler_set_include_callback(compiler, NULL, NULL, NULL);
	}
	for (size_t i = 0; i < conf->n_rules && r == 0; i++) {
		complaint.file = conf->rules[i];
		r = add_file(compiler, &complaint);
	}
	if (r == 0 && (yr_compiler_get_rules(compiler, &rules->yara) != ERROR_SUCCESS || !rules->yara))
		r = -ENOMEM;
	if (compiler)
		yr_compiler_destroy(compiler);
	if (r < 0) {
		scan_rules_free(rules);
		if (!error[0])
			snprintf(error, SCAN_ERROR_SIZE, "%s", strerror(-r));
		return r;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): yara's table of rules, which ends with an empty one */
	yr_rules_foreach(rules->yara, rule)
	{
		rules->count++;
	}
	if (rules->count == 0) {
		snprintf(error, SCAN_ERROR_SIZE, "%.200s: there is no rule in it", conf->rules[0]);
		scan_rules_free(rules);
		return -EINVAL;
	}
	*ret_rules = rules;
	return 0;
}

void scan_rules_free(struct scan_rules *rules)
{
	if (rules && rules->yara)
		yr_rules_destroy(rules->yara);
	free(rules);
}

size_t scan_rules_count(const struct scan_rules *rules)
{
	return rules->count;
}

/* --- scanning --- */

struct looking {
	struct scan_result *result;
	bool gave_up; /* a string matched more often than is counted: rules with it may be wrong */
};

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data, void *arg)
{
	struct looking *looking = arg;

	(void)context;
	if (message == CALLBACK_MSG_TOO_MANY_MATCHES) {
		looking->gave_up = true;
	} else if (message == CALLBACK_MSG_RULE_MATCHING) {
		const YR_RULE *rule = data;

		looking->result->found = true;
		snprintf(looking->result->rule, SCAN_RULE_MAX, "%s", rule->identifier);
		return CALLBACK_ABORT;
	}
	return CALLBACK_CONTINUE;
}

int scan_rules_apply(const struct scan_rules *rules, const uint8_t *bytes, size_t len,
		     unsigned seconds, struct scan_result *ret_result)
{
	struct looking looking = { .result = ret_result };
	YR_SCANNER *scanner;
	int error;

	*ret_result = (struct scan_result){ .found = false };
	if (yr_scanner_create(rules->yara, &scanner) != ERROR_SUCCESS)
		return -ENOMEM;
	/* The bytes are ours and stay: nobody truncates them, no signal has to be caught. */
	yr_scanner_set_flags(scanner, SCAN_FLAGS_FAST_MODE | SCAN_FLAGS_REPORT_RULES_MATCHING |
					      SCAN_FLAGS_NO_TRYCATCH);
	yr_scanner_set_timeout(scanner, (int)seconds);
	yr_scanner_set_callback(scanner, on_message, &looking);
	error = yr_scanner_scan_mem(scanner, bytes, len);
	yr_scanner_destroy(scanner);
	if (ret_result->found)
		return 0;
	if (error == ERROR_SCAN_TIMEOUT)
		return -ETIMEDOUT;
	if (error == ERROR_INSUFFICIENT_MEMORY)
		return -ENOMEM;
	return error != ERROR_SUCCESS || looking.gave_up ? -EIO : 0;
}
