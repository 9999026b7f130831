/*
 * memory - memcpy(3): the limit. One copy without a kernel, from memory that stays to memory that stays
 */
#include "study.h"

static uint8_t *far;

static void *memory_open(const struct mechanism *m)
{
	(void)m;
	far = study_shared(STUDY_MAX);
	return far;
}

static const uint8_t *memory_get(void *state, int end, uint8_t *into, size_t len)
{
	(void)end;
	memcpy(into, state, len);
	__asm__ volatile("" : : "r"(into) : "memory");
	return into;
}

static void memory_put(void *state, int end, const uint8_t *from, size_t len)
{
	(void)end;
	memcpy(state, from, len);
	__asm__ volatile("" : : "r"(state) : "memory");
}

static const uint8_t *memory_load(void *state, const uint8_t *pattern, size_t len)
{
	memcpy(state, pattern, len);
	return pattern;
}

static void memory_fetch(void *state, uint8_t *into, size_t len)
{
	memcpy(into, state, len);
}

const struct mechanism mechanism_memory = {
	.name = "memcpy",
	.stands_for = "the limit: one copy in one process, no kernel",
	.read = true,
	.write = true,
	.open = memory_open,
	.get = memory_get,
	.put = memory_put,
	.load = memory_load,
	.fetch = memory_fetch,
};
