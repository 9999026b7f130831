#include "packet/field.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "base/bytes.h"
#include "packet/brief_i.h"
#include "packet/ether_i.h"

/* What two of a packet are: the first, the second, both. */
enum side { SOURCE = 1, DESTINATION = 2, BOTH = 3 };

static bool same(const struct pkt_key *a, const struct pkt_key *b, size_t words)
{
	return memcmp(a->word, b->word, words * sizeof(a->word[0])) == 0;
}

static bool is_ip(const struct pfs_ref *layers)
{
	return layers->ethertype == ETHER_IP || layers->ethertype == ETHER_IP6;
}

static bool is_layer(uint16_t at, size_t n)
{
	return at != PFS_LAYER_NONE && at <= n;
}

/* Decimal digits, up to max. */
static bool parse_number(const char *text, uint32_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
		if (value > max)
			return false;
	}
	*ret_value = value;
	return true;
}

static void number_text(const struct pkt_key *key, bool brief, char ret_text[PKT_FIELD_NAME_SIZE])
{
	(void)brief;
	snprintf(ret_text, PKT_FIELD_NAME_SIZE, "%llu", (unsigned long long)key->word[0]);
}

/* --- ports --------------------------------------------------------------------------------------- */

/* Why are there no ports? */
static int unfit_ports(const uint8_t *p, size_t n, const struct pfs_ref *layers)
{
	if (!is_ip(layers) || !pkt_has_ports(layers->proto))
		return -PKT_UNFIT_OTHER;
	return pkt_later_fragment(p, n, layers) ? -PKT_UNFIT_FRAGMENT : -PKT_UNFIT_SHORT;
}

static int get_ports(const uint8_t *p, size_t n, const struct pfs_ref *layers, enum side side,
		     struct pkt_key ret_keys[2])
{
	size_t l4 = layers->l4, there;
	int keys = 0;

	if (!is_layer(layers->l4, n) || !is_ip(layers) || !pkt_has_ports(layers->proto))
		return unfit_ports(p, n, layers);
	there = n - l4;
	if ((side & SOURCE) && there >= 2)
		ret_keys[keys++].word[0] = be16_load(p + l4);
	if ((side & DESTINATION) && there >= 4)
		ret_keys[keys++].word[0] = be16_load(p + l4 + 2);
	if (keys == 2 && ret_keys[0].word[0] == ret_keys[1].word[0])
		keys = 1;
	return keys ? keys : -PKT_UNFIT_SHORT;
}

static int srcport_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		       struct pkt_key ret_keys[2])
{
	(void)wire_len;
	return get_ports(p, n, layers, SOURCE, ret_keys);
}

static int dstport_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		       struct pkt_key ret_keys[2])
{
	(void)wire_len;
	return get_ports(p, n, layers, DESTINATION, ret_keys);
}

static int port_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		    struct pkt_key ret_keys[2])
{
	(void)wire_len;
	return get_ports(p, n, layers, BOTH, ret_keys);
}

static bool port_parse(const char *name, struct pkt_key *ret_key)
{
	return parse_number(name, UINT16_MAX, &ret_key->word[0]);
}

#define PORT_FIELD(id)                            \
	const struct pkt_field pkt_field_##id = { \
		.name = #id,                      \
		.words = 1,                       \
		.get = id##_get,                  \
		.text = number_text,              \
		.parse = port_parse,              \
	}
PORT_FIELD(srcport);
PORT_FIELD(dstport);
PORT_FIELD(port);

/* --- addresses: word 0 is 4 or 6, the address in the two that follow ----------------------------- */

#define ADDRESS_WORDS 3

static void address_load(const uint8_t *p, unsigned version, struct pkt_key *ret_key)
{
	ret_key->word[0] = version;
	ret_key->word[1] = version == 4 ? 0 : be64_load(p);
	ret_key->word[2] = version == 4 ? be32_load(p) : be64_load(p + 8);
}

static void address_text(unsigned version, uint64_t high, uint64_t low, char ret_text[BRIEF_ADDR_MAX])
{
	uint8_t bytes[16];

	if (version == 4) {
		be32_store(bytes, (uint32_t)low);
		pkt_brief_ip4(bytes, ret_text);
		return;
	}
	be32_store(bytes, (uint32_t)(high >> 32));
	be32_store(bytes + 4, (uint32_t)high);
	be32_store(bytes + 8, (uint32_t)(low >> 32));
	be32_store(bytes + 12, (uint32_t)low);
	pkt_brief_ip6(bytes, ret_text);
}

/* Where the addresses stand: *ret_at behind l3, *ret_step apart. 0: there are none; else 4 or 6. */
static unsigned address_place(const uint8_t *p, size_t n, const struct pfs_ref *layers,
			      size_t *ret_at, size_t *ret_step)
{
	const uint8_t *l3 = p + layers->l3;
	size_t there = n - layers->l3;

	switch (layers->ethertype) {
	case ETHER_IP:
		*ret_at = 12;
		*ret_step = 4;
		return 4;
	case ETHER_IP6:
		*ret_at = 8;
		*ret_step = 16;
		return 6;
	case ETHER_ARP:
	case ETHER_RARP:
		if (there < 8 || be16_load(l3 + 2) != ETHER_IP || l3[5] != 4)
			return 0;
		*ret_at = 8u + l3[4];
		*ret_step = 4u + l3[4];
		return 4;
	default:
		return 0;
	}
}

static int get_addresses(const uint8_t *p, size_t n, const struct pfs_ref *layers, enum side side,
			 struct pkt_key ret_keys[2])
{
	size_t at, step, size, there;
	unsigned version;
	int keys = 0;

	if (!is_layer(layers->l3, n))
		return -PKT_UNFIT_OTHER;
	version = address_place(p, n, layers, &at, &step);
	if (!version)
		return -PKT_UNFIT_OTHER;
	size = version == 4 ? 4 : 16;
	there = n - layers->l3;
	p += layers->l3;
	if ((side & SOURCE) && there >= at + size)
		address_load(p + at, version, &ret_keys[keys++]);
	if ((side & DESTINATION) && there >= at + step + size)
		address_load(p + at + step, version, &ret_keys[keys++]);
	if (keys == 2 && same(&ret_keys[0], &ret_keys[1], ADDRESS_WORDS))
		keys = 1;
	return keys ? keys : -PKT_UNFIT_SHORT;
}

static int srcip_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		     struct pkt_key ret_keys[2])
{
	(void)wire_len;
	return get_addresses(p, n, layers, SOURCE, ret_keys);
}

static int dstip_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		     struct pkt_key ret_keys[2])
{
	(void)wire_len;
	return get_addresses(p, n, layers, DESTINATION, ret_keys);
}

static int host_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		    struct pkt_key ret_keys[2])
{
	(void)wire_len;
	return get_addresses(p, n, layers, BOTH, ret_keys);
}

static void ip_text(const struct pkt_key *key, bool brief, char ret_text[PKT_FIELD_NAME_SIZE])
{
	char text[BRIEF_ADDR_MAX];

	(void)brief;
	address_text((unsigned)key->word[0], key->word[1], key->word[2], text);
	memcpy(ret_text, text, strlen(text) + 1);
}

static bool ip_parse(const char *name, struct pkt_key *ret_key)
{
	uint8_t bytes[16];

	if (inet_pton(AF_INET, name, bytes) == 1)
		address_load(bytes, 4, ret_key);
	else if (inet_pton(AF_INET6, name, bytes) == 1)
		address_load(bytes, 6, ret_key);
	else
		return false;
	return true;
}

#define IP_FIELD(id)                              \
	const struct pkt_field pkt_field_##id = { \
		.name = #id,                      \
		.words = ADDRESS_WORDS,           \
		.get = id##_get,                  \
		.text = ip_text,                  \
		.parse = ip_parse,                \
	}
IP_FIELD(srcip);
IP_FIELD(dstip);
IP_FIELD(host);

/* --- protocol ------------------------------------------------------------------------------------ */

static int proto_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		     struct pkt_key ret_keys[2])
{
	(void)p;
	(void)wire_len;
	if (!is_ip(layers) || !is_layer(layers->l3, n))
		return -PKT_UNFIT_OTHER;
	if (n - layers->l3 < (layers->ethertype == ETHER_IP ? 10u : 7u))
		return -PKT_UNFIT_SHORT;
	ret_keys[0].word[0] = layers->proto;
	return 1;
}

static void proto_text(const struct pkt_key *key, bool brief, char ret_text[PKT_FIELD_NAME_SIZE])
{
	const char *name = pkt_brief_proto((uint8_t)key->word[0]);

	if (name)
		memcpy(ret_text, name, strlen(name) + 1);
	else
		number_text(key, brief, ret_text);
}

/* "tcp" or "6" */
static bool proto_parse(const char *name, struct pkt_key *ret_key)
{
	for (unsigned i = 0; i <= UINT8_MAX; i++) {
		const char *known = pkt_brief_proto((uint8_t)i);

		if (known && strcmp(known, name) == 0) {
			ret_key->word[0] = i;
			return true;
		}
	}
	return parse_number(name, UINT8_MAX, &ret_key->word[0]);
}

const struct pkt_field pkt_field_proto = {
	.name = "proto",
	.words = 1,
	.get = proto_get,
	.text = proto_text,
	.parse = proto_parse,
};

/* --- length -------------------------------------------------------------------------------------- */

static int len_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		   struct pkt_key ret_keys[2])
{
	(void)p;
	(void)n;
	(void)layers;
	ret_keys[0].word[0] = wire_len;
	return 1;
}

static bool len_parse(const char *name, struct pkt_key *ret_key)
{
	return parse_number(name, UINT32_MAX, &ret_key->word[0]);
}

const struct pkt_field pkt_field_len = {
	.name = "len",
	.words = 1,
	.wire_len = true,
	.get = len_get,
	.text = number_text,
	.parse = len_parse,
};

/*
 * --- flow: the lower address in words 0 and 1, the higher in 2 and 3; word 4: ------------------------
 */

#define FLOW_A_SHIFT 48
#define FLOW_B_SHIFT 32
#define FLOW_PORTS (UINT64_C(1) << 16) /* it has some */
#define FLOW_SIX (UINT64_C(1) << 17)
#define FLOW_PROTO UINT64_C(0xff) /* of those with ports: a name may leave it out */
#define FLOW_BARE_SHIFT 24	  /* of the others: it never does */

struct end {
	uint64_t high, low; /* address */
	uint16_t port;
};

static bool end_after(const struct end *a, const struct end *b)
{
	if (a->high != b->high)
		return a->high > b->high;
	if (a->low != b->low)
		return a->low > b->low;
	return a->port > b->port;
}

static uint64_t flow_rest(uint8_t proto, bool six, bool ports)
{
	return (six ? FLOW_SIX : 0) |
	       (ports ? FLOW_PORTS | proto : (uint64_t)proto << FLOW_BARE_SHIFT);
}

static void flow_key(const struct end *a, const struct end *b, uint64_t rest, struct pkt_key *ret_key)
{
	if (end_after(a, b)) {
		const struct end *swap = a;

		a = b;
		b = swap;
	}
	*ret_key = (struct pkt_key){ {
		a->high,
		a->low,
		b->high,
		b->low,
		(uint64_t)a->port << FLOW_A_SHIFT | (uint64_t)b->port << FLOW_B_SHIFT | rest,
	} };
}

static int flow_get(const uint8_t *p, size_t n, uint32_t wire_len, const struct pfs_ref *layers,
		    struct pkt_key ret_keys[2])
{
	struct end a = { 0 }, b = { 0 };
	size_t l3 = layers->l3, l4 = layers->l4;
	bool ports = pkt_has_ports(layers->proto);

	(void)wire_len;
	if (!is_ip(layers) || !is_layer(layers->l3, n))
		return -PKT_UNFIT_OTHER;
	if (n - l3 < (layers->ethertype == ETHER_IP ? 20u : 40u))
		return -PKT_UNFIT_SHORT;
	if (layers->ethertype == ETHER_IP) {
		a.low = be32_load(p + l3 + 12);
		b.low = be32_load(p + l3 + 16);
	} else {
		a.high = be64_load(p + l3 + 8);
		a.low = be64_load(p + l3 + 16);
		b.high = be64_load(p + l3 + 24);
		b.low = be64_load(p + l3 + 32);
	}
	if (ports) {
		if (!is_layer(layers->l4, n) || n - l4 < 4)
			return unfit_ports(p, n, layers);
		a.port = be16_load(p + l4);
		b.port = be16_load(p + l4 + 2);
	}
	flow_key(&a, &b, flow_rest(layers->proto, layers->ethertype == ETHER_IP6, ports),
		 &ret_keys[0]);
	return 1;
}

/* "10.0.0.1:80", "[::1]:80", "10.0.0.1", "[::1]" */
static size_t end_text(const struct pkt_key *key, unsigned i, char *to, size_t size)
{
	uint64_t rest = key->word[4];
	unsigned port = (uint16_t)(rest >> (i ? FLOW_B_SHIFT : FLOW_A_SHIFT));
	char address[BRIEF_ADDR_MAX];
	size_t len;

	address_text(rest & FLOW_SIX ? 6 : 4, key->word[i * 2], key->word[i * 2 + 1], address);
	len = (size_t)snprintf(to, size, rest & FLOW_SIX ? "[%s]" : "%s", address);
	if (rest & FLOW_PORTS)
		len += (size_t)snprintf(to + len, size - len, ":%u", port);
	return len;
}

static void flow_text(const struct pkt_key *key, bool brief, char ret_text[PKT_FIELD_NAME_SIZE])
{
	bool ports = key->word[4] & FLOW_PORTS;
	struct pkt_key proto = { { (key->word[4] >> (ports ? 0 : FLOW_BARE_SHIFT)) & FLOW_PROTO } };
	char name[PKT_FIELD_NAME_SIZE];
	size_t len = end_text(key, 0, ret_text, PKT_FIELD_NAME_SIZE);

	ret_text[len++] = '-';
	len += end_text(key, 1, ret_text + len, PKT_FIELD_NAME_SIZE - len);
	if (ports && (brief || !proto.word[0]))
		return;
	proto_text(&proto, false, name);
	snprintf(ret_text + len, PKT_FIELD_NAME_SIZE - len, "-%s", name);
}

/* An address (in brackets: IPv6) and maybe a port. NULL: it is none; else where it ends. */
static const char *end_parse(const char *text, bool *six, bool *ports, struct end *ret_end)
{
	char address[BRIEF_ADDR_MAX], number[8];
	struct pkt_key key;
	uint64_t port = 0;
	size_t len;

	*six = *text == '[';
	text += *six;
	len = strcspn(text, *six ? "]" : ":-");
	if (len >= sizeof(address))
		return NULL;
	memcpy(address, text, len);
	address[len] = '\0';
	if (!ip_parse(address, &key) || (key.word[0] == 6) != *six)
		return NULL;
	text += len;
	if (*six && *text++ != ']')
		return NULL;
	*ports = *text == ':';
	if (*ports) {
		text++;
		len = strcspn(text, "-");
		if (len >= sizeof(number))
			return NULL;
		memcpy(number, text, len);
		number[len] = '\0';
		if (!parse_number(number, UINT16_MAX, &port))
			return NULL;
		text += len;
	}
	*ret_end = (struct end){ .high = key.word[1], .low = key.word[2], .port = (uint16_t)port };
	return text;
}

static bool flow_parse(const char *name, struct pkt_key *ret_key)
{
	bool six[2], ports[2];
	struct pkt_key proto = { 0 };
	struct end end[2];

	name = end_parse(name, &six[0], &ports[0], &end[0]);
	if (!name || *name++ != '-')
		return false;
	name = end_parse(name, &six[1], &ports[1], &end[1]);
	if (!name || six[0] != six[1] || ports[0] != ports[1])
		return false;
	if (*name == '\0' ? !ports[0] : *name != '-' || !proto_parse(name + 1, &proto))
		return false;
	if (*name && pkt_has_ports((uint8_t)proto.word[0]) != ports[0])
		return false;
	flow_key(&end[0], &end[1], flow_rest((uint8_t)proto.word[0], six[0], ports[0]), ret_key);
	return true;
}

const struct pkt_field pkt_field_flow = {
	.name = "flow",
	.words = 5,
	.loose = FLOW_PROTO,
	.get = flow_get,
	.text = flow_text,
	.parse = flow_parse,
};

const struct pkt_field *const pkt_fields[] = {
	&pkt_field_srcport, &pkt_field_dstport, &pkt_field_port, &pkt_field_srcip, &pkt_field_dstip,
	&pkt_field_host,    &pkt_field_proto,	&pkt_field_flow, &pkt_field_len,   NULL,
};
