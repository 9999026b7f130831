#include "source/packetfilter.h"

#include <linux/filter.h>
#include <linux/if_arp.h>
#include <sys/socket.h>

#include "pf/back/cbpf.h"

enum { LET_THROUGH_MAX = 7 };

static int attach(struct packetfilter *f, struct sock_filter *insns, size_t n)
{
	struct sock_fprog program = { .len = (unsigned short)n, .filter = insns };

	if (setsockopt(f->sock, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0)
		return -errno;
	free(f->insns);
	f->insns = insns;
	f->ninsns = n;
	return 0;
}

int packetfilter_snaplen(struct packetfilter *f)
{
	struct sock_filter *insn = pfs_zalloc(1, sizeof(*insn));
	int r = -ENOMEM;

	if (insn) {
		*insn = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, f->snaplen);
		r = attach(f, insn, 1);
	}
	if (r < 0)
		free(insn);
	return r;
}

static void attach_nothing(struct packetfilter *f)
{
	int unused = 0;

	setsockopt(f->sock, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
	free(TAKE_PTR(f->insns));
	f->ninsns = 0;
}

/* What the filter would not see as the graph does is let through. Returns how many instructions that takes. */
static size_t let_through(const struct packetfilter *f, struct sock_filter *to)
{
	const struct sock_filter other[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_HATYPE)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_ETHER, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARPHRD_LOOPBACK, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, f->snaplen),
	};
	/* Is there a tag that is not among the bytes? */
	const struct sock_filter tagged[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, f->snaplen),
	};
	size_t n = f->any ? ARRAY_SIZE(other) : 0;

	static_assert(ARRAY_SIZE(other) + ARRAY_SIZE(tagged) == LET_THROUGH_MAX, "");
	if (n)
		memcpy(to, other, sizeof(other));
	memcpy(to + n, tagged, sizeof(tagged));
	return n + ARRAY_SIZE(tagged);
}

int packetfilter_set(struct packetfilter *f, const struct pf_insn *insns, size_t n)
{
	struct sock_filter *all;
	size_t before;
	int r = 0;

	if (!n && packetfilter_snaplen(f) < 0)
		attach_nothing(f); /* without memory for that: who takes frames cuts them, too */
	if (!n)
		return 0;
	if (n > BPF_MAXINSNS - LET_THROUGH_MAX)
		return -E2BIG;
	all = pfs_zalloc(LET_THROUGH_MAX + n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	before = let_through(f, all);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct sock_filter *insn = &all[before + i];

		*insn = (struct sock_filter){ insns[i].code, insns[i].jt, insns[i].jf, insns[i].k };
		if (BPF_CLASS(insn->code) != BPF_RET)
			continue;
		if (BPF_RVAL(insn->code) != BPF_K)
			r = -EINVAL;
		if (insn->k)
			insn->k = f->snaplen;
	}
	if (r == 0)
		r = attach(f, all, before + n);
	if (r < 0)
		free(all);
	return r;
}

void packetfilter_print(const struct packetfilter *f, struct pfs_buf *out)
{
	PFS_FREE struct pf_insn *insns = pfs_zalloc(f->ninsns, sizeof(*insns));

	for (size_t i = 0; insns && i < f->ninsns; i++)
		insns[i] = (struct pf_insn){ f->insns[i].code, f->insns[i].jt, f->insns[i].jf,
					     f->insns[i].k };
	if (insns)
		pf_cbpf_print(insns, f->ninsns, out);
}

void packetfilter_release(struct packetfilter *f)
{
	free(TAKE_PTR(f->insns));
	f->ninsns = 0;
}
