/*
 * fuzz_pf_mpf - any bytes as an MPF program: text of all forms, arrays of instructions
 *
 * What is accepted says what a plain interpreter of the language says, is listed in all stages, and dispatches the
 * rest of the input, cut into packets, among sessions: every packet is accounted for.
 */
#include <pipesfs/pf.h>

#include "base/base.h"
#include "pf/front/mpf.h"
#include "tests/unit/pf/mpf_plain.h"

#define CHECK(c)                 \
	do {                     \
		if (!(c))        \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct taken {
	uint64_t delivered, dropped;
};

static void on_deliver(void *arg, uint64_t session, uint64_t packet, uint32_t accept)
{
	struct taken *t = arg;

	CHECK(accept);
	t->delivered++;
}

static void on_drop(void *arg, uint64_t packet, enum pf_drop why)
{
	struct taken *t = arg;

	t->dropped++;
}

static void dispatch(const char *program, size_t len, const uint8_t *data, size_t size)
{
	struct pf_sessions_options options = PF_SESSIONS_OPTIONS_INIT;
	struct pf_sessions_counters c = { .size = sizeof(c) };
	struct taken taken = { 0 };
	struct pf_sessions *s;

	options.sessions = 3;
	options.datagrams = 3;
	options.waiting = 4;
	options.deliver = on_deliver;
	options.drop = on_drop;
	options.arg = &taken;
	if (pf_sessions_new(program, len, NULL, &options, &s, NULL) < 0)
		return;
	CHECK(pf_sessions_add_program(s, program, len, 1, NULL) == 0);
	CHECK(pf_sessions_add(s, (uint32_t[16]){ 0 }, pf_sessions_keys(s), 2, NULL) != -ENOMEM);
	for (size_t at = 0; at < size; at += 7) {
		struct pf_packet p = { .data = data + at,
				       .caplen = (uint32_t)pfs_min(size - at, 60),
				       .len = 60 };

		pf_sessions_run(s, &p, at * 300000, at);
	}
	pf_sessions_flush(s);
	pf_sessions_count(s, &c);
	CHECK(c.waiting == 0 && c.delivered == taken.delivered &&
	      taken.dropped == c.timeouts + c.full + c.ended &&
	      c.packets == c.delivered + c.rejected + taken.dropped);
	pf_sessions_free(s);
}

static void check_listings(const struct pf_prog *prog)
{
	for (unsigned i = 0; pf_stage_name(i); i++) {
		char *text = NULL;
		int r = pf_dump(prog, pf_stage_name(i), &text, NULL);

		CHECK(r == 0 || r == -ENOTSUP || r == -E2BIG);
		free(text);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pf_packet packet = { .data = data, .caplen = (uint32_t)pfs_min(size, 100), .len = 100 };
	struct pf_error error = { "" };
	struct mpf_program plain;
	struct pf_prog *prog = NULL;
	struct pf_insn *insns = NULL;
	bool asks = false;

	if (size > 8000)
		return 0;
	if (pf_compile("mpf", (const char *)data, size, NULL, &prog, &error) < 0) {
		CHECK(error.text[0]);
		return 0;
	}
	CHECK(pf_mpf_parse((const char *)data, size, &insns, &plain.n, NULL) == 0);
	/* What is beside the bytes the plain interpreter does not know. */
	for (size_t i = 0; i < plain.n; i++)
		asks = asks || (CB_CLASS(insns[i].code) == CB_LD &&
				CB_MODE(insns[i].code) == CB_ABS && insns[i].k >= CB_AD_OFF);
	if (plain.n <= MPF_PLAIN_MAX && !asks) {
		memcpy(plain.insn, insns, plain.n * sizeof(*insns));
		CHECK(pf_run(prog, &packet) == mpf_plain(&plain, &packet));
	}
	check_listings(prog);
	dispatch((const char *)data, size, data, size);
	free(insns);
	pf_unref(prog);
	return 0;
}
