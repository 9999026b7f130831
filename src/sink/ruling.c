#include "sink/ruling.h"

int pfs_ruling_keeps(void *state, uint16_t link_type, struct pf_unit *ret_unit)
{
	(void)state;
	(void)link_type;
	(void)ret_unit;
	return 1;
}

void pfs_ruling_passed(void *state, const struct pfs_tally *tally)
{
	struct pfs_ruling *ruling = state;

	pfs_counter_add(&ruling->packets, tally->records);
}

/* Only what nobody could decide in time comes here. */
void pfs_ruling_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct pfs_ruling *ruling = state;

	(void)in;
	(void)out;
	pfs_counter_add(&ruling->undecided, n);
}

void pfs_ruling_stats(void *state, struct pfs_buf *out)
{
	const struct pfs_ruling *ruling = state;

	pfs_buf_printf(out, "packets %llu\nundecided %llu\n",
		       (unsigned long long)pfs_counter_get(&ruling->packets),
		       (unsigned long long)pfs_counter_get(&ruling->undecided));
}
