/*
 * fuzz_redir_link - configurations and messages between streams and redirect processes, and rules as text
 */
#include "redir/link.h"
#include "redir/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A configuration that is understood is written again, byte for byte. */
static void fuzz_config(const uint8_t *data, size_t size)
{
	PFS_BUF struct pfs_buf again = { 0 };
	struct rd_link_config config;

	if (rd_link_config_get(data, size, &config) < 0)
		return;
	rd_link_config_put(&config, &again);
	if (again.failed || again.len != size || memcmp(again.data, data, size) != 0)
		abort();
	rd_link_config_release(&config);
}

static void fuzz_message(const uint8_t *data, size_t size)
{
	struct rd_link_head head;

	if (size < sizeof(head))
		return;
	memcpy(&head, data, sizeof(head));
	(void)rd_link_check(&head, data + sizeof(head), size - sizeof(head), size & 7);
}

/* What is understood is said in one line and understood again. */
static void fuzz_rule(const char *text, size_t size)
{
	PFS_FREE char *path = NULL, *back = NULL;
	PFS_BUF struct pfs_buf line = { 0 };
	bool subtree, again;

	if (rd_rule_parse(text, size, &path, &subtree, NULL) < 0)
		return;
	rd_path_say(&line, path);
	pfs_buf_str(&line, subtree ? " subtree\n" : " single\n");
	if (rd_rule_parse(line.data, line.len, &back, &again, NULL) < 0 ||
	    strcmp(path, back) != 0 || subtree != again)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_config(data, size);
	fuzz_message(data, size);
	fuzz_rule((const char *)data, size);
	return 0;
}
