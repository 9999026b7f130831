#include <pipesfs/pf.h>

#include <limits.h>

#include "base/base.h"

/* Place of the one that is tried first: the greatest priority, of equal ones the first. */
static size_t best(const uint8_t *priorities, const uint32_t *ids, size_t n)
{
	size_t at = 0;

	for (size_t i = 1; i < n; i++)
		if (priorities[ids[i]] > priorities[ids[at]])
			at = i;
	return at;
}

/* By counting: n is small or the priorities are few, and those of one priority stay in order. */
static int sort(const uint8_t *priorities, uint32_t *ids, size_t n)
{
	size_t first[PF_PRIORITY_MAX + 1] = { 0 }, at = 0;
	PFS_FREE uint32_t *copy = malloc(n * sizeof(*ids));

	if (!copy)
		return -ENOMEM;
	memcpy(copy, ids, n * sizeof(*ids));
	for (size_t i = 0; i < n; i++)
		first[priorities[ids[i]]]++;
	for (size_t p = ARRAY_SIZE(first); p-- > 0;) {
		size_t count = first[p];

		first[p] = at;
		at += count;
	}
	for (size_t i = 0; i < n; i++)
		ids[first[priorities[copy[i]]]++] = copy[i];
	return 0;
}

int pf_priority_take(const uint8_t *priorities, unsigned flags, uint32_t *ids, size_t n)
{
	size_t first;
	int r;

	if (n > INT_MAX)
		return -E2BIG;
	if (!n)
		return 0;
	first = best(priorities, ids, n);
	if ((flags & PF_FIRST_CONSUMES) || priorities[ids[first]] >= PF_PRIORITY_HIGH) {
		ids[0] = ids[first];
		return 1;
	}
	r = sort(priorities, ids, n);
	return r < 0 ? r : (int)n;
}
