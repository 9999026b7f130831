/*
 * bpfcapture_i - the two generators behind source/bpfcapture.h
 */
#ifndef PFS_SOURCE_BPFCAPTURE_I_H
#define PFS_SOURCE_BPFCAPTURE_I_H

#include "source/bpfcapture.h"

/* Entry point of either kind: tail-calls slot 0 of `array`, else passes the packet on. */
void kcap_stub_emit(const struct kcap *kcap, struct kcode *c);
/* The capture program. 0, or why the body cannot be written; c has its own error. */
int kcap_program_emit(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c);

#endif
