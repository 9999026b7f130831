/*
 * prog - what a program is made of, for the rest of the compiler
 */
#ifndef PFS_PF_PROG_H
#define PFS_PF_PROG_H

#include <pipesfs/pf.h>

#include "pf/ir/ir.h"

/* As the front end made it, and behind the passes. Borrowed. */
const struct pf_unit *pf_prog_ir(const struct pf_prog *prog);
/* Behind those but "widen"; NULL: others were left out. */
const struct pf_unit *pf_prog_plain(const struct pf_prog *prog);
const struct pf_unit *pf_prog_opt(const struct pf_prog *prog);

/* What the caller knows of the options, the rest as it is by default. given may be NULL. 0, -EINVAL. */
int pf_options_read(const struct pf_options *given, struct pf_options *ret_options,
		    struct pf_error *error);

#endif
