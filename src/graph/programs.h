/*
 * programs - the body of filters that are programs for the packet-filter compiler: cspf, bpf ...
 *
 * The program comes as the argument or as the parameter program=, which counts if it is there; it is compiled for each
 * link type that is seen. A filter of this kind is a language, which its init gives to pfs_programs_init(), and a
 * manual.
 *
 * Threads: programs are immutable. The table of them grows in batch() alone; who prints them at the same time sees
 * those that were complete before.
 */
#ifndef PFS_GRAPH_PROGRAMS_H
#define PFS_GRAPH_PROGRAMS_H

#include "graph/filter.h"

#define PFS_PROGRAMS_MAX 64    /* link types in one place; packets of more are lost */
#define PFS_PROGRAM_TEXT 16384 /* bytes: whoever changes the tree waits for the compiler */

struct pkt_expr;

struct pfs_programs {
	const char *language;
	char *text; /* owned */
	struct {
		uint16_t link_type;
		struct pkt_expr *expr; /* owned; NULL: it does not fit this link type */
	} of[PFS_PROGRAMS_MAX];
	_Atomic uint64_t n; /* writer: the worker. Its store of n is for who prints: of[] below n is complete */
	_Atomic uint64_t tests; /* of the first */
};

/* program= */
extern const struct pfs_param pfs_programs_params[];

int pfs_programs_init(struct pfs_programs *p, const char *language, const struct pfs_args *args,
		      const struct pfs_place *place, struct pfs_diag *diag);
int pfs_programs_reconfigure(void *state, const struct pfs_args *args,
			     const struct pfs_place *place, struct pfs_diag *diag);
void pfs_programs_fini(void *state);
void pfs_programs_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out);
int pfs_programs_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit);
void pfs_programs_stats(void *state, struct pfs_buf *out);
void pfs_programs_print(void *state, struct pfs_buf *out);

#endif
