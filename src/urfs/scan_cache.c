#include "urfs/scan_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS 1000000000ULL

enum state { SCANNING, KNOWN, DROPPED };

struct scan_claim {
	struct scan_claim *next;	  /* of the bucket */
	struct scan_claim *newer, *older; /* KNOWN: by last use */
	struct scan_key key;
	enum state state;
	unsigned waiters;
	char *rule; /* owned; NULL: nothing was found */
};

struct scan_cache {
	pthread_mutex_t lock;
	pthread_cond_t ended; /* one for all: who waits does so for as long as a scan takes */
	struct scan_claim **bucket;
	size_t mask;
	struct scan_claim *newest, *oldest;
	struct scan_cache_numbers numbers;
};

struct scan_key scan_key_of(const struct stat *st, uint64_t generation, uint64_t rules)
{
	return (struct scan_key){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.generation = generation,
		.size = (uint64_t)st->st_size,
		.mtime = (uint64_t)st->st_mtim.tv_sec * NS + (uint64_t)st->st_mtim.tv_nsec,
		.ctime = (uint64_t)st->st_ctim.tv_sec * NS + (uint64_t)st->st_ctim.tv_nsec,
		.rules = rules,
	};
}

static bool same_file(const struct scan_key *a, const struct scan_key *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->generation == b->generation;
}

static bool same_state(const struct scan_key *a, const struct scan_key *b)
{
	return same_file(a, b) && a->size == b->size && a->mtime == b->mtime &&
	       a->ctime == b->ctime && a->rules == b->rules;
}

/* All states of a file are in one bucket. */
static struct scan_claim **bucket_of(struct scan_cache *cache, const struct scan_key *key)
{
	uint64_t h = (key->ino ^ key->dev << 40) * UINT64_C(0x9e3779b97f4a7c15) ^ key->generation;

	return &cache->bucket[(h ^ h >> 32) & cache->mask];
}

int scan_cache_new(size_t entries, struct scan_cache **ret_cache)
{
	struct scan_cache *cache = calloc(1, sizeof(*cache));
	pthread_condattr_t attr;
	size_t buckets = 16;

	while (buckets < entries && buckets < (size_t)1 << 24)
		buckets *= 2;
	if (cache)
		cache->bucket = calloc(buckets, sizeof(struct scan_claim *));
	if (!cache || !cache->bucket) {
		free(cache);
		return -ENOMEM;
	}
	cache->mask = buckets - 1;
	cache->numbers.most = entries;
	pthread_mutex_init(&cache->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&cache->ended, &attr);
	pthread_condattr_destroy(&attr);
	*ret_cache = cache;
	return 0;
}

/* --- the table; locked --- */

static void use_remove(struct scan_cache *cache, struct scan_claim *entry)
{
	*(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
	*(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
	entry->newer = entry->older = NULL;
}

static void use_add(struct scan_cache *cache, struct scan_claim *entry)
{
	entry->older = cache->newest;
	*(entry->older ? &entry->older->newer : &cache->oldest) = entry;
	cache->newest = entry;
}

static void entry_free(struct scan_claim *entry)
{
	free(entry->rule);
	free(entry);
}

static void bucket_remove(struct scan_cache *cache, struct scan_claim *entry)
{
	struct scan_claim **at = bucket_of(cache, &entry->key);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
}

static void forget(struct scan_cache *cache, struct scan_claim *entry)
{
	use_remove(cache, entry);
	bucket_remove(cache, entry);
	cache->numbers.entries--;
	if (entry->waiters == 0)
		entry_free(entry);
	else
		entry->state = DROPPED; /* the last of those who still look at it frees it */
}

static struct scan_claim *find(struct scan_cache *cache, const struct scan_key *key)
{
	struct scan_claim *entry = *bucket_of(cache, key);

	while (entry && !same_state(&entry->key, key))
		entry = entry->next;
	return entry;
}

static void tell(const struct scan_claim *entry, struct scan_result *ret_result)
{
	ret_result->found = entry->rule;
	ret_result->rule[0] = '\0';
	if (entry->rule)
		memcpy(ret_result->rule, entry->rule, strlen(entry->rule) + 1);
}

/* --- asking --- */

static struct scan_claim *claim_new(struct scan_cache *cache, const struct scan_key *key)
{
	struct scan_claim *entry = calloc(1, sizeof(*entry)), **at;

	if (!entry)
		return NULL;
	entry->key = *key;
	entry->state = SCANNING;
	at = bucket_of(cache, key);
	entry->next = *at;
	*at = entry;
	return entry;
}

/* As scan_cache_begin(); somebody scans it. */
static int wait_for(struct scan_cache *cache, struct scan_claim *entry, uint64_t until,
		    struct scan_result *ret_result)
{
	const struct timespec end = { (time_t)(until / NS), (long)(until % NS) };
	int r = 0;

	entry->waiters++;
	while (r == 0 && entry->state == SCANNING)
		r = pthread_cond_timedwait(&cache->ended, &cache->lock, &end);
	entry->waiters--;
	if (entry->state == KNOWN) {
		tell(entry, ret_result);
		cache->numbers.hits++;
		cache->numbers.waited++;
		return 1;
	}
	if (entry->state == SCANNING)
		return -ETIMEDOUT;
	/* It was dropped: a result of those who came before us, or none. */
	if (entry->waiters == 0)
		entry_free(entry);
	return 0;
}

int scan_cache_begin(struct scan_cache *cache, const struct scan_key *key, uint64_t until,
		     struct scan_result *ret_result, struct scan_claim **ret_claim)
{
	struct scan_claim *entry;
	int r = 0;

	*ret_claim = NULL;
	pthread_mutex_lock(&cache->lock);
	entry = find(cache, key);
	if (!entry) {
		*ret_claim = claim_new(cache, key);
	} else if (entry->state == SCANNING) {
		r = wait_for(cache, entry, until, ret_result);
	} else {
		if (cache->newest != entry) {
			use_remove(cache, entry);
			use_add(cache, entry);
		}
		tell(entry, ret_result);
		cache->numbers.hits++;
		r = 1;
	}
	pthread_mutex_unlock(&cache->lock);
	return r;
}

/* Other states of the file, which is no longer so. */
static void forget_others(struct scan_cache *cache, const struct scan_claim *entry)
{
	struct scan_claim *other = *bucket_of(cache, &entry->key), *next;

	for (; other; other = next) {
		next = other->next;
		if (other != entry && other->state == KNOWN && same_file(&other->key, &entry->key))
			forget(cache, other);
	}
}

void scan_cache_end(struct scan_cache *cache, struct scan_claim *claim, const struct scan_result *result)
{
	char *rule = NULL;

	if (!claim)
		return;
	if (result && result->found) {
		rule = strndup(result->rule, SCAN_RULE_MAX - 1);
		if (!rule)
			result = NULL;
	}
	pthread_mutex_lock(&cache->lock);
	if (result && cache->numbers.most > 0) {
		claim->rule = rule;
		claim->state = KNOWN;
		use_add(cache, claim);
		cache->numbers.entries++;
		forget_others(cache, claim);
		while (cache->numbers.entries > cache->numbers.most) {
			cache->numbers.evicted++;
			forget(cache, cache->oldest);
		}
		pthread_cond_broadcast(&cache->ended);
	} else {
		free(rule);
		bucket_remove(cache, claim);
		claim->state = DROPPED;
		if (claim->waiters == 0)
			entry_free(claim);
		else
			pthread_cond_broadcast(&cache->ended);
	}
	pthread_mutex_unlock(&cache->lock);
}

void scan_cache_numbers(struct scan_cache *cache, struct scan_cache_numbers *ret_numbers)
{
	pthread_mutex_lock(&cache->lock);
	*ret_numbers = cache->numbers;
	pthread_mutex_unlock(&cache->lock);
}

void scan_cache_free(struct scan_cache *cache)
{
	if (!cache)
		return;
	while (cache->oldest)
		forget(cache, cache->oldest);
	pthread_cond_destroy(&cache->ended);
	pthread_mutex_destroy(&cache->lock);
	free(cache->bucket);
	free(cache);
}
