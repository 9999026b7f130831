/*
 * caps - capabilities given up for good
 */
#ifndef PFS_BASE_CAPS_H
#define PFS_BASE_CAPS_H

#include "base/base.h"

/* Root: gives up all capabilities but these (cap_value_t), for good. Others have none. */
int pfs_caps_keep(const int *caps, size_t n);

#endif
