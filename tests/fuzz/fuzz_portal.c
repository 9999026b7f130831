/*
 * fuzz_portal - portal.conf (up to the first NUL) and a path (behind it)
 */
#include <fcntl.h>

#include "portal/portal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void path_try(const struct pfs_portal_rules *rules, const char *path)
{
	for (int access = O_RDONLY; access <= O_RDWR; access++) {
		PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
		struct pfs_diag diag = { "" };
		int r = pfs_portal_parse(rules, path, access & 1, access, &plan, &diag);

		if (r < 0 && r != -ENOMEM && !diag.text[0])
			abort();
		/* A plan is complete, and a path that has one is a portal. */
		if (r == 0 && (pfs_portal_shape(rules, path) == PFS_SHAPE_NONE ||
			       (!plan.path && !plan.port && !plan.argv.n)))
			abort();
		if (r == 0 && plan.kind == PFS_PORTAL_FILE && plan.path[0] != '/')
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_portal_rules *rules = NULL;
	PFS_BUF struct pfs_buf all = { 0 }, text = { 0 };
	struct pfs_diag diag;
	size_t n = strnlen((const char *)data, size);
	PFS_FREE char *path = n < size ? strndup((const char *)data + n + 1, size - n - 1)
				       : strdup("");

	if (pfs_portal_rules_default(&rules) == 0)
		path_try(rules, path);
	pfs_portal_rules_unref(rules);
	rules = NULL;
	if (pfs_portal_rules_parse("fuzz", (const char *)data, n, &rules, &all, &diag) < 0)
		return 0;
	pfs_portal_rules_print(rules, &text);
	path_try(rules, path);
	pfs_portal_rules_unref(rules);
	return 0;
}
