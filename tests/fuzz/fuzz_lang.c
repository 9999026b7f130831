/*
 * fuzz_lang - programs of the pipeline language
 */
#include "base/name.h"
#include "lang/lang.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void check_stage(const struct lang_program *program, size_t i, size_t size)
{
	const struct lang_stage *stage = &program->stage[i];
	PFS_BUF struct pfs_buf path = { 0 };
	size_t len = strlen(stage->name);

	check(stage->above == LANG_TOP || stage->above < i);
	check(stage->at < size && stage->len <= size - stage->at);
	check(len > 0 && len <= PFS_NAME_MAX && stage->name[0] != '.');
	for (size_t j = 0; j < len; j++)
		check((unsigned char)stage->name[j] >= 0x20 && stage->name[j] != '/');
	lang_path(program, i, size & 1, &path);
	check(!path.failed && path.len >= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	LANG_PROGRAM struct lang_program program = { 0 };
	PFS_BUF struct pfs_buf shown = { 0 };
	struct lang_error error;
	int r = lang_parse((const char *)data, size, &program, &error);

	if (r < 0) {
		check(error.at <= size && error.diag.text[0] && !program.stage);
		lang_point((const char *)data, size, error.at, &shown);
		check(!memchr(shown.data, '\033', shown.len));
		return 0;
	}
	for (size_t i = 0; i < program.n; i++)
		check_stage(&program, i, size);
	return 0;
}
