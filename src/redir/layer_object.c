/*
 * layer_object - the table of objects: found or made in one critical section, freed with the last reference
 */
#include "redir/layer_i.h"

#include <sys/sysmacros.h>

#define BUCKETS_FIRST 64
#define NS 1000000000ULL

/* --- looking at a file ---------------------------------------------------------------- */

static void identify_handle(const struct rd_layer *layer, int dirfd, const char *name,
			    struct rd_identity *id)
{
	union {
		struct file_handle h;
		unsigned char room[sizeof(struct file_handle) + RD_HANDLE_MAX];
	} u = { .h = { .handle_bytes = RD_HANDLE_MAX } };
	int mount;

	id->handle.len = 0;
	if (layer->mount_fd < 0 ||
	    name_to_handle_at(dirfd, name, &u.h, &mount, *name ? 0 : AT_EMPTY_PATH) < 0)
		return;
	id->handle.type = u.h.handle_type;
	id->handle.len = u.h.handle_bytes;
	memcpy(id->handle.bytes, u.h.f_handle, id->handle.len);
}

void rd_stat_from_statx(const struct statx *sx, struct stat *st)
{
	*st = (struct stat){
		.st_dev = makedev(sx->stx_dev_major, sx->stx_dev_minor),
		.st_ino = sx->stx_ino,
		.st_mode = sx->stx_mode,
		.st_nlink = sx->stx_nlink,
		.st_uid = sx->stx_uid,
		.st_gid = sx->stx_gid,
		.st_rdev = makedev(sx->stx_rdev_major, sx->stx_rdev_minor),
		.st_size = (off_t)sx->stx_size,
		.st_blksize = (blksize_t)sx->stx_blksize,
		.st_blocks = (blkcnt_t)sx->stx_blocks,
		.st_atim = { sx->stx_atime.tv_sec, sx->stx_atime.tv_nsec },
		.st_mtim = { sx->stx_mtime.tv_sec, sx->stx_mtime.tv_nsec },
		.st_ctim = { sx->stx_ctime.tv_sec, sx->stx_ctime.tv_nsec },
	};
}

int rd_identify(const struct rd_layer *layer, int dirfd, const char *name, struct rd_identity *id)
{
	struct statx sx;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_BTIME, &sx) < 0)
		return -errno;
	rd_stat_from_statx(&sx, &id->st);
	id->btime = sx.stx_mask & STATX_BTIME
			    ? (uint64_t)sx.stx_btime.tv_sec * NS + sx.stx_btime.tv_nsec
			    : 0;
	identify_handle(layer, dirfd, name, id);
	return 0;
}

/* --- the table ------------------------------------------------------------------------ */

static uint64_t identity_hash(const struct rd_layer *layer, const struct rd_identity *id)
{
	const uint64_t words[] = { id->st.st_dev, id->st.st_ino };

	return pfs_hash_words(&layer->seed, words, ARRAY_SIZE(words));
}

static bool is_same(const struct rd_object *object, const struct rd_identity *id)
{
	if (object->ino != id->st.st_ino || object->dev != id->st.st_dev ||
	    object->type != (id->st.st_mode & S_IFMT) || object->handle_len != id->handle.len)
		return false;
	if (id->handle.len)
		return object->handle_type == id->handle.type &&
		       !memcmp(object->handle, id->handle.bytes, id->handle.len);
	return object->btime == id->btime;
}

static struct rd_shard *shard_of(struct rd_layer *layer, uint64_t hash)
{
	return &layer->shard[hash >> 58];
}

static_assert(RD_SHARDS == 64, "six bits");

/* Twice the buckets; without memory the lists only get longer. The lock is held. */
static void shard_grow(struct rd_shard *shard)
{
	size_t n = shard->buckets * 2;
	struct rd_object **bucket = pfs_zalloc(n, sizeof(struct rd_object *));

	if (!bucket)
		return;
	for (size_t i = 0; i < shard->buckets; i++) {
		struct rd_object *object = shard->bucket[i], *next;

		for (; object; object = next) {
			next = object->next;
			object->next = bucket[object->hash & (n - 1)];
			bucket[object->hash & (n - 1)] = object;
		}
	}
	free(shard->bucket);
	shard->bucket = bucket;
	shard->buckets = n;
}

/* Found, with a reference. The lock is held. */
static struct rd_object *shard_find(struct rd_shard *shard, uint64_t hash, const struct rd_identity *id)
{
	struct rd_object *object = shard->bucket[hash & (shard->buckets - 1)];

	for (; object; object = object->next)
		if (object->hash == hash && is_same(object, id)) {
			rd_object_ref(object);
			return object;
		}
	return NULL;
}

static struct rd_object *object_new(struct rd_layer *layer, uint64_t hash, const struct rd_identity *id)
{
	struct rd_object *object = pfs_zalloc(1, sizeof(*object) + id->handle.len);

	if (!object)
		return NULL;
	object->hash = hash;
	atomic_init(&object->refs, 1);
	object->generation = atomic_fetch_add(&layer->generation, 1);
	object->dev = id->st.st_dev;
	object->ino = id->st.st_ino;
	object->btime = id->btime;
	object->type = id->st.st_mode & S_IFMT;
	object->pin = -1;
	object->handle_type = id->handle.type;
	object->handle_len = id->handle.len;
	memcpy(object->handle, id->handle.bytes, id->handle.len);
	pthread_mutex_init(&object->lock, NULL);
	atomic_fetch_add(&layer->objects, 1);
	return object;
}

/* Nobody has it any more. Returns the directory it was in, whose reference is now the caller's. */
static struct rd_object *object_free(struct rd_layer *layer, struct rd_object *object)
{
	struct rd_object *parent = object->parent;
	struct rd_kept *kept;

	pthread_mutex_lock(&layer->kept.lock);
	kept = object->kept;
	if (kept) {
		*(kept->prev ? &kept->prev->next : &layer->kept.first) = kept->next;
		*(kept->next ? &kept->next->prev : &layer->kept.last) = kept->prev;
		layer->kept.count--;
	}
	pthread_mutex_unlock(&layer->kept.lock);
	if (kept) {
		close(kept->fd);
		free(kept);
	}
	if (object->pin >= 0) {
		close(object->pin);
		atomic_fetch_sub(&layer->pins, 1);
	}
	if (layer->chains) {
		layer->chains->slots_release(&object->slots);
		if (object->chain)
			layer->chains->unref(object->chain);
	}
	pthread_mutex_destroy(&object->lock);
	free(object->name);
	free(object);
	atomic_fetch_sub(&layer->objects, 1);
	return parent;
}

void rd_object_unref(struct rd_layer *layer, struct rd_object *object, uint64_t n)
{
	while (object && n) {
		struct rd_shard *shard = shard_of(layer, object->hash);
		struct rd_object **at;

		pthread_mutex_lock(&shard->lock);
		if (atomic_fetch_sub(&object->refs, n) != n) {
			pthread_mutex_unlock(&shard->lock);
			return;
		}
		at = &shard->bucket[object->hash & (shard->buckets - 1)];
		while (*at != object)
			at = &(*at)->next;
		*at = object->next;
		shard->count--;
		pthread_mutex_unlock(&shard->lock);
		object = object_free(layer, object);
		n = 1;
	}
}

struct rd_object *rd_object_find(struct rd_layer *layer, const struct rd_identity *id)
{
	uint64_t hash = identity_hash(layer, id);
	struct rd_shard *shard = shard_of(layer, hash);
	struct rd_object *object;

	pthread_mutex_lock(&shard->lock);
	object = shard_find(shard, hash, id);
	pthread_mutex_unlock(&shard->lock);
	return object;
}

struct rd_object *rd_object_get(struct rd_layer *layer, const struct rd_identity *id,
				struct rd_object *parent, const char *name)
{
	uint64_t hash = identity_hash(layer, id);
	struct rd_shard *shard = shard_of(layer, hash);
	struct rd_object *object;
	bool same;

	pthread_mutex_lock(&shard->lock);
	object = shard_find(shard, hash, id);
	if (!object) {
		object = object_new(layer, hash, id);
		if (object) {
			if (++shard->count > shard->buckets)
				shard_grow(shard);
			object->next = shard->bucket[hash & (shard->buckets - 1)];
			shard->bucket[hash & (shard->buckets - 1)] = object;
		}
	}
	pthread_mutex_unlock(&shard->lock);
	if (!object || !name)
		return object;
	pthread_rwlock_rdlock(&layer->names);
	same = object->parent == parent && object->name && !strcmp(object->name, name);
	pthread_rwlock_unlock(&layer->names);
	if (!same && object != layer->root)
		rd_object_rename(layer, object, parent, name);
	return object;
}

/* --- names ---------------------------------------------------------------------------- */

void rd_object_rename(struct rd_layer *layer, struct rd_object *object, struct rd_object *parent,
		      const char *name)
{
	char *copy = parent ? strdup(name) : NULL, *old_name;
	struct rd_object *old;

	/* Without memory for the name it is found by its handle only. */
	if (!copy)
		parent = NULL;
	if (parent)
		rd_object_ref(parent);
	pthread_rwlock_wrlock(&layer->names);
	old = object->parent;
	old_name = object->name;
	object->parent = parent;
	object->name = copy;
	pthread_rwlock_unlock(&layer->names);
	free(old_name);
	if (old)
		rd_object_unref(layer, old, 1);
	pthread_mutex_lock(&object->lock);
	object->chain_serial = 0;
	pthread_mutex_unlock(&object->lock);
}

char *rd_object_path(struct rd_layer *layer, const struct rd_object *object, const char *name)
{
	size_t dir = strlen(layer->dir), len = name ? strlen(name) + 1 : 0, at;
	const struct rd_object *o;
	char *path = NULL;

	if (!strcmp(layer->dir, "/"))
		dir = 0;
	pthread_rwlock_rdlock(&layer->names);
	for (o = object; o != layer->root && o->parent; o = o->parent)
		len += strlen(o->name) + 1;
	if (o != layer->root) {
		path = strdup("");
	} else if ((path = malloc(dir + len + 2))) {
		at = dir + len;
		path[at] = '\0';
		if (name) {
			at -= strlen(name);
			memcpy(path + at, name, strlen(name));
			path[--at] = '/';
		}
		for (o = object; o != layer->root; o = o->parent) {
			at -= strlen(o->name);
			memcpy(path + at, o->name, strlen(o->name));
			path[--at] = '/';
		}
		memcpy(path, layer->dir, dir);
		if (dir + len == 0)
			memcpy(path, "/", sizeof("/"));
	}
	pthread_rwlock_unlock(&layer->names);
	return path;
}

ino_t rd_ino_told(struct rd_layer *layer, dev_t dev, ino_t ino)
{
	size_t i;

	if (dev == layer->root->dev)
		return ino;
	/* Other devices (subvolumes; mounts, where we cannot take them off): numbered as they are met. */
	pthread_mutex_lock(&layer->devices.lock);
	for (i = 0; i < layer->devices.count && layer->devices.dev[i] != dev; i++)
		;
	if (i == layer->devices.count) {
		dev_t *more = reallocarray(layer->devices.dev, i + 1, sizeof(dev_t));

		if (more) {
			layer->devices.dev = more;
			layer->devices.dev[layer->devices.count++] = dev;
		}
	}
	pthread_mutex_unlock(&layer->devices.lock);
	return ino ^ (ino_t)(i + 1) << 44;
}

/* --- chains --------------------------------------------------------------------------- */

const struct rd_chain *rd_object_chain(struct rd_layer *layer, struct rd_object *object)
{
	const struct rd_chains *chains = layer->chains;
	const struct rd_chain *chain, *old;
	PFS_FREE char *path = NULL;
	uint64_t serial;

	if (!chains)
		return NULL;
	serial = chains->serial(layer->config) + 1; /* 0: none was looked for */
	pthread_mutex_lock(&object->lock);
	chain = object->chain_serial == serial ? chains->ref(object->chain) : NULL;
	pthread_mutex_unlock(&object->lock);
	if (chain)
		return chain;
	path = rd_object_path(layer, object, NULL);
	/* A file that lost its name keeps its chain. */
	if (!path || (!*path && object->chain)) {
		pthread_mutex_lock(&object->lock);
		chain = object->chain ? chains->ref(object->chain) : NULL;
		pthread_mutex_unlock(&object->lock);
		return chain;
	}
	chain = chains->find(layer->config, path);
	if (!chain)
		return NULL;
	pthread_mutex_lock(&object->lock);
	old = object->chain;
	object->chain = chains->ref(chain);
	object->chain_serial = serial;
	pthread_mutex_unlock(&object->lock);
	if (old)
		chains->unref(old);
	return chain;
}

/* --- all of them ---------------------------------------------------------------------- */

int rd_objects_init(struct rd_layer *layer)
{
	struct rd_identity id;
	int r;

	pfs_seed_init(&layer->seed);
	pthread_rwlock_init(&layer->names, NULL);
	pthread_mutex_init(&layer->kept.lock, NULL);
	pthread_mutex_init(&layer->devices.lock, NULL);
	for (size_t i = 0; i < RD_SHARDS; i++) {
		pthread_mutex_init(&layer->shard[i].lock, NULL);
		layer->shard[i].buckets = BUCKETS_FIRST;
		layer->shard[i].bucket = pfs_zalloc(BUCKETS_FIRST, sizeof(struct rd_object *));
		if (!layer->shard[i].bucket)
			return -ENOMEM;
	}
	r = rd_identify(layer, layer->root_fd, "", &id);
	if (r < 0)
		return r;
	layer->root = rd_object_get(layer, &id, NULL, NULL);
	return layer->root ? 0 : -ENOMEM;
}

void rd_objects_release(struct rd_layer *layer)
{
	for (size_t i = 0; i < RD_SHARDS; i++) {
		struct rd_shard *shard = &layer->shard[i];

		for (size_t b = 0; shard->bucket && b < shard->buckets; b++) {
			struct rd_object *object = shard->bucket[b], *next;

			for (; object; object = next) {
				next = object->next;
				while (object->files)
					rd_file_free(layer, object->files);
				object_free(layer, object);
			}
		}
		free(shard->bucket);
		pthread_mutex_destroy(&shard->lock);
	}
	free(layer->devices.dev);
}
