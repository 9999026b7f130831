/*
 * doctor_kernel - checks: how packets can leave this kernel
 */
#include "cmd/doctor_i.h"
#include "source/probe.h"

#include <stdio.h>
#include <sys/utsname.h>

static void look_version(struct finding *f)
{
	struct utsname name;

	if (uname(&name) < 0) {
		finding_set(f, VERDICT_PART, "%s", strerror(errno));
		return;
	}
	finding_set(f, doctor_kernel(6, 4) ? VERDICT_YES : VERDICT_PART, "Linux %s", name.release);
	if (f->verdict != VERDICT_YES)
		finding_remedy(f, "Linux 6.4 or later has BPF programs at netfilter's hooks");
}

/* All of them at once, when the first is asked for: they take tens of milliseconds. */
static void look_probe(struct finding *f, unsigned which)
{
	static struct probe probes[PROBE_COUNT];

	if (!probes[0].name)
		probe_all(probes);
	finding_set(f, probes[which].ok ? VERDICT_YES : VERDICT_NO, "%s", probes[which].sentence);
}

static void look_packet(struct finding *f)
{
	look_probe(f, PROBE_PACKET);
}

static void look_bpf(struct finding *f)
{
	look_probe(f, PROBE_BPF);
}

static void look_socket(struct finding *f)
{
	look_probe(f, PROBE_SOCKET);
}

static void look_netfilter4(struct finding *f)
{
	look_probe(f, PROBE_NETFILTER4);
}

static void look_netfilter6(struct finding *f)
{
	look_probe(f, PROBE_NETFILTER6);
}

static void look_jit(struct finding *f)
{
	look_probe(f, PROBE_JIT);
}

static void look_btf(struct finding *f)
{
	look_probe(f, PROBE_BTF);
}

static void look_netns(struct finding *f)
{
	look_probe(f, PROBE_NETNS);
}

/* "none [integrity] confidentiality": the word in brackets is in force. */
static void look_lockdown(struct finding *f)
{
	char line[128];
	int r = doctor_line("/sys/kernel/security/lockdown", line, sizeof(line));

	if (r < 0)
		finding_set(f, VERDICT_YES, "not in force, or not to be seen from here");
	else if (strstr(line, "[confidentiality]"))
		finding_set(f, VERDICT_NO, "%s", line);
	else
		finding_set(f, VERDICT_YES, "%s", line);
	if (f->verdict == VERDICT_NO)
		finding_remedy(f, "Boot without lockdown=confidentiality");
}

const struct check doctor_kernel_checks[] = {
	{ "kernel", "Some sources fall back or are missing; each line below says which.", false,
	  look_version },
	{ "packet sockets", NULL, false, look_packet },
	{ "BPF", NULL, false, look_bpf },
	{ "BPF on devices",
	  "dev/<iface> falls back to packet sockets with classic filters, which copy more.", false,
	  look_socket },
	{ "BPF at hooks", "netfilter_* show no IPv4.", false, look_netfilter4 },
	{ "BPF at hooks, v6", "netfilter_* show no IPv6.", false, look_netfilter6 },
	{ "BPF compiler", NULL, false, look_jit },
	{ "BTF", NULL, false, look_btf },
	{ "no lockdown", "BPF programs may not read packets.", false, look_lockdown },
	{ "entering netns", NULL, false, look_netns },
	{ 0 },
};
