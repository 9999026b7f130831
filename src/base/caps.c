/*
 * caps - capabilities given up for good
 */
#include "base/caps.h"

#include <sys/capability.h>
#include <sys/prctl.h>

int pfs_caps_keep(const int *caps, size_t n)
{
	cap_t now = cap_get_proc(), want = cap_init();
	int r = now && want ? 0 : -ENOMEM;

	/*
	 * Bounding set first: that takes a capability which we give up next. EINVAL: the kernel
	 * knows no more.
	 */
	for (cap_value_t cap = 0; r == 0 && cap_get_bound(cap) >= 0; cap++) {
		bool keep = false;

		for (size_t i = 0; i < n; i++)
			keep |= caps[i] == cap;
		if (!keep)
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	}
	for (size_t i = 0; r == 0 && i < n; i++) {
		cap_value_t cap = caps[i];
		cap_flag_value_t has = CAP_CLEAR;

		/* In a container some are missing: keep those that are there. */
		if (cap_get_flag(now, cap, CAP_PERMITTED, &has) < 0 || has != CAP_SET)
			continue;
		cap_set_flag(want, CAP_PERMITTED, 1, &cap, CAP_SET);
		cap_set_flag(want, CAP_EFFECTIVE, 1, &cap, CAP_SET);
	}
	if (r == 0 && cap_set_proc(want) < 0)
		r = -errno;
	cap_free(now);
	cap_free(want);
	return r;
}
