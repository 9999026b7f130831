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

struct pfs_class_tally {
	uint64_t packets, bytes;
	uint64_t last; /* ns, monotonic; 0: none */
};

/*
 * Somebody beside the worker may count packets in classes, before there are records of them (source/bpfsort.h). He is
 * told of each class that comes and goes, with the set's lock held; what he has counted comes on top of the set's own
 * numbers, and goes into them when he leaves. He may count for longer than he is asked to: while the graph does not
 * heed him, what he counts is for nobody. Reasons for which a packet is in no class have numbers, too:
 * PFS_CLASSES_UNFIT + enum pkt_unfit.
 */
#define PFS_CLASSES_UNFIT 0x10000u
struct pfs_classes_beside {
	void (*enter)(void *arg, uint32_t number, const struct pkt_key *key);
	void (*leave)(void *arg, uint32_t number, const struct pkt_key *key);
	void (*count)(void *arg, uint32_t number, struct pfs_class_tally *ret_tally);
	void (*restart)(void *arg); /* all numbers begin at 0 again */
	void (*left)(void *arg);    /* the set has nothing to do with him any more */
};

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
	pfs_counter unfit[PKT_UNFIT_COUNT_];	 /* packets that are in none, by why; the same */
	const struct pfs_classes_beside *beside; /* lock; NULL: nobody; writer: control */
	void *beside_arg;
	bool unheeded; /* lock; writer: control */
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

/* The same of a class that there is already, without counting; of a field with no loose bits. 0: there is none. */
uint16_t pfs_classes_seek(struct pfs_classes *set, const struct pkt_key *key);

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
/* -ENOENT. */
int pfs_classes_key(struct pfs_classes *set, uint16_t class_, struct pkt_key *ret_key);
/* How many packets are in no class for that reason. */
uint64_t pfs_classes_unfit(struct pfs_classes *set, enum pkt_unfit why);
/* From now on he counts as well; NULL: nobody but the worker does. */
void pfs_classes_follow(struct pfs_classes *set, const struct pfs_classes_beside *beside, void *arg);
/* Whether what he counts from now on counts; it does from the beginning on. What he has counted so far stays. */
void pfs_classes_heed(struct pfs_classes *set, bool yes);

/* What it has had so far. */
void pfs_classes_count(struct pfs_classes *set, uint16_t class_, uint64_t *ret_packets,
		       uint64_t *ret_bytes);

#endif
