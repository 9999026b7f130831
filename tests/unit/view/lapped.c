/*
 * lapped - readers of views that look away too long: what they get is whole, and the books are in records of the
 * directory
 *
 * Packets of many interfaces go by, each with its interface's number and its own in its bytes.
 */
#include "../rig.h"

#include "packet/capture.h"
#include "packet/capture_write.h"

enum { PAYLOAD = 400, PER_INTERFACE = 8000, INTERFACES = 8, ALL = PER_INTERFACE * INTERFACES };

static void add_interface(struct pfs_buf *cap, unsigned number)
{
	struct pfs_origin origin = { .link_type = 1 };

	snprintf(origin.name, sizeof(origin.name), "if%u", number);
	ng_interface(&origin, cap);
}

static void add_packet(struct pfs_buf *cap, uint32_t interface, uint32_t number)
{
	struct ng_packet packet = {
		.interface = interface, .caplen = PAYLOAD, .wire_len = PAYLOAD, .time = RIG_TIME
	};
	size_t size = ng_packet_size(&packet);
	uint8_t *p = pfs_buf_reserve(cap, size);

	memset(p, 0, size);
	ng_packet_header(&packet, p);
	le32_store(p + NG_PACKET_HEADER, interface);
	le32_store(p + NG_PACKET_HEADER + 4, number);
	ng_packet_trailer(&packet, p + NG_PACKET_HEADER + PAYLOAD);
	cap->len += size;
}

/* Packets [from, to) of the stream; an interface is described when its turn comes, so most are in the middle. */
static void add_packets(struct pfs_buf *cap, uint32_t from, uint32_t to)
{
	if (from == 0)
		ng_section(NULL, cap);
	for (uint32_t i = from; i < to; i++) {
		if (i % PER_INTERFACE == 0)
			add_interface(cap, i / PER_INTERFACE);
		add_packet(cap, i / PER_INTERFACE, i);
	}
}

struct books {
	unsigned long long delivered, lost, lag, seen;
};

static struct books books_of(struct pfs_node *node)
{
	PFS_BUF struct pfs_buf text = { 0 };
	struct books b;

	assert_int_equal(pfs_node_text(node, PFS_TEXT_READERS, &text), 0);
	assert_int_equal(sscanf(strstr(text.data, "delivered="),
				"delivered=%llu lost=%llu lag=%llu seen=%llu", &b.delivered,
				&b.lost, &b.lag, &b.seen),
			 4);
	return b;
}

/* Packets in the stream, each of the interface that it says, in order; and sections. */
static unsigned check_stream(const struct pfs_buf *stream, unsigned *ret_sections)
{
	const uint8_t *p = (const uint8_t *)stream->data;
	size_t n = stream->len, used, need;
	struct capture_packet packet;
	struct capture capture;
	struct pfs_diag diag = { "" };
	unsigned packets = 0;
	int64_t last = -1;
	int r;

	capture_init(&capture, CAPTURE_PCAPNG);
	while ((r = capture_next(&capture, p, n, &used, &packet, &need, &diag)) > 0) {
		const uint8_t *bytes = p + packet.header + NG_PACKET_HEADER;
		char name[16];

		snprintf(name, sizeof(name), "if%u", (unsigned)le32_load(bytes));
		assert_string_equal(capture.interfaces[packet.interface].origin.name, name);
		assert_true(le32_load(bytes + 4) > last);
		last = le32_load(bytes + 4);
		packets++;
		p += used;
		n -= used;
	}
	assert_string_equal(diag.text, "");
	assert_int_equal(r, 0);
	assert_true(capture_complete(&capture, n - used));
	*ret_sections = capture.generation;
	capture_release(&capture);
	return packets;
}

/* Packets [from, to) go by; the reader does not look. */
static void pour(struct rig *rig, struct pfs_writer *writer, uint32_t from, uint32_t to)
{
	PFS_BUF struct pfs_buf cap = { 0 };
	struct pfs_reader *reader = TAKE_PTR(rig->reader);

	add_packets(&cap, from, to);
	rig_write(rig, writer, cap.data, cap.len, 0, NULL);
	rig->reader = reader;
}

static void read_lossy(struct rig *rig, const char *view)
{
	struct pfs_reader_options options = { .view = view, .policy = 0, .cred = rig_cred() };

	assert_int_equal(pfs_reader_open(rig->node, &options, &rig->reader, NULL), 0);
}

/* A bit of the stream, so that a record has been begun. */
static void read_bit(struct rig *rig, struct pfs_buf *out)
{
	static uint8_t gather[PFS_GATHER_MAX];
	struct iovec iov[PFS_IOV_MAX];
	unsigned niov;
	ssize_t n = pfs_reader_get(rig->reader, 100, false, false, gather, iov, &niov);

	if (n <= 0)
		return;
	for (unsigned i = 0; i < niov; i++)
		pfs_buf_add(out, iov[i].iov_base, iov[i].iov_len);
	pfs_reader_done(rig->reader, true);
}

static void test_pcapng_begins_again_after_a_loss(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	struct books books;
	unsigned packets, sections;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/unpcap", "");
	read_lossy(&rig, "pcapng");
	writer = rig_writer(&rig);
	for (uint32_t at = 0; at < ALL; at += 1000) {
		pour(&rig, writer, at, at + 1000);
		/* It looks now and then, and is lapped twice. */
		for (int i = 0; i < 5 && at == 3000; i++)
			read_bit(&rig, &out);
		if (at == 24000)
			rig_drain(&rig, &out);
	}
	books = books_of(rig.node);
	assert_int_equal(books.seen, ALL);
	assert_int_equal(books.delivered + books.lost + books.lag, ALL);
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	books = books_of(rig.node);
	packets = check_stream(&out, &sections);
	print_message("%u of %u packets, %u sections\n", packets, (unsigned)ALL, sections);
	assert_int_equal(books.seen, ALL);
	assert_int_equal(books.delivered, packets);
	assert_int_equal(books.delivered + books.lost, ALL);
	assert_int_equal(books.lag, 0);
	assert_true(books.lost > ALL / 4);
	assert_int_equal(sections, 3);
	rig_release(&rig);
}

/* Each loss is told where it was, and all of them together are what was lost. */
static void test_losses_are_told_in_the_stream(void **state)
{
	static const char part[] = " packets before this were lost";
	PFS_BUF struct pfs_buf out = { 0 };
	struct pfs_writer *writer;
	uint64_t told = 0;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/unpcap", "");
	read_lossy(&rig, "pcapng");
	writer = rig_writer(&rig);
	for (uint32_t at = 0; at < ALL; at += 1000) {
		pour(&rig, writer, at, at + 1000);
		if (at == 30000)
			rig_drain(&rig, &out);
	}
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	for (size_t at = 0; at + sizeof(part) < out.len; at++) {
		const char *number = out.data + at;

		if (memcmp(out.data + at, part, sizeof(part) - 1) != 0)
			continue;
		while (number > out.data && number[-1] >= '0' && number[-1] <= '9')
			number--;
		told += strtoull(number, NULL, 10);
	}
	assert_true(told > 0);
	assert_int_equal(told, books_of(rig.node).lost);
	rig_release(&rig);
}

/* Lines and objects are lost whole, and counted as packets. */
static void test_text_is_counted_in_packets(void **state)
{
	static const char *const views[] = { "json", "txt" };

	(void)state;
	for (size_t v = 0; v < ARRAY_SIZE(views); v++) {
		PFS_BUF struct pfs_buf out = { 0 };
		struct pfs_writer *writer;
		struct books books;
		unsigned objects = 0;
		struct rig rig;

		rig_open(&rig, "accept/unpcap", "");
		read_lossy(&rig, views[v]);
		writer = rig_writer(&rig);
		for (uint32_t at = 0; at < ALL; at += 1000) {
			pour(&rig, writer, at, at + 1000);
		}
		read_bit(&rig, &out);
		pfs_writer_close(writer);
		rig_finish(&rig, &out);
		books = books_of(rig.node);
		for (size_t i = 0; i < out.len; i++)
			objects += out.data[i] == '\n' &&
				   (v == 0 || i + 1 == out.len || out.data[i + 1] != '\t');
		if (v == 0)
			assert_int_equal(objects, books.delivered);
		assert_int_equal(books.seen, ALL);
		assert_int_equal(books.delivered + books.lost, ALL);
		assert_true(books.lost > 0);
		rig_release(&rig);
	}
}

/* Bytes are rendered in pieces: a record is one whatever that makes of it, and an empty one too. */
static void test_pieces_are_one_record(void **state)
{
	PFS_BUF struct pfs_buf out = { 0 };
	static uint8_t block[1 << 20];
	struct pfs_writer *writer;
	struct books books;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept", "");
	rig_read(&rig, "json");
	writer = rig_writer(&rig);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pfs_writer_write(writer, block, sizeof(block)), sizeof(block));
	assert_int_equal(pfs_writer_write(writer, "x", 1), 1);
	books = books_of(rig.node);
	assert_int_equal(books.seen, 4);
	assert_int_equal(books.lag, 4);
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	books = books_of(rig.node);
	assert_int_equal(books.delivered, 4);
	assert_int_equal(books.seen, 4);
	rig_release(&rig);
}

/* Who comes later is told of what passes from then on: what the view has not taken yet is among it. */
static void test_a_later_reader_has_books_of_its_own(void **state)
{
	PFS_BUF struct pfs_buf cap = { 0 }, out = { 0 }, first = { 0 };
	struct pfs_reader *reader;
	struct pfs_writer *writer;
	struct books books;
	struct rig rig;

	(void)state;
	rig_open(&rig, "accept/unpcap", "json");
	writer = rig_writer(&rig);
	add_packets(&cap, 0, 1000);
	rig_write(&rig, writer, cap.data, cap.len, 0, &first);
	reader = TAKE_PTR(rig.reader);
	rig_read(&rig, "json");
	cap.len = 0;
	add_packets(&cap, 1000, 1500);
	rig_write(&rig, writer, cap.data, cap.len, 0, &out);
	pfs_reader_close(reader);
	pfs_writer_close(writer);
	rig_finish(&rig, &out);
	books = books_of(rig.node);
	assert_int_equal(books.seen, 500);
	assert_int_equal(books.delivered, 500);
	rig_release(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pcapng_begins_again_after_a_loss),
		cmocka_unit_test(test_losses_are_told_in_the_stream),
		cmocka_unit_test(test_text_is_counted_in_packets),
		cmocka_unit_test(test_pieces_are_one_record),
		cmocka_unit_test(test_a_later_reader_has_books_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
