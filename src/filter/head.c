/*
 * head - pass the first N records, then end the stream
 *
 * Synopsis:   …/head:N
 *
 * Passes N records and then ends the generation: readers get end of file, as after `head -n N`. When
 * the last reader has gone and a new one comes, it starts to count again. What a record is depends
 * on the place: a packet below unpcap or a device, one write below accept.
 *
 * Stats:      left (records still to pass)
 * Parameters: none; writing arg=N to .params starts to count anew from the next reader on
 * Classes:    none
 * Example:    mkdir /p/dev/eth0/head:10; tcpdump -r /p/dev/eth0/head:10/all.pcapng
 */
#include "graph/filter.h"

struct head {
	uint64_t limit;
	_Atomic uint64_t left; /* writer: the worker, attach() while it rests */
};

static int head_parse(const struct pfs_args *args, uint64_t *ret_limit, struct pfs_diag *diag)
{
	int r = pfs_number_parse(args->arg ? args->arg : "", false, 1, UINT64_MAX / 2, ret_limit);

	if (r < 0)
		return pfs_diag_set(diag, EINVAL,
				    "head:N takes the number of records to pass, from 1, not '%.32s'",
				    args->arg ? args->arg : "");
	return 0;
}

static int head_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct head *h = state;
	int r = head_parse(args, &h->limit, diag);

	(void)place;
	if (r < 0)
		return r;
	atomic_store_explicit(&h->left, h->limit, memory_order_relaxed);
	return 0;
}

static int head_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			    struct pfs_diag *diag)
{
	struct head *h = state;

	(void)place;
	return head_parse(args, &h->limit, diag);
}

static void head_attach(void *state)
{
	struct head *h = state;

	atomic_store_explicit(&h->left, h->limit, memory_order_relaxed);
}

static void head_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct head *h = state;
	uint64_t left = atomic_load_explicit(&h->left, memory_order_relaxed);
	size_t pass = left < n ? (size_t)left : n;

	if (pass == 0)
		return;
	pfs_emit_all(out, in, pass);
	atomic_store_explicit(&h->left, left - pass, memory_order_relaxed);
	if (left == pass)
		pfs_emit_eof(out);
}

static void head_stats(void *state, struct pfs_buf *out)
{
	struct head *h = state;

	pfs_buf_printf(out, "left %llu\n",
		       (unsigned long long)atomic_load_explicit(&h->left, memory_order_relaxed));
}

const struct pfs_filter pfs_filter_head = {
	.name = "head",
	.summary = "pass the first N records, then end the stream",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.state_size = sizeof(struct head),
	.init = head_init,
	.reconfigure = head_reconfigure,
	.attach = head_attach,
	.batch = head_batch,
	.stats = head_stats,
};
