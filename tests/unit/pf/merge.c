/*
 * merge - many filters in one program say what each says alone
 */
#include "help.h"

#include "pf/back/interp.h"
#include "pf/back/native.h"
#include "pf/front/front.h"
#include "pf/ir/verify.h"
#include "pf/merge/merge.h"
#include "pf/opt/opt.h"

/* --- many units, one program ----------------------------------------------------------------- */

struct many {
	struct pf_unit *unit;	/* owned */
	struct pf_prog **alone; /* owned */
	size_t n;
	uint32_t nresult;
	struct pf_unit merged;
	struct pf_interp *interp; /* owned */
	struct pf_native *native; /* owned; NULL: not on this machine */
};

static void many_add(struct many *m, const char *text)
{
	struct pf_options options = PF_OPTIONS_INIT;
	struct pf_error error = { "" };
	struct pf_said said = { 0 };

	options.engine = PF_ENGINE_INTERP;
	m->unit = reallocarray(m->unit, m->n + 1, sizeof(*m->unit));
	m->alone = reallocarray(m->alone, m->n + 1, sizeof(struct pf_prog *));
	assert_true(m->unit && m->alone);
	pf_unit_init(&m->unit[m->n]);
	if (pf_front_pcap.make(&m->unit[m->n], text, strlen(text), &options, &said, &error) < 0)
		fail_msg("%s: %s", text, error.text);
	free(said.program);
	assert_int_equal(pf_compile("pcap", text, strlen(text), &options, &m->alone[m->n], &error), 0);
	m->n++;
}

static void many_merge(struct many *m, uint64_t without)
{
	PFS_FREE const struct pf_unit **units = pfs_zalloc(m->n, sizeof(*units));
	struct pf_error error = { "" };

	assert_non_null(units);
	for (size_t i = 0; i < m->n; i++)
		units[i] = &m->unit[i];
	assert_int_equal(pf_merge(units, m->n, &m->merged), 0);
	assert_int_equal(m->merged.nresult, m->n);
	if (pf_verify(&m->merged, &error) < 0)
		fail_msg("merged: %s", error.text);
	if (pf_optimise(&m->merged, without, NULL, NULL, &error) < 0)
		fail_msg("merged: %s", error.text);
	assert_int_equal(m->merged.nresult, m->n);
	assert_int_equal(pf_interp_make(&m->merged, &m->interp), 0);
	if (pf_native_make(&m->merged, &m->native) < 0)
		m->native = NULL;
}

static void many_forget(struct many *m)
{
	pf_unit_release(&m->merged);
	pf_interp_free(m->interp);
	pf_native_free(m->native);
	m->interp = NULL;
	m->native = NULL;
}

static void many_release(struct many *m)
{
	many_forget(m);
	for (size_t i = 0; i < m->n; i++) {
		pf_unit_release(&m->unit[i]);
		pf_unref(m->alone[i]);
	}
	free(m->unit);
	free(m->alone);
}

/* The hits of one engine are those filters that accept alone, with the same results. */
static void expect_hits(const struct many *m, const struct pf_packet *p, const uint32_t *want,
			const struct pf_hit *hits, uint32_t nhit, const char *engine)
{
	PFS_FREE uint32_t *got = pfs_zalloc(m->n, sizeof(*got));

	if (m->n == 1) {
		assert_int_equal(nhit, want[0]); /* the result itself */
		return;
	}
	for (uint32_t i = 0; i < nhit; i++) {
		assert_true(hits[i].id < m->n && hits[i].value && !got[hits[i].id]);
		got[hits[i].id] = hits[i].value;
	}
	for (size_t i = 0; i < m->n; i++)
		if (got[i] != want[i])
			fail_msg("%s: filter %zu of %zu says %u of %u bytes, alone %u", engine, i,
				 m->n, got[i], p->caplen, want[i]);
}

static void many_run(const struct many *m, const struct pf_packet *p)
{
	PFS_FREE struct pf_hit *hits = pfs_zalloc(m->n, sizeof(*hits));
	PFS_FREE uint32_t *want = pfs_zalloc(m->n, sizeof(*want));

	assert_true(hits && want);
	for (size_t i = 0; i < m->n; i++)
		want[i] = pf_run(m->alone[i], p);
	expect_hits(m, p, want, hits, pf_interp_run(m->interp, p, hits), "interp");
	if (m->native)
		expect_hits(m, p, want, hits, pf_native_run(m->native, p, hits), "native");
}

static void many_run_all(const struct many *m, const struct packets *packets, bool truncated)
{
	for (size_t i = 0; i < packets->n; i++) {
		const struct bytes *b = &packets->of[i];

		many_run(m, &(struct pf_packet){ b->data, b->n, b->n, NULL });
		for (uint32_t n = 0; truncated && n < b->n && n < 80; n += 3)
			many_run(m, &(struct pf_packet){ b->data, n, b->n, NULL });
	}
}

static void test_few(void **state)
{
	static const char *const texts[] = { "tcp port 80",
					     "tcp dst port 443",
					     "udp port 53",
					     "icmp or icmp6",
					     "host 10.0.0.1",
					     "ip6 and tcp",
					     "arp",
					     "vlan and ip",
					     "greater 100",
					     "tcp port 80",
					     "not tcp",
					     "",
					     "ip[8] == ip[9] / 2",
					     "port 80 and host 10.0.0.2" };
	struct packets packets = { 0 };
	struct many m = { 0 };

	(void)state;
	packets_generate(&packets, 11, 60);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		many_add(&m, texts[i]);
	many_merge(&m, 0);
	many_run_all(&m, &packets, true);
	many_forget(&m);
	for (unsigned pass = 0; pf_pass_name(pass); pass++) {
		many_merge(&m, UINT64_C(1) << pass);
		many_run_all(&m, &packets, false);
		many_forget(&m);
	}
	many_merge(&m, PF_ALL_PASSES);
	many_run_all(&m, &packets, true);
	many_release(&m);
	packets_release(&packets);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
