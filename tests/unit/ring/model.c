/*
 * ring and queue against a naive queue, with threads: one writer, readers that take all, lag, stop in the middle of a
 * record, and die in the middle of a pin, over a ring that wraps hundreds of times
 *
 * The naive queue is a *script*: the whole sequence, byte for byte, made before the first thread runs. So whoever
 * reads knows what each index must be, and needs no lock to look it up, which would order what the ring and queue have
 * to order by themselves, and hide from TSan where they do not.
 *
 * What is compared, at each pin: each ref and its bytes with the script, twice, with the pin held between; that what
 * was skipped is exactly what was counted as lost; that nothing was lost without need; that who is reliable lost
 * nothing.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ring/queue.h"

enum { READERS = 6, CHUNK = 16, PIN_MAX = 64 };

struct item {
	uint64_t pos; /* of its record in the ring; a control ref: of the next one */
	uint64_t end;
	size_t at; /* of its bytes in script.bytes */
	uint32_t len;
	bool control;
	uint8_t more;
};

struct script {
	struct item *items;
	uint8_t *bytes;
	size_t n;
};

struct model {
	struct script script;
	size_t ring_size;
	struct pfs_rings *rings;
	struct pfs_cursors *cursors;
	struct pfs_ring *ring;
	struct pfs_queue *queue;
	pthread_mutex_t run; /* pushing, or attaching: as a task's run lock */
	_Atomic bool over;
};

/* One reader after the other; a life ends when the script does, or in the middle of a pin. */
struct reader {
	struct model *model;
	bool reliable;
	unsigned seed;
	struct pfs_cursor cursor;
	uint64_t at;	   /* the first index that it has neither got nor lost */
	uint64_t got;	   /* records, in this life */
	uint64_t due;	   /* records of the script from its first index up to `at` */
	const char *wrong; /* NULL: nothing */
	bool died;
	unsigned deaths, rescues, partly, lives;
	uint64_t lost;
};

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint32_t weight(const struct item *item)
{
	return item->control ? 0 : 1u + item->more;
}

/* Records of all lengths up to `max`, now and then a control ref, now and then one that stands for several. */
static void script_init(struct script *script, size_t n, uint32_t max, uint64_t seed)
{
	uint64_t pos = 0;
	size_t bytes = 0;

	script->n = n;
	script->items = pfs_zalloc(n, sizeof(*script->items));
	assert_non_null(script->items);
	for (size_t i = 0; i < n; i++) {
		struct item *item = &script->items[i];
		uint64_t r = random_next(&seed);

		*item = (struct item){ .pos = pos, .end = pos, .at = bytes, .control = r % 29 == 0 };
		if (item->control)
			continue;
		item->len = r % 13 == 0 ? max - (uint32_t)(r >> 8) % 8
					: (uint32_t)(r >> 8) % (max / 8);
		item->more = r % 17 == 0 ? (uint8_t)(1 + (r >> 40) % 7) : 0;
		item->end = pos += pfs_align8(sizeof(struct pfs_record) + item->len);
		bytes += item->len;
	}
	script->bytes = malloc(bytes);
	assert_non_null(script->bytes);
	for (size_t i = 0; i < bytes; i++)
		script->bytes[i] = (uint8_t)random_next(&seed);
}

static uint64_t model_limit(void *owner, struct pfs_ring *ring, uint64_t want)
{
	struct model *model = owner;

	return pfs_cursors_limit(model->cursors, ring, want);
}

static void model_init(struct model *model, size_t ring_size, size_t n, uint32_t max)
{
	*model = (struct model){ .ring_size = ring_size };
	script_init(&model->script, n, max, 88172645463325252u);
	pthread_mutex_init(&model->run, NULL);
	assert_int_equal(pfs_rings_new(&model->rings), 0);
	assert_int_equal(pfs_cursors_new(model->rings, &model->cursors), 0);
	assert_int_equal(pfs_ring_new(model->rings, ring_size, model_limit, model, &model->ring), 0);
	assert_int_equal(pfs_queue_new(512, model->cursors, &model->queue), 0);
}

static void model_release(struct model *model)
{
	pfs_queue_free(model->queue);
	pfs_ring_free(model->ring);
	pfs_cursors_unref(model->cursors);
	pfs_rings_free(model->rings);
	pthread_mutex_destroy(&model->run);
	free(model->script.items);
	free(model->script.bytes);
}

/* --- the writer ------------------------------------------------------------------------------ */

/* Item i of the script; false: no room for it yet. */
static bool push(struct model *model, size_t i)
{
	const struct item *item = &model->script.items[i];
	struct pfs_ref ref = { .flags = PFS_REF_STREAM_END };
	struct pfs_record *rec;

	if (pfs_queue_room(model->queue, 1) == 0)
		return false;
	if (!item->control) {
		if (pfs_ring_reserve(model->ring, item->len, &rec) < 0)
			return false;
		memcpy(rec + 1, model->script.bytes + item->at, item->len);
		pfs_ring_commit(model->ring, rec);
		ref = pfs_ref_of_record(model->ring, rec, item->pos);
		ref.more = item->more;
	}
	pfs_queue_push(model->queue, &ref, 1);
	return true;
}

static void write_script(struct model *model)
{
	for (size_t i = 0; i < model->script.n;) {
		pthread_mutex_lock(&model->run);
		for (size_t k = 0; k < CHUNK && i < model->script.n && push(model, i); k++)
			i++;
		pthread_mutex_unlock(&model->run);
		sched_yield();
	}
	atomic_store(&model->over, true);
}

/* --- a reader -------------------------------------------------------------------------------- */

/* As it is handed out, so it must be in the script; `off` bytes were handed out before. */
static bool is_item(const struct model *model, uint64_t i, const struct pfs_ref *ref)
{
	const struct item *item = &model->script.items[i];

	if (i >= model->script.n || item->control)
		return i < model->script.n && (ref->flags & PFS_REF_CONTROL);
	return !(ref->flags & PFS_REF_CONTROL) && ref->pos == item->pos && ref->len == item->len &&
	       ref->more == item->more &&
	       memcmp(pfs_ref_bytes(model->rings, ref), model->script.bytes + item->at, ref->len) == 0;
}

/*
 * Had item i to go? Its slot, or its bytes, must be what the writer needed for what it has pushed by now, or is about
 * to; it makes room a sixteenth at a time.
 */
static bool had_to_go(const struct model *model, uint64_t i)
{
	uint64_t head = atomic_load(&model->queue->head);
	uint64_t end = model->script.items[pfs_min64(head, model->script.n - 1)].end;
	uint64_t slots = model->queue->size - model->queue->size / 16;
	uint64_t bytes = model->ring_size - model->ring_size / 16;

	return head - i >= slots || end - model->script.items[i].pos >= bytes;
}

/* After whatever may have moved `next` by what was overtaken: the books must say so. */
static void reader_account(struct reader *r)
{
	uint64_t next = atomic_load(&r->cursor.next);
	uint64_t first = r->at;

	for (; r->at < next; r->at++)
		r->due += weight(&r->model->script.items[r->at]);
	if (next > first && r->reliable)
		r->wrong = "a reliable reader lost something";
	else if (next > first && !had_to_go(r->model, next - 1))
		r->wrong = "something was lost without need";
	if (r->got + pfs_counter_get(&r->cursor.lost) != r->due)
		r->wrong = "got and lost are not what was written";
}

/* Takes none until the writer has overtaken it. A reliable one just takes none for a moment. */
static void reader_lag(struct reader *r)
{
	const struct script *script = &r->model->script;
	uint64_t head = r->at, far;

	do {
		sched_yield();
		head = atomic_load(&r->model->queue->head);
		far = script->items[pfs_min64(head, script->n - 1)].end - script->items[r->at].pos;
	} while (!r->reliable && !atomic_load(&r->model->over) &&
		 head - r->at <= 2 * r->model->queue->size && far <= 2 * r->model->ring_size);
}

/* The rest of the record before `at`, in pieces, as a reader with a small buffer has it. */
static void reader_rest(struct reader *r)
{
	struct pfs_cursor *c = &r->cursor;
	const struct item *item = &r->model->script.items[r->at - 1];
	const uint8_t *bytes;
	uint32_t n = 1 + (uint32_t)rand_r(&r->seed) % c->rest.len;

	pfs_cursor_hold(c);
	pthread_mutex_lock(&c->lock);
	bytes = c->rescued ? c->rescued + (c->rest.off - c->rescued_off)
			   : pfs_ref_bytes(r->model->rings, &c->rest);
	pthread_mutex_unlock(&c->lock);
	if (memcmp(bytes, r->model->script.bytes + item->at + (item->len - c->rest.len), n) != 0)
		r->wrong = c->rescued ? "what was rescued is something else"
				      : "the rest is something else";
	pthread_mutex_lock(&c->lock);
	c->rest.off += n;
	c->rest.len -= n;
	if (c->rest.len == 0) {
		r->rescues += c->rescued != NULL;
		c->begun = false;
		free(TAKE_PTR(c->rescued));
	}
	pthread_mutex_unlock(&c->lock);
	pfs_cursor_unpin(c, 0);
}

/* Of the last of the n refs only a part is taken: the rest is the cursor's. */
static void reader_begin(struct reader *r, const struct pfs_ref *last)
{
	if (!r->cursor.begun && last->len > 1 && rand_r(&r->seed) % 4 == 0) {
		pthread_mutex_lock(&r->cursor.lock);
		r->cursor.rest = *last;
		pfs_ref_narrow(&r->cursor.rest, last->len / 2, last->len - last->len / 2);
		r->cursor.begun = true;
		pthread_mutex_unlock(&r->cursor.lock);
		r->partly++;
	}
}

/* One pin. It may be the last thing that it does: then it stays pinned. */
static void reader_take(struct reader *r)
{
	struct pfs_ref refs[PIN_MAX];
	size_t n = pfs_cursor_pin(&r->cursor, refs, 1 + (size_t)rand_r(&r->seed) % PIN_MAX);

	reader_account(r);
	if (n == 0) {
		sched_yield();
		return;
	}
	for (int look = 0; look < 2 && !r->wrong; look++) {
		for (size_t i = 0; i < n; i++)
			if (!is_item(r->model, r->at + i, &refs[i]))
				r->wrong = look ? "what was pinned has changed"
						: "not what was written";
		if (rand_r(&r->seed) % 400 == 0) {
			r->died = true;
			return;
		}
		if (rand_r(&r->seed) % 4 == 0)
			sched_yield();
	}
	n -= (size_t)rand_r(&r->seed) % n; /* the others are taken next time */
	for (size_t i = 0; i < n; i++, r->at++) {
		r->got += weight(&r->model->script.items[r->at]);
		r->due += weight(&r->model->script.items[r->at]);
	}
	reader_begin(r, &refs[n - 1]);
	pfs_cursor_unpin(&r->cursor, n);
	if (rand_r(&r->seed) % 16 == 0 && r->at < r->model->script.n)
		reader_lag(r);
}

static void *life(void *arg)
{
	struct reader *r = arg;
	bool over;

	do {
		over = atomic_load(&r->model->over);
		while (!r->wrong && !r->died && (r->cursor.begun || pfs_cursor_ready(&r->cursor)))
			r->cursor.begun ? reader_rest(r) : reader_take(r);
		sched_yield();
	} while (!r->wrong && !r->died && !over);
	if (!r->wrong && !r->died && r->at != r->model->script.n)
		r->wrong = "the end did not come";
	return NULL;
}

/* Life after life. Who died is released by another thread than its own, as the kernel's RELEASE is. */
static void *reader_run(void *arg)
{
	struct reader *r = arg;
	pthread_t thread;

	do {
		pthread_mutex_lock(&r->model->run);
		pfs_cursor_init(&r->cursor, r->model->queue, 1 + r->seed % 3, r->reliable);
		pthread_mutex_unlock(&r->model->run);
		r->at = atomic_load(&r->cursor.next);
		r->got = r->due = 0;
		r->died = false;
		r->lives++;
		if (pthread_create(&thread, NULL, life, r) != 0) {
			r->wrong = "no thread";
		} else {
			pthread_join(thread, NULL);
			r->deaths += r->died;
		}
		r->lost += pfs_counter_get(&r->cursor.lost);
		pfs_cursor_release(&r->cursor);
	} while (!r->wrong && r->died);
	return NULL;
}

/* Nobody is there any more, alive or dead: all that there is can be had at once. */
static void nothing_holds(struct model *model)
{
	struct pfs_record *rec;

	for (size_t i = 0; i < 4 * model->queue->size; i++) {
		struct pfs_ref end = { .flags = PFS_REF_EOF };

		assert_int_equal(pfs_queue_room(model->queue, 1), 1);
		pfs_queue_push(model->queue, &end, 1);
		assert_int_equal(pfs_ring_reserve(model->ring, model->ring_size / 8, &rec), 0);
		pfs_ring_commit(model->ring, rec);
	}
}

static void run(size_t ring_size, size_t n, uint32_t max, bool all_lossy, bool rescues)
{
	struct model model;
	struct reader readers[READERS];
	pthread_t threads[READERS];
	unsigned deaths = 0, rescued = 0;
	uint64_t lost = 0;

	model_init(&model, ring_size, n, max);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .model = &model,
					      .reliable = !all_lossy && i % 2,
					      .seed = i + 1 };
		assert_int_equal(pthread_create(&threads[i], NULL, reader_run, &readers[i]), 0);
	}
	write_script(&model);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		if (readers[i].wrong)
			print_error("reader %u (%s), life %u, index %llu: %s\n", i,
				    readers[i].reliable ? "reliable" : "lossy", readers[i].lives,
				    (unsigned long long)readers[i].at, readers[i].wrong);
		deaths += readers[i].deaths;
		rescued += readers[i].rescues;
		lost += readers[i].lost;
	}
	for (unsigned i = 0; i < READERS; i++)
		assert_null(readers[i].wrong);
	/* What it is about has happened. */
	assert_true(atomic_load(&model.ring->head) / ring_size >= 4);
	assert_true(deaths > 0 && lost > 0);
	assert_true(!rescues || rescued > 0);
	nothing_holds(&model);
	model_release(&model);
}

/* Records are overtaken in the ring: it holds fewer of them than the queue. */
static void test_a_tiny_ring(void **state)
{
	(void)state;
	run(16384, 40000, 3000, true, true);
}

/* The writer waits for the reliable ones, dead or alive, and for nobody else. */
static void test_a_tiny_ring_some_reliable(void **state)
{
	(void)state;
	run(16384, 20000, 3000, false, false);
}

/* They are overtaken in the queue. */
static void test_a_short_queue(void **state)
{
	(void)state;
	run(1 << 20, 60000, 1000, true, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_tiny_ring),
		cmocka_unit_test(test_a_tiny_ring_some_reliable),
		cmocka_unit_test(test_a_short_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
