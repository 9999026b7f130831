#include "packet/keep.h"

#include "packet/ether_i.h"
#include "pf/ir/ir.h"
#include "pf/merge/tree.h"
#include "ring/record.h"

enum { ETHERNET_TYPE = 12, ETHERNET_HEADER = 14 };
enum { IP_PROTO = 9, IP_LEAST = 10, IP6_NEXT = 6, IP6_LEAST = 7 };

struct keep {
	struct pf_unit *u;
	unsigned layers;
	int proto;
	pf_blk yes, no, unsure;
};

static pf_blk result(struct pf_unit *u, uint32_t value)
{
	pf_blk b = pf_block(u);

	if (value)
		pf_block_result(u, b, 0, pf_const(u, value));
	pf_block_stop(u, b);
	return b;
}

/* A block that goes to `yes` where the value is k, else on at `no`. */
static pf_blk equals(struct keep *k, pf_val value, uint32_t what, pf_blk yes, pf_blk no)
{
	pf_blk b = pf_block(k->u);

	pf_block_branch(k->u, b, pf_binary(k->u, PF_OP_EQ, value, pf_const(k->u, what)), yes, no);
	return b;
}

static pf_blk fits(struct keep *k, uint32_t end, pf_blk yes)
{
	pf_blk b = pf_block(k->u);

	pf_block_branch(k->u, b, pf_fits(k->u, 0, 0, end), yes, k->no);
	return b;
}

/* A packet of IPv4 begins at l3. */
static pf_blk ip(struct keep *k, uint32_t l3)
{
	if (!(k->layers & PKT_KEEP_IP))
		return k->no;
	if (k->proto == PKT_KEEP_ANY_PROTO)
		return k->yes;
	return fits(k, l3 + IP_LEAST,
		    equals(k, pf_load(k->u, 1, 0, l3 + IP_PROTO), (uint32_t)k->proto, k->yes, k->no));
}

/* Behind extension headers there may be any protocol. */
static pf_blk ip6(struct keep *k, uint32_t l3)
{
	static const uint8_t extensions[] = { PROTO_HOPOPT, PROTO_ROUTING, PROTO_FRAGMENT,
					      PROTO_DSTOPTS };
	pf_val next;
	pf_blk b = k->no;

	if (!(k->layers & PKT_KEEP_IP6))
		return k->no;
	if (k->proto == PKT_KEEP_ANY_PROTO)
		return k->yes;
	next = pf_load(k->u, 1, 0, l3 + IP6_NEXT);
	for (size_t i = 0; i < ARRAY_SIZE(extensions); i++)
		b = equals(k, next, extensions[i], k->unsure, b);
	return fits(k, l3 + IP6_LEAST, equals(k, next, (uint32_t)k->proto, k->yes, b));
}

static pf_blk ethernet(struct keep *k)
{
	static const uint16_t tags[] = { ETHER_VLAN, ETHER_QINQ, ETHER_QINQ_OLD };
	pf_val type = pf_load(k->u, 2, 0, ETHERNET_TYPE);
	pf_blk b = k->no;

	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		b = equals(k, type, tags[i], k->unsure, b);
	if (k->layers & PKT_KEEP_ARP)
		b = equals(k, type, ETHER_ARP, k->yes, b);
	if (k->layers & PKT_KEEP_IP6)
		b = equals(k, type, ETHER_IP6, ip6(k, ETHERNET_HEADER), b);
	if (k->layers & PKT_KEEP_IP)
		b = equals(k, type, ETHER_IP, ip(k, ETHERNET_HEADER), b);
	return fits(k, ETHERNET_HEADER, b);
}

/* The version says what it is. */
static pf_blk raw(struct keep *k)
{
	pf_val version = pf_binary(k->u, PF_OP_SHR, pf_load(k->u, 1, 0, 0), pf_const(k->u, 4));

	return fits(k, 1, equals(k, version, 4, ip(k, 0), equals(k, version, 6, ip6(k, 0), k->no)));
}

int pkt_keep_layers(uint16_t link_type, unsigned layers, int proto, struct pf_unit *ret_unit)
{
	struct keep k = { .u = ret_unit, .layers = layers, .proto = proto };

	if (link_type != PFS_LINK_ETHERNET && link_type != PFS_LINK_RAW)
		return -ENOTSUP;
	ret_unit->nresult = 1;
	k.yes = result(ret_unit, 1);
	k.no = result(ret_unit, 0);
	k.unsure = result(ret_unit, PF_UNSURE);
	ret_unit->entry = link_type == PFS_LINK_ETHERNET ? ethernet(&k) : raw(&k);
	return ret_unit->err;
}
