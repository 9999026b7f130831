#include "urfs/scan_conf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)

/*
 * A line is two rules of accessflt's, of the caller and of the owner; what they would deny they fit. Either may be
 * NULL, and then fits.
 */
struct scan_choice {
	bool scan;
	struct access_rules *request, *owner;
};

struct parser {
	struct scan_conf *conf;
	struct access_lines at;
	unsigned seen;
};

#define wrong(parser, ...) access_wrong(&(parser)->at, __VA_ARGS__)

/* --- scan and skip --- */

/* The end of a word: a blank outside of quotes. */
static const char *word_end(const char *p)
{
	bool quoted = false;

	for (; *p && (quoted || !strchr(" \t\r", *p)); p++)
		if (*p == '"')
			quoted = !quoted;
	return p;
}

/* The rules of accessflt behind "deny", in our words. */
static int take_rule(struct parser *parser, const char *text, struct access_rules **ret_rules)
{
	char error[ACCESS_ERROR_SIZE];
	const char *why;
	int r;

	r = access_rules_parse(text, strlen(text), ret_rules, error);
	if (r == -ENOMEM)
		return r;
	why = strchr(error, ' ') ? strstr(error, ": ") : NULL;
	return r < 0 ? wrong(parser, "%.200s", why ? why + 2 : error) : 0;
}

static bool is_op_list(const char *word, size_t n)
{
	while (n > 0) {
		const char *comma = memchr(word, ',', n);
		size_t len = comma ? (size_t)(comma - word) : n;

		if (len != 4 || (memcmp(word, "read", 4) != 0 && memcmp(word, "exec", 4) != 0))
			return false;
		n -= len + (comma ? 1 : 0);
		word += len + 1;
	}
	return true;
}

/* One word: to the owner's rule, or to that of the caller. */
static int take_word(struct parser *parser, const char *word, size_t n, char *request, char *owner)
{
	const char *equal = memchr(word, '=', n);
	bool not = equal && equal > word && equal[-1] == '!';
	size_t key = equal ? (size_t)(equal - word) - not : n;
	char *to;

	if (!equal)
		return wrong(parser, "'%.*s' is no KEY=VALUE", (int)(n < 100 ? n : 100), word);
	if (key == 2 && memcmp(word, "op", 2) == 0 &&
	    !is_op_list(equal + 1, n - (size_t)(equal + 1 - word)))
		return wrong(parser, "op= has read and exec here");
	if (key != 5 || memcmp(word, "owner", 5) != 0) {
		to = request + strlen(request);
		*to++ = ' ';
		memcpy(to, word, n);
		to[n] = '\0';
		return 0;
	}
	if (*owner)
		return wrong(parser, "owner is there twice; a list is separated by commas");
	snprintf(owner, SCAN_CONF_LINE_MAX + 32, "deny %s%s=%.*s",
		 isdigit((unsigned char)equal[1]) ? "uid" : "user", not ? "!" : "",
		 (int)(n - (size_t)(equal + 1 - word)), equal + 1);
	return 0;
}

static int take_choice(struct parser *parser, const char *p, bool scan)
{
	char request[SCAN_CONF_LINE_MAX + 32] = "deny", owner[SCAN_CONF_LINE_MAX + 32] = "";
	struct scan_conf *conf = parser->conf;
	struct scan_choice *choice, *grown;
	int r = 0;

	if (conf->n_choices == SCAN_CONF_CHOICES_MAX)
		return wrong(parser, "there are %d lines of scan and skip: no more",
			     SCAN_CONF_CHOICES_MAX);
	grown = realloc(conf->choices, (conf->n_choices + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	conf->choices = grown;
	choice = &grown[conf->n_choices++];
	*choice = (struct scan_choice){ .scan = scan };
	while (r == 0 && *(p += strspn(p, " \t\r")) && *p != '#') {
		const char *end = word_end(p);

		r = take_word(parser, p, (size_t)(end - p), request, owner);
		p = end;
	}
	if (r == 0 && strcmp(request, "deny") != 0)
		r = take_rule(parser, request, &choice->request);
	if (r == 0 && *owner)
		r = take_rule(parser, owner, &choice->owner);
	if (r == 0 && choice->request)
		conf->want_exe |= access_rules_want_exe(choice->request);
	return r;
}

static bool fits(const struct access_rules *rules, const struct access_request *request)
{
	return !rules || access_decide(rules, request).error != 0;
}

bool scan_conf_wants(const struct scan_conf *conf, const struct access_request *request, uid_t owner)
{
	const struct access_request of_owner = { .uid = owner, .path = request->path };

	for (size_t i = 0; i < conf->n_choices; i++)
		if (fits(conf->choices[i].request, request) && fits(conf->choices[i].owner, &of_owner))
			return conf->choices[i].scan;
	return true;
}

/* --- settings --- */

static int take_number(struct parser *parser, const char *name, const char *value, uint64_t low,
		       uint64_t high, uint64_t *ret_value)
{
	static const char units[] = "KMG";
	const char *p = value, *unit;
	uint64_t n = 0;

	for (; isdigit((unsigned char)*p) && p - value < 12; p++)
		n = n * 10 + (uint64_t)(*p - '0');
	unit = *p && strcmp(name, "max-size") == 0 ? strchr(units, *p) : NULL;
	if (unit && n <= high) { /* 10^12 * 2^30 would not fit */
		n <<= 10 * (unit - units + 1);
		p++;
	}
	if (p == value || *p || n < low || n > high)
		return wrong(parser, "%s %s: a number from %llu to %llu is needed", name, value,
			     (unsigned long long)low, (unsigned long long)high);
	*ret_value = n;
	return 0;
}

static int take_action(struct parser *parser, const char *name, const char *value, bool *ret_deny)
{
	if (strcmp(value, "allow") != 0 && strcmp(value, "deny") != 0)
		return wrong(parser, "%s is allow or deny, not '%s'", name, value);
	*ret_deny = strcmp(value, "deny") == 0;
	return 0;
}

static int take_rules(struct parser *parser, const char *value)
{
	struct scan_conf *conf = parser->conf;
	char **grown;

	if (value[0] != '/')
		return wrong(parser, "rules %s: an absolute path is needed", value);
	if (conf->n_rules == SCAN_CONF_RULES_MAX)
		return wrong(parser, "there are %d files of rules: no more", SCAN_CONF_RULES_MAX);
	grown = realloc(conf->rules, (conf->n_rules + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	conf->rules = grown;
	conf->rules[conf->n_rules] = strdup(value);
	return conf->rules[conf->n_rules] ? (int)(conf->n_rules++, 0) : -ENOMEM;
}

enum setting { MAX_SIZE, ON_LARGE, MAX_TIME, ON_EXPIRY, ON_FAILURE, SCANS, CACHE, SETTINGS };
static const char *const settings[SETTINGS] = { "max-size",   "on-large", "max-time", "on-expiry",
						"on-failure", "scans",	  "cache" };

static int take_setting(struct parser *parser, enum setting setting, const char *value)
{
	struct scan_conf *conf = parser->conf;
	const char *name = settings[setting];
	uint64_t n = 0;
	int r;

	if (parser->seen & 1u << setting)
		return wrong(parser, "%s is there twice", name);
	parser->seen |= 1u << setting;
	switch (setting) {
	case MAX_SIZE:
		return take_number(parser, name, value, 1, SCAN_SIZE_MAX, &conf->max_size);
	case ON_LARGE:
		return take_action(parser, name, value, &conf->deny_large);
	case ON_EXPIRY:
		return take_action(parser, name, value, &conf->deny_expired);
	case ON_FAILURE:
		return take_action(parser, name, value, &conf->deny_failed);
	case MAX_TIME:
		r = take_number(parser, name, value, 1, SCAN_TIME_MAX, &n);
		conf->max_time = (unsigned)n;
		return r;
	case SCANS:
		r = take_number(parser, name, value, 1, SCAN_SCANS_MAX, &n);
		conf->scans = (unsigned)n;
		return r;
	default:
		r = take_number(parser, name, value, 0, SCAN_CACHE_MAX, &n);
		conf->cache = (unsigned)n;
		return r;
	}
}

static int parse_line(void *arg, char *line)
{
	struct parser *parser = arg;
	char *name = line + strspn(line, " \t\r"), *value, *end;
	unsigned setting = 0;

	if (!*name || *name == '#')
		return 0;
	value = name + strcspn(name, " \t\r");
	if (*value)
		*value++ = '\0';
	if (strcmp(name, "scan") == 0 || strcmp(name, "skip") == 0)
		return take_choice(parser, value, name[1] == 'c');
	value += strspn(value, " \t\r");
	end = value + strlen(value);
	while (end > value && strchr(" \t\r", end[-1]))
		*--end = '\0';
	if (!*value)
		return wrong(parser, "'%s' needs a value", name);
	if (strcmp(name, "rules") == 0)
		return take_rules(parser, value);
	while (setting < SETTINGS && strcmp(name, settings[setting]) != 0)
		setting++;
	if (setting == SETTINGS)
		return wrong(parser, "there is no setting '%s'", name);
	return take_setting(parser, (enum setting)setting, value);
}

int scan_conf_parse(const char *text, size_t len, struct scan_conf *ret_conf,
		    char error[ACCESS_ERROR_SIZE])
{
	struct scan_conf conf = { .max_size = (uint64_t)32 << 20,
				  .max_time = 10,
				  .scans = 4,
				  .cache = 65536,
				  .deny_expired = true,
				  .deny_failed = true };
	struct parser parser = { .conf = &conf, .at = { .error = error } };
	int r;

	error[0] = '\0';
	r = access_lines(&parser.at, text, len, parse_line, &parser);
	if (r == 0 && conf.n_rules == 0)
		r = wrong(&parser, "there are no rules: `rules FILE` is needed");
	if (r < 0) {
		scan_conf_release(&conf);
		return r;
	}
	*ret_conf = conf;
	return 0;
}

int scan_conf_load(const char *file, struct scan_conf *ret_conf, char error[ACCESS_ERROR_SIZE])
{
	char *text = malloc(FILE_MAX + 1);
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r = 0;
	size_t len = 0;
	ssize_t n = 1;

	error[0] = '\0';
	if (!text || fd < 0)
		r = text ? -errno : -ENOMEM;
	while (r == 0 && n > 0 && len <= FILE_MAX) {
		n = read(fd, text + len, FILE_MAX + 1 - len);
		r = n < 0 ? -errno : 0;
		len += n > 0 ? (size_t)n : 0;
	}
	if (r == 0 && len > FILE_MAX) {
		snprintf(error, ACCESS_ERROR_SIZE, "it is longer than 1 MiB");
		r = -EINVAL;
	}
	if (r == 0)
		r = scan_conf_parse(text, len, ret_conf, error);
	free(text);
	if (fd >= 0)
		close(fd);
	return r;
}

void scan_conf_release(struct scan_conf *conf)
{
	for (size_t i = 0; i < conf->n_rules; i++)
		free(conf->rules[i]);
	for (size_t i = 0; i < conf->n_choices; i++) {
		access_rules_free(conf->choices[i].request);
		access_rules_free(conf->choices[i].owner);
	}
	free(conf->rules);
	free(conf->choices);
	*conf = (struct scan_conf){ 0 };
}
