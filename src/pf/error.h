/*
 * error - a sentence for the caller, beside the number
 */
#ifndef PFS_PF_ERROR_H
#define PFS_PF_ERROR_H

#include <pipesfs/pf.h>

#include "base/base.h"

/* Writes the sentence (error may be NULL) and returns -code, so that callers can `return` it. */
int pf_fail(struct pf_error *error, int code, const char *fmt, ...) PFS_PRINTF(3, 4);
/* The same about a place in a text, both from 1. */
int pf_fail_at(struct pf_error *error, int code, unsigned line, unsigned column, const char *fmt, ...)
	PFS_PRINTF(5, 6);

#endif
