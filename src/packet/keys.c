#include "packet/keys.h"

#include "packet/ether_i.h"
#include "pf/ir/ir.h"
#include "pf/merge/tree.h"

enum { ETHERNET_TYPE = 12, ETHERNET_HEADER = 14 };
enum { UNFIT = 0x10000 }; /* added to the reason: no port, protocol or version */
enum { SOURCE = 1, DESTINATION = 2 };
enum { WHAT_PORTS, WHAT_HOST, WHAT_PROTO };

struct keys {
	struct pf_unit *u;
	unsigned what, sides, words;
	const uint32_t *want; /* NULL: the keys are asked for; else: has it this one? */
	pf_blk unsure;
};

static bool setup(struct keys *k, const struct pkt_field *field)
{
	k->sides = field == &pkt_field_srcport	 ? SOURCE
		   : field == &pkt_field_dstport ? DESTINATION
						 : SOURCE | DESTINATION;
	k->words = 1;
	if (field == &pkt_field_srcport || field == &pkt_field_dstport || field == &pkt_field_port) {
		k->what = WHAT_PORTS;
	} else if (field == &pkt_field_proto) {
		k->what = WHAT_PROTO;
	} else if (field == &pkt_field_host) {
		k->what = WHAT_HOST;
		k->words = PKT_KEYS_WORDS;
	} else {
		return false;
	}
	return true;
}

unsigned pkt_keys_words(const struct pkt_field *field)
{
	struct keys k;

	return setup(&k, field) ? k.words : 0;
}

void pkt_keys_pack(const struct pkt_field *field, const struct pkt_key *key,
		   uint32_t ret_words[PKT_KEYS_WORDS])
{
	memset(ret_words, 0, PKT_KEYS_WORDS * sizeof(*ret_words));
	ret_words[0] = (uint32_t)key->word[0];
	for (unsigned i = 1; i < field->words && 2 * i < PKT_KEYS_WORDS; i++) {
		ret_words[2 * i - 1] = (uint32_t)(key->word[i] >> 32);
		ret_words[2 * i] = (uint32_t)key->word[i];
	}
}

void pkt_keys_unfit(enum pkt_unfit why, uint32_t ret_words[PKT_KEYS_WORDS])
{
	memset(ret_words, 0, PKT_KEYS_WORDS * sizeof(*ret_words));
	ret_words[0] = UNFIT + why;
}

/* --- what a packet comes to ------------------------------------------------------------------------ */

/* Keys are as many values as the field has words. */
static void leaf_key(struct keys *k, pf_blk b, const pf_val *key, uint32_t at)
{
	for (uint32_t i = 0; i < k->words; i++)
		pf_block_result(k->u, b, at + i, key[i]);
}

static pf_blk leaf_bool(struct keys *k, bool yes)
{
	pf_blk b = pf_block(k->u);

	if (yes)
		pf_block_result(k->u, b, 0, pf_const(k->u, 1));
	pf_block_stop(k->u, b);
	return b;
}

static pf_blk branch(struct keys *k, pf_val cond, pf_blk yes, pf_blk no)
{
	pf_blk b = pf_block(k->u);

	pf_block_branch(k->u, b, cond, yes, no);
	return b;
}

/* Goes to `yes` where the value is that number. */
static pf_blk is(struct keys *k, pf_val value, uint32_t what, pf_blk yes, pf_blk no)
{
	return branch(k, pf_binary(k->u, PF_OP_EQ, value, pf_const(k->u, what)), yes, no);
}

static pf_blk fits(struct keys *k, pf_val base, uint32_t end, pf_blk yes, pf_blk no)
{
	return branch(k, pf_fits(k->u, base, 0, end), yes, no);
}

/* Is the key that which is asked for? Then the packet is kept, else it goes on. */
static pf_blk wants(struct keys *k, const pf_val *key, pf_blk no)
{
	pf_blk b = leaf_bool(k, true);

	for (uint32_t i = k->words; i-- > 0;)
		b = is(k, key[i], k->want[i], b, no);
	return b;
}

static pf_blk one(struct keys *k, const pf_val *key)
{
	pf_blk b;

	if (k->want)
		return wants(k, key, leaf_bool(k, false));
	b = pf_block(k->u);
	pf_block_result(k->u, b, 0, pf_const(k->u, 1));
	leaf_key(k, b, key, 1);
	pf_block_stop(k->u, b);
	return b;
}

/* Two that are equal are one. */
static pf_blk two(struct keys *k, const pf_val *first, const pf_val *second)
{
	pf_blk b, same;

	if (k->want)
		return wants(k, first, wants(k, second, leaf_bool(k, false)));
	b = pf_block(k->u);
	pf_block_result(k->u, b, 0, pf_const(k->u, 2));
	leaf_key(k, b, first, 1);
	leaf_key(k, b, second, 1 + k->words);
	pf_block_stop(k->u, b);
	same = one(k, first);
	for (uint32_t i = k->words; i-- > 0;)
		same = branch(k, pf_binary(k->u, PF_OP_EQ, first[i], second[i]), same, b);
	return same;
}

static pf_blk unfit(struct keys *k, enum pkt_unfit why)
{
	pf_val key[PKT_KEYS_WORDS];
	uint32_t words[PKT_KEYS_WORDS];

	if (k->want)
		return leaf_bool(k, false);
	pkt_keys_unfit(why, words);
	for (uint32_t i = 0; i < PKT_KEYS_WORDS; i++)
		key[i] = pf_const(k->u, words[i]);
	return one(k, key);
}

/* --- ports ------------------------------------------------------------------------------------------- */

static pf_blk has_ports(struct keys *k, pf_val proto, pf_blk yes, pf_blk no)
{
	static const uint8_t protos[] = { PROTO_UDPLITE, PROTO_DCCP, PROTO_SCTP, PROTO_UDP, PROTO_TCP };

	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		no = is(k, proto, protos[i], yes, no);
	return no;
}

/* The transport header begins at base + at. */
static pf_blk ports(struct keys *k, pf_val base, uint32_t at)
{
	pf_val source = pf_load(k->u, 2, base, at), destination = pf_load(k->u, 2, base, at + 2);
	pf_blk both, half = unfit(k, PKT_UNFIT_SHORT);

	if (k->sides == SOURCE)
		return fits(k, base, at + 2, one(k, &source), half);
	if (k->sides == DESTINATION)
		return fits(k, base, at + 4, one(k, &destination), half);
	both = two(k, &source, &destination);
	return fits(k, base, at + 4, both, fits(k, base, at + 2, one(k, &source), half));
}

static pf_blk ip_ports(struct keys *k, uint32_t l3)
{
	struct pf_unit *u = k->u;
	pf_val first = pf_load(u, 1, 0, l3), total = pf_load(u, 2, 0, l3 + 2);
	pf_val header = pf_binary(u, PF_OP_SHL, pf_binary(u, PF_OP_AND, first, pf_const(u, 15)),
				  pf_const(u, 2));
	pf_val later = pf_binary(u, PF_OP_AND, pf_load(u, 2, 0, l3 + 6), pf_const(u, 0x1fff));
	pf_val version = pf_binary(u, PF_OP_SHR, first, pf_const(u, 4));
	pf_blk wrong = unfit(k, PKT_UNFIT_SHORT), b = ports(k, header, l3);

	b = branch(k, pf_binary(u, PF_OP_LT, total, header), is(k, total, 0, b, wrong), b);
	b = branch(k, pf_binary(u, PF_OP_LT, header, pf_const(u, 20)), wrong, b);
	b = is(k, version, 4, b, wrong);
	b = is(k, later, 0, b, unfit(k, PKT_UNFIT_FRAGMENT));
	b = has_ports(k, pf_load(u, 1, 0, l3 + 9), fits(k, 0, l3 + 20, b, wrong),
		      unfit(k, PKT_UNFIT_OTHER));
	return fits(k, 0, l3 + 10, b, unfit(k, PKT_UNFIT_OTHER));
}

/* `no`, unless the next header is one behind which there is another. */
static pf_blk extended(struct keys *k, pf_val next, pf_blk no)
{
	static const uint8_t extensions[] = { PROTO_HOPOPT, PROTO_ROUTING, PROTO_FRAGMENT,
					      PROTO_DSTOPTS };

	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
		no = is(k, next, extensions[i], k->unsure, no);
	return no;
}

static pf_blk ip6_ports(struct keys *k, uint32_t l3)
{
	struct pf_unit *u = k->u;
	pf_val next = pf_load(u, 1, 0, l3 + 6);
	pf_val version = pf_binary(u, PF_OP_SHR, pf_load(u, 1, 0, l3), pf_const(u, 4));
	pf_blk other = unfit(k, PKT_UNFIT_OTHER), wrong = unfit(k, PKT_UNFIT_SHORT), b;

	b = is(k, version, 6, ports(k, 0, l3 + 40), wrong);
	b = has_ports(k, next, b, extended(k, next, other));
	b = fits(k, 0, l3 + 40, b, has_ports(k, next, wrong, other));
	return fits(k, 0, l3 + 7, b, other);
}

/* --- protocol ---------------------------------------------------------------------------------------- */

static pf_blk ip_proto(struct keys *k, uint32_t l3)
{
	pf_val proto = pf_load(k->u, 1, 0, l3 + 9);

	return fits(k, 0, l3 + 10, one(k, &proto), unfit(k, PKT_UNFIT_SHORT));
}

static pf_blk ip6_proto(struct keys *k, uint32_t l3)
{
	pf_val next = pf_load(k->u, 1, 0, l3 + 6);
	pf_blk whole = extended(k, next, one(k, &next));

	return fits(k, 0, l3 + 7, fits(k, 0, l3 + 40, whole, one(k, &next)),
		    unfit(k, PKT_UNFIT_SHORT));
}

/* --- addresses --------------------------------------------------------------------------------------- */

/* The address of that version at base + at. */
static void address(struct keys *k, unsigned version, pf_val base, uint32_t at,
		    pf_val ret_key[PKT_KEYS_WORDS])
{
	ret_key[0] = pf_const(k->u, version);
	for (uint32_t i = 1; i < PKT_KEYS_WORDS; i++)
		ret_key[i] = version == 6	       ? pf_load(k->u, 4, base, at + 4 * (i - 1))
			     : i == PKT_KEYS_WORDS - 1 ? pf_load(k->u, 4, base, at)
						       : pf_const(k->u, 0);
}

/* The first at `at`, the second `step` behind it: both behind first and second base. */
static pf_blk addresses(struct keys *k, unsigned version, pf_val base, pf_val second, uint32_t at,
			uint32_t step)
{
	uint32_t size = version == 6 ? 16 : 4;
	pf_val from[PKT_KEYS_WORDS], to[PKT_KEYS_WORDS];
	pf_blk half;

	address(k, version, base, at, from);
	address(k, version, second, at + step, to);
	half = fits(k, base, at + size, one(k, from), unfit(k, PKT_UNFIT_SHORT));
	/* Where the second is, the first is as well; only the verifier does not know it of two bases. */
	return fits(k, second, at + step + size, fits(k, base, at + size, two(k, from, to), half),
		    half);
}

static pf_blk arp(struct keys *k, uint32_t l3)
{
	struct pf_unit *u = k->u;
	pf_val hardware = pf_load(u, 1, 0, l3 + 4);
	pf_val twice = pf_binary(u, PF_OP_SHL, hardware, pf_const(u, 1));
	pf_blk other = unfit(k, PKT_UNFIT_OTHER), b;

	b = addresses(k, 4, hardware, twice, l3 + 8, 4);
	b = is(k, pf_load(u, 1, 0, l3 + 5), 4, b, other);
	b = is(k, pf_load(u, 2, 0, l3 + 2), ETHER_IP, b, other);
	return fits(k, 0, l3 + 8, b, other);
}

/* --- layers ------------------------------------------------------------------------------------------- */

static pf_blk ip(struct keys *k, uint32_t l3)
{
	return k->what == WHAT_PORTS   ? ip_ports(k, l3)
	       : k->what == WHAT_PROTO ? ip_proto(k, l3)
				       : addresses(k, 4, 0, 0, l3 + 12, 4);
}

static pf_blk ip6(struct keys *k, uint32_t l3)
{
	return k->what == WHAT_PORTS   ? ip6_ports(k, l3)
	       : k->what == WHAT_PROTO ? ip6_proto(k, l3)
				       : addresses(k, 6, 0, 0, l3 + 8, 16);
}

static pf_blk ethernet(struct keys *k)
{
	static const uint16_t tags[] = { ETHER_VLAN, ETHER_QINQ, ETHER_QINQ_OLD };
	pf_val type = pf_load(k->u, 2, 0, ETHERNET_TYPE);
	pf_blk other = unfit(k, PKT_UNFIT_OTHER), b = other;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		b = is(k, type, tags[i], k->unsure, b);
	if (k->what == WHAT_HOST) {
		pf_blk arps = arp(k, ETHERNET_HEADER);

		b = is(k, type, ETHER_ARP, arps, is(k, type, ETHER_RARP, arps, b));
	}
	b = is(k, type, ETHER_IP6, ip6(k, ETHERNET_HEADER), b);
	b = is(k, type, ETHER_IP, ip(k, ETHERNET_HEADER), b);
	return fits(k, 0, ETHERNET_HEADER, b, other);
}

/* The version says what it is. */
static pf_blk raw(struct keys *k)
{
	pf_val version = pf_binary(k->u, PF_OP_SHR, pf_load(k->u, 1, 0, 0), pf_const(k->u, 4));
	pf_blk other = unfit(k, PKT_UNFIT_OTHER);

	return fits(k, 0, 1, is(k, version, 4, ip(k, 0), is(k, version, 6, ip6(k, 0), other)), other);
}

static int build(struct keys *k, const struct pkt_field *field, uint16_t link_type)
{
	if (!setup(k, field) || (link_type != PFS_LINK_ETHERNET && link_type != PFS_LINK_RAW))
		return -ENOTSUP;
	k->u->nresult = k->want ? 1 : 2 + 2 * k->words;
	k->unsure = pf_block(k->u);
	pf_block_result(k->u, k->unsure, k->want ? 0 : 1 + 2 * k->words,
			pf_const(k->u, k->want ? PF_UNSURE : 1));
	pf_block_stop(k->u, k->unsure);
	k->u->entry = link_type == PFS_LINK_ETHERNET ? ethernet(k) : raw(k);
	return k->u->err;
}

int pkt_keys_unit(const struct pkt_field *field, uint16_t link_type, struct pf_unit *ret_unit)
{
	struct keys k = { .u = ret_unit };

	return build(&k, field, link_type);
}

int pkt_keys_keeps(const struct pkt_field *field, uint16_t link_type, const struct pkt_key *key,
		   struct pf_unit *ret_unit)
{
	uint32_t want[PKT_KEYS_WORDS];
	struct keys k = { .u = ret_unit, .want = want };

	pkt_keys_pack(field, key, want);
	return build(&k, field, link_type);
}
