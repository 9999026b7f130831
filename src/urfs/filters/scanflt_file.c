#include "urfs/filters/scanflt_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ULL
#define TICK (20 * NS / 1000)  /* times are those of the last tick; at most 10 ms */
#define COARSE (2 * NS + TICK) /* whole seconds, or two */
#define TRIES 3

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

const char *const scan_verdict_names[] = { "clean", "found", "too-large", "expired", "failed" };

/* --- the setup, the engine --- */

int scan_setup_new(struct scan_conf *conf, uint64_t version, struct scan_setup **ret_setup,
		   char error[SCAN_ERROR_SIZE])
{
	struct scan_setup *setup = calloc(1, sizeof(*setup));
	int r = setup ? scan_rules_new(conf, &setup->rules, error) : -ENOMEM;

	if (r < 0) {
		scan_conf_release(conf);
		free(setup);
		return r;
	}
	setup->refs = 1;
	setup->version = version;
	setup->conf = *conf;
	*conf = (struct scan_conf){ 0 };
	*ret_setup = setup;
	return 0;
}

void scan_setup_unref(struct scan_setup *setup)
{
	if (!setup || atomic_fetch_sub(&setup->refs, 1) > 1)
		return;
	scan_rules_free(setup->rules);
	scan_conf_release(&setup->conf);
	free(setup);
}

int scan_engine_init(struct scan_engine *engine, size_t entries)
{
	pthread_condattr_t attr;

	memset(engine, 0, sizeof(*engine));
	pthread_mutex_init(&engine->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&engine->free, &attr);
	pthread_condattr_destroy(&attr);
	return scan_cache_new(entries, &engine->cache);
}

void scan_engine_release(struct scan_engine *engine)
{
	scan_cache_free(engine->cache);
	engine->cache = NULL;
	pthread_cond_destroy(&engine->free);
	pthread_mutex_destroy(&engine->lock);
}

bool scan_denies(const struct scan_setup *setup, enum scan_verdict verdict)
{
	switch (verdict) {
	case SCAN_CLEAN:
		return false;
	case SCAN_TOO_LARGE:
		return setup->conf.deny_large;
	case SCAN_EXPIRED:
		return setup->conf.deny_expired;
	case SCAN_FAILED:
		return setup->conf.deny_failed;
	default:
		return true;
	}
}

static uint64_t now_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

/* One of the scans that may be made at the same time. */
static int slot_take(struct scan_engine *engine, unsigned scans, uint64_t until)
{
	const struct timespec end = { (time_t)(until / NS), (long)(until % NS) };
	int r = 0;

	pthread_mutex_lock(&engine->lock);
	while (r == 0 && engine->scanning >= scans)
		r = pthread_cond_timedwait(&engine->free, &engine->lock, &end);
	if (engine->scanning < scans) {
		engine->scanning++;
		r = 0;
	}
	pthread_mutex_unlock(&engine->lock);
	return r == 0 ? 0 : -ETIMEDOUT;
}

static void slot_give(struct scan_engine *engine)
{
	pthread_mutex_lock(&engine->lock);
	engine->scanning--;
	pthread_cond_signal(&engine->free);
	pthread_mutex_unlock(&engine->lock);
}

/* --- may it be kept? --- */

/*
 * Has anybody got it open for writing, or mapped so? A lease for reading is given when not. Who opens it
 * in this moment waits until it is given back; the signal with which we are told is one that does nothing.
 * Where there are no leases nobody knows.
 */
int scan_is_written(int fd)
{
	fcntl(fd, F_SETSIG, SIGURG);
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN ? 1 : -errno;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return 0;
}

static pthread_once_t kernel_once = PTHREAD_ONCE_INIT;
static bool kernel_multigrain;

static void kernel_look(void)
{
	struct utsname name;
	unsigned major = 0, minor = 0;

	if (uname(&name) == 0 && sscanf(name.release, "%u.%u", &major, &minor) == 2)
		kernel_multigrain = major > 6 || (major == 6 && minor >= 13);
}

/* Does each change after a look at the file get a time of its own? */
static bool is_multigrain(int fd)
{
	struct statfs fs;
	int flags = 0;

	pthread_once(&kernel_once, kernel_look);
	if (!kernel_multigrain || fstatfs(fd, &fs) < 0)
		return false;
	switch ((unsigned long)fs.f_type) {
	case EXT4_SUPER_MAGIC: /* ext2 and ext3 have the same number, but no extents */
		return ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_EXTENT_FL;
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

/* Would a change after that moment (ns, real time) show? */
static bool is_settled(int fd, const struct scan_key *key, uint64_t moment)
{
	bool coarse = key->ctime % NS == 0;

	if (key->ctime + (coarse ? COARSE : TICK) < moment)
		return true;
	return !coarse && is_multigrain(fd);
}

/* --- one scan --- */

struct work {
	struct scan_engine *engine;
	const struct scan_setup *setup;
	const struct scan_file *file;
	uint64_t until;
	struct scan_key key; /* as it was scanned */
	bool keep;
};

/* Its bytes. -EFBIG: more than are scanned. */
static int read_all(int fd, uint64_t max, uint64_t size, uint8_t **ret_bytes, size_t *ret_len)
{
	size_t room = (size_t)(size < max ? size : max) + 1, len = 0;
	uint8_t *bytes = malloc(room), *more;
	ssize_t n = 1;

	while (bytes && n > 0) {
		n = pread(fd, bytes + len, room - len, (off_t)len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			len += (size_t)n;
		if (len < room || n <= 0)
			continue;
		if (len > max) {
			n = -1;
			errno = EFBIG;
			break;
		}
		/* It has grown meanwhile. */
		room = (size_t)(room * 2 <= max ? room * 2 : max + 1);
		more = realloc(bytes, room);
		if (!more) {
			free(bytes);
			return -ENOMEM;
		}
		bytes = more;
	}
	if (!bytes)
		return -ENOMEM;
	if (n < 0) {
		free(bytes);
		return -errno;
	}
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

static enum scan_verdict verdict_of(int error, const struct scan_result *result)
{
	if (error == 0)
		return result->found ? SCAN_FOUND : SCAN_CLEAN;
	return error == -EFBIG ? SCAN_TOO_LARGE : error == -ETIMEDOUT ? SCAN_EXPIRED : SCAN_FAILED;
}

static enum scan_verdict scan_once(struct work *work, int fd, uint64_t size, struct scan_result *result)
{
	struct scan_numbers *numbers = &work->engine->numbers;
	uint64_t now = now_of(CLOCK_MONOTONIC);
	uint8_t *bytes = NULL;
	size_t len = 0;
	int r;

	if (now >= work->until)
		return SCAN_EXPIRED;
	r = read_all(fd, work->setup->conf.max_size, size, &bytes, &len);
	if (r < 0)
		return verdict_of(r, result);
	atomic_fetch_add(&numbers->scanned, 1);
	atomic_fetch_add(&numbers->bytes, len);
	r = scan_rules_apply(work->setup->rules, bytes, len,
			     (unsigned)((work->until - now + NS - 1) / NS), result);
	free(bytes);
	return verdict_of(r, result);
}

/* Until it stays as it is meanwhile. */
static enum scan_verdict scan_stable(struct work *work, int fd, struct scan_result *result)
{
	enum scan_verdict verdict = SCAN_FAILED;
	struct stat before, after;

	for (int i = 0; i < TRIES; i++) {
		struct scan_key now;
		bool written = scan_is_written(fd) != 0;
		uint64_t moment = now_of(CLOCK_REALTIME);

		if ((written && work->file->quiet) || fstat(fd, &before) < 0)
			return SCAN_FAILED;
		work->key = scan_key_of(&before, work->file->generation, work->setup->version);
		verdict = scan_once(work, fd, (uint64_t)before.st_size, result);
		if (verdict > SCAN_FOUND || fstat(fd, &after) < 0)
			return verdict;
		now = scan_key_of(&after, work->file->generation, work->setup->version);
		work->keep = memcmp(&now, &work->key, sizeof(now)) == 0;
		if (work->keep) {
			work->keep = !written && is_settled(fd, &now, moment);
			return verdict;
		}
		if (work->file->quiet)
			return SCAN_FAILED;
		atomic_fetch_add(&work->engine->numbers.changed, 1);
	}
	return verdict; /* somebody writes all the time: this is what it was a moment ago */
}

static enum scan_verdict scan_claimed(struct work *work, const struct scan_key *asked,
				      struct scan_result *result)
{
	enum scan_verdict verdict;
	int fd;

	if (slot_take(work->engine, work->setup->conf.scans, work->until) < 0)
		return SCAN_EXPIRED;
	fd = work->file->open(work->file->arg);
	verdict = fd < 0 ? SCAN_FAILED : scan_stable(work, fd, result);
	if (fd >= 0)
		close(fd);
	slot_give(work->engine);
	/* What is kept is what was asked about. */
	work->keep = work->keep && verdict <= SCAN_FOUND &&
		     memcmp(asked, &work->key, sizeof(*asked)) == 0;
	return verdict;
}

enum scan_verdict scan_file(struct scan_engine *engine, const struct scan_setup *setup,
			    const struct scan_file *file, struct scan_result *ret_result)
{
	struct scan_key key = scan_key_of(file->stat, file->generation, setup->version);
	struct work work = { .engine = engine,
			     .setup = setup,
			     .file = file,
			     .until = now_of(CLOCK_MONOTONIC) + setup->conf.max_time * NS };
	struct scan_claim *claim;
	enum scan_verdict verdict;
	int r;

	*ret_result = (struct scan_result){ .found = false };
	if ((uint64_t)file->stat->st_size > setup->conf.max_size)
		return SCAN_TOO_LARGE;
	r = scan_cache_begin(engine->cache, &key, work.until, ret_result, &claim);
	if (file->ret_cached)
		*file->ret_cached = r == 1;
	if (r != 0)
		return r < 0 ? SCAN_EXPIRED : ret_result->found ? SCAN_FOUND : SCAN_CLEAN;
	verdict = scan_claimed(&work, &key, ret_result);
	scan_cache_end(engine->cache, claim, work.keep ? ret_result : NULL);
	if (work.keep && claim)
		atomic_fetch_add(&engine->numbers.kept, 1);
	return verdict;
}
