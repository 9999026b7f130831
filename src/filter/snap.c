/*
 * snap - pass only the first N bytes of each record
 *
 * Synopsis:   …/snap:N
 *
 * Narrows each record to its first N bytes, as the snaplen of a capture does; the true length of
 * a packet stays known (all.pcapng and all.json say it). Nothing is copied. N may have a suffix k or
 * M (1024-based). Filters and views below see the packet as it is cut, whatever those above have seen:
 * tcp/snap:20/tcp keeps nothing of Ethernet frames, because the protocol was behind that.
 *
 * Below dev/ and netfilter_* the kernel copies no more of a packet than the longest of what its takers get.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: none; writing arg=N to .params changes N
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/snap:96; tcpdump -r /p/dev/eth0/snap:96/all.pcapng
 */
#include "graph/filter.h"

struct snap {
	uint32_t limit;
};

static int snap_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct snap *s = state;
	uint64_t limit;

	(void)place;
	if (!args->arg || pfs_number_parse(args->arg, true, 1, UINT32_MAX, &limit) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "snap:N takes the number of bytes to keep, from 1, not '%.32s'",
				    args->arg ? args->arg : "");
	s->limit = (uint32_t)limit;
	return 0;
}

/* What was found in the whole packet may not be found in this one: who asks looks again. */
static void snap_ref(struct pfs_ref *ref, uint32_t limit)
{
	ref->len = limit;
	if (!(ref->flags & PFS_REF_IN_STREAM))
		ref->ethertype = 0;
}

static void snap_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	const struct snap *s = state;
	struct pfs_ref cut[PFS_BATCH];

	/* Siblings get the same batch, so what is narrowed is a copy. */
	while (n > 0) {
		size_t some = pfs_min(n, PFS_BATCH);

		memcpy(cut, in, some * sizeof(*in));
		for (size_t i = 0; i < some; i++)
			if (cut[i].len > s->limit)
				snap_ref(&cut[i], s->limit);
		pfs_emit_all(out, cut, some);
		in += some;
		n -= some;
	}
}

/* Where it can be decided before a record is made, what is behind N need not be copied. */
static int snap_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	(void)state;
	(void)link_type;
	(void)ret_unit;
	return 1;
}

static uint32_t snap_cuts(void *state)
{
	const struct snap *s = state;

	return s->limit;
}

const struct pfs_filter pfs_filter_snap = {
	.name = "snap",
	.summary = "pass only the first N bytes of each record",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.state_size = sizeof(struct snap),
	.init = snap_init,
	.reconfigure = snap_init,
	.batch = snap_batch,
	.keeps = snap_keeps,
	.cuts = snap_cuts,
};
