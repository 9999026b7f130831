/*
 * fuse - a file whose reads and writes another process answers: through /dev/fuse, through io_uring, or not at all
 * (passthrough)
 *
 * The protocol as the kernel speaks it, without a library, since a library's share is not what is measured: one
 * file, one thread that answers, direct I/O, requests of at most 1 MiB. The server's bytes lie in memory of its
 * own, as those of pipesfs lie in rings.
 *	/dev/fuse	readv and writev, header and bytes apart: one copy, straight from or to the client's memory
 *	io_uring	an entry for each CPU, served by one thread; what is read must be copied into the entry's
 *			buffer first (two copies), what is written lies there. Needs the module's enable_uring,
 *			which is Y while this begins: a connection that has it keeps it.
 *	passthrough	the file is a memory file (a backing id): what that costs more than the memory file
 * The trip is a read of 64 bytes.
 */
#include "fuse_help.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define ENABLE "/sys/module/fuse/parameters/enable_uring"

static struct fusefile files[3];
static bool was_disabled;

static void set_enabled(char yes)
{
	PFS_CLOSE int fd = open(ENABLE, O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, &yes, 1) < 0)
		return; /* the kernel's INIT will tell */
}

static void restore(void)
{
	if (was_disabled)
		set_enabled('N');
	was_disabled = false;
}

/*
 * --- what is answered, whatever it came through
 * ----------------------------------------------------------------------
 */

static void fill_attr(struct fuse_attr *a, uint64_t node)
{
	a->ino = node;
	a->mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644;
	a->nlink = 1;
	a->size = STUDY_MAX;
	a->blksize = 4096;
}

static int answer_init(struct fusefile *f, const struct fuse_init_in *in, struct fuse_init_out *out)
{
	uint64_t offered = in->flags | (uint64_t)in->flags2 << 32,
		 wanted = FUSE_MAX_PAGES | FUSE_BIG_WRITES;

	if (f->kind == FUSE_BY_URING)
		wanted |= INIT_EXT | INIT_OVER_IO_URING;
	if (f->kind == FUSE_BY_NOBODY)
		wanted |= INIT_EXT | INIT_PASSTHROUGH;
	f->shared->lacks = (wanted & ~offered) != 0;
	wanted &= offered;
	out->major = FUSE_KERNEL_VERSION;
	out->minor = in->minor;
	out->flags = (uint32_t)wanted;
	out->flags2 = (uint32_t)(wanted >> 32);
	out->max_write = REQUEST_MAX;
	out->max_pages = REQUEST_MAX / 4096;
	out->unused[0] = 1; /* max_stack_depth, since 7.40 */
	out->time_gran = 1;
	return sizeof(*out);
}

/* What an answer of a few bytes is, or -errno. READ and WRITE are not here. */
int fuse_answer(struct fusefile *f, const struct fuse_in_header *h, const void *in, void *out)
{
	struct fuse_entry_out *entry = out;
	struct fuse_attr_out *attr = out;
	struct fuse_open_out *opened = out;

	memset(out, 0, FUSE_SMALL);
	switch (h->opcode) {
	case FUSE_INIT:
		return answer_init(f, in, out);
	case FUSE_LOOKUP:
		entry->nodeid = 2;
		entry->entry_valid = entry->attr_valid = 86400;
		fill_attr(&entry->attr, 2);
		return sizeof(*entry);
	case FUSE_GETATTR:
		attr->attr_valid = 86400;
		fill_attr(&attr->attr, h->nodeid);
		return sizeof(*attr);
	case FUSE_OPEN:
		opened->open_flags = f->kind == FUSE_BY_NOBODY ? OPEN_PASSTHROUGH : FOPEN_DIRECT_IO;
		if (f->kind == FUSE_BY_NOBODY) {
			struct backing_map map = { .fd = f->backing };
			int id = ioctl(f->dev, BACKING_OPEN, &map);

			if (id < 0)
				return -errno;
			opened->padding = (uint32_t)id; /* backing_id, since 7.40 */
		}
		return sizeof(*opened);
	case FUSE_OPENDIR:
		return sizeof(*opened);
	case FUSE_RELEASE:
	case FUSE_FLUSH:
		return 0;
	default:
		return -ENOSYS;
	}
}

/* Where the next bytes written go: behind those before them, if these are the second half of a transfer. */
uint8_t *fuse_landing(struct fusefile *f)
{
	return f->landed + f->shared->next;
}

void fuse_landed(struct fusefile *f, const struct fuse_write_in *w)
{
	f->shared->last = f->shared->next;
	f->shared->next = (w->offset + w->size) % STUDY_MAX;
}

/*
 * --- through /dev/fuse
 * ---------------------------------------------------------------------------------------------
 */

static void reply(struct fusefile *f, uint64_t unique, int error, const void *bytes, size_t len)
{
	struct fuse_out_header h = { .len = (uint32_t)(sizeof(h) + len),
				     .error = error,
				     .unique = unique };
	struct iovec v[2] = { { &h, sizeof(h) }, { (void *)(uintptr_t)bytes, len } };

	if (writev(f->dev, v, len ? 2 : 1) < 0 && errno != ENOENT)
		study_die("answering /dev/fuse");
}

/* One request; its opcode. */
static uint32_t serve_one(struct fusefile *f)
{
	struct {
		struct fuse_in_header h;
		union {
			struct fuse_read_in read;
			struct fuse_write_in write;
			struct fuse_init_in init;
			uint8_t bytes[sizeof(struct fuse_write_in)];
		};
	} in;
	struct iovec v[2] = { { &in, sizeof(in.h) + sizeof(struct fuse_write_in) },
			      { fuse_landing(f), REQUEST_MAX + 4096 } };
	uint64_t out[FUSE_SMALL / 8];
	int r;

	/* What follows a header of 40 bytes is the bytes that are written; all other requests are shorter, or names. */
	if (readv(f->dev, v, 2) < 0) {
		if (errno == ENODEV)
			_exit(0); /* unmounted */
		study_die("reading /dev/fuse");
	}
	if (in.h.opcode == FUSE_READ) {
		reply(f, in.h.unique, 0, f->far + in.read.offset, in.read.size);
	} else if (in.h.opcode == FUSE_WRITE) {
		struct fuse_write_out done = { .size = in.write.size };

		fuse_landed(f, &in.write);
		reply(f, in.h.unique, 0, &done, sizeof(done));
	} else if (in.h.opcode != FUSE_FORGET && in.h.opcode != FUSE_BATCH_FORGET &&
		   in.h.opcode != FUSE_INTERRUPT) {
		/* fuse_init_in has grown; what is new is not looked at, and is at the landing. */
		r = fuse_answer(f, &in.h, &in.init, out);
		reply(f, in.h.unique, r < 0 ? r : 0, out, r < 0 ? 0 : (size_t)r);
	}
	return in.h.opcode;
}

__attribute__((noreturn)) static void server(struct fusefile *f)
{
	while (serve_one(f) != FUSE_INIT)
		;
	if (f->kind == FUSE_BY_URING && !f->shared->lacks)
		fuse_uring_serve(f);
	for (;;)
		serve_one(f);
}

/*
 * --- the client
 * ----------------------------------------------------------------------------------------------------
 */

static int mount_it(struct fusefile *f)
{
	char options[128];

	if (!mkdtemp(f->dir))
		return -errno;
	f->dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (f->dev < 0)
		return -errno;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", f->dev);
	if (mount("interspace", f->dir, "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		return -errno;
	f->mounted = true;
	return 0;
}

static void fuse_close(void *state)
{
	struct fusefile *f = state;

	close(f->file);
	if (f->mounted)
		umount2(f->dir, MNT_DETACH);
	study_end(f->server);
	rmdir(f->dir);
	close(f->dev);
	close(f->backing);
}

static int enable(void)
{
	PFS_CLOSE int fd = open(ENABLE, O_RDONLY | O_CLOEXEC);
	char now = 0;

	if (fd < 0 || read(fd, &now, 1) != 1)
		return -ENOENT;
	if (now != 'Y') {
		was_disabled = true;
		study_undo(restore);
		set_enabled('Y');
	}
	return 0;
}

static int start(struct fusefile *f)
{
	char name[64];
	int r = mount_it(f);

	if (r < 0)
		return r;
	f->server = study_fork();
	if (f->server < 0)
		return -errno;
	if (!f->server)
		server(f);
	snprintf(name, sizeof(name), "%s/file", f->dir);
	f->file = open(name, O_RDWR | O_CLOEXEC);
	return f->file < 0 ? -errno : 0;
}

static void *fuse_open(const struct mechanism *m)
{
	struct fusefile *f = &files[m->variant];
	int r;

	*f = (struct fusefile){ .dev = -1, .file = -1, .backing = -1, .kind = (enum fuse_kind)m->variant };
	snprintf(f->dir, sizeof(f->dir), "/tmp/interspace-XXXXXX");
	if (!study_root())
		return study_why(0, "root is needed for a mount of our own");
	if (f->kind == FUSE_BY_URING && !FUSE_URING_BUILT)
		return study_why(0, "built without liburing (liburing-dev)");
	if (f->kind == FUSE_BY_URING && enable() < 0)
		return study_why(
			0, "this kernel's FUSE knows no io_uring (Linux 6.14, CONFIG_FUSE_IO_URING)");
	f->backing = study_memfd("interspace", STUDY_MAX);
	f->shared = (struct fuse_shared *)(void *)study_shared(sizeof(*f->shared));
	f->far = study_shared(STUDY_MAX);
	f->landed = study_shared(STUDY_MAX + REQUEST_MAX + 4096);
	r = start(f);
	restore();
	if (!r && !f->shared->lacks) {
		study_server(f->server);
		return f;
	}
	study_why(r ? -r : 0, f->shared->lacks ? "this kernel's FUSE does not offer it"
					       : "a FUSE file of our own");
	fuse_close(f);
	return NULL;
}

static const uint8_t *fuse_get(void *state, int end, uint8_t *into, size_t len)
{
	(void)end;
	if (pread(((struct fusefile *)state)->file, into, len, 0) != (ssize_t)len)
		study_die("pread");
	return into;
}

static void fuse_put(void *state, int end, const uint8_t *from, size_t len)
{
	struct fusefile *f = state;

	(void)end;
	f->from = from;
	if (pwrite(f->file, from, len, 0) != (ssize_t)len)
		study_die("pwrite");
}

static void fuse_trip(void *state, int end)
{
	static uint8_t got[STUDY_TRIP];

	fuse_get(state, end, got, sizeof(got));
}

static const uint8_t *fuse_load(void *state, const uint8_t *pattern, size_t len)
{
	struct fusefile *f = state;

	memcpy(f->far, pattern, len);
	if (f->kind == FUSE_BY_NOBODY && pwrite(f->backing, pattern, len, 0) != (ssize_t)len)
		study_die("the file below");
	return pattern;
}

static void fuse_fetch(void *state, uint8_t *into, size_t len)
{
	struct fusefile *f = state;

	f->shared->keep = f->kind == FUSE_BY_URING;
	if (f->shared->keep)
		fuse_put(f, 0, f->from, len);
	f->shared->keep = false;
	if (f->kind == FUSE_BY_URING)
		memcpy(into, f->landed, len);
	else if (f->kind == FUSE_BY_DEVICE)
		memcpy(into, f->landed + (len > REQUEST_MAX ? 0 : f->shared->last), len);
	else if (pread(f->backing, into, len, 0) != (ssize_t)len)
		study_die("the file below");
}

#define FUSE_MECHANISM(what, said, says)                                                        \
	{                                                                                       \
		.name = said, .stands_for = says, .variant = what, .read = true, .write = true, \
		.trips = true, .open = fuse_open, .close = fuse_close, .get = fuse_get,         \
		.put = fuse_put, .trip = fuse_trip, .load = fuse_load, .fetch = fuse_fetch,     \
	}

const struct mechanism mechanism_fuse = FUSE_MECHANISM(
	FUSE_BY_DEVICE, "FUSE",
	"a file of our own, direct I/O, one thread that answers /dev/fuse with readv and writev (one copy)");
const struct mechanism mechanism_fuse_uring =
	FUSE_MECHANISM(FUSE_BY_URING, "FUSE io_uring",
		       "the same through FUSE over io_uring, an entry for each CPU, one thread "
		       "(read: two copies); fuse.enable_uring is Y "
		       "while it begins");
const struct mechanism mechanism_fuse_passthrough =
	FUSE_MECHANISM(FUSE_BY_NOBODY, "FUSE passthrough",
		       "the same file with a backing id of a memory file: the server is not asked");
