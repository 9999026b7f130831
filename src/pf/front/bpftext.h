/*
 * bpftext - classic BPF as people and tools write it
 *
 * Understood, and told apart by their first bytes:
 *   - the listings of `tcpdump -d` ("(000) ldh [12]"), -dd (C initialisers) and -ddd (decimal
 *     numbers, also separated by commas as iptables and bpf_asm have them)
 *   - assembler: one instruction a line, labels (`drop: ret #0`), comments (from `;` to the end
 *     of the line, or as in C), the names of Linux's bpf_asm (jne, jlt, jle, ldi, ldxi, `ld
 *     vlan_tci`) and those of libpcap's listings (`ldb [vlanp]`, `ld #pktlen`)
 *   - the bytes of an array of struct sock_filter, in this host's byte order
 *
 * A jump names labels (`jeq #0x800, ip, drop`; with one label the other way falls through) or, as
 * in a listing, the numbers of instructions (`jeq #0x800 jt 2 jf 5`).
 */
#ifndef PFS_PF_FRONT_BPFTEXT_H
#define PFS_PF_FRONT_BPFTEXT_H

#include <pipesfs/pf.h>

/* *ret_insns is the caller's, to be freed. It is not checked beyond what its text says: pf_front_cbpf() does that. */
int pf_bpf_parse(const char *text, size_t len, struct pf_insn **ret_insns, size_t *ret_n,
		 struct pf_error *error);

#endif
