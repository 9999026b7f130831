#include "redir/registry.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>

#include "redir/rules.h"
#include "urfs/filter.h"

/* --- what is shared ---------------------------------------------------------------------------- */

static void rule_unref(struct rd_registry_rule *rule)
{
	if (!rule || atomic_fetch_sub(&rule->refs, 1) != 1)
		return;
	free(rule->path);
	free(rule->tree);
	free(rule);
}

static void filter_unref(struct rd_registered *filter)
{
	if (!filter || atomic_fetch_sub(&filter->refs, 1) != 1)
		return;
	for (size_t i = 0; i < filter->n_rules; i++)
		rule_unref(filter->rule[i]);
	free(filter->rule);
	free(filter->object);
	free(filter->args);
	free(filter);
}

int rd_registry_new(struct rd_registry **ret_registry)
{
	struct rd_registry *registry = pfs_zalloc(1, sizeof(*registry));

	if (!registry)
		return -ENOMEM;
	*ret_registry = registry;
	return 0;
}

void rd_registry_free(struct rd_registry *registry)
{
	if (!registry)
		return;
	for (size_t i = 0; i < registry->n; i++)
		filter_unref(registry->filter[i]);
	free(registry->filter);
	free(registry);
}

int rd_registry_copy(const struct rd_registry *registry, struct rd_registry **ret_copy)
{
	struct rd_registry *copy = pfs_zalloc(1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	copy->filter = pfs_zalloc(registry->n + 1, sizeof(struct rd_registered *));
	if (!copy->filter) {
		free(copy);
		return -ENOMEM;
	}
	for (; copy->n < registry->n; copy->n++) {
		copy->filter[copy->n] = registry->filter[copy->n];
		atomic_fetch_add(&copy->filter[copy->n]->refs, 1);
	}
	copy->serial = registry->serial + 1;
	*ret_copy = copy;
	return 0;
}

static size_t index_of(const struct rd_registry *registry, const char *name)
{
	size_t i = 0;

	while (i < registry->n && strcmp(registry->filter[i]->name, name) != 0)
		i++;
	return i;
}

const struct rd_registered *rd_registry_find(const struct rd_registry *registry, const char *name)
{
	size_t i = index_of(registry, name);

	return i < registry->n ? registry->filter[i] : NULL;
}

/* A filter that is this registry's alone, in place of the one that it shares; room for one more rule. */
static int edit(struct rd_registry *registry, const char *name, struct rd_registered **ret_filter,
		struct pfs_diag *diag)
{
	size_t i = index_of(registry, name);
	struct rd_registered *old, *filter;

	if (i == registry->n) {
		pfs_diag_set(diag, ENODEV, "there is no filter '%.64s'", name);
		return -ENODEV;
	}
	old = registry->filter[i];
	filter = malloc(sizeof(*filter));
	if (!filter)
		return -ENOMEM;
	*filter = *old;
	filter->refs = 1;
	filter->object = old->object ? strdup(old->object) : NULL;
	filter->args = old->args ? strdup(old->args) : NULL;
	filter->rule = pfs_zalloc(old->n_rules + 1, sizeof(struct rd_registry_rule *));
	if (!filter->rule || (old->object && !filter->object) || (old->args && !filter->args)) {
		free(filter->rule);
		free(filter->object);
		free(filter->args);
		free(filter);
		return -ENOMEM;
	}
	for (size_t j = 0; j < old->n_rules; j++) {
		filter->rule[j] = old->rule[j];
		atomic_fetch_add(&filter->rule[j]->refs, 1);
	}
	registry->filter[i] = filter;
	filter_unref(old);
	*ret_filter = filter;
	return 0;
}

/* --- filters ------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct rd_registered *const *p = a, *const *q = b;

	return ((*p)->priority > (*q)->priority) - ((*p)->priority < (*q)->priority);
}

static void sort(struct rd_registry *registry)
{
	if (registry->n)
		qsort(registry->filter, registry->n, sizeof(struct rd_registered *), compare);
}

/* Who has this priority, but for `name`? */
static const struct rd_registered *holder(const struct rd_registry *registry, int priority,
					  const char *name)
{
	for (size_t i = 0; i < registry->n; i++)
		if (registry->filter[i]->priority == priority &&
		    strcmp(registry->filter[i]->name, name) != 0)
			return registry->filter[i];
	return NULL;
}

static int group_priority(const struct rd_registry *registry, const struct rd_group *group,
			  const char *name, int *ret_priority, struct pfs_diag *diag)
{
	for (int priority = group->low; priority <= group->high; priority++)
		if (!holder(registry, priority, name)) {
			*ret_priority = priority;
			return 0;
		}
	return pfs_diag_set(diag, EEXIST, "the group %s is full", group->name);
}

static int parse_priority(const struct rd_registry *registry, const char *name, const char *text,
			  int *ret_priority, struct pfs_diag *diag)
{
	const struct rd_registered *other;
	uint64_t number;

	for (size_t i = 0; i < rd_n_groups; i++)
		if (!strcmp(text, rd_groups[i].name))
			return group_priority(registry, &rd_groups[i], name, ret_priority, diag);
	if (pfs_number_parse(text, false, 0, INT_MAX, &number) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "a priority is a number from 0 to %d, or a group: transparent, control, security, "
				    "protection, compression, encryption",
				    INT_MAX);
	other = holder(registry, (int)number, name);
	if (other)
		return pfs_diag_set(diag, EEXIST, "the filter '%s' has priority %d already",
				    other->name, other->priority);
	*ret_priority = (int)number;
	return 0;
}

/* As in configured.h; "." and the like cannot come about. */
static bool is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.");

	return n < RD_NAME_MAX && !name[n] &&
	       ((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z'));
}

int rd_registry_add(struct rd_registry *registry, const struct rd_registering *what,
		    struct pfs_diag *diag)
{
	struct rd_registered *filter = NULL;
	struct rd_registered **grown;
	int priority = 0, r;

	if (!is_name(what->name))
		return pfs_diag_set(
			diag, EINVAL,
			"a filter's name is a letter, then letters, digits, '_', '-' and '.', at most %d",
			RD_NAME_MAX - 1);
	if (rd_registry_find(registry, what->name))
		return pfs_diag_set(diag, EEXIST, "there is a filter '%s' already", what->name);
	if (registry->n >= RD_FILTERS_MAX)
		return pfs_diag_set(diag, ENOSPC, "there are %d filters: no more", RD_FILTERS_MAX);
	if (what->object && !rd_path_is_clean(what->object))
		return pfs_diag_set(diag, EINVAL, "a shared object is named by an absolute path");
	if (what->args && strlen(what->args) >= RD_ARGS_MAX)
		return pfs_diag_set(diag, E2BIG, "its arguments are more than %d bytes",
				    RD_ARGS_MAX - 1);
	r = parse_priority(registry, what->name, what->priority, &priority, diag);
	if (r < 0)
		return r;
	grown = realloc(registry->filter, (registry->n + 1) * sizeof(struct rd_registered *));
	if (!grown)
		return -ENOMEM;
	registry->filter = grown;
	filter = pfs_zalloc(1, sizeof(*filter));
	if (filter && what->object)
		filter->object = strdup(what->object);
	if (filter && what->args)
		filter->args = strdup(what->args);
	if (!filter || (what->object && !filter->object) || (what->args && !filter->args)) {
		if (filter)
			free(filter->object);
		free(filter);
		return -ENOMEM;
	}
	filter->refs = 1;
	memcpy(filter->name, what->name, strlen(what->name));
	filter->priority = priority;
	filter->active = what->active;
	filter->modifier = what->modifier;
	filter->policy = RD_FAIL_DEFAULT;
	filter->deadline = RD_DEADLINE;
	filter->uid = what->uid;
	registry->filter[registry->n++] = filter;
	sort(registry);
	return 0;
}

int rd_registry_remove(struct rd_registry *registry, const char *name, struct pfs_diag *diag)
{
	size_t i = index_of(registry, name);

	if (i == registry->n)
		return pfs_diag_set(diag, ENODEV, "there is no filter '%.64s'", name);
	filter_unref(registry->filter[i]);
	registry->n--;
	memmove(registry->filter + i, registry->filter + i + 1,
		(registry->n - i) * sizeof(struct rd_registered *));
	return 0;
}

/* --- settings ---------------------------------------------------------------------------------------- */

static int no_modifier(const struct rd_registered *filter, struct pfs_diag *diag)
{
	if (filter->modifier)
		return 0;
	return pfs_diag_set(diag, EPERM,
			    "the filter '%s' lets nobody change it: it has no modifier callback",
			    filter->name);
}

static int set_active(struct rd_registered *filter, const char *text, struct pfs_diag *diag)
{
	if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
		return pfs_diag_set(diag, EINVAL, "active is 0 or 1");
	filter->active = text[0] == '1';
	return no_modifier(filter, diag);
}

static int set_deadline(struct rd_registered *filter, const char *text, struct pfs_diag *diag)
{
	uint64_t ns;

	if (pfs_time_parse(text, &ns) < 0 || ns == 0 || ns > RD_DEADLINE_MAX)
		return pfs_diag_set(
			diag, EINVAL,
			"a deadline is a time, more than nothing and at most an hour: 500ms, 5s");
	filter->deadline = ns;
	return 0;
}

int rd_registry_set(struct rd_registry *registry, const char *name, enum rd_setting setting,
		    const char *text, struct pfs_diag *diag)
{
	struct rd_registered *filter = NULL;
	char word[64] = "";
	size_t len = strlen(text);
	int r = edit(registry, name, &filter, diag);

	if (r < 0)
		return r;
	while (len && (text[len - 1] == '\n' || text[len - 1] == ' '))
		len--;
	if (len >= sizeof(word))
		return pfs_diag_set(diag, EINVAL, "that is too long");
	memcpy(word, text, len);
	switch (setting) {
	case RD_SETTING_ACTIVE:
		return set_active(filter, word, diag);
	case RD_SETTING_PRIORITY:
		r = parse_priority(registry, name, word, &filter->priority, diag);
		sort(registry);
		return r;
	case RD_SETTING_POLICY:
		if (rd_policy_parse(word, &filter->policy) < 0)
			return pfs_diag_set(
				diag, EINVAL,
				"a policy is open, closed, or the name of an errno: EIO, EACCES");
		return 0;
	case RD_SETTING_DEADLINE:
		return set_deadline(filter, word, diag);
	default:
		return -EINVAL;
	}
}

static void say_time(uint64_t ns, struct pfs_buf *out)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = { { "s", RD_SECOND }, { "ms", 1000000 }, { "us", 1000 }, { "ns", 1 } };
	size_t i = 0;

	while (ns % units[i].ns)
		i++;
	pfs_buf_printf(out, "%llu%s\n", (unsigned long long)(ns / units[i].ns), units[i].unit);
}

void rd_registered_say(const struct rd_registered *filter, enum rd_setting setting, struct pfs_buf *out)
{
	switch (setting) {
	case RD_SETTING_ACTIVE:
		pfs_buf_printf(out, "%d\n", filter->active);
		break;
	case RD_SETTING_PRIORITY:
		pfs_buf_printf(out, "%d\n", filter->priority);
		break;
	case RD_SETTING_POLICY:
		pfs_buf_printf(out, "%s\n", rd_policy_name(filter->policy));
		break;
	case RD_SETTING_DEADLINE:
		say_time(filter->deadline, out);
		break;
	default:
		break;
	}
}

/* --- rules ------------------------------------------------------------------------------------------------ */

static struct rd_registry_rule *rule_new(const struct rd_rule_new *what)
{
	struct rd_registry_rule *rule = pfs_zalloc(1, sizeof(*rule));

	if (!rule)
		return NULL;
	rule->refs = 1;
	rule->include = what->desc.include;
	rule->subtree = what->desc.subtree;
	rule->path = strdup(what->desc.path);
	rule->tree = strdup(what->tree);
	if (rule->path && rule->tree)
		return rule;
	rule_unref(rule);
	return NULL;
}

static void take_rule(struct rd_registered *filter, size_t i)
{
	rule_unref(filter->rule[i]);
	filter->n_rules--;
	memmove(filter->rule + i, filter->rule + i + 1,
		(filter->n_rules - i) * sizeof(struct rd_registry_rule *));
}

int rd_registered_rule_add(struct rd_registered *filter, const struct rd_rule_new *what,
			   struct pfs_diag *diag)
{
	struct rd_registry_rule *rule;

	if (!rd_path_is_clean(what->desc.path))
		return pfs_diag_set(diag, EINVAL,
				    "a path is absolute and without '.', '..' and double slashes");
	for (size_t i = 0; i < filter->n_rules; i++)
		if (filter->rule[i]->subtree == what->desc.subtree &&
		    !strcmp(filter->rule[i]->path, what->desc.path)) {
			take_rule(filter, i);
			break;
		}
	if (filter->n_rules >= RD_RULES_MAX)
		return pfs_diag_set(diag, E2BIG, "the filter has %d paths: no more", RD_RULES_MAX);
	rule = rule_new(what);
	if (!rule)
		return -ENOMEM;
	filter->rule[filter->n_rules++] = rule;
	return 0;
}

int rd_registry_rule_add(struct rd_registry *registry, const char *name,
			 const struct rd_rule_new *what, struct pfs_diag *diag)
{
	struct rd_registered *filter = NULL;
	int r = edit(registry, name, &filter, diag);

	if (r == 0)
		r = no_modifier(filter, diag);
	return r < 0 ? r : rd_registered_rule_add(filter, what, diag);
}

int rd_registry_rule_remove(struct rd_registry *registry, const char *name, const char *path,
			    struct pfs_diag *diag)
{
	struct rd_registered *filter = NULL;
	int r = edit(registry, name, &filter, diag);
	bool found = false;

	if (r == 0)
		r = no_modifier(filter, diag);
	if (r < 0)
		return r;
	for (size_t i = filter->n_rules; i-- > 0;)
		if (!strcmp(filter->rule[i]->path, path)) {
			take_rule(filter, i);
			found = true;
		}
	if (!found)
		return pfs_diag_set(diag, ENOENT, "the filter '%s' has no rule for that path", name);
	return 0;
}

/* --- filters of processes ------------------------------------------------------------------------------------- */

int rd_registry_join(struct rd_registry *registry, const struct rd_joining *what, struct pfs_diag *diag)
{
	char priority[16];
	const struct rd_registering adding = { .name = what->name,
					       .priority = priority,
					       .active = what->active,
					       .modifier = true,
					       .uid = what->uid };
	const struct rd_registered *old = rd_registry_find(registry, what->name);
	struct rd_registered *filter = NULL;
	int r = 0;

	if (!old || !old->process || old->peer) {
		snprintf(priority, sizeof(priority), "%d", what->priority);
		r = rd_registry_add(registry, &adding, diag);
		old = NULL;
	}
	if (r == 0)
		r = edit(registry, what->name, &filter, diag);
	if (r < 0)
		return r;
	assert(filter); /* set on success, and errors are negative */
	if (!old && what->policy)
		filter->policy = what->policy;
	if (!old && what->deadline)
		filter->deadline = what->deadline;
	filter->process = true;
	filter->peer = what->peer;
	filter->pid = what->pid;
	filter->uid = what->uid;
	filter->id = what->id;
	filter->ready = false;
	return 0;
}

int rd_registry_joined(struct rd_registry *registry, uint64_t peer, const char *name,
		       struct rd_registered **ret_filter, struct pfs_diag *diag)
{
	const struct rd_registered *filter = rd_registry_find(registry, name);

	if (!filter || filter->peer != peer)
		return pfs_diag_set(diag, ENODEV, "the filter '%.64s' was unregistered", name);
	return edit(registry, name, ret_filter, diag);
}

/* Changes each filter of that peer. How many. */
static int each_joined(struct rd_registry *registry, uint64_t peer,
		       void (*change)(struct rd_registered *filter, bool value), bool value)
{
	struct rd_registered *filter = NULL;
	struct pfs_diag diag;
	int n = 0;

	for (size_t i = 0; i < registry->n; i++) {
		int r;

		if (registry->filter[i]->peer != peer)
			continue;
		r = edit(registry, registry->filter[i]->name, &filter, &diag);
		if (r < 0)
			return r;
		change(filter, value);
		n++;
	}
	return n;
}

static void set_ready(struct rd_registered *filter, bool ready)
{
	filter->ready = ready;
	filter->missed = false;
}

int rd_registry_ready(struct rd_registry *registry, uint64_t peer, bool ready)
{
	int n = each_joined(registry, peer, set_ready, ready);

	return n < 0 ? n : 0;
}

static void set_lost(struct rd_registered *filter, bool value)
{
	(void)value;
	filter->missed |= filter->ready;
	filter->ready = false;
	filter->peer = 0;
}

int rd_registry_lose(struct rd_registry *registry, uint64_t peer)
{
	return each_joined(registry, peer, set_lost, true);
}

/* --- rules as text ------------------------------------------------------------------------------------------ */

static bool is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x7f && c != '\\';
}

void rd_path_say(struct pfs_buf *out, const char *path)
{
	for (; *path; path++)
		if (is_plain((unsigned char)*path) && (*path != ' ' || path[1]))
			pfs_buf_add(out, path, 1);
		else
			pfs_buf_printf(out, "\\%03o", (unsigned char)*path);
}

/* One byte of a path; 0: an escape that is none. */
static unsigned char unescape(const char *p, size_t len, size_t *ret_used)
{
	unsigned value = 0;

	*ret_used = 1;
	if (*p != '\\')
		return (unsigned char)*p;
	if (len < 4)
		return 0;
	for (size_t i = 1; i < 4; i++) {
		if (p[i] < '0' || p[i] > '7')
			return 0;
		value = value * 8 + (unsigned)(p[i] - '0');
	}
	*ret_used = 4;
	return value < 256 ? (unsigned char)value : 0;
}

/* Does the line end with this word, with blanks before it? Cuts it off. */
static bool cut_word(const char *line, size_t *len, const char *word)
{
	size_t n = strlen(word);

	if (*len <= n || memcmp(line + *len - n, word, n) != 0 ||
	    (line[*len - n - 1] != ' ' && line[*len - n - 1] != '\t'))
		return false;
	*len -= n;
	while (*len && (line[*len - 1] == ' ' || line[*len - 1] == '\t'))
		(*len)--;
	return true;
}

int rd_rule_parse(const char *line, size_t len, char **ret_path, bool *ret_subtree,
		  struct pfs_diag *diag)
{
	PFS_FREE char *path = NULL;
	bool single, subtree;
	size_t n = 0, used;

	while (len && line[len - 1] == '\n')
		len--;
	single = cut_word(line, &len, "single");
	subtree = !single;
	if (subtree)
		cut_word(line, &len, "subtree");
	if (!len)
		return pfs_diag_set(diag, EINVAL, "a path is missing: PATH single, or PATH subtree");
	path = malloc(len + 1);
	if (!path)
		return -ENOMEM;
	for (size_t at = 0; at < len; at += used) {
		path[n] = (char)unescape(line + at, len - at, &used);
		if (!path[n++])
			return pfs_diag_set(
				diag, EINVAL,
				"a backslash in a path is \\134: three octal digits follow one");
	}
	path[n] = '\0';
	/* As a shell completes a directory. */
	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	if (n >= PATH_MAX)
		return pfs_diag_set(diag, ENAMETOOLONG, "the path is too long");
	if (!rd_path_is_clean(path))
		return pfs_diag_set(diag, EINVAL,
				    "a path is absolute and without '.', '..' and double slashes");
	*ret_path = TAKE_PTR(path);
	*ret_subtree = subtree;
	return 0;
}

void rd_registered_rules(const struct rd_registered *filter, bool include, struct pfs_buf *out)
{
	for (size_t i = 0; i < filter->n_rules; i++)
		if (filter->rule[i]->include == include) {
			rd_path_say(out, filter->rule[i]->path);
			pfs_buf_printf(out, " %s\n", filter->rule[i]->subtree ? "subtree" : "single");
		}
}

void rd_registered_paths(const struct rd_registered *filter, struct pfs_buf *out)
{
	for (size_t i = 0; i < filter->n_rules; i++) {
		const struct rd_registry_rule *rule = filter->rule[i];
		int flags = (rule->subtree ? RD_RULE_SUBTREE : RD_RULE_SINGLE) |
			    (rule->include ? RD_RULE_INCLUDE : RD_RULE_EXCLUDE);

		rd_path_say(out, rule->path);
		pfs_buf_printf(out, " 0x%x\n", flags);
	}
}

/* --- what it is asked about ---------------------------------------------------------------------------------- */

static void say_hooks(const char *when, const uint16_t *wants, struct pfs_buf *out)
{
	char name[64];

	for (int op = 0; op < RD_OPS; op++) {
		unsigned mask = wants[op];

		if (mask == RD_WANT_ANY &&
		    rfs_op_name((enum rfs_op_id)(op * 16 + RFS_ANY), name, sizeof(name))) {
			pfs_buf_printf(out, "%s %s\n", when, name);
			continue;
		}
		for (int type = 0; type < 16; type++)
			if (mask & 1u << type &&
			    rfs_op_name((enum rfs_op_id)(op * 16 + type), name, sizeof(name)))
				pfs_buf_printf(out, "%s %s\n", when, name);
	}
}

void rd_registered_hooks(const struct rd_registered *filter, struct pfs_buf *out)
{
	say_hooks("pre", filter->wants.pre, out);
	say_hooks("post", filter->wants.post, out);
}
