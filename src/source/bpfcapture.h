/*
 * bpfcapture - the programs and maps of one capture in the kernel
 *
 *	attach point → stub → program array, slot 0 → capture program → ring of this CPU
 *
 * The stub never changes while it is attached (a socket that replaces its program is charged for both, a
 * netfilter link cannot be updated at all): it tail-calls slot 0. Storing another program there is the
 * atomic change, which loses and repeats nothing. With the slot empty the stub passes the packet on.
 *
 * The capture program copies a wanted packet once, behind a struct pfs_record, into the BPF ring of the CPU
 * that it runs on. Reserving needs a size that is constant at each call, so the program chooses among size
 * classes: steps of 16 bytes, later of an eighth of an octave. (A dynptr reserves exactly, but a small packet
 * took 95 ns instead of 81 with it, and copying into one needs Linux 6.16.) Time is taken *after* the
 * reservation: then whatever a consumer does not see reserved yet is younger than the moment at which it
 * looked, and CPUs can be merged in order without holding records back.
 *
 * Wake-ups: each CPU has a slot of shared memory in which the consumer says at which producer position
 * it wants to be woken (`wake_at`). The program wakes once and then writes "never" there until the
 * consumer says otherwise. Lost wake-ups are excluded by the consumer (see source/bpfring.h).
 *
 * A body (struct kcap_body) decides which packets are wanted and whose they are: one unit made of all filters between
 * the source and whoever takes from it, which leaves the set of those that accept (pf/merge/tree.h). A packet that is
 * in none of the wanted ones is counted for those that accepted it and is not copied. The set of the others, and the
 * generation of the program that found it, stands in front of the record: struct pfs_takers of graph/source.h. Where a
 * filter is unsure, or there is no body, the packet is copied undecided. Of a packet of which those who want it get so
 * many bytes (`snap`), no more are copied, and some for a tag.
 *
 * Everything here is owned by struct kcap; closing the stub's attachment and kcap_free() leave nothing.
 * Threads: one at a time; but programs can be made on any from a copy of the structure, beside a reference
 * (source/bpfdecide.h).
 */
#ifndef PFS_SOURCE_BPFCAPTURE_H
#define PFS_SOURCE_BPFCAPTURE_H

#include "graph/source.h"
#include "pf/back/kcode.h"
#include "pf/ir/ir.h"
#include "source/bpfnth.h"
#include "source/bpfsort.h"
#include "source/btf.h"

enum kcap_kind {
	KCAP_PACKET,	/* an eBPF filter on a packet socket: frames with their link header */
	KCAP_NETFILTER, /* a netfilter hook: packets from the IP header on */
};

/* Bytes of the kernel's header in front of a ring record. */
#define KCAP_RING_HEADER 8
#define KCAP_RING_BUSY (UINT32_C(1) << 31)
#define KCAP_RING_DISCARD (UINT32_C(1) << 30)

#define KCAP_SNAPLEN 262144u /* default, as tcpdump */
/* Shorter copies are cut by the consumer: a VLAN tag goes in whole or not at all. */
#define KCAP_SNAPLEN_MIN 64u

/* Shared with the programs; one for each CPU, the kernel's line and the consumer's apart. */
struct kcap_slot {
	_Atomic uint64_t seen;	 /* writer: kernel; packets that the program looked at */
	_Atomic uint64_t lost;	 /* writer: kernel; of these, without room in the ring */
	_Atomic uint64_t copied; /* writer: kernel; of these, which are in the ring */
	uint32_t zero;		 /* for the programs: nobody writes it */
	uint32_t unused[9];
	_Atomic uint64_t wake_at; /* writers: consumer; kernel, when it wakes: KCAP_NEVER */
	uint64_t unused_too[7];
	struct {
		_Atomic uint64_t records, bytes, wire;
	} passed[PFS_TAKERS_MAX]; /* writer: kernel; packets that a filter accepted and nobody wanted; its verdicts */
};
static_assert(sizeof(struct kcap_slot) == 128 + sizeof(struct pfs_tally) * PFS_TAKERS_MAX,
	      "shared with kernel programs");

#define KCAP_NEVER UINT64_MAX

struct kcap_body {
	struct pf_unit unit; /* owned; result i: filter i accepts; the one behind the last word: undecided */
	uint32_t generation;
	uint32_t words;			      /* of the sets, an even number; 0: there is no unit */
	uint32_t wanted[PFS_TAKERS_MAX / 32]; /* packets that one of these accepts are copied */
	uint32_t counted[PFS_TAKERS_MAX / 32]; /* the others, which accept some that are not */
	uint32_t wire[PFS_TAKERS_MAX / 32];    /* of these, whose true lengths are counted, too */
	uint32_t drops[PFS_TAKERS_MAX / 32]; /* NETFILTER: their verdict is to drop a packet, ... */
	uint32_t passes[PFS_TAKERS_MAX / 32]; /* ... or to pass it, whatever those say */
	uint32_t cut[PFS_TAKERS_MAX]; /* by number: bytes of a packet that it passes; 0: all */
	bool rules;		      /* there are verdicts */
	bool only_rules; /* and nothing else is decided: all packets are copied, undecided */
	bool plain;	 /* nothing is asked of any packet */
	struct ksort sort[PFS_SORTERS_MAX]; /* owned */
	unsigned nsort;
	struct knth nth[PFS_NTHS_MAX]; /* they, and those below, are not in the unit */
	unsigned nnth;
	struct ksort_class *class_; /* owned; those that are read through their cells */
	size_t nclass;
};

struct kcap_spec {
	enum kcap_kind kind;
	_Atomic uint32_t snaplen;
	unsigned directions; /* PACKET: PFS_REC_IN | PFS_REC_OUT */
	uint32_t loopback; /* PACKET: ifindex of `lo`, whose outgoing copy is dropped; 0: do not */
	bool any; /* PACKET: of any device; only those that kcap_know() named are decided about */
	unsigned flags;	   /* NETFILTER: PFS_REC_IN, PFS_REC_OUT or 0, for every record */
	size_t ring_bytes; /* of all CPUs' rings together */
};

struct kcap_ring {
	int map;      /* owned */
	unsigned cpu; /* the first CPU that writes there */
};

struct kcap {
	struct kcap_spec spec;
	struct kbtf btf;
	unsigned ncpu;		/* possible CPUs: entries of the maps by CPU */
	unsigned nring;		/* CPUs that are online now; others share */
	struct kcap_ring *ring; /* owned */
	uint64_t ring_size;
	struct kcap_slot *slot; /* owned; mapped, ncpu of them */
	size_t slot_bytes;
	int slots, rings, array, stub; /* owned; maps and programs */
	int known;		       /* owned; map by ifindex; -1 unless spec.any */
	struct ksorter *sorters;       /* owned */
	struct knths *nths;	       /* owned; NULL: none was needed yet */
	struct kcap_program {
		int fd;		       /* owned; -1: none */
		struct kcode listing;  /* owned */
		struct kcap_body body; /* owned */
	} now, next;		       /* in the array; made, and not there yet */
	uint64_t generation;	       /* programs put into the array so far */
	unsigned tuned;		       /* how often the spec has changed */
	_Atomic unsigned refs;
};

/*
 * Makes maps and programs; nothing is attached yet. -EPERM and -ENOSYS when the kernel refuses eBPF, -EOPNOTSUPP
 * (NETFILTER) when it lacks what the programs need; the sentence in diag says what.
 */
int kcap_new(const struct kcap_spec *spec, struct kcap **ret_kcap, struct pfs_diag *diag);
void kcap_free(struct kcap *kcap);	  /* NULL is fine; gives up the reference */
struct kcap *kcap_ref(struct kcap *kcap); /* any thread */

void kcap_body_release(struct kcap_body *body);

/*
 * Makes a program with this body, which is the kcap's from then on, or with none (NULL), beside the one that runs.
 * Error: the kernel's or the compiler's; nothing has changed.
 */
int kcap_prepare(struct kcap *kcap, struct kcap_body *body, struct pfs_diag *diag);
/* Puts what was made in the place of the one that runs; without any nothing happens. -errno, and that one stays. */
int kcap_commit(struct kcap *kcap);
void kcap_cancel(struct kcap *kcap);
/*
 * The first of these two steps alone, of a kcap or a copy of it that nobody changes, for kcap_take(), which is the
 * rest of kcap_prepare().
 */
int kcap_make(const struct kcap *kcap, struct kcap_body *body, struct kcap_program *ret_program,
	      struct pfs_diag *diag);
void kcap_take(struct kcap *kcap, struct kcap_program *program);
void kcap_program_release(struct kcap_program *program);
/* The same program with other parameters, in the place of the one that runs. On an error that one stays. */
int kcap_retune(struct kcap *kcap, uint32_t snaplen, unsigned directions, struct pfs_diag *diag);

/* spec.any: from now on packets of this device, which are Ethernet frames, are decided about. */
int kcap_know(struct kcap *kcap, uint32_t ifindex);

/* Records that a filter accepted and nobody wanted. */
void kcap_passed(const struct kcap *kcap, unsigned bit, struct pfs_tally *ret_tally);

/* Frames that the rings can hold whole. */
uint32_t kcap_snaplen(const struct kcap *kcap);

#endif
