/*
 * fuzz_name - directory names, .params lines and numbers
 */
#include "base/name.h"

static const struct pfs_param params[] = {
	{ "speed", "" },
	{ "snaplen", "" },
	{ NULL, NULL },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	PFS_CLEANUP(pfs_args_release) struct pfs_args args = { 0 };
	PFS_CLEANUP(pfs_args_release) struct pfs_args copy = { 0 };
	PFS_FREE char *name = strndup((const char *)data, size);
	PFS_BUF struct pfs_buf escaped = { 0 };
	struct pfs_diag diag;
	uint64_t number;

	(void)pfs_number_parse(name, size & 1, 1, 1u << 30, &number);
	if (pfs_args_parse(name, params, &args, &diag) < 0)
		return 0;
	if (pfs_args_copy(&args, &copy) < 0)
		return 0;
	(void)pfs_args_merge(&copy, params, (const char *)data, size, &diag);
	if (!args.arg)
		return 0;
	/* What was unescaped and escaped again means the same. */
	pfs_buf_str(&escaped, "type:");
	pfs_name_escape(&escaped, args.arg, args.arg_len);
	pfs_args_release(&copy);
	if (pfs_args_parse(escaped.data, params, &copy, &diag) < 0 || strcmp(copy.arg, args.arg) != 0)
		abort();
	return 0;
}
