/*
 * chain_i - what configured.c, chain.c, way.c and data.c know of filters and chains
 *
 * A struct rd_filter is one name for as long as the configuration has it, and as chains hold it.
 * Its settings are words that one change at a time writes (under the configuration's lock) and
 * everybody reads.
 */
#ifndef RD_CHAIN_I_H
#define RD_CHAIN_I_H

#include "redir/hook.h"
#include "redir/rules.h"
#include "redir/tap.h"

/* Who is told what a filter was asked. Immutable. */
struct rd_taps {
	_Atomic unsigned refs;
	size_t n;
	struct rd_tap *tap[]; /* a reference each */
};

struct rd_filter {
	_Atomic unsigned refs;
	char name[RD_NAME_MAX];
	_Atomic bool active;
	_Atomic bool gone; /* no longer in the configuration */
	_Atomic int policy;
	_Atomic uint64_t deadline;
	/* Under the configuration's lock. */
	int priority;
	uint64_t serial; /* of the last whole configuration that had it */
	struct rd_rules *rules;
	struct rd_wants wants; /* of its hook, or of the last one that it had */

	pthread_mutex_t lock;
	struct rd_hook *hook; /* under lock; a reference; NULL: none */
	struct rd_taps *taps; /* under lock; a reference; NULL: nobody */
	_Atomic bool tapped;  /* there are some */
	/* Many writers. */
	_Atomic uint64_t pres, posts, stops, failures, late, skipped, time_ns;
};

struct rd_entry {
	struct rd_filter *filter; /* a reference */
	struct rd_wants wants;
};

struct rd_chain {
	_Atomic unsigned refs;
	uint16_t any[RD_OPS]; /* somebody wants, before or after */
	size_t n;
	struct rd_entry entry[]; /* by priority */
};

struct rd_filter *rd_filter_ref(struct rd_filter *filter);
void rd_filter_unref(struct rd_filter *filter);
/* Its hook with a reference, or NULL. */
struct rd_hook *rd_filter_hook(struct rd_filter *filter);
/* The same, and entered: rd_hook_leave(). */
struct rd_hook *rd_filter_enter(struct rd_filter *filter);

/* Tells them of an operation. */
void rd_filter_tell(struct rd_filter *filter, const struct rd_operation *operation);

static inline uint16_t rd_type_bit(mode_t type)
{
	return (uint16_t)(1u << ((type & S_IFMT) >> 12));
}

static inline bool rd_mask_has(uint16_t mask, mode_t type)
{
	return (type & S_IFMT) == 0 ? mask != 0 : (mask & rd_type_bit(type)) != 0;
}

#endif
