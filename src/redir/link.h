/*
 * link - what streams and a redirect process say to each other
 *
 * A socket of the kind SOCK_SEQPACKET between the two; one message is one struct rd_link_head and a body. Neither side
 * trusts the other with more than its own end: every message is checked for its kind, its size and every number in it,
 * and who says nonsense is hung up on (-EPROTO). Both are of one build, so there is one version.
 *
 * Streams says, the process answers:
 *
 *	CONFIGURE	the whole configuration, in a sealed memfd that comes along	DONE, with the same serial
 *	END		detach; serve what is open until it is closed, then end		DONE
 *	ASK		how many, of each filter					NUMBERS, with the same serial
 *	WATCH		from now on put operations of that filter into this tap (tap.h)	DONE
 *	UNWATCH		no longer						DONE
 *	JOIN		filters of the next configuration are there	CHANNEL: for it
 *
 * By itself a process sends SAY: what a shared object has to say of itself (urfs_say()).
 *
 * Before the first message a process has mounted nothing; DONE for the first CONFIGURE says that the tree is
 * redirected. An error in DONE carries the sentence and means that nothing has changed.
 *
 * When the socket ends, the process detaches and ends; when the process ends, streams detaches what it has left.
 */
#ifndef RD_LINK_H
#define RD_LINK_H

#include "redir/hook.h"

#define RD_LINK_BODY_MAX ((size_t)32 << 10)
#define RD_LINK_CONFIG_MAX ((size_t)32 << 20)
#define RD_LINK_FDS_MAX 4

enum rd_link_type {
	RD_LINK_CONFIGURE, /* fd: the configuration */
	RD_LINK_END,
	RD_LINK_ASK,
	RD_LINK_DONE,	 /* value: 0, -errno; body: the sentence */
	RD_LINK_NUMBERS, /* body: struct rd_link_number, each with its name */
	RD_LINK_WATCH, /* value: of the watch; fds: the tap's memory, what wakes; body: the filter's name */
	RD_LINK_UNWATCH, /* value: of the watch */
	RD_LINK_JOIN,	 /* value: the peer; body: struct rd_link_join */
	RD_LINK_SAY,	 /* body: "FILTER\nsentence" */
	RD_LINK_CHANNEL, /* fds: a socket, memory (remote.h) */
	RD_LINK_TYPES,
};

/* In the host's order: it never leaves the machine. */
struct rd_link_head {
	uint32_t magic; /* RD_LINK_MAGIC */
	uint32_t type;
	uint64_t serial; /* of a question, and of its answer */
	int64_t value;
};
#define RD_LINK_MAGIC 0x31726472u

/* Until no filter of the configuration is of that peer. */
struct rd_link_join {
	int32_t pid;
};

struct rd_link_number {
	char name[RD_NAME_MAX]; /* with its NUL */
	uint64_t hooked, pres, posts, stops, failures, late, skipped, time_ns;
};

struct rd_link_message {
	struct rd_link_head head;
	size_t len;			    /* of body */
	uint8_t body[RD_LINK_BODY_MAX + 1]; /* a NUL follows, for sentences */
	int fd[RD_LINK_FDS_MAX];	    /* the callee's; -1: none */
};

/*
 * Sends one; does not wait: -EAGAIN says that the other does not read. fds are borrowed. -errno of sendmsg(2),
 * -EMSGSIZE.
 */
int rd_link_send(int fd, const struct rd_link_head *head, const void *body, size_t len,
		 const int *fds, size_t nfds);
/*
 * Takes one, without waiting. 1: there is one; 0: the socket has ended; -EAGAIN; -EPROTO: what came is no message; it
 * and its descriptors are gone.
 */
int rd_link_receive(int fd, struct rd_link_message *ret_message);
void rd_link_fds_close(struct rd_link_message *message); /* those that nobody took */

/* Is that a message in its own terms? `nfds` descriptors came with it. Pure. */
bool rd_link_check(const struct rd_link_head *head, const uint8_t *body, size_t len, size_t nfds);

/* --- the configuration -------------------------------------------------------------------- */

struct rd_link_filter {
	struct rd_filter_desc desc;
	const char *object;    /* shared object; NULL: of nothing, it fails by its policy */
	const char *args;      /* for it, with commas between; NULL: none */
	uint64_t peer;	       /* of another process, that JOIN has told; 0: none */
	uint32_t id;	       /* in that process */
	struct rd_wants wants; /* where desc.wants is, if there are any */
};
struct rd_link_config {
	const char *tree; /* the directory that is redirected */
	struct rd_link_filter *filter;
	size_t n;
	void *memory; /* owned: all of it */
};

/* NULL: it has none of that name. */
const struct rd_link_filter *rd_link_config_find(const struct rd_link_config *config, const char *name);
void rd_link_config_release(struct rd_link_config *config);
/* As bytes, and back. The bytes may be anything: -EPROTO. Only bounds are judged here. */
void rd_link_config_put(const struct rd_link_config *config, struct pfs_buf *out);
int rd_link_config_get(const uint8_t *bytes, size_t n, struct rd_link_config *ret_config);
/* In a sealed memfd. *ret_fd is the caller's. get() maps nothing that could still be written: -EPROTO. */
int rd_link_config_to_fd(const struct rd_link_config *config, int *ret_fd);
int rd_link_config_from_fd(int fd, struct rd_link_config *ret_config);

#endif
