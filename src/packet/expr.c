#include "packet/expr.h"

#include <pcap/pcap.h>
#include <stdio.h>

#include "pf/front/pcap.h"

/* Loads from there on are the ancillary data of Linux's classic BPF: not bytes of the packet. */
#define ANCILLARY 0xfffff000u
#define ANCILLARY_PKTTYPE (ANCILLARY + 4)
#define PACKET_TYPE_HOST 0
#define PACKET_TYPE_OUTGOING 4

#define SNAPLEN 262144 /* what a match returns; any value but 0 does */

struct pkt_expr {
	struct bpf_insn *insns; /* owned; for packets that came in, or if direction is no matter */
	struct bpf_insn *outgoing; /* owned; NULL: the same */
	size_t n;
};

static bool is_ancillary(const struct bpf_insn *insn)
{
	return BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS &&
	       insn->k >= ANCILLARY;
}

/* Replaces loads of the direction by the number it is. */
static void settle(struct bpf_insn *insns, size_t n, unsigned type)
{
	for (size_t i = 0; i < n; i++) {
		if (!is_ancillary(&insns[i]))
			continue;
		insns[i].code = BPF_LD | BPF_IMM;
		insns[i].k = type;
	}
}

/*
 * In a file libpcap refuses `inbound` on most link types, since it has nowhere to find it. We know the direction: loads
 * of the packet's type become numbers, in one program for each direction.
 */
static int split_directions(struct pkt_expr *e, struct pfs_diag *diag)
{
	bool found = false;

	for (size_t i = 0; i < e->n; i++) {
		if (!is_ancillary(&e->insns[i]))
			continue;
		if (e->insns[i].k != ANCILLARY_PKTTYPE)
			return pfs_diag_set(diag, EINVAL,
					    "the expression asks for what is not in the packet");
		found = true;
	}
	if (!found)
		return 0;
	e->outgoing = pfs_zalloc(e->n, sizeof(*e->outgoing));
	if (!e->outgoing)
		return pfs_diag_set(diag, ENOMEM, "no memory for an expression");
	memcpy(e->outgoing, e->insns, e->n * sizeof(*e->outgoing));
	settle(e->insns, e->n, PACKET_TYPE_HOST);
	settle(e->outgoing, e->n, PACKET_TYPE_OUTGOING);
	return 0;
}

int pkt_expr_compile(const char *text, uint16_t link_type, bool big_endian,
		     struct pkt_expr **ret_expr, struct pfs_diag *diag)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_insn *insns = NULL;
	struct pf_error error;
	struct pkt_expr *e = pfs_zalloc(1, sizeof(*e));
	int r;

	if (!e)
		return pfs_diag_set(diag, ENOMEM, "no memory for an expression");
	options.link_type = link_type;
	options.big_endian = big_endian;
	options.snaplen = SNAPLEN;
	r = pf_pcap_parse(text, &options, &insns, &e->n, &error);
	if (r < 0) {
		pfs_diag_set(diag, -r, "%s", error.text);
	} else {
		e->insns = (struct bpf_insn *)insns;
		r = split_directions(e, diag);
	}
	if (r < 0) {
		pkt_expr_free(e);
		return r;
	}
	*ret_expr = e;
	return 0;
}

void pkt_expr_free(struct pkt_expr *expr)
{
	if (!expr)
		return;
	free(expr->insns);
	free(expr->outgoing);
	free(expr);
}

bool pkt_expr_match(const struct pkt_expr *expr, const uint8_t *p, uint32_t caplen,
		    uint32_t wire_len, unsigned flags)
{
	const struct bpf_insn *insns = expr->insns;

	if (expr->outgoing) {
		if (!(flags & (PFS_REC_IN | PFS_REC_OUT)))
			return false;
		if (flags & PFS_REC_OUT)
			insns = expr->outgoing;
	}
	return bpf_filter(insns, p, wire_len, caplen) != 0;
}

unsigned pkt_expr_size(const struct pkt_expr *expr)
{
	return (unsigned)expr->n;
}

int pkt_expr_names(const char *text, struct pfs_diag *diag)
{
	struct pf_error error;
	int r = pf_pcap_names(text, &error);

	return r < 0 ? pfs_diag_set(diag, -r, "%s", error.text) : 0;
}
