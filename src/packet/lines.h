/*
 * lines - packets and bytes as text for people, and as JSON
 *
 * Nothing here ever writes a control character other than the newline that ends a line, whatever the
 * packet holds: terminals obey those. Times are UTC. Pure functions; any thread.
 */
#ifndef PFS_PACKET_LINES_H
#define PFS_PACKET_LINES_H

#include "base/base.h"
#include "ring/record.h"

/* A packet and what is known of it. Borrowed. */
struct pkt_view {
	const uint8_t *p;
	size_t len;
	const struct pfs_ref *layers; /* dissected */
	const struct pfs_meta *meta;
	const struct pfs_origin *origin;
};

/* "2024-05-06T07:08:09.123456789Z" with separator 'T', or ' ' for people and no Z then. Up to year 2554. */
#define PKT_TIME_SIZE 32
size_t pkt_time(uint64_t ns, char separator, char ret_text[PKT_TIME_SIZE]);

/*
 * One summary line with time, interface and direction, then all bytes in hex and ASCII as tcpdump -XX prints them,
 * but for its tabs. Bytes beyond PKT_LINES_BYTES are counted in a last line, not shown. Ends with a newline.
 */
#define PKT_LINES_BYTES 65536u
void pkt_lines_text(const struct pkt_view *view, struct pfs_buf *out);

/*
 * One JSON object and a newline: time, interface, direction, len (on the wire), caplen, and what pkt_json() finds.
 */
void pkt_lines_json(const struct pkt_view *view, struct pfs_buf *out);

/*
 * What a record means that is no packet, in the words of the filter that made it. Pure; p may be any bytes. NULL:
 * nothing to say.
 */
struct pkt_describe {
	/* `,"name":value` for each: valid JSON. */
	void (*json)(const uint8_t *p, size_t n, struct pfs_buf *out);
	/* For a line: printable ASCII. */
	void (*text)(const uint8_t *p, size_t n, struct pfs_buf *out);
	bool whole; /* that is all: all.json does not show the bytes, and a record is one line */
};

/* A record that is no packet, or a piece of it. Borrowed. */
struct pkt_piece {
	const uint8_t *p;
	size_t len;
	const struct pfs_ref *ref; /* to these bytes; with PFS_REF_IN_STREAM the packet's headers are before them */
	const struct pfs_meta *meta;
	const struct pfs_origin *origin;
	const struct pkt_describe *describe; /* or NULL */
};

/*
 * Of a reassembled stream: a summary line, then hex and ASCII as pkt_lines_text(). Others: printable ASCII and newlines
 * as they are, the rest as \xNN, tabs as spaces.
 */
void pkt_lines_text_bytes(const struct pkt_piece *piece, struct pfs_buf *out);
/*
 * One JSON object and a newline: time; of a reassembled stream interface, direction, src, sport, dst, dport, stream,
 * side ("a", "b"), offset; len; gap (bytes that are missing here); what the filter says; data unless it says all.
 */
void pkt_lines_json_bytes(const struct pkt_piece *piece, struct pfs_buf *out);

#endif
