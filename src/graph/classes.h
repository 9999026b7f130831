/*
 * classes - an open set of classes: values of a field that were seen, or asked for by name, numbered from 1
 *
 * The filter that classifies owns one and asks it for the number of each packet's key; the graph asks it for names,
 * makes classes by hand and forgets idle ones. A number belongs to one class until the graph forgets it, and
 * the graph forgets it only when no plan routes by it any more: so a class never gets what is another's.
 *
 * Bounded: `max` classes at once. What would need one more gets number 0, which is no class.
 *
 * A field whose names may leave something out (`loose`: the protocol of a flow) has the first key of a name under its
 * brief name, later ones under their full names. A class made by its brief name belongs to the first key that comes.
 *
 * Threads: the worker holds the set's lock while it asks for a batch of keys; everything else takes it itself. It is a
 * leaf. Adding is open to both sides, forgetting only to the control side.
 */
#ifndef PFS_GRAPH_CLASSES_H
#define PFS_GRAPH_CLASSES_H

#include <pthread.h>

#include "base/hash.h"
#include "packet/field.h"

#define PFS_CLASSES_MAX 65535

struct pfs_class;

struct pfs_classes {
	const struct pkt_field *field; /* borrowed */
	pthread_mutex_t lock;
	uint64_t expire; /* lock to change: ns without a packet; 0: never */
	size_t max;	 /* lock to change */
	struct pfs_seed seed;
	struct pfs_class *classes; /* lock; owned; by number - 1, max of them; touched as they are used */
	uint16_t *buckets;	   /* lock; owned; numbers, nbuckets of them, a power of two */
	size_t nbuckets;
	size_t used;	     /* lock: numbers given out so far */
	uint16_t free;	     /* lock: list of those given back; 0: none */
	pfs_counter n;	     /* classes; writer: the lock's holder */
	pfs_counter full;    /* packets without a class because there was none left; the same */
	pfs_counter changes; /* classes made and forgotten so far; the same */
};

/* -ENOMEM. max: 1 to PFS_CLASSES_MAX. */
int pfs_classes_init(struct pfs_classes *set, const struct pkt_field *field, size_t max,
		     uint64_t expire);
void pfs_classes_release(struct pfs_classes *set);
/* New limits. -EBUSY: there are more classes than that; -ENOMEM. On error nothing has changed. */
int pfs_classes_set(struct pfs_classes *set, size_t max, uint64_t expire, struct pfs_diag *diag);

/* --- the worker ---------------------------------------------------------------------------------- */

/* Around the questions about one batch. */
void pfs_classes_lock(struct pfs_classes *set);
void pfs_classes_unlock(struct pfs_classes *set);

/* Number of the key's class, made when it is new; 0: the set is full. Counts a packet of len bytes in it. */
uint16_t pfs_classes_of(struct pfs_classes *set, const struct pkt_key *key, uint32_t len, uint64_t now);

/* Counts a packet of len bytes in the class with that number, if there is one. Takes the lock itself. */
void pfs_classes_took(struct pfs_classes *set, uint16_t class_, uint32_t len, uint64_t now);

/* --- the control side ---------------------------------------------------------------------------- */

/*
 * The class of that name, made when there is none and `make` is set. -ENOENT: there is none, or this is no name of one;
 * -EINVAL: the value's name is another one, which the diag says; -ENOSPC: the set is full.
 */
int pfs_classes_find(struct pfs_classes *set, const char *name, bool make, uint16_t *ret_class,
		     struct pfs_diag *diag);
/* -ENOENT. */
int pfs_classes_name(struct pfs_classes *set, uint16_t class_, char ret_name[PKT_FIELD_NAME_SIZE]);
/* Up to max numbers above `after`, in order; how many. idle: only those without a packet for `expire`. */
size_t pfs_classes_list(struct pfs_classes *set, uint16_t after, bool idle, uint16_t *ret_classes,
			size_t max);
/* Its number is free for another class. idle: unless a packet has come meanwhile. */
void pfs_classes_forget(struct pfs_classes *set, uint16_t class_, bool idle);
/* What it has had so far. */
void pfs_classes_count(struct pfs_classes *set, uint16_t class_, uint64_t *ret_packets,
		       uint64_t *ret_bytes);

#endif
