#include "source/packetdecide.h"

#include "pf/back/cbpf.h"
#include "pf/merge/merge.h"
#include "pf/merge/tree.h"
#include "pf/opt/opt.h"

/* Has all that it accepts to come? Then what is below it need not be asked. */
static bool is_needed(const struct pfs_interests *interests, size_t i)
{
	if (interests->item[i].wanted || interests->item[i].counted)
		return true;
	for (size_t k = i + 1; k < interests->n; k++)
		if (interests->item[k].above == i)
			return false;
	return true;
}

/* The branches down to those that are needed. Returns how many there are. */
static size_t plant(const struct pfs_interests *interests, struct pf_branch *branch, uint32_t *at)
{
	size_t n = 0;

	for (size_t i = 0; i < interests->n; i++) {
		const struct pfs_interest *item = &interests->item[i];
		uint32_t above = i ? at[item->above] : PF_TREE_TOP;

		at[i] = UINT32_MAX;
		if (i && (above == UINT32_MAX || branch[above].result != PF_TREE_SILENT))
			continue;
		at[i] = (uint32_t)n;
		branch[n++] = (struct pf_branch){ item->unit, above,
						  is_needed(interests, i) ? 0 : PF_TREE_SILENT,
						  item->cut };
	}
	return n;
}

static int build(const struct pfs_interests *interests, struct pf_unit *unit)
{
	PFS_FREE struct pf_branch *branch = pfs_zalloc(interests->n, sizeof(*branch));
	PFS_FREE uint32_t *at = pfs_zalloc(interests->n, sizeof(*at));
	struct pf_error error;
	int r;

	if (!branch || !at)
		return -ENOMEM;
	/* A filter that is unsure leaves another result, which is as good as a yes. */
	r = pf_tree(branch, plant(interests, branch, at), 1, false, unit);
	if (r == 0)
		r = pf_merge_any(unit);
	return r == 0 ? pf_optimise(unit, 0, NULL, NULL, &error) : r;
}

/* Does it ask whether bytes are there that are cut off before the engine sees the packet? */
static bool looks_behind(const struct pf_unit *u, uint32_t snaplen)
{
	for (pf_val v = 1; v < u->nval; v++) {
		const struct pf_value *value = &u->val[v];
		uint64_t base = value->op == PF_OP_FITS && value->a ? u->val[value->a].max : 0;

		if (value->op == PF_OP_FITS && base + value->k > snaplen)
			return true;
	}
	return false;
}

static int emit(const struct pfs_interests *interests, const struct pf_unit *unit, uint32_t snaplen,
		struct pf_insn **ret_insns, size_t *ret_n, struct pfs_diag *why)
{
	struct pf_error error = { "" };
	int r;

	if (looks_behind(unit, snaplen))
		return pfs_diag_set(why, ENOTSUP,
				    "they look at bytes that snaplen=%u may have cut off", snaplen);
	r = pf_cbpf_make(unit, PF_CBPF_LINUX, ret_insns, ret_n, &error);
	return r < 0 ? pfs_diag_set(why, -r, "no classic BPF of %zu filters: %s", interests->n,
				    error.text)
		     : 0;
}

int packetdecide(const struct pfs_interests *interests, uint16_t link_type, uint32_t snaplen,
		 struct pf_insn **ret_insns, size_t *ret_n, struct pfs_diag *why)
{
	struct pf_unit unit;
	int r;

	if (!interests || interests->n == 0)
		return pfs_diag_set(why, EINVAL, "nothing was asked");
	if (interests->link_type != link_type)
		return pfs_diag_set(why, EINVAL, "the filters are for link type %u, packets are of %u",
				    interests->link_type, link_type);
	if (is_needed(interests, 0))
		return pfs_diag_set(why, EINVAL, "all packets are wanted");
	pf_unit_init(&unit);
	r = build(interests, &unit);
	if (r < 0)
		pfs_diag_set(why, -r, "no program of %zu filters: %s", interests->n, strerror(-r));
	else
		r = emit(interests, &unit, snaplen, ret_insns, ret_n, why);
	pf_unit_release(&unit);
	return r;
}
