/*
 * zbuf - write the packets of a pipesfs directory into a capture file: block mode, as libpcap uses it on FreeBSD
 *
 *	cc zbuf.c $(pkg-config --cflags --libs libpipesfs) -o zbuf && ./zbuf /p/dev/eth0/tcp/all file.pcap
 *
 * The order of pcap_read_zbuf() in libpcap's pcap-bpf.c: look at the shared memory; only if nothing is there, wait, at
 * most for the time-out, which a signal does not begin anew; look again; ask for what is there; look again. Each block
 * is given back before the next is looked for.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pipesfs/pipesfs.h>

static volatile sig_atomic_t stopped;

static void stop(int number)
{
	(void)number;
	stopped = 1;
}

static void u32(FILE *out, uint32_t value)
{
	fwrite(&value, sizeof(value), 1, out);
}

/* With nanoseconds, in this machine's byte order. */
static void file_begin(FILE *out, uint32_t link_type)
{
	u32(out, 0xa1b23c4d);
	u32(out, 4u << 16 | 2u);
	u32(out, 0);
	u32(out, 0);
	u32(out, 262144);
	u32(out, link_type);
}

static unsigned long block_write(FILE *out, const struct pfs_zbuf_header *block)
{
	const unsigned char *p = (const unsigned char *)(block + 1), *end = p + block->bzh_kernel_len;
	unsigned long packets = 0;

	for (; p < end; packets++) {
		const struct pfs_xhdr *h = (const struct pfs_xhdr *)(const void *)p;

		u32(out, (uint32_t)h->bh_tstamp.bt_sec);
		u32(out, (uint32_t)(((h->bh_tstamp.bt_frac >> 32) * 1000000000) >> 32));
		u32(out, h->bh_caplen);
		u32(out, h->bh_datalen);
		fwrite(p + h->bh_hdrlen, 1, h->bh_caplen, out);
		p += PFS_ZBUF_WORDALIGN(h->bh_hdrlen + h->bh_caplen);
	}
	return packets;
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Until there may be something, or the time-out, or a signal that stops us. */
static void wait_for_block(const struct pfs_blocks *blocks, int timeout)
{
	struct pollfd fd = { .fd = pfs_blocks_fd(blocks), .events = POLLIN };
	long long end = now_ms() + timeout, left = timeout;

	while (!stopped && left > 0 && poll(&fd, 1, (int)left) < 0 && errno == EINTR)
		left = end - now_ms();
}

/* As pfs_blocks_next(); *asked: there was nothing by itself. */
static int next(struct pfs_blocks *blocks, int timeout, struct pfs_zbuf_header **ret_block)
{
	int r = pfs_blocks_next(blocks, ret_block);

	if (r != -EAGAIN)
		return r;
	wait_for_block(blocks, timeout);
	r = pfs_blocks_next(blocks, ret_block);
	if (r != -EAGAIN)
		return r;
	r = pfs_blocks_rotate(blocks);
	return r < 0 ? r : pfs_blocks_next(blocks, ret_block);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = stop };
	struct pfs_blocks *blocks;
	struct pfs_zbuf_header *block;
	char why[256];
	unsigned long packets = 0, nblocks = 0;
	int timeout = argc > 3 ? atoi(argv[3]) : 100, r;
	FILE *out = argc > 2 ? fopen(argv[2], "w") : NULL;

	if (!out || timeout <= 0) {
		fprintf(stderr, "usage: zbuf PATH FILE [TIMEOUT-MS [BLOCK-BYTES]]\n");
		return 2;
	}
	r = pfs_blocks_open(argv[1], argc > 4 ? strtoul(argv[4], NULL, 0) : 0, why, sizeof(why),
			    &blocks);
	if (r < 0) {
		fprintf(stderr, "zbuf: %s: %s\n", argv[1], why[0] ? why : strerror(-r));
		return 1;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	while ((r = next(blocks, timeout, &block)) != 0) {
		if (r == 1) {
			if (nblocks++ == 0)
				file_begin(out, block->bzh_link_type);
			packets += block_write(out, block);
			pfs_blocks_ack(blocks, block);
		} else if (r != -EAGAIN || stopped) {
			break;
		}
	}
	pfs_blocks_close(blocks);
	fprintf(stderr, "zbuf: %lu packets in %lu blocks\n", packets, nblocks);
	return fclose(out) != 0 || (r < 0 && r != -EAGAIN);
}
