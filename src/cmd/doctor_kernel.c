/*
 * doctor_kernel - checks: how packets can leave this kernel
 */
#include "cmd/doctor_i.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <sys/socket.h>
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

static void look_packet(struct finding *f)
{
	PFS_CLOSE int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd >= 0) {
		finding_set(f, VERDICT_YES, "can be opened");
		return;
	}
	finding_set(f, VERDICT_NO, "%s", strerror(errno));
	if (errno == EPERM || errno == EACCES)
		finding_remedy(f, "Mount as root, or with CAP_NET_RAW");
	else
		finding_remedy(f, "A kernel with CONFIG_PACKET (modprobe af_packet)");
}

static void look_jit(struct finding *f)
{
	long long jit = doctor_number("/proc/sys/net/core/bpf_jit_enable");

	if (jit > 0)
		finding_set(f, VERDICT_YES, "programs are compiled to machine code");
	else if (jit < 0)
		finding_set(f, VERDICT_PART, "net.core.bpf_jit_enable cannot be read here");
	else {
		finding_set(f, VERDICT_NO, "net.core.bpf_jit_enable is 0");
		finding_remedy(f, "As root: sysctl net.core.bpf_jit_enable=1");
	}
}

static void look_btf(struct finding *f)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK)) {
		finding_set(f, VERDICT_YES, "/sys/kernel/btf/vmlinux");
		return;
	}
	finding_set(f, VERDICT_NO, "/sys/kernel/btf/vmlinux: %s", strerror(errno));
	finding_remedy(f, "A kernel with CONFIG_DEBUG_INFO_BTF");
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
	{ "packet sockets", "dev/<iface> cannot be read.", false, look_packet },
	{ "BPF compiler", "Kernel programs are interpreted, several times slower.", false, look_jit },
	{ "BTF", "netfilter_* cannot be read: its programs need the kernel's own types.", false,
	  look_btf },
	{ "no lockdown", "BPF programs may not read packets.", false, look_lockdown },
	{ 0 },
};
