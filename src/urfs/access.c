#include "urfs/access.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)16 << 20)
#define NAMES_MAX 65536 /* bytes of a record of passwd or group */

const char *const access_op_names[ACCESS_OPS] = {
	[ACCESS_READ] = "read", [ACCESS_WRITE] = "write",   [ACCESS_EXEC] = "exec",
	[ACCESS_LIST] = "list", [ACCESS_CREATE] = "create", [ACCESS_REMOVE] = "remove",
	[ACCESS_ATTR] = "attr",
};

int access_op_parse(const char *name, enum access_op *ret_op)
{
	for (int i = 0; i < ACCESS_OPS; i++)
		if (!strcmp(name, access_op_names[i])) {
			*ret_op = (enum access_op)i;
			return 0;
		}
	return -EINVAL;
}

/* --- patterns --------------------------------------------------------------------------------------- */

/*
 * Where something did not fit, the last star takes one byte more; when that may not be (a slash), the last double star
 * does. What came before a star has been matched for good.
 */
bool access_match(const char *pattern, const char *text)
{
	const char *one = NULL, *one_text = NULL; /* behind the last `*` */
	const char *two = NULL, *two_text = NULL; /* behind the last `**` */

	for (;;) {
		if (pattern[0] == '*' && pattern[1] == '*') {
			while (*pattern == '*')
				pattern++;
			two = pattern;
			two_text = text;
			one = NULL;
			continue;
		}
		if (*pattern == '*') {
			one = ++pattern;
			one_text = text;
			continue;
		}
		if (*pattern == '?'
			    ? *text && *text != '/'
			    : *text && (pattern[0] == '\\' && pattern[1] ? pattern[1] : pattern[0]) ==
					       *text) {
			pattern += *pattern == '\\' && pattern[1] ? 2 : 1;
			text++;
			continue;
		}
		if (!*pattern && !*text)
			return true;
		if (one && *one_text && *one_text != '/') {
			pattern = one;
			text = ++one_text;
		} else if (two && *two_text) {
			pattern = two;
			text = ++two_text;
			one = NULL;
		} else {
			return false;
		}
	}
}

/* --- rules --------------------------------------------------------------------------------------------- */

struct range {
	uint32_t from, to;
};

/* Numbers that fit; whose names they were is forgotten. */
struct set {
	bool there, negated;
	struct range *range; /* owned */
	size_t n;
};

struct pattern {
	bool negated;
	char *text; /* owned; NULL: not there */
};

struct rule {
	unsigned line;
	int error;
	bool log;
	struct set uid, gid, user, group, members; /* group fits by gid, or by uid among its members */
	struct pattern exe, path;
	bool has_ops, not_ops;
	unsigned ops; /* bits */
};

struct access_rules {
	struct rule *rule; /* owned */
	size_t n;
	struct rule other; /* default */
	bool has_default, want_exe;
};

struct parser {
	struct access_rules *rules;
	struct access_lines at;
};

static void rule_release(struct rule *rule)
{
	free(rule->uid.range);
	free(rule->gid.range);
	free(rule->user.range);
	free(rule->group.range);
	free(rule->members.range);
	free(rule->exe.text);
	free(rule->path.text);
}

void access_rules_free(struct access_rules *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; i < rules->n; i++)
		rule_release(&rules->rule[i]);
	free(rules->rule);
	free(rules);
}

size_t access_rules_count(const struct access_rules *rules)
{
	return rules->n;
}

bool access_rules_want_exe(const struct access_rules *rules)
{
	return rules->want_exe;
}

/* Nothing of a user's that could lead a terminal astray. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f)
			*text = '?';
}

int access_say_wrong(struct access_lines *at)
{
	clean(at->text);
	snprintf(at->error, ACCESS_ERROR_SIZE, "line %u: %s", at->line, at->text);
	return -EINVAL;
}

int access_lines(struct access_lines *at, const char *text, size_t len,
		 int (*take)(void *arg, char *line), void *arg)
{
	const char *end = text + len;
	int r = 0;

	while (r == 0 && text < end) {
		const char *next = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((next ? next : end) - text);
		char line[ACCESS_LINE_MAX + 1];

		at->line++;
		if (n > ACCESS_LINE_MAX) {
			r = access_wrong(at, "a line has at most %d bytes", ACCESS_LINE_MAX);
		} else if (memchr(text, '\0', n)) {
			r = access_wrong(at, "there is a NUL byte in it");
		} else {
			memcpy(line, text, n);
			line[n] = '\0';
			r = take(arg, line);
		}
		text = next ? next + 1 : end;
	}
	return r;
}

#define wrong(parser, ...) access_wrong(&(parser)->at, __VA_ARGS__)

/* --- values ----------------------------------------------------------------------------------------------- */

static int set_add(struct set *set, uint32_t from, uint32_t to)
{
	struct range *grown = realloc(set->range, (set->n + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	set->range = grown;
	set->range[set->n++] = (struct range){ from, to };
	return 0;
}

static bool set_has(const struct set *set, uint32_t value)
{
	for (size_t i = 0; i < set->n; i++)
		if (value >= set->range[i].from && value <= set->range[i].to)
			return true;
	return false;
}

/* Digits up to `end`; 4294967295 is nobody's. */
static bool number(const char *text, char end, uint32_t *ret_value, const char **ret_rest)
{
	uint64_t value = 0;
	const char *p = text;

	for (; isdigit((unsigned char)*p) && p - text < 10; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	if (p == text || value >= UINT32_MAX || (*p != end && *p))
		return false;
	*ret_value = (uint32_t)value;
	*ret_rest = p;
	return true;
}

static int add_numbers(struct parser *parser, struct set *set, const char *key, const char *item)
{
	const char *rest;
	uint32_t from, to;

	if (!number(item, '-', &from, &rest))
		return wrong(parser, "%s=%s: numbers and ranges are needed: 0,1000-1999", key, item);
	to = from;
	if (*rest == '-' && (!number(rest + 1, '\0', &to, &rest) || to < from))
		return wrong(parser, "%s=%s is no range", key, item);
	return set_add(set, from, to);
}

static int add_user(struct parser *parser, struct set *set, const char *name)
{
	struct passwd entry, *found = NULL;
	char *buf = malloc(NAMES_MAX);
	int r;

	if (!buf)
		return -ENOMEM;
	if (getpwnam_r(name, &entry, buf, NAMES_MAX, &found) != 0)
		found = NULL;
	r = found ? set_add(set, entry.pw_uid, entry.pw_uid)
		  : wrong(parser, "there is no user '%s'", name);
	free(buf);
	return r;
}

static int add_members(struct rule *rule, char **members)
{
	struct passwd entry, *found;
	char *buf = malloc(NAMES_MAX);
	int r = buf ? 0 : -ENOMEM;

	/* A member of whom nothing else is known cannot be a caller. */
	for (; r == 0 && *members; members++)
		if (getpwnam_r(*members, &entry, buf, NAMES_MAX, &found) == 0 && found)
			r = set_add(&rule->members, entry.pw_uid, entry.pw_uid);
	free(buf);
	return r;
}

static int add_group(struct parser *parser, struct rule *rule, const char *name)
{
	struct group entry, *found = NULL;
	char *buf = malloc(NAMES_MAX);
	int r;

	if (!buf)
		return -ENOMEM;
	if (getgrnam_r(name, &entry, buf, NAMES_MAX, &found) != 0)
		found = NULL;
	r = found ? set_add(&rule->group, entry.gr_gid, entry.gr_gid)
		  : wrong(parser, "there is no group '%s'", name);
	if (r == 0)
		r = add_members(rule, entry.gr_mem);
	free(buf);
	return r;
}

static int add_op(struct parser *parser, struct rule *rule, const char *name)
{
	enum access_op op;

	if (access_op_parse(name, &op) < 0)
		return wrong(parser,
			     "there is no operation '%s': read write exec list create remove attr",
			     name);
	rule->ops |= 1u << op;
	return 0;
}

static int set_pattern(struct parser *parser, struct pattern *pattern, const char *key,
		       const char *value, bool negated)
{
	if (value[0] != '/' && value[0] != '*')
		return wrong(parser, "%s=%s: a pattern begins with a slash or a star, as paths do",
			     key, value);
	pattern->negated = negated;
	if (asprintf(&pattern->text, "%s%s", value, value[strlen(value) - 1] == '/' ? "**" : "") < 0)
		pattern->text = NULL;
	return pattern->text ? 0 : -ENOMEM;
}

/* --- keys --------------------------------------------------------------------------------------------------- */

enum key { KEY_UID, KEY_GID, KEY_USER, KEY_GROUP, KEY_OP, KEY_EXE, KEY_PATH, KEYS };
static const char *const keys[KEYS] = { "uid", "gid", "user", "group", "op", "exe", "path" };

static struct set *set_of(struct rule *rule, enum key key)
{
	switch (key) {
	case KEY_UID:
		return &rule->uid;
	case KEY_GID:
		return &rule->gid;
	case KEY_USER:
		return &rule->user;
	default:
		return &rule->group;
	}
}

static int add_item(struct parser *parser, struct rule *rule, enum key key, const char *item)
{
	if (!*item)
		return wrong(parser, "%s= has an empty value", keys[key]);
	switch (key) {
	case KEY_UID:
	case KEY_GID:
		return add_numbers(parser, set_of(rule, key), keys[key], item);
	case KEY_USER:
		return add_user(parser, &rule->user, item);
	case KEY_GROUP:
		return add_group(parser, rule, item);
	default:
		return add_op(parser, rule, item);
	}
}

static int add_key(struct parser *parser, struct rule *rule, enum key key, char *value, bool negated)
{
	char *item, *next = value;
	int r = 0;

	if (key == KEY_EXE || key == KEY_PATH) {
		parser->rules->want_exe |= key == KEY_EXE;
		return set_pattern(parser, key == KEY_EXE ? &rule->exe : &rule->path, keys[key],
				   value, negated);
	}
	if (key == KEY_OP) {
		rule->has_ops = true;
		rule->not_ops = negated;
	} else {
		set_of(rule, key)->there = true;
		set_of(rule, key)->negated = negated;
	}
	while (r == 0 && (item = strsep(&next, ",")))
		r = add_item(parser, rule, key, item);
	return r;
}

static int parse_key(struct parser *parser, struct rule *rule, char *word, unsigned *seen)
{
	char *equal = strchr(word, '=');
	bool negated = equal && equal > word && equal[-1] == '!';
	enum key key = 0;

	if (!equal)
		return wrong(parser, "'%s' is no KEY=VALUE", word);
	equal[negated ? -1 : 0] = '\0';
	while (key < KEYS && strcmp(word, keys[key]) != 0)
		key++;
	if (key == KEYS)
		return wrong(parser, "there is no key '%s': uid gid user group exe path op", word);
	if (*seen & 1u << key)
		return wrong(parser, "%s is there twice; a list is separated by commas", word);
	*seen |= 1u << key;
	return add_key(parser, rule, key, equal + 1, negated);
}

/* --- lines ------------------------------------------------------------------------------------------------------ */

static int errno_of(const char *name)
{
	for (int i = 1; i < 134; i++) {
		const char *known = strerrorname_np(i);

		if (known && !strcmp(name, known))
			return i;
	}
	return 0;
}

static int parse_action(struct parser *parser, struct rule *rule, const char *word)
{
	if (!strcmp(word, "allow")) {
		rule->error = 0;
	} else if (!strcmp(word, "deny")) {
		rule->error = EACCES;
	} else if (!strncmp(word, "deny=", 5)) {
		rule->error = errno_of(word + 5);
		if (!rule->error)
			return wrong(parser, "there is no errno '%s'", word + 5);
	} else {
		return wrong(parser,
			     "a rule begins with allow, deny, deny=ERRNO or default, not with '%s'",
			     word);
	}
	return 0;
}

/* The next word of a line, unquoted in place. 1; 0: there is none; -EINVAL. */
static int next_word(struct parser *parser, char **line, char **ret_word)
{
	char *from = *line + strspn(*line, " \t\r"), *to = from;
	bool quoted = false;

	if (!*from || *from == '#')
		return 0;
	*ret_word = from;
	for (; *from && (quoted || !strchr(" \t\r", *from)); from++)
		if (*from == '"')
			quoted = !quoted;
		else
			*to++ = *from;
	if (quoted)
		return wrong(parser, "a quote is not closed");
	*line = *from ? from + 1 : from;
	*to = '\0';
	return 1;
}

static int parse_rule(struct parser *parser, struct rule *rule, char *line, char *word, bool is_default)
{
	unsigned seen = 0;
	int r = parse_action(parser, rule, word);

	while (r == 0 && (r = next_word(parser, &line, &word)) == 1) {
		if (!strcmp(word, "log")) {
			r = rule->log ? wrong(parser, "log is there twice") : 0;
			rule->log = true;
		} else if (is_default) {
			r = wrong(parser, "the default has no keys");
		} else {
			r = parse_key(parser, rule, word, &seen);
		}
	}
	return r;
}

static int parse_default(struct parser *parser, char *line)
{
	struct access_rules *rules = parser->rules;
	char *word;
	int r = next_word(parser, &line, &word);

	if (r < 0)
		return r;
	if (r == 0)
		return wrong(parser, "default needs allow or deny");
	if (rules->has_default)
		return wrong(parser, "there is a default already");
	rules->has_default = true;
	return parse_rule(parser, &rules->other, line, word, true);
}

static int parse_line(void *arg, char *line)
{
	struct parser *parser = arg;
	struct access_rules *rules = parser->rules;
	struct rule *grown;
	char *word;
	int r = next_word(parser, &line, &word);

	if (r <= 0)
		return r;
	if (!strcmp(word, "default"))
		return parse_default(parser, line);
	if (rules->n >= ACCESS_RULES_MAX) {
		(void)wrong(parser, "there are %d rules: no more", ACCESS_RULES_MAX);
		return -E2BIG;
	}
	if ((rules->n & (rules->n - 1)) == 0) {
		grown = realloc(rules->rule, (rules->n ? rules->n * 2 : 1) * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		rules->rule = grown;
	}
	rules->rule[rules->n] = (struct rule){ .line = parser->at.line };
	return parse_rule(parser, &rules->rule[rules->n++], line, word, false);
}

int access_rules_parse(const char *text, size_t len, struct access_rules **ret_rules,
		       char error[ACCESS_ERROR_SIZE])
{
	struct parser parser = { .at = { .error = error } };
	int r;

	error[0] = '\0';
	parser.rules = calloc(1, sizeof(*parser.rules));
	if (!parser.rules)
		return -ENOMEM;
	r = access_lines(&parser.at, text, len, parse_line, &parser);
	if (r < 0) {
		access_rules_free(parser.rules);
		return r;
	}
	*ret_rules = parser.rules;
	return 0;
}

int access_rules_load(const char *file, struct access_rules **ret_rules, char error[ACCESS_ERROR_SIZE])
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t size = 0, len = 0;
	char *text = NULL;
	struct stat st;
	ssize_t n = -1;
	int r = 0;

	error[0] = '\0';
	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
	} else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > FILE_MAX) {
		r = -EINVAL;
		snprintf(error, ACCESS_ERROR_SIZE, "it is no file, or too long");
	} else {
		size = (size_t)st.st_size;
		text = malloc(size + 1);
		r = text ? 0 : -ENOMEM;
	}
	while (r == 0 && len < size && (n = read(fd, text + len, size - len)) > 0)
		len += (size_t)n;
	if (r == 0 && len < size && n < 0)
		r = -errno;
	if (r == 0)
		r = access_rules_parse(text, len, ret_rules, error);
	free(text);
	if (fd >= 0)
		close(fd);
	return r;
}

/* --- deciding ---------------------------------------------------------------------------------------------------- */

static bool set_fits(const struct set *set, uint32_t value)
{
	return !set->there || set_has(set, value) != set->negated;
}

static bool pattern_fits(const struct pattern *pattern, const char *text)
{
	return !pattern->text ||
	       (text && *text && access_match(pattern->text, text)) != pattern->negated;
}

static bool group_fits(const struct rule *rule, const struct access_request *request)
{
	return !rule->group.there || (set_has(&rule->group, request->gid) ||
				      set_has(&rule->members, request->uid)) != rule->group.negated;
}

static bool fits(const struct rule *rule, const struct access_request *request)
{
	return (!rule->has_ops || !(rule->ops & 1u << request->op) == rule->not_ops) &&
	       set_fits(&rule->uid, request->uid) && set_fits(&rule->gid, request->gid) &&
	       set_fits(&rule->user, request->uid) && group_fits(rule, request) &&
	       pattern_fits(&rule->path, request->path) && pattern_fits(&rule->exe, request->exe);
}

struct access_verdict access_decide(const struct access_rules *rules,
				    const struct access_request *request)
{
	const struct rule *rule = &rules->other;

	for (size_t i = 0; i < rules->n && rule == &rules->other; i++)
		if (fits(&rules->rule[i], request))
			rule = &rules->rule[i];
	return (struct access_verdict){ rule->error, rule->log, rule->line };
}
