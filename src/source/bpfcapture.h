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
 * A body (struct kcap_body) decides which packets are wanted and whose they are: the code generated between the
 * entry and the copy. Without one everything is wanted by set 0.
 *
 * Everything here is owned by struct kcap; closing the stub's attachment and kcap_free() leave nothing.
 * Threads: one at a time.
 */
#ifndef PFS_SOURCE_BPFCAPTURE_H
#define PFS_SOURCE_BPFCAPTURE_H

#include "ring/record.h"
#include "pf/back/kcode.h"
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
	_Atomic uint64_t seen; /* writer: kernel; packets that the program wanted */
	_Atomic uint64_t lost; /* writer: kernel; of these, without room in the ring */
	uint64_t unused[6];
	_Atomic uint64_t wake_at; /* writers: consumer; kernel, when it wakes: KCAP_NEVER */
	uint64_t unused_too[7];
};
static_assert(sizeof(struct kcap_slot) == 128, "shared with kernel programs");

#define KCAP_NEVER UINT64_MAX

/*
 * Decides: emits code that falls through with the set id in R7 for a wanted packet and jumps to `drop`
 * otherwise. On entry R6 is the context; R0-R5 and R7-R9 are free, the stack from -64 down too.
 */
struct kcap_body {
	void (*emit)(void *arg, struct kcode *c, unsigned drop);
	void *arg;
};

struct kcap_spec {
	enum kcap_kind kind;
	_Atomic uint32_t snaplen;
	unsigned directions; /* PACKET: PFS_REC_IN | PFS_REC_OUT */
	uint32_t loopback; /* PACKET: ifindex of `lo`, whose outgoing copy is dropped; 0: do not */
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
	int slots, rings, array, stub, program; /* owned; maps and programs */
	struct kcode listing;			/* owned; of the program in the array */
	uint64_t generation;			/* programs put into the array so far */
};

/*
 * Makes maps and programs; nothing is attached yet. -EPERM and -ENOSYS when the kernel refuses eBPF, -EOPNOTSUPP
 * (NETFILTER) when it lacks what the programs need; the sentence in diag says what.
 */
int kcap_new(const struct kcap_spec *spec, struct kcap **ret_kcap, struct pfs_diag *diag);
void kcap_free(struct kcap *kcap); /* NULL is fine */

/* Puts a program with this body (NULL: everything) in place of the one that runs. On error that one goes on. */
int kcap_swap(struct kcap *kcap, const struct kcap_body *body, struct pfs_diag *diag);
/* The same program with other parameters, in the place of the one that runs. On an error that one stays. */
int kcap_retune(struct kcap *kcap, uint32_t snaplen, unsigned directions, struct pfs_diag *diag);

/* Frames that the rings can hold whole. */
uint32_t kcap_snaplen(const struct kcap *kcap);

/* Set id that the program gave a record of its own. Outside of kernel rings `size` means something else. */
static inline uint32_t kcap_record_set(const struct pfs_record *rec)
{
	return rec->size;
}

#endif
