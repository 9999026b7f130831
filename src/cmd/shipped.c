#include "cmd/shipped.h"

#include "config.h"

#include <stdio.h>

/* NULL: it is not there. */
static char *find_in(const char *dir, const char *name)
{
	size_t n = strlen(name);
	const char *end = n > 3 && !strcmp(name + n - 3, ".so") ? "" : ".so";
	PFS_FREE char *path = NULL;

	if (asprintf(&path, "%s/%s%s", dir, name, end) < 0) {
		path = NULL;
		return NULL;
	}
	return realpath(path, NULL);
}

char *pfs_shipped_find(const char *text, const char **ret_rest)
{
	size_t n = strcspn(text, ",");
	PFS_FREE char *name = strndup(text, n), *self = NULL;
	char *file = name ? realpath(name, NULL) : NULL;

	*ret_rest = text + n;
	if (file || !name || errno != ENOENT || strchr(name, '/'))
		return file;
	self = realpath("/proc/self/exe", NULL);
	if (self) {
		PFS_FREE char *built = NULL;

		*strrchr(self, '/') = '\0';
		if (asprintf(&built, "%s/src", self) < 0)
			built = NULL;
		file = built ? find_in(built, name) : NULL;
	}
	return file ? file : find_in(PIPESFS_FILTERS, name);
}
