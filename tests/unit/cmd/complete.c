/* Where the cursor is in an unfinished word and in an unfinished pipeline. */
#include "cmd/complete_i.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

static void quotes_go(void **state)
{
	static const struct {
		const char *word, *want;
	} cases[] = {
		{ "", "" },
		{ "tcp", "tcp" },
		{ "'a b'", "a b" },
		{ "'a | b", "a | b" },
		{ "\"a 'b\\\" c", "a 'b\" c" },
		{ "a\\ b\\'c", "a b'c" },
		{ "'it'\\''s", "it's" },
		{ "'a\\b'", "a\\b" },
		{ "end\\", "end\\" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		PFS_BUF struct pfs_buf got = { 0 };

		complete_unquote(cases[i].word, &got);
		assert_string_equal(got.data, cases[i].want);
	}
}

static void places_of_a_pipeline(void **state)
{
	static const struct {
		const char *text;
		enum complete_place place;
		const char *word, *stage, *before;
		bool attached;
	} cases[] = {
		{ "", PLACE_SOURCE, "", "", "", false },
		{ "pc", PLACE_SOURCE, "pc", "", "", false },
		{ "pcapin ", PLACE_ARGUMENT, "", "pcapin", "", false },
		{ "pcapin /tmp/t", PLACE_ARGUMENT, "/tmp/t", "pcapin", "", false },
		{ "pcapin t |", PLACE_STAGE, "", "", "pcapin", true },
		{ "pcapin t | ", PLACE_STAGE, "", "", "pcapin", false },
		{ "pcapin t | httpplus |g", PLACE_STAGE, "g", "", "httpplus", true },
		{ "pcapin 'a | b' | ud", PLACE_STAGE, "ud", "", "pcapin", false },
		{ "pcapin a\\|b", PLACE_ARGUMENT, "a\\|b", "pcapin", "", false },
		{ "dev:eth0 | tc", PLACE_STAGE, "tc", "", "dev", false },
		{ "accept | tcp > o", PLACE_FILE, "o", "", "", false },
		{ "accept | http | ( ", PLACE_STAGE, "", "", "http", false },
		{ "accept | http | ( tcp | udp + p", PLACE_STAGE, "p", "", "http", false },
		{ "accept | http | ( tcp + udp ) | i", PLACE_STAGE, "i", "", "udp", false },
		{ "accept | tcp + p", PLACE_SOURCE, "p", "", "", false },
		{ "( accept + p", PLACE_SOURCE, "p", "", "", false },
		{ "accept | tcp\np", PLACE_SOURCE, "p", "", "", false },
		{ "accept | sample 3 ph", PLACE_ARGUMENT, "ph", "sample", "accept", false },
		{ "accept | a+b", PLACE_STAGE, "a+b", "", "accept", false },
		{ ")))", PLACE_STAGE, "", "", "", false },
		{ "((((", PLACE_SOURCE, "", "", "", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct complete_cursor got;

		complete_pipeline(cases[i].text, &got);
		if (got.place != cases[i].place || strcmp(cases[i].text + got.begin, cases[i].word) ||
		    strcmp(got.stage, cases[i].stage) || got.attached != cases[i].attached)
			print_error("%s: place %d word '%s' stage '%s'\n", cases[i].text, got.place,
				    cases[i].text + got.begin, got.stage);
		assert_int_equal(got.place, cases[i].place);
		assert_string_equal(cases[i].text + got.begin, cases[i].word);
		assert_string_equal(got.stage, cases[i].stage);
		assert_int_equal(got.attached, cases[i].attached);
		if (got.place == PLACE_STAGE && cases[i].before[0])
			assert_string_equal(got.before, cases[i].before);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quotes_go),
		cmocka_unit_test(places_of_a_pipeline),
	};

	return cmocka_run_group_tests_name("complete", tests, NULL, NULL);
}
