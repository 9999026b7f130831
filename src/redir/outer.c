#include "redir/outer.h"

void rd_trees_release(struct rd_trees *trees)
{
	for (size_t i = 0; i < trees->n; i++)
		free(trees->path[i]);
	free(trees->path);
	*trees = (struct rd_trees){ 0 };
}

bool rd_tree_holds(const char *tree, const char *path)
{
	size_t n = strlen(tree);

	if (n == 1)
		return path[0] == '/';
	return strncmp(tree, path, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* With '/' before every other byte: what is below a directory follows it at once. */
static int compare(const void *a, const void *b)
{
	const char *p = *(char *const *)a, *q = *(char *const *)b;

	while (*p && *p == *q) {
		p++;
		q++;
	}
	return (*p == '/' ? 1 : (unsigned char)*p + (*p != 0)) -
	       (*q == '/' ? 1 : (unsigned char)*q + (*q != 0));
}

int rd_trees_outermost(const char *const *paths, size_t n, struct rd_trees *ret_trees)
{
	RD_TREES struct rd_trees trees = { 0 };
	PFS_FREE const char **sorted = pfs_zalloc(n, sizeof(*sorted));

	trees.path = pfs_zalloc(n, sizeof(*trees.path));
	if (!sorted || !trees.path)
		return -ENOMEM;
	memcpy(sorted, paths, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare);
	for (size_t i = 0; i < n; i++) {
		if (trees.n && rd_tree_holds(trees.path[trees.n - 1], sorted[i]))
			continue;
		trees.path[trees.n] = strdup(sorted[i]);
		if (!trees.path[trees.n])
			return -ENOMEM;
		trees.n++;
	}
	*ret_trees = trees;
	trees = (struct rd_trees){ 0 };
	return 0;
}

int rd_trees_of(const struct rd_registry *registry, struct rd_trees *ret_trees)
{
	PFS_FREE const char **paths = NULL;
	size_t n = 0;

	for (size_t i = 0; i < registry->n; i++)
		n += registry->filter[i]->n_rules;
	paths = pfs_zalloc(n, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	n = 0;
	for (size_t i = 0; i < registry->n; i++) {
		const struct rd_registered *filter = registry->filter[i];

		for (size_t j = 0; filter->active && j < filter->n_rules; j++)
			if (filter->rule[j]->include)
				paths[n++] = filter->rule[j]->tree;
	}
	return rd_trees_outermost(paths, n, ret_trees);
}

bool rd_trees_have(const struct rd_trees *trees, const char *path)
{
	for (size_t i = 0; i < trees->n; i++)
		if (!strcmp(trees->path[i], path))
			return true;
	return false;
}

size_t rd_trees_plan(const struct rd_trees *old, const struct rd_trees *next, struct rd_step *ret_steps)
{
	size_t n = 0;

	for (size_t i = 0; i < old->n; i++)
		if (!rd_trees_have(next, old->path[i]))
			ret_steps[n++] = (struct rd_step){ RD_STEP_END, old->path[i] };
	for (size_t i = 0; i < next->n; i++)
		if (!rd_trees_have(old, next->path[i]))
			ret_steps[n++] = (struct rd_step){ RD_STEP_BEGIN, next->path[i] };
	return n;
}
