/*
 * probe - what this kernel, and the rights of this process, allow the sources to do
 *
 * Each feature is tried for real (a program is loaded, a link made in a network namespace of its own) and taken
 * away again. Nothing that packets pass is touched. Takes some tens of milliseconds.
 *
 *	struct probe all[PROBE_COUNT];
 *
 *	probe_all(all);
 *	printf("%s: %s\n", all[PROBE_NETFILTER4].name, all[PROBE_NETFILTER4].sentence);
 */
#ifndef PFS_SOURCE_PROBE_H
#define PFS_SOURCE_PROBE_H

#include "base/base.h"

enum {
	PROBE_PACKET,	  /* packet sockets: dev/<iface> at all */
	PROBE_BPF,	  /* bpf(2): maps can be made */
	PROBE_SOCKET,	  /* socket filters that write BPF rings: dev/<iface> the fast way */
	PROBE_NETFILTER4, /* netfilter links: netfilter_* */
	PROBE_NETFILTER6,
	PROBE_JIT,   /* programs are compiled to machine code */
	PROBE_BTF,   /* type information of the kernel */
	PROBE_NETNS, /* netns=: entering network namespaces */
	PROBE_COUNT,
};

struct probe {
	const char *name; /* "packet-socket", "bpf" ... */
	bool ok;
	char sentence[256]; /* what was found; when not ok: what is lost, and what would help */
};

void probe_all(struct probe ret_probes[PROBE_COUNT]);

#endif
