/*
 * keys - what a field finds in a packet, as a unit of the packet-filter compiler
 *
 * The same as pkt_field.get() says behind pkt_dissect(), for who has to know it before there is a record; or
 * PF_UNSURE (pf/merge/tree.h), for packets that take more than a few steps to walk. Fields: srcport dstport port host
 * proto; link types: Ethernet, RAW.
 *
 * Keys are a few words of 32 bits there, and every packet has one or two: one without such a field has the key that
 * stands for why (enum pkt_unfit), which no value has.
 *
 * Pure functions, any thread.
 */
#ifndef PFS_PACKET_KEYS_H
#define PFS_PACKET_KEYS_H

#include "packet/field.h"

#define PKT_KEYS_WORDS 5u

struct pf_unit;

/* Words that keys of this field have; 0: no unit says it. */
unsigned pkt_keys_words(const struct pkt_field *field);

/* The words of a key, and those of the key that stands for a reason. */
void pkt_keys_pack(const struct pkt_field *field, const struct pkt_key *key,
		   uint32_t ret_words[PKT_KEYS_WORDS]);
void pkt_keys_unfit(enum pkt_unfit why, uint32_t ret_words[PKT_KEYS_WORDS]);

/*
 * Into an initialised, empty unit. Result 0 is how many keys there are, 1 or 2, then come the words of the first and
 * those of the second; the last result is 1 where it is unsure, and then the others say nothing. -ENOTSUP: not for
 * this field or link type; -ENOMEM.
 */
int pkt_keys_unit(const struct pkt_field *field, uint16_t link_type, struct pf_unit *ret_unit);

/* The same with one result, as pfs_filter.keeps: packets that have this key. */
int pkt_keys_keeps(const struct pkt_field *field, uint16_t link_type, const struct pkt_key *key,
		   struct pf_unit *ret_unit);

#endif
