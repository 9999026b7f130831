#include "source/nfhook.h"

#include <linux/netfilter.h>
#include <pthread.h>

#include "base/netns.h"
#include "source/bpf.h"
#include "source/bpfdecide.h"
#include "source/bpfring.h"

#define PRIORITY_TRIES 64

/*
 * Early in each hook: after defragmentation (-400), before raw (-300) and connection tracking (-200), so that what
 * a firewall drops later is seen. In POST_ROUTING late, after source NAT (100): packets as they leave.
 */
static const struct place {
	const char *name;
	unsigned hook;
	unsigned flags;
	int priority;
} places[] = {
	{ "netfilter_pre", NF_INET_PRE_ROUTING, PFS_REC_IN, -310 },
	{ "netfilter_in", NF_INET_LOCAL_IN, PFS_REC_IN, -310 },
	{ "netfilter_forward", NF_INET_FORWARD, 0, -310 },
	{ "netfilter_out", NF_INET_LOCAL_OUT, PFS_REC_OUT, -310 },
	{ "netfilter_post", NF_INET_POST_ROUTING, PFS_REC_OUT, 310 },
};

static const struct family {
	const char *name;
	unsigned family;
} families[] = {
	{ "IPv4", NFPROTO_IPV4 },
	{ "IPv6", NFPROTO_IPV6 },
};

struct nfhook {
	const struct place *place; /* borrowed */
	char *netns;		   /* owned, NULL: ours */
	uint32_t snaplen;
	int priority;
	bool engine; /* kernel=off */

	/* While running; the pointers change under the lock, which stats and program take too. */
	pthread_mutex_t lock;
	struct kcap *kcap;		    /* owned */
	struct bpfring *bpfring;	    /* owned */
	int link[ARRAY_SIZE(families)];	    /* owned */
	int attached[ARRAY_SIZE(families)]; /* priority that was free */
	_Atomic uint16_t origin;
	struct pfs_feed *feed;	   /* borrowed, while attached */
	bool decides;		   /* the program decides, */
	struct pfs_diag undecided; /* or why it does not; or what of it does not */
	int64_t offset; /* of the clocks; as it was last: equal origins stay equal from run to run */
};

const struct pfs_param nfhook_params[] = {
	{ "snaplen", "bytes of each packet to keep, default 262144" },
	{ "netns", "network namespace of the hook" },
	{ "kernel", "on or off: whether filters run in the kernel where they can, default on" },
	{ "prio", "priority in the hook, default -310, in POST_ROUTING 310" },
	{ NULL, NULL },
};

static int parse_priority(const char *text, int *ret_priority, struct pfs_diag *diag)
{
	bool negative = *text == '-';
	uint64_t n;

	/* The kernel refuses the very first and the very last. */
	if (pfs_number_parse(text + negative, false, 0, 0x7fff0000, &n) < 0)
		return pfs_diag_set(diag, EINVAL, "prio=%.40s is not a priority", text);
	*ret_priority = negative ? -(int)n : (int)n;
	return 0;
}

static int parse(const struct nfhook *h, const struct pfs_args *args, uint64_t *ret_snaplen,
		 int *ret_priority, bool *ret_engine, struct pfs_diag *diag)
{
	const char *snaplen = pfs_args_get(args, "snaplen"), *prio = pfs_args_get(args, "prio");
	const char *kernel = pfs_args_get(args, "kernel");

	*ret_engine = kernel && strcmp(kernel, "off") == 0;
	if (kernel && !*ret_engine && strcmp(kernel, "on") != 0)
		return pfs_diag_set(diag, EINVAL, "kernel=%.40s: it is on or off", kernel);

	*ret_snaplen = KCAP_SNAPLEN;
	*ret_priority = h->place->priority;
	if (snaplen && pfs_number_parse(snaplen, true, 1, 1u << 20, ret_snaplen) < 0)
		return pfs_diag_set(diag, EINVAL, "snaplen=%.40s: 1 to 1048576 bytes", snaplen);
	return prio ? parse_priority(prio, ret_priority, diag) : 0;
}

/* The parameters, all or none of them. */
static int configure(struct nfhook *h, const struct pfs_args *args, struct pfs_diag *diag)
{
	const char *netns = pfs_args_get(args, "netns");
	PFS_FREE char *copy = NULL;
	int priority, r;
	bool engine;
	uint64_t n;

	r = parse(h, args, &n, &priority, &engine, diag);
	if (r < 0)
		return r;
	copy = netns && *netns ? strdup(netns) : NULL;
	if (netns && *netns && !copy)
		return -ENOMEM;
	h->snaplen = (uint32_t)n;
	h->priority = priority;
	h->engine = engine;
	free(h->netns);
	h->netns = TAKE_PTR(copy);
	return 0;
}

static void nfhook_free(struct nfhook *h)
{
	if (!h)
		return;
	free(h->netns);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int nfhook_init(void *state, const char *name, const struct pfs_args *args,
		const struct pfs_place *place, struct pfs_diag *diag)
{
	struct nfhook *h = pfs_zalloc(1, sizeof(*h));
	int r;

	(void)place;
	if (!h)
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (strcmp(name, places[i].name) == 0)
			h->place = &places[i];
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		h->link[i] = -1;
	assert(h->place);
	r = configure(h, args, diag);
	if (r < 0) {
		nfhook_free(h);
		return r;
	}
	((struct nfhook_state *)state)->hook = h;
	return 0;
}

/* The graph has stopped the source, and starts it again afterwards. */
int nfhook_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
		       struct pfs_diag *diag)
{
	(void)place;
	return configure(((struct nfhook_state *)state)->hook, args, diag);
}

void nfhook_fini(void *state)
{
	nfhook_free(((struct nfhook_state *)state)->hook);
}

/* --- attaching --------------------------------------------------------------------------------- */

struct linking {
	struct nfhook *hook;
	struct pfs_diag *diag;
};

/* A priority belongs to one program: takes the nearest that is free, alternating above and below. */
static int link_near(struct nfhook *h, size_t i)
{
	int r = -EBUSY;

	for (int n = 0; n < PRIORITY_TRIES && r == -EBUSY; n++) {
		int priority = h->priority + (n & 1 ? (n + 1) / 2 : -(n / 2));

		r = kbpf_link_netfilter(h->kcap->stub, families[i].family, h->place->hook, priority);
		if (r >= 0)
			h->attached[i] = priority;
	}
	return r;
}

/* In the namespace of the hook. A kernel without IPv6 is no reason to refuse IPv4. */
static int link_all(void *arg)
{
	struct linking *l = arg;
	struct nfhook *h = l->hook;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		r = link_near(h, i);
		if (r == -EAFNOSUPPORT && i > 0)
			continue;
		if (r == -EBUSY)
			return pfs_diag_set(
				l->diag, EBUSY,
				"priorities around %d of %s are taken: give another with prio=",
				h->priority, h->place->name);
		if (r == -EPERM)
			return pfs_diag_set(l->diag, EPERM,
					    "attaching to %s needs CAP_NET_ADMIN in that namespace",
					    h->place->name);
		if (r < 0)
			return pfs_diag_set(l->diag, r == -EINVAL ? EOPNOTSUPP : -r,
					    "this kernel refuses netfilter programs for %s (%s): it "
					    "takes Linux 6.4 and CONFIG_NETFILTER_BPF_LINK",
					    families[i].name, strerror(-r));
		h->link[i] = r;
	}
	return 0;
}

static void unlink_all(struct nfhook *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (h->link[i] >= 0)
			close(TAKE_FD(h->link[i]));
}

static void detach(struct nfhook *h)
{
	unlink_all(h);
	bpfring_free(TAKE_PTR(h->bpfring));
	kcap_free(TAKE_PTR(h->kcap));
}

static int make_origin(struct nfhook *h, uint32_t snaplen)
{
	struct pfs_origin origin = {
		.link_type = PFS_LINK_RAW,
		.snaplen = snaplen,
		.time_offset = h->offset,
	};
	uint16_t number = 0;
	int r;

	memcpy(origin.name, h->place->name, strlen(h->place->name));
	r = pfs_feed_origin(h->feed, &origin, &number);
	if (r == 0)
		atomic_store(&h->origin, number);
	return r;
}

/* What it is to decide by from the beginning, made at once. */
static int decide_first(struct nfhook *h, const struct pfs_interests *interests, struct pfs_diag *diag)
{
	struct kcap_making *m = kcap_making_new(h->kcap, interests, PFS_LINK_RAW, h->engine);
	int r = m ? m->making.make(&m->making, diag) : -ENOMEM;

	if (r == 0)
		r = kcap_making_commit(m, h->kcap, diag);
	if (r == 0) {
		h->decides = m->decides;
		h->undecided = m->undecided;
	}
	if (m)
		m->making.free(&m->making);
	return r;
}

static int start(struct nfhook *h, struct pfs_feed *feed, struct pfs_diag *diag)
{
	struct kcap_spec spec = {
		.kind = KCAP_NETFILTER,
		.snaplen = h->snaplen,
		.flags = h->place->flags,
		.ring_bytes = pfs_feed_ring_size(feed),
	};
	struct linking l = { .hook = h, .diag = diag };
	int r;

	h->offset = pfs_clock_offset(h->offset);
	h->feed = feed;
	r = kcap_new(&spec, &h->kcap, diag);
	if (r == 0)
		r = decide_first(h, pfs_feed_interests(feed), diag);
	if (r == 0) {
		pfs_feed_decides(feed, h->decides);
		r = make_origin(h, h->snaplen);
	}
	if (r == 0)
		r = pfs_netns_call(h->netns, link_all, &l, diag);
	/* Last, because what it gives to the graph is not ours to take back. */
	if (r == 0) {
		r = bpfring_new(h->kcap, feed, pfs_feed_latency(feed), &h->bpfring);
		if (r < 0)
			pfs_diag_set(diag, -r, "cannot map the rings of %s: %s", h->place->name,
				     strerror(-r));
	}
	return r;
}

int nfhook_start(void *state, struct pfs_feed *feed, struct pfs_diag *diag)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;
	int r;

	pthread_mutex_lock(&h->lock);
	r = start(h, feed, diag);
	if (r < 0)
		detach(h);
	pthread_mutex_unlock(&h->lock);
	return r;
}

void nfhook_detach(void *state)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;

	pthread_mutex_lock(&h->lock);
	unlink_all(h);
	pthread_mutex_unlock(&h->lock);
}

/* Who is in the program still counts. */
void nfhook_quiesce(void)
{
	(void)kbpf_grace();
}

void nfhook_stop(void *state)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;

	pthread_mutex_lock(&h->lock);
	detach(h);
	pthread_mutex_unlock(&h->lock);
}

/* Records are never longer than the origin that they name says. */
static int retune(struct nfhook *h, uint32_t snaplen, struct pfs_diag *diag)
{
	int r = snaplen > h->snaplen ? make_origin(h, snaplen) : 0;

	if (r == 0)
		r = kcap_retune(h->kcap, snaplen, h->kcap->spec.directions, diag);
	if (r < 0) {
		(void)make_origin(h, h->snaplen);
		return r;
	}
	if (snaplen < h->snaplen)
		(void)make_origin(h, snaplen); /* no number for it: it names the larger one */
	h->snaplen = snaplen;
	return 0;
}

int nfhook_retune(void *state, const struct pfs_args *args, struct pfs_diag *diag)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;
	const char *netns = pfs_args_get(args, "netns");
	int priority = 0, r;
	bool engine = false;
	uint64_t n = 0;

	r = parse(h, args, &n, &priority, &engine, diag);
	if (r < 0)
		return r;
	pthread_mutex_lock(&h->lock);
	if (!h->bpfring || priority != h->priority || engine != h->engine ||
	    strcmp(netns ? netns : "", h->netns ? h->netns : "") != 0)
		r = 1;
	else
		r = retune(h, (uint32_t)n, diag);
	pthread_mutex_unlock(&h->lock);
	return r;
}

/* --- deciding ------------------------------------------------------------------------------------ */

int nfhook_decide(void *state, const struct pfs_interests *interests,
		  struct pfs_making **ret_making, struct pfs_diag *diag)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;
	struct kcap_making *m = NULL;
	bool attached;

	(void)diag;
	pthread_mutex_lock(&h->lock);
	attached = h->kcap;
	if (attached)
		m = kcap_making_new(h->kcap, interests, PFS_LINK_RAW, h->engine);
	pthread_mutex_unlock(&h->lock);
	*ret_making = m ? &m->making : NULL;
	return attached && !m ? -ENOMEM : 0;
}

int nfhook_decided(void *state, struct pfs_making *making, struct pfs_diag *diag)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;
	struct kcap_making *m = CONTAINER_OF(making, struct kcap_making, making);
	int r;

	pthread_mutex_lock(&h->lock);
	r = h->kcap ? kcap_making_commit(m, h->kcap, diag) : -ESTALE;
	if (r == 0) {
		h->decides = m->decides;
		h->undecided = m->undecided;
		pfs_feed_decides(h->feed, h->decides);
	}
	pthread_mutex_unlock(&h->lock);
	return r;
}

struct pfs_making *nfhook_rest(void *state)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;
	struct pfs_making *making;

	pthread_mutex_lock(&h->lock);
	making = h->kcap ? ksort_rest(h->kcap) : NULL;
	pthread_mutex_unlock(&h->lock);
	return making;
}

void nfhook_passed(void *state, unsigned number, struct pfs_tally *ret_tally)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;

	pthread_mutex_lock(&h->lock);
	if (h->kcap)
		kcap_passed(h->kcap, number, ret_tally);
	pthread_mutex_unlock(&h->lock);
}

/* --- running ------------------------------------------------------------------------------------- */

static int hook_origin(void *arg, const struct pfs_record *rec, uint16_t *ret_origin)
{
	const struct nfhook *h = arg;

	(void)rec;
	*ret_origin = h->origin;
	return 0;
}

int nfhook_run(void *state, struct pfs_feed *feed)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;
	struct bpfring_ops ops = { .origin = hook_origin, .fd = -1, .arg = h };

	(void)feed;
	return bpfring_run(h->bpfring, &ops);
}

void nfhook_stats(void *state, struct pfs_buf *out)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;

	pthread_mutex_lock(&h->lock);
	if (h->bpfring)
		bpfring_text(h->bpfring, out);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		if (h->link[i] >= 0)
			pfs_buf_printf(out, "priority.%s %d\n", families[i].name, h->attached[i]);
	pthread_mutex_unlock(&h->lock);
}

void nfhook_program(void *state, struct pfs_buf *out)
{
	struct nfhook *h = ((struct nfhook_state *)state)->hook;

	pthread_mutex_lock(&h->lock);
	if (h->kcap && h->undecided.text[0])
		pfs_buf_printf(out, "; %s%s\n",
			       h->decides ? "" : "the filters run in the engine: ", h->undecided.text);
	if (h->kcap)
		kcode_print(&h->kcap->now.listing, out);
	else
		pfs_buf_str(out, "; not attached: nobody reads\n");
	pthread_mutex_unlock(&h->lock);
}
