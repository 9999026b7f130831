/*
 * The order of events, and what becomes of results: filters that write down what they are asked,
 * at once or on another thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <pthread.h>

#include "redir/hook.h"

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char events[4096];

static void say(const char *name, const char *what)
{
	pthread_mutex_lock(&log_lock);
	if (strlen(events) + strlen(name) + strlen(what) + 2 < sizeof(events)) {
		strcat(events, events[0] ? " " : "");
		strcat(events, name);
		strcat(events, what);
	}
	pthread_mutex_unlock(&log_lock);
}

/* --- a filter that does as it is told ----------------------------------------------------------- */

struct flt {
	struct rd_hook hook;
	char name[8];
	bool later; /* answers on another thread */
	enum rd_verdict pre, post;
	int64_t pre_result, post_result; /* 0: leaves it */
	unsigned sub; /* so often it does the rest in its pre, then stops with that, or continues */
	pid_t own;
	void (*in_pre)(void);
	void (*in_post)(struct flt *flt, struct rd_ask *ask);
	void (*in_both)(struct flt *flt, struct rd_ask *ask);
	bool freed;
	_Atomic unsigned asked;
};

static void kept_free(struct rd_hook *hook, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), ".free%d", (int)value);
	say(CONTAINER_OF(hook, struct flt, hook)->name, text);
}

static enum rd_verdict flt_do(struct flt *flt, struct rd_ask *ask)
{
	say(flt->name, ask->post ? ".post" : ".pre");
	flt->asked++;
	if (!ask->post && flt->in_pre)
		flt->in_pre();
	if (flt->in_both)
		flt->in_both(flt, ask);
	if (ask->post && flt->in_post)
		flt->in_post(flt, ask);
	if (!ask->post && flt->pre_result != 0)
		ask->call->result = flt->pre_result;
	if (ask->post && flt->post_result != 0)
		ask->call->result = flt->post_result;
	return ask->post ? flt->post : flt->pre;
}

static void sub_done(struct rd_ask *ask)
{
	struct flt *flt = ask->state;

	ask->call->result += 1000;
	if (--flt->sub > 0)
		rd_ask_subcall(ask, sub_done);
	else
		rd_ask_answer(ask, flt->pre);
}

static void *flt_later(void *arg)
{
	struct rd_ask *ask = arg;

	rd_ask_answer(ask, flt_do((struct flt *)ask->state, ask));
	return NULL;
}

static bool flt_ask(struct rd_hook *hook, struct rd_ask *ask, enum rd_verdict *ret_verdict)
{
	struct flt *flt = CONTAINER_OF(hook, struct flt, hook);
	pthread_t thread;

	if (flt->sub && !ask->post) {
		flt_do(flt, ask);
		ask->state = flt;
		rd_ask_subcall(ask, sub_done);
		return false;
	}
	if (flt->later) {
		ask->state = flt;
		assert_int_equal(pthread_create(&thread, NULL, flt_later, ask), 0);
		pthread_detach(thread);
		return false;
	}
	*ret_verdict = flt_do(flt, ask);
	return true;
}

static bool flt_own(struct rd_hook *hook, pid_t pid)
{
	return CONTAINER_OF(hook, struct flt, hook)->own == pid;
}

static void flt_free(struct rd_hook *hook)
{
	CONTAINER_OF(hook, struct flt, hook)->freed = true;
}

static const struct rd_hook_ops flt_ops = { .ask = flt_ask, .own = flt_own, .free = flt_free };

/* --- three of them over /t ---------------------------------------------------------------------- */

struct rig {
	struct rd_config *config;
	struct flt a, b, c;
	struct rd_filter_desc desc[3];
	struct rd_rule_desc rule;
};

static void rig_replace(struct rig *rig, size_t n)
{
	struct pfs_diag diag = { "" };

	if (rd_config_replace(rig->config, rig->desc, n, &diag) < 0)
		fail_msg("%s", diag.text);
}

static int setup(void **state)
{
	struct rig *rig = pfs_zalloc(1, sizeof(*rig));
	struct flt *flts[] = { &rig->a, &rig->b, &rig->c };

	assert_int_equal(rd_config_new(&rig->config), 0);
	rig->rule = (struct rd_rule_desc){ "/t", true, true };
	for (int i = 0; i < 3; i++) {
		char name[2] = { (char)('a' + i), 0 };

		strcpy(flts[i]->name, name);
		flts[i]->pre = flts[i]->post = RD_CONTINUE;
		rig->desc[i] = (struct rd_filter_desc){ .name = flts[i]->name,
							.priority = 100 + i,
							.active = true,
							.rules = &rig->rule,
							.n_rules = 1 };
		rd_hook_init(&flts[i]->hook, &flt_ops);
		memset(&flts[i]->hook.wants, 0xff, sizeof(flts[i]->hook.wants));
	}
	rig_replace(rig, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(rd_config_hook(rig->config, flts[i]->name, &flts[i]->hook), 0);
	events[0] = '\0';
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	struct flt *flts[] = { &rig->a, &rig->b, &rig->c };

	rd_config_free(rig->config);
	for (int i = 0; i < 3; i++) {
		rd_hook_drain(&flts[i]->hook);
		rd_hook_unref(&flts[i]->hook);
		assert_true(flts[i]->freed);
	}
	free(rig);
	return 0;
}

/* --- calls --------------------------------------------------------------------------------------- */

struct test_call {
	struct rd_call call;
	int64_t perform; /* its result */
	bool ended;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void perform(struct rd_call *call)
{
	say("", "do");
	call->result = CONTAINER_OF(call, struct test_call, call)->perform;
}

static void complete(struct rd_call *call)
{
	struct test_call *tc = CONTAINER_OF(call, struct test_call, call);

	pthread_mutex_lock(&tc->lock);
	assert_false(tc->ended);
	tc->ended = true;
	pthread_cond_signal(&tc->cond);
	pthread_mutex_unlock(&tc->lock);
}

static int64_t run_call(struct test_call *tc)
{
	pthread_mutex_init(&tc->lock, NULL);
	pthread_cond_init(&tc->cond, NULL);
	tc->ended = false;
	tc->call.perform = perform;
	tc->call.complete = complete;
	rd_call_run(&tc->call);
	pthread_mutex_lock(&tc->lock);
	while (!tc->ended)
		pthread_cond_wait(&tc->cond, &tc->lock);
	pthread_mutex_unlock(&tc->lock);
	return tc->call.result;
}

static int64_t run(struct rig *rig, const char *path, enum rd_op op)
{
	struct test_call tc = {
		.call = { .op = op, .type = S_IFREG, .path = (char *)path, .caller.pid = 42 }
	};
	int64_t r;

	tc.call.chain = rd_chain_find(rig->config, path);
	assert_non_null(tc.call.chain);
	r = run_call(&tc);
	rd_chain_unref(tc.call.chain);
	return r;
}

static void expect(const char *text)
{
	pthread_mutex_lock(&log_lock);
	if (strcmp(events, text) != 0)
		fail_msg("got  %s\nwant %s", events, text);
	events[0] = '\0';
	pthread_mutex_unlock(&log_lock);
}

static void all_later(struct rig *rig, bool a, bool b, bool c)
{
	rig->a.later = a;
	rig->b.later = b;
	rig->c.later = c;
}

/* --- orders -------------------------------------------------------------------------------------- */

static void test_order(void **state)
{
	struct rig *rig = *state;

	for (int mask = 0; mask < 8; mask++) {
		all_later(rig, mask & 1, mask & 2, mask & 4);
		assert_int_equal(run(rig, "/t/x", RD_OPEN), 0);
		expect("a.pre b.pre c.pre do c.post b.post a.post");
	}
}

static void test_stop(void **state)
{
	struct rig *rig = *state;

	for (int mask = 0; mask < 8; mask++) {
		all_later(rig, mask & 1, mask & 2, mask & 4);
		rig->b.pre = RD_STOP;
		rig->b.pre_result = -EACCES;
		assert_int_equal(run(rig, "/t/x", RD_OPEN), -EACCES);
		expect("a.pre b.pre b.post a.post");
		rig->b.pre = RD_CONTINUE;
		rig->a.pre = RD_STOP;
		rig->a.pre_result = 7;
		assert_int_equal(run(rig, "/t/x", RD_OPEN), 7);
		expect("a.pre a.post");
		rig->a.pre = RD_CONTINUE;
		rig->a.pre_result = rig->b.pre_result = 0;
		rig->c.pre = RD_STOP;
		assert_int_equal(run(rig, "/t/x", RD_OPEN), 0);
		expect("a.pre b.pre c.pre c.post b.post a.post");
		rig->c.pre = RD_CONTINUE;
	}
}

static void test_results(void **state)
{
	struct rig *rig = *state;

	rig->c.post_result = -EROFS;
	rig->a.post_result = 5;
	rig->b.post = RD_STOP; /* of a post it means nothing */
	assert_int_equal(run(rig, "/t/x", RD_OPEN), 5);
	expect("a.pre b.pre c.pre do c.post b.post a.post");
	rig->a.post_result = 0;
	assert_int_equal(run(rig, "/t/x", RD_OPEN), -EROFS);
	/* What stops after a post has changed the result of a stopper: the same way. */
	rig->b.pre = RD_STOP;
	rig->b.pre_result = -EACCES;
	rig->a.post_result = -ENOENT;
	assert_int_equal(run(rig, "/t/x", RD_OPEN), -ENOENT);
}

static void test_wants(void **state)
{
	struct rig *rig = *state;
	struct rd_wants wants = { .pre[RD_OPEN] = 1 << 8, .post[RD_UNLINK] = RD_WANT_ANY };
	const struct rd_chain *chain;

	rd_hook_set_wants(rig->config, &rig->b.hook, &wants);
	assert_int_equal(run(rig, "/t/x", RD_OPEN), 0);
	expect("a.pre b.pre c.pre do c.post a.post");
	assert_int_equal(run(rig, "/t/x", RD_UNLINK), 0);
	expect("a.pre c.pre do c.post b.post a.post");
	/* A stop of one above means no post for one whose turn never came. */
	rig->a.pre = RD_STOP;
	assert_int_equal(run(rig, "/t/x", RD_UNLINK), 0);
	expect("a.pre a.post");

	rd_hook_set_wants(rig->config, &rig->a.hook, &wants);
	rd_hook_set_wants(rig->config, &rig->c.hook, &wants);
	chain = rd_chain_find(rig->config, "/t/x");
	assert_true(rd_chain_wants(chain, RD_OPEN, S_IFREG));
	assert_true(rd_chain_wants(chain, RD_OPEN, 0));
	assert_false(rd_chain_wants(chain, RD_OPEN, S_IFDIR));
	assert_false(rd_chain_wants(chain, RD_READ, S_IFREG));
	assert_false(rd_chain_wants_data(chain));
	rd_chain_unref(chain);
}

static void test_paths(void **state)
{
	struct rig *rig = *state;
	const struct rd_rule_desc hole = { "/t/hole", false, true },
				  one = { "/t/hole/one", true, false };
	struct pfs_diag diag;

	assert_int_equal(run(rig, "/u", RD_OPEN), 0);
	expect("do");
	assert_int_equal(rd_config_add_rule(rig->config, "b", &hole, &diag), 0);
	assert_int_equal(rd_config_add_rule(rig->config, "b", &one, &diag), 0);
	run(rig, "/t/hole/x", RD_OPEN);
	expect("a.pre c.pre do c.post a.post");
	run(rig, "/t/hole/one", RD_OPEN);
	expect("a.pre b.pre c.pre do c.post b.post a.post");
}

static void test_shared(void **state)
{
	struct rig *rig = *state;
	const struct rd_chain *x = rd_chain_find(rig->config, "/t/x"),
			      *y = rd_chain_find(rig->config, "/t/y");
	uint64_t serial = rd_config_serial(rig->config);

	assert_ptr_equal(x, y);
	assert_int_equal(rd_config_activate(rig->config, "b", true), 0); /* it is: nothing changes */
	assert_int_equal(rd_config_serial(rig->config), serial);
	assert_int_equal(rd_config_activate(rig->config, "b", false), 0);
	assert_true(rd_config_serial(rig->config) > serial);
	rd_chain_unref(y);
	y = rd_chain_find(rig->config, "/t/y");
	assert_ptr_not_equal(x, y);
	rd_chain_unref(x);
	rd_chain_unref(y);
}

/* --- changes in the middle ------------------------------------------------------------------------ */

static struct rig *the_rig;

static void deactivate_a(void)
{
	rd_config_activate(the_rig->config, "a", false);
}

static void test_deactivated(void **state)
{
	struct rig *rig = the_rig = *state;
	struct rd_filter_stat stat;

	rig->b.in_pre = deactivate_a;
	run(rig, "/t/x", RD_OPEN);
	expect("a.pre b.pre c.pre do c.post b.post");
	assert_int_equal(rd_config_stat(rig->config, "a", &stat), 0);
	assert_int_equal(stat.pres, 1);
	assert_int_equal(stat.posts, 0);
	assert_int_equal(stat.skipped, 1);
	assert_false(stat.active);
	run(rig, "/t/x", RD_OPEN);
	expect("b.pre c.pre do c.post b.post");
}

static void deactivate_b(void)
{
	rd_config_activate(the_rig->config, "b", false);
}

static void deactivate_c(void)
{
	rd_config_activate(the_rig->config, "c", false);
}

static void activate_c(void)
{
	rd_config_activate(the_rig->config, "c", true);
}

static void exclude_b(void)
{
	const struct rd_rule_desc hole = { "/t/x", false, false };
	struct pfs_diag diag;

	rd_config_add_rule(the_rig->config, "b", &hole, &diag);
}

static void c_first(void)
{
	the_rig->desc[2].priority = 1;
	rig_replace(the_rig, 3);
}

static void only_a(void)
{
	rig_replace(the_rig, 1);
}

static void a_dies(void)
{
	rd_config_hook(the_rig->config, "a", NULL);
}

static void c_dies(void)
{
	rd_config_hook(the_rig->config, "c", NULL);
}

/* Something happens in the pre of b: what this call still sees, what it gets, and what the next one sees. */
static void test_changes(void **state)
{
	static const struct {
		void (*what)(void);
		bool c_inactive; /* at the beginning */
		int64_t result;
		const char *now, *next;
	} row[] = {
		{ deactivate_a, false, 0, "a.pre b.pre c.pre do c.post b.post",
		  "b.pre c.pre do c.post b.post" },
		{ deactivate_b, false, 0, "a.pre b.pre c.pre do c.post a.post",
		  "a.pre c.pre do c.post a.post" },
		{ deactivate_c, false, 0, "a.pre b.pre do b.post a.post",
		  "a.pre b.pre do b.post a.post" },
		{ activate_c, true, 0, "a.pre b.pre do b.post a.post",
		  "a.pre b.pre c.pre do c.post b.post a.post" },
		{ exclude_b, false, 0, "a.pre b.pre c.pre do c.post b.post a.post",
		  "a.pre c.pre do c.post a.post" },
		{ c_first, false, 0, "a.pre b.pre c.pre do c.post b.post a.post",
		  "c.pre a.pre b.pre do b.post a.post c.post" },
		{ only_a, false, 0, "a.pre b.pre do a.post", "a.pre do a.post" },
		{ a_dies, false, -EIO, "a.pre b.pre c.pre do c.post b.post", "" },
		{ c_dies, false, -EIO, "a.pre b.pre b.post a.post", "a.pre b.pre b.post a.post" },
	};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(row); i++) {
		size_t at = i / 2;
		struct rig *rig;
		int64_t result;

		/* Of its own; once answered at once, once on other threads. */
		assert_int_equal(setup((void **)&rig), 0);
		the_rig = rig;
		all_later(rig, i % 2, i % 2, i % 2);
		if (row[at].c_inactive)
			deactivate_c();
		rig->b.in_pre = row[at].what;
		result = run(rig, "/t/x", RD_OPEN);
		if (result != row[at].result)
			fail_msg("row %zu: %d", at, (int)result);
		expect(row[at].now);
		rig->b.in_pre = NULL;
		run(rig, "/t/x", RD_OPEN);
		expect(row[at].next);
		teardown((void **)&rig);
	}
}

/* A file that is open keeps its chain, and those in it. */
static void test_open_file(void **state)
{
	struct rig *rig = *state;
	struct test_call tc = { .call = { .op = RD_READ, .type = S_IFREG, .path = (char *)"/t/x" } };

	tc.call.file = (struct rd_file *)&tc;
	tc.call.chain = rd_chain_find(rig->config, "/t/x");
	assert_int_equal(rd_config_activate(rig->config, "b", false), 0);
	run_call(&tc);
	expect("a.pre b.pre c.pre do c.post b.post a.post");
	run(rig, "/t/x", RD_OPEN);
	expect("a.pre c.pre do c.post a.post");

	/* Taken out: data would be wrong without it, by its policy; nothing else is asked. */
	rig_replace(rig, 1);
	assert_int_equal(run_call(&tc), -EIO);
	expect("a.pre a.post");
	tc.call.op = RD_RELEASE;
	assert_int_equal(run_call(&tc), 0);
	expect("a.pre do a.post");
	rd_chain_unref(tc.call.chain);
}

static void test_policies(void **state)
{
	struct rig *rig = *state;
	struct rd_filter_stat stat;

	static const struct {
		const char *text;
		int64_t want;
		const char *pre, *post;
	} row[] = {
		{ "EIO", -EIO, "a.pre b.pre a.post", "a.pre b.pre c.pre do c.post b.post a.post" },
		{ "closed", -EPERM, "a.pre b.pre a.post", "a.pre b.pre c.pre do c.post b.post a.post" },
		{ "ESTALE", -ESTALE, "a.pre b.pre a.post", "a.pre b.pre c.pre do c.post b.post a.post" },
		{ "open", 0, "a.pre b.pre c.pre do c.post a.post",
		  "a.pre b.pre c.pre do c.post b.post a.post" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
		assert_int_equal(rd_policy_parse(row[i].text, &rig->desc[1].policy), 0);
		assert_string_equal(rd_policy_name(rig->desc[1].policy), row[i].text);
		rig_replace(rig, 3);
		rig->b.pre = i % 2 ? RD_FAILED : RD_LATE;
		assert_int_equal(run(rig, "/t/x", RD_OPEN), row[i].want);
		expect(row[i].pre);
		rig->b.pre = RD_CONTINUE;
		rig->b.post = RD_FAILED;
		assert_int_equal(run(rig, "/t/x", RD_OPEN), row[i].want);
		expect(row[i].post);
		rig->b.post = RD_CONTINUE;
		/* Without a hook: its process has died. */
		assert_int_equal(rd_config_hook(rig->config, "b", NULL), 0);
		assert_int_equal(run(rig, "/t/x", RD_OPEN), row[i].want);
		expect(row[i].want ? "a.pre a.post" : "a.pre c.pre do c.post a.post");
		assert_int_equal(rd_config_hook(rig->config, "b", &rig->b.hook), 0);
		assert_int_equal(rd_config_hook(rig->config, "b", &rig->b.hook), -EBUSY);
	}
	assert_int_equal(rd_config_stat(rig->config, "b", &stat), 0);
	assert_int_equal(stat.failures, 12);
	assert_int_equal(stat.late, 2);
	assert_int_equal(rd_policy_parse("maybe", &rig->desc[1].policy), -EINVAL);
}

static void test_own(void **state)
{
	struct rig *rig = *state;

	rig->b.own = 42;
	assert_int_equal(run(rig, "/t/x", RD_OPEN), 0);
	expect("a.pre c.pre do c.post a.post");
}

/* Who reads or writes the bytes below is known; what everybody shares is nobody's own. */
static void test_own_data(void **state)
{
	static const struct rd_wants wants = { .pre[RD_OPEN] = RD_WANT_ANY };
	struct rig *rig = *state;
	struct test_call tc = {
		.call = { .op = RD_READ, .type = S_IFREG, .path = (char *)"/t/x", .caller.pid = 42 }
	};

	rig->b.own = 42;
	tc.call.chain = rd_chain_find(rig->config, "/t/x");
	assert_true(rd_chain_own(tc.call.chain, 42));
	assert_false(rd_chain_own(tc.call.chain, 43));
	rig->b.own = 0;
	assert_false(rd_chain_own(tc.call.chain, 0)); /* of another process namespace */
	rig->b.own = 42;
	run_call(&tc);
	expect("a.pre c.pre do c.post a.post");
	tc.call.shared = true;
	run_call(&tc);
	expect("a.pre b.pre c.pre do c.post b.post a.post");
	rd_chain_unref(tc.call.chain);

	/* It does not want the data. */
	rd_hook_set_wants(rig->config, &rig->b.hook, &wants);
	tc.call.chain = rd_chain_find(rig->config, "/t/x");
	assert_false(rd_chain_own(tc.call.chain, 42));
	rd_chain_unref(tc.call.chain);
}

static void test_subcall(void **state)
{
	struct rig *rig = *state;

	for (int later = 0; later < 2; later++) {
		all_later(rig, later, false, later);
		rig->b.sub = 1;
		rig->b.pre = RD_STOP;
		rig->c.post_result = 11;
		assert_int_equal(run(rig, "/t/x", RD_OPEN), 1011);
		expect("a.pre b.pre c.pre do c.post b.post a.post");
		/* Twice; then it lets the call go on. */
		rig->b.sub = 2;
		rig->b.pre = RD_CONTINUE;
		assert_int_equal(run(rig, "/t/x", RD_OPEN), 11);
		expect("a.pre b.pre c.pre do c.post c.pre do c.post c.pre do c.post b.post a.post");
	}
	/* In one another. */
	all_later(rig, false, false, false);
	rig->a.sub = rig->b.sub = 1;
	rig->a.pre = rig->b.pre = RD_STOP;
	assert_int_equal(run(rig, "/t/x", RD_OPEN), 2011);
	expect("a.pre b.pre c.pre do c.post b.post a.post");
	/* What one below stops, or fails to answer, is the sub-call's result. */
	rig->a.pre = RD_CONTINUE;
	rig->b.sub = 1;
	rig->c.pre = RD_STOP;
	rig->c.pre_result = rig->c.post_result = 5;
	assert_int_equal(run(rig, "/t/x", RD_OPEN), 1005);
	expect("a.pre b.pre c.pre c.post b.post a.post");
	rig->b.sub = 1;
	rig->c.pre = RD_FAILED;
	assert_int_equal(run(rig, "/t/x", RD_OPEN), 1000 - EIO);
	expect("a.pre b.pre c.pre b.post a.post");
}

/* --- what filters keep ---------------------------------------------------------------------------- */

static void keep_all(struct flt *flt, struct rd_ask *ask)
{
	uint64_t value = 0, base = (uint64_t)(flt->name[0] - 'a') * 10;

	for (int where = 0; where < RD_KEEPS; where++) {
		bool there = rd_ask_kept(ask, (enum rd_keep)where, &value);

		if (there) {
			assert_int_equal(value, base + (unsigned)where);
			assert_int_equal(rd_ask_attach(ask, (enum rd_keep)where, 99, kept_free, &value),
					 -EEXIST);
			assert_int_equal(value, base + (unsigned)where);
		} else {
			assert_int_equal(rd_ask_attach(ask, (enum rd_keep)where,
						       base + (unsigned)where, kept_free, NULL),
					 0);
		}
	}
}

static void test_kept(void **state)
{
	struct rig *rig = *state;
	struct rd_slots object = { 0 }, file = { 0 };
	struct test_call tc = { .call = { .op = RD_OPEN, .type = S_IFREG, .path = (char *)"/t/x" } };

	rig->a.in_post = rig->c.in_post = keep_all;
	tc.call.chain = rd_chain_find(rig->config, "/t/x");
	tc.call.slots = &object;
	tc.call.file_slots = &file;
	run_call(&tc);
	expect("a.pre b.pre c.pre do c.post b.post a.post a.free2 c.free22");
	run_call(&tc);
	expect("a.pre b.pre c.pre do c.post b.post a.post a.free2 c.free22");
	rd_slots_release(&file);
	expect("c.free21 a.free1");
	rd_slots_release(&object);
	expect("c.free20 a.free0");
	rd_slots_release(&object);
	expect("");
	rd_chain_unref(tc.call.chain);
}

static void keep_call(struct flt *flt, struct rd_ask *ask)
{
	uint64_t value = 0;

	if (!ask->post)
		assert_int_equal(rd_ask_attach(ask, RD_KEEP_CALL, 5, kept_free, NULL), 0);
	else
		assert_true(rd_ask_kept(ask, RD_KEEP_CALL, &value) && value == 5);
}

/* What pre has kept for its post goes with the call, however that ends: a stop, a failure, a post that never comes. */
static void test_kept_ends(void **state)
{
	struct rig *rig = the_rig = *state;

	rig->a.in_both = keep_call;
	run(rig, "/t/x", RD_OPEN);
	expect("a.pre b.pre c.pre do c.post b.post a.post a.free5");
	rig->b.pre = RD_STOP;
	run(rig, "/t/x", RD_OPEN);
	expect("a.pre b.pre b.post a.post a.free5");
	rig->b.pre = RD_FAILED;
	assert_int_equal(run(rig, "/t/x", RD_OPEN), -EIO);
	expect("a.pre b.pre a.post a.free5");
	rig->b.pre = RD_CONTINUE;
	rig->b.in_pre = deactivate_a;
	run(rig, "/t/x", RD_OPEN);
	expect("a.pre b.pre c.pre do c.post b.post a.free5");
}

static void test_refused(void **state)
{
	struct rig *rig = *state;
	struct pfs_diag diag;
	uint64_t serial = rd_config_serial(rig->config);
	struct rd_rule_desc bad = { "/t/../u", true, true };

	rig->desc[1].priority = 100;
	assert_int_equal(rd_config_replace(rig->config, rig->desc, 3, &diag), -EEXIST);
	assert_string_equal(diag.text, "a and b have the same priority, 100");
	rig->desc[1].priority = 101;
	rig->desc[1].name = "a";
	assert_int_equal(rd_config_replace(rig->config, rig->desc, 3, &diag), -EEXIST);
	rig->desc[1].name = "b/c";
	assert_int_equal(rd_config_replace(rig->config, rig->desc, 3, &diag), -EINVAL);
	rig->desc[1].name = "";
	assert_int_equal(rd_config_replace(rig->config, rig->desc, 3, &diag), -EINVAL);
	rig->desc[1].name = "b";
	rig->desc[2].rules = &bad;
	assert_int_equal(rd_config_replace(rig->config, rig->desc, 3, &diag), -EINVAL);
	assert_int_equal(rd_config_add_rule(rig->config, "b", &bad, &diag), -EINVAL);
	assert_int_equal(rd_config_add_rule(rig->config, "z", &rig->rule, &diag), -ENOENT);
	assert_int_equal(rd_config_activate(rig->config, "z", true), -ENOENT);
	/* As one or not at all. */
	assert_int_equal(rd_config_serial(rig->config), serial);
	run(rig, "/t/x", RD_OPEN);
	expect("a.pre b.pre c.pre do c.post b.post a.post");
}

static void test_groups(void **state)
{
	int last = -1;

	for (size_t i = 0; i < rd_n_groups; i++) {
		assert_true(rd_groups[i].low > last && rd_groups[i].high >= rd_groups[i].low);
		last = rd_groups[i].high;
	}
	assert_string_equal(rd_group_of(850000000)->name, "security");
	assert_string_equal(rd_group_of(500000000)->name, "transparent");
	assert_string_equal(rd_group_of(1900000000)->name, "encryption");
	assert_null(rd_group_of(1));
}

/* --- everything at once ---------------------------------------------------------------------------- */

struct busy {
	struct rig *rig;
	_Atomic bool stop;
	_Atomic unsigned calls;
};

static void *caller(void *arg)
{
	struct busy *busy = arg;

	while (!busy->stop) {
		run(busy->rig, "/t/x", RD_OPEN);
		busy->calls++;
	}
	return NULL;
}

/* Deactivate, replace, unload with calls everywhere: after rd_hook_drain() nobody is in the filter. */
static void test_busy(void **state)
{
	struct rig *rig = *state;
	struct busy busy = { .rig = rig };
	pthread_t threads[3];

	rig->a.later = rig->c.later = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL, caller, &busy);
	for (int round = 0; round < 60; round++) {
		unsigned seen;

		rd_config_activate(rig->config, "a", round % 2);
		assert_int_equal(rd_config_hook(rig->config, "b", NULL), 0);
		rd_hook_drain(&rig->b.hook);
		seen = rig->b.asked;
		rig_replace(rig, round % 3 ? 3 : 2);
		assert_int_equal(seen, rig->b.asked);
		rig->b.asked = 0;
		assert_int_equal(rd_config_hook(rig->config, "b", &rig->b.hook), 0);
		seen = busy.calls;
		while (busy.calls < seen + 3)
			sched_yield();
	}
	busy.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
}

static void *writer(void *arg)
{
	struct busy *busy = arg;
	struct test_call tc = { .call = { .op = RD_WRITE, .type = S_IFREG, .path = (char *)"/t/x" } };

	tc.call.file = (struct rd_file *)&tc;
	tc.call.chain = rd_chain_find(busy->rig->config, "/t/x");
	while (!busy->stop && run_call(&tc) == 0)
		busy->calls++;
	rd_chain_unref(tc.call.chain);
	return (void *)(intptr_t)tc.call.result;
}

/* Others change their minds; a filter that stays is there all the time for the files that are open. */
static void test_stays(void **state)
{
	struct rig *rig = *state;
	struct busy busy = { .rig = rig };
	pthread_t threads[3];
	void *result;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_create(&threads[i], NULL, writer, &busy);
	for (int round = 0; round < 20000; round++) {
		rig->desc[1].active = round % 2;
		rig_replace(rig, 3);
	}
	busy.stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &result);
		assert_int_equal((intptr_t)result, 0);
	}
	assert_true(busy.calls > 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_order),	 T(test_stop),	      T(test_results),	 T(test_wants),
		T(test_paths),	 T(test_shared),      T(test_kept),	 T(test_refused),
		T(test_groups),	 T(test_busy),	      T(test_own),	 T(test_own_data),
		T(test_subcall), T(test_deactivated), T(test_open_file), T(test_policies),
		T(test_stays),	 T(test_changes),     T(test_kept_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
