/*
 * pcapng - the packets of a directory as a capture file
 *
 * Synopsis:   …/all.pcapng
 *
 * A pcapng stream that is valid from its first byte and at every moment after a record: one interface
 * per origin of packets with its name and link type, times in nanoseconds, the direction, captured
 * and true lengths. Packets that the source lost, or that this stream lost before it, are counted
 * with the next packet (epb_dropcount). Interfaces that turn up later are described before their first
 * packet. When a generation ends, statistics follow: for each interface how many packets are in the
 * stream.
 * A reader that was too slow for a lossy source goes on with a section of its own, which says in a
 * comment how many packets it has missed (and in the statistics of the interface, if there is
 * only one).
 * tcpdump, tshark and capinfos read it (tcpdump one link type at a time: its library cannot
 * do more).
 *
 * Example:    tshark -r /p/dev/eth0/tcp/all.pcapng
 *
 * How: refs of a batch become enhanced packet blocks, as many to a record as fit in 64 KiB. Records
 * hold whole blocks only. Numbers of interfaces are given when a description is committed and never
 * change, so the preamble that a new reader gets (all of them so far) and the stream it goes on with
 * agree. Each record knows how many were described before it (in `mark`): those are what a
 * lapped reader is told, and so the numbers in the rest of the stream fit its section as well.
 */
#include <stdio.h>

#include "graph/filter.h"
#include "packet/capture_write.h"

#define RING ((size_t)8 << 20)
#define RECORD_MAX (RING / 4)
#define RECORD_GOOD ((size_t)64 << 10)
#define ORIGINS 65536
static_assert(PFS_BATCH <= PFS_WEIGHT_MAX, "a record may say a batch");

struct interface {
	uint16_t origin;
	uint64_t packets;
};

struct ng {
	uint32_t *numbers;	      /* owned; by origin: number + 1, 0: not described yet */
	struct interface *interfaces; /* owned */
	uint32_t ninterfaces;
	uint32_t cap_interfaces;
	uint16_t link_type;  /* of the place, for a stream without packets */
	bool section_due;    /* the section was closed by a description of nothing */
	uint64_t last_time;  /* of the latest packet */
	uint64_t lost;	     /* as of the latest packet */
	uint64_t first_lost; /* as of the first */
	bool lost_known;
	struct pfs_buf head; /* scratch: sections and interfaces */
};

static int ng_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		   struct pfs_diag *diag)
{
	struct ng *ng = state;

	(void)args;
	ng->link_type = place->link_type;
	ng->numbers = pfs_zalloc(ORIGINS, sizeof(*ng->numbers)); /* touched as it is used */
	if (!ng->numbers)
		return pfs_diag_set(diag, ENOMEM, "no memory for all.pcapng");
	return 0;
}

static int ng_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	struct ng *ng = state;

	(void)diag;
	ng->link_type = place->link_type;
	return 0;
}

static void ng_fini(void *state)
{
	struct ng *ng = state;

	free(ng->numbers);
	free(ng->interfaces);
	pfs_buf_release(&ng->head);
}

/* Gives the origin a number. False: no memory. */
static bool interface_add(struct ng *ng, uint16_t origin)
{
	if (ng->ninterfaces == ng->cap_interfaces) {
		uint32_t cap = ng->cap_interfaces ? ng->cap_interfaces * 2 : 8;
		struct interface *p = reallocarray(ng->interfaces, cap, sizeof(*p));

		if (!p)
			return false;
		ng->interfaces = p;
		ng->cap_interfaces = cap;
	}
	ng->interfaces[ng->ninterfaces++] = (struct interface){ .origin = origin };
	ng->numbers[origin] = ng->ninterfaces;
	return true;
}

static uint32_t caplen_of(const struct pfs_ref *ref)
{
	return (uint32_t)pfs_min(ref->len, RECORD_MAX - NG_PACKET_HEADER - NG_PACKET_TRAILER_MAX -
						   2 * NG_INTERFACE_MAX);
}

/* How many of the refs make a good record, and how long it is at most. */
static size_t record_plan(const struct ng *ng, const struct pfs_ref *in, size_t n, size_t *ret_len)
{
	size_t len = ng->section_due ? NG_INTERFACE_MAX : 0;
	size_t i;

	for (i = 0; i < n; i++) {
		size_t more = NG_PACKET_HEADER + caplen_of(&in[i]) + NG_PACKET_TRAILER_MAX;

		if (ng->numbers[in[i].origin] == 0)
			more += NG_INTERFACE_MAX;
		if (i > 0 && len + more > RECORD_GOOD)
			break;
		len += more;
	}
	*ret_len = len;
	return i;
}

/* Section and interface blocks that this packet is the first to need. Returns their length. */
static size_t heads_write(struct ng *ng, uint8_t *p, uint16_t origin, const struct pfs_emitter *out)
{
	ng->head.len = 0;
	if (ng->section_due)
		ng_section(NULL, &ng->head);
	ng_interface(pfs_origin_get(out->rings, origin), &ng->head);
	if (ng->head.failed || !interface_add(ng, origin)) {
		pfs_buf_release(&ng->head);
		return 0;
	}
	ng->section_due = false;
	memcpy(p, ng->head.data, ng->head.len);
	return ng->head.len;
}

/* What was lost since the last time this was asked. */
static uint64_t losses(struct ng *ng, const struct pfs_emitter *out)
{
	uint64_t lost = pfs_emit_source_lost(out), since = lost - ng->lost;

	ng->lost = lost;
	if (ng->lost_known)
		return since;
	ng->first_lost = lost; /* what was lost before the stream began is not its affair */
	ng->lost_known = true;
	return 0;
}

/* Returns the bytes written; 0: the packet is lost for lack of memory. */
static size_t packet_write(struct ng *ng, uint8_t *p, const struct pfs_ref *ref, uint64_t dropped,
			   const struct pfs_emitter *out)
{
	struct ng_packet packet = {
		.caplen = caplen_of(ref),
		.flags = ref->flags,
		.dropped = dropped,
	};
	uint8_t *start = p;
	struct pfs_meta meta;

	if (ng->numbers[ref->origin] == 0) {
		p += heads_write(ng, p, ref->origin, out);
		if (p == start)
			return 0;
	}
	pfs_meta(out, ref, &meta);
	packet.interface = ng->numbers[ref->origin] - 1;
	packet.time = ng->last_time = meta.time;
	packet.wire_len = meta.wire_len;
	ng->interfaces[packet.interface].packets++;
	ng_packet_header(&packet, p);
	p += NG_PACKET_HEADER;
	memcpy(p, pfs_bytes(out, ref), packet.caplen);
	p += packet.caplen;
	p += ng_packet_trailer(&packet, p);
	return (size_t)(p - start);
}

static size_t ng_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
		      uint64_t *ret_wait)
{
	struct ng *ng = state;
	size_t done = 0;

	(void)ret_wait;
	while (done < n && out->room > 0) {
		struct pfs_record *rec;
		uint64_t dropped;
		size_t most, len = 0;
		size_t some = record_plan(ng, in + done, n - done, &most), said = some;
		uint8_t *p = pfs_emit_new(out, most, &rec);

		if (!p)
			break;
		rec->mark = ng->ninterfaces;
		dropped = losses(ng, out);
		for (size_t i = 0; i < some; i++) {
			size_t written = packet_write(ng, p + len, &in[done + i], dropped, out);

			if (written == 0) {
				pfs_emit_lost(out, "no memory", 1);
				said--;
			}
			len += written;
			dropped = 0;
		}
		pfs_emit_shrink(out, rec, len);
		rec->time = ng->last_time;
		pfs_emit_commit_of(out, rec, said);
		done += some;
	}
	return done;
}

/* Losses are not told apart by interface: with several of them nobody can say whose they were. */
static uint64_t total_losses(struct ng *ng, const struct pfs_emitter *out)
{
	(void)losses(ng, out);
	return ng->ninterfaces == 1 ? ng->lost - ng->first_lost : UINT64_MAX;
}

/* The end of a generation in blocks. An empty stream needs an interface too: libpcap wants one. */
static void end_write(struct ng *ng, const struct pfs_emitter *out)
{
	struct pfs_origin nothing = { .link_type = ng->link_type };

	ng->head.len = 0;
	if (ng->ninterfaces == 0) {
		if (ng->section_due)
			ng_section(NULL, &ng->head);
		ng_interface(&nothing, &ng->head);
	}
	for (uint32_t i = 0; i < ng->ninterfaces; i++)
		ng_statistics(i, ng->last_time, ng->interfaces[i].packets, total_losses(ng, out),
			      &ng->head);
}

static bool ng_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
		       struct pfs_emitter *out)
{
	struct ng *ng = state;
	struct pfs_record *rec;
	void *p;

	(void)meta;
	if (!(ref->flags & PFS_REF_EOF))
		return true;
	end_write(ng, out);
	if (ng->head.failed || ng->head.len > RECORD_MAX) {
		pfs_buf_release(&ng->head); /* 40,000 interfaces: the stream is valid without statistics */
		return true;
	}
	if (out->room == 0)
		return false;
	p = pfs_emit_new(out, ng->head.len, &rec);
	if (!p)
		return false;
	memcpy(p, ng->head.data, ng->head.len);
	rec->time = ng->last_time;
	rec->mark = ng->ninterfaces;
	pfs_emit_commit_of(out, rec, 0);
	ng->section_due = ng->ninterfaces == 0;
	return true;
}

static int ng_preamble(void *state, const struct pfs_emitter *out, const struct pfs_record *at,
		       uint64_t lost, struct pfs_buf *ret_bytes)
{
	const struct ng *ng = state;
	uint32_t n = at ? at->mark : ng->ninterfaces;
	char comment[96];

	snprintf(comment, sizeof(comment),
		 "%llu packets before this were lost: the reader was too slow",
		 (unsigned long long)lost);
	ng_section(lost ? comment : NULL, ret_bytes);
	for (uint32_t i = 0; i < n; i++)
		ng_interface(pfs_origin_get(out->rings, ng->interfaces[i].origin), ret_bytes);
	if (lost && n == 1)
		ng_statistics(0, at ? at->time : ng->last_time, UINT64_MAX, lost, ret_bytes);
	return ret_bytes->failed ? -ENOMEM : 0;
}

const struct pfs_filter pfs_filter_view_pcapng = {
	.name = "pcapng",
	.summary = "the packets as a capture file",
	.flags = PFS_FILTER_VIEW,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_BYTES,
	.state_size = sizeof(struct ng),
	.ring_size = RING,
	.init = ng_init,
	.moved = ng_moved,
	.fini = ng_fini,
	.pull = ng_pull,
	.control = ng_control,
	.preamble = ng_preamble,
};
