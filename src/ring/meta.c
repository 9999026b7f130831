#include "ring/record.h"

#include "base/bytes.h"

#define NS_PER_S UINT64_C(1000000000)

static const uint8_t hdr_sizes[] = {
	[PFS_HDR_RECORD] = sizeof(struct pfs_record),
	[PFS_HDR_PCAP] = 16,
	[PFS_HDR_PCAP24] = 24,
	[PFS_HDR_EPB] = 28,
	[PFS_HDR_SPB] = 12,
};
static_assert(ARRAY_SIZE(hdr_sizes) == PFS_HDR_COUNT_, "a size for every kind");

size_t pfs_hdr_size(enum pfs_hdr hdr)
{
	assert((unsigned)hdr < PFS_HDR_COUNT_);
	return hdr_sizes[hdr];
}

/* Times outside of what 64 bits of ns can say (1970 to 2554) stop at its ends. */
static uint64_t time_add(uint64_t time, int64_t offset)
{
	if (offset >= 0)
		return time > UINT64_MAX - (uint64_t)offset ? UINT64_MAX : time + (uint64_t)offset;
	offset = -(offset + 1); /* INT64_MIN has no negative */
	return time <= (uint64_t)offset ? 0 : time - (uint64_t)offset - 1;
}

uint64_t pfs_record_time(const struct pfs_origin *origin, uint64_t time)
{
	int64_t offset = origin->time_offset;
	uint64_t amount = offset < 0 ? -(uint64_t)offset : (uint64_t)offset;

	if (offset < 0)
		return time > UINT64_MAX - amount ? UINT64_MAX : time + amount;
	return time > amount ? time - amount : 0;
}

/* Ticks of 1/unit s in ns. The two units that almost every file has need no division. */
static uint64_t time_scale(uint64_t ticks, uint64_t unit)
{
	unsigned __int128 ns;

	if (unit == NS_PER_S)
		return ticks;
	if (unit == 1000000 && ticks <= UINT64_MAX / 1000)
		return ticks * 1000;
	if (unit == 0)
		return 0;
	ns = (unsigned __int128)(ticks / unit) * NS_PER_S +
	     (unsigned __int128)(ticks % unit) * NS_PER_S / unit;
	return ns > UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

static void decode_record(const uint8_t *header, const struct pfs_origin *origin,
			  struct pfs_meta *ret_meta)
{
	/* Ours, aligned, and immutable once committed: a ring hands it out only then. */
	const struct pfs_record *rec = (const void *)header;

	ret_meta->time = time_add(rec->time, origin->time_offset);
	ret_meta->wire_len = rec->wire_len;
	ret_meta->stream = rec->stream;
	ret_meta->mark = rec->mark;
}

void pfs_hdr_decode(enum pfs_hdr hdr, const uint8_t *header, const struct pfs_origin *origin,
		    struct pfs_meta *ret_meta)
{
	bool big = origin->big_endian;
	uint64_t time = 0;
	uint32_t a = 0, b = 0;

	*ret_meta = (struct pfs_meta){ 0 };
	switch (hdr) {
	case PFS_HDR_RECORD:
		decode_record(header, origin, ret_meta);
		return;
	case PFS_HDR_PCAP:
	case PFS_HDR_PCAP24:
		/* seconds are unsigned: signed ones would end in 2038 */
		time = u32_load(header, big) * NS_PER_S +
		       time_scale(u32_load(header + 4, big), origin->time_unit);
		a = u32_load(header + 8, big);
		b = u32_load(header + 12, big);
		break;
	case PFS_HDR_EPB:
		time = time_scale((uint64_t)u32_load(header + 12, big) << 32 |
					  u32_load(header + 16, big),
				  origin->time_unit);
		a = u32_load(header + 20, big);
		b = u32_load(header + 24, big);
		break;
	case PFS_HDR_SPB:
		ret_meta->wire_len = u32_load(header + 8, big);
		return; /* it has no time */
	case PFS_HDR_COUNT_:
		assert(false);
		return;
	}
	ret_meta->time = time_add(time, origin->time_offset);
	/* Broken files claim less than they hold: what they say is kept, as tcpdump keeps it. */
	ret_meta->wire_len = origin->lengths_swapped && a > b ? a : b;
}
