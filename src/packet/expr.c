#include "packet/expr.h"

#include <pipesfs/pf.h>

#include "pf/front/pcap.h"

#define PACKET_TYPE_HOST 0
#define PACKET_TYPE_OUTGOING 4
#define DIRECTION (1u << PF_AUX_PKTTYPE)

struct pkt_expr {
	struct pf_prog *prog; /* owned */
	bool directed;	      /* it asks for the direction */
};

/*
 * In a file libpcap refuses `inbound` on most link types, since it has nowhere to find it. We know the direction: it is
 * what the program finds beside the bytes.
 */
int pkt_expr_compile_in(const char *language, const char *text, size_t len, uint16_t link_type,
			bool big_endian, struct pkt_expr **ret_expr, struct pfs_diag *diag)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_info info = { .size = sizeof(info) };
	struct pf_error error = { "" };
	struct pf_prog *prog;
	struct pkt_expr *e;
	int r;

	options.link_type = link_type;
	options.big_endian = big_endian;
	r = pf_compile(language, text, len, &options, &prog, &error);
	if (r < 0)
		return pfs_diag_set(diag, -r, "%s", error.text);
	pf_get_info(prog, &info);
	if (info.fields & ~DIRECTION) {
		pf_unref(prog);
		return pfs_diag_set(diag, EINVAL, "the expression asks for what is not in the packet");
	}
	e = pfs_zalloc(1, sizeof(*e));
	if (!e) {
		pf_unref(prog);
		return pfs_diag_set(diag, ENOMEM, "no memory for an expression");
	}
	*e = (struct pkt_expr){ .prog = prog, .directed = info.fields & DIRECTION };
	*ret_expr = e;
	return 0;
}

int pkt_expr_compile(const char *text, uint16_t link_type, bool big_endian,
		     struct pkt_expr **ret_expr, struct pfs_diag *diag)
{
	return pkt_expr_compile_in("pcap", text, strlen(text), link_type, big_endian, ret_expr, diag);
}

void pkt_expr_free(struct pkt_expr *expr)
{
	if (!expr)
		return;
	pf_unref(expr->prog);
	free(expr);
}

bool pkt_expr_match(const struct pkt_expr *expr, const uint8_t *p, uint32_t caplen,
		    uint32_t wire_len, unsigned flags)
{
	struct pf_packet packet = { p, caplen, wire_len, NULL };
	struct pf_aux aux;

	if (expr->directed) {
		if (!(flags & (PFS_REC_IN | PFS_REC_OUT)))
			return false;
		aux.known = DIRECTION;
		aux.value[PF_AUX_PKTTYPE] = flags & PFS_REC_OUT ? PACKET_TYPE_OUTGOING
								: PACKET_TYPE_HOST;
		packet.aux = &aux;
	}
	return pf_run(expr->prog, &packet) != 0;
}

unsigned pkt_expr_tests(const struct pkt_expr *expr)
{
	struct pf_info info = { .size = sizeof(info) };

	pf_get_info(expr->prog, &info);
	return info.tests;
}

void pkt_expr_print(const struct pkt_expr *expr, struct pfs_buf *out)
{
	static const char *const stages[] = { "opt", "x86" };
	struct pf_info info = { .size = sizeof(info) };

	pf_get_info(expr->prog, &info);
	/* Machine code only where it is what runs. */
	for (size_t i = 0; i < (info.native ? ARRAY_SIZE(stages) : 1); i++) {
		PFS_FREE char *text = NULL;

		if (pf_dump(expr->prog, stages[i], &text, NULL) == 0)
			pfs_buf_str(out, text);
	}
}

int pkt_expr_names(const char *text, struct pfs_diag *diag)
{
	struct pf_error error;
	int r = pf_pcap_names(text, &error);

	return r < 0 ? pfs_diag_set(diag, -r, "%s", error.text) : 0;
}
