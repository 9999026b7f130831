/*
 * render - what filters and views share that turn records into text
 *
 * One record of text per packet, in order, as far as there is room; bytes that are no packets are rendered in
 * pieces, so that the text of each fits a ring. A struct pfs_render belongs to one filter; zeroed is empty.
 */
#ifndef PFS_GRAPH_RENDER_H
#define PFS_GRAPH_RENDER_H

#include "graph/filter.h"
#include "packet/lines.h"

/* Ring of a filter that renders: its largest record holds the text of the largest piece. */
#define PFS_RENDER_RING ((size_t)8 << 20)

struct pfs_render {
	const struct pkt_describe *describe; /* of records that are no packets; borrowed, or NULL */
	struct pfs_buf text;		     /* owned: scratch */
	uint64_t pos;			     /* of the record that was rendered in part */
	uint16_t ring;			     /* where that is */
	uint32_t done;			     /* bytes of it, 0: none */
};

typedef void (*pfs_render_packet_fn)(const struct pkt_view *view, struct pfs_buf *out);
typedef void (*pfs_render_bytes_fn)(const struct pkt_piece *piece, struct pfs_buf *out);

void pfs_render_release(struct pfs_render *render);

/* Bodies of a pull function. Return how many refs are done with. */
size_t pfs_render_packets(struct pfs_render *render, pfs_render_packet_fn fn, struct pfs_ref *in,
			  size_t n, struct pfs_emitter *out);
size_t pfs_render_bytes(struct pfs_render *render, pfs_render_bytes_fn fn, struct pfs_ref *in,
			size_t n, struct pfs_emitter *out);

#endif
