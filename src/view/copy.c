/*
 * copy - the stream of a directory as it is, in a ring of its own
 *
 * Synopsis:   …/all,client
 *
 * What clients of libpipesfs read from memory, however many there are: what they map holds exactly what this
 * directory shows, while a ring of its source holds what all filters get. The bytes are those of `all`. It is not
 * listed. (Of a directory that processes write into both are the same, and that ring is mapped: pfs_inject_maps().)
 *
 * In the ring the device of a record (`ifindex`) is its link type: of a client's record both are not told.
 */
#include "graph/filter.h"

static size_t copy_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	size_t i;

	(void)state;
	(void)ret_wait;
	for (i = 0; i < n && out->room > 0; i++) {
		struct pfs_ref like = in[i];
		struct pfs_record *rec;
		struct pfs_meta meta;
		void *p = pfs_emit_new(out, like.len, &rec);

		if (!p)
			break;
		memcpy(p, pfs_bytes(out, &like), like.len);
		pfs_meta(out, &like, &meta);
		rec->time = meta.time;
		rec->wire_len = meta.wire_len;
		rec->stream = meta.stream;
		rec->mark = meta.mark;
		rec->flags = like.flags;
		rec->ifindex = pfs_link_type(out, &like);
		like.off = 0;
		pfs_emit_commit_as(out, rec, &like);
	}
	return i;
}

const struct pfs_filter pfs_filter_view_copy = {
	.name = "copy",
	.summary = "the stream in a ring of its own, for clients",
	.flags = PFS_FILTER_VIEW,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.pull = copy_pull,
};
