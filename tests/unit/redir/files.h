/*
 * files - calls on a real file, as the layer makes them
 */
#ifndef UNIT_REDIR_FILES_H
#define UNIT_REDIR_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>

#include "redir/chain.h"

#define UNUSED __attribute__((unused))

struct file_call {
	struct rd_call call;
	int fd;
	bool ended;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void file_perform(struct rd_call *call)
{
	struct file_call *fc = CONTAINER_OF(call, struct file_call, call);
	ssize_t n = 0;

	if (call->op == RD_READ)
		n = pread(fc->fd, call->data.bytes, (size_t)call->arg.io.size,
			  (off_t)call->arg.io.offset);
	else if (call->op == RD_WRITE)
		n = pwrite(fc->fd, call->data.bytes, (size_t)call->arg.io.size,
			   (off_t)call->arg.io.offset);
	call->result = n < 0 ? -errno : n;
}

static void file_complete(struct rd_call *call)
{
	struct file_call *fc = CONTAINER_OF(call, struct file_call, call);

	pthread_mutex_lock(&fc->lock);
	fc->ended = true;
	pthread_cond_signal(&fc->cond);
	pthread_mutex_unlock(&fc->lock);
}

static UNUSED int64_t file_call(struct file_call *fc)
{
	pthread_mutex_init(&fc->lock, NULL);
	pthread_cond_init(&fc->cond, NULL);
	fc->ended = false;
	fc->call.perform = file_perform;
	fc->call.complete = file_complete;
	rd_call_run(&fc->call);
	pthread_mutex_lock(&fc->lock);
	while (!fc->ended)
		pthread_cond_wait(&fc->cond, &fc->lock);
	pthread_mutex_unlock(&fc->lock);
	return fc->call.result;
}

/* An operation without bytes. */
static UNUSED int64_t file_op(struct rd_config *config, const char *path, enum rd_op op)
{
	struct file_call fc = {
		.call = { .op = op, .type = S_IFREG, .path = (char *)path, .caller.uid = 1000 }
	};
	int64_t r;

	fc.call.chain = rd_chain_find(config, path);
	r = file_call(&fc);
	rd_chain_unref(fc.call.chain);
	return r;
}

/* A READ into bytes, a WRITE of them. */
static UNUSED int64_t file_io(struct rd_config *config, const char *path, int fd, enum rd_op op,
			      void *bytes, size_t size, uint64_t offset)
{
	struct file_call fc = { .call = { .op = op, .type = S_IFREG, .path = (char *)path }, .fd = fd };
	int64_t r;

	fc.call.chain = rd_chain_find(config, path);
	fc.call.arg.io.offset = offset;
	fc.call.arg.io.size = size;
	assert_int_equal(rd_data_get(fc.call.chain, size, &fc.call.data), 0);
	if (op == RD_WRITE)
		memcpy(fc.call.data.bytes, bytes, size);
	r = file_call(&fc);
	if (op == RD_READ && r > 0)
		memcpy(bytes, fc.call.data.bytes, (size_t)r);
	rd_data_put(&fc.call.data);
	rd_chain_unref(fc.call.chain);
	return r;
}

#define MODEL ((size_t)300000)

/*
 * Writes and reads at any offset and length, appends and truncations, against the same in memory;
 * what lies on the disk is the model with the halves of its bytes swapped.
 */
static UNUSED void file_scrambles(struct rd_config *config, const char *path, int fd, unsigned rounds)
{
	uint8_t *model = calloc(1, MODEL), *bytes = malloc(MODEL);
	size_t len = 0;
	unsigned seed = 7;

	for (unsigned i = 0; i < rounds; i++) {
		size_t at = (unsigned)rand_r(&seed) % (MODEL / 2),
		       n = 1 + (unsigned)rand_r(&seed) % (i % 5 ? 5000 : MODEL / 2 - 1);
		int64_t want;

		switch (rand_r(&seed) % 5) {
		case 0: /* append */
			at = len < MODEL / 2 ? len : 0;
			/* fall through */
		case 1:
			for (size_t j = 0; j < n; j++)
				model[at + j] = bytes[j] = (uint8_t)rand_r(&seed);
			assert_int_equal(file_io(config, path, fd, RD_WRITE, bytes, n, at), n);
			len = at + n > len ? at + n : len;
			break;
		case 2:
			if (at > len) /* what is new are zeros */
				memset(model + len, 0, at - len);
			else
				memset(model + at, 0, MODEL - at);
			len = at;
			assert_int_equal(ftruncate(fd, (off_t)len), 0);
			break;
		default:
			want = at >= len ? 0 : (int64_t)(n < len - at ? n : len - at);
			assert_int_equal(file_io(config, path, fd, RD_READ, bytes, n, at), want);
			assert_memory_equal(bytes, model + at, (size_t)want);
			break;
		}
	}
	assert_int_equal(pread(fd, bytes, MODEL, 0), len);
	for (size_t j = 0; j < len; j++)
		if (bytes[j] != (uint8_t)(model[j] << 4 | model[j] >> 4))
			fail_msg("byte %zu of the file is not scrambled", j);
	free(model);
	free(bytes);
}

#endif
