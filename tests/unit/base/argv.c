/*
 * argv - words, quotes, continued lines
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/argv.h"

#define WORDS_MAX 6

static void test_split(void **state)
{
	static const struct {
		const char *text;
		const char *words[WORDS_MAX]; /* up to NULL */
	} rows[] = {
		{ "", { NULL } },
		{ " \t ", { NULL } },
		{ "/bin/echo", { "/bin/echo" } },
		{ "/bin/echo a  b\tc ", { "/bin/echo", "a", "b", "c" } },
		{ "awk {print$1} /etc/passwd", { "awk", "{print$1}", "/etc/passwd" } },
		{ "a 'b c' d", { "a", "b c", "d" } },
		{ "a \"b c\" d", { "a", "b c", "d" } },
		{ "a \"b \\\"c\\\" \\\\ \\n\"", { "a", "b \"c\" \\ \\n" } },
		{ "a 'b \\ \"c'", { "a", "b \\ \"c" } },
		{ "git --format='%h %s'x", { "git", "--format=%h %sx" } },
		{ "a '' \"\"", { "a", "", "" } },
		{ "a\\ b c", { "a b", "c" } },
		{ "it\\'s \\\"so\\\"", { "it's", "\"so\"" } },
		{ "sed s/\\./\\\\/ x\\", { "sed", "s/\\./\\/", "x\\" } },
		{ "fetch -o - \\ ftp://host/x", { "fetch", "-o", "-", "ftp://host/x" } },
		{ "fetch -o - \\\nftp://host/x", { "fetch", "-o", "-", "ftp://host/x" } },
		{ "fetch -o - ftp\\\n://host/x", { "fetch", "-o", "-", "ftp://host/x" } },
		{ "a\nb \\", { "a", "b" } },
		{ "a$b `c` ;d |e", { "a$b", "`c`", ";d", "|e" } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		PFS_ARGV struct pfs_argv argv = { 0 };
		size_t n = 0;

		assert_int_equal(pfs_argv_split(rows[i].text, &argv, NULL), 0);
		while (n < WORDS_MAX && rows[i].words[n])
			n++;
		if (argv.n != n)
			print_error("'%s'\n", rows[i].text);
		assert_int_equal(argv.n, n);
		for (size_t j = 0; j < n; j++)
			assert_string_equal(argv.v[j], rows[i].words[j]);
		assert_null(argv.v[n]);
	}
}

/* What is quoted is split into the same words, whatever is in them. */
static void test_quote(void **state)
{
	static const char *const words[] = { "a",    "",	  " ",	"b c",
					     "it's", "\"so\"",	  "\\", "a\\ \"\\\"",
					     "\n",   "{print$1}", "%s" };
	PFS_ARGV struct pfs_argv argv = { 0 };
	PFS_BUF struct pfs_buf text = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		pfs_argv_quote(words[i], strlen(words[i]), &text);
		pfs_buf_str(&text, " ");
	}
	assert_int_equal(pfs_argv_split(text.data, &argv, NULL), 0);
	assert_int_equal(argv.n, ARRAY_SIZE(words));
	for (size_t i = 0; i < argv.n; i++)
		assert_string_equal(argv.v[i], words[i]);
}

static void test_not_closed(void **state)
{
	static const char *const texts[] = { "'", "a 'b", "a \"b", "a \"b\\\"", "a b'c d" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct pfs_argv argv = { 0 };
		struct pfs_diag diag = { "" };

		assert_int_equal(pfs_argv_split(texts[i], &argv, &diag), -EINVAL);
		assert_non_null(strstr(diag.text, "quote"));
		assert_null(argv.v);
	}
}

/* As many words as a text can hold: the block that holds them all has no byte to spare. */
static void test_many(void **state)
{
	PFS_ARGV struct pfs_argv argv = { 0 };
	char text[2 * 1000];

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 ? ' ' : 'x';
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(pfs_argv_split(text, &argv, NULL), 0);
	assert_int_equal(argv.n, sizeof(text) / 2);
	for (size_t i = 0; i < argv.n; i++)
		assert_string_equal(argv.v[i], "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_not_closed),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
