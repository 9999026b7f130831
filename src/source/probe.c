#include "source/probe.h"

#include <fcntl.h>
#include <linux/netfilter.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include "source/bpf.h"
#include "source/bpfcapture.h"

static const char *const names[PROBE_COUNT] = {
	[PROBE_PACKET] = "packet-socket",
	[PROBE_BPF] = "bpf",
	[PROBE_SOCKET] = "bpf-socket-filter",
	[PROBE_NETFILTER4] = "bpf-netfilter-ipv4",
	[PROBE_NETFILTER6] = "bpf-netfilter-ipv6",
	[PROBE_JIT] = "bpf-jit",
	[PROBE_BTF] = "btf",
	[PROBE_NETNS] = "netns",
};

static void say(struct probe *p, bool ok, const char *fmt, ...) PFS_PRINTF(3, 4);

static void say(struct probe *p, bool ok, const char *fmt, ...)
{
	va_list ap;

	p->ok = ok;
	va_start(ap, fmt);
	vsnprintf(p->sentence, sizeof(p->sentence), fmt, ap);
	va_end(ap);
}

static void probe_packet(struct probe *p)
{
	PFS_CLOSE int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (s >= 0)
		say(p, true, "devices can be captured");
	else if (errno == EPERM)
		say(p, false, "dev/<iface> and transmit need CAP_NET_RAW: run as root");
	else
		say(p, false, "no packet sockets (%s): CONFIG_PACKET", strerror(errno));
}

static void probe_bpf(struct probe *p)
{
	struct kbpf_map_spec spec = {
		.type = BPF_MAP_TYPE_RINGBUF,
		.entries = (uint32_t)sysconf(_SC_PAGESIZE),
		.inner = -1,
		.name = "pfs_probe",
	};
	int map = kbpf_map_new(&spec);

	if (map >= 0) {
		close(map);
		say(p, true, "BPF rings can be made");
	} else if (map == -EPERM) {
		say(p, false,
		    "eBPF needs CAP_BPF and CAP_NET_ADMIN: run as root; devices are "
		    "captured the slower way without");
	} else {
		say(p, false, "no BPF rings (%s): Linux 5.8, CONFIG_BPF_SYSCALL", strerror(-map));
	}
}

/* A whole capture, made and not attached. NULL and a sentence when it is refused. */
static struct kcap *try_capture(enum kcap_kind kind, struct probe *p)
{
	struct kcap_spec spec = {
		.kind = kind,
		.snaplen = KCAP_SNAPLEN,
		.directions = PFS_REC_IN | PFS_REC_OUT,
	};
	struct pfs_diag diag = { 0 };
	struct kcap *kcap = NULL;
	int r = kcap_new(&spec, &kcap, &diag);

	if (r < 0)
		say(p, false, "%s", diag.text[0] ? diag.text : strerror(-r));
	return kcap;
}

static void probe_socket(struct probe *p)
{
	struct kcap *kcap = try_capture(KCAP_PACKET, p);
	PFS_CLOSE int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	/* Not bound and of protocol 0: nothing passes it. */
	if (kcap && s >= 0 && setsockopt(s, SOL_SOCKET, SO_ATTACH_BPF, &kcap->stub, sizeof(int)) < 0)
		say(p, false, "packet sockets take no eBPF program: %s", strerror(errno));
	else if (kcap)
		say(p, true, "frames are copied once, by a program in the kernel");
	kcap_free(kcap);
}

struct linking {
	const struct kcap *kcap;
	struct probe *four, *six;
};

static void try_link(const struct kcap *kcap, unsigned family, struct probe *p)
{
	int link = kbpf_link_netfilter(kcap->stub, family, NF_INET_LOCAL_IN, -310);

	if (link >= 0) {
		close(link);
		say(p, true, "programs can be linked to the hooks");
	} else {
		say(p, false,
		    "netfilter hooks take no program (%s): Linux 6.4, "
		    "CONFIG_NETFILTER_BPF_LINK; use dev/<iface>",
		    strerror(-link));
	}
}

/* On a thread that ends here: in an empty namespace nothing can be in the way, and nothing passes. */
static void *link_apart(void *arg)
{
	struct linking *l = arg;

	if (unshare(CLONE_NEWNET) < 0) {
		say(l->four, true, "programs can be loaded; linking them was not tried");
		say(l->six, true, "programs can be loaded; linking them was not tried");
		return NULL;
	}
	try_link(l->kcap, NFPROTO_IPV4, l->four);
	try_link(l->kcap, NFPROTO_IPV6, l->six);
	return NULL;
}

static void probe_netfilter(struct probe *four, struct probe *six)
{
	struct linking l = { .four = four, .six = six };
	struct kcap *kcap = try_capture(KCAP_NETFILTER, four);
	pthread_t thread;

	l.kcap = kcap;
	if (!kcap)
		say(six, false, "%s", four->sentence);
	else if (pthread_create(&thread, NULL, link_apart, &l) == 0)
		pthread_join(thread, NULL);
	kcap_free(kcap);
}

static void probe_jit(struct probe *p)
{
	FILE *f = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int on = -1;

	if (!f || fscanf(f, "%d", &on) != 1)
		on = -1;
	if (f)
		fclose(f);
	if (on > 0)
		say(p, true, "programs are compiled to machine code");
	else if (on == 0)
		say(p, false, "programs are interpreted: sysctl net.core.bpf_jit_enable=1");
	else
		say(p, true, "net.core.bpf_jit_enable cannot be read here");
}

static void probe_btf(struct probe *p)
{
	struct kbtf kbtf;

	if (kbtf_read(&kbtf) == 0)
		say(p, true, "the kernel's types are known");
	else
		say(p, false,
		    "no /sys/kernel/btf/vmlinux (CONFIG_DEBUG_INFO_BTF): no netfilter_*, "
		    "and unfilled checksums are not marked");
}

static void *enter_own(void *arg)
{
	struct probe *p = arg;
	PFS_CLOSE int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	if (ns >= 0 && setns(ns, CLONE_NEWNET) == 0)
		say(p, true, "network namespaces can be entered");
	else
		say(p, false, "netns= needs CAP_SYS_ADMIN (%s)", strerror(errno));
	return NULL;
}

static void probe_netns(struct probe *p)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, enter_own, p) == 0)
		pthread_join(thread, NULL);
}

void probe_all(struct probe ret_probes[PROBE_COUNT])
{
	for (int i = 0; i < PROBE_COUNT; i++)
		ret_probes[i] = (struct probe){ .name = names[i] };
	probe_packet(&ret_probes[PROBE_PACKET]);
	probe_bpf(&ret_probes[PROBE_BPF]);
	probe_socket(&ret_probes[PROBE_SOCKET]);
	probe_netfilter(&ret_probes[PROBE_NETFILTER4], &ret_probes[PROBE_NETFILTER6]);
	probe_jit(&ret_probes[PROBE_JIT]);
	probe_btf(&ret_probes[PROBE_BTF]);
	probe_netns(&ret_probes[PROBE_NETNS]);
}
