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
 * Loops are written out: a run may go back PF_SMT_ROUNDS times, and one that goes on is *cut*. Claims are about runs
 * that are not, which is said with them. Memories are an array that begins as anything, and must end alike.
 */
#ifndef PFS_PF_PROVE_SMT_H
#define PFS_PF_PROVE_SMT_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

#define PF_SMT_INSNS_MAX 4096u
#define PF_SMT_ROUNDS 4u
#define PF_SMT_TEXT_MAX ((size_t)32 << 20)

/* The packet: p, caplen, len, known, aux0 ..., and the words in which programs are said. Comes first, once. */
void pf_smt_packet(struct pfs_buf *out, uint32_t max);

/*
 * Definitions that begin with `name.`; name.result is the program's result; of a unit with several filters name.r0,
 * name.r1 ... are theirs. name.cut says that a run was cut, name.mem is what is in the
 * memories behind it. 0, -ENOTSUP, -E2BIG, -ENOMEM.
 */
int pf_smt_unit(const struct pf_unit *u, const char *name, struct pfs_buf *out);
int pf_smt_insns(const struct pf_insn *insns, size_t n, const char *name, struct pfs_buf *out);
/* The same with the instructions of pf-xpf(7), of a program that the front end has accepted. */
int pf_smt_xpf(const struct pf_insn *insns, size_t n, uint32_t words, uint32_t loops,
	       const char *name, struct pfs_buf *out);
/* The same with the instructions of pf-mpf(7): its own keys are the only session, and nothing is registered. */
int pf_smt_mpf(const struct pf_insn *insns, size_t n, const char *name, struct pfs_buf *out);
/*
 * Code for the kernel, of one filter; with `words` words of memory in the map it looks into. name.bad says that it
 * would read or write what it may not. -EINVAL: it does so whatever the packet is; -ENOTSUP: we would not make it.
 */
struct bpf_insn;
int pf_smt_ebpf(const struct bpf_insn *insns, size_t n, uint32_t words, const char *name,
		struct pfs_buf *out);
/* One that the front end has accepted. */
struct cspf;
struct dpf;
int pf_smt_cspf(const struct cspf *cspf, const char *name, struct pfs_buf *out);
int pf_smt_dpf(const struct dpf *dpf, const char *name, struct pfs_buf *out);

#define PF_SMT_LOOPS 1u	 /* of what is claimed: only of runs that are not cut, */
#define PF_SMT_MEMORY 2u /* and what they leave in the memories, too */

bool pf_smt_has_loops(const struct pf_unit *u);

/* Is there a packet about which the two differ? The answer is one line: unsat, sat, unknown. */
void pf_smt_claim(const char *a, const char *b, unsigned flags, struct pfs_buf *out);

/* The same where b is code for the kernel, which knows one length and all fields; nor may it be bad. */
void pf_smt_claim_ebpf(const char *a, const char *b, unsigned flags, struct pfs_buf *out);

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
