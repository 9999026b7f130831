/*
 * through - what filters of one protocol share that look into tunnels: the parameter tunnel=
 *
 * Without it a packet is judged by its outermost headers, and passes whole. With it, every packet on the way inside
 * that tunnel= speaks of is judged, and what passes is the innermost that is kept: the ref is narrowed to it, nothing
 * is copied. What is below such a directory is packets of their own, for filters, views and tools.
 *
 * Below packets that start at the IP header (netfilter_*) what passes does so too, whatever was around it.
 */
#ifndef PFS_GRAPH_THROUGH_H
#define PFS_GRAPH_THROUGH_H

#include "graph/proto.h"
#include "packet/keep.h"
#include "packet/tunnel.h"

struct pfs_through {
	unsigned kinds; /* PKT_TUNNEL_* */
	bool ip;	/* packets here start at the IP header */
	/* By origin of the outer packet: that of the inner one; used in turn. */
	struct {
		uint16_t outer, link_type, inner;
		bool known;
	} origins[8];
	unsigned next;
};

/* tunnel= */
extern const struct pfs_param pfs_through_params[];

/* For init and reconfigure; the state begins with a struct pfs_through. */
int pfs_through_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag);

int pfs_through_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag);

/* For keeps: as pkt_keep_layers(); -ENOTSUP: it looks into tunnels. */
int pfs_through_keeps(const struct pfs_through *through, uint16_t link_type, unsigned layers,
		      int proto, struct pf_unit *ret_unit);

/* Is the packet at which the walk stands to be kept? */
typedef bool (*pfs_through_fn)(const void *arg, const struct pkt_walk *walk);

/* Emits of each ref the innermost packet that is kept. */
void pfs_through_batch(struct pfs_through *through, struct pfs_ref *in, size_t n,
		       struct pfs_emitter *out, pfs_through_fn keep, const void *arg);

/* Body of batch for filters that look at the layers alone. */
void pfs_through_layers(struct pfs_through *through, struct pfs_ref *in, size_t n,
			struct pfs_emitter *out, bool (*keep)(const struct pfs_ref *layers));
static inline __attribute__((always_inline)) void pfs_through_keep(
	struct pfs_through *through, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
	bool (*keep)(const struct pfs_ref *layers))
{
	if (through->kinds == PKT_TUNNEL_NO)
		pfs_keep_batch(in, n, out, keep);
	else
		pfs_through_layers(through, in, n, out, keep);
}

#endif
