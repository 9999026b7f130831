/*
 * units - numbers for people, in few columns
 */
#ifndef PFS_CMD_UNITS_H
#define PFS_CMD_UNITS_H

#include "base/base.h"

#define UNITS_SIZE 16

/* Exact up to 9999999, then with a unit: "12.3M". Nine columns at most. */
void units_count(uint64_t value, char ret_text[UNITS_SIZE]);
/* "-" for nothing, then "0.5", "9999", "12.3k". Seven columns at most. */
void units_rate(double value, char ret_text[UNITS_SIZE]);

#endif
