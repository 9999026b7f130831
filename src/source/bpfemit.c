/*
 * bpfemit - the text of the capture programs
 *
 * Registers between the calls:	R6 context, R7 slot of this CPU, R8 bytes to copy, R9 the record.
 */
#include "source/bpfcapture_i.h"

#include <linux/if_packet.h>

#include "pf/back/ebpf.h"

/* Places on the stack. */
enum {
	AT_CPU = -4,	  /* u32 */
	AT_DECIDED = -8,  /* u32 0: the set says nothing */
	AT_WIRE = -12,	  /* u32 true length */
	AT_FLAGS = -16,	  /* u32 PFS_REC_* */
	AT_RING = -24,	  /* u64 ring of this CPU */
	AT_MARK = -28,	  /* u32 */
	AT_IFINDEX = -32, /* u32 */
	AT_DYNPTR = -48,  /* struct bpf_dynptr of the packet */
	AT_SLOT = -56,	  /* u64 slot of this CPU */
	AT_LEN = -60,	  /* u32 bytes of the packet that the engine will see */
	AT_VERDICT = -64, /* u32 of netfilter */
	AT_SET = -96,	  /* u32[] words of the set */
	AT_CUT = -100,	  /* u32 bytes that those who want it get; before that a scratch */
	AT_KEYS = -144,	  /* u32[] keys of a filter that sorts */
	AT_FOUND = -176,  /* u32[] classes that were found */
};
static_assert(AT_KEYS + 4 * (1 + 2 * (int)PKT_KEYS_WORDS) <= AT_CUT, "the largest keys have room");
static_assert(AT_FOUND + 8 * PFS_SORTERS_MAX <= AT_KEYS, "all classes have room");
static_assert(AT_SET + PFS_TAKERS_MAX / 8 <= AT_VERDICT, "the largest set has room");

/* Returned by the programs: nothing for the socket's queue; NF_ACCEPT. */
enum { KEEP_OFF_SOCKET = 0, NETFILTER_DROP = 0, NETFILTER_ACCEPT = 1 };

#define CUTS_MAX 4 /* lengths of copies that are told apart */
#define WHOLE INT32_MAX

enum { IP_SUMMED_PARTIAL = 3 };
enum { VLAN_TAG = 4, MACS = 12, ETHERNET_HEADER = 14 };

#define SKB(field) ((int)offsetof(struct __sk_buff, field))
#define TAKERS(field) ((int)offsetof(struct pfs_takers, field))
#define SLOT(field) ((int)offsetof(struct kcap_slot, field))

/* What is in front of a record, and where its bytes are. */
static int front(const struct kcap_body *body)
{
	return (int)(sizeof(struct pfs_takers) + (body ? 4 * body->words : 0));
}

static int data(const struct kcap_body *body)
{
	return front(body) + (int)sizeof(struct pfs_record);
}

#define REC(field) (front(body) + (int)offsetof(struct pfs_record, field))
#define DATA data(body)

static int32_t verdict(const struct kcap *kcap)
{
	return kcap->spec.kind == KCAP_NETFILTER ? NETFILTER_ACCEPT : KEEP_OFF_SOCKET;
}

void kcap_stub_emit(const struct kcap *kcap, struct kcode *c)
{
	kcode_map(c, R2, kcap->array);
	kcode_mov_imm(c, R3, 0);
	kcode_call(c, BPF_FUNC_tail_call);
	kcode_mov_imm(c, R0, verdict(kcap));
	kcode_exit(c);
}

/* Drops what goes the wrong way, and `lo`'s outgoing copy: each packet comes in there as well. */
static void emit_direction(const struct kcap *kcap, struct kcode *c, unsigned drop)
{
	unsigned directions = kcap->spec.directions;
	unsigned other;

	if (directions != (PFS_REC_IN | PFS_REC_OUT)) {
		kcode_note(c, "only what %s", directions & PFS_REC_IN ? "comes in" : "goes out");
		kcode_load(c, BPF_W, R0, R6, SKB(pkt_type));
		kcode_jump_imm(c, directions & PFS_REC_IN ? BPF_JEQ : BPF_JNE, R0, PACKET_OUTGOING,
			       drop);
	}
	if (kcap->spec.loopback && (directions & PFS_REC_IN)) {
		kcode_note(c, "lo shows each packet twice");
		other = kcode_label(c);
		kcode_load(c, BPF_W, R0, R6, SKB(ifindex));
		kcode_jump_imm(c, BPF_JNE, R0, (int32_t)kcap->spec.loopback, other);
		kcode_load(c, BPF_W, R0, R6, SKB(pkt_type));
		kcode_jump_imm(c, BPF_JEQ, R0, PACKET_OUTGOING, drop);
		kcode_place(c, other);
	}
}

/* Those of a set that pass as many bytes as no other beyond *most does, which becomes that; in order, 0: all. */
static bool next_cut(const struct kcap_body *body, const uint32_t *bits, uint64_t *most,
		     uint32_t ret_group[PFS_TAKERS_MAX / 32])
{
	uint64_t next = 0;

	memset(ret_group, 0, sizeof(uint32_t) * PFS_TAKERS_MAX / 32);
	for (unsigned n = 0; n < 32 * body->words; n++) {
		uint64_t cut = body->cut[n] ? body->cut[n] : UINT32_MAX;

		if (!(bits[n / 32] >> n % 32 & 1) || cut >= *most || cut < next)
			continue;
		if (cut > next)
			memset(ret_group, 0, sizeof(uint32_t) * PFS_TAKERS_MAX / 32);
		next = cut;
		ret_group[n / 32] |= UINT32_C(1) << n % 32;
	}
	*most = next;
	return next > 0;
}

/* Does any of those who may want a packet get less than all of it? */
static bool narrows(const struct kcap_body *body)
{
	for (unsigned n = 0; body && n < 32 * body->words; n++)
		if (body->cut[n] && (body->wanted[n / 32] >> n % 32 & 1))
			return true;
	return false;
}

/* R8 = bytes to copy. */
static void emit_snaplen(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c)
{
	unsigned fits = kcode_label(c), cut = kcode_label(c);

	kcode_load(c, BPF_W, R8, R10, AT_WIRE);
	if (narrows(body)) {
		kcode_load(c, BPF_W, R1, R10, AT_CUT);
		kcode_jump_reg(c, BPF_JLE, R8, R1, cut);
		kcode_mov(c, R8, R1);
	}
	kcode_place(c, cut);
	kcode_jump_imm(c, BPF_JLE, R8, (int32_t)kcap_snaplen(kcap), fits);
	kcode_mov_imm(c, R8, (int32_t)kcap_snaplen(kcap));
	kcode_place(c, fits);
}

/* On the stack the true length, and how much the engine will see; a tag that the adapter took off counts again. */
static void emit_length(const struct kcap *kcap, struct kcode *c)
{
	unsigned untagged = kcode_label(c), whole = kcode_label(c);
	uint32_t seen = (uint32_t)pfs_min(kcap->spec.snaplen, kcap_snaplen(kcap));

	if (kcap->spec.kind == KCAP_NETFILTER) {
		kcode_load(c, BPF_DW, R1, R6, kcap->btf.nf_ctx_skb.offset);
		kcode_load(c, BPF_W, R8, R1, kcap->btf.skb_len.offset);
	} else {
		kcode_load(c, BPF_W, R8, R6, SKB(len));
		kcode_load(c, BPF_W, R0, R6, SKB(vlan_present));
		kcode_jump_imm(c, BPF_JEQ, R0, 0, untagged);
		kcode_jump_imm(c, BPF_JLT, R8, ETHERNET_HEADER, untagged);
		kcode_alu_imm(c, BPF_ADD, R8, VLAN_TAG);
	}
	kcode_place(c, untagged);
	kcode_store(c, BPF_W, R10, AT_WIRE, R8);
	kcode_jump_imm(c, BPF_JLE, R8, (int32_t)seen, whole);
	kcode_mov_imm(c, R8, (int32_t)seen);
	kcode_place(c, whole);
	kcode_store(c, BPF_W, R10, AT_LEN, R8);
}

/* R7 = slot and the ring on the stack, of the CPU that we run on. */
static void emit_cpu(const struct kcap *kcap, struct kcode *c, unsigned out)
{
	kcode_note(c, "the slot and the ring of this CPU");
	kcode_call(c, BPF_FUNC_get_smp_processor_id);
	kcode_store(c, BPF_W, R10, AT_CPU, R0);
	kcode_map(c, R1, kcap->slots);
	kcode_mov(c, R2, R10);
	kcode_alu_imm(c, BPF_ADD, R2, AT_CPU);
	kcode_call(c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, out);
	kcode_mov(c, R7, R0);
	kcode_store(c, BPF_DW, R10, AT_SLOT, R7);
	kcode_map(c, R1, kcap->rings);
	kcode_mov(c, R2, R10);
	kcode_alu_imm(c, BPF_ADD, R2, AT_CPU);
	kcode_call(c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, out);
	kcode_store(c, BPF_DW, R10, AT_RING, R0);
}

/* Netfilter programs can be interrupted by a packet on their own CPU, filters of a socket can not. */
static void emit_count(const struct kcap *kcap, struct kcode *c, int off)
{
	if (kcap->spec.kind == KCAP_NETFILTER) {
		kcode_mov_imm(c, R1, 1);
		kcode_atomic_add(c, R7, off, R1);
	} else {
		kcode_load(c, BPF_DW, R1, R7, off);
		kcode_alu_imm(c, BPF_ADD, R1, 1);
		kcode_store(c, BPF_DW, R7, off, R1);
	}
}

/* The size class after `size`: steps of 16 bytes, then of an eighth of the power of two below. */
static uint32_t class_next(uint32_t size)
{
	uint32_t octave = UINT32_C(1) << (31 - __builtin_clz(size));

	return size + (octave / 8 > 16 ? octave / 8 : 16);
}

/* A tree of compares over classes [from, to): leaves load the size into R2 and go to `reserve`. */
static void emit_classes(struct kcode *c, int above, const uint32_t *classes, size_t from,
			 size_t to, unsigned reserve)
{
	size_t middle = from + (to - from) / 2;
	unsigned upper;

	if (to - from == 1) {
		kcode_mov_imm(c, R2, (int32_t)classes[from]);
		kcode_jump(c, reserve);
		return;
	}
	upper = kcode_label(c);
	kcode_jump_imm(c, BPF_JGT, R8, (int32_t)classes[middle - 1] - above, upper);
	emit_classes(c, above, classes, from, middle, reserve);
	kcode_place(c, upper);
	emit_classes(c, above, classes, middle, to, reserve);
}

/* R9 = room for R8 bytes behind a header. */
static void emit_reserve(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
			 unsigned lost)
{
	uint32_t classes[160], size = (uint32_t)DATA + 8, top = kcap_snaplen(kcap) + (uint32_t)DATA;
	unsigned reserve = kcode_label(c);
	size_t n = 0;

	for (; size < top && n < ARRAY_SIZE(classes) - 1; size = class_next(size))
		classes[n++] = size;
	classes[n++] = (top + 7) & ~UINT32_C(7);
	kcode_note(c, "room in the ring: %zu size classes up to %u bytes", n, classes[n - 1]);
	emit_classes(c, DATA, classes, 0, n, reserve);
	kcode_place(c, reserve);
	kcode_load(c, BPF_DW, R1, R10, AT_RING);
	kcode_mov_imm(c, R3, 0);
	kcode_call(c, BPF_FUNC_ringbuf_reserve);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, lost);
	kcode_mov(c, R9, R0);
}

/* R8 |= PFS_REC_CSUM when the structure in R0 (struct sk_buff) says that the checksum is to be filled in. */
static void emit_ip_summed(const struct kcap *kcap, struct kcode *c)
{
	const struct kbtf_field *f = &kcap->btf.skb_ip_summed;
	unsigned filled = kcode_label(c);

	kcode_load(c, BPF_B, R1, R0, f->offset);
	if (f->shift)
		kcode_alu_imm(c, BPF_RSH, R1, (int32_t)f->shift);
	kcode_alu_imm(c, BPF_AND, R1, 3);
	kcode_jump_imm(c, BPF_JNE, R1, IP_SUMMED_PARTIAL, filled);
	kcode_alu_imm(c, BPF_OR, R8, PFS_REC_CSUM);
	kcode_place(c, filled);
}

static bool knows_ip_summed(const struct kcap *kcap)
{
	const struct kbtf_field *f = &kcap->btf.skb_ip_summed;

	return f->offset >= 0 && f->bits == 2 && f->shift <= 6;
}

/* What a socket filter's context knows of the packet, onto the stack. */
static void emit_packet_fields(const struct kcap *kcap, struct kcode *c)
{
	unsigned flagged = kcode_label(c), whole = kcode_label(c);

	kcode_load(c, BPF_W, R1, R6, SKB(mark));
	kcode_store(c, BPF_W, R10, AT_MARK, R1);
	kcode_load(c, BPF_W, R1, R6, SKB(ifindex));
	kcode_store(c, BPF_W, R10, AT_IFINDEX, R1);
	kcode_mov_imm(c, R8, PFS_REC_OUT);
	kcode_load(c, BPF_W, R1, R6, SKB(pkt_type));
	kcode_jump_imm(c, BPF_JEQ, R1, PACKET_OUTGOING, flagged);
	kcode_mov_imm(c, R8, PFS_REC_IN);
	kcode_place(c, flagged);
	kcode_load(c, BPF_W, R1, R6, SKB(gso_size));
	kcode_jump_imm(c, BPF_JEQ, R1, 0, whole);
	kcode_alu_imm(c, BPF_OR, R8, PFS_REC_CSUM);
	kcode_place(c, whole);
	if (kcap->btf.cast_to_kern_ctx && knows_ip_summed(kcap)) {
		kcode_mov(c, R1, R6);
		kcode_kfunc(c, kcap->btf.cast_to_kern_ctx);
		emit_ip_summed(kcap, c);
	}
	kcode_store(c, BPF_W, R10, AT_FLAGS, R8);
}

static void emit_netfilter_fields(const struct kcap *kcap, struct kcode *c)
{
	const struct kbtf *btf = &kcap->btf;
	bool out = (kcap->spec.flags & PFS_REC_OUT) != 0;

	kcode_load(c, BPF_DW, R1, R6, btf->nf_ctx_state.offset);
	kcode_load(c, BPF_DW, R1, R1, out ? btf->nf_state_out.offset : btf->nf_state_in.offset);
	kcode_load(c, BPF_W, R1, R1, btf->dev_ifindex.offset);
	kcode_store(c, BPF_W, R10, AT_IFINDEX, R1);
	kcode_load(c, BPF_DW, R0, R6, btf->nf_ctx_skb.offset);
	kcode_load(c, BPF_W, R1, R0, btf->skb_mark.offset);
	kcode_store(c, BPF_W, R10, AT_MARK, R1);
	kcode_mov_imm(c, R8, (int32_t)kcap->spec.flags);
	if (knows_ip_summed(kcap))
		emit_ip_summed(kcap, c);
	kcode_store(c, BPF_W, R10, AT_FLAGS, R8);
	kcode_mov(c, R1, R0);
	kcode_mov_imm(c, R2, 0);
	kcode_mov(c, R3, R10);
	kcode_alu_imm(c, BPF_ADD, R3, AT_DYNPTR);
	kcode_kfunc(c, kcap->btf.dynptr_from_skb);
}

/* The verifier walks the part from here on once for each size class: what can be done before, is. */
static void emit_header(const struct kcap_body *body, struct kcode *c)
{
	uint32_t words = body ? body->words : 0;

	kcode_note(c, "who takes it, and the record's header");
	kcode_store_imm(c, BPF_W, R9, TAKERS(generation), body ? (int32_t)body->generation : 0);
	kcode_store_imm(c, BPF_H, R9, TAKERS(words), (int32_t)words);
	kcode_load(c, BPF_W, R1, R10, AT_DECIDED);
	kcode_store(c, BPF_H, R9, TAKERS(decided), R1);
	kcode_load(c, BPF_W, R1, R10, AT_LEN);
	kcode_store(c, BPF_W, R9, TAKERS(len), R1);
	kcode_store_imm(c, BPF_W, R9, TAKERS(unused), 0);
	for (uint32_t w = 0; w < words; w++) {
		kcode_load(c, BPF_W, R1, R10, AT_SET + 4 * (int)w);
		kcode_store(c, BPF_W, R9, TAKERS(word) + 4 * (int)w, R1);
	}
	kcode_call(c, BPF_FUNC_ktime_get_ns);
	kcode_store(c, BPF_DW, R9, REC(time), R0);
	kcode_store_imm(c, BPF_W, R9, REC(state), PFS_RECORD_READY);
	kcode_store_imm(c, BPF_W, R9, REC(size), 0);
	kcode_store(c, BPF_W, R9, REC(len), R8);
	kcode_load(c, BPF_W, R1, R10, AT_WIRE);
	kcode_store(c, BPF_W, R9, REC(wire_len), R1);
	kcode_store_imm(c, BPF_W, R9, REC(stream), 0);
	kcode_load(c, BPF_W, R1, R10, AT_MARK);
	kcode_store(c, BPF_W, R9, REC(mark), R1);
	kcode_store_imm(c, BPF_H, R9, REC(origin), 0);
	kcode_load(c, BPF_W, R1, R10, AT_FLAGS);
	kcode_store(c, BPF_H, R9, REC(flags), R1);
	kcode_load(c, BPF_W, R1, R10, AT_IFINDEX);
	kcode_store(c, BPF_W, R9, REC(ifindex), R1);
}

/* skb_load_bytes(skb, from, record + to, R4) */
static void emit_skb_load(struct kcode *c, int from, int to)
{
	kcode_mov(c, R1, R6);
	kcode_mov_imm(c, R2, from);
	kcode_mov(c, R3, R9);
	kcode_alu_imm(c, BPF_ADD, R3, to);
	kcode_call(c, BPF_FUNC_skb_load_bytes);
}

static void emit_packet_copy(const struct kcap_body *body, struct kcode *c, unsigned copied)
{
	unsigned plain = kcode_label(c);

	kcode_note(c, "a VLAN tag beside the packet goes back into the frame");
	kcode_load(c, BPF_W, R0, R6, SKB(vlan_present));
	kcode_jump_imm(c, BPF_JEQ, R0, 0, plain);
	kcode_jump_imm(c, BPF_JLT, R8, ETHERNET_HEADER + VLAN_TAG, plain);
	kcode_mov_imm(c, R4, MACS);
	emit_skb_load(c, 0, DATA);
	kcode_load(c, BPF_W, R1, R6, SKB(vlan_proto));
	kcode_store(c, BPF_H, R9, DATA + MACS, R1);
	kcode_load(c, BPF_W, R1, R6, SKB(vlan_tci));
	kcode_be(c, R1, 16);
	kcode_store(c, BPF_H, R9, DATA + MACS + 2, R1);
	kcode_mov(c, R4, R8);
	kcode_alu_imm(c, BPF_SUB, R4, MACS + VLAN_TAG);
	emit_skb_load(c, MACS, DATA + MACS + VLAN_TAG);
	kcode_jump(c, copied);
	kcode_place(c, plain);
	kcode_note(c, "the frame");
	kcode_jump_imm(c, BPF_JEQ, R8, 0, copied);
	kcode_mov(c, R4, R8);
	emit_skb_load(c, 0, DATA);
}

static void emit_netfilter_copy(const struct kcap_body *body, struct kcode *c)
{
	kcode_note(c, "the packet, from its IP header on");
	kcode_mov(c, R1, R9);
	kcode_alu_imm(c, BPF_ADD, R1, DATA);
	kcode_mov(c, R2, R8);
	kcode_mov(c, R3, R10);
	kcode_alu_imm(c, BPF_ADD, R3, AT_DYNPTR);
	kcode_mov_imm(c, R4, 0);
	kcode_mov_imm(c, R5, 0);
	kcode_call(c, BPF_FUNC_dynptr_read);
}

/* Submits; wakes the consumer if it asked to be woken here. */
static void emit_submit(struct kcode *c)
{
	unsigned quiet = kcode_label(c);

	kcode_note(c, "hand it over; wake the consumer if it asked for that");
	kcode_load(c, BPF_DW, R1, R10, AT_RING);
	kcode_mov_imm(c, R2, BPF_RB_PROD_POS);
	kcode_call(c, BPF_FUNC_ringbuf_query);
	kcode_mov_imm(c, R2, BPF_RB_NO_WAKEUP);
	kcode_load(c, BPF_DW, R1, R7, SLOT(wake_at));
	kcode_jump_reg(c, BPF_JLT, R0, R1, quiet);
	kcode_mov_imm(c, R2, -1);
	kcode_store(c, BPF_DW, R7, SLOT(wake_at), R2);
	kcode_mov_imm(c, R2, BPF_RB_FORCE_WAKEUP);
	kcode_place(c, quiet);
	kcode_mov(c, R1, R9);
	kcode_call(c, BPF_FUNC_ringbuf_submit);
}

/* --- deciding --------------------------------------------------------------------------------- */

/*
 * What the body cannot see as the engine does is not decided here: a tag that is beside the packet, and devices that
 * may have another kind of frames.
 */
static void emit_undecidable(const struct kcap *kcap, struct kcode *c, unsigned unsure)
{
	kcode_load(c, BPF_W, R0, R6, SKB(vlan_present));
	kcode_jump_imm(c, BPF_JNE, R0, 0, unsure);
	if (!kcap->spec.any)
		return;
	kcode_note(c, "a device whose frames are known to be Ethernet's");
	kcode_load(c, BPF_W, R0, R6, SKB(ifindex));
	kcode_store(c, BPF_W, R10, AT_IFINDEX, R0);
	kcode_map(c, R1, kcap->known);
	kcode_mov(c, R2, R10);
	kcode_alu_imm(c, BPF_ADD, R2, AT_IFINDEX);
	kcode_call(c, BPF_FUNC_map_lookup_elem);
	kcode_jump_imm(c, BPF_JEQ, R0, 0, unsure);
}

/* What is in the register is added to a counter in the slot, as emit_count() does. */
static void emit_add(const struct kcap *kcap, struct kcode *c, int off, unsigned reg)
{
	if (kcap->spec.kind == KCAP_NETFILTER) {
		kcode_atomic_add(c, R7, off, reg);
	} else {
		kcode_load(c, BPF_DW, R1, R7, off);
		kcode_alu(c, BPF_ADD, R1, reg);
		kcode_store(c, BPF_DW, R7, off, R1);
	}
}

/* One more for a filter that accepted it. R2: its length; R3: the true one. */
static void emit_passed(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
			unsigned bit)
{
	int at = (int)(offsetof(struct kcap_slot, passed) + sizeof(struct pfs_tally) * bit);

	emit_count(kcap, c, at + (int)offsetof(struct pfs_tally, records));
	emit_add(kcap, c, at + (int)offsetof(struct pfs_tally, bytes), R2);
	if (body->wire[bit / 32] >> bit % 32 & 1)
		emit_add(kcap, c, at + (int)offsetof(struct pfs_tally, wire), R3);
}

/* Goes to `none` if none of these bits of the word is in the set. */
static void emit_none(struct kcode *c, uint32_t word, uint32_t bits, unsigned none)
{
	kcode_load(c, BPF_W, R1, R10, AT_SET + 4 * (int)word);
	kcode_alu32_imm(c, BPF_AND, R1, bits);
	kcode_jump32_imm(c, BPF_JEQ, R1, 0, none);
}

/* Of `size` bits from `first` on: halves, as long as there are several, so that most are passed by at once. */
static void emit_count_bits(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
			    const uint32_t *bits, unsigned first, unsigned size)
{
	uint32_t mask = (uint32_t)((UINT64_C(1) << size) - 1) << first % 32;
	unsigned none = kcode_label(c);

	mask &= bits[first / 32];
	if (!mask)
		return;
	emit_none(c, first / 32, mask, none);
	if (mask & (mask - 1)) {
		emit_count_bits(kcap, body, c, bits, first, size / 2);
		emit_count_bits(kcap, body, c, bits, first + size / 2, size / 2);
	} else {
		emit_passed(kcap, body, c, first / 32 * 32 + (unsigned)__builtin_ctz(mask));
	}
	kcode_place(c, none);
}

/* Counts the packet for those of these that accepted it. */
static void emit_count_all(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
			   const uint32_t *bits)
{
	uint32_t group[PFS_TAKERS_MAX / 32];
	uint64_t cut = UINT64_MAX;

	kcode_load(c, BPF_W, R3, R10, AT_WIRE);
	while (next_cut(body, bits, &cut, group)) {
		kcode_load(c, BPF_W, R2, R10, AT_LEN);
		kcode_most(c, R2, cut == UINT32_MAX ? 0 : (uint32_t)cut);
		for (uint32_t w = 0; w < body->words; w++)
			emit_count_bits(kcap, body, c, group, 32 * w, 32);
	}
}

/* To `there` if one of these accepted it. */
static void emit_any(struct kcode *c, const uint32_t *bits, uint32_t words, unsigned there)
{
	for (uint32_t w = 0; w < words; w++) {
		if (!bits[w])
			continue;
		kcode_load(c, BPF_W, R1, R10, AT_SET + 4 * (int)w);
		kcode_jump32_imm(c, BPF_JSET, R1, bits[w], there);
	}
}

static bool has_any(const uint32_t *bits, uint32_t words)
{
	uint32_t all = 0;

	for (uint32_t w = 0; w < words; w++)
		all |= bits[w];
	return all;
}

/* `pass` comes first. Then, if somebody was unsure, it goes on at `unsure`. */
static void emit_verdict(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
			 unsigned unsure)
{
	unsigned passes = kcode_label(c), drops = kcode_label(c), given = kcode_label(c);

	kcode_note(c, "the verdict");
	emit_any(c, body->passes, body->words, passes);
	emit_any(c, body->drops, body->words, drops);
	kcode_jump(c, given);
	kcode_place(c, drops);
	if (has_any(body->drops, body->words)) {
		kcode_store_imm(c, BPF_W, R10, AT_VERDICT, NETFILTER_DROP);
		emit_count_all(kcap, body, c, body->drops);
		kcode_jump(c, given);
	}
	kcode_place(c, passes);
	if (has_any(body->passes, body->words))
		emit_count_all(kcap, body, c, body->passes);
	kcode_place(c, given);
	kcode_load(c, BPF_W, R1, R10, AT_DECIDED);
	kcode_jump32_imm(c, BPF_JEQ, R1, 0, unsure);
}

/* Goes to `wanted`, or counts it for those that accepted it and goes to `out`. */
static void emit_wanted(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
			unsigned wanted, unsigned out)
{
	kcode_note(c, "does somebody want it?");
	emit_any(c, body->wanted, body->words, wanted);
	kcode_note(c, "nobody: it is counted where it would have passed");
	emit_count_all(kcap, body, c, body->counted);
	kcode_jump(c, out);
}

/* How much of it those get who want it. Of a tag beside the packet all is copied, or nothing. */
static void emit_cut(const struct kcap_body *body, struct kcode *c)
{
	uint32_t group[CUTS_MAX][PFS_TAKERS_MAX / 32];
	uint64_t cut[CUTS_MAX], last = UINT64_MAX;
	unsigned n = 0, done = kcode_label(c);

	while (n < CUTS_MAX && next_cut(body, body->wanted, &last, group[n]))
		cut[n++] = pfs_min64(WHOLE, pfs_max64(last, KCAP_SNAPLEN_MIN));
	kcode_note(c, "no more of it than somebody gets");
	for (unsigned i = 0; i < n; i++) {
		unsigned here = kcode_label(c), next = kcode_label(c);

		/* Who is in none of those before gets no more than the last. */
		if (i < n - 1) {
			emit_any(c, group[i], body->words, here);
			kcode_jump(c, next);
		}
		kcode_place(c, here);
		kcode_store_imm(c, BPF_W, R10, AT_CUT, (int32_t)cut[i]);
		if (i < n - 1)
			kcode_jump(c, done);
		kcode_place(c, next);
	}
	kcode_place(c, done);
}

static int emit_sort(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
		     unsigned unknown, bool *ret_unsure)
{
	struct ksort_spec spec = {
		.set = AT_SET,
		.keys = AT_KEYS,
		.found = AT_FOUND,
		.len = AT_LEN,
		.wire = AT_WIRE,
		.seen = AT_CUT,
		.slot = AT_SLOT,
		.zero = SLOT(zero),
		.dynptr = kcap->spec.kind == KCAP_NETFILTER ? AT_DYNPTR : 0,
		.unknown = unknown,
	};
	int r = ksort_emit(body, &spec, c);

	*ret_unsure |= spec.unsure;
	return r;
}

/* *ret_copies: what follows is reached. Where nobody wants anything it may not be. */
static int emit_body(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
		     unsigned out, bool *ret_copies)
{
	struct pf_ebpf_spec spec = {
		.stack = AT_SET,
		.accept = kcode_label(c),
		.len = AT_WIRE,
		.caplen = AT_LEN,
		.dynptr = kcap->spec.kind == KCAP_NETFILTER ? AT_DYNPTR : 0,
		.many = true,
		.set = AT_SET,
		.undecided = 32 * body->words,
		.undecided_at = body->rules ? AT_DECIDED : 0,
		.unsure = kcode_label(c),
	};
	unsigned wanted = kcode_label(c), known = kcode_label(c);
	bool asks = kcap->spec.kind == KCAP_PACKET && !body->plain,
	     wanting = has_any(body->wanted, body->words), unsure;
	int r;

	spec.reject = spec.accept;
	kcode_note(c, "the set of those who take it");
	kcode_load(c, BPF_W, R1, R7, SLOT(zero));
	for (uint32_t w = 0; w < (body->nsort ? PFS_TAKERS_MAX / 32 : body->words); w++)
		kcode_store(c, BPF_W, R10, AT_SET + 4 * (int)w, R1);
	if (body->rules)
		kcode_store_imm(c, BPF_W, R10, AT_DECIDED, !body->only_rules);
	if (body->nnth)
		knth_emit(kcap->nths, body, AT_SET, c);
	if (asks)
		emit_undecidable(kcap, c, spec.unsure);
	r = pf_ebpf_emit(&body->unit, &spec, c);
	if (r < 0)
		return r;
	kcode_place(c, spec.accept);
	kcode_load(c, BPF_DW, R7, R10, AT_SLOT);
	if (body->rules)
		emit_verdict(kcap, body, c, spec.unsure);
	if (body->nsort)
		r = emit_sort(kcap, body, c, spec.unsure, &spec.unsures);
	if (r < 0)
		return r;
	emit_wanted(kcap, body, c, wanted, out);
	kcode_place(c, spec.unsure);
	unsure = asks || spec.unsures || body->rules;
	if (unsure) {
		kcode_note(c, "for the engine to decide");
		kcode_load(c, BPF_DW, R7, R10, AT_SLOT);
		kcode_store_imm(c, BPF_W, R10, AT_DECIDED, body->nnth ? PFS_COUNTED : PFS_UNDECIDED);
		if (narrows(body))
			kcode_store_imm(c, BPF_W, R10, AT_CUT, WHOLE);
	}
	if (unsure && wanting)
		kcode_jump(c, known);
	kcode_place(c, wanted);
	if (narrows(body))
		emit_cut(body, c);
	if (wanting)
		kcode_store_imm(c, BPF_W, R10, AT_DECIDED, 1);
	kcode_place(c, known);
	*ret_copies = unsure || wanting;
	return 0;
}

/* The packet goes into the ring. R7: the slot; on the stack what was decided. */
static void emit_copy(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c,
		      unsigned out)
{
	unsigned lost = kcode_label(c), copied = kcode_label(c);
	bool netfilter = kcap->spec.kind == KCAP_NETFILTER;

	if (!netfilter) {
		kcode_note(c, "what is known of the packet");
		emit_packet_fields(kcap, c);
	}
	emit_snaplen(kcap, body, c);
	emit_reserve(kcap, body, c, lost);
	emit_header(body, c);
	if (netfilter)
		emit_netfilter_copy(body, c);
	else
		emit_packet_copy(body, c, copied);
	kcode_place(c, copied);
	emit_count(kcap, c, SLOT(copied));
	emit_submit(c);
	kcode_jump(c, out);
	kcode_place(c, lost);
	kcode_note(c, "no room");
	emit_count(kcap, c, SLOT(lost));
}

int kcap_program_emit(const struct kcap *kcap, const struct kcap_body *body, struct kcode *c)
{
	unsigned out = kcode_label(c);
	bool netfilter = kcap->spec.kind == KCAP_NETFILTER, copies = true;
	int r = 0;

	kcode_mov(c, R6, R1);
	if (netfilter) {
		kcode_store_imm(c, BPF_W, R10, AT_VERDICT, NETFILTER_ACCEPT);
		emit_netfilter_fields(kcap, c);
	} else {
		emit_direction(kcap, c, out);
	}
	emit_length(kcap, c);
	emit_cpu(kcap, c, out);
	emit_count(kcap, c, SLOT(seen));
	if (body && body->words)
		r = emit_body(kcap, body, c, out, &copies);
	else
		kcode_store_imm(c, BPF_W, R10, AT_DECIDED, 0);
	if (r < 0)
		return r;
	if (copies)
		emit_copy(kcap, body, c, out);
	kcode_place(c, out);
	if (netfilter) { /* the verifier does not know what is on the stack */
		kcode_load(c, BPF_W, R0, R10, AT_VERDICT);
		kcode_alu_imm(c, BPF_AND, R0, NETFILTER_ACCEPT);
	} else {
		kcode_mov_imm(c, R0, KEEP_OFF_SOCKET);
	}
	kcode_exit(c);
	return 0;
}
