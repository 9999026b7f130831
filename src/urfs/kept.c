#include "urfs/kept.h"

#include <errno.h>
#include <stdlib.h>

struct urfs_kept_entry {
	void *data; /* NULL: free */
	void (*free_cb)(void *);
	uint32_t generation;
	uint32_t next; /* of free ones */
};

void urfs_kept_init(struct urfs_kept *kept)
{
	*kept = (struct urfs_kept){ .n = 0 };
	pthread_mutex_init(&kept->lock, NULL);
}

void urfs_kept_release(struct urfs_kept *kept)
{
	for (uint32_t i = 0; i < kept->n; i++)
		if (kept->entries[i].data && kept->entries[i].free_cb)
			kept->entries[i].free_cb(kept->entries[i].data);
	free(kept->entries);
	pthread_mutex_destroy(&kept->lock);
}

/* Twice as many. Locked. */
static int grow(struct urfs_kept *kept)
{
	uint32_t n = kept->n ? kept->n * 2 : 64;
	struct urfs_kept_entry *entries;

	if (n > (uint32_t)1 << 24)
		return -ENOMEM;
	entries = reallocarray(kept->entries, n, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (uint32_t i = kept->n; i < n; i++)
		entries[i] = (struct urfs_kept_entry){ .generation = 1, .next = i + 1 };
	kept->entries = entries;
	kept->free = kept->n;
	kept->n = n;
	return 0;
}

int urfs_kept_add(struct urfs_kept *kept, void *data, void (*free_cb)(void *), uint64_t *ret_number)
{
	struct urfs_kept_entry *entry;
	int r = 0;

	pthread_mutex_lock(&kept->lock);
	if (kept->free == kept->n)
		r = grow(kept);
	if (r == 0) {
		entry = &kept->entries[kept->free];
		*ret_number = (uint64_t)entry->generation << 32 | kept->free;
		kept->free = entry->next;
		entry->data = data;
		entry->free_cb = free_cb;
	}
	pthread_mutex_unlock(&kept->lock);
	return r;
}

/* Locked. NULL: none. */
static struct urfs_kept_entry *find(struct urfs_kept *kept, uint64_t number)
{
	uint32_t i = (uint32_t)number;

	if (i >= kept->n || !kept->entries[i].data || kept->entries[i].generation != number >> 32)
		return NULL;
	return &kept->entries[i];
}

void *urfs_kept_get(struct urfs_kept *kept, uint64_t number)
{
	struct urfs_kept_entry *entry;
	void *data;

	pthread_mutex_lock(&kept->lock);
	entry = find(kept, number);
	data = entry ? entry->data : NULL;
	pthread_mutex_unlock(&kept->lock);
	return data;
}

void *urfs_kept_remove(struct urfs_kept *kept, uint64_t number, bool call)
{
	void (*free_cb)(void *) = NULL;
	struct urfs_kept_entry *entry;
	void *data = NULL;

	pthread_mutex_lock(&kept->lock);
	entry = find(kept, number);
	if (entry) {
		data = entry->data;
		free_cb = entry->free_cb;
		entry->data = NULL;
		entry->generation++;
		entry->next = kept->free;
		kept->free = (uint32_t)number;
	}
	pthread_mutex_unlock(&kept->lock);
	if (call && free_cb)
		free_cb(data);
	return data;
}
