/*
 * solver - z3, asked by tests
 */
#ifndef TESTS_PF_SOLVER_H
#define TESTS_PF_SOLVER_H

#include <fcntl.h>

#include "help.h"
#include "pf/prove/smt.h"

#define SOLVER_BYTES 256u

HELP bool solver_is_here(void)
{
	if (system("z3 --version >/dev/null 2>&1") == 0)
		return true;
	print_message("z3 is not here\n");
	return false;
}

/* text is all that it is asked; what it says is appended to the answer. */
HELP void solver_ask(const struct pfs_buf *text, struct pfs_buf *answer)
{
	char path[] = "/tmp/pf-prove-XXXXXX", command[80], block[4096];
	FILE *f;
	size_t n;
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0 && !text->failed);
	assert_int_equal(write(fd, text->data, text->len), text->len);
	close(fd);
	snprintf(command, sizeof(command), "exec z3 -t:10000 %s", path);
	f = popen(command, "re");
	assert_non_null(f);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		pfs_buf_add(answer, block, n);
	pfs_buf_str(answer, "");
	pclose(f);
	unlink(path);
}

/* Is there a packet about which two programs do not agree? It decides that; without it, or in doubt: no. */
HELP bool solver_differ(const struct pf_insn *a, size_t na, const struct pf_insn *b, size_t nb)
{
	PFS_BUF struct pfs_buf text = { 0 }, answer = { 0 };

	pf_smt_packet(&text, SOLVER_BYTES);
	if (pf_smt_insns(a, na, "a", &text) < 0 || pf_smt_insns(b, nb, "b", &text) < 0)
		return false;
	pf_smt_claim("a", "b", 0, &text);
	solver_ask(&text, &answer);
	return !strcmp(answer.data, "sat\n");
}

/* --- the claims of programs ------------------------------------------------------------------ */

struct proving {
	struct pfs_buf text;
	char **whose; /* owned, each; by claim */
	size_t n;
	unsigned proved, unknown;
};

HELP void proving_release(struct proving *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->whose[i]);
	free(p->whose);
	pfs_buf_release(&p->text);
	*p = (struct proving){ .proved = p->proved, .unknown = p->unknown };
}

/* Returns how many claims there are. */
HELP unsigned proving_add(struct proving *p, struct pf_prog *prog, const char *name)
{
	PFS_FREE char *claims = NULL;
	struct pf_error error;
	unsigned n = 0;

	if (pf_dump(prog, "smt", &claims, &error) < 0)
		fail_msg("%s: %s", name, error.text);
	for (const char *at = claims; (at = strstr(at, "(check-sat)")); at++, n++) {
		p->whose = reallocarray(p->whose, p->n + 1, sizeof(*p->whose));
		assert_non_null(p->whose);
		p->whose[p->n] = strdup(name);
		assert_non_null(p->whose[p->n++]);
	}
	pfs_buf_str(&p->text, "(reset)\n");
	pfs_buf_str(&p->text, claims);
	return n;
}

/* The packet about which the claim with that number fails, and what is claimed. */
HELP void proving_show(const struct proving *p, size_t claim)
{
	static const char check[] = "(check-sat)\n";
	PFS_BUF struct pfs_buf text = { 0 }, answer = { 0 };
	const char *at = p->text.data, *begin = at, *what = at;
	struct pf_counterexample c;

	for (size_t i = 0; i <= claim; i++) {
		const char *end = strstr(at, check);

		for (const char *reset = at; (reset = strstr(reset, "(reset)\n")) && reset < end;
		     reset++)
			begin = reset;
		for (const char *said = at; (said = strstr(said, "\n; ")) && said < end; said++)
			what = said + 3;
		at = end + strlen(check);
	}
	pfs_buf_add(&text, begin, (size_t)(at - begin));
	pf_smt_ask_packet(SOLVER_BYTES, &text);
	solver_ask(&text, &answer);
	print_message("%s: %.*s\n", p->whose[claim], (int)strcspn(what, "\n"), what);
	what = strstr(answer.data, "((caplen");
	if (!what || pf_smt_read_packet(what, SOLVER_BYTES, &c) < 0)
		return;
	print_message("a packet of %u bytes, %u on the wire, known %#x:", c.caplen, c.len, c.aux.known);
	for (uint32_t i = 0; i < c.caplen; i++)
		print_message(" %02x", c.bytes[i]);
	print_message("\n");
}

/* Asks all that were added, and forgets them; a packet that was found is shown. */
HELP void proving_ask(struct proving *p)
{
	PFS_BUF struct pfs_buf answer = { 0 };
	size_t i = 0;

	if (!p->n)
		return;
	solver_ask(&p->text, &answer);
	for (const char *line = answer.data; *line; i++) {
		size_t len = strcspn(line, "\n");

		if (i >= p->n)
			fail_msg("more answers than claims: %.100s", line);
		if (len == 5 && !memcmp(line, "unsat", 5)) {
			p->proved++;
		} else if ((len == 7 && !memcmp(line, "unknown", 7)) || !memcmp(line, "timeout", 7)) {
			print_message("not decided: %s, claim %zu of them\n", p->whose[i], i);
			p->unknown++;
		} else {
			proving_show(p, i);
			fail_msg("%s: %.*s", p->whose[i], (int)len, line);
		}
		line += len + (line[len] == '\n');
	}
	assert_int_equal(i, p->n);
	proving_release(p);
}

/* A product or a quotient of two numbers that are not known: not for solvers. */
HELP bool solver_is_lost(const struct pf_insn *insns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((insns[i].code & 0x07) == 4 && (insns[i].code & 0x08) &&
		    ((insns[i].code & 0xf0) == 0x20 || (insns[i].code & 0xf0) == 0x30 ||
		     (insns[i].code & 0xf0) == 0x90))
			return true;
	return false;
}

#endif
