#include "packet/lines.h"

#include <time.h>

#include "packet/brief_i.h"
#include "packet/dissect.h"

#define NS_PER_S UINT64_C(1000000000)
#define LINE_BYTES 16
#define INDENT 8

static void digits(char *p, uint32_t value, int n)
{
	while (n-- > 0) {
		p[n] = (char)('0' + value % 10);
		value /= 10;
	}
}

/*
 * Date of a day since the epoch, proleptic Gregorian. From http://howardhinnant.github.io/date_algorithms.html
 * (civil_from_days); gmtime_r() takes a lock.
 */
static void civil(uint32_t days, uint32_t *ret_year, uint32_t *ret_month, uint32_t *ret_day)
{
	uint32_t z = days + 719468;
	uint32_t era = z / 146097;
	uint32_t doe = z - era * 146097;
	uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint32_t mp = (5 * doy + 2) / 153;

	*ret_day = doy - (153 * mp + 2) / 5 + 1;
	*ret_month = mp < 10 ? mp + 3 : mp - 9;
	*ret_year = yoe + era * 400 + (*ret_month <= 2);
}

size_t pkt_time(uint64_t ns, char separator, char ret_text[PKT_TIME_SIZE])
{
	uint64_t s = ns / NS_PER_S;
	uint32_t of_day = (uint32_t)(s % 86400), year, month, day;

	civil((uint32_t)(s / 86400), &year, &month, &day);
	memcpy(ret_text, "0000-00-00T00:00:00.000000000Z", 31);
	digits(ret_text, year, 4);
	digits(ret_text + 5, month, 2);
	digits(ret_text + 8, day, 2);
	ret_text[10] = separator;
	digits(ret_text + 11, of_day / 3600, 2);
	digits(ret_text + 14, of_day / 60 % 60, 2);
	digits(ret_text + 17, of_day % 60, 2);
	digits(ret_text + 20, (uint32_t)(ns % NS_PER_S), 9);
	if (separator == 'T')
		return 30;
	ret_text[29] = '\0';
	return 29;
}

static const char *direction(const struct pfs_ref *ref)
{
	return ref->flags & PFS_REC_IN ? "in" : ref->flags & PFS_REC_OUT ? "out" : NULL;
}

/* --- for people ------------------------------------------------------------------------------ */

/* "        0x0010:  4500 0034 ...  E..4...\n": one line of up to 16 bytes. Returns its length. */
static size_t hex_line(char *line, const uint8_t *p, size_t n, uint32_t offset)
{
	static const char hex[] = "0123456789abcdef";
	char *s = line;

	memset(s, ' ', INDENT); /* tcpdump has a tab, which is a control character */
	s += INDENT;
	*s++ = '0';
	*s++ = 'x';
	for (int shift = 12; shift >= 0; shift -= 4) /* offset < PKT_LINES_BYTES */
		*s++ = hex[offset >> shift & 15];
	*s++ = ':';
	*s++ = ' ';
	for (size_t i = 0; i < LINE_BYTES; i++) {
		if (i % 2 == 0)
			*s++ = ' ';
		*s++ = i < n ? hex[p[i] >> 4] : ' ';
		*s++ = i < n ? hex[p[i] & 15] : ' ';
	}
	*s++ = ' ';
	*s++ = ' ';
	for (size_t i = 0; i < n; i++)
		*s++ = p[i] > 0x20 && p[i] < 0x7f ? (char)p[i] : '.';
	*s++ = '\n';
	return (size_t)(s - line);
}

static void hex_dump(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	for (size_t at = 0; at < n; at += LINE_BYTES) {
		char *line = pfs_buf_reserve(out, 96);

		if (!line)
			return;
		out->len += hex_line(line, p + at, pfs_min(n - at, LINE_BYTES), (uint32_t)at);
	}
}

/* Time, interface and direction, and a blank. */
static void text_start(struct pfs_buf *out, uint64_t ns, const struct pfs_origin *origin,
		       const struct pfs_ref *ref)
{
	const char *way = direction(ref);
	char time[PKT_TIME_SIZE];

	pfs_buf_add(out, time, pkt_time(ns, ' ', time));
	if (origin->name[0]) {
		pfs_buf_add(out, " ", 1);
		pfs_buf_clean(out, origin->name, strlen(origin->name));
	}
	if (way) {
		pfs_buf_add(out, " ", 1);
		pfs_buf_str(out, way);
	}
	pfs_buf_add(out, " ", 1);
}

void pkt_lines_text(const struct pkt_view *view, struct pfs_buf *out)
{
	size_t shown = pfs_min(view->len, PKT_LINES_BYTES);

	text_start(out, view->meta->time, view->origin, view->layers);
	pkt_summary(view->p, view->len, view->origin->link_type, view->layers, out);
	if (view->meta->wire_len > view->len)
		pfs_buf_printf(out, " [%zu of %u bytes]", view->len, view->meta->wire_len);
	pfs_buf_add(out, "\n", 1);
	hex_dump(view->p, shown, out);
	if (shown < view->len)
		pfs_buf_printf(out, "%*s... %zu bytes more\n", INDENT, "", view->len - shown);
}

/* Whose bytes these are, as the packet's headers in front of them say. */
static void piece_brief(const struct pkt_piece *piece, struct pkt_brief *ret_brief)
{
	static const struct pfs_ref unknown;

	pkt_brief(piece->p - piece->ref->off, piece->ref->off, piece->origin->link_type, &unknown,
		  ret_brief);
}

static void text_in_stream(const struct pkt_piece *piece, struct pfs_buf *out)
{
	const struct pfs_ref *ref = piece->ref;
	size_t shown = pfs_min(piece->len, PKT_LINES_BYTES);
	struct pkt_brief brief;

	text_start(out, piece->meta->time, piece->origin, ref);
	piece_brief(piece, &brief);
	if (brief.has_ports)
		pfs_buf_printf(out, "%s.%u > %s.%u: ", brief.src, brief.sport, brief.dst, brief.dport);
	pfs_buf_printf(out, "stream %u %c offset %u", ref->stream & ~1u,
		       ref->stream & 1 ? 'b' : 'a', ref->offset);
	if (ref->flags & PFS_REF_GAP)
		pfs_buf_printf(out, " gap %u", piece->meta->wire_len);
	else
		pfs_buf_printf(out, " len %zu", piece->len);
	if (piece->describe && piece->describe->text)
		piece->describe->text(piece->p, piece->len, out);
	pfs_buf_add(out, "\n", 1);
	hex_dump(piece->p, shown, out);
	if (shown < piece->len)
		pfs_buf_printf(out, "%*s... %zu bytes more\n", INDENT, "", piece->len - shown);
}

static void text_plain(const uint8_t *p, size_t n, struct pfs_buf *out)
{
	size_t start = 0;

	/* Long runs of what may pass as it is, and the few others between them. */
	for (size_t i = 0; i < n; i++) {
		if ((p[i] >= 0x20 && p[i] < 0x7f) || p[i] == '\n')
			continue;
		pfs_buf_add(out, p + start, i - start);
		start = i + 1;
		if (p[i] == '\t')
			pfs_buf_add(out, "        ", 8);
		else if (p[i] == '\r' && i + 1 < n && p[i + 1] == '\n')
			continue; /* the end of a line, as good as the newline alone */
		else
			pfs_buf_clean(out, (const char *)p + i, 1);
	}
	pfs_buf_add(out, p + start, n - start);
}

void pkt_lines_text_bytes(const struct pkt_piece *piece, struct pfs_buf *out)
{
	if (piece->ref->flags & PFS_REF_IN_STREAM)
		text_in_stream(piece, out);
	else
		text_plain(piece->p, piece->len, out);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_string(struct pfs_buf *out, const char *key, const void *value, size_t len)
{
	pfs_buf_str(out, ",\"");
	pfs_buf_str(out, key);
	pfs_buf_str(out, "\":\"");
	pfs_buf_json(out, value, len);
	pfs_buf_add(out, "\"", 1);
}

static void json_time(struct pfs_buf *out, uint64_t ns)
{
	char time[PKT_TIME_SIZE];

	pfs_buf_str(out, "{\"time\":\"");
	pfs_buf_add(out, time, pkt_time(ns, 'T', time));
	pfs_buf_add(out, "\"", 1);
}

static void json_number(struct pfs_buf *out, const char *key, uint64_t value)
{
	char text[24], *p = text + sizeof(text);

	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	pfs_buf_str(out, ",\"");
	pfs_buf_str(out, key);
	pfs_buf_str(out, "\":");
	pfs_buf_add(out, p, (size_t)(text + sizeof(text) - p));
}

static void json_start(struct pfs_buf *out, uint64_t ns, const struct pfs_origin *origin,
		       const struct pfs_ref *ref)
{
	const char *way = direction(ref);

	json_time(out, ns);
	if (origin->name[0])
		json_string(out, "interface", origin->name, strlen(origin->name));
	if (way)
		json_string(out, "direction", way, strlen(way));
}

void pkt_lines_json(const struct pkt_view *view, struct pfs_buf *out)
{
	size_t before;

	json_start(out, view->meta->time, view->origin, view->layers);
	json_number(out, "len", view->meta->wire_len);
	json_number(out, "caplen", view->len);
	before = out->len;
	pfs_buf_add(out, ",", 1);
	pkt_json(view->p, view->len, view->origin->link_type, view->layers, out);
	if (!out->failed && out->len == before + 1)
		out->len = before; /* it had nothing to say */
	pfs_buf_add(out, "}\n", 2);
}

static void json_in_stream(const struct pkt_piece *piece, struct pfs_buf *out)
{
	const struct pfs_ref *ref = piece->ref;
	struct pkt_brief brief;

	json_start(out, piece->meta->time, piece->origin, ref);
	piece_brief(piece, &brief);
	if (brief.has_ports) {
		json_string(out, "src", brief.src, strlen(brief.src));
		json_number(out, "sport", brief.sport);
		json_string(out, "dst", brief.dst, strlen(brief.dst));
		json_number(out, "dport", brief.dport);
	}
	json_number(out, "stream", ref->stream & ~1u);
	json_string(out, "side", ref->stream & 1 ? "b" : "a", 1);
	json_number(out, "offset", ref->offset);
}

void pkt_lines_json_bytes(const struct pkt_piece *piece, struct pfs_buf *out)
{
	const struct pkt_describe *describe = piece->describe;
	bool gap = piece->ref->flags & PFS_REF_GAP;

	if (piece->ref->flags & PFS_REF_IN_STREAM) {
		json_in_stream(piece, out);
	} else {
		json_time(out, piece->meta->time);
		if (piece->origin->name[0])
			json_string(out, "from", piece->origin->name, strlen(piece->origin->name));
	}
	json_number(out, "len", piece->len);
	if (gap)
		json_number(out, "gap", piece->meta->wire_len);
	if (!gap && describe && describe->json)
		describe->json(piece->p, piece->len, out);
	if (!gap && !(describe && describe->whole))
		json_string(out, "data", piece->p, piece->len);
	pfs_buf_add(out, "}\n", 2);
}
