/*
 * layer_hold - finds a file again, without a descriptor for each
 *
 * By its handle, or by the directory and the name it was seen at; either way the result is compared with the
 * object: a name may mean another file by now. What is gone is reached through whoever has it open, or by a descriptor
 * that was taken before it went (a pin); of these there are few, since the kernel soon forgets what nobody uses.
 */
#include "redir/layer_i.h"

/* Is that the object? A number of its own is not enough of a proof where numbers are used again. */
static int check(const struct rd_layer *layer, const struct rd_object *object, int fd)
{
	struct rd_identity id;
	struct stat st;
	int r;

	if (object->handle_len) {
		if (fstat(fd, &st) < 0)
			return -errno;
		return st.st_ino == object->ino && st.st_dev == object->dev ? 0 : -ESTALE;
	}
	r = rd_identify(layer, fd, "", &id);
	if (r < 0)
		return r;
	return id.st.st_ino == object->ino && id.st.st_dev == object->dev && id.btime == object->btime
		       ? 0
		       : -ESTALE;
}

static int open_handle(const struct rd_layer *layer, const struct rd_object *object, int flags)
{
	union {
		struct file_handle h;
		unsigned char room[sizeof(struct file_handle) + RD_HANDLE_MAX];
	} u;
	int fd;

	u.h.handle_bytes = object->handle_len;
	u.h.handle_type = object->handle_type;
	memcpy(u.h.f_handle, object->handle, object->handle_len);
	fd = open_by_handle_at(layer->mount_fd, &u.h, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Its directory, with a reference, and its name there, owned. */
static int where(struct rd_layer *layer, const struct rd_object *object,
		 struct rd_object **ret_parent, char **ret_name)
{
	int r = -ESTALE;

	pthread_rwlock_rdlock(&layer->names);
	if (object->parent) {
		*ret_name = strdup(object->name);
		r = *ret_name ? 0 : -ENOMEM;
		if (r == 0)
			rd_object_ref(*ret_parent = object->parent);
	}
	pthread_rwlock_unlock(&layer->names);
	return r;
}

static int open_named(struct rd_layer *layer, struct rd_object *object)
{
	RD_HOLD struct rd_hold dir = RD_HOLD_INIT;
	struct rd_object *parent;
	PFS_FREE char *name = NULL;
	int r = where(layer, object, &parent, &name), fd;

	if (r < 0)
		return r;
	r = rd_hold(layer, parent, &dir);
	fd = r < 0 ? r : openat(dir.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (r == 0 && fd < 0)
		fd = errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
	rd_object_unref(layer, parent, 1);
	return fd;
}

/* Somebody has it open, or it was pinned: another descriptor of that. */
static int open_as_open(struct rd_object *object)
{
	char path[RD_PROC_SIZE];
	int fd = -ESTALE;

	pthread_mutex_lock(&object->lock);
	if (object->pin >= 0)
		fd = fcntl(object->pin, F_DUPFD_CLOEXEC, 0);
	else if (object->files && object->files->fd >= 0)
		fd = open(rd_proc(object->files->fd, path), O_PATH | O_CLOEXEC);
	if (fd == -1)
		fd = -errno;
	pthread_mutex_unlock(&object->lock);
	return fd;
}

/* O_PATH. */
static int find(struct rd_layer *layer, struct rd_object *object)
{
	int fd = object->handle_len ? open_handle(layer, object, O_PATH | O_NOFOLLOW)
				    : open_named(layer, object),
	    r;

	if (fd >= 0) {
		r = check(layer, object, fd);
		if (r == 0)
			return fd;
		close(fd);
		fd = r;
	}
	if (fd == -ESTALE)
		fd = open_as_open(object);
	return fd;
}

int rd_object_open(struct rd_layer *layer, struct rd_object *object, int flags)
{
	RD_HOLD struct rd_hold hold = RD_HOLD_INIT;
	char path[RD_PROC_SIZE];
	int fd, r;

	if (object->handle_len) {
		fd = open_handle(layer, object, flags);
		if (fd >= 0) {
			r = check(layer, object, fd);
			if (r == 0)
				return fd;
			close(fd);
			return r;
		}
		if (fd != -ESTALE)
			return fd;
	}
	r = rd_hold(layer, object, &hold);
	if (r < 0)
		return r;
	fd = open(rd_proc(hold.fd, path), (flags & ~O_NOFOLLOW) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void rd_object_pin(struct rd_layer *layer, struct rd_object *object, int dirfd, const char *name)
{
	int fd;

	if (atomic_fetch_add(&layer->pins, 1) >= layer->kept.max)
		fd = -1;
	else
		fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		pthread_mutex_lock(&object->lock);
		if (object->pin < 0 && check(layer, object, fd) == 0)
			object->pin = TAKE_FD(fd);
		pthread_mutex_unlock(&object->lock);
		if (fd < 0)
			return;
		close(fd);
	}
	atomic_fetch_sub(&layer->pins, 1);
}

/* --- descriptors of directories are kept for a while ---------------------------------- */

static void kept_unlink(struct rd_layer *layer, struct rd_kept *kept)
{
	*(kept->prev ? &kept->prev->next : &layer->kept.first) = kept->next;
	*(kept->next ? &kept->next->prev : &layer->kept.last) = kept->prev;
	kept->prev = kept->next = NULL;
}

static void kept_first(struct rd_layer *layer, struct rd_kept *kept)
{
	kept->next = layer->kept.first;
	*(kept->next ? &kept->next->prev : &layer->kept.last) = kept;
	layer->kept.first = kept;
}

static bool kept_take(struct rd_layer *layer, struct rd_object *object, struct rd_hold *hold)
{
	struct rd_kept *kept;

	pthread_mutex_lock(&layer->kept.lock);
	kept = object->kept;
	if (kept) {
		kept->users++;
		if (layer->kept.first != kept) {
			kept_unlink(layer, kept);
			kept_first(layer, kept);
		}
		hold->kept = kept;
		hold->fd = kept->fd;
	}
	pthread_mutex_unlock(&layer->kept.lock);
	return kept;
}

/* Keeps hold->fd; the one that was used longest ago goes. */
static void kept_add(struct rd_layer *layer, struct rd_object *object, struct rd_hold *hold)
{
	struct rd_kept *kept = pfs_zalloc(1, sizeof(*kept)), *old = NULL;

	if (!kept)
		return;
	*kept = (struct rd_kept){ .object = object, .fd = hold->fd, .users = 1 };
	pthread_mutex_lock(&layer->kept.lock);
	if (!object->kept) {
		object->kept = hold->kept = kept;
		hold->own = false;
		kept_first(layer, TAKE_PTR(kept));
		layer->kept.count++;
	}
	for (old = layer->kept.count > layer->kept.max ? layer->kept.last : NULL; old && old->users;
	     old = old->prev)
		;
	if (old) {
		kept_unlink(layer, old);
		old->object->kept = NULL;
		layer->kept.count--;
	}
	pthread_mutex_unlock(&layer->kept.lock);
	if (old) {
		close(old->fd);
		free(old);
	}
	free(kept);
}

int rd_hold(struct rd_layer *layer, struct rd_object *object, struct rd_hold *hold)
{
	hold->layer = layer;
	if (object == layer->root) {
		hold->fd = layer->root_fd;
		return 0;
	}
	if (S_ISDIR(object->type) && kept_take(layer, object, hold))
		return 0;
	hold->fd = find(layer, object);
	if (hold->fd < 0)
		return hold->fd;
	hold->own = true;
	if (S_ISDIR(object->type))
		kept_add(layer, object, hold);
	return 0;
}

void rd_unhold(struct rd_hold *hold)
{
	if (hold->kept) {
		pthread_mutex_lock(&hold->layer->kept.lock);
		hold->kept->users--;
		pthread_mutex_unlock(&hold->layer->kept.lock);
	} else if (hold->own && hold->fd >= 0) {
		close(hold->fd);
	}
	*hold = (struct rd_hold)RD_HOLD_INIT;
}
