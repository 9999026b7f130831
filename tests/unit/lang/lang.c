/* The pipeline language: good programs and the directories they stand for, bad ones and what is said where. */
#include "lang/lang.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "graph/tables.h"

/* --- tables: what the language has to know of filters ------------------------------------------------ */

static const char *const methods[] = { "get", "post", "tcp", NULL };
static const struct pfs_param phase[] = { { "phase", "" }, { "seed", "" }, { NULL, NULL } };
static const struct pfs_param append[] = { { "append", "" }, { NULL, NULL } };
static const struct pfs_param restart[] = { { "restart", "" }, { NULL, NULL } };
static const struct pfs_param speed[] = { { "speed", "" }, { NULL, NULL } };
static const struct pfs_param snaplen[] = { { "snaplen", "" }, { "netns", "" }, { NULL, NULL } };

static struct pfs_classes *ports(void *state)
{
	return NULL;
}

static const struct pfs_filter tcp = { .name = "tcp" }, udp = { .name = "udp" },
			       inspect = { .name = "inspect", .alias = "iinspect" },
			       match = { .name = "match", .has_arg = true },
			       head = { .name = "head", .has_arg = true },
			       sample = { .name = "sample", .has_arg = true, .params = phase },
			       http = { .name = "httpplus", .alias = "http", .classes = methods },
			       dstport = { .name = "dstport", .open_classes = ports },
			       exec = { .name = "exec",
					.flags = PFS_FILTER_ARGV,
					.has_arg = true,
					.params = restart },
			       file = { .name = "file", .flags = PFS_FILTER_SINK, .params = append },
			       transmit = { .name = "transmit", .flags = PFS_FILTER_SINK };
static const struct pfs_source accept_ = { .name = "accept" },
			       pcap = { .name = "pcap", .alias = "pcapin", .params = speed },
			       dev = { .name = "dev", .flags = PFS_SOURCE_DEVICES, .params = snaplen };

const struct pfs_source *const pfs_sources[] = { &accept_, &dev, &pcap, NULL };
const struct pfs_filter *const pfs_filters[] = { &dstport, &exec,     &file,  &head,
						 &http,	   &inspect,  &match, &sample,
						 &tcp,	   &transmit, &udp,   NULL };
const struct pfs_manual pfs_manuals[] = { { NULL, NULL } };

/* --- good ------------------------------------------------------------------------------------------------ */

static bool has_child(const struct lang_program *program, size_t stage)
{
	for (size_t i = 0; i < program->n; i++)
		if (program->stage[i].above == stage)
			return true;
	return false;
}

/* The paths of what has nothing below it, or is an end (*). */
static void render(const struct lang_program *program, bool at_root, struct pfs_buf *out)
{
	for (size_t i = 0; i < program->n; i++) {
		assert_true(program->stage[i].above == LANG_TOP || program->stage[i].above < i);
		if (has_child(program, i) && !program->stage[i].end)
			continue;
		if (out->len)
			pfs_buf_str(out, " ; ");
		lang_path(program, i, at_root, out);
		if (program->stage[i].end)
			pfs_buf_str(out, "*");
	}
}

static const struct {
	const char *text, *want;
} good[] = {
	{ "accept", "accept*" },
	{ "pcapin trace.pcap | tcp | dstport |80 inspect", "pcapin:trace.pcap/tcp/dstport/80/inspect*" },
	{ "pcapin trace.pcap|tcp|inspect", "pcapin:trace.pcap/tcp/inspect*" },
	{ "  accept\t|\ttcp  ", "accept/tcp*" },

	/* classes */
	{ "accept | httpplus |get", "accept/httpplus/get*" },
	{ "accept | http | get", "accept/http/get*" },
	{ "accept | http | get inspect", "accept/http/get/inspect*" },
	{ "accept | http |put", "accept/http/put*" },
	{ "accept | http |tcp udp", "accept/http/tcp/udp*" },
	{ "accept | http | udp x", "accept/http/udp:x*" },
	{ "accept | dstport | 80 inspect", "accept/dstport/80/inspect*" },
	{ "accept | dstport | 80 | inspect", "accept/dstport/80/inspect*" },
	{ "accept | dstport | tcp 7", "accept/dstport/tcp:7*" },
	{ "accept | dstport 80", "accept/dstport/80*" },
	{ "accept | dstport 80 | tcp", "accept/dstport/80/tcp*" },
	{ "accept | dstport 80 x", "accept/dstport:80 x*" },
	{ "accept | dstport |tcp udp", "accept/dstport/tcp/udp*" },
	{ "accept | dstport |[::1]:5-[::1]:80 tcp", "accept/dstport/[::1]:5-[::1]:80/tcp*" },
	{ "accept | dstport |a/b", "accept/dstport/a%2fb*" },
	{ "accept | dstport |80 | 443 x", "accept/dstport/80/443:x*" },
	{ "accept | tcp |80 inspect", "accept/tcp/80:inspect*" },
	{ "accept | dstport: |80", "accept/dstport:/80*" },

	/* arguments */
	{ "pcapin /tmp/t.pcap", "pcapin:%2ftmp%2ft.pcap*" },
	{ "pcapin 'a  b,c%20d'", "pcapin:a  b%2cc%2520d*" },
	{ "accept | match tcp dst port 443", "accept/match:tcp dst port 443*" },
	{ "accept | match 'tcp[13] & 2 != 0 or (len > 9)'",
	  "accept/match:tcp[13] & 2 != 0 or (len > 9)*" },
	{ "accept | match \"host \\\"x\\\"\"", "accept/match:host \"x\"*" },
	{ "accept | match a\\ b\\|c", "accept/match:a b|c*" },
	{ "accept | match a+b +c", "accept/match:a+b* ; c*" },
	{ "accept | match a+b c#d", "accept/match:a+b c#d*" },
	{ "accept | match ''", "accept/match:*" },
	{ "accept | match \"a\nb\"", "accept/match:a%0ab*" },
	{ "accept | h\"ea\"d '10'", "accept/head:10*" },

	/* parameters */
	{ "accept | sample 100 phase=3", "accept/sample:100,phase=3*" },
	{ "accept | sample phase=3 100 seed='a,b/c'", "accept/sample:100,phase=3,seed=a%2cb%2fc*" },
	{ "accept | sample 100 'phase=3'", "accept/sample:100 phase=3*" },
	{ "accept | match 100 phase=3", "accept/match:100 phase=3*" },
	{ "accept | http get=1", "accept/http:get=1*" },
	{ "accept | what ever=1", "accept/what:ever=1*" },

	/* names as the tree has them */
	{ "accept | head:10", "accept/head:10*" },
	{ "accept | exec gzip -9", "accept/exec:gzip -9*" },
	{ "accept | exec 'gzip -9'", "accept/exec:gzip -9*" },
	{ "accept | exec sh -c 'a; b'", "accept/exec:sh -c \"a; b\"*" },
	{ "accept | exec:sh -c 'a \\ \"b\"'", "accept/exec:sh -c \"a \\\\ \\\"b\\\"\"*" },
	{ "accept | exec echo '' \"it's\" restart=2", "accept/exec:echo \"\" \"it's\",restart=2*" },
	{ "accept | sample:100,phase=3", "accept/sample:100,phase=3*" },
	{ "accept | sample,phase=3 100", "accept/sample:100,phase=3*" },
	{ "accept | sample:100,phase=3 seed=4", "accept/sample:100,phase=3,seed=4*" },
	{ "accept | match:tcp dst port 443", "accept/match:tcp dst port 443*" },
	{ "accept | match:ip[0,1]", "accept/match:ip[0,1]*" },
	{ "pcap:/tmp/a%20b", "pcap:%2ftmp%2fa%20b*" },
	{ "pcap:'/tmp/a%20b,c'", "pcap:%2ftmp%2fa%2520b%2cc*" },
	{ "what:ever,x=1", "what:ever,x=1*" },
	{ "accept:web", "accept:web*" },

	/* devices */
	{ "dev eth0 snaplen=96 | tcp", "dev:eth0,snaplen=96/tcp*" },
	{ "dev/eth0,snaplen=96 | tcp", "dev:eth0,snaplen=96/tcp*" },
	{ "dev:eth0", "dev:eth0*" },

	/* branches */
	{ "accept | ( tcp + udp )", "accept/tcp* ; accept/udp*" },
	{ "accept | ( tcp | head 1 + udp )", "accept/tcp/head:1* ; accept/udp*" },
	{ "accept|(tcp +udp)|inspect", "accept/tcp/inspect* ; accept/udp/inspect*" },
	{ "( accept + pcapin x ) | tcp", "accept/tcp* ; pcapin:x/tcp*" },
	{ "accept | tcp + accept | udp", "accept/tcp* ; accept/udp*" },
	{ "accept | ( tcp + tcp )", "accept/tcp*" },
	{ "accept | ( tcp + tcp | inspect )", "accept/tcp* ; accept/tcp/inspect*" },
	{ "accept | ((tcp + udp) | head 1 + inspect)",
	  "accept/tcp/head:1* ; accept/udp/head:1* ; accept/inspect*" },
	{ "accept | (tcp + udp) | (head 1 + head 2)",
	  "accept/tcp/head:1* ; accept/udp/head:1* ; accept/tcp/head:2* ; accept/udp/head:2*" },
	{ "accept | dstport | ( 80 inspect + |443 + tcp )",
	  "accept/dstport/80/inspect* ; accept/dstport/443* ; accept/dstport/tcp*" },
	{ "accept | (http + dstport) |get", "accept/http/get* ; accept/dstport/get*" },

	/* files and sinks */
	{ "accept | tcp > out.pcap", "accept/tcp/file:out.pcap" },
	{ "accept>a/b", "accept/file:a%2fb" },
	{ "accept > 'a b' append=1", "accept/file:a b,append=1" },
	{ "accept | ( > all.pcap + tcp > tcp.pcap + udp )",
	  "accept/file:all.pcap ; accept/tcp/file:tcp.pcap ; accept/udp*" },
	{ "accept | ( > all + tcp ) | udp", "accept/file:all ; accept/tcp/udp*" },
	{ "accept | transmit eth0", "accept/transmit:eth0" },
	{ "accept | transmit eth0 | tcp", "accept/transmit:eth0/tcp*" },

	/* lines and comments */
	{ "", "" },
	{ "# nothing\n\n  # at all", "" },
	{ "accept | # comment\n tcp", "accept/tcp*" },
	{ "accept\n  | tcp\n  | head 1\n", "accept/tcp/head:1*" },
	{ "accept | tcp\n\npcapin x | udp # more\n", "accept/tcp* ; pcapin:x/udp*" },
	{ "accept \\\n | tcp", "accept/tcp*" },
	{ "accept | (\n\ttcp\n\tudp\n)\n> f", NULL },
	{ "accept | (\n\ttcp\n\tudp\n)\n", "accept/tcp* ; accept/udp*" },
	{ "accept\n> f\n", "accept/file:f" },
	{ "accept | match a\\\nb", "accept/match:ab*" },
	{ "accept | match é", "accept/match:é*" },
};

static void good_programs(void **unused)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		LANG_PROGRAM struct lang_program program = { 0 };
		PFS_BUF struct pfs_buf got = { 0 };
		struct lang_error error;
		int r = lang_parse(good[i].text, strlen(good[i].text), &program, &error);

		if (!good[i].want) {
			assert_int_equal(r, -EINVAL);
			continue;
		}
		if (r < 0)
			print_error("%s\n  at %zu: %s\n", good[i].text, error.at, error.diag.text);
		assert_int_equal(r, 0);
		render(&program, false, &got);
		assert_string_equal(got.data ? got.data : "", good[i].want);
	}
}

static void devices_lie_in_a_folder_at_the_root(void **unused)
{
	static const char text[] = "dev eth0 snaplen=96 | match 'a:b' + pcapin c:d";
	LANG_PROGRAM struct lang_program program = { 0 };
	PFS_BUF struct pfs_buf got = { 0 };
	struct lang_error error;

	assert_int_equal(lang_parse(text, strlen(text), &program, &error), 0);
	render(&program, true, &got);
	assert_string_equal(got.data, "dev/eth0,snaplen=96/match:a:b* ; pcapin:c:d*");
}

static void stages_know_their_place_in_the_text(void **unused)
{
	static const char text[] = "accept | dstport |80 head  10 > 'x y'";
	static const struct {
		enum lang_kind kind;
		size_t at, len;
	} want[] = {
		{ LANG_STAGE, 0, 6 },  { LANG_STAGE, 9, 7 }, { LANG_CLASS, 18, 2 },
		{ LANG_STAGE, 21, 8 }, { LANG_FILE, 30, 7 },
	};
	LANG_PROGRAM struct lang_program program = { 0 };
	struct lang_error error;

	assert_int_equal(lang_parse(text, strlen(text), &program, &error), 0);
	assert_int_equal(program.n, ARRAY_SIZE(want));
	for (size_t i = 0; i < program.n; i++) {
		assert_int_equal(program.stage[i].kind, want[i].kind);
		assert_int_equal(program.stage[i].at, want[i].at);
		assert_int_equal(program.stage[i].len, want[i].len);
	}
}

/* --- bad ------------------------------------------------------------------------------------------------ */

static const struct {
	const char *text;
	size_t at;
	const char *want;
} bad[] = {
	{ "| tcp", 0, "a stage is missing before this bar" },
	{ "accept |", 8, "a stage is missing behind the bar" },
	{ "accept | | tcp", 9, "a stage is missing before this bar" },
	{ "accept || tcp", 8, "a stage is missing before this bar" },
	{ "accept | (tcp", 9, "this '(' is not closed" },
	{ "accept | (tcp | (udp)", 9, "this '(' is not closed" },
	{ "accept | tcp)", 12, "there is no '(' for this ')'" },
	{ ")", 0, "there is no '(' for this ')'" },
	{ "accept | ()", 10, "a pipeline is missing here" },
	{ "accept | (tcp + )", 16, "a pipeline is missing here" },
	{ "accept + ", 9, "a pipeline is missing here" },
	{ "+ accept", 0, "a pipeline is missing before this '+'" },
	{ "accept + + accept", 9, "a pipeline is missing before this '+'" },
	{ "accept | (tcp + udp) head 1", 21, "behind a ')' comes a bar, a '+', or '> FILE'" },
	{ "accept | tcp (udp)", 13,
	  "a group stands where a stage could; quote '(' if it belongs to an argument" },
	{ "accept | match (tcp)", 15,
	  "a group stands where a stage could; quote '(' if it belongs to an argument" },
	{ "accept > ", 9, "the name of a file is missing behind '>'" },
	{ "accept > | tcp", 9, "the name of a file is missing behind '>'" },
	{ "accept > f | tcp", 11,
	  "this does not belong here: behind '> FILE' a pipeline is at its end" },
	{ "accept > f > g", 11, "this does not belong here: behind '> FILE' a pipeline is at its end" },
	{ "accept >> f", 7, "there is no '>>': write '> FILE append=1'" },
	{ "> f", 0, "nothing comes in here that could be written to a file" },
	{ "( > f + accept )", 2, "nothing comes in here that could be written to a file" },
	{ "accept | (tcp + udp) > f", 21,
	  "2 branches come in here, and a file is written by one: give each branch its own '> FILE'" },
	{ "accept | ( > a + tcp > b ) | udp", 29, "nothing comes out of the branches before the bar" },
	{ "accept ; tcp", 7, "';' has no meaning here; quote it if it belongs to an argument" },
	{ "accept &", 7, "'&' has no meaning here; quote it if it belongs to an argument" },
	{ "accept < f", 7,
	  "'<' has no meaning here: the source `accept` reads the standard input; quote '<' if it belongs "
	  "to an argument" },
	{ "accept | match 'tcp", 15, "this quote is not closed" },
	{ "accept | match \"a\\\"", 15, "this quote is not closed" },
	{ "accept | match a\\", 16, "nothing follows this backslash; '\\\\' stands for one itself" },
	{ "accept | ..", 9, "'..' cannot be the name of a stage; `ls .filters` names the filters" },
	{ "accept | .stats", 9,
	  "'.stats' cannot be the name of a stage; `ls .filters` names the filters" },
	{ "accept | :10", 9, "':10' cannot be the name of a stage; `ls .filters` names the filters" },
	{ "accept | ''", 9, "'' cannot be the name of a stage; `ls .filters` names the filters" },
	{ "accept | dstport |..", 18, "'..' cannot be the name of a class" },
	{ "accept/tcp", 0,
	  "'accept/tcp' is one word: stages are separated by bars, and only the argument of a stage may "
	  "have slashes" },
	{ "accept | (tcp+udp)", 10, "'tcp+udp' is one word: put a blank before the '+'" },
	{ "accept | sample,x=1", 9, "'sample,x=1' has no parameter 'x=1'" },
	{ "accept | tcp,x", 9, "'tcp,x' has no parameter 'x'" },
	{ "accept |\n tcp |\n | udp", 17, "a stage is missing before this bar" },
};

static void bad_programs(void **unused)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lang_program program = { 0 };
		struct lang_error error;
		int r = lang_parse(bad[i].text, strlen(bad[i].text), &program, &error);

		if (r != -EINVAL || strcmp(error.diag.text, bad[i].want) || error.at != bad[i].at)
			print_error("%s: %d at %zu: %s\n", bad[i].text, r, error.at, error.diag.text);
		assert_int_equal(r, -EINVAL);
		assert_string_equal(error.diag.text, bad[i].want);
		assert_int_equal(error.at, bad[i].at);
		assert_null(program.stage);
	}
}

static void expect_wrong(const char *text, size_t len, int want, const char *sentence)
{
	struct lang_program program = { 0 };
	struct lang_error error;

	int r = lang_parse(text, len, &program, &error);

	if (r != want)
		print_error("%.60s: %d %s\n", text, r, error.diag.text);
	assert_int_equal(r, want);
	assert_string_equal(error.diag.text, sentence);
	assert_true(error.at <= len);
	assert_null(program.stage);
}

static void what_is_too_much(void **unused)
{
	PFS_BUF struct pfs_buf text = { 0 };
	char zero[] = "accept | match a\0b";

	expect_wrong(zero, sizeof(zero) - 1, -EINVAL, "a zero byte cannot be part of a pipeline");

	pfs_buf_str(&text, "accept");
	for (int i = 0; i < 62; i++)
		pfs_buf_str(&text, "|tcp");
	expect_wrong(text.data, text.len, -E2BIG,
		     "a pipeline has at most 62 stages one after the other");
	text.len = 0;
	for (int i = 0; i < 63; i++)
		pfs_buf_str(&text, "(");
	expect_wrong(text.data, text.len, -E2BIG, "groups are nested more than 62 deep");
	text.len = 0;
	pfs_buf_str(&text, "accept");
	for (int i = 0; i < 11; i++)
		pfs_buf_str(&text, "|(tcp +udp)");
	expect_wrong(text.data, text.len, -E2BIG, "a program has at most 1024 stages");
	text.len = 0;
	for (int i = 0; i < 65537; i++)
		pfs_buf_str(&text, " ");
	expect_wrong(text.data, text.len, -E2BIG, "a program has at most 65536 bytes");
	text.len = 0;
	pfs_buf_str(&text, "accept | match ");
	for (int i = 0; i < 83; i++)
		pfs_buf_str(&text, "///");
	expect_wrong(text.data, text.len, -EINVAL,
		     "the directory of this stage would have a name of 753 bytes, of 255 that are possible; "
		     "shorten the argument");
}

/* --- pointing ------------------------------------------------------------------------------------------ */

static void pointing(void **unused)
{
	static const struct {
		const char *text;
		size_t at, line, column;
		const char *want;
	} cases[] = {
		{ "accept | x", 9, 1, 10, "  accept | x\n           ^\n" },
		{ "accept |\n\tx", 10, 2, 2, "   x\n   ^\n" },
		{ "ä | ö x", 8, 1, 7, "  ä | ö x\n        ^\n" },
		{ "a", 1, 1, 2, "  a\n   ^\n" },
		{ "a\n", 2, 2, 1, "  \n  ^\n" },
		{ "a\x1b[1mb", 1, 1, 2, "  a [1mb\n   ^\n" },
		{ "0123456789012345678901234567890123456789|x", 41, 1, 42,
		  "  56789012345678901234567890123456789|x\n                                      ^\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		PFS_BUF struct pfs_buf got = { 0 };
		size_t len = strlen(cases[i].text), line, column;

		lang_position(cases[i].text, len, cases[i].at, &line, &column);
		assert_int_equal(line, cases[i].line);
		assert_int_equal(column, cases[i].column);
		lang_point(cases[i].text, len, cases[i].at, &got);
		assert_string_equal(got.data, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_programs),
		cmocka_unit_test(devices_lie_in_a_folder_at_the_root),
		cmocka_unit_test(stages_know_their_place_in_the_text),
		cmocka_unit_test(bad_programs),
		cmocka_unit_test(what_is_too_much),
		cmocka_unit_test(pointing),
	};

	return cmocka_run_group_tests_name("lang", tests, NULL, NULL);
}
