/*
 * redirctl_conf - the commands of redirctl as lines of a file, checked
 */
#include "cmd/redirctl_i.h"

#include <stdio.h>

#include "base/argv.h"

static int check_setpath(struct rd_registry *registry, char *const *operand, struct pfs_diag *diag)
{
	struct rd_rule_new rule = { .desc = { .path = operand[1] }, .tree = operand[1] };
	int r = redirctl_kind(operand[2], operand[3], &rule.desc.include, &rule.desc.subtree, diag);

	return r < 0 ? r : rd_registry_rule_add(registry, operand[0], &rule, diag);
}

static int check_load(struct rd_registry *registry, char *const *operand, struct pfs_diag *diag)
{
	struct rd_registering what = {
		.name = operand[0],
		.object = operand[1],
		.priority = operand[2],
		.modifier = true,
	};

	return rd_registry_add(registry, &what, diag);
}

static int check_setting(struct rd_registry *registry, const struct redirctl_word *word,
			 char *const *operand, struct pfs_diag *diag)
{
	enum rd_setting setting = word->verb == REDIRCTL_PRIORITY ? RD_SETTING_PRIORITY
				  : word->verb == REDIRCTL_POLICY ? RD_SETTING_POLICY
								  : RD_SETTING_DEADLINE;

	if (!operand[1])
		return pfs_diag_set(diag, EINVAL, "a value is missing");
	return rd_registry_set(registry, operand[0], setting, operand[1], diag);
}

static int check_words(struct rd_registry *registry, const struct pfs_argv *words, struct pfs_diag *diag)
{
	const struct redirctl_word *word = redirctl_find(words->n, words->v, diag);
	char *const *operand = words->v + 1;

	if (!word)
		return -EINVAL;
	switch (word->in_file ? word->verb : REDIRCTL_LIST) {
	case REDIRCTL_SETPATH:
		return check_setpath(registry, operand, diag);
	case REDIRCTL_REMPATH:
		return rd_registry_rule_remove(registry, operand[0], operand[1], diag);
	case REDIRCTL_ACTIVATE:
		return rd_registry_set(registry, operand[0], RD_SETTING_ACTIVE, "1", diag);
	case REDIRCTL_DEACTIVATE:
		return rd_registry_set(registry, operand[0], RD_SETTING_ACTIVE, "0", diag);
	case REDIRCTL_LOAD:
		return check_load(registry, operand, diag);
	case REDIRCTL_UNLOAD:
		return rd_registry_remove(registry, operand[0], diag);
	case REDIRCTL_PRIORITY:
	case REDIRCTL_POLICY:
	case REDIRCTL_DEADLINE:
		return check_setting(registry, word, operand, diag);
	default:
		return pfs_diag_set(diag, EINVAL, "%s changes nothing, and has no place in a file",
				    word->name);
	}
}

/* The words of a line; none: it is empty, or a comment. */
static int split(const char *line, size_t len, struct pfs_argv *ret_words, struct pfs_diag *diag)
{
	PFS_FREE char *text = strndup(line, len);

	if (!text)
		return -ENOMEM;
	if (strlen(text) != len)
		return pfs_diag_set(diag, EINVAL, "there is a NUL byte in it");
	return text[strspn(text, " \t")] == '#' ? 0 : pfs_argv_split(text, ret_words, diag);
}

static int check_line(void *arg, const char *line, size_t len, struct pfs_diag *diag)
{
	struct rd_registry **registry = arg;
	PFS_ARGV struct pfs_argv words = { 0 };
	struct rd_registry *next;
	int r = split(line, len, &words, diag);

	if (r < 0 || !words.n)
		return r;
	r = rd_registry_copy(*registry, &next);
	if (r < 0)
		return r;
	r = check_words(next, &words, diag);
	if (r == 0) {
		struct rd_registry *old = *registry;

		*registry = next;
		next = old;
	}
	rd_registry_free(next);
	return r;
}

static int apply_line(void *arg, const char *line, size_t len, struct pfs_diag *diag)
{
	PFS_ARGV struct pfs_argv words = { 0 };
	PFS_BUF struct pfs_buf out = { 0 };
	const struct redirctl_word *word;
	int r = split(line, len, &words, diag);

	if (r < 0 || !words.n)
		return r;
	word = redirctl_find(words.n, words.v, diag);
	return word ? redirctl_do(arg, word, words.v + 1, &out, diag) : -EINVAL;
}

static unsigned each_line(const char *file, const char *text, size_t len,
			  int (*each)(void *arg, const char *line, size_t len, struct pfs_diag *diag),
			  void *arg, void (*say)(const char *sentence))
{
	const char *end = text + len;
	unsigned wrong = 0;

	for (size_t number = 1; text < end; number++) {
		const char *next = memchr(text, '\n', (size_t)(end - text));
		struct pfs_diag diag = { "" };
		char sentence[512];
		int r = each(arg, text, (size_t)((next ? next : end) - text), &diag);

		if (r < 0) {
			snprintf(sentence, sizeof(sentence), "%s:%zu: %s", file, number,
				 diag.text[0] ? diag.text : strerror(-r));
			say(sentence);
			wrong++;
		}
		text = next ? next + 1 : end;
	}
	return wrong;
}

unsigned redirctl_check(const char *file, const char *text, size_t len,
			void (*say)(const char *sentence))
{
	RD_REGISTRY struct rd_registry *registry = NULL;

	if (rd_registry_new(&registry) == 0)
		return each_line(file, text, len, check_line, &registry, say);
	say("out of memory");
	return 1;
}

unsigned redirctl_apply(struct redirctl *ctl, const char *file, const char *text, size_t len,
			void (*say)(const char *sentence))
{
	unsigned wrong = redirctl_check(file, text, len, say);

	return wrong ? wrong : each_line(file, text, len, apply_line, ctl, say);
}
