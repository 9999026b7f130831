/*
 * nfhook - what the five netfilter sources share
 *
 * Each is the same source with another hook; the table in nfhook.c says which. A source file holds its manual
 * and one NFHOOK_SOURCE line.
 */
#ifndef PFS_SOURCE_NFHOOK_H
#define PFS_SOURCE_NFHOOK_H

#include "graph/source.h"

extern const struct pfs_param nfhook_params[];

int nfhook_init(void *state, const char *name, const struct pfs_args *args,
		const struct pfs_place *place, struct pfs_diag *diag);
int nfhook_retune(void *state, const struct pfs_args *args, struct pfs_diag *diag);
int nfhook_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag);
void nfhook_fini(void *state);
int nfhook_start(void *state, struct pfs_feed *feed, struct pfs_diag *diag);
int nfhook_run(void *state, struct pfs_feed *feed);
void nfhook_stop(void *state);
void nfhook_detach(void *state);
void nfhook_quiesce(void);
int nfhook_decide(void *state, const struct pfs_interests *interests,
		  struct pfs_making **ret_making, struct pfs_diag *diag);
struct pfs_making *nfhook_rest(void *state);
int nfhook_decided(void *state, struct pfs_making *making, struct pfs_diag *diag);
void nfhook_passed(void *state, unsigned number, struct pfs_tally *ret_tally);
void nfhook_stats(void *state, struct pfs_buf *out);
void nfhook_program(void *state, struct pfs_buf *out);

struct nfhook_state {
	struct nfhook *hook; /* owned */
};

#define NFHOOK_SOURCE(name_, summary_)                                                           \
	{                                                                                        \
		.name = (name_), .summary = (summary_),                                          \
		.flags = PFS_SOURCE_STATIC | PFS_SOURCE_LOSSY | PFS_SOURCE_VERDICTS,             \
		.out = PFS_FLOW_IP, .params = nfhook_params,                                     \
		.state_size = sizeof(struct nfhook_state), .init = nfhook_init,                  \
		.reconfigure = nfhook_reconfigure, .retune = nfhook_retune, .fini = nfhook_fini, \
		.start = nfhook_start, .run = nfhook_run, .stop = nfhook_stop,                   \
		.detach = nfhook_detach, .quiesce = nfhook_quiesce, .decide = nfhook_decide,     \
		.decided = nfhook_decided, .rest = nfhook_rest, .passed = nfhook_passed,         \
		.stats = nfhook_stats, .program = nfhook_program                                 \
	}

#endif
