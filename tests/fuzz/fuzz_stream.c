/*
 * fuzz_stream - any segments, in any order, of a few connections
 *
 * Nine bytes say what a segment is: connection, side, flags, where it stands, what it acknowledges, how long it is, how
 * much of it was captured, how much later it came. Offsets of a stream go on where the last event ended, nothing comes
 * behind an end, memory stays within its limits and is given back.
 */
#include "base/bytes.h"
#include "packet/tcpstream.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

#define STREAMS 4096u

struct run {
	struct tcps tcp;
	uint32_t streams;
	uint64_t next[STREAMS][2];
	bool ended[STREAMS][2];
};

static void take(struct run *run, const struct tcps_event *ev)
{
	uint32_t id;

	if (ev->conn->stream == 0)
		ev->conn->stream = ++run->streams;
	id = ev->conn->stream % STREAMS;
	CHECK(!run->ended[id][ev->side] || run->streams >= STREAMS);
	if (ev->kind == TCPS_END) {
		run->ended[id][ev->side] = true;
		return;
	}
	CHECK(ev->len > 0);
	CHECK(ev->offset == run->next[id][ev->side] || run->streams >= STREAMS);
	run->next[id][ev->side] = ev->offset + ev->len;
}

static void events(struct run *run)
{
	struct tcps_event ev;

	for (; tcps_peek(&run->tcp, &ev); tcps_pop(&run->tcp)) {
		uint8_t sum = 0;

		for (uint32_t i = 0; ev.kind == TCPS_HELD && i < ev.len; i++)
			sum ^= ev.data[i];
		for (uint32_t i = 0; i < ev.head_len; i++)
			sum ^= ev.head[i];
		__asm__ volatile("" : : "r"(sum));
		take(run, &ev);
	}
}

static void segment(struct run *run, const uint8_t *in, uint64_t *time)
{
	static const uint8_t addr[2][4] = { { 10, 0, 0, 1 }, { 10, 0, 0, 2 } };
	unsigned side = in[0] & 1;
	uint16_t ports[2] = { (uint16_t)(in[0] >> 1 & 3), 80 };
	uint32_t full = in[5] * (in[8] & 1 ? 100u : 1u), len = in[6] < 200 ? full : full / 2;
	PFS_FREE uint8_t *data = malloc(len ? len : 1);
	struct tcps_segment s = {
		.seq = 0xfffff000u + (uint32_t)be16_load(in + 2) * (in[8] & 2 ? 100000u : 1u),
		.ack = 0xfffff000u + in[4] * 16u,
		.flags = in[1],
		.hold = in[8] & 4,
		.data = data,
		.len = len,
		.full_len = full,
		.head = (const uint8_t *)"headers",
		.head_len = 7,
		.time = *time += (uint64_t)in[7] * (in[8] & 8 ? UINT64_C(10000000000) : 1000),
	};
	struct tcps_event ev;

	CHECK(data);
	memset(data, in[5], len);
	s.from = tcps_key(addr[side], addr[!side], false, ports[side], ports[!side], &s.key);
	tcps_input(&run->tcp, &s, &ev);
	if (ev.kind == TCPS_HERE) {
		CHECK(ev.from <= len && ev.len <= len - ev.from);
		take(run, &ev);
	}
	events(run);
	CHECK(run->tcp.counts.held <= run->tcp.options.memory);
	CHECK(run->tcp.counts.connections <= run->tcp.options.connections);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tcps_options options = { .connections = 3,
						     .half = 60000,
						     .memory = 100000,
						     .idle = UINT64_C(600000000000),
						     .gap = UINT64_C(30000000000) };
	struct run *run = pfs_zalloc(1, sizeof(*run));
	uint64_t time = 1;

	CHECK(run && tcps_init(&run->tcp, &options) == 0);
	for (; size >= 9; size -= 9, data += 9)
		segment(run, data, &time);
	tcps_flush(&run->tcp);
	events(run);
	CHECK(run->tcp.counts.held == 0 && run->tcp.counts.connections == 0);
	tcps_release(&run->tcp);
	free(run);
	return 0;
}
