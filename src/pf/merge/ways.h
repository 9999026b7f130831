/*
 * ways - one program for all filters of a shape: which keys would accept this packet?
 *
 * The program goes through the shape's graph. Where a value of the packet is compared with a word of the key there
 * are two kinds of filters: those whose word it is, and the others. So both ways are gone, one after the other:
 * first the yes side, for all keys that have that value for that word; when that has ended, the no side, for all
 * keys that do not. Where the shape accepts, every word has been found equal to something, and the table says
 * whether there is such a key.
 *
 * Each key goes exactly one way, as its filter alone would: behind the yes side the word is known, and to compare
 * it again is to compare two values of the packet; behind the no side a word that is found later must be another
 * value than the one it was not. So no filter has two results, and each way through the program has its own result.
 *
 * What each step has found so far is asked for at once: packets that no key begins with are done with then.
 */
#ifndef PFS_PF_MERGE_WAYS_H
#define PFS_PF_MERGE_WAYS_H

#include "pf/merge/keyed.h"
#include "pf/merge/shape.h"

#define PF_WAYS_MAX 64u	     /* results */
#define PF_WAYS_BLOCKS 2000u /* of the program */

/*
 * Into an empty unit. Bit j of vary: word j differs between the filters, and is word `number of bits below j` of
 * `keyed`; the others have the number that the shape's filter has. With nothing that varies, `keyed` is NULL and
 * the only entry is 1. The results are entries, unless the shape returns different numbers (shape->keep is 0): then
 * they are those. 0, -ENOMEM; -E2BIG: too many ways.
 */
int pf_ways_make(const struct pf_shape *shape, uint32_t vary, struct pf_keyed *keyed,
		 struct pf_unit *u);

#endif
