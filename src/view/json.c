/*
 * json - the stream of a directory as JSON, one object a line
 *
 * Synopsis:   …/all.json
 *
 * For packets:
 *
 *	time        UTC, with nanoseconds: "2024-05-06T07:08:09.123456789Z"
 *	interface   its name, when there is one
 *	direction   "in" or "out", when it is known
 *	len caplen  bytes on the wire, bytes captured
 *	...         what the headers say: addresses, protocol, ports
 *	method host path, or status     when an HTTP/1.x message begins in it
 *
 * For byte streams and text: time, from (who sent it, of what sockets bring), len and data; bytes that are no
 * UTF-8 read as Latin-1. Of reassembled connections also interface and direction, src sport dst dport, stream
 * (the connection's number), side ("a" or "b"), offset (of the first byte in that side's stream, modulo 2^32),
 * and gap where that many bytes are missing. Filters that make messages say what is in them instead of data. What is
 * JSON already, the numbers of a counter, stays as it is.
 *
 * Example:    jq -r .host /p/netfilter_out/ip/http/get/all.json
 */
#include "graph/render.h"

struct json {
	struct pfs_render render;
	bool packets;
	bool json;
};

static int json_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct json *j = state;

	(void)args;
	(void)diag;
	j->packets = place->flow & PFS_FLOW_ANY_PACKET;
	j->render.describe = place->describe;
	j->json = place->flow & PFS_FLOW_JSON;
	return 0;
}

static int json_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	return json_init(state, NULL, place, diag);
}

static size_t json_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	struct json *j = state;

	(void)ret_wait;
	if (j->json) {
		n = pfs_min(n, out->room);
		pfs_emit_all(out, in, n);
		return n;
	}
	if (j->packets)
		return pfs_render_packets(&j->render, pkt_lines_json, in, n, out);
	return pfs_render_bytes(&j->render, pkt_lines_json_bytes, in, n, out);
}

static void json_fini(void *state)
{
	struct json *j = state;

	pfs_render_release(&j->render);
}

const struct pfs_filter pfs_filter_view_json = {
	.name = "json",
	.summary = "the stream as JSON, one object a line",
	.flags = PFS_FILTER_VIEW,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_TEXT,
	.state_size = sizeof(struct json),
	.ring_size = PFS_RENDER_RING,
	.init = json_init,
	.moved = json_moved,
	.pull = json_pull,
	.fini = json_fini,
};
