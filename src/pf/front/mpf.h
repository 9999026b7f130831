/*
 * mpf - the Mach packet filter: classic BPF for many endpoints, whose filters differ in constants alone
 *
 * The instructions and their encodings are Mach's (device/bpf.h); what MATCH_IMM does is what Mach does. The others are
 * constants without code there, and mean here what their names and the paper's summary say: pf-mpf(7).
 *
 * A unit is pure, so a program becomes two, made by pf_front_cbpf() with CBPF_MPF_HIT and CBPF_MPF_MISS: what it does
 * if CKMATCH_IMM finds a session, and what if not. Neither asks; both say by results what the dispatcher is to look up,
 * to register and to do (merge/sessions.c). A result that is 0 is not there. Nothing has happened unless MPF_ACCEPT is
 * there.
 */
#ifndef PFS_PF_FRONT_MPF_H
#define PFS_PF_FRONT_MPF_H

#include <pipesfs/pf.h>

#include "pf/classic.h"

#define MPF_MS_MAX 3600000u /* an hour */

enum mpf_kind {
	MPF_BY_CHECK = 1, /* for the session that CKMATCH_IMM has found */
	MPF_BY_KEYS,	  /* for the one with these keys */
	MPF_BY_DATA,	  /* for the one that has registered these words */
};

/* Results, by their number. */
enum {
	MPF_ACCEPT,	    /* bytes */
	MPF_KIND,	    /* enum mpf_kind */
	MPF_CHECKED,	    /* it came to CKMATCH_IMM */
	MPF_REGISTER,	    /* for so many ms */
	MPF_WAIT,	    /* ms, if the words are not registered */
	MPF_REGISTER_WORDS, /* how many there are */
	MPF_DATA_WORDS,	    /* likewise */
	MPF_KEYS,	    /* words */
	MPF_REGISTERS = MPF_KEYS + CB_WORDS,
	MPF_DATA = MPF_REGISTERS + CB_WORDS,
	MPF_RESULTS = MPF_DATA + CB_WORDS
};

/* As pf_bpf_parse(), with these instructions. */
int pf_mpf_parse(const char *text, size_t len, struct pf_insn **ret_insns, size_t *ret_n,
		 struct pf_error *error);

/* The instruction that asks for a session, whose keys stand behind it; n: there is none. */
size_t pf_mpf_match(const struct pf_insn *insns, size_t n);
/* How many keys it has. */
unsigned pf_mpf_keys(const struct pf_insn *match);

#endif
