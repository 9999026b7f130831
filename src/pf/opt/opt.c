#include "pf/opt/opt.h"

#include "pf/error.h"
#include "pf/ir/print.h"
#include "pf/ir/verify.h"

#define ROUNDS_MAX 12u

const struct pf_pass *const pf_passes[] = {
	&pf_pass_share, &pf_pass_fold,	 &pf_pass_bool,	 &pf_pass_assert, &pf_pass_thread,
	&pf_pass_tidy,	&pf_pass_bounds, &pf_pass_order, &pf_pass_widen,  NULL,
};

static int say(const struct pf_unit *u, const char *pass,
	       void (*trace)(void *arg, const char *pass, const char *listing), void *arg)
{
	PFS_BUF struct pfs_buf listing = { 0 };
	int r = pf_print(u, &listing);

	if (r == 0)
		trace(arg, pass, listing.data);
	return r;
}

static int verify(const struct pf_unit *u, const char *pass, struct pf_error *error)
{
	struct pf_error said;
	int r = pf_verify(u, &said);

	if (r < 0)
		pf_fail(error, -r, "pass %s: %.200s", pass, said.text);
	return r;
}

#ifdef NDEBUG
#define VERIFY_EACH false
#else
#define VERIFY_EACH true
#endif

/* In rounds, until nothing changes. */
static int run_rounds(struct pf_unit *u, uint64_t without,
		      void (*trace)(void *arg, const char *pass, const char *listing),
		      void *trace_arg, struct pf_error *error)
{
	bool again = true;
	int r = 0;

	for (unsigned round = 0; again && round < ROUNDS_MAX && r >= 0; round++) {
		again = false;
		for (unsigned i = 0; pf_passes[i] && r >= 0; i++) {
			if (without >> i & 1)
				continue;
			r = pf_passes[i]->run(u);
			if (r <= 0)
				continue;
			again = true;
			r = pf_unit_compact(u);
			if (r == 0 && VERIFY_EACH)
				r = verify(u, pf_passes[i]->name, error);
			if (r == 0 && trace)
				r = say(u, pf_passes[i]->name, trace, trace_arg);
		}
	}
	return r < 0 ? r : 0;
}

uint64_t pf_pass_bit(const struct pf_pass *pass)
{
	for (unsigned i = 0; pf_passes[i]; i++)
		if (pf_passes[i] == pass)
			return UINT64_C(1) << i;
	return 0;
}

int pf_optimise_in_two(struct pf_unit *u, uint64_t without,
		       void (*trace)(void *arg, const char *pass, const char *listing),
		       void *trace_arg, struct pf_unit *ret_plain, struct pf_error *error)
{
	uint64_t widen = pf_pass_bit(&pf_pass_widen);
	int r = pf_unit_compact(u);

	if (trace && r == 0)
		r = say(u, NULL, trace, trace_arg);
	if (r == 0)
		r = run_rounds(u, without | widen, trace, trace_arg, error);
	if (r == 0 && ret_plain)
		r = pf_unit_copy(ret_plain, u);
	if (r == 0 && !(without & widen))
		r = run_rounds(u, without, trace, trace_arg, error);
	/* Code is only made of what is safe, whatever the passes have done. */
	return r < 0 ? r : verify(u, "last", error);
}

int pf_optimise(struct pf_unit *u, uint64_t without,
		void (*trace)(void *arg, const char *pass, const char *listing), void *trace_arg,
		struct pf_error *error)
{
	return pf_optimise_in_two(u, without, trace, trace_arg, NULL, error);
}
