/*
 * bpf - the bpf(2) calls that the kernel sources need, and nothing of policy
 *
 * Programs are made at run time from our own instructions (pf/back/kcode.h); there is no object file
 * and no compiler. Calls go to the kernel directly, so that what the installed headers or an older
 * libbpf do not know (netfilter links) is one more structure here and not a new dependency.
 *
 * All descriptors are close-on-exec and nothing is pinned: when the process dies, the kernel detaches.
 */
#ifndef PFS_SOURCE_BPF_H
#define PFS_SOURCE_BPF_H

#include <linux/bpf.h>

#include "base/base.h"

/* Newer than the headers of the distributions that we build on. */
enum {
	KBPF_PROG_NETFILTER = 32,   /* BPF_PROG_TYPE_NETFILTER, Linux 6.4 */
	KBPF_ATTACH_NETFILTER = 45, /* BPF_NETFILTER */
};

struct kbpf_map_spec {
	unsigned type;
	unsigned key_size;
	unsigned value_size;
	unsigned entries;
	unsigned flags;
	int inner;	  /* a map like those it will hold; < 0: none */
	const char *name; /* at most 15 bytes */
};

/* A new map's descriptor, or -errno. */
int kbpf_map_new(const struct kbpf_map_spec *spec);
int kbpf_map_set(int map, const void *key, const void *value);
/*
 * n entries at once: keys 0 to n - 1 of an array. A single update of an array of maps waits for a grace
 * period, a batch waits once. Falls back to single ones.
 */
int kbpf_map_set_all(int map, const uint32_t *values, uint32_t n);
int kbpf_map_get(int map, const void *key, void *ret_value);
int kbpf_map_unset(int map, const void *key);
/*
 * Waits until every program that runs now has ended, on all CPUs: 10 to 30 ms. -errno: this kernel cannot say when that
 * is (nohz_full).
 */
int kbpf_grace(void);

struct kbpf_prog_spec {
	unsigned type;
	unsigned attach_type;
	const struct bpf_insn *insns;
	size_t n;
	const char *name; /* at most 15 bytes */
};

/*
 * Verifies and loads; a descriptor or -errno. When the verifier refuses, its last words are in diag. The
 * programs call kernel functions, so they are loaded under the GPL (the BSD text allows that).
 */
int kbpf_prog_load(const struct kbpf_prog_spec *spec, struct pfs_diag *diag);

/* Runs a program once over a packet: its return value in *ret_value. */
int kbpf_prog_run(int prog, const void *packet, size_t n, uint32_t *ret_value);

/*
 * Attaches a netfilter program in the caller's network namespace; the link's descriptor, or -errno (EBUSY:
 * the priority is taken). Closing it detaches.
 */
int kbpf_link_netfilter(int prog, unsigned family, unsigned hook, int priority);

/* The kernel's number of a program, 0 on error; and whether a program of that number is loaded still. */
uint32_t kbpf_prog_id(int prog);
bool kbpf_prog_lives(uint32_t id);

/*
 * A list of CPUs in sysfs, "possible" or "online": set[cpu] is 1 for those in it. Returns one more than the
 * highest (set holds n; higher ones are not noted); at least 1.
 */
unsigned kbpf_cpus(const char *which, uint8_t *set, size_t n);

#endif
