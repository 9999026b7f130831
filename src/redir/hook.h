/*
 * hook - what a filter does: in this process (inproc.h) or in another (remote.h)
 *
 * The chain asks a hook before and after an operation (struct rd_ask). It answers at once, or
 * later on any thread, once. Asks of one call come one after the other, of many calls at the same
 * time. Who takes a hook away (rd_config_hook(…, NULL), or by a new configuration) and calls
 * rd_hook_drain() after that knows that nobody is in it; rd_hook_is_empty() does not wait.
 */
#ifndef RD_HOOK_H
#define RD_HOOK_H

#include <pthread.h>

#include "redir/configured.h"

/*
 * By operation: bit (S_IFMT >> 12) for each type of file wanted, bit 0 for those not known;
 * RD_WANT_ANY: all.
 */
#define RD_WANT_ANY 0xffff
struct rd_wants {
	uint16_t pre[RD_OPS], post[RD_OPS];
};

/* What one filter keeps: about the object, the open file, and this call from pre to post. */
enum rd_keep { RD_KEEP_OBJECT, RD_KEEP_FILE, RD_KEEP_CALL, RD_KEEPS };

enum rd_verdict {
	RD_CONTINUE,
	RD_STOP,   /* of a post: means nothing */
	RD_FAILED, /* could not be asked: the policy says what now */
	RD_LATE,   /* the same, by its deadline */
};

struct rd_ask {
	/*
	 * result: in a post what has become of it, to be changed there; of a pre that stops: what
	 * to return
	 */
	struct rd_call *call;
	bool post;
	struct rd_filter *filter; /* whose hook it is */
	uint64_t deadline;	  /* monotonic, ns */
	uint64_t key;		  /* the hook's own */
	void *state;		  /* likewise */
};

struct rd_hook_ops {
	/*
	 * true: *ret_verdict is the answer. false: rd_ask_answer() follows, or has been called
	 * already. For READ in a post and WRITE in a pre call->data counts. Must not wait for
	 * another process.
	 */
	bool (*ask)(struct rd_hook *hook, struct rd_ask *ask, enum rd_verdict *ret_verdict);
	/* Is that thread one of the filter's own? */
	bool (*own)(struct rd_hook *hook, pid_t pid);
	/* Memory shared with it, of size bytes, for one call; NULL: it has none. See data.h. */
	bool (*data_get)(struct rd_hook *hook, size_t size, struct rd_data *ret_data);
	void (*data_put)(struct rd_hook *hook, struct rd_data *data);
	/* The last reference has gone. */
	void (*free)(struct rd_hook *hook);
};

struct rd_hook {
	const struct rd_hook_ops *ops;
	/* changed before it is connected, or under the configuration's lock: rd_hook_set_wants() */
	struct rd_wants wants;
	_Atomic unsigned refs;
	pthread_mutex_t lock; /* of inside */
	pthread_cond_t empty;
	unsigned inside; /* asks that have not been answered */
	int empty_fd;	 /* borrowed: who leaves as the last writes there; -1: nobody waits */
};

void rd_hook_init(struct rd_hook *hook, const struct rd_hook_ops *ops); /* one reference */
struct rd_hook *rd_hook_ref(struct rd_hook *hook);
void rd_hook_unref(struct rd_hook *hook);
void rd_hook_set_wants(struct rd_config *config, struct rd_hook *hook, const struct rd_wants *wants);
/* Waits until nobody is in it. Not on a thread that is. */
void rd_hook_drain(struct rd_hook *hook);
/* Is nobody in it? Else who leaves it as the last writes to that eventfd, which must stay until then. */
bool rd_hook_is_empty(struct rd_hook *hook, int event_fd);

/* The answer to an ask that said false. The ask is not to be touched afterwards. */
void rd_ask_answer(struct rd_ask *ask, enum rd_verdict verdict);

/*
 * What the ask's filter keeps. Attach: -EEXIST with *ret_there (may be NULL) when there is one
 * already, -ENOENT: there is nothing to keep it in. free (may be NULL) is called once when the
 * object, the file or the call goes, or the value is detached.
 */
typedef void rd_keep_free(struct rd_hook *hook, uint64_t value);
int rd_ask_attach(struct rd_ask *ask, enum rd_keep where, uint64_t value, rd_keep_free *free,
		  uint64_t *ret_there);
bool rd_ask_kept(struct rd_ask *ask, enum rd_keep where, uint64_t *ret_value);
/* Takes it away without calling free. -ENOENT. */
int rd_ask_detach(struct rd_ask *ask, enum rd_keep where, uint64_t *ret_value);

/*
 * Sends the call, as it is now, to the filters below this one and to the original tree; then
 * done() is told, on whatever thread, and call->result says what came of it. For the filter of
 * this ask only, before it has answered, in a pre.
 */
void rd_ask_subcall(struct rd_ask *ask, void (*done)(struct rd_ask *ask));

#endif
