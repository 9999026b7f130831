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
 * Right below a device or hook of the kernel, with nothing but count, snap and sample between, it is decided there, and
 * what does not pass is not copied. Elsewhere all that comes to it is.
 *
 * Stats:      none beyond in, out, dropped, lost and bytes
 * Parameters: phase=P   0 to N-1 (default 0)
 *             random=1  at random (default 0). All can be changed through .params, N as arg=N.
 * Classes:    none
 * Example:    mkdir -p /p/dev/eth0/sample:1000; cat /p/dev/eth0/sample:1000/all.json
 */
#include "base/hash.h"
#include "graph/filter.h"
#include "graph/nth.h"

struct sample {
	struct pfs_nth nth;
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
	ret_sample->nth.every = (uint32_t)every;
	ret_sample->nth.phase = at_random ? PFS_NTH_RANDOM : (uint32_t)rest;
	return 0;
}

static int sample_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag)
{
	struct sample *s = state;
	int r = sample_parse(args, s, diag);

	(void)place;
	pfs_seed_init(&s->seed);
	if (r == 0)
		pfs_nth_init(&s->nth);
	return r;
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

	pfs_nth_restart(&s->nth);
}

static void sample_fini(void *state)
{
	struct sample *s = state;

	pfs_nth_release(&s->nth);
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
	uint64_t number = pfs_nth_count(&s->nth), chance;

	if (s->nth.phase != PFS_NTH_RANDOM)
		return number % s->nth.every == s->nth.phase;
	chance = pfs_hash_words(&s->seed, &number, 1);
	return (uint64_t)((unsigned __int128)chance * s->nth.every >> 64) == 0;
}

static void sample_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct sample *s = state;

	pfs_nth_lock(&s->nth);
	for (size_t i = 0; i < n; i++)
		if (sample_takes(s))
			pfs_emit(out, &in[i]);
	pfs_nth_unlock(&s->nth);
}

static int sample_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	(void)state;
	(void)link_type;
	(void)ret_unit;
	return 1;
}

static struct pfs_nth *sample_nth(void *state)
{
	struct sample *s = state;

	return &s->nth;
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
	.fini = sample_fini,
	.attach = sample_attach,
	.batch = sample_batch,
	.keeps = sample_keeps,
	.nth = sample_nth,
	.control = sample_control,
};
