/*
 * btf - what a generated program must know of the running kernel: ids of kernel functions, offsets of fields
 *
 * Read from the kernel's own type information (/sys/kernel/btf/vmlinux) with libbpf. Reading it takes some
 * milliseconds and a few MiB, so a source asks once at start and keeps the numbers only.
 */
#ifndef PFS_SOURCE_BTF_H
#define PFS_SOURCE_BTF_H

#include "base/base.h"

/* A field in bits: `offset` bytes from the start of its structure, then `shift`, then `bits` wide. */
struct kbtf_field {
	int offset; /* bytes; -1: not found */
	unsigned shift;
	unsigned bits;
};

struct kbtf {
	int32_t cast_to_kern_ctx; /* ids of kernel functions; 0: this kernel has none such */
	int32_t dynptr_from_skb;
	struct kbtf_field skb_len;
	struct kbtf_field skb_mark;
	struct kbtf_field skb_ip_summed;
	struct kbtf_field dev_ifindex;
	struct kbtf_field nf_ctx_state;
	struct kbtf_field nf_ctx_skb;
	struct kbtf_field nf_state_in;
	struct kbtf_field nf_state_out;
};

/* -ENOENT: the kernel has no BTF. What is not found in it is marked so in *ret_kbtf. */
int kbtf_read(struct kbtf *ret_kbtf);

#endif
