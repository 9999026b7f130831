/*
 * filter - filters as the library keeps them, whatever is on the other side
 *
 * api.c is what is the same everywhere: arguments are checked, callbacks found and called. A *link*
 * (struct urfs_link_ops) brings what is registered to those who ask: to another process (link.c),
 * or to the chains of this one (redir/inproc.h).
 *
 * Locks: link->lock guards the list of filters. Callbacks are words: set by one, called by others.
 */
#ifndef URFS_FILTER_H
#define URFS_FILTER_H

#include <pthread.h>
#include <stdbool.h>

#include <pipesfs/urfs.h>

#define URFS_NAME_MAX 64

/* By operation: bit per rfs_type; RFS_ANY: all of them. As struct rd_wants. */
struct urfs_wants {
	uint16_t pre[RFS_OPERATIONS], post[RFS_OPERATIONS];
};

struct urfs_filter {
	struct urfs_filter *next;
	struct urfs_link *link;
	char name[URFS_NAME_MAX];
	uint32_t id; /* of this link, from 0 */
	bool registered;
	void *_Atomic private_data;
	enum rfs_err (*_Atomic mod_cb)(union rfs_mod *);
	enum rfs_err (*_Atomic mod_filter_cb)(rfs_filter, union rfs_mod *);
	_Atomic(rfs_callback) callback[2][RFS_OPERATIONS][16]; /* by rfs_op_call */
	unsigned inside; /* callbacks that run; this and leaving under link->lock */
	bool leaving;	 /* none begins any more */
	void *peer;	 /* the link's own */
};

struct urfs_link_ops {
	int (*add)(struct urfs_filter *filter, const struct rfs_filter_info *info);
	int (*remove)(struct urfs_filter *filter);
	int (*activate)(struct urfs_filter *filter, bool active);
	int (*want)(struct urfs_filter *filter, const struct urfs_wants *wants);
	int (*set_path)(struct urfs_filter *filter, const struct rfs_path_info *info);
	/* NULL: not here */
	int (*main)(struct urfs_link *link);
	int (*dispatch)(struct urfs_link *link);
	void (*stop)(struct urfs_link *link);
	void (*close)(struct urfs_link *link); /* frees it */
	void (*say)(struct urfs_link *link, const char *sentence);
};

struct urfs_link {
	const struct urfs_link_ops *ops;
	pthread_mutex_t lock;
	pthread_cond_t left; /* somebody has left a filter */
	struct urfs_filter *filters;
	uint64_t ids; /* taken */
	unsigned threads;
};

void urfs_link_init(struct urfs_link *link, const struct urfs_link_ops *ops);
/* Unregisters and frees what is left of filters. */
void urfs_link_release(struct urfs_link *link);
/* The filter, which stays until urfs_filter_leave(); NULL: there is none, or it leaves. */
struct urfs_filter *urfs_link_enter(struct urfs_link *link, uint32_t id);
void urfs_filter_leave(struct urfs_filter *filter);

/* What a callback's rfs_context is. */
struct urfs_context {
	struct urfs_filter *filter;
	const struct urfs_context_ops *ops;
};
struct urfs_context_ops {
	int (*attach)(struct urfs_context *context, enum rfs_keep where, void *data,
		      void (*free_cb)(void *), void **exist);
	void *(*get)(struct urfs_context *context, enum rfs_keep where, bool detach);
	int (*subcall)(struct urfs_context *context, struct rfs_args *args);
	int (*open_file)(struct urfs_context *context);
};

/* Calls the callback that args->type says; RFS_CONTINUE where there is none. */
enum rfs_retv urfs_filter_call(struct urfs_filter *filter, struct urfs_context *context,
			       struct rfs_args *args);
/* Asks the modifier callback. -EOPNOTSUPP: there is none. */
int urfs_filter_modify(struct urfs_filter *filter, union rfs_mod *mod);

#endif
