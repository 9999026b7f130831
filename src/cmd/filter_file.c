/*
 * filter_file - packets of a capture file, read by blocks: a file that shrinks meanwhile does no harm
 */
#include "cmd/filter_i.h"

#include <fcntl.h>

#define BLOCK ((size_t)256 << 10)

int filter_file_open(const char *path, struct filter_file *ret_file)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_file = (struct filter_file){ .fd = fd };
	capture_init(&ret_file->capture, CAPTURE_ANY);
	return 0;
}

void filter_file_close(struct filter_file *file)
{
	if (!file->buf && file->fd <= 0)
		return; /* never opened */
	close(file->fd);
	free(file->buf);
	capture_release(&file->capture);
	*file = (struct filter_file){ 0 };
}

/* At least one byte more, and room for `need`; or the end. */
static int refill(struct filter_file *file, size_t need)
{
	size_t left = file->end - file->begin, cap = pfs_max(need, left + BLOCK);
	ssize_t n;

	if (left && file->begin)
		memmove(file->buf, file->buf + file->begin, left);
	file->begin = 0;
	file->end = left;
	if (cap > file->cap) {
		void *p = realloc(file->buf, cap);

		if (!p)
			return -ENOMEM;
		file->buf = p;
		file->cap = cap;
	}
	do
		n = read(file->fd, file->buf + left, file->cap - left);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	file->end += (size_t)n;
	file->ended = n == 0;
	return 0;
}

static void fill(const struct filter_file *file, const uint8_t *bytes,
		 const struct capture_packet *packet, struct filter_packet *ret_packet)
{
	const struct pfs_origin *origin = &file->capture.interfaces[packet->interface].origin;

	*ret_packet = (struct filter_packet){
		.data = bytes + packet->header + pfs_hdr_size(packet->hdr),
		.caplen = capture_snapped(&file->capture, packet),
		.len = packet->wire_len,
		.link_type = origin->link_type,
		.big_endian = origin->big_endian,
		.flags = packet->flags,
	};
}

int filter_file_next(struct filter_file *file, struct filter_packet *ret_packet, struct pfs_diag *diag)
{
	for (;;) {
		const uint8_t *bytes = file->buf + file->begin;
		struct capture_packet packet = { 0 };
		size_t used = 0, need = 1;
		int r = 0;

		if (file->end > file->begin)
			r = capture_next(&file->capture, bytes, file->end - file->begin, &used,
					 &packet, &need, diag);
		if (r < 0)
			return r;
		file->begin += used;
		if (r > 0) {
			fill(file, bytes, &packet, ret_packet);
			return 1;
		}
		if (file->ended)
			return capture_complete(&file->capture, file->end - file->begin)
				       ? 0
				       : pfs_diag_set(diag, EBADMSG,
						      "it ends in the middle of a packet");
		r = refill(file, need);
		if (r < 0)
			return pfs_diag_set(diag, -r, "%s", strerror(-r));
	}
}
