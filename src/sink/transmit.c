/*
 * transmit - send the frames out of a network device
 *
 * Synopsis:   …/transmit[:IFACE][,speed=max|Nx|Npps][,netns=NAME]
 * Parameters: speed  max: as fast as the device takes them (default); 1x, 2x, 0.5x: as they were spaced when they
 *                    were captured, faster or slower by that factor; 1000pps: so many a second
 *             netns  network namespace of the device, as ip-netns(8) names it
 * Stats:      sent (frames), device
 * Classes:    none
 * Needs:      CAP_NET_RAW; the maker of the directory must be root, or the user that runs pipesfs
 * Example:    mkdir -p /p/accept/unpcap/transmit:eth0; cat trace.pcap > /p/accept/all
 *
 * A sink: consumes by itself, as long as the directory exists. Without IFACE the device of the default route is
 * taken, when the directory is made. Frames go out byte for byte as they are, with their own addresses; they pass
 * the device's queueing discipline and are seen by other captures on it. Nothing is cut, padded or repaired, so
 * frames that were captured before the adapter cut them up (offloads) do not fit: lost, "too long".
 *
 * Lost are also: frames of another link type than the device's ("link type"; a device without a link header, such
 * as tun, takes packets that start at the IP header), frames that the device refuses ("refused"), and all while it
 * is down ("network is down") or gone ("no such device"). When its queue is full the sink waits.
 *
 * With 1x, frames leave when the time since the first of their trace has passed, to about a millisecond.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/netns.h"
#include "graph/filter.h"

#ifndef ARPHRD_NONE
#define ARPHRD_NONE 0xfffe
#endif
#ifndef ARPHRD_RAWIP
#define ARPHRD_RAWIP 519
#endif

#define RETRY UINT64_C(1000000) /* ns until a full queue is tried again */
#define SPEED_MAX 1e9

enum { LINK_IPV4 = 228, LINK_IPV6 = 229 };
enum pace { PACE_MAX, PACE_TIMES, PACE_RATE };

struct transmit {
	int sock; /* owned */
	char device[IFNAMSIZ];
	bool raw; /* the device has no link header */
	enum pace pace;
	double speed; /* TIMES: factor; RATE: frames a second */

	/* The worker's. */
	bool begun;	     /* of this trace a frame was sent */
	uint64_t first_time; /* TIMES: of the first frame, as captured */
	uint64_t first_sent; /* mono ns */
	uint64_t count;	     /* RATE: sent since first_sent */
	struct mmsghdr msgs[PFS_BATCH];
	struct iovec iov[PFS_BATCH];
	struct sockaddr_ll to[2]; /* RAW: IPv4, IPv6 */
	pfs_counter sent;	  /* writer: the worker */
};

/* --- parameters --------------------------------------------------------------------------------- */

static int parse_speed(struct transmit *t, const char *text, struct pfs_diag *diag)
{
	char *end;
	double n;

	t->pace = PACE_MAX;
	t->begun = false;
	if (!text || strcmp(text, "max") == 0)
		return 0;
	n = strtod(text, &end);
	if (end != text && (*end == 'k' || *end == 'M') && strcmp(end + 1, "pps") == 0)
		n *= *end++ == 'k' ? 1e3 : 1e6;
	if (end != text && strcmp(end, "x") == 0)
		t->pace = PACE_TIMES;
	else if (end != text && strcmp(end, "pps") == 0)
		t->pace = PACE_RATE;
	if (t->pace == PACE_MAX || !(n >= 1e-6 && n <= SPEED_MAX))
		return pfs_diag_set(
			diag, EINVAL,
			"speed=%.40s: it is max, a factor such as 1x, or a rate such as 1000pps",
			text);
	t->speed = n;
	return 0;
}

/* The device with the best default route of a table in /proc. False: there is none. */
static bool default_of(const char *path, bool six, char *ret_device)
{
	FILE *f = fopen(path, "re");
	unsigned best = 0;
	bool found = false;
	char line[512], device[IFNAMSIZ], to[40], length[16];
	unsigned flags, metric;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		int n = six ? sscanf(line, "%39s %15s %*s %*s %*s %x %*s %*s %x %15s", to, length,
				     &metric, &flags, device)
			    : sscanf(line, "%15s %39s %*s %x %*s %*s %u %15s", device, to, &flags,
				     &metric, length);

		/* 1: RTF_UP, 0x200: RTF_REJECT; a destination and a mask of zeros only. */
		if (n != 5 || !(flags & 1) || (flags & 0x200) || to[strspn(to, "0")] ||
		    length[strspn(length, "0")] || strcmp(device, "lo") == 0)
			continue;
		if (!found || metric < best) {
			memcpy(ret_device, device, IFNAMSIZ);
			best = metric;
			found = true;
		}
	}
	fclose(f);
	return found;
}

struct opening {
	struct transmit *t;
	struct pfs_diag *diag;
};

static int find_device(struct transmit *t, struct ifreq *ifr, struct pfs_diag *diag)
{
	if (!t->device[0] && !default_of("/proc/thread-self/net/route", false, t->device) &&
	    !default_of("/proc/thread-self/net/ipv6_route", true, t->device))
		return pfs_diag_set(diag, ENODEV,
				    "there is no default route: say which device, transmit:IFACE");
	memcpy(ifr->ifr_name, t->device, IFNAMSIZ);
	if (ioctl(t->sock, SIOCGIFHWADDR, ifr) < 0)
		return pfs_diag_set(diag, ENODEV, "there is no device %s", t->device);
	t->raw = ifr->ifr_hwaddr.sa_family == ARPHRD_NONE ||
		 ifr->ifr_hwaddr.sa_family == ARPHRD_RAWIP ||
		 ifr->ifr_hwaddr.sa_family == ARPHRD_TUNNEL ||
		 ifr->ifr_hwaddr.sa_family == ARPHRD_PPP;
	if (!t->raw && ifr->ifr_hwaddr.sa_family != ARPHRD_ETHER &&
	    ifr->ifr_hwaddr.sa_family != ARPHRD_LOOPBACK)
		return pfs_diag_set(diag, EOPNOTSUPP, "%s is no Ethernet device (ARPHRD %d)",
				    t->device, ifr->ifr_hwaddr.sa_family);
	if (ioctl(t->sock, SIOCGIFINDEX, ifr) < 0)
		return pfs_diag_set(diag, ENODEV, "there is no device %s", t->device);
	return 0;
}

/* In the namespace of the device. */
static int open_socket(void *arg)
{
	struct opening *o = arg;
	struct transmit *t = o->t;
	struct ifreq ifr = { 0 };
	int r;

	/* Protocol 0: it receives nothing. */
	t->sock = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->sock < 0 && errno == EPERM)
		return pfs_diag_set(o->diag, EPERM,
				    "sending frames needs CAP_NET_RAW: run pipesfs as root");
	if (t->sock < 0)
		return pfs_diag_set(o->diag, errno, "no packet socket: %s", strerror(errno));
	r = find_device(t, &ifr, o->diag);
	if (r < 0)
		return r;
	for (int i = 0; i < 2; i++)
		t->to[i] = (struct sockaddr_ll){
			.sll_family = AF_PACKET,
			.sll_protocol = htons(i ? ETH_P_IPV6 : ETH_P_IP),
			.sll_ifindex = ifr.ifr_ifindex,
		};
	if (bind(t->sock,
		 (struct sockaddr *)&(struct sockaddr_ll){
			 .sll_family = AF_PACKET,
			 .sll_ifindex = ifr.ifr_ifindex,
		 },
		 sizeof(struct sockaddr_ll)) < 0)
		return pfs_diag_set(o->diag, errno, "cannot send on %s: %s", t->device,
				    strerror(errno));
	return 0;
}

static void transmit_fini(void *state)
{
	struct transmit *t = state;

	if (t->sock >= 0)
		close(TAKE_FD(t->sock));
}

static int transmit_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
			 struct pfs_diag *diag)
{
	struct transmit *t = state;
	struct opening o = { .t = t, .diag = diag };
	size_t len = args->arg ? strlen(args->arg) : 0;
	int r;

	t->sock = -1;
	/* Frames leave with our right to send, on the word of whoever made the directory. */
	if (place->uid != 0 && place->uid != geteuid())
		return pfs_diag_set(diag, EPERM,
				    "only root and the user that runs pipesfs may send frames");
	if (len >= IFNAMSIZ)
		return pfs_diag_set(diag, ENODEV, "%.60s is not the name of a device", args->arg);
	if (len)
		memcpy(t->device, args->arg, len);
	r = parse_speed(t, pfs_args_get(args, "speed"), diag);
	if (r == 0)
		r = pfs_netns_call(pfs_args_get(args, "netns"), open_socket, &o, diag);
	if (r == 0 && place->flow == PFS_FLOW_IP && !t->raw)
		r = pfs_diag_set(diag, EINVAL,
				 "packets have no link header here and %s sends frames", t->device);
	if (r < 0)
		transmit_fini(t);
	return r;
}

static int transmit_reconfigure(void *state, const struct pfs_args *args,
				const struct pfs_place *place, struct pfs_diag *diag)
{
	struct transmit *t = state, parsed = { 0 };
	int r = parse_speed(&parsed, pfs_args_get(args, "speed"), diag);

	(void)place;
	if (r < 0)
		return r;
	t->pace = parsed.pace;
	t->speed = parsed.speed;
	t->begun = false;
	return 0;
}

static int transmit_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	const struct transmit *t = state;

	if (place->flow != PFS_FLOW_IP || t->raw)
		return 0;
	return pfs_diag_set(diag, EINVAL, "packets have no link header there and %s sends frames",
			    t->device);
}

/* --- pace --------------------------------------------------------------------------------------------- */

/* When a frame is due, mono ns. */
static uint64_t due(struct transmit *t, const struct pfs_emitter *out, const struct pfs_ref *ref,
		    uint64_t now)
{
	struct pfs_meta meta;

	if (t->pace == PACE_RATE) {
		if (!t->begun)
			t->first_sent = now;
		t->begun = true;
		return t->first_sent + (uint64_t)((double)t->count * 1e9 / t->speed);
	}
	pfs_meta(out, ref, &meta);
	if (!t->begun) {
		t->first_sent = now;
		t->first_time = meta.time;
	}
	t->begun = true;
	if (meta.time <= t->first_time)
		return now;
	return t->first_sent + (uint64_t)((double)(meta.time - t->first_time) / t->speed);
}

/* How many of the n frames are due now; if none, *ret_wait is how long until the first is. */
static size_t due_now(struct transmit *t, const struct pfs_emitter *out, const struct pfs_ref *in,
		      size_t n, uint64_t *ret_wait)
{
	uint64_t now, when = 0;
	size_t i;

	if (t->pace == PACE_MAX)
		return n;
	now = pfs_clock_mono();
	for (i = 0; i < n; i++, t->count++) {
		when = due(t, out, &in[i], now);
		if (when > now)
			break;
	}
	t->count -= i;
	*ret_wait = i ? 0 : when - now;
	return i;
}

/* --- sending -------------------------------------------------------------------------------------------- */

/* Can the device send frames of that link type? */
static bool fits(const struct transmit *t, uint16_t link_type)
{
	if (!t->raw)
		return link_type == PFS_LINK_ETHERNET;
	return link_type == PFS_LINK_RAW || link_type == LINK_IPV4 || link_type == LINK_IPV6;
}

/* Prepares the frames before the first that does not fit; returns how many. */
static size_t prepare(struct transmit *t, const struct pfs_emitter *out, const struct pfs_ref *in,
		      size_t n)
{
	size_t i;

	for (i = 0; i < n && fits(t, pfs_link_type(out, &in[i])); i++) {
		const uint8_t *p = pfs_bytes(out, &in[i]);
		bool six = t->raw && in[i].len > 0 && p[0] >> 4 == 6;

		t->iov[i] = (struct iovec){ (void *)(uintptr_t)p, in[i].len };
		t->msgs[i].msg_hdr = (struct msghdr){
			.msg_name = t->raw ? &t->to[six] : NULL,
			.msg_namelen = t->raw ? sizeof(t->to[six]) : 0,
			.msg_iov = &t->iov[i],
			.msg_iovlen = 1,
		};
	}
	return i;
}

static const char *reason_of(int error)
{
	switch (error) {
	case EMSGSIZE:
		return "too long";
	case ENETDOWN:
		return "network is down";
	case ENXIO:
	case ENODEV:
		return "no such device";
	default:
		return "refused";
	}
}

/*
 * Sends what the device takes of n frames. Returns how many are done with, sent or lost; fewer when it has no
 * room: then *ret_wait says for how long.
 */
static size_t send_frames(struct transmit *t, size_t n, struct pfs_emitter *out, uint64_t *ret_wait)
{
	size_t done = 0;

	while (done < n) {
		int r = sendmmsg(t->sock, t->msgs + done, (unsigned)(n - done), 0);

		if (r > 0) {
			done += (size_t)r;
			pfs_counter_add(&t->sent, (uint64_t)r);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			*ret_wait = UINT64_MAX; /* until the socket polls writable */
			break;
		} else if (errno == ENOBUFS || errno == ENOMEM) {
			*ret_wait = RETRY;
			break;
		} else if (errno != EINTR) {
			pfs_emit_lost(out, reason_of(errno), 1);
			done++;
		}
	}
	return done;
}

static size_t transmit_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			    uint64_t *ret_wait)
{
	struct transmit *t = state;
	size_t done = 0, ready, some;

	while (done < n) {
		size_t sent;

		ready = due_now(t, out, in + done, n - done, ret_wait);
		if (ready == 0)
			break;
		some = prepare(t, out, in + done, ready);
		if (some == 0) {
			pfs_emit_lost(out, "link type", 1);
			done++;
			continue;
		}
		sent = send_frames(t, some, out, ret_wait);
		done += sent;
		t->count += sent;
		if (sent < some)
			break;
	}
	return done;
}

/* Another trace begins: its first frame goes at once. */
static bool transmit_control(void *state, const struct pfs_ref *ref, const struct pfs_meta *meta,
			     struct pfs_emitter *out)
{
	struct transmit *t = state;

	(void)ref;
	(void)meta;
	(void)out;
	t->begun = false;
	t->count = 0;
	return true;
}

static int transmit_ready_fd(void *state)
{
	return ((struct transmit *)state)->sock;
}

static void transmit_stats(void *state, struct pfs_buf *out)
{
	struct transmit *t = state;

	pfs_buf_printf(out, "sent %llu\ndevice %s\n", (unsigned long long)pfs_counter_get(&t->sent),
		       t->device);
}

static const struct pfs_param transmit_params[] = {
	{ "speed", "max, a factor such as 1x, or a rate such as 1000pps; default max" },
	{ "netns", "network namespace of the device" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_transmit = {
	.name = "transmit",
	.summary = "send frames out of a device",
	.flags = PFS_FILTER_SINK,
	.in = PFS_FLOW_ANY_PACKET,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.params = transmit_params,
	.state_size = sizeof(struct transmit),
	.init = transmit_init,
	.reconfigure = transmit_reconfigure,
	.moved = transmit_moved,
	.fini = transmit_fini,
	.pull = transmit_pull,
	.control = transmit_control,
	.ready_fd = transmit_ready_fd,
	.stats = transmit_stats,
};
