#include "graph/classify.h"

#include "graph/proto.h"

#define MAX_DEFAULT 4096
#define EXPIRE_MAX (UINT64_C(366) * 86400) /* seconds */

const struct pfs_param pfs_classify_params[] = {
	{ "max", "classes at once, 1 to 65535; default 4096" },
	{ "expire", "seconds without a packet after which a class goes; default 0, never" },
	{ NULL, NULL },
};

struct limits {
	uint64_t max;
	uint64_t expire; /* ns */
};

static int limits_of(const struct pfs_args *args, struct limits *ret_limits, struct pfs_diag *diag)
{
	const char *max = pfs_args_get(args, "max"), *expire = pfs_args_get(args, "expire");
	uint64_t n = MAX_DEFAULT, seconds = 0;

	if (max && pfs_number_parse(max, true, 1, PFS_CLASSES_MAX, &n) < 0)
		return pfs_diag_set(diag, EINVAL,
				    "max= takes a number of classes from 1 to %d, not '%.32s'",
				    PFS_CLASSES_MAX, max);
	if (expire && pfs_number_parse(expire, false, 0, EXPIRE_MAX, &seconds) < 0)
		return pfs_diag_set(diag, EINVAL, "expire= takes seconds, 0 for never, not '%.32s'",
				    expire);
	*ret_limits = (struct limits){ .max = n, .expire = seconds * UINT64_C(1000000000) };
	return 0;
}

int pfs_classify_init(struct pfs_classify *c, const struct pkt_field *field,
		      const struct pfs_args *args, struct pfs_diag *diag)
{
	struct limits limits = { 0 };
	int r = limits_of(args, &limits, diag);

	if (r < 0)
		return r;
	r = pfs_classes_init(&c->set, field, limits.max, limits.expire);
	return r < 0 ? pfs_diag_set(diag, -r, "no memory for %zu classes", (size_t)limits.max) : 0;
}

int pfs_classify_reconfigure(void *state, const struct pfs_args *args,
			     const struct pfs_place *place, struct pfs_diag *diag)
{
	struct pfs_classify *c = state;
	struct limits limits = { 0 };
	int r = limits_of(args, &limits, diag);

	(void)place;
	return r < 0 ? r : pfs_classes_set(&c->set, limits.max, limits.expire, diag);
}

void pfs_classify_fini(void *state)
{
	struct pfs_classify *c = state;

	pfs_classes_release(&c->set);
}

/* Classes of one packet; second is 0 when there is no other. Set's lock held. */
static void classify_ref(struct pfs_classify *c, const struct pfs_ref *ref, uint64_t now,
			 const struct pfs_emitter *out, uint16_t *ret_first, uint16_t *ret_second)
{
	struct pkt_key keys[2] = { 0 };
	int n = c->set.field->get(pfs_bytes(out, ref), ref->len, ref->len, ref, keys);

	*ret_first = *ret_second = 0;
	if (n < 0) {
		pfs_counter_add(&c->set.unfit[-n], 1);
		return;
	}
	*ret_first = pfs_classes_of(&c->set, &keys[0], ref->len, now);
	if (n > 1)
		*ret_second = pfs_classes_of(&c->set, &keys[1], ref->len, now);
}

/* Siblings get the same batch, so what is told its class is a copy. */
static void classify_some(struct pfs_classify *c, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	struct pfs_ref copy[PFS_BATCH];
	uint16_t second[PFS_BATCH];
	uint64_t now = pfs_clock_mono();
	bool two = false;

	pfs_classes_lock(&c->set);
	for (size_t i = 0; i < n; i++) {
		pfs_layers(out, &in[i]);
		copy[i] = in[i];
		classify_ref(c, &in[i], now, out, &copy[i].class_, &second[i]);
		two |= second[i] != 0;
	}
	pfs_classes_unlock(&c->set);
	if (!two) {
		pfs_emit_all(out, copy, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		pfs_emit(out, &copy[i]);
		copy[i].class_ = second[i];
		if (second[i])
			pfs_emit_class(out, &copy[i]);
	}
}

void pfs_classify_batch(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	for (size_t at = 0; at < n; at += PFS_BATCH)
		classify_some(state, in + at, pfs_min(n - at, PFS_BATCH), out);
}

void pfs_classify_look(void *state, struct pfs_ref *ref, const struct pfs_emitter *out,
		       uint16_t ret_classes[2])
{
	struct pfs_classify *c = state;
	struct pkt_key keys[2] = { 0 };
	int n;

	pfs_layers(out, ref);
	n = c->set.field->get(pfs_bytes(out, ref), ref->len, ref->len, ref, keys);
	pfs_classes_lock(&c->set);
	for (int i = 0; i < 2; i++)
		ret_classes[i] = i < n ? pfs_classes_seek(&c->set, &keys[i]) : 0;
	pfs_classes_unlock(&c->set);
}

void pfs_classify_stats(void *state, struct pfs_buf *out)
{
	static const char *const reasons[] = {
		[PKT_UNFIT_OTHER] = "other",
		[PKT_UNFIT_FRAGMENT] = "fragment",
		[PKT_UNFIT_SHORT] = "short",
	};
	struct pfs_classify *c = state;

	static_assert(ARRAY_SIZE(reasons) == PKT_UNFIT_COUNT_, "a word for each");
	pfs_buf_printf(out, "classes %llu\n", (unsigned long long)pfs_counter_get(&c->set.n));
	pfs_buf_printf(out, "unclassed.full %llu\n",
		       (unsigned long long)pfs_counter_get(&c->set.full));
	for (unsigned i = 1; i < PKT_UNFIT_COUNT_; i++)
		pfs_buf_printf(out, "unclassed.%s %llu\n", reasons[i],
			       (unsigned long long)pfs_classes_unfit(&c->set, (enum pkt_unfit)i));
}

struct pfs_classes *pfs_classify_classes(void *state)
{
	struct pfs_classify *c = state;

	return &c->set;
}
