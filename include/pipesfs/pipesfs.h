/*
 * libpipesfs - the records of a pipesfs directory, from memory
 *
 * pfs_open() opens a pipe file as open(2) would, with the same rights and errors, and maps what its reader gets. From
 * then on records are taken without a system call as long as there are some, and waiting is poll(2) on one descriptor.
 *
 *	struct pfs_client *client;
 *	struct pfs_rec recs[32];
 *	int n;
 *
 *	if (pfs_open("/p/dev/eth0/tcp/all", NULL, &client) < 0)
 *		...
 *	while ((n = pfs_next(client, recs, 32)) != 0) {
 *		if (n == -EAGAIN && pfs_wait(client, -1) >= 0)
 *			continue;
 *		for (int i = 0; i < n; i++)
 *			use(recs[i].data, recs[i].len);
 *		pfs_release(client);
 *	}
 *	pfs_close(client);
 *
 * Link with -lpipesfs. Functions return 0 or more, or -errno. Threads: one at a time for each client; different
 * clients have nothing in common. After fork(2) only one of the two processes may go on with it.
 */
#ifndef PIPESFS_PIPESFS_H
#define PIPESFS_PIPESFS_H

#include <stddef.h>
#include <stdint.h>

#include <pipesfs/producer.h>
#include <pipesfs/zbuf.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pfs_client;

/* Of a record. */
#define PFS_IN 0x01u  /* the packet came in; neither PFS_IN nor PFS_OUT: not known */
#define PFS_OUT 0x02u /* it went out */
#define PFS_CSUM \
	0x04u /* its checksum is not filled in yet, or it is several packets in one (GSO) */
#define PFS_IN_STREAM \
	0x08u	      /* a piece of a byte stream put together of packets, at `offset` of it */
#define PFS_GAP 0x10u /* no bytes: `wire_len` of the stream are missing here */
#define PFS_STREAM_END 0x40u /* no bytes: `stream` has ended */

#define PFS_LINK_NONE 0xffffu /* link_type: bytes or text, no packets */

struct pfs_rec {
	const unsigned char *data;
	uint32_t len;	   /* bytes at data */
	uint32_t wire_len; /* true length of the packet, >= len */
	uint64_t time;	   /* ns since 1970; 0: not known */
	uint32_t stream; /* 0: none; of PFS_IN_STREAM n and n ^ 1 are the two directions of a connection */
	uint32_t offset;    /* PFS_IN_STREAM: of the first byte in the stream, modulo 2^32 */
	uint32_t mark;	    /* firewall mark of the packet; 0: none */
	uint16_t link_type; /* LINKTYPE_* as in capture files, or PFS_LINK_NONE */
	uint16_t flags;	    /* PFS_IN ... PFS_STREAM_END */
};

#define PFS_POLICY_DEFAULT 0  /* that of the source: what `cat` would get */
#define PFS_POLICY_LOSSY 1    /* who is too slow loses, and is told how much */
#define PFS_POLICY_RELIABLE 2 /* the writers wait for this reader; needs the right to write there */
#define PFS_POLICY_IN_PLACE 3 /* lossy, and nothing is copied: see pfs_release() */

struct pfs_options {
	uint32_t size;	 /* sizeof(struct pfs_options) */
	uint32_t policy; /* PFS_POLICY_* */
	char *why;	 /* NULL, or `why_size` bytes: when pfs_open() fails, a sentence, or "" */
	size_t why_size;
};

/*
 * Attaches to the stream of a pipe file, `all` or a view of text (`all.json`), from now on. options may be NULL.
 * The client is the caller's until pfs_close(). What open(2) says, and: -EINVAL: not such a file (`all.pcapng` is a
 * capture file: read it), or options->size is unknown; -EPROTO: the mount is of another version; -ENOTCONN: it
 * serves no clients, or cannot be reached, which from another network namespace takes /run/pipesfs/clients; -EMFILE,
 * -ENOMEM.
 */
int pfs_open(const char *path, const struct pfs_options *options, struct pfs_client **ret_client);
/* NULL is fine. Records that are held are given up. */
void pfs_close(struct pfs_client *client);

/*
 * The next records, at most `max` > 0: how many. -EAGAIN: there is nothing now, and pfs_fd() will poll readable when
 * there is. 0: the end; there may be more after it if another writer comes, as after the end of a FIFO. -ENOTCONN: the
 * mount has died. -ENOBUFS: nothing can be copied any more before pfs_release().
 * Their bytes stay as they are until pfs_release(), and so do those of calls before. Of small records some 32 at a time
 * are fastest: what pfs_next() has looked at is still in the first cache then.
 */
int pfs_next(struct pfs_client *client, struct pfs_rec *recs, int max);
/*
 * All records that were given are done with: 0. With PFS_POLICY_IN_PLACE they lay where the mount goes on writing: how
 * many of them may have been overwritten while they were looked at, always the oldest ones. What was made of these is
 * worth nothing; pfs_lost() counts them.
 */
int pfs_release(struct pfs_client *client);

/*
 * Goes back to the oldest record that is still in memory, whether it was given before or not; 0. What was given is
 * released. Memory holds what the directory's clients have had since the first of them came. -EOPNOTSUPP: for a
 * reliable reader nothing is kept but what it has yet to take.
 */
int pfs_seek_oldest(struct pfs_client *client);

/*
 * A descriptor for poll(2), select(2), epoll(7), level-triggered: readable after pfs_next() said -EAGAIN and there is
 * something, or the mount is gone (POLLHUP, perhaps without POLLIN). Nothing else may be done with it. It stays the
 * client's. Take it out of an epoll(7) set before pfs_close(): the mount has the same pipe open, so closing alone
 * does not.
 */
int pfs_fd(const struct pfs_client *client);
/* Waits until pfs_next() would not say -EAGAIN: 1. 0: `timeout` ms have passed (-1: for ever). -EINTR. */
int pfs_wait(struct pfs_client *client, int timeout);

/* Records that passed without being given, so far: the reader was lossy and too slow. */
uint64_t pfs_lost(const struct pfs_client *client);

#ifdef __cplusplus
}
#endif

#endif
