/*
 * The way of a call: a state machine. It runs on whatever thread made something possible, until
 * it waits for a filter in another process (then that answer's thread goes on) or has ended.
 * Nothing recurses but sub-calls.
 */
#include "redir/chain.h"

#include <limits.h>

#include "redir/chain_i.h"
#include "redir/hook_i.h"
#include "urfs/exe.h"

enum phase { PRE, PERFORM, POST };

struct step {
	bool passed; /* its pre was called, or would have been had it one */
	enum rd_seen seen;
	struct rd_slots kept;
};

struct way {
	struct rd_ask ask;    /* the one that is out; at most one is */
	struct rd_hook *hook; /* of that, with a reference and entered */
	uint64_t asked;	      /* when */
	int64_t before;	      /* the result then */
	struct rd_call *call;
	const struct rd_chain *chain;
	enum phase phase;
	size_t first;	      /* 0, or for a sub-call the filter below the one that makes it */
	size_t at;	      /* PRE: who is next; POST: one above who is next */
	struct rd_ask *above; /* of a sub-call: whose it is */
	void (*done)(struct rd_ask *above);
	struct step step[]; /* as many as the chain has filters */
};

static void way_go(struct way *way);

static int way_start(struct rd_call *call, size_t first, struct rd_ask *above,
		     void (*done)(struct rd_ask *))
{
	struct way *way = pfs_zalloc(1, sizeof(*way) + call->chain->n * sizeof(way->step[0]));

	if (!way)
		return -ENOMEM;
	way->call = call;
	way->chain = call->chain;
	way->first = way->at = first;
	way->above = above;
	way->done = done;
	way_go(way);
	return 0;
}

void rd_call_run(struct rd_call *call)
{
	call->start = pfs_clock_mono();
	call->result = 0;
	call->performed = false;
	if (way_start(call, 0, NULL, NULL) < 0) {
		call->result = -ENOMEM;
		call->complete(call);
	}
}

/* Whoever reads of these filters is told what they were asked. */
static void way_tell(struct way *way)
{
	const struct rd_call *call = way->call;
	struct rd_operation operation = { .path = NULL };
	char exe[PATH_MAX];

	for (size_t i = way->first; i < way->chain->n; i++) {
		struct rd_filter *filter = way->chain->entry[i].filter;

		if (way->step[i].seen == RD_SEEN_NOT || !filter->tapped)
			continue;
		if (!operation.path) {
			if (urfs_exe_read(call->caller.pid, call->op, exe, sizeof(exe)) < 0)
				exe[0] = '\0';
			operation = (struct rd_operation){
				.op = call->op,
				.pid = call->caller.pid,
				.uid = call->caller.uid,
				.duration = pfs_clock_mono() - call->start,
				.result = call->result,
				.exe = exe,
				.exe_len = strlen(exe),
				.path = call->path ? call->path : "",
				.path2 = call->path2 ? call->path2 : "",
			};
			operation.time = pfs_clock_real() - operation.duration;
			operation.path_len = strlen(operation.path);
			operation.path2_len = strlen(operation.path2);
		}
		operation.seen = way->step[i].seen;
		rd_filter_tell(filter, &operation);
	}
}

static void way_end(struct way *way)
{
	struct rd_call *call = way->call;
	struct rd_ask *above = way->above;
	void (*done)(struct rd_ask *) = way->done;

	way_tell(way);
	for (size_t i = way->first; i < way->chain->n; i++)
		rd_slots_release(&way->step[i].kept);
	free(way);
	if (done) {
		done(above);
		return;
	}
	call->duration = pfs_clock_mono() - call->start;
	call->complete(call);
}

/* What the filter is for: bytes of a file that was opened with it would be wrong without. */
static bool about_data(const struct way *way)
{
	return way->call->file && (way->call->op == RD_READ || way->call->op == RD_WRITE);
}

/* Its filter could not be asked, or not in time. */
static void fail(struct way *way, struct rd_filter *filter, enum rd_verdict verdict)
{
	int policy = filter->policy;

	way->step[way->at].seen = verdict == RD_LATE ? RD_SEEN_EXPIRED : RD_SEEN_FAILED;
	atomic_fetch_add_explicit(&filter->failures, 1, memory_order_relaxed);
	if (verdict == RD_LATE)
		atomic_fetch_add_explicit(&filter->late, 1, memory_order_relaxed);
	if (way->phase == PRE)
		way->step[way->at].passed = false; /* what has not been asked before is not asked after */
	if (policy == RD_FAIL_OPEN)
		return;
	way->call->result = policy;
	if (way->phase == PRE)
		way->phase = POST; /* from here back; at is one above the last whose pre was called */
	else
		return;
}

static void way_answered(struct way *way, enum rd_verdict verdict)
{
	struct rd_filter *filter = way->ask.filter;
	bool post = way->phase == POST;
	enum rd_seen *seen = &way->step[way->at].seen;

	if (!post && verdict == RD_STOP)
		*seen = RD_SEEN_STOPPED;
	else if (post && way->call->result != way->before && *seen != RD_SEEN_STOPPED)
		*seen = RD_SEEN_CHANGED;
	else if (*seen == RD_SEEN_NOT)
		*seen = RD_SEEN_CONTINUED;
	atomic_fetch_add_explicit(&filter->time_ns, pfs_clock_mono() - way->asked,
				  memory_order_relaxed);
	atomic_fetch_add_explicit(post ? &filter->posts : &filter->pres, 1, memory_order_relaxed);
	rd_hook_leave(way->hook);
	rd_hook_unref(TAKE_PTR(way->hook));
	if (verdict == RD_FAILED || verdict == RD_LATE) {
		fail(way, filter, verdict);
	} else if (!post && verdict == RD_STOP) {
		atomic_fetch_add_explicit(&filter->stops, 1, memory_order_relaxed);
		way->phase = POST;
		way->at++;
		return;
	}
	if (way->phase == PRE)
		way->at++;
}

void rd_ask_answer(struct rd_ask *ask, enum rd_verdict verdict)
{
	struct way *way = CONTAINER_OF(ask, struct way, ask);

	way_answered(way, verdict);
	way_go(way);
}

/* Asks the filter of entry `at`. false: the answer comes later, and the way may be gone already. */
static bool way_ask(struct way *way, size_t at)
{
	struct rd_filter *filter = way->chain->entry[at].filter;
	enum rd_verdict verdict = RD_FAILED;
	uint64_t now = pfs_clock_mono();

	way->asked = now;
	way->before = way->call->result;
	way->ask = (struct rd_ask){
		.call = way->call,
		.post = way->phase == POST,
		.filter = filter,
		.deadline = now + filter->deadline,
	};
	if (!way->hook->ops->ask(way->hook, &way->ask, &verdict))
		return false;
	way_answered(way, verdict);
	return true;
}

/* It is no longer in the configuration: what goes through its data cannot be done without it. */
static void pass_gone(struct way *way, size_t at, uint16_t mask, bool *ret_fail)
{
	*ret_fail = about_data(way) && rd_mask_has(mask, way->call->type);
	if (way->phase == PRE && about_data(way))
		way->step[at].passed = true;
}

/*
 * Is the filter of entry `at` to be asked now? Takes its hook into way->hook. Without one, and
 * with one that may not be asked any more, that is what *ret_fail says.
 */
static bool way_enter(struct way *way, size_t at, uint16_t mask, bool *ret_fail)
{
	const struct rd_call *call = way->call;
	struct rd_filter *filter = way->chain->entry[at].filter;

	*ret_fail = false;
	if (filter->gone) {
		pass_gone(way, at, mask, ret_fail);
		return false;
	}
	if (!filter->active && !call->file) {
		atomic_fetch_add_explicit(&filter->skipped, 1, memory_order_relaxed);
		return false;
	}
	if (!rd_mask_has(mask, call->type)) {
		if (way->phase == PRE)
			way->step[at].passed = true;
		return false;
	}
	way->hook = rd_filter_enter(filter);
	if (!way->hook) {
		*ret_fail = true;
		if (filter->gone || !filter->active) /* it has left, or is about to */
			pass_gone(way, at, mask, ret_fail);
		return false;
	}
	if (!call->shared && call->caller.pid > 0 && way->hook->ops->own(way->hook, call->caller.pid)) {
		atomic_fetch_add_explicit(&filter->skipped, 1, memory_order_relaxed);
		rd_hook_leave(way->hook);
		rd_hook_unref(TAKE_PTR(way->hook));
		return false;
	}
	return true;
}

/* The next pre. false: its answer comes later. */
static bool way_pre(struct way *way)
{
	const struct rd_entry *entry = &way->chain->entry[way->at];
	bool failed;

	if (way_enter(way, way->at, entry->wants.pre[way->call->op], &failed)) {
		way->step[way->at].passed = true;
		return way_ask(way, way->at);
	}
	if (failed)
		fail(way, entry->filter, RD_FAILED);
	if (way->phase == PRE)
		way->at++;
	return true;
}

/* The post of the filter before. false: its answer comes later. */
static bool way_post(struct way *way)
{
	const struct rd_entry *entry = &way->chain->entry[--way->at];
	bool failed;

	if (!way->step[way->at].passed)
		return true;
	if (way_enter(way, way->at, entry->wants.post[way->call->op], &failed))
		return way_ask(way, way->at);
	if (failed)
		fail(way, entry->filter, RD_FAILED);
	return true;
}

static void way_go(struct way *way)
{
	for (;;) {
		if (way->phase == PRE && way->at < way->chain->n) {
			if (!way_pre(way))
				return;
		} else if (way->phase == PRE) {
			way->phase = PERFORM;
		} else if (way->phase == PERFORM) {
			way->call->perform(way->call);
			if (way->call->result >= 0)
				way->call->performed = true;
			way->phase = POST;
			way->at = way->chain->n;
		} else if (way->at > way->first) {
			if (!way_post(way))
				return;
		} else {
			way_end(way);
			return;
		}
	}
}

void rd_ask_subcall(struct rd_ask *ask, void (*done)(struct rd_ask *ask))
{
	struct way *way = CONTAINER_OF(ask, struct way, ask);

	assert(way->phase == PRE);
	if (way_start(way->call, way->at + 1, ask, done) < 0) {
		way->call->result = -ENOMEM;
		done(ask);
	}
}

bool rd_chain_own(const struct rd_chain *chain, pid_t pid)
{
	bool own = false;

	for (size_t i = 0; i < chain->n && pid > 0 && !own; i++) {
		const struct rd_wants *wants = &chain->entry[i].wants;
		struct rd_hook *hook = NULL;

		if (rd_mask_has(wants->pre[RD_READ] | wants->post[RD_READ] | wants->pre[RD_WRITE] |
					wants->post[RD_WRITE],
				S_IFREG))
			hook = rd_filter_hook(chain->entry[i].filter);
		own = hook && hook->ops->own(hook, pid);
		rd_hook_unref(hook);
	}
	return own;
}

/* --- what the ask's filter keeps ---------------------------------------------------------------- */

static struct rd_slots *slots_of(struct rd_ask *ask, enum rd_keep where)
{
	struct way *way = CONTAINER_OF(ask, struct way, ask);

	if (where == RD_KEEP_OBJECT)
		return ask->call->slots;
	if (where == RD_KEEP_FILE)
		return ask->call->file_slots;
	return &way->step[way->at].kept;
}

int rd_ask_attach(struct rd_ask *ask, enum rd_keep where, uint64_t value, rd_keep_free *free_value,
		  uint64_t *ret_there)
{
	struct way *way = CONTAINER_OF(ask, struct way, ask);

	return rd_slots_attach(slots_of(ask, where), way->hook, value, free_value, ret_there);
}

bool rd_ask_kept(struct rd_ask *ask, enum rd_keep where, uint64_t *ret_value)
{
	struct way *way = CONTAINER_OF(ask, struct way, ask);

	return rd_slots_find(slots_of(ask, where), way->hook, ret_value);
}

int rd_ask_detach(struct rd_ask *ask, enum rd_keep where, uint64_t *ret_value)
{
	struct way *way = CONTAINER_OF(ask, struct way, ask);

	return rd_slots_detach(slots_of(ask, where), way->hook, ret_value);
}
