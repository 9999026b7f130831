/*
 * meta - headers in place: what they say, in any byte order and time unit, for any bytes
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "ring/record.h"

static void sizes(void **state)
{
	static const size_t want[] = { 40, 16, 24, 28, 12 };

	for (int i = 0; i < PFS_HDR_COUNT_; i++)
		assert_int_equal(pfs_hdr_size((enum pfs_hdr)i), want[i]);
}

static void records(void **state)
{
	static const struct {
		uint64_t time;
		int64_t offset;
		uint64_t want;
	} table[] = {
		{ 5, 0, 5 },
		{ 5, 1000, 1005 },
		{ 5, -5, 0 },
		{ 5, -6, 0 },
		{ 5, INT64_MIN, 0 },
		{ UINT64_MAX, INT64_MIN, INT64_MAX },
		{ UINT64_MAX, INT64_MAX, UINT64_MAX },
		{ UINT64_MAX - 5, 5, UINT64_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct pfs_record rec = {
			.time = table[i].time, .len = 3, .wire_len = 9, .stream = 7, .mark = 8
		};
		struct pfs_origin origin = { .time_offset = table[i].offset, .time_unit = 1 };
		struct pfs_meta meta;

		pfs_hdr_decode(PFS_HDR_RECORD, (const uint8_t *)&rec, &origin, &meta);
		assert_int_equal(meta.time, table[i].want);
		assert_int_equal(meta.wire_len, 9);
		assert_int_equal(meta.stream, 7);
		assert_int_equal(meta.mark, 8);
	}
}

/* The same moment in every unit: exact where the unit allows, cut to it where not. */
static void units(void **state)
{
	static const uint64_t unit[] = {
		1,	    2,		 10,
		1000,	    1024,	 1000000,
		1u << 20,   10000000,	 1000000000,
		1u << 30,   10000000000, 1000000000000,
		1ull << 40, 1ull << 63,	 10000000000000000000u,
	};
	uint64_t ns = 1700000000123456789;

	for (size_t i = 0; i < ARRAY_SIZE(unit) * 2; i++) {
		uint64_t u = unit[i / 2];
		unsigned __int128 ticks = (unsigned __int128)ns * u / 1000000000;
		struct pfs_origin origin = { .time_unit = u, .big_endian = i % 2 };
		uint8_t h[28] = { 0 };
		struct pfs_meta meta;
		uint64_t want;

		if (ticks > UINT64_MAX)
			ticks = UINT64_MAX;
		want = (uint64_t)(ticks * 1000000000 / u);
		for (int k = 0; k < 8; k++) {
			uint32_t half = (uint32_t)(k < 4 ? ticks >> 32 : ticks);
			int at = i % 2 ? 3 - k % 4 : k % 4;

			h[12 + k] = (uint8_t)(half >> at * 8);
		}
		h[i % 2 ? 23 : 20] = 60; /* captured; the true length claims less and is kept */
		h[i % 2 ? 27 : 24] = 40;
		pfs_hdr_decode(PFS_HDR_EPB, h, &origin, &meta);
		assert_int_equal(meta.time, want);
		assert_int_equal(meta.wire_len, 40);
		assert_int_equal(meta.stream, 0);
	}
}

/* Nobody vouches for what is in a file, or for a unit of 0. */
static void anything(void **state)
{
	uint32_t x = 1;

	for (unsigned i = 0; i < 20000; i++) {
		struct pfs_origin origin = { .big_endian = i & 1 };
		struct pfs_meta meta = { .stream = 99 };
		uint8_t h[28];

		for (size_t k = 0; k < sizeof(h); k++) {
			x = x * 1664525 + 1013904223;
			h[k] = i % 5 ? (uint8_t)(x >> 24) : 0xff;
		}
		origin.time_unit = i % 7 ? 1ull << (x >> 8) % 64 : 0;
		origin.time_offset = i % 3 ? (int64_t)(x * 0x100000001ull) : INT64_MIN;
		pfs_hdr_decode((enum pfs_hdr)(1 + i % (PFS_HDR_COUNT_ - 1)), h, &origin, &meta);
		assert_int_equal(meta.stream, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(records),
		cmocka_unit_test(units),
		cmocka_unit_test(anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
