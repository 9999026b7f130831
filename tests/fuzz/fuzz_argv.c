/*
 * fuzz_argv - command lines: never more words or bytes than the text has
 */
#include "base/argv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PFS_ARGV struct pfs_argv argv = { 0 };
	PFS_FREE char *text = strndup((const char *)data, size);
	struct pfs_diag diag;
	size_t bytes = 0;

	if (pfs_argv_split(text, &argv, &diag) < 0)
		return 0;
	for (size_t i = 0; i < argv.n; i++)
		bytes += strlen(argv.v[i]);
	if (argv.v[argv.n] || bytes > strlen(text))
		abort();
	return 0;
}
