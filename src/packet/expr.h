/*
 * expr - filter expressions of pcap-filter(7): text in, an immutable program out
 *
 * libpcap parses, with its optimiser off, and src/pf makes the program (pipesfs/pf.h): an expression means what
 * `tcpdump -O -r FILE EXPR` means, and runs as native code where there is a back end for this machine.
 *
 * A program is made for one link type, and never changed: any number of threads may run it. Compiling takes a lock
 * (libpcap's name functions are not reentrant) but never waits for anything else: host and network names, which
 * would have to be asked of a name server, are refused with a sentence. Names of ports and protocols are fine, they
 * are in files of this host.
 *
 * `inbound` and `outbound` mean the direction that the capture recorded, on link types that do not say it themselves;
 * an expression that asks for it keeps no packet of unknown direction (tcpdump refuses such files). Nothing else that
 * only a packet socket knows (`ifindex` of Ethernet) is there.
 *
 *	struct pkt_expr *e;
 *
 *	if (pkt_expr_compile("tcp dst port 443", PFS_LINK_ETHERNET, false, &e, &diag) == 0)
 *		if (pkt_expr_match(e, p, caplen, wire_len, flags)) ...
 *	pkt_expr_free(e);
 */
#ifndef PFS_PACKET_EXPR_H
#define PFS_PACKET_EXPR_H

#include "base/base.h"
#include "ring/record.h"

struct pkt_expr;
struct pf_error;
struct pf_unit;

/* -code, with the compiler's sentence and, where that matters, the place: of one line the column says it. */
int pkt_expr_refuse(int code, const struct pf_error *error, struct pfs_diag *diag);

/*
 * link_type: LINKTYPE_ value. big_endian: of the capture (the header of LINKTYPE_NULL is in its byte order). -EINVAL
 * with the compiler's own message, -E2BIG, -ENOMEM. *ret_expr is the caller's.
 */
int pkt_expr_compile(const char *text, uint16_t link_type, bool big_endian,
		     struct pkt_expr **ret_expr, struct pfs_diag *diag);
void pkt_expr_free(struct pkt_expr *expr); /* NULL is fine */

/*
 * Of a program with memory (xPF): what it keeps from packet to packet. One instance, one thread at a time.
 */
struct pf_state;
int pkt_expr_state(struct pkt_expr *expr, struct pf_state **ret_state); /* 0, -ENOMEM */
void pkt_expr_state_free(struct pf_state *state);			/* NULL is fine */
bool pkt_expr_match_state(const struct pkt_expr *expr, struct pf_state *state, const uint8_t *p,
			  uint32_t caplen, uint32_t wire_len, unsigned flags);
unsigned pkt_expr_words(const struct pkt_expr *expr);
/* Its named numbers; NULL behind the last. */
const char *pkt_expr_cell_name(const struct pkt_expr *expr, unsigned i);
uint64_t pkt_expr_cell(const struct pkt_expr *expr, const struct pf_state *state, unsigned i);

/* Do the caplen bytes at p match? wire_len is what `len` means; flags: PFS_REC_IN, PFS_REC_OUT. */
bool pkt_expr_match(const struct pkt_expr *expr, const uint8_t *p, uint32_t caplen,
		    uint32_t wire_len, unsigned flags);

/* The same for a program in any of the languages of src/pf, for packets of that link type. */
int pkt_expr_compile_in(const char *language, const char *text, size_t len, uint16_t link_type,
			bool big_endian, struct pkt_expr **ret_expr, struct pfs_diag *diag);

/*
 * What it keeps, into an initialised, empty unit, for who runs it over whole packets and knows of each the bytes and
 * (of frames) whether it goes out. -ENOTSUP: it asks for more, or has a loop; -ENOMEM, -E2BIG.
 */
int pkt_expr_keeps(const struct pkt_expr *expr, uint16_t link_type, struct pf_unit *ret_unit);
/* The same of a text; also the errors of pkt_expr_compile_in(). */
int pkt_expr_keeps_in(const char *language, const char *text, uint16_t link_type,
		      struct pf_unit *ret_unit);

/* Tests that the program has, for people. */
unsigned pkt_expr_tests(const struct pkt_expr *expr);
/* Its graph and the code made of it, for people. */
void pkt_expr_print(const struct pkt_expr *expr, struct pfs_buf *out);

/* 0, or -EINVAL and a sentence: the expression has a name that would have to be looked up. */
int pkt_expr_names(const char *text, struct pfs_diag *diag);

#endif
