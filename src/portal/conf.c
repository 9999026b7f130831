#include "portal/conf.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/name.h"
#include "portal/conf_i.h"

#define FILE_MAX_SIZE ((size_t)1 << 20)
#define RULES_MAX 1000
#define REGEX_CHARS "[]^$*+?.|(){}\\"

static const char *const provider_names[] = {
	[PFS_PROVIDER_FILE] = "file",		[PFS_PROVIDER_TCP] = "tcp",
	[PFS_PROVIDER_TCPLISTEN] = "tcplisten", [PFS_PROVIDER_UDP] = "udp",
	[PFS_PROVIDER_UNIX] = "unix",		[PFS_PROVIDER_PIPE] = "pipe",
	[PFS_PROVIDER_RFILTER] = "rfilter",	[PFS_PROVIDER_WFILTER] = "wfilter",
};

static const char default_text[] = "tcplisten/ tcplisten tcplisten/\n"
				   "tcp/       tcp       tcp/\n"
				   "udp/       udp       udp/\n"
				   "unix/      unix      unix/\n"
				   "fs/        file      fs/\n"
				   "pipe/      pipe      pipe/\n";

/* Names of the root that are something else; a rule for them could never be reached. */
static const char *const taken[] = { "dev", "accept", "pcap", "redirfs", NULL };

/* --- lifetime ---------------------------------------------------------------------------- */

static void rule_release(struct pfs_portal_rule *rule)
{
	free(rule->match);
	free(rule->strip);
	pfs_argv_release(&rule->command);
	if (rule->is_regex)
		regfree(&rule->regex);
}

struct pfs_portal_rules *pfs_portal_rules_ref(struct pfs_portal_rules *rules)
{
	atomic_fetch_add(&rules->refs, 1);
	return rules;
}

void pfs_portal_rules_unref(struct pfs_portal_rules *rules)
{
	if (!rules || atomic_fetch_sub(&rules->refs, 1) != 1)
		return;
	for (size_t i = 0; i < rules->n; i++)
		rule_release(&rules->rule[i]);
	for (size_t i = 0; i < rules->n_names; i++)
		free(rules->name[i]);
	free(rules->rule);
	free(rules->name);
	free(rules);
}

static void rules_unrefp(struct pfs_portal_rules **rules)
{
	pfs_portal_rules_unref(*rules);
}

/* --- words --------------------------------------------------------------------------------- */

const char *pfs_portal_after(const char *path, const char *prefix)
{
	while (*prefix) {
		if (*path != *prefix)
			return NULL;
		if (*path == '/')
			while (path[1] == '/')
				path++;
		path++;
		prefix++;
	}
	return path;
}

/* In place: one slash of many. */
static void collapse(char *s)
{
	char *to = s;

	for (; *s; s++)
		if (*s != '/' || s[1] != '/')
			*to++ = *s;
	*to = '\0';
}

/* Cuts a comment off: # at the beginning of a word, outside of quotes. */
static void comment_cut(char *line)
{
	char quote = '\0';

	for (char *s = line; *s; s++) {
		if (quote)
			quote = *s == quote ? '\0' : quote;
		else if (*s == '\'' || *s == '"')
			quote = *s;
		else if (*s == '\\' && s[1])
			s++;
		else if (*s == '#' && (s == line || s[-1] == ' ' || s[-1] == '\t')) {
			*s = '\0';
			return;
		}
	}
}

static int provider_find(const char *name, enum pfs_provider *ret_provider)
{
	for (size_t i = 0; i < ARRAY_SIZE(provider_names); i++)
		if (!strcmp(name, provider_names[i])) {
			*ret_provider = (enum pfs_provider)i;
			return 0;
		}
	return -EINVAL;
}

static int match_set(struct pfs_portal_rule *rule, const char *word, struct pfs_diag *diag)
{
	char why[100];
	int r;

	rule->match = strdup(word);
	if (!rule->match)
		return -ENOMEM;
	if (!strpbrk(word, REGEX_CHARS)) {
		collapse(rule->match);
		if (*rule->match == '/')
			return pfs_diag_set(diag, EINVAL,
					    "'%.60s' begins with a slash: paths here do not", word);
		return 0;
	}
	r = regcomp(&rule->regex, word, REG_EXTENDED | REG_NOSUB);
	if (r) {
		regerror(r, &rule->regex, why, sizeof(why));
		return pfs_diag_set(diag, EINVAL, "'%.60s' is no regular expression: %s", word, why);
	}
	rule->is_regex = true;
	return 0;
}

static bool wants_command(enum pfs_provider provider)
{
	return provider == PFS_PROVIDER_RFILTER || provider == PFS_PROVIDER_WFILTER;
}

/* Words of a line from `from` on, as one command. */
static int command_set(struct pfs_portal_rule *rule, const struct pfs_argv *line, size_t from,
		       struct pfs_diag *diag)
{
	if (from >= line->n)
		return pfs_diag_set(diag, EINVAL, "%s needs a command",
				    provider_names[rule->provider]);
	for (size_t i = from; i < line->n; i++)
		for (const char *s = strchr(line->v[i], '%'); s; s = strchr(s + 2, '%'))
			if (!s[1] || !strchr("sp%", s[1]))
				return pfs_diag_set(
					diag, EINVAL,
					"a %% in '%.60s' must be %%s (the rest of the path), %%p (/ in front) or %%%%",
					line->v[i]);
	return pfs_argv_make((const char *const *)line->v + from, line->n - from, &rule->command);
}

static int option_set(struct pfs_portal_rule *rule, const char *word, struct pfs_diag *diag)
{
	if (rule->provider != PFS_PROVIDER_TCPLISTEN || strncmp(word, "linger=", 7) != 0)
		return pfs_diag_set(diag, EINVAL, "%s takes no '%.60s'",
				    provider_names[rule->provider], word);
	if (pfs_time_parse(word + 7, &rule->linger) < 0 || rule->linger > PFS_LINGER_MAX)
		return pfs_diag_set(diag, EINVAL, "'%.60s' is no time up to a day", word);
	return 0;
}

/* One line's words: MATCH PROVIDER [STRIP [ARGUMENT...]]. */
static int rule_set(struct pfs_portal_rule *rule, const struct pfs_argv *words, struct pfs_diag *diag)
{
	int r;

	rule->linger = PFS_LINGER_DEFAULT;
	if (words->n < 2)
		return pfs_diag_set(diag, EINVAL,
				    "a rule is: match, provider, what to strip, arguments");
	if (provider_find(words->v[1], &rule->provider) < 0)
		return pfs_diag_set(
			diag, EINVAL,
			"there is no provider '%.40s', but file tcp tcplisten udp unix pipe rfilter wfilter",
			words->v[1]);
	r = match_set(rule, words->v[0], diag);
	if (r < 0)
		return r;
	rule->strip = strdup(words->n > 2 && strcmp(words->v[2], "nil") != 0 ? words->v[2] : "");
	if (!rule->strip)
		return -ENOMEM;
	collapse(rule->strip);
	if (wants_command(rule->provider))
		return command_set(rule, words, 3, diag);
	for (size_t i = 3; r == 0 && i < words->n; i++)
		r = option_set(rule, words->v[i], diag);
	return r;
}

/* --- a set of rules --------------------------------------------------------------------------- */

static int name_add(struct pfs_portal_rules *rules, const char *match)
{
	PFS_FREE char *name = strndup(match, strcspn(match, "/"));
	char **more;

	if (!name)
		return -ENOMEM;
	for (size_t i = 0; i < rules->n_names; i++)
		if (!strcmp(rules->name[i], name))
			return 0;
	more = realloc(rules->name, (rules->n_names + 1) * sizeof(char *));
	if (!more)
		return -ENOMEM;
	rules->name = more;
	rules->name[rules->n_names++] = TAKE_PTR(name);
	return 0;
}

/* What works but cannot be meant; NULL: nothing. */
static const char *doubt(const struct pfs_portal_rules *rules, const struct pfs_portal_rule *rule)
{
	if (rule->is_regex)
		return NULL;
	for (size_t i = 0; taken[i]; i++)
		if (!strncmp(rule->match, taken[i], strlen(taken[i])) &&
		    strchr("/", rule->match[strlen(taken[i])]))
			return "this name in the root is a source's";
	for (size_t i = 0; i < rules->n; i++)
		if (!rules->rule[i].is_regex && pfs_portal_after(rule->match, rules->rule[i].match))
			return "an earlier rule matches all that this one would";
	return NULL;
}

static int rule_add(struct pfs_portal_rules *rules, const struct pfs_argv *words, unsigned line,
		    struct pfs_buf *all, const char *name, struct pfs_diag *diag)
{
	struct pfs_portal_rule rule = { .line = line }, *more;
	const char *why;
	int r = rules->n < RULES_MAX ? rule_set(&rule, words, diag)
				     : pfs_diag_set(diag, EINVAL, "more than %d rules", RULES_MAX);

	assert(r < 0 || rule.match); /* set */
	if (r == 0) {
		more = realloc(rules->rule, (rules->n + 1) * sizeof(rule));
		r = more ? 0 : -ENOMEM;
		rules->rule = more ? more : rules->rule;
	}
	assert(r < 0 || rules->rule);
	if (r == 0 && !rule.is_regex)
		r = name_add(rules, rule.match);
	if (r < 0) {
		rule_release(&rule);
		return r;
	}
	why = doubt(rules, &rule);
	if (why && all)
		pfs_buf_printf(all, "%s:%u: '%s' has no effect: %s\n", name, line, rule.match, why);
	rules->rule[rules->n++] = rule;
	return 0;
}

int pfs_portal_rules_parse(const char *name, const char *text, size_t len,
			   struct pfs_portal_rules **ret_rules, struct pfs_buf *all,
			   struct pfs_diag *diag)
{
	PFS_CLEANUP(rules_unrefp) struct pfs_portal_rules *rules = pfs_zalloc(1, sizeof(*rules));
	PFS_FREE char *copy = strndup(text, len);
	char *rest = copy, *line;
	unsigned number = 0;
	int result = 0;

	if (!rules || !copy)
		return -ENOMEM;
	rules->refs = 1;
	if (strlen(copy) != len)
		return pfs_diag_set(diag, EINVAL, "%s is not a text: a NUL byte is in it", name);
	while ((line = strsep(&rest, "\n"))) {
		PFS_ARGV struct pfs_argv words = { 0 };
		struct pfs_diag why = { "" };
		int r;

		number++;
		comment_cut(line);
		r = pfs_argv_split(line, &words, &why);
		if (r == 0 && words.n)
			r = rule_add(rules, &words, number, all, name, &why);
		if (r == -ENOMEM)
			return r;
		if (r < 0 && all)
			pfs_buf_printf(all, "%s:%u: %s\n", name, number, why.text);
		if (r < 0 && result == 0)
			result = pfs_diag_set(diag, EINVAL, "%s:%u: %.200s", name, number, why.text);
	}
	if (result == 0 && !rules->n)
		result = pfs_diag_set(diag, ENODATA, "%s has no rule in it", name);
	if (result == 0)
		*ret_rules = TAKE_PTR(rules);
	return result;
}

int pfs_portal_rules_default(struct pfs_portal_rules **ret_rules)
{
	return pfs_portal_rules_parse("default", default_text, strlen(default_text), ret_rules,
				      NULL, NULL);
}

int pfs_portal_rules_load(const char *path, struct pfs_portal_rules **ret_rules,
			  struct pfs_buf *all, struct pfs_diag *diag)
{
	PFS_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	PFS_BUF struct pfs_buf text = { 0 };
	ssize_t n = 1;

	if (fd < 0)
		return pfs_diag_set(diag, errno, "%s: %s", path, strerror(errno));
	while (n > 0 && text.len <= FILE_MAX_SIZE) {
		void *to = pfs_buf_reserve(&text, 4096);

		n = to ? read(fd, to, 4096) : 0;
		if (n < 0)
			return pfs_diag_set(diag, errno, "%s: %s", path, strerror(errno));
		text.len += (size_t)n;
	}
	if (text.failed)
		return -ENOMEM;
	if (text.len > FILE_MAX_SIZE)
		return pfs_diag_set(diag, EFBIG, "%s is larger than 1 MiB", path);
	return pfs_portal_rules_parse(path, text.data ? text.data : "", text.len, ret_rules, all, diag);
}

void pfs_portal_rules_print(const struct pfs_portal_rules *rules, struct pfs_buf *out)
{
	for (size_t i = 0; i < rules->n; i++) {
		const struct pfs_portal_rule *rule = &rules->rule[i];

		pfs_buf_printf(out, "%-6s %s %s strip '%s'", rule->is_regex ? "regex" : "prefix",
			       rule->match, provider_names[rule->provider], rule->strip);
		if (rule->provider == PFS_PROVIDER_TCPLISTEN)
			pfs_buf_printf(out, " linger=%gs", (double)rule->linger / 1e9);
		for (size_t j = 0; j < rule->command.n; j++)
			pfs_buf_printf(out, " [%s]", rule->command.v[j]);
		pfs_buf_str(out, "\n");
	}
}

size_t pfs_portal_rules_names(const struct pfs_portal_rules *rules)
{
	return rules->n_names;
}

const char *pfs_portal_rules_name(const struct pfs_portal_rules *rules, size_t i)
{
	return rules->name[i];
}
