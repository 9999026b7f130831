/*
 * run - how code of every back end is called
 *
 *	uint32_t run(code, packet, hits)
 *
 * A program with one filter returns its result and leaves `hits` alone. A program with several appends a hit for each
 * filter whose result is not 0 and returns how many there are; `hits` has room for all its filters.
 */
#ifndef PFS_PF_BACK_RUN_H
#define PFS_PF_BACK_RUN_H

#include <pipesfs/pf.h>

struct pf_hit {
	uint32_t id;
	uint32_t value;
};

#endif
