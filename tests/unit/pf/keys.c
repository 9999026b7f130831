/*
 * keys - what a field finds in a packet is the same in a unit as behind pkt_dissect(), or the unit is unsure; so is
 * whether a packet is in a class
 *
 * PF_TREE_SEED.
 */
#include "help.h"

#include <time.h>

#include "packet/dissect.h"
#include "packet/keys.h"
#include "pf/back/interp.h"
#include "pf/ir/verify.h"
#include "pf/merge/tree.h"
#include "pf/opt/opt.h"

#define RESULTS (2 + 2 * PKT_KEYS_WORDS)

static struct dice dice_new(void)
{
	const char *said = getenv("PF_TREE_SEED");
	uint64_t seed = said ? strtoull(said, NULL, 10) : (uint64_t)time(NULL);

	print_message("PF_TREE_SEED=%llu\n", (unsigned long long)seed);
	return (struct dice){ seed };
}

struct asked {
	const struct pkt_field *field;
	uint16_t link_type;
	struct pf_interp *keys, *keeps; /* owned */
	struct pkt_key key;		/* that `keeps` asks for */
	unsigned sure, in;
};

static struct pf_interp *interp_of(struct pf_unit *u)
{
	struct pf_interp *interp;
	struct pf_error error;

	assert_int_equal(pf_verify(u, NULL), 0);
	assert_int_equal(pf_optimise(u, 0, NULL, NULL, &error), 0);
	assert_int_equal(pf_interp_make(u, &interp), 0);
	pf_unit_release(u);
	return interp;
}

/* The first address of that version. */
static void some_address(const struct packets *packets, unsigned version, struct pkt_key *ret_key)
{
	for (size_t i = 0; i < packets->n; i++) {
		const struct bytes *b = &packets->of[i];
		struct pkt_key keys[2] = { 0 };
		struct pfs_ref layers = { 0 };

		pkt_dissect(b->data, b->n, PFS_LINK_ETHERNET, &layers);
		if (pkt_field_host.get(b->data, b->n, b->n, &layers, keys) > 0 &&
		    keys[0].word[0] == version) {
			*ret_key = keys[0];
			return;
		}
	}
	fail_msg("no such address");
}

static void ask_for(struct asked *a, const char *name)
{
	struct pf_unit u;

	if (name)
		assert_true(a->field->parse(name, &a->key));
	pf_unit_init(&u);
	assert_int_equal(pkt_keys_unit(a->field, a->link_type, &u), 0);
	a->keys = interp_of(&u);
	pf_unit_init(&u);
	assert_int_equal(pkt_keys_keeps(a->field, a->link_type, &a->key, &u), 0);
	a->keeps = interp_of(&u);
}

/* What the engine says: as many keys, and their words. */
static unsigned expected(const struct asked *a, const struct pf_packet *p, struct pfs_ref *layers,
			 uint32_t words[2][PKT_KEYS_WORDS], bool *ret_in)
{
	struct pkt_key keys[2] = { 0 };
	int n;

	pkt_dissect(p->data, p->caplen, a->link_type, layers);
	n = a->field->get(p->data, p->caplen, p->caplen, layers, keys);
	*ret_in = false;
	for (int i = 0; i < n; i++) {
		pkt_keys_pack(a->field, &keys[i], words[i]);
		*ret_in |= memcmp(&keys[i], &a->key, sizeof(a->key)) == 0;
	}
	if (n < 0)
		pkt_keys_unfit((enum pkt_unfit) - n, words[0]);
	return n < 0 ? 1 : (unsigned)n;
}

static void ask(struct asked *a, const struct pf_packet *p)
{
	uint32_t want[2][PKT_KEYS_WORDS] = { 0 }, got[RESULTS] = { 0 }, keeps;
	unsigned words = pkt_keys_words(a->field), n;
	struct pf_hit hits[RESULTS];
	struct pfs_ref layers = { 0 };
	bool in;

	n = pf_interp_run(a->keys, p, hits);
	for (unsigned i = 0; i < n; i++)
		got[hits[i].id] = hits[i].value;
	keeps = pf_interp_run(a->keeps, p, NULL);
	assert_int_equal(got[1 + 2 * words] != 0, keeps == PF_UNSURE);
	if (keeps == PF_UNSURE)
		return;
	a->sure++;
	n = expected(a, p, &layers, want, &in);
	assert_int_equal(got[0], n);
	for (unsigned k = 0; k < n; k++)
		for (unsigned i = 0; i < words; i++)
			assert_int_equal(got[1 + k * words + i], want[k][i]);
	assert_int_equal(keeps != 0, in);
	a->in += in;
}

static void ask_all(struct asked *a, const struct packets *packets, struct dice *dice)
{
	for (size_t i = 0; i < packets->n; i++) {
		struct bytes b = packets->of[i];
		struct pf_packet packet = { b.data, b.n, b.n, NULL };
		uint32_t skip = a->link_type == PFS_LINK_RAW ? (uint32_t)pfs_min(14, b.n) : 0;

		for (unsigned flips = roll(dice, 4); flips > 0 && b.n > 12; flips--)
			b.data[12 + roll(dice, (uint32_t)pfs_min(b.n, 60) - 12)] =
				(uint8_t)roll(dice, 256);
		packet.data += skip;
		packet.caplen = packet.len = roll(dice, 3) ? b.n - skip : roll(dice, b.n - skip + 1);
		ask(a, &packet);
	}
	pf_interp_free(a->keys);
	pf_interp_free(a->keeps);
}

static void keys_are_as_dissected(void **state)
{
	static const struct {
		const struct pkt_field *field;
		const char *name;
	} of[] = {
		{ &pkt_field_port, "53" },    { &pkt_field_srcport, "53" },
		{ &pkt_field_dstport, "53" }, { &pkt_field_proto, "udp" },
		{ &pkt_field_host, NULL },
	};
	static const uint16_t links[] = { PFS_LINK_ETHERNET, PFS_LINK_RAW };
	struct dice dice = dice_new();
	struct packets packets = { 0 };
	struct pf_unit u;
	struct asked a;

	(void)state;
	packets_generate(&packets, 11, 3000);
	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		for (size_t l = 0; l < ARRAY_SIZE(links); l++) {
			unsigned versions = of[i].name ? 1 : 2;

			for (unsigned v = 0; v < versions; v++) {
				a = (struct asked){ .field = of[i].field, .link_type = links[l] };
				if (!of[i].name)
					some_address(&packets, 4 + 2 * v, &a.key);
				ask_for(&a, of[i].name);
				ask_all(&a, &packets, &dice);
				print_message("%s: of %zu sure %u, in %u\n", of[i].field->name,
					      packets.n, a.sure, a.in);
				assert_true(a.sure > packets.n / 2);
				assert_true(a.in > 0);
			}
		}
	}
	pf_unit_init(&u);
	assert_int_equal(pkt_keys_unit(&pkt_field_port, 113, &u), -ENOTSUP);
	assert_int_equal(pkt_keys_unit(&pkt_field_flow, PFS_LINK_RAW, &u), -ENOTSUP);
	pf_unit_release(&u);
	packets_release(&packets);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_as_dissected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
