/*
 * wire - what liburfs and pipesfs say to each other
 *
 * Two kinds of sockets, both AF_UNIX and SOCK_SEQPACKET, so a message comes whole or not at all:
 *
 *	control	one a connection, to $PIPESFS_URFS. The filter's process asks (REGISTER, PATH ...), one
 *		thing at a time, and gets a REPLY. By itself the other side sends CHANNEL and MODIFY.
 *	channel	one for each process that asks filters. Made by it, handed over with CHANNEL, with
 *		the memory that both share. CALLs and ANSWERs, many at a time.
 *
 * Structs as they are: both ends are of one machine; HELLO refuses another version and other
 * sizes. Every message is checked by uw_check() before anything else looks at it: type,
 * direction, size, lengths, ends of strings. What its numbers mean is for the receiver to check.
 * Memory: UW_SLOTS slots of UW_SLOT_SIZE bytes, in a memfd sealed against change of size.
 */
#ifndef URFS_WIRE_H
#define URFS_WIRE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "urfs/filter.h"

#define UW_VERSION 3
#define UW_SLOTS 64
#define UW_SLOT_SIZE ((size_t)1 << 20)
#define UW_NO_SLOT UINT32_MAX
#define UW_NAME_MAX 256 /* of an extended attribute, with the NUL */

enum uw_type {
	/* control, from the filter's process */
	UW_HELLO = 1,
	UW_REGISTER,
	UW_UNREGISTER,
	UW_ACTIVATE,
	UW_WANT,
	UW_PATH,
	UW_READY, /* callbacks from now on, or (value 0) no more */
	UW_MODIFIED,
	/* control, to it */
	UW_REPLY,
	UW_CHANNEL,
	UW_MODIFY,
	/* channel, to it */
	UW_CALL,
	UW_SUBDONE,
	UW_FORGET,
	/* channel, from it */
	UW_ANSWER,
	UW_SUBCALL,
	UW_OPEN, /* the file that the call is about is asked for */
	/* channel, to it */
	UW_OPENED, /* the answer; result >= 0: one descriptor comes with it */
};

struct uw_head {
	uint32_t type, size; /* of the whole message */
};

struct uw_hello {
	struct uw_head head;
	uint32_t version, call_size, wants_size, pad;
};

/* REGISTER UNREGISTER ACTIVATE PATH READY MODIFY MODIFIED */
struct uw_command {
	struct uw_head head;
	uint32_t filter;
	int32_t value; /* priority; active; RFS_PATH_...; rfs_mod_id; what came of it */
	int32_t policy;
	uint32_t active, deadline_ms; /* of MODIFY active counts them, and MODIFIED says which */
	uint32_t text_size;	      /* name, path; with its NUL, 0: none */
	char text[];
};

struct uw_want {
	struct uw_head head;
	uint32_t filter;
	struct urfs_wants wants;
};

struct uw_reply {
	struct uw_head head;
	int32_t result;
	char text[252];
};

struct uw_channel {
	struct uw_head head; /* two descriptors: the socket, the memory */
};

struct uw_call {
	struct uw_head head;
	uint64_t key;
	uint32_t filter, post;
	uint64_t kept[3]; /* by rfs_keep; 0: none */
	uint32_t slot, op_id;
	uint64_t data_size;
	int64_t result;
	uint64_t id;
	int32_t pid;
	uint32_t uid, gid;
	uint32_t flags; /* of OPEN, RENAME, SETATTR (valid), ACCESS (mask), LOCK, IOCTL (cmd) */
	uint32_t mode;
	uint32_t path_size, path2_size, name_size; /* with their NULs, one after the other in text; > 0 */
	int64_t pos;
	uint64_t count; /* of OPEN, CREATE and RELEASE: generation */
	struct stat stat;
	char text[];
};

/* ANSWER, SUBCALL: verdict is enum rfs_retv. OPEN: key counts. SUBDONE, OPENED: key and result do. */
struct uw_answer {
	struct uw_head head;
	uint64_t key;
	uint32_t verdict, pad;
	int64_t result;
	uint64_t kept[3];
	struct stat stat;
};

struct uw_forget {
	struct uw_head head;
	uint64_t kept;
};

#define UW_CALL_MAX (sizeof(struct uw_call) + 2 * (size_t)PATH_MAX + UW_NAME_MAX)
#define UW_FROM_FILTER_MAX (sizeof(struct uw_command) + PATH_MAX)

enum uw_side {
	UW_CONTROL_FROM_FILTER,
	UW_CONTROL_TO_FILTER,
	UW_CHANNEL_FROM_FILTER,
	UW_CHANNEL_TO_FILTER
};

/* The type of a whole, well-formed message that may come there; -EPROTO else. Aligned to 8. */
int uw_check(enum uw_side side, const void *message, size_t size);

/* A HELLO as this version says it, and whether that one is of this version. */
void uw_hello_make(struct uw_hello *ret_hello);
bool uw_hello_same(const struct uw_hello *hello);

/*
 * Arguments to and from a CALL. Put: room of UW_CALL_MAX bytes; -ENAMETOOLONG. Get: strings stay
 * in the message; the data is at `data`, or none.
 */
int uw_call_put(const struct rfs_args *args, struct uw_call *call);
void uw_call_get(const struct uw_call *call, uint8_t *data, struct rfs_args *ret_args);

#endif
