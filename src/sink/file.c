/*
 * file - write the stream to a file
 *
 * Synopsis:   …/file:PATH
 *
 * A sink: consumes by itself, as long as the directory exists. PATH (slashes as %2f) is opened by
 * mkdir as its maker, relative to the maker's working directory, and emptied; it must be a
 * regular file or not exist yet (then mode 0666 less the umask).
 *
 * Packets are written as pcapng if PATH ends in .pcapng, as pcap with nanoseconds if it ends in
 * .pcap or .cap, and as their bare bytes one after the other otherwise. A pcap file has one link
 * type, that of the first packet: packets of another one are lost, "link type". Byte streams and
 * text are written as they are, whatever the name.
 *
 * When the disk is full, or a limit is reached, records are lost ("no space", "too large", "write
 * error") and the file stays valid: an unfinished record is cut off again. Writing goes on with
 * the next record that fits.
 *
 * rotate= makes a ring of files of it: keep= of them, with their numbers before the ending
 * (trace.0.pcapng to trace.9.pcapng). All are opened and emptied by mkdir, later nothing has to be.
 * Before a record that would make the file larger than a size (rotate=100M), or that is later by a
 * time than the first one in it (rotate=60s, by the records' own times), the next of them, the
 * oldest, is emptied and gone on with. Each is a whole capture file of its own; a record is never
 * cut. A record larger than the size is alone in its file.
 *
 * Stats:      written (bytes), errors (failed writes), error (the last one in words);
 *             with rotate= also rotated (how often) and current (the number of the file)
 * Parameters: append=1    go on at the end of the file instead of emptying it. A pcapng file gets
 *                         a new section, a pcap file no second header (its link type has to be the
 *                         same). Not with rotate=.
 *             rotate=SIZE bytes, or with k, M, G (of 1024)
 *             rotate=TIME with its unit: 500ms, 60s, 15m, 1h
 *             keep=N      files of the ring, 2 to 64; 10
 * Classes:    none
 * Example:    mkdir '/p/dev/eth0/tcp/file:%2ftmp%2ftrace.pcapng'
 *             mkdir '/p/dev/eth0/file:%2fvar%2fcap%2feth0.pcapng,rotate=100M,keep=24'
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "base/bytes.h"
#include "graph/filter.h"
#include "packet/capture_write.h"

#define ORIGINS 65536
#define VECTORS 3 /* of one record: header, bytes, trailer */
static_assert(PFS_BATCH * VECTORS <= IOV_MAX, "a batch is one writev");

enum format { FORMAT_RAW, FORMAT_PCAP, FORMAT_PCAPNG };

/* What stands around the bytes of one record. */
struct frame {
	uint8_t header[NG_PACKET_HEADER];
	uint8_t trailer[NG_PACKET_TRAILER_MAX];
	size_t size; /* with the bytes */
};

#define KEEP_MAX 64
#define INTERFACE_ROOM 512 /* more than an interface description takes */

/* Of rotate=. */
struct files {
	int fd[KEEP_MAX]; /* owned */
	unsigned keep;	  /* 0: there is no ring */
	unsigned n, at;	  /* how many are open; which is written */
	uint64_t size;	  /* the largest, or 0 */
	uint64_t period;  /* ns, or 0 */
	uint64_t filled;  /* bytes in the one at `at` */
	bool begun;	  /* there is a record in it */
	uint64_t first;	  /* its time, ns */
	pfs_counter rotated;
};

struct file {
	int fd; /* owned; with a ring: borrowed, the one at `at` */
	struct files files;
	enum format format;
	bool header_due;    /* what a capture file begins with is not in it yet */
	uint16_t link_type; /* pcap: of the file; before there is one: of the place */
	uint32_t *numbers;  /* owned; pcapng: number + 1 by origin, 0: not described yet */
	uint32_t ninterfaces;
	struct frame *frames; /* owned; of a batch */
	struct iovec *iov;    /* owned; of a batch */
	pfs_counter written;  /* these counters' writer is the worker */
	pfs_counter errors;
	_Atomic int error; /* the last one, positive */
};

/* --- opening ------------------------------------------------------------------------------------ */

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n > m && strcmp(s + n - m, end) == 0;
}

static enum format format_of(const char *path, unsigned flow)
{
	if (!(flow & PFS_FLOW_ANY_PACKET))
		return FORMAT_RAW;
	if (ends_with(path, ".pcapng"))
		return FORMAT_PCAPNG;
	if (ends_with(path, ".pcap") || ends_with(path, ".cap"))
		return FORMAT_PCAP;
	return FORMAT_RAW;
}

static int parse_append(const struct pfs_args *args, bool *ret_append, struct pfs_diag *diag)
{
	const char *text = pfs_args_get(args, "append");
	uint64_t append = 0;

	if (text && pfs_number_parse(text, false, 0, 1, &append) < 0)
		return pfs_diag_set(diag, EINVAL, "append= is 0 or 1, not '%.32s'", text);
	*ret_append = append;
	return 0;
}

/* A time has a unit, a size has none of those. */
static int parse_rotate(const char *text, struct files *files, struct pfs_diag *diag)
{
	bool timed = *text && strchr("smh", text[strlen(text) - 1]);
	int r = timed ? pfs_time_parse(text, &files->period)
		      : pfs_number_parse(text, true, 1, (uint64_t)1 << 50, &files->size);

	if (r == 0 && (files->size || files->period))
		return 0;
	return pfs_diag_set(
		diag, EINVAL,
		"rotate= is a size (100M) or a time with its unit (60s, 15m, 1h), not '%.32s'", text);
}

static int parse_ring(const struct pfs_args *args, bool append, struct files *files,
		      struct pfs_diag *diag)
{
	const char *rotate = pfs_args_get(args, "rotate");
	uint64_t keep = 10;
	int r = pfs_args_number(args, "keep", false, 2, KEEP_MAX, &keep, diag);

	if (r < 0)
		return r;
	if (!rotate && pfs_args_get(args, "keep"))
		return pfs_diag_set(diag, EINVAL, "keep= is said with rotate=");
	if (!rotate)
		return 0;
	if (append)
		return pfs_diag_set(diag, EINVAL, "append=1 and rotate= do not go together");
	files->keep = (unsigned)keep;
	return parse_rotate(rotate, files, diag);
}

/* A pcap file to go on with says its link type; one in another layout cannot be gone on with. */
static int append_pcap(struct file *f, const char *path, off_t size, struct pfs_diag *diag)
{
	uint8_t header[PCAP_FILE_HEADER], ours[PCAP_FILE_HEADER];

	if (size == 0)
		return 0;
	if (pread(f->fd, header, sizeof(header), 0) == sizeof(header)) {
		f->link_type = le16_load(header + 20);
		pcap_file_header(ours, f->link_type);
		memcpy(ours + 16, header + 16, 4); /* any snaplen */
		f->header_due = false;
		if (memcmp(header, ours, sizeof(ours)) == 0)
			return 0;
	}
	return pfs_diag_set(diag, EINVAL,
			    "append=1: %.128s is no pcap file with nanoseconds, which this would write",
			    path);
}

/* -errno; else an emptied regular file, or one to append to. */
static int open_one(const char *path, bool append, const struct pfs_place *place, struct pfs_diag *diag)
{
	/* Reading, to look at what is appended to; and nothing here waits for the other end of a FIFO. */
	int flags = (append ? O_RDWR : O_WRONLY) | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY |
		    O_NONBLOCK;
	PFS_CLOSE int fd = place->open_file(place, path, flags, 0666, diag);
	struct stat st;

	if (fd < 0)
		return TAKE_FD(fd);
	if (fstat(fd, &st) < 0)
		return pfs_diag_set(diag, errno, "%.128s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return pfs_diag_set(diag, EINVAL, "%.128s is not a regular file", path);
	if (!append && ftruncate(fd, 0) < 0)
		return pfs_diag_set(diag, errno, "%.128s: cannot be emptied: %s", path,
				    strerror(errno));
	return TAKE_FD(fd);
}

/* "dir/trace.pcapng", 3 of 24 -> "dir/trace.03.pcapng" */
static void ring_name(const char *path, unsigned number, unsigned n, struct pfs_buf *out)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	const char *dot = strrchr(base, '.'), *end = dot && dot > base ? dot : base + strlen(base);

	pfs_buf_printf(out, "%.*s.%0*u%s", (int)(end - path), path, n > 10 ? 2 : 1, number, end);
}

static int ring_open(struct file *f, const char *path, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	while (f->files.n < f->files.keep) {
		PFS_BUF struct pfs_buf name = { 0 };
		int fd;

		ring_name(path, f->files.n, f->files.keep, &name);
		fd = name.failed ? -ENOMEM : open_one(name.data, false, place, diag);
		if (fd < 0)
			return fd;
		f->files.fd[f->files.n++] = fd;
	}
	f->fd = f->files.fd[0];
	return 0;
}

static int file_open(struct file *f, const char *path, bool append, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct stat st;

	f->header_due = f->format != FORMAT_RAW;
	if (f->files.keep)
		return ring_open(f, path, place, diag);
	f->fd = open_one(path, append, place, diag);
	if (f->fd < 0)
		return f->fd;
	if (!append || f->format != FORMAT_PCAP)
		return 0;
	return fstat(f->fd, &st) < 0 ? -errno : append_pcap(f, path, st.st_size, diag);
}

/* --- writing --------------------------------------------------------------------------------------- */

static const char *reason_of(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
		return "no space";
	case EFBIG:
		return "too large";
	default:
		return "write error";
	}
}

static void note_error(struct file *f, int error)
{
	pfs_counter_add(&f->errors, 1);
	atomic_store_explicit(&f->error, error, memory_order_relaxed);
}

/*
 * All of the vectors, which are used up. Returns the bytes written, fewer after an error (*ret_error).
 */
static size_t write_all(struct file *f, struct iovec *iov, size_t niov, int *ret_error)
{
	size_t done = 0;

	*ret_error = 0;
	while (niov > 0) {
		ssize_t n = writev(f->fd, iov, (int)niov);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			*ret_error = errno;
			break;
		}
		done += (size_t)n;
		while (niov > 0 && (size_t)n >= iov->iov_len) {
			n -= (ssize_t)iov->iov_len;
			iov++;
			niov--;
		}
		if (niov > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	pfs_counter_add(&f->written, done);
	f->files.filled += done;
	return done;
}

/* Cuts off the last `part` bytes: a record that is not whole would spoil those behind it. */
static void cut_off(struct file *f, size_t part)
{
	struct stat st;

	if (part == 0 || fstat(f->fd, &st) < 0 || st.st_size < (off_t)part)
		return;
	if (ftruncate(f->fd, st.st_size - (off_t)part) < 0)
		return;
	pfs_counter_add(&f->written, -(uint64_t)part);
	f->files.filled -= part;
}

/* A few bytes at once or not at all: headers. */
static int write_whole(struct file *f, const void *bytes, size_t n)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = n };
	int error;
	size_t done = write_all(f, &iov, 1, &error);

	if (error) {
		cut_off(f, done);
		note_error(f, error);
	}
	return -error;
}

static int write_section(struct file *f)
{
	PFS_BUF struct pfs_buf head = { 0 };
	int r;

	ng_section(NULL, &head);
	r = head.failed ? -ENOMEM : write_whole(f, head.data, head.len);
	if (r == 0)
		f->header_due = false;
	return r;
}

static int write_pcap_header(struct file *f)
{
	uint8_t header[PCAP_FILE_HEADER];
	int r;

	pcap_file_header(header, f->link_type);
	r = write_whole(f, header, sizeof(header));
	if (r == 0)
		f->header_due = false;
	return r;
}

static int write_interface(struct file *f, uint16_t origin, const struct pfs_emitter *out)
{
	PFS_BUF struct pfs_buf head = { 0 };
	int r;

	ng_interface(pfs_origin_get(out->rings, origin), &head);
	r = head.failed ? -ENOMEM : write_whole(f, head.data, head.len);
	if (r == 0)
		f->numbers[origin] = ++f->ninterfaces;
	return r;
}

/* --- records ------------------------------------------------------------------------------------------ */

static void frame_packet(struct file *f, struct frame *frame, const struct pfs_ref *ref,
			 const struct pfs_emitter *out, size_t *ret_header, size_t *ret_trailer)
{
	struct ng_packet packet = { .caplen = ref->len, .flags = ref->flags };
	struct pfs_meta meta;

	pfs_meta(out, ref, &meta);
	packet.time = meta.time;
	packet.wire_len = meta.wire_len;
	if (f->format == FORMAT_PCAP) {
		pcap_packet_header(frame->header, packet.time, packet.caplen, packet.wire_len);
		*ret_header = PCAP_PACKET_HEADER;
		*ret_trailer = 0;
		return;
	}
	packet.interface = f->numbers[ref->origin] - 1;
	ng_packet_header(&packet, frame->header);
	*ret_header = NG_PACKET_HEADER;
	*ret_trailer = ng_packet_trailer(&packet, frame->trailer);
}

/* The record as vectors; returns how many. */
static size_t frame_record(struct file *f, struct frame *frame, const struct pfs_ref *ref,
			   const struct pfs_emitter *out, struct iovec *iov)
{
	size_t header = 0, trailer = 0;

	if (f->format != FORMAT_RAW)
		frame_packet(f, frame, ref, out, &header, &trailer);
	frame->size = header + ref->len + trailer;
	iov[0] = (struct iovec){ frame->header, header };
	iov[1] = (struct iovec){ (void *)pfs_bytes(out, ref), ref->len };
	iov[2] = (struct iovec){ frame->trailer, trailer };
	return VECTORS;
}

/* Writes what frames[0..n) hold. False: it failed, the rest was counted as lost. */
static bool write_frames(struct file *f, size_t n, struct pfs_emitter *out)
{
	size_t whole = 0, done;
	int error;

	if (n == 0)
		return true;
	done = write_all(f, f->iov, n * VECTORS, &error);
	if (!error)
		return true;
	while (whole < n && done >= f->frames[whole].size)
		done -= f->frames[whole++].size;
	if (f->format != FORMAT_RAW)
		cut_off(f, done);
	note_error(f, error);
	pfs_emit_lost(out, reason_of(error), n - whole);
	return false;
}

/* Writes what must stand before this record. */
static int prepare(struct file *f, const struct pfs_ref *ref, const struct pfs_emitter *out)
{
	int r = 0;

	if (f->format == FORMAT_PCAPNG) {
		if (f->header_due)
			r = write_section(f);
		return r < 0 || f->numbers[ref->origin] ? r : write_interface(f, ref->origin, out);
	}
	if (f->format == FORMAT_PCAP && f->header_due) {
		f->link_type = pfs_link_type(out, ref);
		return write_pcap_header(f);
	}
	return 0;
}

static bool needs_prepare(const struct file *f, const struct pfs_ref *ref)
{
	return f->format == FORMAT_PCAPNG ? f->numbers[ref->origin] == 0 : f->header_due;
}

/* --- the ring ------------------------------------------------------------------------------------------- */

/* At most what the record takes in the file, with what may have to stand before it. */
static size_t room_for(const struct file *f, const struct pfs_ref *ref)
{
	switch (f->format) {
	case FORMAT_PCAPNG:
		return NG_PACKET_HEADER + ref->len + NG_PACKET_TRAILER_MAX +
		       (needs_prepare(f, ref) ? INTERFACE_ROOM : 0);
	case FORMAT_PCAP:
		return PCAP_PACKET_HEADER + ref->len;
	case FORMAT_RAW:
		break;
	}
	return ref->len;
}

/* Does this record belong into the next file? pending: bytes that are still to be written into this one. */
static bool must_rotate(const struct file *f, const struct pfs_ref *ref, size_t pending,
			const struct pfs_emitter *out)
{
	const struct files *files = &f->files;
	struct pfs_meta meta;

	if (!files->begun)
		return false;
	if (files->size)
		return files->filled + pending + room_for(f, ref) > files->size;
	pfs_meta(out, ref, &meta);
	return meta.time >= files->first && meta.time - files->first >= files->period;
}

static void file_begin(struct file *f, const struct pfs_ref *ref, const struct pfs_emitter *out)
{
	struct pfs_meta meta = { 0 };

	if (f->files.period)
		pfs_meta(out, ref, &meta);
	f->files.begun = true;
	f->files.first = meta.time;
}

/* The oldest file, emptied. One that cannot be emptied is left as it is, and so is the order. -errno */
static int rotate(struct file *f)
{
	struct files *files = &f->files;
	unsigned next = (files->at + 1) % files->keep;

	files->begun = false;
	files->filled = 0;
	if (ftruncate(files->fd[next], 0) < 0) {
		int error = errno;

		note_error(f, error);
		return -error;
	}
	files->at = next;
	f->fd = files->fd[next];
	f->header_due = f->format != FORMAT_RAW;
	pfs_counter_add(&files->rotated, 1);
	if (f->format != FORMAT_PCAPNG)
		return 0;
	memset(f->numbers, 0, ORIGINS * sizeof(*f->numbers));
	f->ninterfaces = 0;
	return 0;
}

/* --- batches -------------------------------------------------------------------------------------------- */

/* Writes what is pending, and then what must stand before this record. 0, or -errno: neither can be gone on with. */
static int turn(struct file *f, const struct pfs_ref *ref, size_t pending, bool next,
		struct pfs_emitter *out)
{
	int r;

	if (!write_frames(f, pending, out))
		return -atomic_load(&f->error);
	r = next ? rotate(f) : 0;
	return r == 0 && needs_prepare(f, ref) ? prepare(f, ref, out) : r;
}

/* The batch in pieces between which something has to be written first. */
static void file_write(struct file *f, const struct pfs_ref *in, size_t n, struct pfs_emitter *out)
{
	size_t pending = 0, bytes = 0;
	bool next;
	int r;

	for (size_t i = 0; i < n; i++) {
		next = must_rotate(f, &in[i], bytes, out);
		if (!next && f->format == FORMAT_PCAP && !f->header_due &&
		    pfs_link_type(out, &in[i]) != f->link_type) {
			pfs_emit_lost(out, "link type", 1);
			continue;
		}
		if (next || needs_prepare(f, &in[i])) {
			r = turn(f, &in[i], pending, next, out);
			pending = bytes = 0;
			if (r < 0) {
				pfs_emit_lost(out, reason_of(-r), n - i);
				return;
			}
		}
		if (f->files.keep && !f->files.begun)
			file_begin(f, &in[i], out);
		frame_record(f, &f->frames[pending], &in[i], out, &f->iov[pending * VECTORS]);
		bytes += f->frames[pending].size;
		pending++;
	}
	write_frames(f, pending, out);
}

static size_t file_pull(void *state, struct pfs_ref *in, size_t n, struct pfs_emitter *out,
			uint64_t *ret_wait)
{
	(void)ret_wait;
	for (size_t at = 0; at < n; at += PFS_BATCH)
		file_write(state, in + at, pfs_min(n - at, PFS_BATCH), out);
	return n;
}

/* --- the sink ------------------------------------------------------------------------------------------ */

static void file_release(struct file *f)
{
	/* A pcap file of no packets still is one. */
	if (f->fd >= 0 && f->format == FORMAT_PCAP && f->header_due && f->link_type < PFS_LINK_BYTES)
		(void)write_pcap_header(f);
	if (f->fd >= 0 && !f->files.keep)
		close(f->fd);
	for (unsigned i = 0; i < f->files.n; i++)
		close(f->files.fd[i]);
	free(f->numbers);
	free(f->frames);
	free(f->iov);
}

static int file_setup(struct file *f, const struct pfs_args *args, const struct pfs_place *place,
		      struct pfs_diag *diag)
{
	bool append = false;
	int r = parse_append(args, &append, diag);

	if (r == 0)
		r = parse_ring(args, append, &f->files, diag);
	if (r < 0)
		return r;
	if (!args->arg || args->arg_len == 0)
		return pfs_diag_set(diag, EINVAL, "file:PATH needs a path, its slashes as %%2f");
	f->format = format_of(args->arg, place->flow);
	f->frames = pfs_zalloc(PFS_BATCH, sizeof(*f->frames));
	f->iov = pfs_zalloc(PFS_BATCH * VECTORS, sizeof(*f->iov));
	f->numbers = pfs_zalloc(f->format == FORMAT_PCAPNG ? ORIGINS : 0, sizeof(*f->numbers));
	if (!f->frames || !f->iov || !f->numbers)
		return pfs_diag_set(diag, ENOMEM, "no memory for file:");
	f->link_type = place->link_type;
	r = file_open(f, args->arg, append, place, diag);
	if (r == 0 && f->format == FORMAT_PCAPNG)
		r = write_section(f);
	if (r < 0 && diag && !diag->text[0])
		pfs_diag_set(diag, -r, "%.128s: %s", args->arg, strerror(-r));
	return r;
}

/* A pcap file says in its head what its packets begin with. */
static int file_moved(void *state, const struct pfs_place *place, struct pfs_diag *diag)
{
	const struct file *f = state;

	if (f->format != FORMAT_PCAP || place->link_type == f->link_type)
		return 0;
	return pfs_diag_set(
		diag, EINVAL,
		"packets there begin otherwise, and a pcap file holds one kind: use .pcapng");
}

static int file_init(void *state, const struct pfs_args *args, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct file *f = state;
	int r;

	f->fd = -1;
	r = file_setup(f, args, place, diag);
	if (r < 0) {
		f->header_due = false;
		file_release(f);
	}
	return r;
}

static void file_fini(void *state)
{
	file_release(state);
}

static void file_stats(void *state, struct pfs_buf *out)
{
	struct file *f = state;
	int error = atomic_load_explicit(&f->error, memory_order_relaxed);

	pfs_buf_printf(out, "written %llu\n", (unsigned long long)pfs_counter_get(&f->written));
	pfs_buf_printf(out, "errors %llu\n", (unsigned long long)pfs_counter_get(&f->errors));
	if (f->files.keep) {
		pfs_buf_printf(out, "rotated %llu\n",
			       (unsigned long long)pfs_counter_get(&f->files.rotated));
		pfs_buf_printf(out, "current %u\n",
			       (unsigned)(pfs_counter_get(&f->files.rotated) % f->files.keep));
	}
	if (error)
		pfs_buf_printf(out, "error %s\n", strerrordesc_np(error));
}

static const struct pfs_param file_params[] = {
	{ "append", "1: go on at the end of the file; default 0: empty it" },
	{ "rotate", "a ring of files: the size (100M) or the time (60s, 15m, 1h) of each" },
	{ "keep", "files of the ring, 2 to 64; default 10" },
	{ NULL, NULL },
};

const struct pfs_filter pfs_filter_file = {
	.name = "file",
	.summary = "write the stream to a file",
	.flags = PFS_FILTER_SINK,
	.in = PFS_FLOW_ANY,
	.out = PFS_FLOW_SAME,
	.has_arg = true,
	.needs_arg = true,
	.params = file_params,
	.state_size = sizeof(struct file),
	.init = file_init,
	.moved = file_moved,
	.fini = file_fini,
	.pull = file_pull,
	.stats = file_stats,
};
