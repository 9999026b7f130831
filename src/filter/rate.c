/*
 * rate - pass at most so many records in a time
 *
 * Synopsis:   …/rate:N
 *             …/rate:N%2fs    …/rate:N%2fm    …/rate:N%2fh
 *
 * Passes N records a second (%2fm: a minute, %2fh: an hour) and drops what comes above that. It is a
 * bucket of tokens: a record takes one or is dropped, N of them come in each second, and up to
 * burst= are saved for later. It is full when the first reader comes, and when a stream has ended.
 *
 * Time is that of the records, not of the clock on the wall: a capture file read in a moment is
 * thinned as the traffic itself would have been, always alike. Behind a device or a writer the
 * two are the same. A record older than the one before counts as of the same time; if it is
 * older by more than the time that N is for, another recording has begun, with a full bucket.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: burst=B  records that may pass at once after a pause (default N); both can be changed
 *             through .params, N as arg=N
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/icmp/rate:10; cat /p/dev/eth0/icmp/rate:10/all.txt
 */
#include "graph/filter.h"

#define SECOND UINT64_C(1000000000)
#define RATE_MAX UINT32_MAX

struct rate {
	uint64_t n;
	uint64_t unit; /* ns in which n tokens come: what one token costs, when a ns brings n */
	uint64_t burst;
	uint64_t last; /* ns, of the records: when the bucket was looked at */
	unsigned __int128 credit;
	bool begun;
};

/* "100", "100/s", "100/m", "100/h" */
static int rate_parse(const struct pfs_args *args, struct rate *ret_rate, struct pfs_diag *diag)
{
	const char *arg = args->arg ? args->arg : "", *burst = pfs_args_get(args, "burst");
	const char *slash = strchr(arg, '/');
	size_t len = slash ? (size_t)(slash - arg) : strlen(arg);
	uint64_t n, tokens, unit = SECOND;
	char number[24];
	int r = -EINVAL;

	if (len < sizeof(number)) {
		memcpy(number, arg, len);
		number[len] = '\0';
		r = pfs_number_parse(number, false, 1, RATE_MAX, &n);
	}
	if (r == 0 && slash) {
		if (strcmp(slash, "/m") == 0)
			unit *= 60;
		else if (strcmp(slash, "/h") == 0)
			unit *= 3600;
		else if (strcmp(slash, "/s") != 0)
			r = -EINVAL;
	}
	if (r < 0)
		return pfs_diag_set(diag, EINVAL,
				    "rate:N takes records a second, as in rate:100, rate:100%%2fs or rate:30%%2fm; "
				    "not '%.32s'",
				    arg);
	tokens = n;
	if (burst && pfs_number_parse(burst, false, 1, RATE_MAX, &tokens) < 0)
		return pfs_diag_set(diag, EINVAL, "burst= takes a number of records, not '%.32s'",
				    burst);
	ret_rate->n = n;
	ret_rate->unit = unit;
	ret_rate->burst = tokens;
	return 0;
}

static unsigned __int128 bucket_size(const struct rate *rate)
{
	return (unsigned __int128)rate->burst * rate->unit;
}

static int rate_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	(void)place;
	return rate_parse(args, state, diag);
}

static int rate_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			    struct pfs_diag *diag)
{
	struct rate *rate = state;
	int r = rate_parse(args, rate, diag);

	(void)place;
	if (r == 0)
		rate->begun = false; /* tokens of the old kind say nothing */
	return r;
}

static void rate_refill(struct rate *rate, uint64_t time)
{
	uint64_t passed = time > rate->last ? time - rate->last : 0;

	if (!rate->begun || (time && time < rate->last && rate->last - time > rate->unit)) {
		rate->begun = true;
		rate->credit = bucket_size(rate);
		rate->last = time;
		return;
	}
	if (!passed)
		return;
	rate->last = time;
	rate->credit += (unsigned __int128)passed * rate->n;
	if (rate->credit > bucket_size(rate))
		rate->credit = bucket_size(rate);
}

static void rate_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct rate *rate = state;
	struct pfs_meta meta;

	for (size_t i = 0; i < n; i++) {
		pfs_meta(out, &in[i], &meta);
		rate_refill(rate, meta.time);
		if (rate->credit < rate->unit)
			continue;
		rate->credit -= rate->unit;
		pfs_emit(out, &in[i]);
	}
}

static void rate_attach(void *state)
{
	struct rate *rate = state;

	rate->begun = false;
}

/* Each stream is thinned alike. */
static bool rate_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			 struct pfs_emitter *out)
{
	(void)meta;
	(void)out;
	if (ref->flags & PFS_REF_EOF)
		rate_attach(state);
	return true;
}

static const struct pfs_param rate_params[] = {
	{ "burst", "records that may pass at once; default N" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_rate = {
	.name = "rate",
	.summary = "pass at most so many records in a time",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.params = rate_params,
	.state_size = sizeof(struct rate),
	.init = rate_init,
	.reconfigure = rate_reconfigure,
	.attach = rate_attach,
	.batch = rate_batch,
	.control = rate_control,
};
