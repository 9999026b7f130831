/*
 * dev - frames of a network device, both directions
 *
 * Synopsis:   dev/IFACE[,snaplen=N][,promisc=off][,direction=in|out|inout][,netns=NAME][,kernel=off]
 *             dev/any[,kernel=off]
 * Parameters: snaplen    bytes of each frame to keep (default 262144)
 *             promisc    on or off: also what is addressed to others (default on; not for `any`)
 *             direction  in, out or inout (default inout)
 *             netns      network namespace of the device, as ip-netns(8) names it
 *             kernel     on or off: whether the filters below run in the kernel where they can (default on)
 * Classes:    none
 * Needs:      CAP_NET_RAW; for the fast way CAP_BPF (and CAP_NET_ADMIN on some kernels)
 *
 * Frames start at their link-layer header. A VLAN tag that the adapter took off is put back. `lo` shows each packet
 * once. Frames that the sender's kernel had not cut up or not filled the checksum of yet (offloads) are marked so.
 * `any` is all devices of the namespace, each with its own link type and name.
 *
 * When the device goes down the stream pauses; when it is removed the stream ends.
 *
 * How: a packet socket whose filter, an eBPF stub, always says "not for this socket": nothing is queued to it.
 * What the stub calls (source/bpfcapture.h) copies the frame into a ring of the CPU. Where eBPF is refused the same
 * socket gets a TPACKET ring and the frames are copied once more (source/packetring.h); `.program` says so. Then a
 * classic filter on the socket lets through what anybody below wants, so the numbers of directories on the way there
 * are of what has come; those of `count`, and of directories that are read, are the same as ever.
 */
#include <net/ethernet.h>
#include <net/if.h>
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/netns.h"
#include "graph/source.h"
#include "source/bpfdecide.h"
#include "source/bpfring.h"
#include "source/device.h"
#include "source/packetdecide.h"
#include "source/packetring.h"

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#ifndef SO_ATTACH_BPF
#define SO_ATTACH_BPF 50
#endif

#define LOOPBACK_INDEX 1	      /* of `lo`, in every network namespace */
#define DOWN_LOOK UINT64_C(250000000) /* ns between looks at a device that is down */
#define DEVICES_MAX 4096	      /* of `any`; more share what is known already */

struct known {
	uint32_t ifindex; /* 0: free */
	uint16_t origin;
	bool refused;
};

struct dev {
	char *name;  /* owned */
	char *netns; /* owned, NULL: ours */
	uint32_t snaplen;
	unsigned directions;
	bool promisc;
	bool engine; /* kernel=off */

	/* While running; the pointers change under the lock, which stats and program take too. */
	pthread_mutex_t lock;
	struct device device;	    /* ifindex 0: any */
	int sock;		    /* owned */
	struct kcap *kcap;	    /* owned; NULL: without eBPF */
	struct bpfring *bpfring;    /* owned */
	struct packetring *packets; /* owned; without eBPF */
	struct pfs_feed *feed;	    /* borrowed */
	int64_t clock;		    /* ns to add to records' time */
	int64_t offset;		    /* as it was last: equal origins stay equal from run to run */
	bool down;
	_Atomic uint16_t origin; /* of a single device */
	struct known *known;	 /* owned; of `any`: open hash by ifindex */
	size_t known_count;
	_Atomic bool vanished;
	struct pfs_diag refused;   /* why there is no eBPF */
	bool decides;		   /* the program decides, */
	struct pfs_diag undecided; /* or why it does not; or what of it does not */
};

/* --- parameters --------------------------------------------------------------------------- */

static int parse_direction(const char *text, unsigned *ret_directions, struct pfs_diag *diag)
{
	if (!text || strcmp(text, "inout") == 0)
		*ret_directions = PFS_REC_IN | PFS_REC_OUT;
	else if (strcmp(text, "in") == 0)
		*ret_directions = PFS_REC_IN;
	else if (strcmp(text, "out") == 0)
		*ret_directions = PFS_REC_OUT;
	else
		return pfs_diag_set(diag, EINVAL, "direction=%.40s: it is in, out or inout", text);
	return 0;
}

static int parse_switch(const char *key, const char *text, bool *ret_on, struct pfs_diag *diag)
{
	if (strcmp(text, "on") == 0 || strcmp(text, "1") == 0 || strcmp(text, "yes") == 0)
		*ret_on = true;
	else if (strcmp(text, "off") == 0 || strcmp(text, "0") == 0 || strcmp(text, "no") == 0)
		*ret_on = false;
	else
		return pfs_diag_set(diag, EINVAL, "%s=%.40s: it is on or off", key, text);
	return 0;
}

static int parse(struct dev *d, const struct pfs_args *args, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "snaplen");
	uint64_t n = KCAP_SNAPLEN;
	int r;

	if (text && pfs_number_parse(text, true, 1, 1u << 20, &n) < 0)
		return pfs_diag_set(diag, EINVAL, "snaplen=%.40s: 1 to 1048576 bytes", text);
	d->snaplen = (uint32_t)n;
	r = parse_direction(pfs_args_get(args, "direction"), &d->directions, diag);
	if (r < 0)
		return r;
	d->promisc = true;
	text = pfs_args_get(args, "promisc");
	r = text ? parse_switch("promisc", text, &d->promisc, diag) : 0;
	text = pfs_args_get(args, "kernel");
	if (r == 0 && text) {
		r = parse_switch("kernel", text, &d->engine, diag);
		d->engine = !d->engine;
	}
	return r;
}

static void dev_fini(void *state)
{
	struct dev *d = state;

	free(d->name);
	free(d->netns);
	pthread_mutex_destroy(&d->lock);
}

/* The parameters, all or none of them. */
static int configure(struct dev *d, const struct pfs_args *args, struct pfs_diag *diag)
{
	const char *netns = pfs_args_get(args, "netns");
	struct dev parsed = { 0 };
	PFS_FREE char *copy = NULL;
	int r = parse(&parsed, args, diag);

	if (r < 0)
		return r;
	copy = netns && *netns ? strdup(netns) : NULL;
	if (netns && *netns && !copy)
		return -ENOMEM;
	d->snaplen = parsed.snaplen;
	d->directions = parsed.directions;
	d->promisc = parsed.promisc;
	d->engine = parsed.engine;
	free(d->netns);
	d->netns = TAKE_PTR(copy);
	return 0;
}

static int dev_init(void *state, const char *name, const struct pfs_args *args,
		    const struct pfs_place *place, struct pfs_diag *diag)
{
	struct dev *d = state;
	int r;

	(void)name;
	(void)place;
	d->sock = -1;
	if (!args->arg || !*args->arg || strlen(args->arg) >= IFNAMSIZ)
		return pfs_diag_set(diag, EINVAL, "%.40s is not the name of a device",
				    args->arg ? args->arg : "");
	r = configure(d, args, diag);
	if (r < 0)
		return r;
	d->name = strdup(args->arg);
	if (!d->name) {
		free(d->netns);
		return -ENOMEM;
	}
	pthread_mutex_init(&d->lock, NULL);
	return 0;
}

/* The graph has stopped the source, and starts it again afterwards. */
static int dev_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			   struct pfs_diag *diag)
{
	(void)place;
	return configure(state, args, diag);
}

/* --- attaching ------------------------------------------------------------------------------- */

static bool is_any(const struct dev *d)
{
	return strcmp(d->name, DEVICE_ANY) == 0;
}

struct opening {
	struct dev *d;
	struct pfs_diag *diag;
};

/* In the device's namespace: the socket, not bound yet, and the device. */
static int open_socket(void *arg)
{
	struct opening *o = arg;
	struct dev *d = o->d;
	int r;

	/* Protocol 0: nothing arrives before everything is attached. */
	d->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->sock < 0 && errno == EPERM)
		return pfs_diag_set(o->diag, EPERM,
				    "capturing on %s needs CAP_NET_RAW: run pipesfs as root", d->name);
	if (d->sock < 0)
		return pfs_diag_set(o->diag, errno, "no packet socket: %s", strerror(errno));
	d->device = (struct device){ 0 };
	if (is_any(d))
		return 0;
	r = device_find(d->sock, d->name, 0, &d->device);
	if (r == -EOPNOTSUPP)
		return pfs_diag_set(o->diag, EOPNOTSUPP,
				    "frames of %s (ARPHRD %u) have no link type in capture files",
				    d->name, d->device.arphrd);
	if (r < 0)
		return pfs_diag_set(o->diag, ENODEV, "there is no device %s%s%s", d->name,
				    d->netns ? " in the namespace " : "", d->netns ? d->netns : "");
	return 0;
}

static uint32_t loopback_of(const struct dev *d)
{
	if (is_any(d))
		return LOOPBACK_INDEX;
	return d->device.loopback ? d->device.ifindex : 0;
}

/* `any`: packets are of Ethernet as far as a program decides about them. */
static uint16_t link_type_of(const struct dev *d)
{
	return is_any(d) ? PFS_LINK_ETHERNET : d->device.link_type;
}

/* What it is to decide by from the beginning, made at once. */
static int decide_first(struct dev *d, const struct pfs_interests *interests, struct pfs_diag *diag)
{
	struct kcap_making *m = kcap_making_new(d->kcap, interests, link_type_of(d), d->engine);
	int r = m ? m->making.make(&m->making, diag) : -ENOMEM;

	if (r == 0)
		r = kcap_making_commit(m, d->kcap, diag);
	if (r == 0) {
		d->decides = m->decides;
		d->undecided = m->undecided;
	}
	if (m)
		m->making.free(&m->making);
	return r;
}

static int attach_bpf(struct dev *d, const struct pfs_feed *feed)
{
	struct kcap_spec spec = {
		.kind = KCAP_PACKET,
		.snaplen = d->snaplen,
		.directions = d->directions,
		.loopback = loopback_of(d),
		.any = is_any(d),
		.ring_bytes = pfs_feed_ring_size(feed),
	};
	int r;

	if (getenv("PIPESFS_NO_EBPF"))
		return pfs_diag_set(&d->refused, EPERM, "PIPESFS_NO_EBPF is set");
	r = kcap_new(&spec, &d->kcap, &d->refused);
	if (r < 0)
		return r;
	r = decide_first(d, pfs_feed_interests(feed), &d->refused);
	if (r < 0) {
		kcap_free(TAKE_PTR(d->kcap));
		return r;
	}
	if (setsockopt(d->sock, SOL_SOCKET, SO_ATTACH_BPF, &d->kcap->stub, sizeof(int)) < 0)
		r = pfs_diag_set(&d->refused, errno, "the socket takes no eBPF program: %s",
				 strerror(errno));
	if (r < 0) {
		kcap_free(d->kcap);
		d->kcap = NULL;
	}
	return r;
}

/* The filter that lets through what anybody wants; the engine finishes. */
struct classic {
	struct pfs_making making;
	const struct pfs_interests *interests; /* borrowed */
	uint32_t snaplen;
	uint16_t link_type;
	bool off;
	struct pf_insn *insns; /* owned; NULL: all packets */
	size_t n;
	struct pfs_diag undecided;
};

static int classic_make(struct pfs_making *making, struct pfs_diag *diag)
{
	struct classic *c = CONTAINER_OF(making, struct classic, making);

	(void)diag;
	if (c->off)
		pfs_diag_set(&c->undecided, EPERM, "kernel=off");
	else if (c->interests->only_rules)
		pfs_diag_set(&c->undecided, EAGAIN, "the filter is being made");
	else
		(void)packetdecide(c->interests, c->link_type, c->snaplen, &c->insns, &c->n,
				   &c->undecided);
	return 0;
}

static void classic_free(struct pfs_making *making)
{
	struct classic *c = CONTAINER_OF(making, struct classic, making);

	free(c->insns);
	free(c);
}

static struct classic *classic_new(const struct dev *d, const struct pfs_interests *interests)
{
	struct classic *c = pfs_zalloc(1, sizeof(*c));

	if (c)
		*c = (struct classic){
			.making = { classic_make, classic_free },
			.interests = interests,
			.snaplen = (uint32_t)pfs_min(d->snaplen, PACKETRING_SNAPLEN),
			.link_type = link_type_of(d),
			.off = d->engine,
		};
	return c;
}

/* One takes the other's place between two packets; what is in the ring by the old one stays. */
static int classic_put(struct classic *c, struct dev *d)
{
	int r = packetring_filter(d->packets, c->insns, c->n);

	d->undecided = c->undecided;
	if (r == 0)
		return 0;
	pfs_diag_set(&d->undecided, -r, "the socket takes no filter of %zu instructions: %s", c->n,
		     strerror(-r));
	return packetring_filter(d->packets, NULL, 0);
}

static int attach_ring(struct dev *d, const struct pfs_feed *feed, struct pfs_diag *diag)
{
	struct packetring_options options = {
		.snaplen = d->snaplen,
		.directions = d->directions,
		.loopback = loopback_of(d),
		.latency = pfs_feed_latency(feed),
		.bytes = pfs_feed_ring_size(feed),
		.any = is_any(d),
	};
	int r = packetring_new(d->sock, &options, &d->packets);
	struct classic *first;

	if (r < 0)
		return pfs_diag_set(diag, -r, "cannot set up the packet socket of %s: %s", d->name,
				    strerror(-r));
	first = classic_new(d, pfs_feed_interests(feed));
	if (!first)
		return -ENOMEM;
	(void)classic_make(&first->making, diag);
	(void)classic_put(first, d); /* none is there as yet: all come */
	classic_free(&first->making);
	return 0;
}

/* What we do not want to see is not shown to us; an old kernel shows it and the filter drops it. */
static void ignore_outgoing(const struct dev *d)
{
	int on = 1;
	bool twice = !is_any(d) && d->device.loopback;

	if (d->directions == PFS_REC_IN || (twice && (d->directions & PFS_REC_IN)))
		setsockopt(d->sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
}

static void show_outgoing(const struct dev *d)
{
	int off = 0;

	setsockopt(d->sock, SOL_PACKET, PACKET_IGNORE_OUTGOING, &off, sizeof(off));
}

static int bind_socket(struct dev *d, struct pfs_diag *diag)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)d->device.ifindex,
	};
	struct packet_mreq promisc = {
		.mr_ifindex = (int)d->device.ifindex,
		.mr_type = PACKET_MR_PROMISC,
	};

	ignore_outgoing(d);
	if (d->promisc && !is_any(d) &&
	    setsockopt(d->sock, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof(promisc)) < 0)
		return pfs_diag_set(diag, errno, "cannot make %s promiscuous: %s (try promisc=off)",
				    d->name, strerror(errno));
	if (bind(d->sock, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != ENETDOWN)
		return pfs_diag_set(diag, errno, "cannot capture on %s: %s", d->name, strerror(errno));
	return 0;
}

static void detach(struct dev *d)
{
	if (d->sock >= 0)
		close(TAKE_FD(d->sock));
	packetring_free(TAKE_PTR(d->packets));
	bpfring_free(TAKE_PTR(d->bpfring));
	kcap_free(TAKE_PTR(d->kcap));
	free(TAKE_PTR(d->known));
	d->known_count = 0;
	d->feed = NULL;
}

static int make_origin(const struct dev *d, const struct device *device, uint16_t *ret_origin)
{
	struct pfs_origin origin = {
		.link_type = device->link_type,
		.snaplen = d->snaplen,
		.time_offset = d->clock,
		.ifindex = device->ifindex,
	};

	memcpy(origin.name, device->name, sizeof(device->name));
	return pfs_feed_origin(d->feed, &origin, ret_origin);
}

/* Of a single device, as it says from now on. */
static int name_origin(struct dev *d, uint32_t snaplen)
{
	uint32_t before = d->snaplen;
	uint16_t origin = 0;
	int r;

	d->snaplen = snaplen;
	r = make_origin(d, &d->device, &origin);
	if (r == 0)
		atomic_store(&d->origin, origin);
	else
		d->snaplen = before;
	return r;
}

static int start(struct dev *d, struct pfs_diag *diag)
{
	struct opening o = { .d = d, .diag = diag };
	int r;

	r = pfs_netns_call(d->netns, open_socket, &o, diag);
	if (r < 0)
		return r;
	d->down = !is_any(d) && !d->device.up;
	d->refused.text[0] = 0;
	if (attach_bpf(d, d->feed) < 0) {
		r = attach_ring(d, d->feed, diag);
		if (r < 0)
			return r;
	}
	/* Programs know the monotonic clock only; the packet socket stamps with the real one. */
	if (d->kcap)
		d->offset = pfs_clock_offset(d->offset);
	d->clock = d->kcap ? d->offset : 0;
	if (is_any(d)) {
		d->known = pfs_zalloc(DEVICES_MAX, sizeof(*d->known));
		r = d->known ? 0 : -ENOMEM;
	} else {
		r = name_origin(d, d->snaplen);
	}
	if (r == 0)
		r = bind_socket(d, diag);
	if (r == 0)
		pfs_feed_decides(d->feed, d->kcap && d->decides);
	/* Last, because what it gives to the graph is not ours to take back. */
	if (r == 0 && d->kcap) {
		r = bpfring_new(d->kcap, d->feed, pfs_feed_latency(d->feed), &d->bpfring);
		if (r < 0)
			pfs_diag_set(diag, -r, "cannot map the rings of %s: %s", d->name,
				     strerror(-r));
	}
	return r;
}

static int dev_start(void *state, struct pfs_feed *feed, struct pfs_diag *diag)
{
	struct dev *d = state;
	int r;

	pthread_mutex_lock(&d->lock);
	d->feed = feed;
	atomic_store(&d->vanished, false);
	r = start(d, diag);
	if (r < 0)
		detach(d);
	pthread_mutex_unlock(&d->lock);
	return r;
}

/* After it no program runs for the socket: the kernel waits for those that do. */
static void dev_detach(void *state)
{
	struct dev *d = state;

	pthread_mutex_lock(&d->lock);
	if (d->kcap && d->sock >= 0)
		close(TAKE_FD(d->sock));
	pthread_mutex_unlock(&d->lock);
}

static void dev_stop(void *state)
{
	struct dev *d = state;

	pthread_mutex_lock(&d->lock);
	detach(d);
	pthread_mutex_unlock(&d->lock);
}

static bool same_netns(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Records are never longer than the origin that they name says. */
static int retune(struct dev *d, const struct dev *new_, struct pfs_diag *diag)
{
	uint32_t before = d->snaplen;
	unsigned directions = d->directions;
	int r = 0;

	d->directions = new_->directions;
	show_outgoing(d);
	if (new_->snaplen > before)
		r = name_origin(d, new_->snaplen);
	if (r == 0)
		r = kcap_retune(d->kcap, new_->snaplen, new_->directions, diag);
	if (r < 0) {
		d->directions = directions;
		if (d->snaplen != before)
			(void)name_origin(d, before);
	} else if (new_->snaplen < before) {
		(void)name_origin(d, new_->snaplen); /* no number for it: it names the larger one */
		d->snaplen = new_->snaplen;
	}
	ignore_outgoing(d);
	return r;
}

static int dev_retune(void *state, const struct pfs_args *args, struct pfs_diag *diag)
{
	struct dev *d = state, new_ = { 0 };
	int r = parse(&new_, args, diag);

	if (r < 0)
		return r;
	pthread_mutex_lock(&d->lock);
	/* Of `any` each device has an origin that run() knows. */
	if (!d->kcap || !d->bpfring || is_any(d) || new_.promisc != d->promisc ||
	    new_.engine != d->engine || !same_netns(pfs_args_get(args, "netns"), d->netns))
		r = 1;
	else
		r = retune(d, &new_, diag);
	pthread_mutex_unlock(&d->lock);
	return r;
}

/* --- deciding ----------------------------------------------------------------------------------- */

static int dev_decide(void *state, const struct pfs_interests *interests,
		      struct pfs_making **ret_making, struct pfs_diag *diag)
{
	struct dev *d = state;
	struct kcap_making *m = NULL;
	struct classic *c = NULL;
	bool attached;

	(void)diag;
	pthread_mutex_lock(&d->lock);
	attached = d->kcap || d->packets;
	if (d->kcap)
		m = kcap_making_new(d->kcap, interests, link_type_of(d), d->engine);
	else if (d->packets)
		c = classic_new(d, interests);
	pthread_mutex_unlock(&d->lock);
	*ret_making = m ? &m->making : c ? &c->making : NULL;
	return attached && !*ret_making ? -ENOMEM : 0;
}

static int decided_kernel(struct dev *d, struct kcap_making *m, struct pfs_diag *diag)
{
	int r = d->kcap ? kcap_making_commit(m, d->kcap, diag) : -ESTALE;

	if (r == 0) {
		d->decides = m->decides;
		d->undecided = m->undecided;
		pfs_feed_decides(d->feed, d->decides);
	}
	return r;
}

static int dev_decided(void *state, struct pfs_making *making, struct pfs_diag *diag)
{
	struct dev *d = state;
	int r;

	pthread_mutex_lock(&d->lock);
	if (making->make != classic_make)
		r = decided_kernel(d, CONTAINER_OF(making, struct kcap_making, making), diag);
	else
		r = d->packets ? classic_put(CONTAINER_OF(making, struct classic, making), d)
			       : -ESTALE;
	pthread_mutex_unlock(&d->lock);
	return r;
}

static struct pfs_making *dev_rest(void *state)
{
	struct dev *d = state;
	struct pfs_making *making;

	pthread_mutex_lock(&d->lock);
	making = d->kcap ? ksort_rest(d->kcap) : NULL;
	pthread_mutex_unlock(&d->lock);
	return making;
}

static void dev_passed(void *state, unsigned number, struct pfs_tally *ret_tally)
{
	struct dev *d = state;

	pthread_mutex_lock(&d->lock);
	if (d->kcap)
		kcap_passed(d->kcap, number, ret_tally);
	pthread_mutex_unlock(&d->lock);
}

/* --- running ----------------------------------------------------------------------------------- */

/* `any`: the origin of a device that we see for the first time. */
static void learn(struct dev *d, uint32_t ifindex, struct known *known)
{
	struct device device;

	known->ifindex = ifindex;
	known->refused = device_find(d->sock, NULL, ifindex, &device) < 0 ||
			 make_origin(d, &device, &known->origin) < 0;
	/* No room for one more: the engine goes on deciding about its packets. */
	if (!known->refused && d->kcap && device.link_type == PFS_LINK_ETHERNET)
		(void)kcap_know(d->kcap, ifindex);
}

static int dev_origin(void *arg, const struct pfs_record *rec, uint16_t *ret_origin)
{
	struct dev *d = arg;
	uint32_t at = rec->ifindex * 0x9e3779b1u;

	if (!d->known) {
		*ret_origin = d->origin;
		return 0;
	}
	for (;; at++) {
		struct known *known = &d->known[at % DEVICES_MAX];

		if (!known->ifindex) {
			if (d->known_count >= DEVICES_MAX / 2)
				return -ENOSPC;
			d->known_count++;
			learn(d, rec->ifindex, known);
		}
		if (known->ifindex == rec->ifindex) {
			*ret_origin = known->origin;
			return known->refused ? -ENODEV : 0;
		}
	}
}

/* The socket reported an error, or it is time to look at a device that is down. False: it is gone. */
static bool dev_event(void *arg, uint32_t events)
{
	struct dev *d = arg;
	struct sockaddr_ll bound = { 0 };
	struct device device = { 0 };
	socklen_t size = sizeof(bound);
	int err = 0;
	socklen_t err_size = sizeof(err);

	(void)events;
	getsockopt(d->sock, SOL_SOCKET, SO_ERROR, &err, &err_size);
	if (is_any(d))
		return true;
	if (getsockname(d->sock, (struct sockaddr *)&bound, &size) < 0 || bound.sll_ifindex <= 0 ||
	    device_find(d->sock, NULL, d->device.ifindex, &device) == -ENODEV) {
		atomic_store(&d->vanished, true);
		return false;
	}
	d->down = !device.up;
	return true;
}

static uint64_t dev_timeout(void *arg)
{
	const struct dev *d = arg;

	return d->down ? DOWN_LOOK : UINT64_MAX;
}

static int dev_run(void *state, struct pfs_feed *feed)
{
	struct dev *d = state;
	struct bpfring_ops ops = {
		.origin = dev_origin,
		.event = dev_event,
		.timeout = dev_timeout,
		.fd = d->sock,
		.arg = d,
	};
	struct packetring_ops packet_ops = {
		.origin = dev_origin,
		.event = dev_event,
		.timeout = dev_timeout,
		.arg = d,
	};
	int r = d->kcap ? bpfring_run(d->bpfring, &ops)
			: packetring_run(d->packets, feed, &packet_ops);

	return r == 1 ? pfs_feed_eof(feed) : r;
}

/* --- numbers and text ------------------------------------------------------------------------------ */

static void dev_stats(void *state, struct pfs_buf *out)
{
	struct dev *d = state;

	pthread_mutex_lock(&d->lock);
	if (d->bpfring)
		bpfring_text(d->bpfring, out);
	if (d->packets)
		packetring_text(d->packets, out);
	if (atomic_load(&d->vanished))
		pfs_buf_str(out, "vanished 1\n");
	pthread_mutex_unlock(&d->lock);
}

static void print_classic(const struct dev *d, struct pfs_buf *out)
{
	pfs_buf_printf(out, "; no eBPF: %s\n; packet socket with a classic filter\n", d->refused.text);
	if (d->undecided.text[0])
		pfs_buf_printf(out, "; all packets come, and the filters run in the engine: %s\n",
			       d->undecided.text);
	else
		pfs_buf_str(out,
			    "; it lets through what anybody wants; the filters run in the engine\n");
	packetring_program(d->packets, out);
}

static void dev_program(void *state, struct pfs_buf *out)
{
	struct dev *d = state;

	pthread_mutex_lock(&d->lock);
	if (d->kcap && d->undecided.text[0])
		pfs_buf_printf(out, "; %s%s\n",
			       d->decides ? "" : "the filters run in the engine: ", d->undecided.text);
	if (d->kcap)
		kcode_print(&d->kcap->now.listing, out);
	else if (d->packets)
		print_classic(d, out);
	else
		pfs_buf_str(out, "; not attached: nobody reads\n");
	pthread_mutex_unlock(&d->lock);
}

static const struct pfs_param dev_params[] = {
	{ "snaplen", "bytes of each frame to keep, default 262144" },
	{ "promisc", "on or off, default on" },
	{ "direction", "in, out or inout, default inout" },
	{ "netns", "network namespace of the device" },
	{ "kernel", "on or off: whether filters run in the kernel where they can, default on" },
	{ NULL, NULL },
};

const struct pfs_source pfs_source_dev = {
	.name = "dev",
	.summary = "frames of a network device",
	.flags = PFS_SOURCE_DEVICES | PFS_SOURCE_LOSSY,
	.out = PFS_FLOW_PACKETS,
	.has_arg = true,
	.needs_arg = true,
	.params = dev_params,
	.state_size = sizeof(struct dev),
	.init = dev_init,
	.reconfigure = dev_reconfigure,
	.retune = dev_retune,
	.fini = dev_fini,
	.start = dev_start,
	.run = dev_run,
	.stop = dev_stop,
	.decide = dev_decide,
	.decided = dev_decided,
	.rest = dev_rest,
	.detach = dev_detach,
	.passed = dev_passed,
	.stats = dev_stats,
	.program = dev_program,
	.device = "network device",
	.device_exists = device_exists,
	.devices = device_list,
};
