/* What is known of a unit before code for the kernel is made of it: its fields, what it looks at. */
#include "pf/back/ebpf_i.h"

#include <pipesfs/pf.h>

#include <linux/bpf.h>

#define COPY_MAX 256u

/* Where a field is in the context, and how it is stored; -1: nowhere. */
int ebpf_field(uint32_t field, bool *ret_turn)
{
	*ret_turn = field == PF_AUX_PROTOCOL || field == PF_AUX_VLAN_TPID;
	switch (field) {
	case PF_AUX_PROTOCOL:
		return offsetof(struct __sk_buff, protocol);
	case PF_AUX_PKTTYPE:
		return offsetof(struct __sk_buff, pkt_type);
	case PF_AUX_IFINDEX:
		return offsetof(struct __sk_buff, ifindex);
	case PF_AUX_MARK:
		return offsetof(struct __sk_buff, mark);
	case PF_AUX_QUEUE:
		return offsetof(struct __sk_buff, queue_mapping);
	case PF_AUX_RXHASH:
		return offsetof(struct __sk_buff, hash);
	case PF_AUX_VLAN_TCI:
		return offsetof(struct __sk_buff, vlan_tci);
	case PF_AUX_VLAN_PRESENT:
		return offsetof(struct __sk_buff, vlan_present);
	case PF_AUX_VLAN_TPID:
		return offsetof(struct __sk_buff, vlan_proto);
	default:
		return -1;
	}
}

/* Everything is known there that can be seen at all: no branch is left that could not go both ways. */
int ebpf_know(struct pf_unit *to, const struct pf_unit *from)
{
	int r = pf_unit_copy(to, from);
	bool turn;

	for (pf_val v = 1; v < to->nval && r == 0; v++) {
		struct pf_value *value = &to->val[v];

		if (value->op != PF_OP_KNOWN)
			continue;
		if (value->k != PF_AUX_CPU && value->k != PF_AUX_RANDOM &&
		    ebpf_field(value->k, &turn) < 0)
			r = -ENOTSUP;
		*value = (struct pf_value){ .op = PF_OP_CONST, .k = 1, .max = 1, .may = 1 };
	}
	return r;
}

/* How much of the packet the filter looks at, as far as can be said: headers have variable lengths. */
uint32_t ebpf_wanted(const struct pf_unit *u)
{
	uint32_t most = 0;

	for (pf_val v = 1; v < u->nval; v++) {
		const struct pf_value *value = &u->val[v];
		unsigned size = pf_load_size(value->op);
		uint64_t end = value->k + (uint64_t)size;

		if (!size)
			continue;
		/* IP headers are rarely longer than 20 bytes. */
		if (value->a)
			end += pfs_min(u->val[value->a].max, 20);
		if (end <= COPY_MAX && end > most)
			most = (uint32_t)end;
	}
	return most;
}

/* The beginning of the copy, modulo 4, for which most loads are aligned. */
unsigned ebpf_shift(const struct pf_unit *u)
{
	unsigned best = 0, most = 0;

	for (unsigned shift = 0; shift < 4; shift++) {
		unsigned aligned = 0;

		for (pf_val v = 1; v < u->nval; v++) {
			unsigned size = pf_load_size(u->val[v].op);

			aligned += size > 1 && !((u->val[v].k + shift) & (size - 1));
		}
		if (aligned > most) {
			most = aligned;
			best = shift;
		}
	}
	return best;
}

bool ebpf_asks_for(const struct pf_unit *u, uint32_t field)
{
	for (pf_val v = 1; v < u->nval; v++)
		if (u->val[v].op == PF_OP_AUX && u->val[v].k == field)
			return true;
	return false;
}
