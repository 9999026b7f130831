#include "packet/capture_write.h"

#include <endian.h>

#include "base/bytes.h"

#define NS_PER_S UINT64_C(1000000000)

enum { BLOCK_IDB = 1, BLOCK_ISB = 5, BLOCK_EPB = 6 };
#define BLOCK_SHB 0x0a0d0d0au

enum {
	OPT_END = 0,
	OPT_COMMENT = 1,
	OPT_SHB_USERAPPL = 4,
	OPT_IF_NAME = 2,
	OPT_IF_TSRESOL = 9,
	OPT_ISB_IFDROP = 5,
	OPT_ISB_USRDELIV = 8,
	OPT_EPB_FLAGS = 2,
	OPT_EPB_DROPCOUNT = 4,
};

static void put16(struct pfs_buf *out, uint16_t v)
{
	uint8_t p[2];

	le16_store(p, v);
	pfs_buf_add(out, p, sizeof(p));
}

static void put32(struct pfs_buf *out, uint32_t v)
{
	uint8_t p[4];

	le32_store(p, v);
	pfs_buf_add(out, p, sizeof(p));
}

/* Times have their upper half first, other numbers of eight bytes do not. */
static void put_time(struct pfs_buf *out, uint64_t time)
{
	put32(out, (uint32_t)(time >> 32));
	put32(out, (uint32_t)time);
}

static void put_option(struct pfs_buf *out, uint16_t code, const void *value, size_t len)
{
	static const uint8_t zero[4];

	put16(out, code);
	put16(out, (uint16_t)len);
	pfs_buf_add(out, value, len);
	pfs_buf_add(out, zero, -len & 3);
}

static void put_option64(struct pfs_buf *out, uint16_t code, uint64_t v)
{
	uint8_t p[8];

	le64_store(p, v);
	put_option(out, code, p, sizeof(p));
}

/* Returns where the block begins; its length is filled in by block_end(). */
static size_t block_begin(struct pfs_buf *out, uint32_t type)
{
	put32(out, type);
	put32(out, 0);
	return out->len - 8;
}

static void block_end(struct pfs_buf *out, size_t start)
{
	uint32_t total = (uint32_t)(out->len - start + 4);

	put32(out, total);
	if (!out->failed)
		le32_store((uint8_t *)out->data + start + 4, total);
}

void ng_section(const char *comment, struct pfs_buf *out)
{
	static const char program[] = "pipesfs";
	size_t start = block_begin(out, BLOCK_SHB);

	put32(out, 0x1a2b3c4d);
	put16(out, 1); /* version 1.0 */
	put16(out, 0);
	put32(out, UINT32_MAX); /* section length: unknown */
	put32(out, UINT32_MAX);
	if (comment)
		put_option(out, OPT_COMMENT, comment, strlen(comment));
	put_option(out, OPT_SHB_USERAPPL, program, sizeof(program) - 1);
	put_option(out, OPT_END, NULL, 0);
	block_end(out, start);
}

void ng_interface(const struct pfs_origin *origin, struct pfs_buf *out)
{
	static const uint8_t nanoseconds = 9;
	size_t start = block_begin(out, BLOCK_IDB);
	size_t name = strnlen(origin->name, sizeof(origin->name));

	put16(out, origin->link_type);
	put16(out, 0);
	put32(out, NG_SNAPLEN);
	if (name > 0)
		put_option(out, OPT_IF_NAME, origin->name, name);
	put_option(out, OPT_IF_TSRESOL, &nanoseconds, 1);
	put_option(out, OPT_END, NULL, 0);
	block_end(out, start);
}

void ng_statistics(uint32_t interface, uint64_t time, uint64_t delivered, uint64_t dropped,
		   struct pfs_buf *out)
{
	size_t start = block_begin(out, BLOCK_ISB);

	put32(out, interface);
	put_time(out, time);
	if (dropped != UINT64_MAX)
		put_option64(out, OPT_ISB_IFDROP, dropped);
	if (delivered != UINT64_MAX)
		put_option64(out, OPT_ISB_USRDELIV, delivered);
	put_option(out, OPT_END, NULL, 0);
	block_end(out, start);
}

static unsigned direction(unsigned flags)
{
	return flags & (PFS_REC_IN | PFS_REC_OUT);
}

static size_t options_size(const struct ng_packet *packet)
{
	size_t size = (direction(packet->flags) ? 8u : 0) + (packet->dropped ? 12u : 0);

	return size ? size + 4 : 0; /* the end of options */
}

size_t ng_packet_size(const struct ng_packet *packet)
{
	return NG_PACKET_HEADER + (((size_t)packet->caplen + 3) & ~(size_t)3) +
	       options_size(packet) + 4;
}

void ng_packet_header(const struct ng_packet *packet, uint8_t *p)
{
	uint32_t words[NG_PACKET_HEADER / 4] = {
		htole32(BLOCK_EPB),
		htole32((uint32_t)ng_packet_size(packet)),
		htole32(packet->interface),
		htole32((uint32_t)(packet->time >> 32)),
		htole32((uint32_t)packet->time),
		htole32(packet->caplen),
		htole32(packet->wire_len),
	};

	/* One copy: byte by byte these were half of what a packet cost here. */
	memcpy(p, words, sizeof(words));
}

size_t ng_packet_trailer(const struct ng_packet *packet, uint8_t *p)
{
	size_t pad = -(size_t)packet->caplen & 3;
	uint8_t *start = p;

	memset(p, 0, pad);
	p += pad;
	if (direction(packet->flags)) {
		le16_store(p, OPT_EPB_FLAGS);
		le16_store(p + 2, 4);
		le32_store(p + 4, packet->flags & PFS_REC_IN ? 1 : 2);
		p += 8;
	}
	if (packet->dropped) {
		le16_store(p, OPT_EPB_DROPCOUNT);
		le16_store(p + 2, 8);
		le64_store(p + 4, packet->dropped);
		p += 12;
	}
	if (options_size(packet)) {
		le32_store(p, OPT_END);
		p += 4;
	}
	le32_store(p, (uint32_t)ng_packet_size(packet));
	return (size_t)(p + 4 - start);
}

void pcap_file_header(uint8_t p[PCAP_FILE_HEADER], uint16_t link_type)
{
	memset(p, 0, PCAP_FILE_HEADER);
	le32_store(p, 0xa1b23c4d); /* nanoseconds */
	le16_store(p + 4, 2);
	le16_store(p + 6, 4);
	le32_store(p + 16, NG_SNAPLEN);
	le32_store(p + 20, link_type);
}

void pcap_packet_header(uint8_t p[PCAP_PACKET_HEADER], uint64_t time, uint32_t caplen, uint32_t wire_len)
{
	le32_store(p, (uint32_t)(time / NS_PER_S));
	le32_store(p + 4, (uint32_t)(time % NS_PER_S));
	le32_store(p + 8, caplen);
	le32_store(p + 12, wire_len);
}
