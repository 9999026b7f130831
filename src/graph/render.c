#include "graph/render.h"

#include "graph/proto.h"

/* Six bytes of JSON for each byte at worst, and the ring takes records up to a quarter of it. */
#define PIECE ((PFS_RENDER_RING / 4 - 4096) / 6)

void pfs_render_release(struct pfs_render *render)
{
	pfs_buf_release(&render->text);
}

/*
 * n: records that the text says, 0 or 1. False: no room now. What cannot be rendered for lack of memory is lost, with
 * its reason.
 */
static bool render_emit(struct pfs_render *render, const struct pfs_meta *meta, unsigned flags,
			size_t n, struct pfs_emitter *out)
{
	struct pfs_record *rec;
	void *p;

	if (render->text.failed || render->text.len > PFS_RENDER_RING / 4) {
		pfs_emit_lost(out, render->text.failed ? "no memory" : "oversize", 1);
		pfs_buf_release(&render->text);
		return true;
	}
	p = pfs_emit_new(out, render->text.len, &rec);
	if (!p)
		return false;
	memcpy(p, render->text.data, render->text.len);
	rec->time = meta->time;
	rec->flags = flags & (PFS_REC_IN | PFS_REC_OUT);
	pfs_emit_commit_of(out, rec, n);
	return true;
}

size_t pfs_render_packets(struct pfs_render *render, pfs_render_packet_fn fn, struct pfs_ref *in,
			  size_t n, struct pfs_emitter *out)
{
	struct pfs_meta meta;
	size_t i;

	for (i = 0; i < n && out->room > 0; i++) {
		struct pkt_view view = {
			.p = pfs_bytes(out, &in[i]),
			.len = in[i].len,
			.layers = &in[i],
			.meta = &meta,
			.origin = pfs_origin_get(out->rings, in[i].origin),
		};

		pfs_layers(out, &in[i]);
		pfs_meta(out, &in[i], &meta);
		render->text.len = 0;
		fn(&view, &render->text);
		if (!render_emit(render, &meta, in[i].flags, 1, out))
			break;
	}
	return i;
}

/* A piece does not end within a UTF-8 character, if these bytes are such. */
static uint32_t piece_len(const uint8_t *p, uint32_t n)
{
	uint32_t len = PIECE;

	if (n <= PIECE)
		return n;
	while (len > PIECE - 3 && (p[len] & 0xc0) == 0x80)
		len--;
	return (p[len] & 0xc0) == 0x80 ? PIECE : len;
}

/* Bytes of the record from `done` on that are rendered together. */
static struct pfs_ref piece_of(const struct pfs_render *render, const struct pfs_ref *ref,
			       const uint8_t *p)
{
	struct pfs_ref piece = *ref;
	uint32_t len = ref->len - render->done;

	if (!render->describe || !render->describe->whole)
		len = piece_len(p, len);
	pfs_ref_narrow(&piece, render->done, len);
	return piece;
}

/* *last: the record has no more pieces; set when it is lost for lack of memory, once. False: no room now. */
static bool render_piece(struct pfs_render *render, pfs_render_bytes_fn fn, const struct pfs_ref *ref,
			 const struct pfs_meta *meta, bool *last, struct pfs_emitter *out)
{
	struct pkt_piece piece = {
		.p = pfs_bytes(out, ref),
		.len = ref->len,
		.ref = ref,
		.meta = meta,
		.origin = pfs_origin_get(out->rings, ref->origin),
		.describe = render->describe,
	};

	render->text.len = 0;
	if (ref->len > 0 || (ref->flags & PFS_REF_GAP))
		fn(&piece, &render->text);
	*last |= render->text.failed;
	return (render->text.len == 0 && !*last) || render_emit(render, meta, ref->flags, *last, out);
}

/* True: all of the record. */
static bool render_record(struct pfs_render *render, pfs_render_bytes_fn fn,
			  const struct pfs_ref *ref, struct pfs_emitter *out)
{
	const uint8_t *p = pfs_bytes(out, ref);
	struct pfs_meta meta;

	/* The rest of the one that was begun, unless that was lost meanwhile. */
	if (render->pos != ref->pos || render->ring != ref->ring || render->done > ref->len)
		render->done = 0;
	render->pos = ref->pos;
	render->ring = ref->ring;
	pfs_meta(out, ref, &meta);
	do {
		struct pfs_ref piece = piece_of(render, ref, p + render->done);
		bool last = render->done + piece.len == ref->len;

		if (out->room == 0 || !render_piece(render, fn, &piece, &meta, &last, out))
			return false;
		render->done = last ? ref->len : render->done + piece.len;
	} while (render->done < ref->len);
	render->done = 0;
	return true;
}

size_t pfs_render_bytes(struct pfs_render *render, pfs_render_bytes_fn fn, struct pfs_ref *in,
			size_t n, struct pfs_emitter *out)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!render_record(render, fn, &in[i], out))
			break;
	return i;
}
