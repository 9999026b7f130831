/*
 * lower_i - what the files of lowering share among themselves
 */
#ifndef PFS_PF_BACK_LOWER_I_H
#define PFS_PF_BACK_LOWER_I_H

#include "pf/back/lower.h"

/* Gives values their places; everything else is there. 0, -ENOMEM, -E2BIG. */
int pf_lower_places(struct pf_lower *lower);

#endif
