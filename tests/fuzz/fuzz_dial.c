/*
 * fuzz_dial - the arguments of tcp:, tcplisten:, udp:, unix: and their like: one byte for which, and the argument
 */
#include <stdio.h>

#include "portal/dial.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	enum pfs_portal_kind kind;
	bool listen;
} kinds[] = {
	{ PFS_PORTAL_TCP, false }, { PFS_PORTAL_TCPLISTEN, true }, { PFS_PORTAL_UDP, false },
	{ PFS_PORTAL_UDP, true },  { PFS_PORTAL_UNIX, false },	   { PFS_PORTAL_UNIX, true },
};

static bool same(const char *a, const char *b)
{
	return !a == !b && (!a || strcmp(a, b) == 0);
}

/* A plan says all that is needed to open it. */
static void check(const struct pfs_portal_plan *plan)
{
	if (plan->kind == PFS_PORTAL_UNIX) {
		if (!plan->path || (plan->path[0] != '/' && plan->path[0] != '@') || !plan->path[1])
			abort();
		return;
	}
	if (!plan->port || !plan->port[0] || strlen(plan->port) > 255 || strpbrk(plan->port, " \t/"))
		abort();
	if (plan->host ? !plan->host[0] || strlen(plan->host) > 255 : !plan->listen)
		abort();
}

/* Written again as [HOST] PORT it means the same. */
static void check_again(const struct pfs_portal_plan *plan, bool listen)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan again = { 0 };
	PFS_BUF struct pfs_buf text = { 0 };
	struct pfs_diag diag = { "" };
	int r;

	if (plan->kind == PFS_PORTAL_UNIX)
		return;
	if (plan->host)
		pfs_buf_printf(&text, "[%s] %s", plan->host, plan->port);
	else
		pfs_buf_printf(&text, "ANY %s", plan->port);
	if (text.failed)
		return;
	r = pfs_dial_parse(plan->kind, listen, text.data, &again, &diag);
	if (r == -ENOMEM)
		return;
	if (r < 0 || !same(again.host, plan->host) || !same(again.port, plan->port) ||
	    again.listen != plan->listen)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PFS_PORTAL_PLAN struct pfs_portal_plan plan = { 0 };
	PFS_FREE char *text = size ? strndup((const char *)data + 1, size - 1) : NULL;
	size_t which = size ? data[0] % ARRAY_SIZE(kinds) : 0;
	struct pfs_diag diag = { "" };
	int r;

	if (!text)
		return 0;
	r = pfs_dial_parse(kinds[which].kind, kinds[which].listen, text, &plan, &diag);
	if (r < 0 && r != -ENOMEM && !diag.text[0])
		abort();
	if (r < 0)
		return 0;
	check(&plan);
	check_again(&plan, kinds[which].listen);
	return 0;
}
