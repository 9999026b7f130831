/*
 * scanflt_file - is this file, as it is now, one that a rule matches?
 *
 * The result of a scan is kept when it will be known to be out of date: nobody had the file open for writing
 * when the scan began (a lease tells, of mappings, too), its size and times were the same before and after, and
 * a later change would show in its times. That is so where the filesystem gives each change that follows a look
 * at a file a time of its own (multigrain timestamps, Linux 6.13: ext4, xfs, btrfs, tmpfs), and elsewhere when
 * the last change is older than the filesystem's clock can be wrong. What may not be kept is scanned again at
 * the next open.
 */
#ifndef SCANFLT_FILE_H
#define SCANFLT_FILE_H

#include <pthread.h>
#include <stdatomic.h>

#include "urfs/filters/scanflt_rules.h"

/* The rules and limits as of now; replaced as one. */
struct scan_setup {
	_Atomic unsigned refs;
	uint64_t version;
	struct scan_conf conf;
	struct scan_rules *rules; /* owned */
};
/* Of a configuration, which it takes over, even on failure. As scan_rules_new(). */
int scan_setup_new(struct scan_conf *conf, uint64_t version, struct scan_setup **ret_setup,
		   char error[SCAN_ERROR_SIZE]);
void scan_setup_unref(struct scan_setup *setup);

#define SCAN_NUMBERS(X)                                                                     \
	X(opens)      /* files that were opened and had to be decided about */              \
	X(skipped)    /* ... not: by `skip` */                                              \
	X(scanned)    /* scans that were made */                                            \
	X(kept)	      /* ... whose result was kept */                                       \
	X(cached)     /* answered by what was kept, or by a scan that was being made */     \
	X(waited)     /* of these: by one that was being made */                            \
	X(bytes)      /* looked through */                                                  \
	X(denied)     /* opens, for whatever reason */                                      \
	X(found)      /* opens of files that a rule matches */                              \
	X(too_large)  /* opens by reason of `on-large` */                                   \
	X(expired)    /* ... `on-expiry` */                                                 \
	X(failed)     /* ... `on-failure` */                                                \
	X(changed)    /* scans that were begun again, for the file had changed meanwhile */ \
	X(ahead)      /* files that were scanned after a writer had closed them */          \
	X(ahead_lost) /* ... were not: there were too many, or somebody still wrote */      \
	X(evicted)    /* results that had to make room */                                   \
	X(entries)    /* results that there are */                                          \
	X(reloads)    /* rules that were taken */                                           \
	X(refused)    /* ... and those that were not, since they are wrong */               \
	X(rules)      /* how many there are */

struct scan_numbers {
#define X(name) _Atomic uint64_t name;
	SCAN_NUMBERS(X)
#undef X
};

struct scan_engine {
	struct scan_cache *cache; /* owned */
	struct scan_numbers numbers;
	pthread_mutex_t lock;
	pthread_cond_t free; /* a scan has ended */
	unsigned scanning;   /* lock */
};
int scan_engine_init(struct scan_engine *engine, size_t entries);
void scan_engine_release(struct scan_engine *engine);

enum scan_verdict { SCAN_CLEAN, SCAN_FOUND, SCAN_TOO_LARGE, SCAN_EXPIRED, SCAN_FAILED };

struct scan_file {
	const struct stat *stat; /* as it was opened */
	uint64_t generation;
	int (*open)(void *arg); /* for reading: a descriptor, -errno; called at most once */
	void *arg;
	bool quiet;	  /* only if nobody writes: else SCAN_FAILED, at once */
	bool *ret_cached; /* NULL: does not matter */
};

/* What is to be done is in the setup: scan_denies(). ret_result->rule: of SCAN_FOUND. */
enum scan_verdict scan_file(struct scan_engine *engine, const struct scan_setup *setup,
			    const struct scan_file *file, struct scan_result *ret_result);
/* Has anybody got it open for writing? 1, 0; -errno: nobody knows. Of a descriptor for reading. */
int scan_is_written(int fd);
bool scan_denies(const struct scan_setup *setup, enum scan_verdict verdict);
extern const char *const scan_verdict_names[];

#endif
