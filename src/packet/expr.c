#include "packet/expr.h"

#include <pcap/pcap.h>
#include <pthread.h>
#include <stdio.h>

#include "base/bytes.h"

/* Loads from there on are the ancillary data of Linux's classic BPF: not bytes of the packet. */
#define ANCILLARY 0xfffff000u
#define ANCILLARY_PKTTYPE (ANCILLARY + 4)
#define PACKET_TYPE_HOST 0
#define PACKET_TYPE_OUTGOING 4

#define SNAPLEN 262144 /* what a match returns; any value but 0 does */

struct pkt_expr {
	struct bpf_program program; /* owned; for packets that came in, or if direction is no matter */
	struct bpf_program outgoing; /* owned; bf_len 0: the same */
};

/* libpcap's name functions use static memory. */
static pthread_mutex_t compiler = PTHREAD_MUTEX_INITIALIZER;

/*
 * An open capture of that link type. libpcap itself maps LINKTYPE_ values of files to its own DLT_ ones, so it is
 * given a file; and LINKTYPE_NULL needs the file's byte order.
 */
static pcap_t *capture_open(uint16_t link_type, bool big_endian, struct pfs_diag *diag)
{
	char error[PCAP_ERRBUF_SIZE] = "";
	uint8_t header[24] = { 0 };
	FILE *file;
	pcap_t *p;

	/* Version 2.4, snaplen and link type. */
	if (big_endian) {
		be32_store(header, 0xa1b2c3d4);
		be32_store(header + 4, 2 << 16 | 4);
		be32_store(header + 16, SNAPLEN);
		be32_store(header + 20, link_type);
	} else {
		le32_store(header, 0xa1b2c3d4);
		le32_store(header + 4, 4 << 16 | 2);
		le32_store(header + 16, SNAPLEN);
		le32_store(header + 20, link_type);
	}
	file = fmemopen(header, sizeof(header), "r");
	if (!file) {
		pfs_diag_set(diag, ENOMEM, "no memory for the compiler of expressions");
		return NULL;
	}
	p = pcap_fopen_offline(file, error);
	if (!p) {
		fclose(file);
		pfs_diag_set(diag, EINVAL, "link type %u: %.200s", link_type, error);
	}
	return p;
}

static int compile(pcap_t *p, const char *text, struct bpf_program *ret_program, struct pfs_diag *diag)
{
	/* Netmask 0, as tcpdump has it when it reads a file. */
	if (pcap_compile(p, ret_program, text, 0, 0) == 0)
		return 0;
	*ret_program = (struct bpf_program){ 0 };
	return pfs_diag_set(diag, EINVAL, "%.250s", pcap_geterr(p));
}

static bool is_ancillary(const struct bpf_insn *insn)
{
	return BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS &&
	       insn->k >= ANCILLARY;
}

/* Replaces loads of the direction by the number it is. True: there was one. -EINVAL: it asks for something else. */
static int program_settle(struct bpf_program *program, unsigned type, struct pfs_diag *diag)
{
	int found = 0;

	for (unsigned i = 0; i < program->bf_len; i++) {
		struct bpf_insn *insn = &program->bf_insns[i];

		if (!is_ancillary(insn))
			continue;
		if (insn->k != ANCILLARY_PKTTYPE)
			return pfs_diag_set(diag, EINVAL,
					    "the expression asks for what is not in the packet");
		insn->code = BPF_LD | BPF_IMM;
		insn->k = type;
		found = 1;
	}
	return found;
}

/*
 * In a file libpcap refuses `inbound` on most link types, since it has nowhere to find it. We know the direction: as
 * for a device it makes loads of the packet's type, which become numbers in one program for each direction.
 */
static int compile_directions(pcap_t *file, const char *text, struct pkt_expr *e, struct pfs_diag *diag)
{
	pcap_t *p = pcap_open_dead(pcap_datalink(file), SNAPLEN);
	int r;

	if (!p)
		return pfs_diag_set(diag, ENOMEM, "no memory for the compiler of expressions");
	r = compile(p, text, &e->program, diag);
	if (r == 0)
		r = program_settle(&e->program, PACKET_TYPE_HOST, diag);
	if (r > 0) {
		r = compile(p, text, &e->outgoing, diag);
		if (r == 0)
			r = program_settle(&e->outgoing, PACKET_TYPE_OUTGOING, diag);
	}
	pcap_close(p);
	return r < 0 ? r : 0;
}

static int compile_locked(const char *text, uint16_t link_type, bool big_endian, struct pkt_expr *e,
			  struct pfs_diag *diag)
{
	pcap_t *p = capture_open(link_type, big_endian, diag);
	int r;

	if (!p)
		return -EINVAL;
	r = compile(p, text, &e->program, diag);
	/* The sentence of the first attempt is the one that tcpdump says. */
	if (r < 0 && compile_directions(p, text, e, NULL) == 0)
		r = pfs_diag_set(diag, 0, "%s", "");
	pcap_close(p);
	return r;
}

int pkt_expr_compile(const char *text, uint16_t link_type, bool big_endian,
		     struct pkt_expr **ret_expr, struct pfs_diag *diag)
{
	struct pkt_expr *e;
	int r;

	r = pkt_expr_names(text, diag);
	if (r < 0)
		return r;
	e = pfs_zalloc(1, sizeof(*e));
	if (!e)
		return pfs_diag_set(diag, ENOMEM, "no memory for an expression");
	pthread_mutex_lock(&compiler);
	r = compile_locked(text, link_type, big_endian, e, diag);
	pthread_mutex_unlock(&compiler);
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
	pcap_freecode(&expr->program);
	pcap_freecode(&expr->outgoing);
	free(expr);
}

bool pkt_expr_match(const struct pkt_expr *expr, const uint8_t *p, uint32_t caplen,
		    uint32_t wire_len, unsigned flags)
{
	const struct bpf_program *program = &expr->program;

	if (expr->outgoing.bf_len) {
		if (!(flags & (PFS_REC_IN | PFS_REC_OUT)))
			return false;
		if (flags & PFS_REC_OUT)
			program = &expr->outgoing;
	}
	return bpf_filter(program->bf_insns, p, wire_len, caplen) != 0;
}

unsigned pkt_expr_size(const struct pkt_expr *expr)
{
	return expr->program.bf_len;
}
