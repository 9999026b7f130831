/*
 * keyed - tuples of numbers, each of which stands for an entry; programs ask, keys come and go without compiling
 *
 * MPF's table of sessions, generalised: filters that are the same but for some constants are one program, which
 * computes the numbers of the packet where the filters have their constants, and a table that says whose constants
 * they are.
 *
 * A program finds the numbers of a tuple one after the other, not always in the same order. So the question is put in
 * steps: each goes from a *node*, which stands for the words that were said already, by one word to another node.
 *
 *	node = pf_keyed_step(keyed, PF_KEYED_ROOT, 0, 0);     the address first,
 *	node = pf_keyed_step(keyed, node, 1, 0);              then the port
 *
 *	at = pf_keyed_ask(u, keyed, PF_KEYED_ROOT, ...)       in the unit: values of FIND (docs/ir.md)
 *
 * A node has a table (ir/table.h) from what its parent has found and the value of its word to a number, which at nodes
 * that know all words is the entry. A step that can wait (the word has few values) has no table of its own: the next
 * one asks for the pair. All nodes are made before the first key is added.
 *
 * Threads: one changes; who runs a program may do so at the same time, as ir/table.h says. With `reclaim` (which is
 * borrowed) rows and numbers are used again only when no reader can know them.
 */
#ifndef PFS_PF_MERGE_KEYED_H
#define PFS_PF_MERGE_KEYED_H

#include "pf/ir/ir.h"
#include "pf/merge/reclaim.h"

#define PF_KEY_WORDS 16u
#define PF_KEYED_NODES 64u
#define PF_KEYED_ROOT 0u

struct pf_keyed;

/* 0, -ENOMEM. reclaim may be NULL: nobody runs while keys change. */
int pf_keyed_new(unsigned words, struct pf_reclaim *reclaim, struct pf_keyed **ret_keyed);
void pf_keyed_free(struct pf_keyed *k); /* NULL is fine; nobody runs any more */

/* The node behind `node` when `word` is known, too. -ENOMEM, -E2BIG: too many nodes. */
int pf_keyed_step(struct pf_keyed *k, unsigned node, unsigned word, bool wait);
/*
 * Values in a unit: what the node finds, 0: no key begins so. `before` is what its parent has found, or the word it
 * waits for.
 */
pf_val pf_keyed_ask(struct pf_unit *u, const struct pf_keyed *k, unsigned node, pf_val before,
		    pf_val word);
/* Does the node wait: has it nothing to ask yet? */
bool pf_keyed_waits(const struct pf_keyed *k, unsigned node);

/* Of a tuple; 0: it has none. */
uint32_t pf_keyed_find(const struct pf_keyed *k, const uint32_t *words);
/* A tuple that has none gets one: the least number that is free, from 1 on. 0, -ENOMEM, -E2BIG. */
int pf_keyed_add(struct pf_keyed *k, const uint32_t *words, uint32_t *ret_entry);
/* It has none from now on. */
void pf_keyed_remove(struct pf_keyed *k, const uint32_t *words);

#endif
