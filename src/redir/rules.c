#include "redir/rules.h"

#include <limits.h>

struct rd_rules {
	_Atomic unsigned refs;
	size_t n;
	struct rd_rule_desc rule[]; /* by path, single before subtree; each path its own memory */
};

bool rd_path_is_clean(const char *path)
{
	size_t len = strnlen(path, PATH_MAX);

	if (path[0] != '/' || len >= PATH_MAX)
		return false;
	if (len == 1)
		return true;
	for (const char *name = path; *name;) {
		size_t n = strcspn(name + 1, "/");

		if (n == 0 || (n == 1 && name[1] == '.') ||
		    (n == 2 && name[1] == '.' && name[2] == '.'))
			return false;
		name += 1 + n;
	}
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct rd_rule_desc *const *x = a, *const *y = b;
	int r = strcmp((*x)->path, (*y)->path);

	if (r != 0)
		return r;
	if ((*x)->subtree != (*y)->subtree)
		return (*x)->subtree ? 1 : -1;
	return *x < *y ? -1 : *x > *y; /* in the order in which they came */
}

int rd_rules_new(const struct rd_rule_desc *rules, size_t n, struct rd_rules **ret_rules,
		 struct pfs_diag *diag)
{
	PFS_FREE const struct rd_rule_desc **sorted = NULL;
	struct rd_rules *new;

	if (n > RD_RULES_MAX)
		return pfs_diag_set(diag, E2BIG, "%zu rules are more than %d", n, RD_RULES_MAX);
	for (size_t i = 0; i < n; i++)
		if (!rd_path_is_clean(rules[i].path))
			return pfs_diag_set(diag, EINVAL,
					    "the path \"%.100s\" is not absolute, or has \".\", \"..\", \"//\" "
					    "or a slash at its end",
					    rules[i].path);
	sorted = pfs_zalloc(n, sizeof(const struct rd_rule_desc *));
	new = pfs_zalloc(1, sizeof(*new) + n * sizeof(new->rule[0]));
	if (!sorted || !new) {
		free(new);
		return pfs_diag_set(diag, ENOMEM, "no memory for %zu rules", n);
	}
	new->refs = 1;
	for (size_t i = 0; i < n; i++)
		sorted[i] = &rules[i];
	qsort(sorted, n, sizeof(const struct rd_rule_desc *), compare);
	for (size_t i = 0; i < n; i++) {
		/* Of equal ones the last came last. */
		if (i + 1 < n && strcmp(sorted[i]->path, sorted[i + 1]->path) == 0 &&
		    sorted[i]->subtree == sorted[i + 1]->subtree)
			continue;
		new->rule[new->n] = *sorted[i];
		new->rule[new->n].path = strdup(sorted[i]->path);
		if (!new->rule[new->n].path) {
			rd_rules_unref(new);
			return pfs_diag_set(diag, ENOMEM, "no memory for %zu rules", n);
		}
		new->n++;
	}
	*ret_rules = new;
	return 0;
}

struct rd_rules *rd_rules_ref(struct rd_rules *rules)
{
	atomic_fetch_add(&rules->refs, 1);
	return rules;
}

void rd_rules_unref(struct rd_rules *rules)
{
	if (!rules || atomic_fetch_sub(&rules->refs, 1) > 1)
		return;
	for (size_t i = 0; i < rules->n; i++)
		free((char *)rules->rule[i].path);
	free(rules);
}

/* As strcmp(rule's path, the first len bytes of path). */
static int compare_part(const char *rule, const char *path, size_t len)
{
	int r = strncmp(rule, path, len);

	return r != 0 ? r : rule[len] != '\0';
}

/* The first rule whose path is not below the first len bytes of path, in order. */
static size_t lower_bound(const struct rd_rules *rules, const char *path, size_t len)
{
	size_t low = 0, high = rules->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare_part(rules->rule[mid].path, path, len) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool rd_rules_cover(const struct rd_rules *rules, const char *path)
{
	size_t len = strlen(path);
	bool whole = true;

	if (rules->n == 0)
		return false;
	for (;; whole = false) {
		for (size_t i = lower_bound(rules, path, len);
		     i < rules->n && compare_part(rules->rule[i].path, path, len) == 0; i++)
			if (whole || rules->rule[i].subtree)
				return rules->rule[i].include;
		if (len <= 1)
			return false;
		do
			len--;
		while (len > 0 && path[len] != '/');
		if (len == 0)
			len = 1;
	}
}

bool rd_rules_touch(const struct rd_rules *rules, const char *path)
{
	size_t len = strlen(path);

	if (rd_rules_cover(rules, path))
		return true;
	if (len == 1)
		len = 0; /* all is below / */
	for (size_t i = 0; i < rules->n; i++)
		if (rules->rule[i].include && strncmp(rules->rule[i].path, path, len) == 0 &&
		    rules->rule[i].path[len] == '/')
			return true;
	return false;
}

const struct rd_rule_desc *rd_rules_list(const struct rd_rules *rules, size_t *ret_n)
{
	*ret_n = rules->n;
	return rules->rule;
}
