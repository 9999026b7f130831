/*
 * bpftext_i - what the files of the classic BPF texts share among themselves
 */
#ifndef PFS_PF_FRONT_BPFTEXT_I_H
#define PFS_PF_FRONT_BPFTEXT_I_H

#include "base/base.h"
#include "pf/front/bpftext.h"

struct bpf_label {
	char *name; /* owned */
	size_t at;  /* instruction */
	unsigned line;
};

/* A jump to a label that may come later. */
struct bpf_fix {
	size_t insn;
	char *name; /* owned */
	unsigned line;
	uint8_t way; /* 't', 'f', or 'a' for both (ja) */
};

struct xpf_said; /* pf/front/xpf.h */

struct bpf_asm {
	const char *p, *end;
	const char *begin; /* of the line */
	unsigned line;
	struct pf_insn *insn; /* owned */
	size_t n, cap;
	struct bpf_label *label; /* owned */
	size_t nlabel;
	struct bpf_fix *fix; /* owned */
	size_t nfix;
	bool mpf;	      /* the instructions of pf-mpf(7), too */
	struct xpf_said *xpf; /* borrowed; NULL: it is classic BPF and nothing more */
	size_t back[2];	      /* where a conditional jump goes back to: by way of jumps behind it */
	unsigned nback;
	struct pf_error *error; /* borrowed */
};

void bpf_asm_release(struct bpf_asm *a);
int bpf_asm_fail(struct bpf_asm *a, int code, const char *what);
int bpf_asm_append(struct bpf_asm *a, const struct pf_insn *insn);

bool bpf_asm_skip_char(struct bpf_asm *a, char c);
void bpf_asm_word(struct bpf_asm *a, char *word, size_t size);
void bpf_asm_peek(struct bpf_asm *a, char *word, size_t size);
int bpf_asm_number(struct bpf_asm *a, uint32_t *ret_value);

/* Any form, told apart by its first bytes. */
int bpf_asm_any(struct bpf_asm *a);
/* Assembler and the listing of tcpdump -d. */
int bpf_asm_parse(struct bpf_asm *a);
/* A line of xPF that begins with a dot, behind it. */
int bpf_asm_declare(struct bpf_asm *a);

#endif
