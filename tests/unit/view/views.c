/*
 * all.pcapng, all.json, all.txt and inspect: what readers get, from the first byte to the end of a generation
 */
#include "../rig.h"

#include "packet/capture.h"
#include "packet/capture_write.h"
#include "packet/lines.h"

#define ACK 0x10

/* Reads a pcapng stream with the capture parser; packets as "name:len/wire time;" in out. */
static void describe(const struct pfs_buf *stream, struct pfs_buf *out)
{
	const uint8_t *p = (const uint8_t *)stream->data;
	struct capture_packet packet;
	struct capture capture;
	struct pfs_diag diag = { "" };
	size_t n = stream->len, used, need;
	int r;

	capture_init(&capture, CAPTURE_PCAPNG);
	while ((r = capture_next(&capture, p, n, &used, &packet, &need, &diag)) > 0) {
		const struct pfs_origin *origin = &capture.interfaces[packet.interface].origin;

		pfs_buf_printf(out, "%s/%u:%u/%u%s %llu;", origin->name, origin->link_type,
			       packet.caplen, packet.wire_len,
			       packet.flags & PFS_REC_IN    ? " in"
			       : packet.flags & PFS_REC_OUT ? " out"
							    : "",
			       (unsigned long long)packet.time % 1000000000);
		p += used;
		n -= used;
	}
	assert_string_equal(diag.text, "");
	assert_int_equal(r, 0);
	assert_int_equal(n, used);
	pfs_buf_printf(out, "%u interfaces", capture.ninterfaces);
	capture_release(&capture);
}

/* Drains until n packets are in the stream. */
static void drain_packets(struct rig *rig, struct pfs_buf *stream, unsigned n)
{
	for (int i = 0; i < PATIENCE; i++) {
		unsigned found = 0;

		rig_drain(rig, stream);
		for (size_t at = 0; at < stream->len;) {
			const uint8_t *p = (const uint8_t *)stream->data + at;

			found += le32_load(p) == 6;
			at += le32_load(p + 4);
		}
		if (found == n)
			return;
		usleep(1000);
	}
	fail();
}

static void expect(const struct pfs_buf *stream, const char *want)
{
	PFS_BUF struct pfs_buf text = { 0 };

	describe(stream, &text);
	assert_string_equal(text.data, want);
}

/* A section of its own with one interface and one packet. */
static void ng_one(struct pfs_buf *cap, const char *name, uint16_t link_type, uint32_t len,
		   unsigned flags)
{
	struct pfs_origin origin = { .link_type = link_type };
	struct ng_packet packet = {
		.caplen = len, .wire_len = len + 10, .time = RIG_TIME, .flags = flags
	};
	size_t size = ng_packet_size(&packet);
	uint8_t *p;

	snprintf(origin.name, sizeof(origin.name), "%s", name);
	ng_section(NULL, cap);
	ng_interface(&origin, cap);
	p = pfs_buf_reserve(cap, size);
	memset(p, 'x', size);
	ng_packet_header(&packet, p);
	assert_int_equal(
		NG_PACKET_HEADER + len + ng_packet_trailer(&packet, p + NG_PACKET_HEADER + len), size);
	cap->len += size;
}

static void test_pcapng_describes_interfaces_before_their_packets(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	ng_one(&cap, "eth0", 1, 5, PFS_REC_IN);
	ng_one(&cap, "lo", 1, 8, PFS_REC_OUT);
	ng_one(&cap, "eth0", 1, 0, 0);
	ng_one(&cap, "tun0", 101, 1, 0);
	rig_run(&rig, "accept/unpcap", "pcapng", cap.data, cap.len, 0, &out);
	expect(&out, "eth0/1:5/15 in 123456789;lo/1:8/18 out 123456789;eth0/1:0/10 123456789;"
		     "tun0/101:1/11 123456789;3 interfaces");
	rig_release(&rig);
}

static void test_pcapng_is_valid_from_the_first_byte_for_a_later_reader(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 }, second = { 0 };
	struct pfs_writer *writer;
	struct pfs_reader *first;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/unpcap", "pcapng");
	writer = rig_writer(&rig);
	rig_drain(&rig, &out);
	expect(&out, "0 interfaces"); /* the section is there before any packet */
	ng_one(&cap, "eth0", 1, 5, 0);
	ng_one(&cap, "lo", 1, 8, 0);
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	drain_packets(&rig, &out, 2);
	first = TAKE_PTR(rig.reader);
	rig_read(&rig, "pcapng");
	cap.len = 0;
	ng_one(&cap, "lo", 1, 3, 0);
	ng_one(&cap, "br0", 1, 4, 0);
	rig_write(&rig, writer, cap.data, cap.len, 0, &second);
	drain_packets(&rig, &second, 2);
	/* It knows both interfaces by the same numbers. */
	expect(&second, "lo/1:3/13 123456789;br0/1:4/14 123456789;3 interfaces");
	pfs_reader_close(rig.reader);
	rig.reader = first;
	drain_packets(&rig, &out, 4);
	expect(&out, "eth0/1:5/15 123456789;lo/1:8/18 123456789;lo/1:3/13 123456789;"
		     "br0/1:4/14 123456789;3 interfaces");
	pfs_writer_close(writer);
	rig_release(&rig);
}

static void test_pcapng_of_nothing_has_an_interface(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	rig_run(&rig, "accept/unpcap", "pcapng", cap.data, cap.len, 0, &out);
	expect(&out, "1 interfaces");
	rig_release(&rig);
}

static void test_pcapng_packs_many_packets_into_a_record(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;
	static uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	struct pfs_writer *writer;
	unsigned niov;
	ssize_t n;

	(void)state;
	cap_head(&cap, 1);
	for (int i = 0; i < 200; i++)
		cap_tcp(&cap, 1, 2, 1, ACK, "hello");
	rig_open(&rig, "accept/unpcap", "pcapng");
	writer = rig_writer(&rig);
	assert_int_equal(pfs_writer_write(writer, cap.data, cap.len), cap.len);
	/* the preamble, then one record of all 200 */
	n = pfs_reader_get(rig.reader, 1 << 20, true, false, gather, iov, &niov);
	assert_true(n > 0);
	pfs_reader_done(rig.reader, true);
	n = pfs_reader_get(rig.reader, 1 << 20, true, false, gather, iov, &niov);
	assert_true(n >= 200 * (28 + 60 + 4));
	pfs_reader_done(rig.reader, true);
	assert_int_equal(rig_drain(&rig, &out), -EAGAIN);
	assert_int_equal(out.len, 0);
	pfs_writer_close(writer);
	rig_release(&rig);
}

static void test_pcapng_refuses_bytes(void **state)
{
	struct pfs_reader_options options = { .view = "pcapng", .policy = -1, .cred = rig_cred() };
	struct pfs_diag diag;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept", "");
	assert_int_equal(pfs_reader_open(rig.node, &options, &rig.reader, &diag), -EINVAL);
	rig.reader = NULL;
	rig_release(&rig);
}

static void test_json_of_packets(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 };
	struct rig rig;

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "GET /a\"b HTTP/1.1\r\nHost: h.example\r\n\r\n");
	cap_tcp(&cap, 2, 1, 1, ACK, "HTTP/1.1 404 No\r\n\r\n");
	rig_run(&rig, "accept/unpcap", "json", cap.data, cap.len, 0, &out);
	assert_non_null(strstr(out.data, "{\"time\":\"2023-11-14T22:13:20.123456789Z\",\"len\":"));
	assert_non_null(strstr(out.data, "\"method\":\"GET\""));
	assert_non_null(strstr(out.data, "\"host\":\"h.example\""));
	assert_non_null(strstr(out.data, "\"path\":\"/a\\\"b\""));
	assert_non_null(strstr(out.data, "\"status\":404"));
	assert_non_null(strstr(out.data, "\"10.0.0.2\""));
	assert_ptr_equal(strchr(strchr(out.data, '\n') + 1, '\n'), out.data + out.len - 1);
	rig_release(&rig);
}

static void test_json_of_bytes(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	rig_run(&rig, "accept", "json", "a\n\"\xc3\xa4\x01", 6, 0, &out);
	assert_non_null(strstr(out.data, ",\"len\":6,\"data\":\"a\\u000a\\\"\xc3\xa4\\u0001\"}\n"));
	rig_release(&rig);
}

/* 1 MiB of what grows most, cut into pieces that fit the ring; nothing is lost or torn. */
static void test_json_of_a_large_record(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	size_t size = (1 << 20) - 1, total = 0;
	PFS_FREE char *bytes = malloc(size);
	struct rig rig;

	(void)state;
	memset(bytes, 1, size);
	rig_run(&rig, "accept", "json", bytes, size, 0, &out);
	for (const char *p = out.data; (p = strstr(p, ",\"len\":")); p++)
		total += strtoul(p + 7, NULL, 10);
	assert_int_equal(total, size);
	assert_true(out.len > 6 * size);
	rig_release(&rig);
}

static void test_a_piece_does_not_end_within_a_character(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	size_t size = 600000;
	PFS_FREE char *bytes = malloc(size);
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < size; i++)
		bytes[i] = "\xe2\x82\xac"[i % 3];
	rig_run(&rig, "accept", "json", bytes, size, 0, &out);
	assert_null(strstr(out.data, "\\u00"));
	rig_release(&rig);
}

static void test_txt_of_bytes_has_no_control_characters(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct rig rig;

	(void)state;
	rig_run(&rig, "accept", "txt", "one\ttwo\r\n\x1b[31m\x7f\xff\n", 17, 0, &out);
	assert_string_equal(out.data, "one        two\n\\x1b[31m\\x7f\\xff\n");
	rig_release(&rig);
}

static void test_inspect_is_hex_and_ascii(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 }, view = { 0 };
	struct rig rig;
	const char *line, *text;

	(void)state;
	cap_head(&cap, 1);
	cap_tcp(&cap, 1, 2, 1, ACK, "Hi\x1b\n");
	rig_run(&rig, "accept/unpcap/iinspect", NULL, cap.data, cap.len, 0, &out);
	rig_release(&rig);
	assert_true(out.len > 100);
	assert_memory_equal(out.data, "2023-11-14 22:13:20.123456789 ", 30);
	text = out.data ? out.data : "\n";
	line = strchr(text, '\n') + 1;
	assert_memory_equal(
		line,
		"        0x0000:  0200 0000 0002 0200 0000 0001 0800 4500  ..............E.\n", 75);
	assert_non_null(strstr(
		line, "        0x0030:  0000 0000 0000 4869 1b0a                 ......Hi..\n"));
	for (size_t i = 0; i < out.len; i++)
		assert_true((text[i] >= 0x20 && text[i] < 0x7f) || text[i] == '\n');
	rig_run(&rig, "accept/unpcap", "txt", cap.data, cap.len, 0, &view);
	assert_string_equal(view.data, out.data);
	rig_release(&rig);
}

static void test_losses_stand_beside_the_next_packet(void **state)
{
	struct ng_packet packet = { .caplen = 3, .wire_len = 3, .flags = PFS_REC_IN, .dropped = 0x1234 };
	static const uint8_t want[] = {
		0,  2, 0, 4, 0,	   1,	 0, 0, 0,		       /* direction */
		4,  0, 8, 0, 0x34, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* losses, end */
		60, 0, 0, 0,
	};
	uint8_t p[NG_PACKET_TRAILER_MAX];

	(void)state;
	assert_int_equal(ng_packet_trailer(&packet, p), sizeof(want));
	assert_memory_equal(p, want, sizeof(want));
	assert_int_equal(ng_packet_size(&packet), 60);
	packet.caplen = 1;
	packet.dropped = UINT64_MAX;
	assert_true(ng_packet_trailer(&packet, p) <= NG_PACKET_TRAILER_MAX);
}

static void test_times(void **state)
{
	char text[PKT_TIME_SIZE];

	(void)state;
	assert_int_equal(pkt_time(0, 'T', text), 30);
	assert_string_equal(text, "1970-01-01T00:00:00.000000000Z");
	assert_int_equal(pkt_time(951868799999999999u, ' ', text), 29);
	assert_string_equal(text, "2000-02-29 23:59:59.999999999");
	pkt_time(UINT64_MAX, ' ', text);
	assert_string_equal(text, "2554-07-21 23:34:33.709551615");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pcapng_describes_interfaces_before_their_packets),
		cmocka_unit_test(test_pcapng_is_valid_from_the_first_byte_for_a_later_reader),
		cmocka_unit_test(test_pcapng_of_nothing_has_an_interface),
		cmocka_unit_test(test_pcapng_packs_many_packets_into_a_record),
		cmocka_unit_test(test_pcapng_refuses_bytes),
		cmocka_unit_test(test_json_of_packets),
		cmocka_unit_test(test_json_of_bytes),
		cmocka_unit_test(test_json_of_a_large_record),
		cmocka_unit_test(test_a_piece_does_not_end_within_a_character),
		cmocka_unit_test(test_txt_of_bytes_has_no_control_characters),
		cmocka_unit_test(test_inspect_is_hex_and_ascii),
		cmocka_unit_test(test_losses_stand_beside_the_next_packet),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
