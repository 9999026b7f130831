/*
 * proto - what filters of one protocol share
 *
 * The layers of a packet are found once: the first filter that asks fills them into the refs of its batch, and they
 * travel with the refs. ethertype 0 means that nobody looked yet.
 *
 *	static bool keep(const struct pfs_ref *ref)
 *	{
 *		return ref->proto == 17;
 *	}
 *	...
 *	pfs_keep_batch(in, n, out, keep);
 */
#ifndef PFS_GRAPH_PROTO_H
#define PFS_GRAPH_PROTO_H

#include "graph/filter.h"
#include "packet/dissect.h"

enum {
	PFS_ETHER_IP = 0x0800,
	PFS_ETHER_ARP = 0x0806,
	PFS_ETHER_RARP = 0x8035,
	PFS_ETHER_IP6 = 0x86dd,
};

enum {
	PFS_PROTO_ICMP = 1,
	PFS_PROTO_TCP = 6,
	PFS_PROTO_UDP = 17,
	PFS_PROTO_ICMP6 = 58,
};

/* Finds the layers unless they are known. The ref must be one of the batch, or a copy. */
static inline void pfs_layers(const struct pfs_emitter *out, struct pfs_ref *ref)
{
	if (ref->ethertype == 0)
		pkt_dissect(pfs_bytes(out, ref), ref->len, pfs_link_type(out, ref), ref);
}

/* A network layer that can carry an IP protocol: proto says something then. */
static inline bool pfs_is_ip(const struct pfs_ref *ref)
{
	return ref->ethertype == PFS_ETHER_IP || ref->ethertype == PFS_ETHER_IP6;
}

/*
 * Emits the refs that keep() says yes to, in order, in runs as long as they come. Inlined, so that keep() is too.
 */
static inline __attribute__((always_inline)) void pfs_keep_batch(struct pfs_ref *in, size_t n,
								 struct pfs_emitter *out,
								 bool (*keep)(const struct pfs_ref *ref))
{
	size_t start = 0;

	for (size_t i = 0; i < n; i++) {
		pfs_layers(out, &in[i]);
		if (keep(&in[i]))
			continue;
		if (start < i)
			pfs_emit_all(out, in + start, i - start);
		start = i + 1;
	}
	if (start < n)
		pfs_emit_all(out, in + start, n - start);
}

#endif
