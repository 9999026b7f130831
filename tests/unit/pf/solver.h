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
	pf_smt_claim("a", "b", &text);
	solver_ask(&text, &answer);
	return !strcmp(answer.data, "sat\n");
}

#endif
