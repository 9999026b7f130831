/*
 * heads - of HTTP/1.x and DNS messages: whole, cut off, and what only looks like one
 */
#include "bytes_help.h"

#include "packet/dissect.h"
#include "packet/dns.h"

/* --- HTTP -------------------------------------------------------------------------------------- */

static const struct {
	const char *text;
	enum pkt_http kind;
	const char *method, *path, *host;
	unsigned status;
	int head_len; /* -1: not complete */
	int length;
	bool chunked;
} messages[] = {
	{ "GET / HTTP/1.1\r\nHost: a.example\r\n\r\nbody", PKT_HTTP_REQUEST, "GET", "/",
	  "a.example", 0, 35, -1, false },
	{ "POST /x?y=1 HTTP/1.0\nhOST:  b:80 \t\ncontent-length: 12\n\n", PKT_HTTP_REQUEST, "POST",
	  "/x?y=1", "b:80", 0, 55, 12, false },
	{ "PUT /x HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", PKT_HTTP_REQUEST, "PUT",
	  "/x", NULL, 0, 53, -1, true },
	{ "GET http://h.example:8080/p?q HTTP/1.1\r\nHost: other\r\n\r\n", PKT_HTTP_REQUEST, "GET",
	  "/p?q", "h.example:8080", 0, 55, -1, false },
	{ "OPTIONS * HTTP/1.1\r\n\r\n", PKT_HTTP_REQUEST, "OPTIONS", "*", NULL, 0, 22, -1, false },
	{ "CONNECT h:443 HTTP/1.1\r\n\r\n", PKT_HTTP_REQUEST, "CONNECT", "h:443", NULL, 0, 26, -1,
	  false },
	{ "PROPPATCH /d HTTP/1.1\r\nHost: c\r\n", PKT_HTTP_REQUEST, "PROPPATCH", "/d", "c", 0, -1,
	  -1, false },
	{ "GET /cut/off/in/the/pa", PKT_HTTP_REQUEST, "GET", "/cut/off/in/the/pa", NULL, 0, -1, -1,
	  false },
	{ "GET /x HTT", PKT_HTTP_REQUEST, "GET", "/x", NULL, 0, -1, -1, false },
	{ "GET /x HTTP/1.1\r", PKT_HTTP_REQUEST, "GET", "/x", NULL, 0, -1, -1, false },
	{ "GET /x HTTP/1.1\r\nHost: half", PKT_HTTP_REQUEST, "GET", "/x", NULL, 0, -1, -1, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", PKT_HTTP_RESPONSE, NULL, NULL, NULL, 200,
	  38, 5, false },
	{ "HTTP/1.0 404\r\n\r\n", PKT_HTTP_RESPONSE, NULL, NULL, NULL, 404, 16, -1, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", PKT_HTTP_RESPONSE,
	  NULL, NULL, NULL, 200, 57, -1, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", PKT_HTTP_RESPONSE, NULL, NULL, NULL, 200,
	  39, -1, false },
	{ "HTTP/1.1 2", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "HTTP/2.0 200 OK\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "HTTP/1.1 2x0 OK\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "GET /x\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false }, /* HTTP/0.9 */
	{ "GET /x FTP/1.1\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "GET /x ho ho HTTP/1.1\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "GETS /x HTTP/1.", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1,
	  false }, /* perhaps a method, but cut off */
	{ "GET-A-VERY-VERY-LONG-METHOD /x HTTP/1.1\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1,
	  false },
	{ "Mkcalendar /x HTTP/1.1\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "get / HTTP/1.1\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "GET", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "PUT a secret into it", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "GET \x01 HTTP/1.1\r\n", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
	{ "", PKT_HTTP_NONE, NULL, NULL, NULL, 0, -1, -1, false },
};

static void http(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		const uint8_t *p = (const uint8_t *)messages[i].text;
		struct pkt_http_head head;

		pkt_http(p, strlen(messages[i].text), &head);
		if (head.kind != messages[i].kind)
			print_message("row %zu: %s\n", i, messages[i].text);
		assert_int_equal(head.kind, messages[i].kind);
		assert_int_equal(head.complete, messages[i].head_len >= 0);
		if (head.complete)
			assert_int_equal(head.head_len, messages[i].head_len);
		assert_int_equal(head.content_length, messages[i].length);
		assert_int_equal(head.chunked, messages[i].chunked);
		assert_int_equal(head.status, messages[i].status);
		if (messages[i].method) {
			assert_string_equal(head.method, messages[i].method);
			assert_int_equal(head.method_len, strlen(messages[i].method));
			assert_memory_equal(head.method_text, messages[i].method, head.method_len);
			assert_int_equal(head.path_len, strlen(messages[i].path));
			assert_memory_equal(head.path, messages[i].path, head.path_len);
		}
		assert_int_equal(!head.host, !messages[i].host);
		if (head.host && messages[i].host) {
			assert_int_equal(head.host_len, strlen(messages[i].host));
			assert_memory_equal(head.host, messages[i].host, head.host_len);
		}
	}
}

/* Methods that are in no table, and what else framing needs. */
static void http_framing(void **state)
{
	static const struct {
		const char *text;
		const char *method;
		unsigned minor;
		int length;
		bool chunked, coded, contradictory;
	} table[] = {
		{ "M-SEARCH * HTTP/1.1\r\n\r\n", "M-SEARCH", 1, -1, false, false, false },
		{ "PURGE /x HTTP/1.0\r\nContent-Length: 5\r\ncontent-length:5\r\n\r\n", "PURGE", 0,
		  5, false, false, false },
		{ "GET /x HTTP/1.1\r\nContent-Length: 5, 5 ,5\r\n\r\n", "GET", 1, 5, false, false,
		  false },
		{ "GET /x HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n", "GET", 1, 5, false, false, true },
		{ "GET /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "GET", 1, 6,
		  false, false, true },
		{ "GET /x HTTP/1.1\r\nContent-Length:\r\n\r\n", "GET", 1, -1, false, false, false },
		{ "HTTP/1.0 200\r\nTransfer-Encoding: gzip,\tCHUNKED \r\n\r\n", NULL, 0, -1, true,
		  false, false },
		{ "HTTP/1.1 200\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", NULL, 1, -1, false,
		  true, false },
		{ "HTTP/1.1 200\r\nTransfer-Encoding: notchunked\r\n\r\n", NULL, 1, -1, false, true,
		  false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct pkt_http_head head;

		pkt_http((const uint8_t *)table[i].text, strlen(table[i].text), &head);
		assert_true(head.complete);
		assert_int_equal(head.minor, table[i].minor);
		assert_int_equal(head.content_length, table[i].length);
		assert_int_equal(head.chunked, table[i].chunked);
		assert_int_equal(head.coded, table[i].coded);
		assert_int_equal(head.contradictory, table[i].contradictory);
		assert_int_equal(head.kind, table[i].method ? PKT_HTTP_REQUEST : PKT_HTTP_RESPONSE);
		if (table[i].method) {
			assert_int_equal(head.method_len, strlen(table[i].method));
			assert_memory_equal(head.method_text, table[i].method, head.method_len);
		}
	}
}

/* --- DNS --------------------------------------------------------------------------------------- */

static void dns(void **state)
{
	static const struct {
		const char *message;
		bool is;
		const char *name;
		uint16_t type;
	} table[] = {
		{ "1234 0100 0001 0000 0000 0000 03777777 076578616d706c65 03636f6d 00 0001 0001",
		  true, "www.example.com", 1 },
		{ "1234 8183 0001 0000 0000 0000 00 0002 0001", true, ".", 2 },
		{ "1234 0100 0000 0000 0000 0000", true, "", 0 },
		{ "1234 0100 0001 0000 0000 0000 03777777", true, "", 0 },	 /* cut off */
		{ "1234 0100 0001 0000 0000 0000 c00c 0001 0001", true, "", 0 }, /* points at itself */
		{ "1234 0100 0001 0000 0000 0000 0161 c00c 0001 0001", true, "", 0 }, /* ... in a loop */
		{ "1234 0100 0001 0000 0000 0000 c0ff 0001 0001", true, "", 0 },      /* forwards */
		{ "0000 0100 0001 0000 0000 0000 c000 001c 0001", true, ".", 28 }, /* backwards */
		{ "1234 0100 0001 0000 0000 0000 7f61 00 0001 0001", true, "", 0 },
		{ "1234 4100 0001 0000 0000 0000 00 0001 0001", false, "", 0 }, /* opcode 8 */
		{ "1234 0100 0041 0000 0000 0000 00 0001 0001", false, "", 0 }, /* 65 questions */
		{ "1234 0100 0001", false, "", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct pkt_dns dns_ = { 0 };
		uint8_t p[100];
		size_t n = from_hex(table[i].message, p, sizeof(p));

		if (pkt_dns(p, n, &dns_) != table[i].is || strcmp(dns_.name, table[i].name) != 0)
			fail_msg("row %zu: \"%s\"", i, dns_.name);
		assert_int_equal(dns_.type, table[i].type);
		assert_int_equal(dns_.name_len, strlen(table[i].name));
	}
	assert_string_equal(pkt_dns_type(28), "AAAA");
	assert_null(pkt_dns_type(9999));
	assert_string_equal(pkt_dns_rcode(3), "NXDOMAIN");
	assert_null(pkt_dns_rcode(15));
}

/* A long name with labels of every length is cut, never overrun. */
static void long_name(void **state)
{
	struct pkt_dns dns_;
	uint8_t p[12 + 64 * 8 + 5] = { [5] = 1 };

	for (size_t i = 0; i < 8; i++) {
		p[12 + i * 64] = 63;
		memset(p + 13 + i * 64, 'a' + (int)i, 63);
	}
	assert_true(pkt_dns(p, sizeof(p), &dns_));
	assert_int_equal(dns_.name_len, PKT_DNS_NAME_MAX - 1);
	assert_int_equal(strlen(dns_.name), PKT_DNS_NAME_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(http),
		cmocka_unit_test(http_framing),
		cmocka_unit_test(dns),
		cmocka_unit_test(long_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
