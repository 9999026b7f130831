/*
 * tree - filters below each other in one program say what each says of what those above have kept, and of as many
 * bytes of it as it sees; what filters of one protocol keep is what pkt_dissect() finds, or they are unsure
 *
 * PF_TREE_SECONDS, default 1.
 */
#include "help.h"

#include <time.h>

#include "packet/dissect.h"
#include "packet/keep.h"
#include "pf/back/interp.h"
#include "pf/ir/verify.h"
#include "pf/merge/tree.h"
#include "pf/opt/opt.h"
#include "pf/unit.h"

#define BRANCHES_MAX 40u
#define UNSURE_OF 20u /* bytes: a filter of ours is unsure about packets of that length */

static const char *const expressions[] = {
	"tcp",
	"udp",
	"udp dst port 53",
	"udp dst port 80",
	"udp dst port 443",
	"port 53",
	"ip6",
	"arp",
	"vlan",
	"host 10.0.0.1",
	"greater 100",
	"tcp[13] & 2 != 0",
	"len % 2 = 0",
	"ip[8] < 64",
	"not udp",
	"ether[0] & 1 = 1",
	"udp dst port 1000",
	"udp src port 53",
};

struct grown {
	struct pf_branch branch[BRANCHES_MAX];
	struct pf_prog *prog[BRANCHES_MAX]; /* owned; NULL: everything, or unsure */
	bool unsure[BRANCHES_MAX];
	bool on; /* if one is unsure */
	size_t n;
	struct pf_interp *interp; /* owned */
};

/* Another one each time, said so that it can be had again. */
static struct dice dice_new(void)
{
	const char *said = getenv("PF_TREE_SEED");
	uint64_t seed = said ? strtoull(said, NULL, 10) : (uint64_t)time(NULL);

	print_message("PF_TREE_SEED=%llu\n", (unsigned long long)seed);
	return (struct dice){ seed };
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Keeps everything, but is unsure about packets of one length. */
static void make_unsure(struct pf_unit *u)
{
	pf_blk entry, yes, unsure;
	pf_val test;

	pf_unit_init(u);
	entry = pf_block(u);
	yes = pf_block(u);
	unsure = pf_block(u);
	test = pf_binary(u, PF_OP_EQ, pf_value(u, PF_OP_LEN, 0, 0, 0), pf_const(u, UNSURE_OF));
	pf_block_branch(u, entry, test, unsure, yes);
	pf_block_result(u, yes, 0, pf_const(u, 7));
	pf_block_stop(u, yes);
	pf_block_result(u, unsure, 0, pf_const(u, PF_UNSURE));
	pf_block_stop(u, unsure);
	u->entry = entry;
	assert_int_equal(u->err, 0);
}

static void grow(struct grown *g, struct dice *dice, const struct pf_unit *unsure)
{
	struct pf_error error = { "" };
	struct pf_unit tree;

	*g = (struct grown){ .n = 1 + roll(dice, BRANCHES_MAX - 1), .on = roll(dice, 2) };
	for (size_t i = 0; i < g->n; i++) {
		struct pf_branch *b = &g->branch[i];
		const char *text = expressions[roll(dice, ARRAY_SIZE(expressions))];
		unsigned kind = roll(dice, 12);

		b->above = i && roll(dice, 4) ? roll(dice, (uint32_t)i) : PF_TREE_TOP;
		b->result = (uint32_t)(g->n - 1 - i); /* numbers are the caller's */
		b->cut = b->above == PF_TREE_TOP ? 0 : g->branch[b->above].cut;
		if (!roll(dice, 4))
			b->cut = 1 + roll(dice, b->cut ? b->cut : 80);
		g->unsure[i] = kind == 0;
		if (kind == 0) {
			b->unit = unsure;
		} else if (kind > 1) {
			assert_int_equal(
				pf_compile("pcap", text, strlen(text), NULL, &g->prog[i], &error), 0);
			b->unit = pf_prog_unit(g->prog[i]);
		}
	}
	pf_unit_init(&tree);
	assert_int_equal(pf_tree(g->branch, g->n, (uint32_t)g->n, g->on, &tree), 0);
	if (pf_verify(&tree, &error) < 0)
		fail_msg("tree: %s", error.text);
	if (pf_optimise(&tree, roll(dice, 4) ? 0 : PF_ALL_PASSES, NULL, NULL, &error) < 0)
		fail_msg("tree: %s", error.text);
	assert_int_equal(pf_interp_make(&tree, &g->interp), 0);
	pf_unit_release(&tree);
}

/* What each says alone. Returns whether one was unsure that was asked. */
static bool ask_each(const struct grown *g, const struct pf_packet *packet, bool *ret_yes)
{
	bool unsure = false;

	for (size_t i = 0; i < g->n; i++) {
		uint32_t above = g->branch[i].above, cut = g->branch[i].cut;
		struct pf_packet seen = *packet;

		if (cut && cut < seen.caplen)
			seen.caplen = cut;
		ret_yes[i] = above == PF_TREE_TOP || ret_yes[above];
		if (ret_yes[i] && g->unsure[i] && packet->len == UNSURE_OF) {
			unsure = true;
			ret_yes[i] = !g->on;
		}
		if (ret_yes[i] && g->prog[i])
			ret_yes[i] = pf_run(g->prog[i], &seen) != 0;
	}
	return unsure;
}

static void check(const struct grown *g, const struct bytes *b)
{
	struct pf_packet packet = { b->data, b->n, b->n, NULL };
	bool yes[BRANCHES_MAX], got[2 * BRANCHES_MAX] = { false };
	struct pf_hit hits[2 * BRANCHES_MAX];
	uint32_t n = pf_interp_run(g->interp, &packet, hits);
	bool unsure = ask_each(g, &packet, yes);

	for (uint32_t i = 0; i < n; i++)
		got[hits[i].id] = true;
	for (size_t i = 1; i < g->n && g->on; i++)
		got[g->n] |= got[g->n + i];
	assert_int_equal(got[g->n], unsure);
	for (size_t i = 0; i < g->n && (g->on || !unsure); i++)
		assert_int_equal(got[g->branch[i].result], yes[i]);
}

static void trees_say_what_each_filter_says(void **state)
{
	uint64_t end = now() +
		       (getenv("PF_TREE_SECONDS") ? strtoull(getenv("PF_TREE_SECONDS"), NULL, 10) : 1) *
			       UINT64_C(1000000000);
	struct dice dice = dice_new();
	struct packets packets = { 0 };
	struct pf_unit unsure;
	unsigned trees = 0;

	(void)state;
	packets_generate(&packets, 7, 200);
	make_unsure(&unsure);
	while (now() < end || trees == 0) {
		struct grown g;

		grow(&g, &dice, &unsure);
		for (size_t i = 0; i < packets.n; i++) {
			struct bytes b = packets.of[i];

			if (!roll(&dice, 3))
				b.n = roll(&dice, 4) ? roll(&dice, b.n + 1)
						     : (uint32_t)pfs_min(b.n, UNSURE_OF);
			check(&g, &b);
		}
		for (size_t i = 0; i < g.n; i++)
			pf_unref(g.prog[i]);
		pf_interp_free(g.interp);
		trees++;
	}
	pf_unit_release(&unsure);
	packets_release(&packets);
	print_message("%u trees\n", trees);
}

/* --- filters of one protocol -------------------------------------------------------------------- */

static bool keeps(const struct pfs_ref *layers, unsigned which, int proto)
{
	bool ip = (which & PKT_KEEP_IP) && layers->ethertype == 0x800;
	bool ip6 = (which & PKT_KEEP_IP6) && layers->ethertype == 0x86dd;

	if ((which & PKT_KEEP_ARP) && layers->ethertype == 0x806)
		return true;
	return (ip || ip6) && (proto == PKT_KEEP_ANY_PROTO || layers->proto == proto);
}

static unsigned compare_one(uint16_t link_type, unsigned which, int proto,
			    const struct packets *packets, struct dice *dice)
{
	struct pf_interp *interp;
	struct pf_unit u;
	unsigned sure = 0;

	pf_unit_init(&u);
	assert_int_equal(pkt_keep_layers(link_type, which, proto, &u), 0);
	assert_int_equal(pf_verify(&u, NULL), 0);
	assert_int_equal(pf_interp_make(&u, &interp), 0);
	for (size_t i = 0; i < packets->n; i++) {
		struct bytes b = packets->of[i];
		struct pf_packet packet = { b.data, b.n, b.n, NULL };
		struct pfs_ref layers = { 0 };
		uint32_t got, skip = link_type == PFS_LINK_RAW ? (uint32_t)pfs_min(14, b.n) : 0;

		for (unsigned flips = roll(dice, 4); flips > 0 && b.n > 12; flips--)
			b.data[12 + roll(dice, (uint32_t)pfs_min(b.n, 60) - 12)] =
				(uint8_t)roll(dice, 256);
		packet.data += skip;
		packet.caplen = packet.len = roll(dice, 3) ? b.n - skip : roll(dice, b.n - skip + 1);
		pkt_dissect(packet.data, packet.caplen, link_type, &layers);
		got = pf_interp_run(interp, &packet, NULL);
		if (got == PF_UNSURE)
			continue;
		sure++;
		assert_int_equal(got != 0, keeps(&layers, which, proto));
	}
	pf_interp_free(interp);
	pf_unit_release(&u);
	return sure;
}

static void protocols_are_as_dissected(void **state)
{
	static const uint16_t links[] = { PFS_LINK_ETHERNET, PFS_LINK_RAW };
	struct dice dice = dice_new();
	struct packets packets = { 0 };
	struct pf_unit u;

	(void)state;
	packets_generate(&packets, 11, 3000);
	for (size_t l = 0; l < ARRAY_SIZE(links); l++) {
		unsigned sure =
			compare_one(links[l], PKT_KEEP_IP, PKT_KEEP_ANY_PROTO, &packets, &dice);

		sure += compare_one(links[l], PKT_KEEP_IP6, PKT_KEEP_ANY_PROTO, &packets, &dice);
		sure += compare_one(links[l], PKT_KEEP_IP | PKT_KEEP_IP6, 6, &packets, &dice);
		sure += compare_one(links[l], PKT_KEEP_IP | PKT_KEEP_IP6, 17, &packets, &dice);
		sure += compare_one(links[l], PKT_KEEP_IP, 1, &packets, &dice);
		sure += links[l] == PFS_LINK_ETHERNET
				? compare_one(links[l], PKT_KEEP_ARP, PKT_KEEP_ANY_PROTO, &packets,
					      &dice)
				: 0;
		assert_true(sure > packets.n * 3);
	}
	pf_unit_init(&u);
	assert_int_equal(pkt_keep_layers(113, PKT_KEEP_IP, PKT_KEEP_ANY_PROTO, &u), -ENOTSUP);
	pf_unit_release(&u);
	packets_release(&packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees_say_what_each_filter_says),
		cmocka_unit_test(protocols_are_as_dissected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
