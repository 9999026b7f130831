/*
 * fuzz_redir_tap - a ring of operations whose other end writes what it likes, wherever it likes
 *
 * Steps of one byte and what it needs: words are written into the head or into the ring, near what is read next, by the
 * end that may; records are put as a good one does; operations are read. Every byte of what is read is looked at.
 */
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "redir/tap.h"

#define HEAD 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t sum; /* of all bytes: nothing leaves them out */

static void see(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += (uint8_t)text[i];
}

/* false: it is broken, and stays so. */
static bool read_one(struct rd_tap *tap)
{
	struct rd_operation o;
	char word[RD_OP_WORD];
	int r = rd_tap_read(tap, &o);

	if (r == 1) {
		if (o.exe_len + o.path_len + o.path2_len > RD_TAP_RECORD_MAX)
			abort();
		see(o.exe, o.exe_len);
		see(o.path, o.path_len);
		see(o.path2, o.path2_len);
		see(rd_seen_names[o.seen], 1);
		see(rd_op_word(o.op, word), 1);
	}
	if (r < 0 && rd_tap_read(tap, &o) == 1)
		abort();
	return r >= 0;
}

/* So that the end of the ring is near: as many as go before it. */
static void fill(struct rd_tap *tap, struct rd_tap *out)
{
	static const char text[RD_TAP_RECORD_MAX - 128];
	const struct rd_operation o = { .path = text, .path_len = sizeof(text), .path2 = "", .exe = "" };
	struct rd_operation got;

	for (int i = 0; i < 15; i++) {
		rd_tap_put(out, &o);
		if (rd_tap_read(tap, &got) != 1)
			abort();
	}
}

static void steps(struct rd_tap *tap, struct rd_tap *out, uint8_t *memory, const uint8_t *data,
		  size_t size)
{
	const struct rd_operation o = {
		.path = "/srv/a", .path_len = 6, .path2 = "b", .path2_len = 1, .exe = ""
	};
	uint64_t taken;

	while (size >= 10) {
		size_t at = data[1], used = data[0] & 2 ? 1 : 10;

		switch (data[0] & 3) {
		case 0:
			memcpy(memory + at % 24, data + 2, 8);
			break;
		case 1:
			memcpy(&taken, memory + 8, 8);
			memcpy(memory + HEAD + (taken + at) % (RD_TAP_SIZE - 8), data + 2, 8);
			break;
		case 2:
			rd_tap_put(out, &o);
			break;
		default:
			if (!read_one(tap) || !rd_tap_rest(tap))
				(void)read_one(tap);
			break;
		}
		data += used;
		size -= used;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct rd_tap *tap, *out;
	uint8_t *memory;

	if (wake < 0 || rd_tap_new(wake, &tap) < 0 || rd_tap_open(rd_tap_memory(tap), wake, &out) < 0)
		abort();
	memory = mmap(NULL, HEAD + RD_TAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		      rd_tap_memory(tap), 0);
	if (memory == MAP_FAILED)
		abort();
	if (size > 0 && data[0] & 4)
		fill(tap, out);
	steps(tap, out, memory, data, size);
	munmap(memory, HEAD + RD_TAP_SIZE);
	rd_tap_unref(out);
	rd_tap_unref(tap);
	close(wake);
	return 0;
}
