/*
 * kept - pointers of a filter's, known to the other side by numbers that are never used twice
 */
#ifndef URFS_KEPT_H
#define URFS_KEPT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct urfs_kept {
	pthread_mutex_t lock;
	struct urfs_kept_entry *entries; /* owned */
	uint32_t n, free;		 /* free: the first free one, n: none */
};

void urfs_kept_init(struct urfs_kept *kept);
/* Calls free_cb of all that is left. */
void urfs_kept_release(struct urfs_kept *kept);
/* 0, and a number that is not; -ENOMEM. */
int urfs_kept_add(struct urfs_kept *kept, void *data, void (*free_cb)(void *), uint64_t *ret_number);
/* NULL: there is no such number. */
void *urfs_kept_get(struct urfs_kept *kept, uint64_t number);
/* What was there; with call its free_cb has been called (and it is not to be looked into). */
void *urfs_kept_remove(struct urfs_kept *kept, uint64_t number, bool call);

#endif
