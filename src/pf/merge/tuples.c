#include "pf/merge/tuples.h"

#define FIRST_CAP 64u

void tuples_init(struct tuples *t, uint32_t max)
{
	*t = (struct tuples){ .max = max };
	pfs_seed_init(&t->seed);
}

void tuples_release(struct tuples *t)
{
	free(t->of);
	free(t->bucket);
	*t = (struct tuples){ 0 };
}

static uint32_t hash_of(const struct tuples *t, const uint32_t *words, uint32_t n)
{
	uint64_t all[TUPLE_WORDS / 2 + 1];
	uint32_t k = 0;

	for (; k < n / 2; k++)
		all[k] = (uint64_t)words[2 * k] << 32 | words[2 * k + 1];
	/* With the length, so that a word more counts. */
	all[k++] = (n % 2 ? (uint64_t)words[n - 1] << 32 : 0) | n;
	return (uint32_t)pfs_hash_words(&t->seed, all, k);
}

static uint32_t *bucket_of(const struct tuples *t, uint32_t hash)
{
	return &t->bucket[hash & (t->cap - 1)];
}

uint32_t tuples_find(const struct tuples *t, const uint32_t *words, uint32_t n)
{
	uint32_t hash, number;

	if (!t->n)
		return 0;
	hash = hash_of(t, words, n);
	for (number = *bucket_of(t, hash); number; number = t->of[number - 1].next) {
		const struct tuple *tuple = &t->of[number - 1];

		if (tuple->hash == hash && tuple->n == n &&
		    !memcmp(tuple->word, words, n * sizeof(*words)))
			return number;
	}
	return 0;
}

static void enter(struct tuples *t, uint32_t number)
{
	struct tuple *tuple = &t->of[number - 1];
	uint32_t *bucket = bucket_of(t, tuple->hash);

	tuple->next = *bucket;
	*bucket = number;
}

/* Only when all entries are in use: so each belongs into a bucket. */
static int grow(struct tuples *t)
{
	uint32_t cap = t->cap ? t->cap * 2 : FIRST_CAP, *bucket;
	void *p = reallocarray(t->of, cap, sizeof(*t->of));

	if (!p)
		return -ENOMEM;
	t->of = p;
	bucket = pfs_zalloc(cap, sizeof(*bucket));
	if (!bucket)
		return -ENOMEM;
	free(t->bucket);
	t->bucket = bucket;
	t->cap = cap;
	for (uint32_t number = 1; number <= t->used; number++)
		enter(t, number);
	return 0;
}

int tuples_add(struct tuples *t, const uint32_t *words, uint32_t n, uint32_t *ret_number)
{
	uint32_t number = t->free;

	assert(n > 0 && n <= TUPLE_WORDS);
	if (t->n >= t->max)
		return -ENOSPC;
	if (!number && t->used == t->cap) {
		int r = grow(t);

		if (r < 0)
			return r;
	}
	if (number)
		t->free = t->of[number - 1].next;
	else
		number = ++t->used;
	t->of[number - 1] = (struct tuple){ .n = n, .hash = hash_of(t, words, n) };
	memcpy(t->of[number - 1].word, words, n * sizeof(*words));
	enter(t, number);
	t->n++;
	*ret_number = number;
	return 0;
}

void tuples_remove(struct tuples *t, uint32_t number)
{
	struct tuple *tuple = &t->of[number - 1];
	uint32_t *at = bucket_of(t, tuple->hash);

	while (*at != number)
		at = &t->of[*at - 1].next;
	*at = tuple->next;
	tuple->n = 0;
	tuple->next = t->free;
	t->free = number;
	t->n--;
}
