/*
 * pcap - filter expressions of pcap-filter(7)
 *
 * libpcap parses, with its optimiser off: an expression means what `tcpdump -O -r FILE EXPR` means. (Its optimiser has
 * lost live stores and taken satisfiable expressions for the opposite; ours does that work, and can be proved.) The
 * result is classic BPF, whose loop, in `ip6 protochain`, goes back.
 *
 * Host and network names would have to be asked of a name server: they are refused. Names of ports and protocols are
 * fine, they are in files of this host. libpcap's functions for those are not reentrant, so there is a lock.
 *
 * What a capture file cannot say but a device can (`inbound`, `ifindex 3` on Ethernet) becomes a load of a field beside
 * the bytes, as on a device.
 */
#ifndef PFS_PF_FRONT_PCAP_H
#define PFS_PF_FRONT_PCAP_H

#include <pipesfs/pf.h>

/*
 * *ret_insns is to be freed. Of the options link_type, big_endian and snaplen count. -EINVAL with
 * libpcap's own message; -ENOMEM.
 */
int pf_pcap_parse(const char *text, const struct pf_options *options, struct pf_insn **ret_insns,
		  size_t *ret_n, struct pf_error *error);

/* 0, or -EINVAL and a sentence: the expression has a name that would have to be looked up. */
int pf_pcap_names(const char *text, struct pf_error *error);

#endif
