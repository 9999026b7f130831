#include "redir/hook.h"

#include <sys/eventfd.h>

#include "redir/hook_i.h"

#define SLOT_LOCKS 32

/* What a filter keeps; known by its hook. */
struct rd_slot {
	struct rd_slot *next;
	struct rd_hook *hook; /* a reference: the code of free() stays */
	uint64_t value;
	rd_keep_free *free;
};

static pthread_mutex_t slot_locks[SLOT_LOCKS] = { [0 ... SLOT_LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER };

void rd_hook_init(struct rd_hook *hook, const struct rd_hook_ops *ops)
{
	hook->ops = ops;
	hook->refs = 1;
	hook->inside = 0;
	hook->empty_fd = -1;
	pthread_mutex_init(&hook->lock, NULL);
	pthread_cond_init(&hook->empty, NULL);
}

struct rd_hook *rd_hook_ref(struct rd_hook *hook)
{
	atomic_fetch_add(&hook->refs, 1);
	return hook;
}

void rd_hook_unref(struct rd_hook *hook)
{
	if (!hook || atomic_fetch_sub(&hook->refs, 1) > 1)
		return;
	pthread_cond_destroy(&hook->empty);
	pthread_mutex_destroy(&hook->lock);
	hook->ops->free(hook);
}

void rd_hook_enter(struct rd_hook *hook)
{
	pthread_mutex_lock(&hook->lock);
	hook->inside++;
	pthread_mutex_unlock(&hook->lock);
}

void rd_hook_leave(struct rd_hook *hook)
{
	pthread_mutex_lock(&hook->lock);
	if (--hook->inside == 0) {
		pthread_cond_broadcast(&hook->empty);
		if (hook->empty_fd >= 0)
			eventfd_write(hook->empty_fd, 1);
	}
	pthread_mutex_unlock(&hook->lock);
}

void rd_hook_drain(struct rd_hook *hook)
{
	pthread_mutex_lock(&hook->lock);
	while (hook->inside > 0)
		pthread_cond_wait(&hook->empty, &hook->lock);
	pthread_mutex_unlock(&hook->lock);
}

bool rd_hook_is_empty(struct rd_hook *hook, int event_fd)
{
	bool empty;

	pthread_mutex_lock(&hook->lock);
	empty = hook->inside == 0;
	hook->empty_fd = empty ? -1 : event_fd;
	pthread_mutex_unlock(&hook->lock);
	return empty;
}

/* --- what filters keep -------------------------------------------------------------------------- */

static pthread_mutex_t *slots_lock(const struct rd_slots *slots)
{
	return &slot_locks[((uintptr_t)slots >> 6) % SLOT_LOCKS];
}

static struct rd_slot **slot_of(struct rd_slots *slots, const struct rd_hook *hook)
{
	struct rd_slot **at = &slots->first;

	while (*at && (*at)->hook != hook)
		at = &(*at)->next;
	return at;
}

int rd_slots_attach(struct rd_slots *slots, struct rd_hook *hook, uint64_t value,
		    rd_keep_free *free_value, uint64_t *ret_there)
{
	struct rd_slot *new, **at;
	int r = 0;

	if (!slots)
		return -ENOENT;
	new = pfs_zalloc(1, sizeof(*new));
	if (!new)
		return -ENOMEM;
	*new = (struct rd_slot){ .hook = rd_hook_ref(hook), .value = value, .free = free_value };
	pthread_mutex_lock(slots_lock(slots));
	at = slot_of(slots, hook);
	if (*at) {
		r = -EEXIST;
		if (ret_there)
			*ret_there = (*at)->value;
	} else {
		*at = TAKE_PTR(new);
	}
	pthread_mutex_unlock(slots_lock(slots));
	if (new)
		rd_hook_unref(new->hook);
	free(new);
	return r;
}

bool rd_slots_find(struct rd_slots *slots, const struct rd_hook *hook, uint64_t *ret_value)
{
	struct rd_slot *slot;

	if (!slots)
		return false;
	pthread_mutex_lock(slots_lock(slots));
	slot = *slot_of(slots, hook);
	if (slot)
		*ret_value = slot->value;
	pthread_mutex_unlock(slots_lock(slots));
	return slot;
}

int rd_slots_detach(struct rd_slots *slots, const struct rd_hook *hook, uint64_t *ret_value)
{
	struct rd_slot *slot, **at;

	if (!slots)
		return -ENOENT;
	pthread_mutex_lock(slots_lock(slots));
	at = slot_of(slots, hook);
	slot = *at;
	if (slot)
		*at = slot->next;
	pthread_mutex_unlock(slots_lock(slots));
	if (!slot)
		return -ENOENT;
	*ret_value = slot->value;
	rd_hook_unref(slot->hook);
	free(slot);
	return 0;
}

void rd_slots_release(struct rd_slots *slots)
{
	struct rd_slot *slot, *next;

	pthread_mutex_lock(slots_lock(slots));
	slot = TAKE_PTR(slots->first);
	pthread_mutex_unlock(slots_lock(slots));
	for (; slot; slot = next) {
		next = slot->next;
		if (slot->free)
			slot->free(slot->hook, slot->value);
		rd_hook_unref(slot->hook);
		free(slot);
	}
}
