#include "packet/generate_i.h"

#include <stdio.h>

#include "base/bytes.h"
#include "packet/dissect.h"
#include "packet/ether_i.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

static const char *const hosts[GENERATE_HOSTS] = {
	"www.example.com",     "example.org",	    "api.example.com",	  "static.example.net",
	"img.example.net",     "news.example.org",  "shop.example.com",	  "mail.example.org",
	"cdn.example.net",     "auth.example.com",  "blog.example.org",	  "docs.example.com",
	"git.example.org",     "map.example.net",   "video.example.com",  "ntp.example.net",
	"metrics.example.com", "files.example.org", "wiki.example.org",	  "forum.example.net",
	"status.example.com",  "time.example.net",  "search.example.org", "m.example.com",
};

static const char *const paths[] = {
	"/",
	"/index.html",
	"/favicon.ico",
	"/robots.txt",
	"/login",
	"/search?q=packets",
	"/api/v1/items",
	"/api/v1/items/42",
	"/css/site.css",
	"/js/app.js",
	"/images/logo.txt",
	"/2024/05/01/hello",
	"/feed.xml",
	"/upload",
	"/cart?item=7&n=2",
	"/about",
	"/download/a.bin",
	"/api/v1/metrics",
	"/user/alice/inbox",
	"/health",
	"/docs/%E2%82%AC",
	"/a/b/c/d/e/f.html",
	"/search?q=a+b%2Fc",
	"/status",
};

static const char *const agents[] = {
	"Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
	"curl/8.7.1",
	"Wget/1.24.5",
	"python-requests/2.31.0",
};

/* One of the strings, at random. */
#define PICK(rng, strings) ((strings)[generate_below((rng), ARRAY_SIZE(strings))])

/* --- the two ends ------------------------------------------------------------------------ */

static void end_mac(struct generate_end *end, unsigned kind, unsigned n)
{
	const uint8_t mac[6] = { 0x02, 0, 0x5e, (uint8_t)kind, (uint8_t)(n >> 8), (uint8_t)n };

	memcpy(end->mac, mac, sizeof(mac));
}

/* Clients are 10.0.x.y, servers in the three networks of RFC 5737; IPv6: RFC 3849. */
static void end_addr(struct generate_end *end, bool ip6, int who, unsigned n)
{
	static const uint8_t nets[3][3] = { { 192, 0, 2 }, { 198, 51, 100 }, { 203, 0, 113 } };

	if (ip6) {
		memset(end->addr, 0, sizeof(end->addr));
		be32_store(end->addr, 0x20010db8);
		be16_store(end->addr + 4, who == CLIENT ? 0x10 : 0xff);
		be16_store(end->addr + 14, (uint16_t)n);
	} else if (who == CLIENT) {
		be32_store(end->addr, 0x0a000000 | (n & 0xffff));
	} else {
		memcpy(end->addr, nets[n % 3], 3);
		end->addr[3] = (uint8_t)(1 + n / 3 % 254);
	}
}

static void ends_make(struct generate_talk *talk, uint64_t serial)
{
	struct generate_rng *rng = &talk->rng;
	unsigned client = 0x100 + generate_below(rng, 200);
	struct generate_end *c = &talk->ends[CLIENT], *s = &talk->ends[SERVER];

	talk->host = generate_below(rng, GENERATE_HOSTS);
	talk->ip6 = generate_percent(rng, talk->options->ip6);
	talk->vlan[0] = talk->vlan[1] = -1;
	if (generate_percent(rng, talk->options->vlan)) {
		talk->vlan[0] = (int)(10 + generate_below(rng, 5) * 10);
		if (generate_percent(rng, 10))
			talk->vlan[1] = (int)(100 + generate_below(rng, 100));
	}
	talk->rtt = generate_spread(rng, 200, 80000) * US;
	end_mac(c, 1, client);
	end_mac(s, 0, 1); /* of the router */
	end_addr(c, talk->ip6, CLIENT, client);
	end_addr(s, talk->ip6, SERVER, talk->host);
	/* Serial numbers keep the ports of one client apart as long as they can. */
	c->port = (uint16_t)(34000 + (serial * 7 + client) % 26000);
	c->ttl = 64;
	s->ttl = (uint8_t)(64 - 3 - talk->host % 17);
	for (int i = 0; i < 2; i++) {
		talk->ends[i].seq = (uint32_t)generate_random(rng);
		talk->ends[i].ip_id = (uint16_t)generate_random(rng);
	}
}

/* --- TCP ----------------------------------------------------------------------------------- */

static void tcp_flag(struct generate_talk *talk, int from, unsigned flags)
{
	wire_tcp(talk, from, flags, talk->ends[from].seq, NULL, 0, 0);
	if (flags & (WIRE_SYN | WIRE_FIN))
		talk->ends[from].seq++;
}

static void tcp_open(struct generate_talk *talk)
{
	tcp_flag(talk, CLIENT, WIRE_SYN);
	talk->time += talk->rtt;
	tcp_flag(talk, SERVER, WIRE_SYN | WIRE_ACK);
	talk->time += 20 * US + generate_below(&talk->rng, 9000);
	tcp_flag(talk, CLIENT, WIRE_ACK);
	talk->time += 30 * US;
}

static void tcp_close(struct generate_talk *talk)
{
	talk->time += generate_below(&talk->rng, 300) * MS;
	tcp_flag(talk, CLIENT, WIRE_FIN | WIRE_ACK);
	talk->time += talk->rtt;
	tcp_flag(talk, SERVER, WIRE_FIN | WIRE_ACK);
	talk->time += 15 * US;
	tcp_flag(talk, CLIENT, WIRE_ACK);
}

/* Bytes that one end sends at a stretch: a head and a piece of the pools behind it. */
struct flight {
	const uint8_t *head;
	size_t head_len;
	const uint8_t *body; /* pool */
	size_t pool_at;
	size_t body_len;
	uint32_t classes; /* of the first segment */
	uint32_t all;	  /* of every segment */
};

/* Copies bytes [off, off + len) of the flight. */
static void flight_copy(const struct flight *flight, size_t off, size_t len, uint8_t *to)
{
	while (len > 0) {
		size_t at, n;

		if (off < flight->head_len) {
			n = pfs_min(len, flight->head_len - off);
			memcpy(to, flight->head + off, n);
		} else {
			at = (flight->pool_at + off - flight->head_len) % GENERATE_POOL_SIZE;
			n = pfs_min(len, GENERATE_POOL_SIZE - at);
			memcpy(to, flight->body + at, n);
		}
		off += n;
		to += n;
		len -= n;
	}
}

static void flight_segment(struct generate_talk *talk, int from, const struct flight *flight,
			   size_t off, size_t len)
{
	bool last = off + len == flight->head_len + flight->body_len;
	uint8_t segment[1500];

	flight_copy(flight, off, len, segment);
	wire_tcp(talk, from, WIRE_ACK | (last ? WIRE_PSH : 0), talk->ends[from].seq + (uint32_t)off,
		 segment, len, (off == 0 ? flight->classes : 0) | flight->all);
}

/* What goes wrong on the way, if it is wished: never with the first segment or the last. */
enum fate { FATE_FINE, FATE_TWICE, FATE_LATE, FATE_LOST };

static enum fate segment_fate(struct generate_talk *talk, size_t off, size_t left)
{
	uint32_t dice;

	if (!(talk->options->disorder | talk->options->lost) || off == 0 || left < 2)
		return FATE_FINE;
	dice = generate_below(&talk->rng, 1000);
	if (dice < talk->options->lost)
		return FATE_LOST;
	if (dice >= 1000 - pfs_min(1000, talk->options->disorder))
		return dice % 2 ? FATE_TWICE : FATE_LATE;
	return FATE_FINE;
}

/* Slow start, as seen by the client: bursts a round trip apart, an acknowledgement for two segments. */
static void tcp_send(struct generate_talk *talk, int from, const struct flight *flight)
{
	size_t total = flight->head_len + flight->body_len, mss = wire_mss(talk);
	size_t off = 0, segments = (total + mss - 1) / mss;
	unsigned window = 10, sent = 0;
	uint32_t seq = talk->ends[from].seq;

	for (size_t i = 0; i < segments; i++, off += mss) {
		size_t len = pfs_min(mss, total - off);
		enum fate fate = segment_fate(talk, off, segments - i);

		if (fate == FATE_LATE) { /* its successor overtakes it */
			flight_segment(talk, from, flight, off + mss, pfs_min(mss, total - off - mss));
			talk->time += 40 * US;
		}
		if (fate != FATE_LOST)
			flight_segment(talk, from, flight, off, len);
		if (fate == FATE_TWICE)
			flight_segment(talk, from, flight, off, len);
		if (fate == FATE_LATE) {
			i++;
			off += mss;
			len = pfs_min(mss, total - off);
		}
		talk->time += 12 * US + generate_below(&talk->rng, 3000);
		if (from == SERVER && (i % 2 || i + 1 >= segments)) {
			talk->ends[from].seq = seq + (uint32_t)(off + len);
			tcp_flag(talk, !from, WIRE_ACK);
			talk->ends[from].seq = seq;
			talk->time += 4 * US;
		}
		if (++sent == window && i + 1 < segments) {
			talk->time += talk->rtt;
			sent = 0;
			window = window < 64 ? window * 2 : 64;
		}
	}
	talk->ends[from].seq = seq + (uint32_t)total;
	if (from == CLIENT) {
		talk->time += talk->rtt;
		tcp_flag(talk, SERVER, WIRE_ACK);
	}
}

/* --- HTTP ------------------------------------------------------------------------------------ */

static unsigned http_method(struct generate_rng *rng)
{
	static const struct {
		const char *name;
		unsigned until;
	} weights[] = {
		{ "GET", 78 },	  { "POST", 90 },  { "HEAD", 93 },     { "PUT", 96 },
		{ "DELETE", 98 }, { "PATCH", 99 }, { "OPTIONS", 100 },
	};
	unsigned dice = generate_below(rng, 100), i = 0, k = 0;

	while (dice >= weights[i].until)
		i++;
	while (strcmp(pkt_http_methods[k], weights[i].name) != 0)
		k++;
	return k;
}

static size_t http_body_len(struct generate_talk *talk, uint32_t min, uint32_t max)
{
	max = (uint32_t)pfs_min(max, talk->options->body_max);
	return max ? generate_spread(&talk->rng, (uint32_t)pfs_min(min, max), max) : 0;
}

static void http_request(struct generate_talk *talk, const char *method, const char *path)
{
	bool body = method[0] == 'P'; /* POST, PUT, PATCH */
	struct flight flight = {
		.body = talk->pools->text,
		.pool_at = generate_below(&talk->rng, GENERATE_POOL_SIZE),
		.classes = 1u << GENERATE_HTTP_REQUEST,
	};
	char head[600], fields[120] = "";
	int n;

	if (body) {
		flight.body_len = http_body_len(talk, 20, 20000);
		snprintf(fields, sizeof(fields),
			 "Content-Type: text/plain\r\nContent-Length: %zu\r\n", flight.body_len);
	}
	n = snprintf(head, sizeof(head),
		     "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nAccept: */*\r\n"
		     "Accept-Language: en\r\n%s\r\n",
		     method, path, hosts[talk->host], PICK(&talk->rng, agents), fields);
	flight.head = (const uint8_t *)head;
	flight.head_len = (size_t)n;
	if (strcmp(method, "GET") == 0)
		flight.classes |= 1u << GENERATE_HTTP_GET;
	if (strcmp(method, "POST") == 0)
		flight.classes |= 1u << GENERATE_HTTP_POST;
	tcp_send(talk, CLIENT, &flight);
}

static const char *http_status(struct generate_rng *rng, bool *ret_body)
{
	static const struct {
		const char *line;
		unsigned until;
		bool body;
	} weights[] = {
		{ "200 OK", 80, true },
		{ "304 Not Modified", 88, false },
		{ "404 Not Found", 93, true },
		{ "301 Moved Permanently", 96, true },
		{ "204 No Content", 98, false },
		{ "500 Internal Server Error", 99, true },
		{ "503 Service Unavailable", 100, true },
	};
	unsigned dice = generate_below(rng, 100), i = 0;

	while (dice >= weights[i].until)
		i++;
	*ret_body = weights[i].body;
	return weights[i].line;
}

static void http_response(struct generate_talk *talk, const char *method)
{
	bool body;
	const char *status = http_status(&talk->rng, &body);
	struct flight flight = {
		.body = talk->pools->text,
		.pool_at = generate_below(&talk->rng, GENERATE_POOL_SIZE),
		.classes = 1u << GENERATE_HTTP_RESPONSE,
	};
	char head[600], fields[120] = "";
	size_t len = body ? http_body_len(talk, 100, UINT32_MAX) : 0;
	int n;

	if (body)
		snprintf(fields, sizeof(fields),
			 "Content-Type: text/plain\r\nContent-Length: %zu\r\n", len);
	n = snprintf(head, sizeof(head),
		     "HTTP/1.1 %s\r\nServer: example/1.0\r\nCache-Control: max-age=%u\r\n"
		     "%sETag: \"%08x\"\r\n\r\n",
		     status, generate_below(&talk->rng, 3600), fields,
		     (uint32_t)generate_random(&talk->rng));
	flight.head = (const uint8_t *)head;
	flight.head_len = (size_t)n;
	flight.body_len = strcmp(method, "HEAD") == 0 ? 0 : len;
	tcp_send(talk, SERVER, &flight);
}

static void talk_http(struct generate_talk *talk)
{
	unsigned requests = generate_spread(&talk->rng, 1, 12);

	talk->ends[SERVER].port = generate_percent(&talk->rng, 85) ? 80 : 8080;
	tcp_open(talk);
	for (unsigned i = 0; i < requests && !talk->failed; i++) {
		const char *method = pkt_http_methods[http_method(&talk->rng)];

		http_request(talk, method, PICK(&talk->rng, paths));
		talk->time += generate_spread(&talk->rng, 100, 30000) * US; /* the server thinks */
		http_response(talk, method);
		talk->time += generate_spread(&talk->rng, 1000, 900000) * US; /* the reader reads */
	}
	tcp_close(talk);
}

/* --- TLS: records of application data -------------------------------------------------------- */

static void tls_record(struct generate_talk *talk, int from, uint32_t max)
{
	size_t len = generate_spread(&talk->rng, 40, max);
	uint8_t head[5] = { 0x17, 0x03, 0x03 };
	struct flight flight = {
		.head = head,
		.head_len = sizeof(head),
		.body = talk->pools->noise,
		.pool_at = generate_below(&talk->rng, GENERATE_POOL_SIZE),
		.body_len = len,
		.all = 1u << GENERATE_TLS,
	};

	be16_store(head + 3, (uint16_t)len);
	tcp_send(talk, from, &flight);
}

static void talk_tls(struct generate_talk *talk)
{
	unsigned turns = generate_spread(&talk->rng, 2, 20);

	talk->ends[SERVER].port = 443;
	tcp_open(talk);
	for (unsigned i = 0; i < turns && !talk->failed; i++) {
		tls_record(talk, CLIENT, 1200);
		talk->time += generate_spread(&talk->rng, 100, 20000) * US;
		tls_record(talk, SERVER, 16000);
		talk->time += generate_spread(&talk->rng, 1000, 500000) * US;
	}
	tcp_close(talk);
}

/* --- DNS --------------------------------------------------------------------------------------- */

#define DNS_A 1
#define DNS_AAAA 28

static size_t dns_name(uint8_t *p, const char *name)
{
	uint8_t *start = p;

	while (*name) {
		size_t len = strcspn(name, ".");

		*p++ = (uint8_t)len;
		memcpy(p, name, len);
		p += len;
		name += len + (name[len] == '.');
	}
	*p++ = 0;
	return (size_t)(p - start);
}

/* One address record whose name is the question's. */
static size_t dns_answer(uint8_t *p, uint16_t type, unsigned host)
{
	struct generate_end end;
	size_t len = type == DNS_A ? 4 : 16;

	end_addr(&end, type == DNS_AAAA, SERVER, host);
	be16_store(p, 0xc00c);
	be16_store(p + 2, type);
	be16_store(p + 4, 1);
	be32_store(p + 6, 300);
	be16_store(p + 10, (uint16_t)len);
	memcpy(p + 12, end.addr, len);
	return 12 + len;
}

static void dns_lookup(struct generate_talk *talk, uint16_t type)
{
	bool exists = generate_percent(&talk->rng, 92);
	uint8_t message[512] = { 0 };
	char name[64];
	size_t len = 12;

	snprintf(name, sizeof(name), "%s%s", exists ? "" : "no-such-", hosts[talk->host]);
	be16_store(message, (uint16_t)generate_random(&talk->rng));
	be16_store(message + 2, 0x0100);
	be16_store(message + 4, 1);
	len += dns_name(message + len, name);
	be16_store(message + len, type);
	be16_store(message + len + 2, 1);
	len += 4;
	wire_udp(talk, CLIENT, message, len, 1u << GENERATE_DNS_QUERY);
	talk->time += talk->rtt / 4 + generate_spread(&talk->rng, 50, 20000) * US;
	be16_store(message + 2, exists ? 0x8180 : 0x8183);
	if (exists) {
		be16_store(message + 6, 1);
		len += dns_answer(message + len, type, talk->host);
	}
	wire_udp(talk, SERVER, message, len, 1u << GENERATE_DNS_RESPONSE);
}

/* Both addresses, as a resolver does, from the network's name server. */
static void talk_dns(struct generate_talk *talk)
{
	struct generate_end server = talk->ends[SERVER];

	end_addr(&talk->ends[SERVER], talk->ip6, CLIENT, 53);
	end_mac(&talk->ends[SERVER], 1, 53);
	talk->ends[SERVER].port = 53;
	talk->ends[SERVER].ttl = 64;
	dns_lookup(talk, talk->ip6 ? DNS_AAAA : DNS_A);
	if (generate_percent(&talk->rng, 40)) {
		talk->time += 100 * US;
		dns_lookup(talk, talk->ip6 ? DNS_A : DNS_AAAA);
	}
	talk->time += 200 * US;
	talk->ends[SERVER] = server;
}

/* --- the small ones ------------------------------------------------------------------------------ */

static void talk_ping(struct generate_talk *talk)
{
	unsigned count = 1 + generate_below(&talk->rng, 5);
	uint8_t message[64] = { 0 };

	for (size_t i = 8; i < sizeof(message); i++)
		message[i] = (uint8_t)(i + 8);
	be16_store(message + 4, talk->ends[CLIENT].port);
	for (unsigned i = 1; i <= count; i++) {
		be16_store(message + 6, (uint16_t)i);
		message[0] = talk->ip6 ? 128 : 8;
		wire_icmp(talk, CLIENT, message, sizeof(message));
		talk->time += talk->rtt;
		message[0] = talk->ip6 ? 129 : 0;
		wire_icmp(talk, SERVER, message, sizeof(message));
		talk->time += 1000 * MS - talk->rtt;
	}
}

static const uint8_t mac_broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static void arp_message(struct generate_talk *talk, int from, uint16_t op)
{
	const struct generate_end *a = &talk->ends[from], *b = &talk->ends[!from];
	uint8_t *p = wire_frame(talk, from, ETHER_ARP, 28, 1u << GENERATE_ARP);

	if (!p)
		return;
	be16_store(p, 1);
	be16_store(p + 2, ETHER_IP);
	p[4] = 6;
	p[5] = 4;
	be16_store(p + 6, op);
	memcpy(p + 8, a->mac, 6);
	memcpy(p + 14, a->addr, 4);
	if (op == 2)
		memcpy(p + 18, b->mac, 6);
	memcpy(p + 24, b->addr, 4);
}

/* RFC 4861: solicitation to the target's multicast group, advertisement back. */
static void talk_neighbour(struct generate_talk *talk)
{
	struct generate_end *c = &talk->ends[CLIENT], *s = &talk->ends[SERVER];
	uint8_t group[16] = { 0xff, 0x02, [11] = 0x01, [12] = 0xff };
	uint8_t group_mac[6] = { 0x33, 0x33, 0xff };
	uint8_t message[32] = { 135, [24] = 1, [25] = 1 };

	memcpy(group + 13, s->addr + 13, 3);
	memcpy(group_mac + 3, s->addr + 13, 3);
	memcpy(message + 8, s->addr, 16);
	memcpy(message + 26, c->mac, 6);
	wire_neighbour(talk, CLIENT, group, group_mac, message, sizeof(message));
	talk->time += 200 * US + generate_below(&talk->rng, 300000);
	message[0] = 136;
	message[4] = 0x60; /* solicited, override */
	message[24] = 2;
	memcpy(message + 26, s->mac, 6);
	wire_neighbour(talk, SERVER, c->addr, c->mac, message, sizeof(message));
}

static void talk_arp(struct generate_talk *talk)
{
	struct generate_end *s = &talk->ends[SERVER];
	unsigned n = 1 + generate_below(&talk->rng, 250);

	end_addr(s, talk->ip6, CLIENT, n);
	end_mac(s, 1, n);
	if (talk->ip6) {
		talk_neighbour(talk);
		return;
	}
	memcpy(s->mac, mac_broadcast, 6); /* not known yet */
	arp_message(talk, CLIENT, 1);
	end_mac(s, 1, n);
	talk->time += 200 * US + generate_below(&talk->rng, 300000);
	arp_message(talk, SERVER, 2);
}

static void talk_udp(struct generate_talk *talk)
{
	unsigned count = generate_spread(&talk->rng, 5, 200);
	size_t len = generate_spread(&talk->rng, 60, 1200);

	talk->ends[SERVER].port = 40000;
	for (unsigned i = 0; i < count; i++) {
		size_t at = generate_below(&talk->rng, GENERATE_POOL_SIZE - 1200);

		wire_udp(talk, SERVER, talk->pools->text + at, len, 0);
		talk->time += 20 * MS + generate_below(&talk->rng, 200000);
	}
}

static void talk_fragments(struct generate_talk *talk)
{
	unsigned count = 1 + generate_below(&talk->rng, 4);

	talk->ends[SERVER].port = 40001;
	if (talk->ip6) { /* routers do not fragment it; small ones then */
		talk_udp(talk);
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		size_t len = generate_spread(&talk->rng, 1600, 20000);
		size_t at = generate_below(&talk->rng, GENERATE_POOL_SIZE - 20000);

		wire_udp_fragments(talk, SERVER, talk->pools->text + at, len);
		talk->time += 5 * MS;
	}
}

/* --- which ------------------------------------------------------------------------------------------ */

void generate_talk_make(struct generate_talk *talk, uint64_t serial)
{
	static const struct {
		unsigned talk;
		unsigned weight;
		void (*make)(struct generate_talk *talk);
	} table[] = {
		{ GENERATE_TALK_HTTP, 45, talk_http },
		{ GENERATE_TALK_DNS, 20, talk_dns },
		{ GENERATE_TALK_PING, 8, talk_ping },
		{ GENERATE_TALK_ARP, 8, talk_arp },
		{ GENERATE_TALK_TLS, 12, talk_tls },
		{ GENERATE_TALK_UDP, 4, talk_udp },
		{ GENERATE_TALK_FRAGMENTS, 3, talk_fragments },
	};
	unsigned mix = talk->options->mix, total = 0, dice, i;

	talk->len = 0;
	talk->time = 0;
	ends_make(talk, serial);
	for (i = 0; i < ARRAY_SIZE(table); i++)
		total += mix & table[i].talk ? table[i].weight : 0;
	dice = generate_below(&talk->rng, total);
	for (i = 0; i < ARRAY_SIZE(table) - 1; i++) {
		unsigned weight = mix & table[i].talk ? table[i].weight : 0;

		if (dice < weight)
			break;
		dice -= weight;
	}
	if (table[i].talk == GENERATE_TALK_HTTP && mix & GENERATE_TALK_DNS &&
	    generate_percent(&talk->rng, 50))
		talk_dns(talk);
	table[i].make(talk);
}
