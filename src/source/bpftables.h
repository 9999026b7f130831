/*
 * bpftables - the tables that a program asks (pf/ir/table.h), as maps of the kernel that follow them
 *
 *	kbpf_tables_make(&tables, &unit, 65536);
 *	spec.table = kbpf_tables_where; spec.arg = &tables;	of pf_ebpf_emit()
 *	... the program is loaded; it asks the maps, what changes in the tables changes in them ...
 *	kbpf_tables_release(&tables);
 *
 * Who changes the tables is who writes the maps, one system call a key, in its own thread. A table has one follower at
 * a time. Beside each map there is an array of bits, 16 and more for each key that the map has room for: a key's bit is
 * set before the key is there, and stays when it goes; then it costs a look. A map that is full does not take a key:
 * `lost` counts them, and the program then misses packets for it, so whoever uses this must look.
 */
#ifndef PFS_SOURCE_BPFTABLES_H
#define PFS_SOURCE_BPFTABLES_H

#include "pf/back/ebpf.h"

struct kbpf_table {
	struct pf_table *table;	    /* a reference */
	struct pf_ebpf_table where; /* owned descriptors */
	_Atomic uint8_t *bits; /* owned; mapped; NULL: there are none; writer: who changes the table */
	_Atomic uint64_t lost; /* keys that were not taken; writer: who changes the table */
};

struct kbpf_tables {
	struct kbpf_table *of; /* owned */
	uint32_t n;
};

/* A map of `entries` keys for each table of the unit. 0, -errno of bpf(2), -ENOMEM. */
int kbpf_tables_make(struct kbpf_tables *tables, const struct pf_unit *u, uint32_t entries);
/* The tables are followed no more. Not while they change. */
void kbpf_tables_release(struct kbpf_tables *tables);

/* For struct pf_ebpf_spec; arg is a struct kbpf_tables. */
struct pf_ebpf_table kbpf_tables_where(void *arg, const struct pf_table *table);

/* Keys that some map did not take. */
uint64_t kbpf_tables_lost(const struct kbpf_tables *tables);

#endif
