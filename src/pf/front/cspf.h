/*
 * cspf - the CMU/Stanford packet filter: programs for a stack machine of 16-bit words
 *
 * A word has an action (the low 10 bits), which fetches an argument, and an operator (the high 6), which combines it
 * with the top of the stack. What they do is what Mach's device/net_io.c does, the copy that was used longest:
 *
 *   - Values on the stack have 32 bits; those of packets and programs, 16. At first there is one on it: 1 (TRUE).
 *   - `NOP` pushes the argument. The others take the top T and push `T op argument`: comparisons without sign, 1 or 0;
 *     ADD, SUB, LSH modulo 2^32; RSH moves the sign in (Mach's stack is of int). Shifts by 32 or more give what as many
 *     shifts by one would: C does not say.
 *   - COR, CAND, CNOR, CNAND compare T with the argument, and either end the program or go on. T is gone then, and
 *     nothing is pushed. (The paper pushes the result of the comparison; no copy of the code does.)
 *   - A word outside of the packet rejects. An odd byte at the end is in no word.
 *   - At the end the packet is accepted if the top is not 0. A program without words accepts everything.
 *
 * No jumps, so the depth of the stack is known everywhere: a program that would take from an empty stack, or needs more
 * than 32 places, is refused. (Mach's own check misses some of the former.)
 *
 * Where Mach leaves it to the machine, this is decided: packet words are big endian, so that literals look like
 * fields in protocol descriptions; CSPF_LITTLE is for programs that were made for little-endian machines. PUSHWORD
 * counts from the first byte of the packet as it was captured, link header and all, as in the paper. PUSHHDR counts in
 * the link header alone; where that has no fixed length (CSPF_HEADER), or there is none, it rejects.
 */
#ifndef PFS_PF_FRONT_CSPF_H
#define PFS_PF_FRONT_CSPF_H

#include <pipesfs/pf.h>

#include "pf/front/front.h"

#define CSPF_ACTION(word) ((word)&0x3ffu)
#define CSPF_NOPUSH 0u
#define CSPF_PUSHLIT 1u
#define CSPF_PUSHZERO 2u
#define CSPF_PUSHIND 14u
#define CSPF_PUSHHDRIND 15u
#define CSPF_PUSHWORD 16u
#define CSPF_PUSHHDR 960u
#define CSPF_PUSHSTK 992u

#define CSPF_OPERATOR(word) ((word) >> 10 & 0x3fu)
enum cspf_operator {
	CSPF_NOP,
	CSPF_EQ,
	CSPF_LT,
	CSPF_LE,
	CSPF_GT,
	CSPF_GE,
	CSPF_AND,
	CSPF_OR,
	CSPF_XOR,
	CSPF_COR,
	CSPF_CAND,
	CSPF_CNOR,
	CSPF_CNAND,
	CSPF_NEQ,
	CSPF_LSH,
	CSPF_RSH,
	CSPF_ADD,
	CSPF_SUB,
	CSPF_OPERATORS,
	CSPF_BPF = 63 /* marks a BPF program in the same container */
};

#define CSPF_STACK 32u /* values, the first TRUE among them */
#define CSPF_MAX 4096u /* words; Mach took 128 */

#define CSPF_LITTLE 1u /* packet words are little endian */

struct cspf {
	uint32_t flags;
	uint32_t header; /* words of the link header */
	uint32_t accept; /* what a packet that is accepted gives */
	uint32_t n;
	uint16_t word[];
};

/* In one block of memory, with what the options say; flags besides. NULL: no memory. */
struct cspf *pf_cspf_new(const uint16_t *words, size_t n, const struct pf_options *options,
			 unsigned flags);

/*
 * Into an empty unit. lines: of the words in their text, or NULL. 0; -EINVAL, -ENOMEM, -E2BIG and the sentence, which
 * names the line, or the word, from 0.
 */
int pf_cspf_make(struct pf_unit *u, const struct cspf *cspf, const unsigned *lines,
		 struct pf_error *error);

/* Takes the program over. */
struct pf_said pf_said_cspf(struct cspf *cspf);

/*
 * Text to words: see pf-cspf(7). *ret_words and *ret_lines are to be freed. *ret_flags: what the text says of byte
 * order, CSPF_LITTLE.
 */
int pf_cspf_parse(const char *text, size_t len, uint16_t **ret_words, unsigned **ret_lines,
		  size_t *ret_n, unsigned *ret_flags, struct pf_error *error);

#endif
