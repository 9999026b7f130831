/*
 * held - requests that are answered later, and interrupts
 *
 * libfuse calls the interrupt function with the request pinned, on any thread, perhaps while the
 * request is being registered, perhaps after it was answered. So the function is given nothing but
 * the mount, and looks whether the request is in the table: what is not there is none of its
 * business.
 */
#include "mount/mount_i.h"

#define PARKED_MAX ((uint64_t)256 << 20)     /* bytes of parked WRITEs in all */
#define PARKED_USER_MAX ((uint64_t)64 << 20) /* ... of one user */

static struct pfs_held **bucket(struct pfs_held_table *table, fuse_req_t req)
{
	uint64_t h = (uint64_t)(uintptr_t)req * 0x9e3779b97f4a7c15ULL;

	return &table->buckets[h >> 56];
}

static void on_interrupt(fuse_req_t req, void *data)
{
	struct pfs_held_table *table = &((struct pfs_mount *)data)->held;
	struct pfs_held **at, *held;

	pthread_mutex_lock(&table->lock);
	for (at = bucket(table, req); (held = *at); at = &held->next)
		if (held->req == req) {
			*at = held->next;
			break;
		}
	pthread_mutex_unlock(&table->lock);
	if (held)
		held->interrupted(held);
}

void pfs_held_prepare(struct pfs_mount *mount, fuse_req_t req)
{
	fuse_req_interrupt_func(req, on_interrupt, mount);
}

bool pfs_held_put(struct pfs_mount *mount, struct pfs_held *held)
{
	struct pfs_held_table *table = &mount->held;
	struct pfs_held **at;
	bool interrupted;

	pthread_mutex_lock(&table->lock);
	/*
	 * An interrupt marks the request before it looks into the table. It looked before we got
	 * the lock: we see the mark. It looks afterwards: it finds the request.
	 */
	interrupted = fuse_req_interrupted(held->req);
	if (!interrupted) {
		at = bucket(table, held->req);
		held->next = *at;
		*at = held;
	}
	pthread_mutex_unlock(&table->lock);
	return !interrupted;
}

bool pfs_held_take(struct pfs_mount *mount, struct pfs_held *held)
{
	struct pfs_held_table *table = &mount->held;
	struct pfs_held **at;

	pthread_mutex_lock(&table->lock);
	for (at = bucket(table, held->req); *at && *at != held; at = &(*at)->next)
		;
	if (*at) {
		*at = held->next;
		pthread_mutex_unlock(&table->lock);
		return true;
	}
	pthread_mutex_unlock(&table->lock);
	return false;
}

bool pfs_held_charge(struct pfs_mount *mount, uid_t uid, size_t bytes)
{
	struct pfs_held_table *table = &mount->held;
	size_t free_slot = ARRAY_SIZE(table->users), i;
	bool ok = false;

	pthread_mutex_lock(&table->lock);
	for (i = 0; i < ARRAY_SIZE(table->users); i++) {
		if (table->users[i].bytes && table->users[i].uid == uid)
			break;
		if (!table->users[i].bytes)
			free_slot = i;
	}
	if (i == ARRAY_SIZE(table->users))
		i = free_slot;
	if (i < ARRAY_SIZE(table->users) && table->bytes + bytes <= PARKED_MAX &&
	    table->users[i].bytes + bytes <= PARKED_USER_MAX) {
		table->users[i].uid = uid;
		table->users[i].bytes += bytes;
		table->bytes += bytes;
		ok = true;
	}
	pthread_mutex_unlock(&table->lock);
	return ok;
}

void pfs_held_uncharge(struct pfs_mount *mount, uid_t uid, size_t bytes)
{
	struct pfs_held_table *table = &mount->held;

	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < ARRAY_SIZE(table->users); i++)
		if (table->users[i].bytes && table->users[i].uid == uid) {
			table->users[i].bytes -= bytes;
			table->bytes -= bytes;
			break;
		}
	pthread_mutex_unlock(&table->lock);
}
