#include "packet/pour.h"

#include <limits.h>

static_assert(PKT_POUR_MAX * 2 <= IOV_MAX, "a batch is one writev");

void pkt_pour_init(struct pkt_pour *pour, int fd, bool pcap, uint16_t link_type)
{
	*pour = (struct pkt_pour){ .fd = fd, .pcap = pcap, .header_due = pcap, .link_type = link_type };
}

static uint16_t link_type_of(const struct pfs_rings *rings, const struct pfs_ref *ref)
{
	return pfs_origin_get(rings, ref->origin)->link_type;
}

size_t pkt_pour_fit(struct pkt_pour *pour, const struct pfs_rings *rings,
		    const struct pfs_ref *refs, size_t n)
{
	size_t i = 0;

	if (!pour->pcap)
		return n;
	if (pour->header_due && n > 0)
		pour->link_type = link_type_of(rings, &refs[0]);
	while (i < n && link_type_of(rings, &refs[i]) == pour->link_type)
		i++;
	return i;
}

/* Record i as vectors behind those that are there; returns the bytes. */
static size_t frame(const struct pkt_pour *pour, const struct pfs_rings *rings,
		    const struct pfs_ref *ref, struct pkt_pour_room *room, size_t i, size_t *niov)
{
	struct pfs_meta meta;
	size_t header = 0;

	if (pour->pcap) {
		pfs_ref_meta(rings, ref, &meta);
		pcap_packet_header(room->headers[i], meta.time, ref->len,
				   (uint32_t)pfs_max(meta.wire_len, ref->len));
		header = PCAP_PACKET_HEADER;
		room->iov[(*niov)++] = (struct iovec){ room->headers[i], header };
	}
	room->iov[(*niov)++] = (struct iovec){ (void *)pfs_ref_bytes(rings, ref), ref->len };
	return header + ref->len;
}

/* Leaves out what was written of the first record before. */
static void skip_part(struct iovec *iov, size_t niov, size_t part)
{
	for (size_t i = 0; i < niov && part; i++) {
		size_t n = pfs_min(part, iov[i].iov_len);

		iov[i].iov_base = (char *)iov[i].iov_base + n;
		iov[i].iov_len -= n;
		part -= n;
	}
}

int pkt_pour_header(struct pkt_pour *pour)
{
	uint8_t header[PCAP_FILE_HEADER];
	ssize_t n;

	if (!pour->header_due)
		return 0;
	pcap_file_header(header, pour->link_type);
	/* Into a pipe or socket that is empty: all of it. */
	n = write(pour->fd, header, sizeof(header));
	if (n < 0)
		return -errno;
	pour->header_due = false;
	return n == sizeof(header) ? 0 : -EPIPE;
}

ssize_t pkt_pour_write(struct pkt_pour *pour, const struct pfs_rings *rings,
		       const struct pfs_ref *refs, size_t n, struct pkt_pour_room *room,
		       size_t *ret_bytes)
{
	size_t niov = 0, i;
	ssize_t written;
	int r = pkt_pour_header(pour);

	assert(n <= PKT_POUR_MAX);
	if (r < 0)
		return r;
	for (i = 0; i < n; i++)
		room->size[i] = frame(pour, rings, &refs[i], room, i, &niov);
	skip_part(room->iov, niov, pour->part);
	do {
		written = writev(pour->fd, room->iov, (int)niov);
	} while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	*ret_bytes = (size_t)written;
	written += (ssize_t)pour->part;
	for (i = 0; i < n && (size_t)written >= room->size[i]; i++)
		written -= (ssize_t)room->size[i];
	pour->part = (size_t)written;
	return (ssize_t)i;
}
