#include "packet/generate.h"

#include "base/bytes.h"
#include "packet/generate_i.h"
#include "ring/record.h"

#define OUT_SIZE (1u << 20)
#define FILE_HEADER_SIZE 24
#define PACKET_HEADER_SIZE 16
#define RUNNING_MAX 4096u

/* --- chance: xoroshiro128+ (Blackman and Vigna), seeded by splitmix64 ---------------------- */

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void generate_seed(struct generate_rng *rng, uint64_t seed, uint64_t stream)
{
	uint64_t x = seed;

	x = splitmix(&x) ^ stream;
	rng->s[0] = splitmix(&x);
	rng->s[1] = splitmix(&x) | 1;
}

uint64_t generate_random(struct generate_rng *rng)
{
	uint64_t a = rng->s[0], b = rng->s[1], result = a + b;

	b ^= a;
	rng->s[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
	rng->s[1] = b << 37 | b >> 27;
	return result;
}

uint32_t generate_below(struct generate_rng *rng, uint32_t n)
{
	return (uint32_t)((generate_random(rng) >> 32) * n >> 32);
}

bool generate_percent(struct generate_rng *rng, unsigned percent)
{
	return generate_below(rng, 100) < percent;
}

/* Halves the range a random number of times; integers only, so that every machine does the same. */
uint32_t generate_spread(struct generate_rng *rng, uint32_t min, uint32_t max)
{
	unsigned octaves = 0;
	uint32_t high = max;

	while (octaves < 31 && max >> (octaves + 1) > min)
		octaves++;
	high >>= generate_below(rng, octaves + 1);
	if (high <= min)
		return min;
	min = (uint32_t)pfs_max(min, high / 2);
	return min + generate_below(rng, high - min + 1);
}

/* --- the merge: a heap of the running talks by the time of their next frame ------------------ */

struct generator {
	const struct generate_options *options; /* borrowed */
	generate_write_fn write;
	void *context;
	struct generate_counts counts;
	struct generate_pools pools;
	struct generate_rng rng; /* of when and which */
	uint64_t serial;
	uint64_t next_start;
	struct generate_talk *heap[RUNNING_MAX]; /* owned */
	size_t nheap;
	bool full; /* a limit is reached */
	size_t out_len;
	uint8_t out[OUT_SIZE];
};

static struct generate_frame talk_frame(const struct generate_talk *talk)
{
	struct generate_frame frame;

	memcpy(&frame, talk->data + talk->at, sizeof(frame));
	return frame;
}

static uint64_t talk_next_time(const struct generate_talk *talk)
{
	return talk->start + talk_frame(talk).time;
}

/* By time; of two at one time the talk that began first. */
static bool talk_before(const struct generate_talk *a, const struct generate_talk *b)
{
	uint64_t ta = talk_next_time(a), tb = talk_next_time(b);

	return ta != tb ? ta < tb : a->start < b->start;
}

static void heap_sink(struct generator *g, size_t i)
{
	struct generate_talk *talk = g->heap[i];

	for (;;) {
		size_t child = i * 2 + 1;

		if (child >= g->nheap)
			break;
		if (child + 1 < g->nheap && talk_before(g->heap[child + 1], g->heap[child]))
			child++;
		if (!talk_before(g->heap[child], talk))
			break;
		g->heap[i] = g->heap[child];
		i = child;
	}
	g->heap[i] = talk;
}

static void heap_add(struct generator *g, struct generate_talk *talk)
{
	size_t i = g->nheap++;

	while (i > 0 && talk_before(talk, g->heap[(i - 1) / 2])) {
		g->heap[i] = g->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	g->heap[i] = talk;
}

static void talk_free(struct generate_talk *talk)
{
	if (!talk)
		return;
	free(talk->data);
	free(talk);
}

/* --- output ----------------------------------------------------------------------------------- */

static int out_flush(struct generator *g)
{
	int r = g->out_len ? g->write(g->context, g->out, g->out_len) : 0;

	g->out_len = 0;
	return r < 0 ? r : 0;
}

static int out_file_header(struct generator *g)
{
	uint8_t *p = g->out;

	le32_store(p, g->options->micro ? 0xa1b2c3d4 : 0xa1b23c4d);
	le16_store(p + 4, 2);
	le16_store(p + 6, 4);
	le32_store(p + 8, 0);
	le32_store(p + 12, 0);
	le32_store(p + 16, g->options->snaplen ? g->options->snaplen : 262144);
	le32_store(p + 20, PFS_LINK_ETHERNET);
	g->out_len = FILE_HEADER_SIZE;
	g->counts.bytes = FILE_HEADER_SIZE;
	return 0;
}

static int out_packet(struct generator *g, uint64_t time, const struct generate_frame *frame,
		      const uint8_t *data)
{
	const struct generate_options *o = g->options;
	uint32_t caplen = o->snaplen && o->snaplen < frame->len ? o->snaplen : frame->len;
	size_t size = PACKET_HEADER_SIZE + caplen;
	uint64_t ns = time % 1000000000;
	uint8_t *p;
	int r;

	if ((o->packets && g->counts.packets == o->packets) ||
	    (o->bytes && g->counts.bytes + size > o->bytes)) {
		g->full = true;
		return 0;
	}
	if (OUT_SIZE - g->out_len < size) {
		r = out_flush(g);
		if (r < 0)
			return r;
	}
	p = g->out + g->out_len;
	le32_store(p, (uint32_t)(time / 1000000000));
	le32_store(p + 4, (uint32_t)(o->micro ? ns / 1000 : ns));
	le32_store(p + 8, caplen);
	le32_store(p + 12, frame->len);
	memcpy(p + PACKET_HEADER_SIZE, data, caplen);
	g->out_len += size;
	g->counts.bytes += size;
	if (g->counts.packets++ == 0)
		g->counts.first = time;
	g->counts.last = time;
	for (uint32_t bits = frame->classes; bits; bits &= bits - 1)
		g->counts.of[__builtin_ctz(bits)]++;
	return 0;
}

/* The earliest frame of all. */
static int generate_frame(struct generator *g)
{
	struct generate_talk *talk = g->heap[0];
	struct generate_frame frame = talk_frame(talk);
	int r = out_packet(g, talk->start + frame.time, &frame, talk->data + talk->at + sizeof(frame));

	if (r < 0 || g->full)
		return r;
	talk->at += sizeof(frame) + frame.len;
	if (talk->at == talk->len) {
		g->heap[0] = g->heap[--g->nheap];
		talk_free(talk);
	}
	if (g->nheap > 0)
		heap_sink(g, 0);
	return 0;
}

/* --- talks -------------------------------------------------------------------------------------- */

static int talk_new(struct generator *g, struct generate_talk **ret_talk)
{
	struct generate_talk *talk = pfs_zalloc(1, sizeof(*talk));

	if (!talk)
		return -ENOMEM;
	talk->options = g->options;
	talk->pools = &g->pools;
	talk->start = g->next_start;
	generate_seed(&talk->rng, g->options->seed, ++g->serial);
	generate_talk_make(talk, g->serial);
	if (talk->failed) {
		talk_free(talk);
		return -ENOMEM;
	}
	*ret_talk = talk;
	return 0;
}

/* Begins a conversation at next_start and says when the one after it does. */
static int generate_start(struct generator *g)
{
	struct generate_talk *talk = NULL;
	uint64_t gap = UINT64_C(2000000000) / g->options->rate;
	int r = g->nheap < RUNNING_MAX ? talk_new(g, &talk) : 0;

	if (r < 0)
		return r;
	if (talk)
		heap_add(g, talk);
	g->next_start += 1 + generate_random(&g->rng) % gap;
	return 0;
}

static void pools_make(struct generate_pools *pools, struct generate_rng *rng)
{
	static const char *const words[] = {
		"packet ", "filter ", "stream ",  "pipe ",   "record ", "header\n", "the ",
		"of ",	   "a ",      "network ", "kernel ", "ring ",	"data ",    "write\n",
		"read ",   "once ",   "graph ",	  "path ",   "class ",	"and ",	    "sink. ",
	};
	size_t at = 0;

	while (at < GENERATE_POOL_SIZE) {
		const char *word = words[generate_below(rng, ARRAY_SIZE(words))];
		size_t len = pfs_min(strlen(word), GENERATE_POOL_SIZE - at);

		memcpy(pools->text + at, word, len);
		at += len;
	}
	for (at = 0; at < GENERATE_POOL_SIZE; at += 8)
		le64_store(pools->noise + at, generate_random(rng));
}

static void generator_free(struct generator *g)
{
	while (g->nheap > 0)
		talk_free(g->heap[--g->nheap]);
	free(g);
}

static int generate_run(struct generator *g)
{
	int r = out_file_header(g);

	while (r == 0 && !g->full) {
		/* Frames before the next conversation are all known: nothing earlier can come. */
		if (g->nheap > 0 && talk_next_time(g->heap[0]) < g->next_start)
			r = generate_frame(g);
		else
			r = generate_start(g);
	}
	return r < 0 ? r : out_flush(g);
}

int capture_generate(const struct generate_options *options, generate_write_fn write, void *context,
		     struct generate_counts *ret_counts)
{
	struct generator *g;
	int r;

	if ((!options->packets && !options->bytes) || !(options->mix & GENERATE_TALK_ALL) ||
	    options->rate == 0)
		return -EINVAL;
	g = pfs_zalloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->options = options;
	g->write = write;
	g->context = context;
	g->next_start = options->start;
	generate_seed(&g->rng, options->seed, 0);
	pools_make(&g->pools, &g->rng);
	r = generate_run(g);
	if (r == 0 && ret_counts)
		*ret_counts = g->counts;
	generator_free(g);
	return r;
}

static int write_fd(void *context, const void *data, size_t len)
{
	int fd = *(int *)context;
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int capture_generate_fd(const struct generate_options *options, int fd,
			struct generate_counts *ret_counts)
{
	return capture_generate(options, write_fd, &fd, ret_counts);
}

static int write_buf(void *context, const void *data, size_t len)
{
	struct pfs_buf *buf = context;

	pfs_buf_add(buf, data, len);
	return buf->failed ? -ENOMEM : 0;
}

int capture_generate_buf(const struct generate_options *options, struct pfs_buf *buf,
			 struct generate_counts *ret_counts)
{
	return capture_generate(options, write_buf, buf, ret_counts);
}
