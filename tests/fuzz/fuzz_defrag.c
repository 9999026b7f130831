/*
 * fuzz_defrag - any packets as fragments
 *
 * Pieces of the input, each behind two bytes of length, are IP packets. What is put together is a packet that is no
 * fragment, with right lengths; memory stays within its limit and is given back.
 */
#include "base/bytes.h"
#include "packet/defrag.h"
#include "packet/dissect.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

static void whole(struct defrag *d, struct defrag_datagram *g)
{
	size_t n = defrag_size(g);
	PFS_FREE uint8_t *p = malloc(n);
	struct defrag_fragment fragment;
	struct pfs_ref layers = { 0 };

	CHECK(p && n >= 20);
	defrag_write(g, p);
	defrag_free(d, g);
	pkt_dissect(p, n, PFS_LINK_RAW, &layers);
	CHECK(layers.ethertype == 0x0800 || layers.ethertype == 0x86dd);
	if (layers.ethertype == 0x0800) {
		CHECK(be16_load(p + 2) == n);
		CHECK(defrag_look(p, n, &layers, &fragment) == DEFRAG_WHOLE);
	} else {
		CHECK(be16_load(p + 4) + 40u == n);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct defrag_options options = { .memory = DEFRAG_MEMORY_MIN, .timeout = 1000 };
	struct defrag d;
	uint64_t time = 0;

	CHECK(defrag_init(&d, &options) == 0);
	while (size >= 2) {
		size_t n = pfs_min(be16_load(data) & 0x7ff, size - 2);
		PFS_FREE uint8_t *p = malloc(n ? n : 1);
		struct defrag_fragment fragment;
		struct pfs_ref layers = { 0 };
		struct defrag_datagram *g = NULL;

		CHECK(p);
		memcpy(p, data + 2, n);
		time += data[0] >> 3;
		pkt_dissect(p, n, PFS_LINK_RAW, &layers);
		if (defrag_look(p, n, &layers, &fragment) == DEFRAG_FRAGMENT)
			g = defrag_add(&d, p, &fragment, 0, -1, time);
		if (g)
			whole(&d, g);
		CHECK(d.memory <= options.memory);
		data += 2 + n;
		size -= 2 + n;
	}
	defrag_flush(&d);
	CHECK(d.memory == 0 && d.waiting == 0);
	defrag_release(&d);
	return 0;
}
