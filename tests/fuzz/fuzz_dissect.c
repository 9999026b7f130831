/*
 * fuzz_dissect - any bytes as a packet of any link type
 *
 * The first two bytes are the link type, the third says how much of the packet is left when its layers are used again.
 * Text must be printable ASCII, JSON must have no control character and as many quotes as it should.
 */
#include "base/bytes.h"
#include "packet/dissect.h"
#include "packet/dns.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

static void check_json(const struct pfs_buf *buf)
{
	bool inside = false;

	CHECK(buf->len > 0 && !buf->failed);
	for (size_t i = 0; i < buf->len; i++) {
		unsigned char c = (unsigned char)buf->data[i];

		CHECK(c >= 0x20 && c != 0x7f);
		if (c == '\\') {
			CHECK(inside && ++i < buf->len);
			continue;
		}
		if (c == '"')
			inside = !inside;
		CHECK(inside || strchr("\":,[]0123456789", c));
	}
	CHECK(!inside && buf->data[buf->len - 1] != ',');
}

/* Everything that takes a packet and its layers. */
static void use(const uint8_t *bytes, size_t n, uint16_t link_type, const struct pfs_ref *layers)
{
	PFS_FREE uint8_t *p = malloc(n ? n : 1);
	PFS_BUF struct pfs_buf summary = { 0 };
	PFS_BUF struct pfs_buf json = { 0 };
	uint16_t src, dst;
	size_t off, len;

	CHECK(p);
	memcpy(p, bytes, n);
	pkt_ports(p, n, layers, &src, &dst);
	if (pkt_payload(p, n, layers, &off, &len))
		CHECK(off <= n && len <= n - off);
	pkt_summary(p, n, link_type, layers, &summary);
	CHECK(summary.len > 0);
	for (size_t i = 0; i < summary.len; i++)
		CHECK(summary.data[i] >= 0x20 && summary.data[i] < 0x7f);
	pkt_json(p, n, link_type, layers, &json);
	check_json(&json);
}

static void use_heads(const uint8_t *bytes, size_t n)
{
	PFS_FREE uint8_t *p = malloc(n ? n : 1);
	struct pkt_http_head head;
	struct pkt_dns dns;

	CHECK(p);
	memcpy(p, bytes, n);
	pkt_http(p, n, &head);
	CHECK(!head.complete || head.head_len <= n);
	CHECK(!head.host || (head.host >= p && head.host + head.host_len <= p + n));
	CHECK(!head.path || (head.path >= p && head.path + head.path_len <= p + n));
	if (pkt_dns(p, n, &dns))
		CHECK(dns.name_len < sizeof(dns.name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pfs_ref layers = { 0 };
	uint16_t link_type;
	uint8_t narrow;

	if (size < 3)
		return 0;
	link_type = le16_load(data);
	narrow = data[2];
	data += 3;
	size -= 3;
	use(data, size, link_type, &layers); /* not dissected yet */
	pkt_dissect(data, size, link_type, &layers);
	CHECK(layers.ethertype != 0);
	CHECK(layers.l3 == PFS_LAYER_NONE || layers.l3 <= size);
	CHECK(layers.l4 == PFS_LAYER_NONE || (layers.l3 <= layers.l4 && layers.l4 <= size));
	CHECK(pkt_vlan(data, size, link_type) < 4096);
	use(data, size, link_type, &layers);
	use(data, size * narrow / 255, link_type, &layers);
	use_heads(data, size);
	return 0;
}
