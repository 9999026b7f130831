/*
 * netfilter_pre - packets that arrive, before routing (IPv4 and IPv6)
 *
 * Synopsis:   netfilter_pre
 * Parameters: snaplen  bytes of each packet to keep (default 262144)
 *             netns    network namespace of the hook, as ip-netns(8) names it
 *             prio     priority in the hook (default -310); the nearest free one is taken
 * Classes:    none
 * Needs:      CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; Linux 6.4 with CONFIG_NETFILTER_BPF_LINK
 *
 * Packets start at their IP header. What a firewall drops later is among them.
 *
 * How: source/nfhook.c links a small program to the hook for each of IPv4 and IPv6, while somebody consumes.
 */
#include "source/nfhook.h"

const struct pfs_source pfs_source_netfilter_pre =
	NFHOOK_SOURCE("netfilter_pre", "packets that arrive, before routing (IPv4 and IPv6)");
