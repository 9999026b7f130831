/*
 * pcap - a capture file
 *
 * Synopsis:   /p/pcap:FILE
 *             /p/pcapin:FILE
 *
 * The packets of a capture file: pcap in either byte order, with micro- or nanoseconds, and pcapng.
 * FILE (slashes as %2f) is opened by mkdir as its maker, relative to the maker's working
 * directory, and must be a regular file. Reading starts when there is a consumer and from the
 * beginning each time; readers get end of file after the last packet. A file that is cut off loses
 * its last packet, "truncated"; one with a fault in it gives the packets before the fault, then
 * "malformed" and the end.
 *
 * Stats:      packets, read (bytes of the file in this run), size (of the file)
 * Parameters: speed=max  as fast as readers take them (default)
 *             speed=1x   at the pace at which they were captured
 * Example:    mkdir -p /p/pcap:trace.pcap/tcp; cat /p/pcap:trace.pcap/tcp/all.txt
 *
 * How: blocks of up to 1 MiB are read into the ring and parsed there; refs point into them. What is cut by the
 * end of a block is carried over into the next one. Never mmap: a file that shrinks under us must be an
 * end of file, not a SIGBUS.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>

#include "graph/source.h"
#include "packet/capture.h"

#define BLOCK_MAX ((size_t)1 << 20)
#define NS_PER_S UINT64_C(1000000000)
#define PACE_MAX (3600 * NS_PER_S) /* a longer gap in the file is waited for in parts */

struct pcap_file {
	int fd; /* owned */
	_Atomic bool paced;
	pfs_counter packets; /* these counters' writer is the source's thread */
	pfs_counter bytes;
	pfs_counter size;
};

/* One run through the file. */
struct run {
	struct pcap_file *file; /* borrowed */
	struct pfs_feed *feed;	/* borrowed */
	struct pfs_ring *ring;	/* the graph's */
	struct capture capture;
	uint64_t offset; /* in the file, of what is read next */

	struct pfs_record *rec; /* the block being parsed */
	uint8_t *bytes;		/* of it */
	size_t len;
	uint64_t pos; /* ring position of bytes */

	uint8_t *carry; /* owned: what the block before did not give whole */
	size_t carry_len;
	size_t carry_cap;
	size_t need; /* bytes that the parser wants to see at once */

	uint32_t *origins; /* owned: id by interface, UINT32_MAX: not asked yet */
	unsigned norigins;
	unsigned generation;

	bool paced;
	uint64_t first_time; /* ns: of the first packet, and when it was due */
	uint64_t first_mono;

	struct pfs_ref batch[PFS_BATCH];
	size_t nbatch;
};

/* --- opening ------------------------------------------------------------------------------------ */

static int parse_speed(struct pcap_file *f, const struct pfs_args *args, struct pfs_diag *diag)
{
	const char *speed = pfs_args_get(args, "speed");

	if (speed && strcmp(speed, "max") != 0 && strcmp(speed, "1x") != 0)
		return pfs_diag_set(diag, EINVAL, "speed= is max or 1x, not '%.32s'", speed);
	atomic_store_explicit(&f->paced, speed && strcmp(speed, "1x") == 0, memory_order_relaxed);
	return 0;
}

/* Says at mkdir already that a file is no capture. An empty or short one may still grow. */
static int check_magic(const struct pcap_file *f, const char *path, struct pfs_diag *diag)
{
	uint8_t start[24];
	struct capture_packet packet;
	struct capture capture;
	struct pfs_diag why = { "" };
	size_t used, need;
	ssize_t n = pread(f->fd, start, sizeof(start), 0);
	int r;

	if (n < 0)
		return pfs_diag_set(diag, errno, "%.128s: %s", path, strerror(errno));
	capture_init(&capture, CAPTURE_ANY);
	r = capture_next(&capture, start, (size_t)n, &used, &packet, &need, &why);
	capture_release(&capture);
	if (r < 0)
		return pfs_diag_set(diag, EINVAL, "%.100s: %.140s", path, why.text);
	return 0;
}

static int file_open(struct pcap_file *f, const char *path, const struct pfs_place *place,
		     struct pfs_diag *diag)
{
	struct stat st;

	/* Nothing here waits for the other end of a FIFO. */
	f->fd = place->open_file(place, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0, diag);
	if (f->fd < 0)
		return f->fd;
	if (fstat(f->fd, &st) < 0)
		return pfs_diag_set(diag, errno, "%.128s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return pfs_diag_set(diag, EINVAL,
				    "%.100s is not a regular file: cat it into accept/all instead",
				    path);
	atomic_store_explicit(&f->size, (uint64_t)st.st_size, memory_order_relaxed);
	return check_magic(f, path, diag);
}

static int pcap_init(void *state, const char *name, const struct pfs_args *args,
		     const struct pfs_place *place, struct pfs_diag *diag)
{
	struct pcap_file *f = state;
	int r;

	(void)name;
	f->fd = -1;
	r = parse_speed(f, args, diag);
	if (r < 0)
		return r;
	if (!args->arg || args->arg_len == 0)
		return pfs_diag_set(diag, EINVAL, "pcap:FILE needs a file, its slashes as %%2f");
	r = file_open(f, args->arg, place, diag);
	if (r < 0 && f->fd >= 0)
		close(f->fd);
	return r;
}

static int pcap_reconfigure(void *state, const struct pfs_args *args, const struct pfs_place *place,
			    struct pfs_diag *diag)
{
	(void)place;
	return parse_speed(state, args, diag);
}

static void pcap_fini(void *state)
{
	struct pcap_file *f = state;

	close(f->fd);
}

/* --- refs ------------------------------------------------------------------------------------------ */

static int run_push(struct run *run)
{
	size_t n = run->nbatch;

	run->nbatch = 0;
	pfs_counter_add(&run->file->packets, n);
	return n ? pfs_feed_push(run->feed, run->batch, n) : 0;
}

static int run_origin(struct run *run, unsigned interface, uint16_t *ret_origin)
{
	uint32_t *origins = run->origins;
	unsigned n = run->capture.ninterfaces;
	int r;

	if (run->generation != run->capture.generation || interface >= run->norigins) {
		if (n > run->norigins) {
			origins = reallocarray(origins, n, sizeof(*origins));
			if (!origins)
				return -ENOMEM;
			run->origins = origins;
			run->norigins = n;
		}
		memset(origins, 0xff, run->norigins * sizeof(*origins));
		run->generation = run->capture.generation;
	}
	if (origins[interface] == UINT32_MAX) {
		uint16_t id;

		r = pfs_feed_origin(run->feed, &run->capture.interfaces[interface].origin, &id);
		if (r < 0)
			return r;
		origins[interface] = id;
	}
	*ret_origin = (uint16_t)origins[interface];
	return 0;
}

/* Waits until the packet is due. -EINTR: the source is being stopped. */
static int run_pace(struct run *run, uint64_t time)
{
	uint64_t now = pfs_clock_mono();
	int r;

	if (run->first_mono == 0) {
		run->first_time = time;
		run->first_mono = now;
	}
	while (time > run->first_time && now - run->first_mono < time - run->first_time) {
		struct pollfd stop = { .fd = pfs_feed_stop_fd(run->feed), .events = POLLIN };
		uint64_t wait = time - run->first_time - (now - run->first_mono);
		struct timespec ts;

		/* What was due before it goes on at once. */
		r = run_push(run);
		if (r < 0)
			return r;
		wait = pfs_min64(wait, PACE_MAX);
		ts = (struct timespec){ (time_t)(wait / NS_PER_S), (long)(wait % NS_PER_S) };
		if (ppoll(&stop, 1, &ts, NULL) > 0)
			return -EINTR;
		now = pfs_clock_mono();
	}
	return 0;
}

static int run_packet(struct run *run, const struct capture_packet *packet, size_t at)
{
	struct pfs_ref *ref;
	uint16_t origin;
	int r = run_origin(run, packet->interface, &origin);

	if (r < 0) {
		pfs_feed_lost(run->feed, "origins", 1);
		return 0;
	}
	if (run->paced) {
		r = run_pace(run, packet->time);
		if (r < 0)
			return r;
	}
	ref = &run->batch[run->nbatch++];
	*ref = (struct pfs_ref){
		.pos = run->pos + at + packet->header,
		.len = capture_snapped(&run->capture, packet),
		.ring = run->ring->id,
		.origin = origin,
		.l3 = PFS_LAYER_NONE,
		.l4 = PFS_LAYER_NONE,
		.flags = packet->flags,
		.hdr = (uint8_t)packet->hdr,
	};
	return run->nbatch == PFS_BATCH ? run_push(run) : 0;
}

/* --- blocks ------------------------------------------------------------------------------------------ */

static int carry_set(struct run *run, const uint8_t *p, size_t n)
{
	uint8_t *carry = run->carry;

	if (n > run->carry_cap) {
		carry = realloc(carry, n);
		if (!carry)
			return -ENOMEM;
		run->carry = carry;
		run->carry_cap = n;
	}
	if (n)
		memcpy(carry, p, n);
	run->carry_len = n;
	return 0;
}

/*
 * Reads the next block behind what was carried over. 1: there is something new; 0: end of the file, and what was
 * carried stays; -EMSGSIZE: a packet or block larger than a record.
 */
static int block_read(struct run *run)
{
	size_t max = pfs_ring_max_record(run->ring);
	size_t size = pfs_max(pfs_min(BLOCK_MAX, max), run->need);
	ssize_t n;
	int r;

	if (size > max || run->carry_len >= max)
		return -EMSGSIZE;
	r = pfs_feed_reserve(run->feed, run->ring, size, &run->rec);
	if (r < 0)
		return r;
	run->bytes = (uint8_t *)(run->rec + 1);
	if (run->carry_len)
		memcpy(run->bytes, run->carry, run->carry_len);
	do {
		n = pread(run->file->fd, run->bytes + run->carry_len, size - run->carry_len,
			  (off_t)run->offset);
	} while (n < 0 && errno == EINTR);
	r = n < 0 ? -errno : n > 0;
	run->len = run->carry_len + (n > 0 ? (size_t)n : 0);
	run->offset += n > 0 ? (uint64_t)n : 0;
	pfs_counter_add(&run->file->bytes, n > 0 ? (uint64_t)n : 0);
	pfs_ring_shrink(run->ring, run->rec, run->len);
	run->pos = pfs_ring_pos(run->ring, run->bytes,
				atomic_load_explicit(&run->ring->head, memory_order_relaxed));
	pfs_ring_commit(run->ring, run->rec);
	return r;
}

/* Parses the block and pushes what is in it; carries the rest. */
static int block_parse(struct run *run)
{
	struct capture_packet packet;
	size_t at = 0, used;
	int r, pushed;

	while ((r = capture_next(&run->capture, run->bytes + at, run->len - at, &used, &packet,
				 &run->need, NULL)) > 0) {
		pushed = run_packet(run, &packet, at);
		if (pushed < 0)
			return pushed;
		at += used;
	}
	if (r == 0)
		at += used;
	/* The next block may be written over this one, as soon as nobody holds it. */
	pushed = run_push(run);
	if (pushed < 0)
		return pushed;
	if (r < 0)
		return r;
	return carry_set(run, run->bytes + at, run->len - at);
}

static int run_file(struct run *run)
{
	int r;

	while ((r = block_read(run)) > 0) {
		r = block_parse(run);
		if (r < 0)
			return r;
		if (pfs_feed_stopping(run->feed))
			return -EINTR;
	}
	if (r == 0 && !capture_complete(&run->capture, run->carry_len))
		pfs_feed_lost(run->feed, "truncated", 1);
	return r;
}

static int pcap_run(void *state, struct pfs_feed *feed)
{
	struct pcap_file *f = state;
	struct run *run = pfs_zalloc(1, sizeof(*run));
	int r;

	if (!run)
		return -ENOMEM;
	run->file = f;
	run->feed = feed;
	run->paced = atomic_load_explicit(&f->paced, memory_order_relaxed);
	capture_init(&run->capture, CAPTURE_ANY);
	atomic_store_explicit(&f->bytes, 0, memory_order_relaxed);
	r = pfs_feed_ring(feed, 0, &run->ring);
	if (r == 0)
		r = run_file(run);
	if (r == -EBADMSG)
		pfs_feed_lost(feed, "malformed", 1);
	else if (r == -EMSGSIZE)
		pfs_feed_lost(feed, "oversize", 1);
	else if (r < 0 && r != -EINTR)
		pfs_feed_lost(feed, r == -ENOMEM ? "no memory" : "read error", 1);
	if (r != -EINTR)
		r = pfs_feed_eof(feed);
	capture_release(&run->capture);
	free(run->carry);
	free(run->origins);
	free(run);
	return r;
}

static void pcap_stats(void *state, struct pfs_buf *out)
{
	const struct pcap_file *f = state;

	pfs_buf_printf(out, "packets %llu\n", (unsigned long long)pfs_counter_get(&f->packets));
	pfs_buf_printf(out, "read %llu\n", (unsigned long long)pfs_counter_get(&f->bytes));
	pfs_buf_printf(out, "size %llu\n", (unsigned long long)pfs_counter_get(&f->size));
}

static const struct pfs_param pcap_params[] = {
	{ "speed", "max: as fast as readers take it (default); 1x: as it was captured" },
	{ NULL, NULL },
};

const struct pfs_source pfs_source_pcap = {
	.name = "pcap",
	.alias = "pcapin",
	.summary = "the packets of a capture file",
	.out = PFS_FLOW_PACKETS,
	.has_arg = true,
	.needs_arg = true,
	.params = pcap_params,
	.state_size = sizeof(struct pcap_file),
	.init = pcap_init,
	.reconfigure = pcap_reconfigure,
	.fini = pcap_fini,
	.run = pcap_run,
	.stats = pcap_stats,
};
