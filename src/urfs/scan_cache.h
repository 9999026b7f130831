/*
 * scan_cache - what scans have said, by what was scanned
 *
 * A *key* is one state of one file under one set of rules. For each key there is at most one scan: who asks
 * first makes it, the others wait for it. What is kept is bounded by a number of entries; of those that nobody has
 * asked for longest the oldest goes, and a newer state of a file takes the place of the older one. Whether a result
 * may be kept at all (nobody was writing, times tell of every change) is for the scanner to say; one that may not be
 * is nobody's but his, since others have come later: they scan for themselves.
 *
 * Any thread. One lock, held for the look into a table.
 */
#ifndef URFS_SCAN_CACHE_H
#define URFS_SCAN_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define SCAN_RULE_MAX 128 /* a rule's name, with the NUL; libyara's own limit */

struct scan_key {
	uint64_t dev, ino, generation; /* the file */
	uint64_t size, mtime, ctime;   /* its state; times in ns */
	uint64_t rules;		       /* their version */
};
struct scan_key scan_key_of(const struct stat *st, uint64_t generation, uint64_t rules);

struct scan_result {
	bool found;
	char rule[SCAN_RULE_MAX]; /* found: which was the first */
};

struct scan_cache;
struct scan_claim; /* a scan that is being made */

/* entries: 0 keeps nothing, but one scan at a time there is still. -ENOMEM. */
int scan_cache_new(size_t entries, struct scan_cache **ret_cache);
/* Nobody is in it, or has a claim. NULL is fine. */
void scan_cache_free(struct scan_cache *cache);

/*
 * 1: known, in *ret_result. 0: the caller scans, and calls scan_cache_end() with *ret_claim, which is NULL when others
 * do so, too. -ETIMEDOUT: who scans has not ended before `until` (ns, CLOCK_MONOTONIC).
 */
int scan_cache_begin(struct scan_cache *cache, const struct scan_key *key, uint64_t until,
		     struct scan_result *ret_result, struct scan_claim **ret_claim);
/* result NULL: it came to nothing, or may not be kept. */
void scan_cache_end(struct scan_cache *cache, struct scan_claim *claim,
		    const struct scan_result *result);

struct scan_cache_numbers {
	uint64_t hits, waited; /* waited: of the hits, for a scan that was being made */
	uint64_t evicted;
	size_t entries, most;
};
void scan_cache_numbers(struct scan_cache *cache, struct scan_cache_numbers *ret_numbers);

#endif
