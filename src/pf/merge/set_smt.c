/* The claims: a member alone says what the merged unit's results come to for it. */
#include "pf/merge/set.h"

#include <stdio.h>

#include "pf/merge/set_i.h"
#include "pf/prog.h"
#include "pf/prove/smt.h"

#define BYTES 256u

/* The first of the group's results in the unit of all. */
static uint32_t base_of(const struct pf_set *set, const struct pf_group *g)
{
	const struct pf_version *v = atomic_load_explicit(&set->version, memory_order_relaxed);
	uint32_t base = 0;

	for (uint32_t i = 0; i < v->n; i++)
		for (unsigned k = 0; k < v->part[i]->ngroup; k++) {
			if (v->part[i]->group[k] == g)
				return base;
			base += v->part[i]->group[k]->unit.nresult;
		}
	assert(0 && "every group is in a part");
	return 0;
}

/* What the unit of all says of the member: sID.result. */
static void put_said(const struct pf_set *set, const struct pf_inside *m, bool only,
		     struct pfs_buf *out)
{
	const struct pf_group *g = m->group;
	uint32_t base = base_of(set, g), entry = pf_group_entry(g, m->key);

	pfs_buf_printf(out, "(define-fun s%u.result () (_ BitVec 32) ", m->id);
	for (uint32_t k = 0; k < g->unit.nresult; k++) {
		char result[32];

		snprintf(result, sizeof(result), only ? "merged.result" : "merged.r%u", base + k);
		if (g->answers->direct)
			pfs_buf_printf(out, "(ite (= %s #x00000000) ", result);
		else
			pfs_buf_printf(out, "(ite (= %s #x%08x) #x%08x ", result, entry, m->keep);
	}
	pfs_buf_str(out, "#x00000000");
	for (uint32_t k = 0; k < g->unit.nresult; k++) {
		if (g->answers->direct && only)
			pfs_buf_str(out, " merged.result)");
		else if (g->answers->direct)
			pfs_buf_printf(out, " merged.r%u)", base + g->unit.nresult - 1 - k);
		else
			pfs_buf_str(out, ")");
	}
	pfs_buf_printf(out, ")\n(define-fun s%u.cut () Bool merged.cut)\n", m->id);
}

static int put_all(struct pf_set *set, const struct pf_prog *const *progs, const uint32_t *ids,
		   size_t n, struct pfs_buf *out)
{
	struct pf_unit u;
	bool only, loops;
	int r = pf_part_merge_all(set, &u);

	if (r < 0)
		return r;
	only = u.nresult == 1;
	pf_smt_packet(out, BYTES);
	r = pf_smt_unit(&u, "merged", out);
	loops = pf_smt_has_loops(&u);
	pf_unit_release(&u);
	for (size_t i = 0; i < n && r == 0; i++) {
		char alone[20], said[20];

		snprintf(alone, sizeof(alone), "a%u", ids[i]);
		snprintf(said, sizeof(said), "s%u", ids[i]);
		r = pf_smt_unit(pf_prog_ir(progs[i]), alone, out);
		if (r < 0)
			return r;
		put_said(set, &set->inside[ids[i]], only, out);
		pfs_buf_printf(out, "; filter %zu alone and in the set differ?\n", i + 1);
		pf_smt_claim(alone, said, loops ? PF_SMT_LOOPS : 0, out);
	}
	return r < 0 ? r : out->failed ? -ENOMEM : 0;
}

int pf_set_smt(struct pf_set *set, const struct pf_prog *const *progs, const uint32_t *ids,
	       size_t n, struct pfs_buf *out)
{
	int r;

	pthread_mutex_lock(&set->lock);
	r = put_all(set, progs, ids, n, out);
	pthread_mutex_unlock(&set->lock);
	return r;
}
