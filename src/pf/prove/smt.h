/*
 * smt - what programs mean, said to a solver: translation validation
 *
 * A compiler that is tested may still be wrong about a packet that nobody has tried. Here a program, as classic BPF or
 * as a unit, becomes formulas over bit vectors and one array of bytes (SMT-LIB 2, logic QF_ABV); a solver then looks
 * for a packet about which two of them differ, among all packets of up to so many bytes, with any length on the wire
 * and anything known beside the bytes. `unsat` is a proof that there is none.
 *
 * The writers share nothing but this header's terms, and nothing with front ends, passes and back ends: classic BPF
 * is walked instruction by instruction with A, X and the scratch words, CSPF word by word with its stack, DPF atom by
 * atom, a unit block by block. A formula is a chain of definitions, each made of those before it.
 *
 * Loops have no such form: -ENOTSUP.
 */
#ifndef PFS_PF_PROVE_SMT_H
#define PFS_PF_PROVE_SMT_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

#define PF_SMT_INSNS_MAX 4096u

/* The packet: p, caplen, len, known, aux0 ..., and the words in which programs are said. Comes first, once. */
void pf_smt_packet(struct pfs_buf *out, uint32_t max);

/*
 * Definitions that begin with `name.`; name.result is the program's result; of a unit with several filters name.r0,
 * name.r1 ... are theirs. 0, -ENOTSUP, -E2BIG, -ENOMEM.
 */
int pf_smt_unit(const struct pf_unit *u, const char *name, struct pfs_buf *out);
int pf_smt_insns(const struct pf_insn *insns, size_t n, const char *name, struct pfs_buf *out);
/* The same with the instructions of pf-mpf(7): its own keys are the only session, and nothing is registered. */
int pf_smt_mpf(const struct pf_insn *insns, size_t n, const char *name, struct pfs_buf *out);
/* One that the front end has accepted. */
struct cspf;
struct dpf;
int pf_smt_cspf(const struct cspf *cspf, const char *name, struct pfs_buf *out);
int pf_smt_dpf(const struct dpf *dpf, const char *name, struct pfs_buf *out);

/* Is there a packet about which the two differ? The answer is one line: unsat, sat, unknown. */
void pf_smt_claim(const char *a, const char *b, struct pfs_buf *out);

/* The packet that was found, behind a claim that is sat: an answer for pf_smt_read_packet(). */
void pf_smt_ask_packet(uint32_t max, struct pfs_buf *out);

struct pf_counterexample {
	uint8_t bytes[512];
	uint32_t caplen, len;
	struct pf_aux aux;
};

/* 0; -EBADMSG: it is no such answer. */
int pf_smt_read_packet(const char *answer, uint32_t max, struct pf_counterexample *ret_packet);

#endif
