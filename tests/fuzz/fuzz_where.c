/*
 * fuzz_where - paths that somebody opens, and system calls that were trapped
 *
 * What comes out of pfs_where_clean() has nothing left to be taken out of it, and is no longer than what went in; a
 * walk over any path ends, with the prefix in front of it and without.
 */
#include <fcntl.h>
#include <stdio.h>

#include "portal/trap.h"
#include "portal/where.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_clean(const char *text)
{
	char rest[PATH_MAX], again[PATH_MAX];
	const char *out = NULL;
	int r = pfs_where_clean(text, rest, &out);

	if (r < 0 && (out <= text || out > text + strlen(text)))
		abort();
	if (r <= 0)
		return;
	if (strlen(rest) > strlen(text) || rest[0] == '/')
		abort();
	if (pfs_where_clean(rest, again, &out) != 1 || strcmp(rest, again) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pfs_where where;
	char path[2 * PATH_MAX], rest[PATH_MAX];
	struct seccomp_data call = { 0 };
	struct pfs_trap_call decoded;
	PFS_FREE char *text = strndup((const char *)data, pfs_min(size, PATH_MAX - 1));

	if (!where.len && pfs_where_init(&where, "/nowhere/p", NULL) < 0)
		abort();
	memcpy(&call, data, pfs_min(size, sizeof(call)));
	(void)pfs_trap_decode(&call, &decoded);
	check_clean(text);
	/* Absolute ones could lead into the machine that fuzzes: below a name that is not there they cannot. */
	snprintf(path, sizeof(path), "/nowhere/%s", text);
	(void)pfs_where_find(&where, getpid(), AT_FDCWD, path, 0, rest);
	snprintf(path, sizeof(path), "/nowhere/p/%s", text);
	if (pfs_where_find(&where, getpid(), AT_FDCWD, path, PFS_WHERE_NOLINKS, rest) == 1 && !rest[0])
		abort();
	return 0;
}
