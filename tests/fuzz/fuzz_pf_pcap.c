/*
 * fuzz_pf_pcap - any text as an expression, for any link type
 *
 * The first two bytes are the link type. The verdict over a packet is that of libpcap's interpreter
 * over libpcap's code.
 */
#include <pcap/pcap.h>

#include "base/base.h"
#include "pf/front/pcap.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_packet packet = { .data = data, .caplen = (uint32_t)size, .len = (uint32_t)size };
	PFS_FREE struct pf_insn *insns = NULL;
	PFS_FREE char *text = NULL;
	struct pf_error error = { "" };
	struct pf_prog *prog = NULL;
	size_t n;

	if (size < 2 || size > 2000)
		return 0;
	options.link_type = (uint16_t)(data[0] | data[1] << 8);
	text = strndup((const char *)data + 2, size - 2);
	if (pf_compile("pcap", text, strlen(text), &options, &prog, &error) < 0) {
		CHECK(error.text[0]);
		return 0;
	}
	CHECK(pf_pcap_parse(text, &options, &insns, &n, &error) == 0);
	for (size_t i = 0; i < n; i++) {
		/* Loads of what is beside the bytes reject in both, but libpcap goes on to look at k. */
		if (BPF_CLASS(insns[i].code) == BPF_LD && insns[i].k >= 0xfffff000u)
			n = 0;
	}
	if (n)
		CHECK(pf_run(prog, &packet) == bpf_filter((const struct bpf_insn *)insns,
							  packet.data, packet.len, packet.caplen));
	pf_unref(prog);
	return 0;
}
