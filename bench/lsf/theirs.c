/* libpcap's optimised code: its header and the kernel's have different things of one name. */
#include <pcap/pcap.h>
#include <string.h>

#include <pipesfs/pf.h>

int lsf_libpcap(const char *text, struct pf_insn *insns, size_t max);

int lsf_libpcap(const char *text, struct pf_insn *insns, size_t max)
{
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 262144);
	struct bpf_program program;
	int n = -1;

	if (pcap_compile(dead, &program, text, 1, 0) == 0) {
		if (program.bf_len <= max) {
			memcpy(insns, program.bf_insns, program.bf_len * sizeof(*insns));
			n = (int)program.bf_len;
		}
		pcap_freecode(&program);
	}
	pcap_close(dead);
	return n;
}
