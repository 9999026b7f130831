/*
 * tunnel - walks into packets built here, whole, cut off at every length, and with every byte broken
 */
#include "bytes_help.h"

#include "packet/dissect.h"
#include "packet/tunnel.h"

#define MACS "020000000002 020000000001 "
#define IP4(proto) "4500 0100 0001 0000 40" proto "0000 0a000001 0a000002 "
#define IP6(next) \
	"6000 0000 0100" next "40 20010db8000000000000000000000001 20010db8000000000000000000000002 "
#define TCP "1388 0050 00000000 00000000 5002 0000 0000 0000 "
#define UDP(port) "c000" port "0100 0000 "

/* Where each step of a walk gets; 0 ends. */
static const struct {
	unsigned kind;
	uint16_t link_type;
	const char *outer;
	struct {
		const char *inner; /* what begins there, up to the next */
		uint16_t link_type;
	} inside[3];
} walks[] = {
	{ PKT_TUNNEL_GRE, 1, MACS "0800" IP4("2f") "0000 0800 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_GRE,
	  1,
	  MACS "0800" IP4("2f") "b000 86dd 0000 0000 00000007 00000001 ",
	  { { IP6("06") TCP, 101 } } },
	{ PKT_TUNNEL_GRE, 101, IP4("2f") "2000 6558 00000500 ", { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_GRE, 101, IP6("2f") "0000 0800 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_GRE, 101, IP4("2f") "3001 880b 0000 0003 00000001 0021 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_GRE,
	  101,
	  IP4("2f") "3081 880b 0000 0003 00000001 00000001 ff03 57 ",
	  { { IP6("06") TCP, 101 } } },
	{ PKT_TUNNEL_GRE, 101, IP4("2f") "0000 88be ", { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_GRE,
	  101,
	  IP4("2f") "1000 88be 00000001 10010001 00000000 ",
	  { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_GRE,
	  101,
	  IP4("2f") "1000 22eb 00000001 20010001 00000000 00000000 ",
	  { { MACS "0806", 1 } } },
	{ PKT_TUNNEL_GRE,
	  101,
	  IP4("2f") "1000 22eb 00000001 20010001 00000000 00000001 0000000000000000 ",
	  { { MACS "0806", 1 } } },
	{ PKT_TUNNEL_VXLAN,
	  101,
	  IP4("11") UDP("12b5") "08000000 00000900 ",
	  { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_VXLAN,
	  101,
	  IP4("11") UDP("2118") "08000000 00000900 ",
	  { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_VXLAN, 101, IP4("11") UDP("12b6") "0c000001 00000900 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_VXLAN, 101, IP4("11") UDP("12b6") "0c000002 00000900 ", { { IP6("06") TCP, 101 } } },
	{ PKT_TUNNEL_VXLAN,
	  101,
	  IP4("11") UDP("12b6") "0c000003 00000900 ",
	  { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_GENEVE,
	  101,
	  IP4("11") UDP("17c1") "0000 6558 00000900 ",
	  { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_GENEVE,
	  101,
	  IP6("11") UDP("17c1") "0100 0800 00000900 00000000 ",
	  { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_IPIP,
	  101,
	  IP4("04"),
	  { { IP4("29"), 101 }, { IP6("04"), 101 }, { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_MPLS, 1, MACS "8847 00010140 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_MPLS,
	  1,
	  MACS "8100 0005 8848 00011040 00012040 00013140 ",
	  { { IP6("06") TCP, 101 } } },
	{ PKT_TUNNEL_MPLS, 1, MACS "8847 00014140 00000000 ", { { MACS "0800" IP4("06") TCP, 1 } } },
	{ PKT_TUNNEL_MPLS, 101, IP4("89") "00014140 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_MPLS, 101, IP4("11") UDP("19eb") "00014140 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_MPLS, 9, "ff03 0281 00014140 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_PPPOE, 1, MACS "8864 1100 0007 0100 0021 ", { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_PPPOE,
	  1,
	  MACS "88a8 0064 8100 0005 8864 1100 0007 0100 0057 ",
	  { { IP6("06") TCP, 101 } } },
	{ PKT_TUNNEL_PPPOE | PKT_TUNNEL_MPLS,
	  1,
	  MACS "8864 1100 0007 0100 0281 00010140 ",
	  { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_GRE | PKT_TUNNEL_MPLS,
	  101,
	  IP4("2f") "0000 8847 00010140 ",
	  { { IP4("06") TCP, 101 } } },
	{ PKT_TUNNEL_VXLAN | PKT_TUNNEL_GRE | PKT_TUNNEL_IPIP,
	  1,
	  MACS "0800" IP4("11") UDP("12b5") "08000000 00000900 ",
	  { { MACS "0800" IP4("2f") "0000 0800 ", 1 }, { IP4("04"), 101 }, { IP4("06") TCP, 101 } } },
};

/* No packet inside that anybody could know. */
static const struct {
	uint16_t link_type;
	const char *packet;
} none[] = {
	{ 101, IP4("06") TCP },
	{ 101, IP4("11") UDP("0035") "08000000 00000900" MACS "0800" },
	{ 101, IP4("11") UDP("12b5") "00000000 00000900" MACS "0800" },	 /* no network id */
	{ 101, IP4("11") UDP("12b6") "0c000004 00000900 00000000" },	 /* NSH */
	{ 101, IP4("11") UDP("17c1") "4000 6558 00000900" MACS "0800" }, /* another version */
	{ 101, IP4("11") UDP("17c1") "3f00 6558 00000900" }, /* options beyond the end */
	{ 101, IP4("2f") "4000 0800 00000000" IP4("06") },   /* a source route */
	{ 101, IP4("2f") "0002 0800" IP4("06") },	     /* another version */
	{ 101, IP4("2f") "0000 2001 00000000" },	     /* another protocol */
	{ 101, IP4("2f") "2001 0800 00000000" IP4("06") },   /* version 1 is for PPP */
	{ 101, "4500 0100 0001 0001 402f 0000 0a000001 0a000002 0000 0800" IP4("06") }, /* a later fragment */
	{ 1, MACS "8847 00010040 00010040" },		  /* labels without an end */
	{ 1, MACS "8847 00010140 10000000" MACS "0800" }, /* an associated channel */
	{ 1, MACS "8847 00010140 00000000" MACS "1234" }, /* what kind of frame? */
	{ 1, MACS "8864 1109 0007 0100 0021" IP4("06") }, /* no session data */
	{ 1, MACS "8864 1100 0007 0100 c021 0101" },	  /* LCP */
	{ 1, MACS "8863 1109 0000 0000" },
	{ 1, MACS "0806 0001" },
};

static struct pkt_walk start(const uint8_t *p, size_t n, uint16_t link_type, unsigned kinds)
{
	struct pfs_ref layers = { 0 };
	struct pkt_walk walk;

	pkt_dissect(p, n, link_type, &layers);
	pkt_walk_start(&walk, p, n, link_type, &layers, kinds);
	return walk;
}

static size_t build(size_t i, uint8_t *p, size_t max, size_t offs[4])
{
	size_t n = from_hex(walks[i].outer, p, max);

	for (size_t s = 0; s < 3 && walks[i].inside[s].inner; s++) {
		offs[s] = n;
		n += from_hex(walks[i].inside[s].inner, p + n, max - n);
	}
	return n;
}

static void test_what_is_inside(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
		size_t offs[4], n;
		uint8_t p[512];
		struct pkt_walk walk;

		n = build(i, p, sizeof(p), offs);
		walk = start(p, n, walks[i].link_type, walks[i].kind | PKT_TUNNEL_NO);
		for (size_t s = 0; s < 3 && walks[i].inside[s].inner; s++) {
			if (!pkt_walk_inside(&walk))
				print_error("walk %zu, step %zu\n", i, s);
			assert_true(walk.depth > s);
			assert_int_equal(walk.off, offs[s]);
			assert_int_equal(walk.link_type, walks[i].inside[s].link_type);
		}
		assert_false(pkt_walk_inside(&walk));
		if (strstr(walks[i].outer, "22eb"))
			assert_int_equal(walk.layers.ethertype, 0x0806);
		else
			assert_int_equal(walk.layers.proto, 6);

		/* None of it without leave. */
		walk = start(p, n, walks[i].link_type, PKT_TUNNEL_ANY & ~walks[i].kind);
		assert_false(pkt_walk_inside(&walk));
		assert_int_equal(walk.off, 0);
		walk = start(p, n, walks[i].link_type, PKT_TUNNEL_NO);
		assert_false(pkt_walk_inside(&walk));
	}
}

static void test_what_has_nothing_inside(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		uint8_t p[512];
		size_t n = from_hex(none[i].packet, p, sizeof(p));
		struct pkt_walk walk = start(p, n, none[i].link_type, PKT_TUNNEL_ANY);

		if (pkt_walk_inside(&walk))
			print_error("packet %zu\n", i);
		assert_int_equal(walk.depth, 0);
	}
}

static void test_depth_is_bounded(void **state)
{
	uint8_t p[4096];
	size_t n = 0;
	struct pkt_walk walk;

	(void)state;
	for (int i = 0; i < 20; i++)
		n += from_hex(IP4("04"), p + n, sizeof(p) - n);
	walk = start(p, n, 101, PKT_TUNNEL_ANY);
	for (int i = 0; i < PKT_WALK_DEPTH; i++)
		assert_true(pkt_walk_inside(&walk));
	assert_false(pkt_walk_inside(&walk));
	assert_int_equal(walk.off, 20 * PKT_WALK_DEPTH);
}

static void go(const uint8_t *p, size_t n, uint16_t link_type)
{
	PFS_FREE uint8_t *copy = malloc(n ? n : 1);
	struct pkt_walk walk;

	memcpy(copy, p, n);
	walk = start(copy, n, link_type, PKT_TUNNEL_ANY);
	for (unsigned depth = 0; pkt_walk_inside(&walk); depth++) {
		assert_true(depth < PKT_WALK_DEPTH);
		assert_true(walk.off <= n);
		assert_true(walk.layers.l3 == PFS_LAYER_NONE || walk.off + walk.layers.l3 <= n);
	}
}

/* In memory of exactly that length, so that a sanitizer sees a byte too many. */
static void test_cut_off_and_broken(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(walks); i++) {
		uint8_t p[512];
		size_t offs[4], n = build(i, p, sizeof(p), offs);

		for (size_t cut = 0; cut <= n; cut++)
			go(p, cut, walks[i].link_type);
		for (size_t at = 0; at < n; at++) {
			for (unsigned bit = 0; bit < 8; bit++) {
				p[at] ^= (uint8_t)(1u << bit);
				go(p, n, walks[i].link_type);
				p[at] ^= (uint8_t)(1u << bit);
			}
		}
	}
}

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(pkt_tunnel_parse("no"), PKT_TUNNEL_NO);
	assert_int_equal(pkt_tunnel_parse("yes") | PKT_TUNNEL_NO, PKT_TUNNEL_ANY);
	assert_int_equal(pkt_tunnel_parse("any"), PKT_TUNNEL_ANY);
	assert_int_equal(pkt_tunnel_parse("gre+vxlan"), PKT_TUNNEL_GRE | PKT_TUNNEL_VXLAN);
	assert_int_equal(pkt_tunnel_parse("no+qinq"), PKT_TUNNEL_NO | PKT_TUNNEL_QINQ);
	assert_int_equal(pkt_tunnel_parse("geneve+ipip+mpls+pppoe"),
			 PKT_TUNNEL_GENEVE | PKT_TUNNEL_IPIP | PKT_TUNNEL_MPLS | PKT_TUNNEL_PPPOE);
	assert_int_equal(pkt_tunnel_parse(""), 0);
	assert_int_equal(pkt_tunnel_parse("gre+"), 0);
	assert_int_equal(pkt_tunnel_parse("+gre"), 0);
	assert_int_equal(pkt_tunnel_parse("gre,vxlan"), 0);
	assert_int_equal(pkt_tunnel_parse("gr"), 0);
	assert_int_equal(pkt_tunnel_parse("1"), 0);
}

static void test_all_tags(void **state)
{
	uint16_t ids[PKT_VLANS_MAX];
	uint8_t p[128];
	size_t n = from_hex(MACS "88a8 0064 8100 e007 0800 45", p, sizeof(p));

	(void)state;
	assert_int_equal(pkt_vlans(p, n, 1, ids), 2);
	assert_int_equal(ids[0], 100);
	assert_int_equal(ids[1], 7);
	assert_int_equal(pkt_vlans(p, 12, 1, ids), 0);
	assert_int_equal(pkt_vlans(p, 14, 1, ids), 1); /* cut off: 0 */
	assert_int_equal(ids[0], 0);
	n = from_hex(MACS "8100 0001 8100 0002 8100 0003 8100 0004 8100 0005 8100 0006 0800", p,
		     sizeof(p));
	assert_int_equal(pkt_vlans(p, n, 1, ids), PKT_VLANS_MAX);
	assert_int_equal(ids[3], 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_inside),
		cmocka_unit_test(test_what_has_nothing_inside),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_cut_off_and_broken),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_all_tags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
