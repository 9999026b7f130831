/*
 * sample - pass every Nth record
 *
 * Synopsis:   …/sample:N[,phase=P]
 *             …/sample:N,random=1
 *
 * Passes the Nth record, the 2Nth and so on, and drops the others: always the same ones of the
 * same stream. With phase=P those pass whose number divided by N leaves P, counted from 1: phase=1
 * begins with the first. It begins to count when the first reader comes, and anew when the stream ends.
 *
 * With random=1 each record passes with a chance of one in N, whatever the others do: what
 * repeats itself every N records is not mistaken for all of it.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: phase=P   0 to N-1 (default 0)
 *             random=1  at random (default 0). All can be changed through .params, N as arg=N.
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/sample:1000; cat /p/dev/eth0/sample:1000/all.json
 */
#include "base/hash.h"
#include "graph/filter.h"

struct sample {
	uint64_t every;
	uint64_t phase;
	uint64_t number; /* of the last record; writer: the worker, attach() while it rests */
	bool random;
	struct pfs_seed seed;
};

static int sample_parse(const struct pfs_args *args, struct sample *ret_sample, struct pfs_diag *diag)
{
	const char *arg = args->arg ? args->arg : "", *phase = pfs_args_get(args, "phase");
	const char *random = pfs_args_get(args, "random");
	uint64_t every, rest = 0, at_random = 0;

	if (pfs_number_parse(arg, false, 1, UINT32_MAX, &every) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "sample:N takes a number from 1: every Nth passes; not '%.32s'",
				    arg);
	if (phase && pfs_number_parse(phase, false, 0, every - 1, &rest) < 0)
		return pfs_diag_set(diag, EINVAL, "phase= takes a number below %llu, not '%.32s'",
				    (unsigned long long)every, phase);
	if (random && pfs_number_parse(random, false, 0, 1, &at_random) < 0)
		return pfs_diag_set(diag, EINVAL, "random= takes 0 or 1, not '%.32s'", random);
	if (at_random && phase)
		return pfs_diag_set(diag, EINVAL,
				    "phase= says which, random= that it does not matter: not both");
	ret_sample->every = every;
	ret_sample->phase = rest;
	ret_sample->random = at_random;
	return 0;
}

static int sample_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag)
{
	struct sample *s = state;

	(void)place;
	pfs_seed_init(&s->seed);
	return sample_parse(args, s, diag);
}

static int sample_reconfigure(void *state, const struct pfs_args *args,
			      const struct pfs_place *place, struct pfs_diag *diag)
{
	(void)place;
	return sample_parse(args, state, diag);
}

static void sample_attach(void *state)
{
	struct sample *s = state;

	s->number = 0;
}

/* Each stream is sampled alike. */
static bool sample_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			   struct pfs_emitter *out)
{
	(void)meta;
	(void)out;
	if (ref->flags & PFS_REF_EOF)
		sample_attach(state);
	return true;
}

static bool sample_takes(struct sample *s)
{
	uint64_t chance;

	s->number++;
	if (!s->random)
		return s->number % s->every == s->phase;
	chance = pfs_hash_words(&s->seed, &s->number, 1);
	return (uint64_t)((unsigned __int128)chance * s->every >> 64) == 0;
}

static void sample_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct sample *s = state;

	for (size_t i = 0; i < n; i++)
		if (sample_takes(s))
			pfs_emit(out, &in[i]);
}

static const struct pfs_param sample_params[] = {
	{ "phase", "which of N, 0 to N-1; default 0" },
	{ "random", "1: one in N at random; default 0" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_sample = {
	.name = "sample",
	.summary = "pass every Nth record",
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.params = sample_params,
	.state_size = sizeof(struct sample),
	.init = sample_init,
	.reconfigure = sample_reconfigure,
	.attach = sample_attach,
	.batch = sample_batch,
	.control = sample_control,
};
