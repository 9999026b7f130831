#include "packet/capture.h"

#include "base/bytes.h"

#define PCAP_MAGIC_US 0xa1b2c3d4u
#define PCAP_MAGIC_NS 0xa1b23c4du
#define PCAP_MAGIC_MODIFIED 0xa1b2cd34u
#define PCAP_HEADER_SIZE 24

#define NG_MAGIC 0x0a0d0d0au /* the same in both byte orders */
#define NG_ORDER_MAGIC 0x1a2b3c4du
#define NG_BLOCK_MIN 12
#define NG_IDB 1u
#define NG_PACKET 2u
#define NG_SPB 3u
#define NG_EPB 6u
#define NG_SHB NG_MAGIC

enum {
	NG_OPT_END = 0,
	NG_OPT_IF_NAME = 2,
	NG_OPT_IF_TSRESOL = 9,
	NG_OPT_IF_TSOFFSET = 14,
	NG_OPT_EPB_FLAGS = 2,
};

/* What one step over the bytes came to. */
enum { STEP_NEED, STEP_PACKET, STEP_ON };

struct step {
	const uint8_t *p; /* borrowed: what is left */
	size_t n;
	size_t used;		      /* STEP_PACKET, STEP_ON: so far to go */
	size_t need;		      /* STEP_NEED: bytes from p on that would do */
	struct capture_packet packet; /* STEP_PACKET; header counted from p */
	struct pfs_diag *diag;
};

static int step_need(struct step *s, size_t need)
{
	s->need = need;
	return STEP_NEED;
}

static int step_on(struct step *s, size_t used)
{
	s->used = used;
	return STEP_ON;
}

void capture_init(struct capture *capture, enum capture_format wanted)
{
	*capture = (struct capture){ .wanted = wanted };
}

void capture_release(struct capture *capture)
{
	free(capture->interfaces);
	*capture = (struct capture){ .wanted = capture->wanted };
}

/* A new interface, all zero: origins are compared byte by byte. NULL: *ret_error says why. */
static struct pfs_origin *interface_add(struct capture *c, struct pfs_diag *diag, int *ret_error)
{
	struct capture_interface *p = c->interfaces;
	unsigned cap = c->cap_interfaces ? c->cap_interfaces * 2 : 4;

	if (c->ninterfaces == CAPTURE_INTERFACES_MAX) {
		*ret_error = pfs_diag_set(diag, EBADMSG,
					  "pcapng: more than %u interfaces in a section",
					  CAPTURE_INTERFACES_MAX);
		return NULL;
	}
	if (c->ninterfaces == c->cap_interfaces) {
		p = reallocarray(p, cap, sizeof(*p));
		if (!p) {
			*ret_error = pfs_diag_set(diag, ENOMEM, "no memory for %u interfaces", cap);
			return NULL;
		}
		c->interfaces = p;
		c->cap_interfaces = cap;
	}
	p += c->ninterfaces++;
	memset(p, 0, sizeof(*p));
	return &p->origin;
}

static uint16_t link_type_of(uint32_t type)
{
	return type >= CAPTURE_LINK_UNKNOWN ? CAPTURE_LINK_UNKNOWN : (uint16_t)type;
}

/* --- pcap ------------------------------------------------------------------------- */

static bool pcap_magic(uint32_t magic)
{
	return magic == PCAP_MAGIC_US || magic == PCAP_MAGIC_NS || magic == PCAP_MAGIC_MODIFIED;
}

static int pcap_file_header(struct capture *c, struct step *s)
{
	struct pfs_origin *origin;
	bool big = c->big_endian;
	uint32_t magic;
	int r;

	if (s->n < PCAP_HEADER_SIZE)
		return step_need(s, PCAP_HEADER_SIZE);
	magic = u32_load(s->p, big);
	c->version_major = u16_load(s->p + 4, big);
	c->version_minor = u16_load(s->p + 6, big);
	if (!(c->version_major == 2 && c->version_minor <= 4) &&
	    !(c->version_major == 543 && c->version_minor == 0))
		return pfs_diag_set(s->diag, EBADMSG, "pcap: version %u.%u is none that is known",
				    c->version_major, c->version_minor);
	origin = interface_add(c, s->diag, &r);
	if (!origin)
		return r;
	/* The upper six bits say how long the frame check sequence is. */
	origin->link_type = link_type_of(u32_load(s->p + 20, big) & 0x03ffffff);
	origin->big_endian = big;
	origin->snaplen = u32_load(s->p + 16, big);
	origin->lengths_swapped = c->version_major != 2 || c->version_minor < 4;
	origin->time_unit = magic == PCAP_MAGIC_NS ? 1000000000 : 1000000;
	c->hdr = magic == PCAP_MAGIC_MODIFIED ? PFS_HDR_PCAP24 : PFS_HDR_PCAP;
	c->generation++;
	return step_on(s, PCAP_HEADER_SIZE);
}

/* The two lengths changed places at version 2.3, but not in every file that says 2.3 (libpcap). */
static uint32_t pcap_caplen(const struct capture *c, uint32_t first, uint32_t second)
{
	if (c->version_major != 2 || c->version_minor < 3)
		return second;
	if (c->version_minor == 3)
		return first < second ? first : second;
	return first;
}

static uint8_t pcap24_direction(uint8_t type)
{
	enum { PACKET_HOST, PACKET_OUTGOING = 4 }; /* <linux/if_packet.h>; others came in too */

	return type == PACKET_OUTGOING ? PFS_REC_OUT : type < PACKET_OUTGOING ? PFS_REC_IN : 0;
}

static int packet_size_error(struct step *s, uint32_t caplen)
{
	return pfs_diag_set(s->diag, EBADMSG, "a packet of %u bytes: the most is %u", caplen,
			    CAPTURE_PACKET_MAX);
}

/* Time and true length, from the header in place: one decoder for now and for later. */
static void packet_decode(const struct capture *c, struct step *s)
{
	struct capture_packet *packet = &s->packet;
	struct pfs_meta meta;

	pfs_hdr_decode(packet->hdr, s->p + packet->header, &c->interfaces[packet->interface].origin,
		       &meta);
	packet->time = meta.time;
	packet->wire_len = meta.wire_len;
}

static int pcap_packet(struct capture *c, struct step *s)
{
	size_t size = pfs_hdr_size(c->hdr);
	bool big = c->big_endian;
	uint32_t caplen;

	if (s->n < size)
		return step_need(s, size);
	caplen = pcap_caplen(c, u32_load(s->p + 8, big), u32_load(s->p + 12, big));
	if (caplen > CAPTURE_PACKET_MAX)
		return packet_size_error(s, caplen);
	if (s->n - size < caplen)
		return step_need(s, size + caplen);
	s->packet = (struct capture_packet){
		.hdr = c->hdr,
		.caplen = caplen,
		.flags = c->hdr == PFS_HDR_PCAP24 ? pcap24_direction(s->p[22]) : 0,
	};
	packet_decode(c, s);
	s->used = size + caplen;
	return STEP_PACKET;
}

/* --- pcapng: options --------------------------------------------------------------- */

struct option {
	uint16_t code;
	uint16_t len;
	const uint8_t *value;
};

/* 1: *ret_option is the next; 0: no more; -EBADMSG: it does not fit. */
static int option_next(const uint8_t **p, size_t *n, bool big, struct option *ret_option)
{
	size_t padded;

	if (*n < 4)
		return 0;
	ret_option->code = u16_load(*p, big);
	ret_option->len = u16_load(*p + 2, big);
	ret_option->value = *p + 4;
	padded = ((size_t)ret_option->len + 3) & ~(size_t)3;
	if (ret_option->code == NG_OPT_END)
		return 0;
	if (padded > *n - 4)
		return -EBADMSG;
	*p += 4 + padded;
	*n -= 4 + padded;
	return 1;
}

/* Other layers print it: no control characters, and cut where a UTF-8 character begins. */
static void interface_name(struct pfs_origin *origin, const struct option *option)
{
	size_t len = strnlen((const char *)option->value, option->len);

	if (len >= sizeof(origin->name)) {
		len = sizeof(origin->name) - 1;
		while (len > 0 && (option->value[len] & 0xc0) == 0x80)
			len--;
	}
	memset(origin->name, 0, sizeof(origin->name));
	for (size_t i = 0; i < len; i++) {
		uint8_t c = option->value[i];

		origin->name[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
	}
}

/* 10^n, or 2^n with the top bit set. False: more than 64 bits. */
static bool interface_time_unit(struct pfs_origin *origin, uint8_t resolution)
{
	unsigned n = resolution & 0x7f;

	if (resolution & 0x80) {
		if (n > 63)
			return false;
		origin->time_unit = UINT64_C(1) << n;
		return true;
	}
	if (n > 19)
		return false;
	origin->time_unit = 1;
	while (n--)
		origin->time_unit *= 10;
	return true;
}

static void interface_time_offset(struct pfs_origin *origin, int64_t seconds)
{
	if (__builtin_mul_overflow(seconds, INT64_C(1000000000), &origin->time_offset))
		origin->time_offset = seconds < 0 ? INT64_MIN : INT64_MAX;
}

static int interface_option(struct pfs_origin *origin, const struct option *option, bool big,
			    struct pfs_diag *diag)
{
	switch (option->code) {
	case NG_OPT_IF_NAME:
		interface_name(origin, option);
		return 0;
	case NG_OPT_IF_TSRESOL:
		if (option->len != 1 || !interface_time_unit(origin, option->value[0]))
			return pfs_diag_set(diag, EBADMSG, "pcapng: no such time resolution");
		return 0;
	case NG_OPT_IF_TSOFFSET:
		if (option->len != 8)
			return pfs_diag_set(diag, EBADMSG, "pcapng: a time offset of %u bytes",
					    option->len);
		interface_time_offset(origin, (int64_t)u64_load(option->value, big));
		return 0;
	default:
		return 0;
	}
}

/* --- pcapng: blocks ----------------------------------------------------------------- */

static int block_error(const struct step *s, uint32_t type, uint32_t total)
{
	return pfs_diag_set(s->diag, EBADMSG,
			    "pcapng: a block of type 0x%x and %u bytes does not add up", type, total);
}

/*
 * A section may turn the byte order round, so its magic is looked at before its length. Its options are skipped.
 */
static int ng_section(struct capture *c, struct step *s)
{
	enum { FIXED = 24 }; /* and the length again at the end */
	uint32_t total;

	if (s->n < FIXED)
		return step_need(s, FIXED);
	if (le32_load(s->p + 8) == NG_ORDER_MAGIC)
		c->big_endian = false;
	else if (be32_load(s->p + 8) == NG_ORDER_MAGIC)
		c->big_endian = true;
	else
		return pfs_diag_set(s->diag, EBADMSG, "pcapng: a section without a byte order");
	total = u32_load(s->p + 4, c->big_endian);
	if (total < FIXED + 4 || total % 4 || total > CAPTURE_BLOCK_MAX)
		return block_error(s, NG_SHB, total);
	if (u16_load(s->p + 12, c->big_endian) != 1)
		return pfs_diag_set(s->diag, EBADMSG, "pcapng: version %u.%u is none that is known",
				    u16_load(s->p + 12, c->big_endian),
				    u16_load(s->p + 14, c->big_endian));
	c->ninterfaces = 0;
	c->generation++;
	c->first_block = false;
	c->skip = total - FIXED;
	return step_on(s, FIXED);
}

static int ng_interface(struct capture *c, struct step *s, uint32_t total)
{
	struct pfs_origin *origin;
	struct option option;
	const uint8_t *p = s->p + 16;
	size_t n;
	int r;

	if (total < 20)
		return block_error(s, NG_IDB, total);
	n = total - 20;
	origin = interface_add(c, s->diag, &r);
	if (!origin)
		return r;
	origin->link_type = link_type_of(u16_load(s->p + 8, c->big_endian));
	origin->big_endian = c->big_endian;
	origin->snaplen = u32_load(s->p + 12, c->big_endian);
	origin->time_unit = 1000000;
	while ((r = option_next(&p, &n, c->big_endian, &option)) > 0) {
		r = interface_option(origin, &option, c->big_endian, s->diag);
		if (r < 0)
			return r;
	}
	return r < 0 ? block_error(s, NG_IDB, total) : step_on(s, total);
}

/* epb_flags and pack_flags. Options that do not add up harm only themselves. */
static uint8_t packet_direction(const uint8_t *p, size_t n, bool big)
{
	struct option option;

	while (option_next(&p, &n, big, &option) > 0) {
		if (option.code != NG_OPT_EPB_FLAGS || option.len != 4)
			continue;
		switch (u32_load(option.value, big) & 3) {
		case 1:
			return PFS_REC_IN;
		case 2:
			return PFS_REC_OUT;
		default:
			return 0;
		}
	}
	return 0;
}

static int interface_known(const struct capture *c, const struct step *s, uint32_t interface)
{
	if (interface < c->ninterfaces)
		return 0;
	return pfs_diag_set(s->diag, EBADMSG,
			    "pcapng: a packet of interface %u, which is not described", interface);
}

/* Enhanced packet blocks; the obsolete ones differ only in how wide the interface number is. */
static int ng_packet(struct capture *c, struct step *s, uint32_t type, uint32_t total)
{
	bool big = c->big_endian;
	size_t size = pfs_hdr_size(PFS_HDR_EPB);
	uint32_t interface, caplen;
	size_t room, padded;
	int r;

	if (total < size + 4)
		return block_error(s, type, total);
	room = total - size - 4;
	interface = type == NG_EPB ? u32_load(s->p + 8, big) : u16_load(s->p + 8, big);
	caplen = u32_load(s->p + 20, big);
	r = interface_known(c, s, interface);
	if (r < 0)
		return r;
	if (caplen > CAPTURE_PACKET_MAX)
		return packet_size_error(s, caplen);
	if (caplen > room)
		return block_error(s, type, total);
	padded = pfs_min(((size_t)caplen + 3) & ~(size_t)3, room);
	s->packet = (struct capture_packet){
		.hdr = PFS_HDR_EPB,
		.caplen = caplen,
		.interface = interface,
		.flags = packet_direction(s->p + size + padded, room - padded, big),
	};
	packet_decode(c, s);
	s->used = total;
	return STEP_PACKET;
}

/* Its captured length is not said: what the block has room for and the first interface lets through. */
static int ng_simple_packet(struct capture *c, struct step *s, uint32_t total)
{
	size_t size = pfs_hdr_size(PFS_HDR_SPB);
	uint32_t caplen;
	int r;

	if (total < size + 4)
		return block_error(s, NG_SPB, total);
	r = interface_known(c, s, 0);
	if (r < 0)
		return r;
	caplen = (uint32_t)pfs_min(u32_load(s->p + 8, c->big_endian), total - size - 4);
	if (c->interfaces[0].origin.snaplen && caplen > c->interfaces[0].origin.snaplen)
		caplen = c->interfaces[0].origin.snaplen;
	if (caplen > CAPTURE_PACKET_MAX)
		return packet_size_error(s, caplen);
	s->packet = (struct capture_packet){ .hdr = PFS_HDR_SPB, .caplen = caplen };
	packet_decode(c, s);
	s->used = total;
	return STEP_PACKET;
}

static int ng_block(struct capture *c, struct step *s)
{
	uint32_t type, total;

	if (s->n < 8)
		return step_need(s, 8);
	type = u32_load(s->p, c->big_endian);
	if (type == NG_SHB)
		return ng_section(c, s);
	if (c->first_block)
		return pfs_diag_set(s->diag, EBADMSG, "pcapng: no section header");
	total = u32_load(s->p + 4, c->big_endian);
	if (total < NG_BLOCK_MIN || total % 4 || total > CAPTURE_BLOCK_MAX)
		return block_error(s, type, total);
	if (type != NG_IDB && type != NG_EPB && type != NG_PACKET && type != NG_SPB) {
		c->skip = total - 8;
		return step_on(s, 8);
	}
	if (s->n < total)
		return step_need(s, total);
	if (u32_load(s->p + total - 4, c->big_endian) != total)
		return block_error(s, type, total);
	if (type == NG_IDB)
		return ng_interface(c, s, total);
	if (type == NG_SPB)
		return ng_simple_packet(c, s, total);
	return ng_packet(c, s, type, total);
}

/* --- both ---------------------------------------------------------------------------- */

static int capture_magic(struct capture *c, struct step *s)
{
	bool little;

	if (s->n < 4)
		return step_need(s, 4);
	little = pcap_magic(le32_load(s->p));
	if (little || pcap_magic(be32_load(s->p))) {
		if (c->wanted == CAPTURE_PCAPNG)
			return pfs_diag_set(s->diag, EBADMSG, "this is pcap, not pcapng");
		c->format = CAPTURE_PCAP;
		c->big_endian = !little;
		return step_on(s, 0);
	}
	if (le32_load(s->p) == NG_MAGIC) {
		if (c->wanted == CAPTURE_PCAP)
			return pfs_diag_set(s->diag, EBADMSG, "this is pcapng, not pcap");
		c->format = CAPTURE_PCAPNG;
		c->first_block = true;
		return step_on(s, 0);
	}
	if (be16_load(s->p) == 0x1f8b || be32_load(s->p) == 0x28b52ffd || be32_load(s->p) == 0xfd377a58)
		return pfs_diag_set(s->diag, EBADMSG, "this is compressed: decompress it before");
	return pfs_diag_set(s->diag, EBADMSG,
			    "neither pcap nor pcapng: it begins with %02x%02x%02x%02x", s->p[0],
			    s->p[1], s->p[2], s->p[3]);
}

static int capture_step(struct capture *c, struct step *s)
{
	if (c->skip > 0) {
		size_t used = pfs_min(c->skip, s->n);

		c->skip -= (uint32_t)used;
		return used ? step_on(s, used) : step_need(s, 1);
	}
	switch (c->format) {
	case CAPTURE_PCAP:
		return c->ninterfaces ? pcap_packet(c, s) : pcap_file_header(c, s);
	case CAPTURE_PCAPNG:
		return ng_block(c, s);
	case CAPTURE_ANY:
		break;
	}
	return capture_magic(c, s);
}

int capture_next(struct capture *capture, const uint8_t *bytes, size_t n, size_t *ret_consumed,
		 struct capture_packet *ret_packet, size_t *ret_need, struct pfs_diag *diag)
{
	struct step s = { .p = bytes, .n = n, .diag = diag };
	int r;

	if (capture->broken)
		return pfs_diag_set(diag, EBADMSG, "the capture is broken further up");
	while ((r = capture_step(capture, &s)) == STEP_ON) {
		s.p += s.used;
		s.n -= s.used;
	}
	if (r < 0) {
		capture->broken = true;
		return r;
	}
	*ret_consumed = (size_t)(s.p - bytes);
	if (r == STEP_NEED) {
		*ret_need = s.need;
		return 0;
	}
	*ret_packet = s.packet;
	ret_packet->header += *ret_consumed;
	*ret_consumed += s.used;
	return 1;
}

bool capture_complete(const struct capture *capture, size_t left)
{
	if (capture->broken || left > 0 || capture->skip > 0)
		return false;
	/* Nothing at all, or at least the file's header. */
	return capture->format == CAPTURE_ANY || capture->generation > 0;
}
