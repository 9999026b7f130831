#include "source/btf.h"

#include <bpf/btf.h>

static const struct btf_type *skip_modifiers(const struct btf *btf, uint32_t id)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	return t;
}

/* Finds `name` in a structure and in the anonymous structures and unions within it. */
static bool member_find(const struct btf *btf, const struct btf_type *t, const char *name,
			unsigned base, unsigned depth, struct kbtf_field *ret_field)
{
	const struct btf_member *m = btf_members(t);

	for (unsigned i = 0; i < btf_vlen(t); i++) {
		const char *found = btf__name_by_offset(btf, m[i].name_off);
		unsigned at = base + btf_member_bit_offset(t, i);
		unsigned bits = btf_member_bitfield_size(t, i);
		const struct btf_type *inner = skip_modifiers(btf, m[i].type);

		if (found && strcmp(found, name) == 0) {
			*ret_field = (struct kbtf_field){
				.offset = (int)(at / 8),
				.shift = at % 8,
				.bits = bits,
			};
			return true;
		}
		if (depth < 8 && inner && btf_is_composite(inner) && (!found || !*found) &&
		    member_find(btf, inner, name, at, depth + 1, ret_field))
			return true;
	}
	return false;
}

static struct kbtf_field field(const struct btf *btf, const char *type, const char *name)
{
	struct kbtf_field f = { .offset = -1 };
	int32_t id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);

	if (id > 0)
		member_find(btf, btf__type_by_id(btf, (uint32_t)id), name, 0, 0, &f);
	return f;
}

static int32_t function(const struct btf *btf, const char *name)
{
	int32_t id = btf__find_by_name_kind(btf, name, BTF_KIND_FUNC);

	return id > 0 ? id : 0;
}

int kbtf_read(struct kbtf *ret_kbtf)
{
	struct btf *btf = btf__load_vmlinux_btf();

	if (!btf)
		return -ENOENT;
	*ret_kbtf = (struct kbtf){
		.cast_to_kern_ctx = function(btf, "bpf_cast_to_kern_ctx"),
		.dynptr_from_skb = function(btf, "bpf_dynptr_from_skb"),
		.skb_len = field(btf, "sk_buff", "len"),
		.skb_mark = field(btf, "sk_buff", "mark"),
		.skb_ip_summed = field(btf, "sk_buff", "ip_summed"),
		.dev_ifindex = field(btf, "net_device", "ifindex"),
		.nf_ctx_state = field(btf, "bpf_nf_ctx", "state"),
		.nf_ctx_skb = field(btf, "bpf_nf_ctx", "skb"),
		.nf_state_in = field(btf, "nf_hook_state", "in"),
		.nf_state_out = field(btf, "nf_hook_state", "out"),
	};
	btf__free(btf);
	return 0;
}
