#include "pf/back/kcode.h"

#include <stdarg.h>
#include <stdio.h>

/* Doubles an array of `size`d elements when it is full. */
static bool grow(struct kcode *c, void **array, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? *cap * 2 : 64;
	void *p;

	if (c->err)
		return false;
	if (n < *cap)
		return true;
	p = reallocarray(*array, more, size);
	if (!p) {
		c->err = -ENOMEM;
		return false;
	}
	*array = p;
	*cap = more;
	return true;
}

void kcode_release(struct kcode *c)
{
	free(c->insn);
	free(c->label);
	free(c->note);
	*c = (struct kcode){ 0 };
}

static void emit(struct kcode *c, struct bpf_insn one)
{
	if (c->n >= KCODE_MAX && !c->err)
		c->err = -E2BIG;
	if (!grow(c, (void **)&c->insn, c->n, &c->cap, sizeof(*c->insn)))
		return;
	c->insn[c->n++] = one;
}

unsigned kcode_label(struct kcode *c)
{
	if (!grow(c, (void **)&c->label, c->nlabel, &c->caplabel, sizeof(*c->label)))
		return 0;
	c->label[c->nlabel] = -1;
	return (unsigned)c->nlabel++;
}

void kcode_place(struct kcode *c, unsigned label)
{
	if (c->err)
		return;
	assert(label < c->nlabel && c->label[label] < 0);
	c->label[label] = (int32_t)c->n;
}

void kcode_note(struct kcode *c, const char *fmt, ...)
{
	struct kcode_note *note;
	va_list ap;

	if (!grow(c, (void **)&c->note, c->nnote, &c->capnote, sizeof(*c->note)))
		return;
	note = &c->note[c->nnote++];
	note->at = (uint32_t)c->n;
	va_start(ap, fmt);
	vsnprintf(note->text, sizeof(note->text), fmt, ap);
	va_end(ap);
}

static int16_t offset(int off)
{
	assert(off >= INT16_MIN && off <= INT16_MAX);
	return (int16_t)off;
}

static struct bpf_insn insn(unsigned code, unsigned dst, unsigned src, int off, int32_t imm)
{
	assert(dst <= R10 && src <= R10);
	return (struct bpf_insn){
		.code = (uint8_t)code,
		.dst_reg = dst & 0xf,
		.src_reg = src & 0xf,
		.off = offset(off),
		.imm = imm,
	};
}

void kcode_alu(struct kcode *c, unsigned op, unsigned dst, unsigned src)
{
	emit(c, insn(BPF_ALU64 | op | BPF_X, dst, src, 0, 0));
}

void kcode_alu_imm(struct kcode *c, unsigned op, unsigned dst, int32_t imm)
{
	emit(c, insn(BPF_ALU64 | op | BPF_K, dst, 0, 0, imm));
}

void kcode_alu32(struct kcode *c, unsigned op, unsigned dst, unsigned src)
{
	emit(c, insn(BPF_ALU | op | BPF_X, dst, src, 0, 0));
}

void kcode_alu32_imm(struct kcode *c, unsigned op, unsigned dst, uint32_t imm)
{
	emit(c, insn(BPF_ALU | op | BPF_K, dst, 0, 0, (int32_t)imm));
}

void kcode_mov(struct kcode *c, unsigned dst, unsigned src)
{
	kcode_alu(c, BPF_MOV, dst, src);
}

void kcode_mov_imm(struct kcode *c, unsigned dst, int32_t imm)
{
	kcode_alu_imm(c, BPF_MOV, dst, imm);
}

void kcode_be(struct kcode *c, unsigned dst, int bits)
{
	emit(c, insn(BPF_ALU | BPF_END | BPF_TO_BE, dst, 0, 0, bits));
}

void kcode_load(struct kcode *c, unsigned size, unsigned dst, unsigned src, int off)
{
	emit(c, insn(BPF_LDX | size | BPF_MEM, dst, src, off, 0));
}

void kcode_store(struct kcode *c, unsigned size, unsigned dst, int off, unsigned src)
{
	emit(c, insn(BPF_STX | size | BPF_MEM, dst, src, off, 0));
}

void kcode_store_imm(struct kcode *c, unsigned size, unsigned dst, int off, int32_t imm)
{
	emit(c, insn(BPF_ST | size | BPF_MEM, dst, 0, off, imm));
}

void kcode_atomic_add(struct kcode *c, unsigned dst, int off, unsigned src)
{
	emit(c, insn(BPF_STX | BPF_DW | BPF_ATOMIC, dst, src, off, BPF_ADD));
}

void kcode_atomic_fetch_add(struct kcode *c, unsigned dst, int off, unsigned src)
{
	emit(c, insn(BPF_STX | BPF_DW | BPF_ATOMIC, dst, src, off, BPF_ADD | BPF_FETCH));
}

/* Until kcode_finish() the label stands where the distance will. */
void kcode_jump(struct kcode *c, unsigned label)
{
	emit(c, insn(BPF_JMP | BPF_JA, 0, 0, (int)label, 0));
}

void kcode_jump_imm(struct kcode *c, unsigned op, unsigned dst, int32_t imm, unsigned label)
{
	emit(c, insn(BPF_JMP | op | BPF_K, dst, 0, (int)label, imm));
}

void kcode_jump_reg(struct kcode *c, unsigned op, unsigned dst, unsigned src, unsigned label)
{
	emit(c, insn(BPF_JMP | op | BPF_X, dst, src, (int)label, 0));
}

void kcode_jump32_imm(struct kcode *c, unsigned op, unsigned dst, uint32_t imm, unsigned label)
{
	emit(c, insn(BPF_JMP32 | op | BPF_K, dst, 0, (int)label, (int32_t)imm));
}

void kcode_jump32_reg(struct kcode *c, unsigned op, unsigned dst, unsigned src, unsigned label)
{
	emit(c, insn(BPF_JMP32 | op | BPF_X, dst, src, (int)label, 0));
}

void kcode_most(struct kcode *c, unsigned reg, uint32_t most)
{
	unsigned fits;

	if (!most)
		return;
	fits = kcode_label(c);
	kcode_jump32_imm(c, BPF_JLE, reg, most, fits);
	kcode_alu32_imm(c, BPF_MOV, reg, most);
	kcode_place(c, fits);
}

void kcode_map(struct kcode *c, unsigned dst, int map)
{
	emit(c, insn(KCODE_WIDE, dst, BPF_PSEUDO_MAP_FD, 0, map));
	emit(c, insn(0, 0, 0, 0, 0));
}

void kcode_map_value(struct kcode *c, unsigned dst, int map)
{
	emit(c, insn(KCODE_WIDE, dst, BPF_PSEUDO_MAP_VALUE, 0, map));
	emit(c, insn(0, 0, 0, 0, 0));
}

void kcode_call(struct kcode *c, int helper)
{
	emit(c, insn(BPF_JMP | BPF_CALL, 0, 0, 0, helper));
}

void kcode_kfunc(struct kcode *c, int32_t btf_id)
{
	emit(c, insn(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, btf_id));
}

void kcode_exit(struct kcode *c)
{
	emit(c, insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

static bool is_jump(const struct bpf_insn *i)
{
	if (BPF_CLASS(i->code) == BPF_JMP32)
		return true;
	return BPF_CLASS(i->code) == BPF_JMP && BPF_OP(i->code) != BPF_CALL &&
	       BPF_OP(i->code) != BPF_EXIT;
}

int kcode_finish(struct kcode *c)
{
	for (size_t i = 0; i < c->n && !c->err; i++) {
		struct bpf_insn *at = &c->insn[i];
		int32_t to;

		if (!is_jump(at))
			continue;
		to = c->label[at->off];
		if (to < 0) {
			c->err = -EINVAL;
		} else if (to - (int32_t)i - 1 > INT16_MAX || to - (int32_t)i - 1 < INT16_MIN) {
			c->err = -E2BIG;
		} else {
			at->off = (int16_t)(to - (int32_t)i - 1);
		}
	}
	return c->err;
}
