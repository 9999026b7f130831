/*
 * classic - the numbers of classic BPF
 *
 * As <linux/filter.h> and <pcap/bpf.h> have them; those two cannot both be included, and the library needs neither.
 */
#ifndef PFS_PF_CLASSIC_H
#define PFS_PF_CLASSIC_H

#define CB_CLASS(code) ((code)&0x07)
#define CB_LD 0x00
#define CB_LDX 0x01
#define CB_ST 0x02
#define CB_STX 0x03
#define CB_ALU 0x04
#define CB_JMP 0x05
#define CB_RET 0x06
#define CB_MISC 0x07

#define CB_SIZE(code) ((code)&0x18)
#define CB_W 0x00
#define CB_H 0x08
#define CB_B 0x10

#define CB_MODE(code) ((code)&0xe0)
#define CB_IMM 0x00
#define CB_ABS 0x20
#define CB_IND 0x40
#define CB_MEM 0x60
#define CB_LEN 0x80
#define CB_MSH 0xa0

/* Of xPF: words that stay from packet to packet. */
#define CB_PERSIST 0xc0	 /* P[k] */
#define CB_PERSISTX 0xe0 /* P[x + k] */
#define CB_ADDM 0x08	 /* of CB_ST: added, not stored; */
#define CB_ADDM64 0x10	 /* to a pair, the lower half first */
#define CB_MEMORY 0x47	 /* declares k words, */
#define CB_LOOPS 0x4f	 /* at most k jumps back in a run */

#define CB_OP(code) ((code)&0xf0)
#define CB_ADD 0x00
#define CB_SUB 0x10
#define CB_MUL 0x20
#define CB_DIV 0x30
#define CB_OR 0x40
#define CB_AND 0x50
#define CB_LSH 0x60
#define CB_RSH 0x70
#define CB_NEG 0x80
#define CB_MOD 0x90
#define CB_XOR 0xa0

#define CB_JA 0x00
#define CB_JEQ 0x10
#define CB_JGT 0x20
#define CB_JGE 0x30
#define CB_JSET 0x40

#define CB_SRC(code) ((code)&0x08)
#define CB_K 0x00
#define CB_X 0x08

#define CB_A 0x10 /* of CB_RET: the accumulator */
#define CB_TAX 0x00
#define CB_TXA 0x80

/* What the Mach packet filter adds (pf-mpf(7)); the keys of a match instruction are the instructions behind it. */
#define CB_CKMATCH_IMM 0x50 /* of CB_JMP; k: keys */
#define CB_MATCH_IMM 0x18   /* of CB_RET; jt: keys, k: bytes to accept */
#define CB_MATCH_DATA 0x20  /* of CB_RET; jt: words, k: bytes to accept */
#define CB_KEY 0x10	    /* of CB_MISC */
#define CB_REG_DATA 0x18    /* of CB_MISC; jt: words, k: ms */
#define CB_POSTPONE 0x20    /* of CB_MISC; k: ms */

#define CB_WORDS 16	    /* of scratch memory */
#define CB_KERNEL_MAX 4096u /* instructions that Linux takes */

/* Absolute loads from there on are fields beside the bytes: */
#define CB_AD_OFF 0xfffff000u
#define CB_AD_PROTOCOL 0
#define CB_AD_PKTTYPE 4
#define CB_AD_IFINDEX 8
#define CB_AD_NLATTR 12
#define CB_AD_NLATTR_NEST 16
#define CB_AD_MARK 20
#define CB_AD_QUEUE 24
#define CB_AD_HATYPE 28
#define CB_AD_RXHASH 32
#define CB_AD_CPU 36
#define CB_AD_XOR_X 40
#define CB_AD_VLAN_TCI 44
#define CB_AD_VLAN_PRESENT 48
#define CB_AD_PAYLOAD 52
#define CB_AD_RANDOM 56
#define CB_AD_VLAN_TPID 60
/* and from there on, headers of the kernel's own finding. */
#define CB_NET_OFF 0xfff00000u
#define CB_LL_OFF 0xffe00000u

#endif
