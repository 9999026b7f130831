/*
 * kinds - messages of liburfs's wire that nobody should send: each type, short, long, and lying about it
 */
#ifndef UNIT_URFS_KINDS_H
#define UNIT_URFS_KINDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "../until.h"
#include "urfs/wire.h"

#ifndef UNUSED
#define UNUSED __attribute__((unused))
#endif
#define TYPES ((uint32_t)UW_OPENED + 2) /* 0, all of them, one more */
#define BIG 9000
#define MEMORY (UW_SLOTS * UW_SLOT_SIZE)

static UNUSED size_t size_of(uint32_t type)
{
	switch (type) {
	case UW_HELLO:
		return sizeof(struct uw_hello);
	case UW_WANT:
		return sizeof(struct uw_want);
	case UW_REPLY:
		return sizeof(struct uw_reply);
	case UW_CHANNEL:
		return sizeof(struct uw_channel);
	case UW_CALL:
		return sizeof(struct uw_call) + 3;
	case UW_FORGET:
		return sizeof(struct uw_forget);
	case UW_SUBDONE:
	case UW_ANSWER:
	case UW_SUBCALL:
	case UW_OPEN:
	case UW_OPENED:
		return sizeof(struct uw_answer);
	default:
		return sizeof(struct uw_command);
	}
}

/* The next of all kinds of messages: by type, what it is filled with, its length, and the length that it says. */
struct kind {
	uint32_t type;
	unsigned fill, length, lie;
};

static UNUSED bool next_kind(struct kind *kind)
{
	if (++kind->lie < 2)
		return true;
	kind->lie = 0;
	if (++kind->length < 5)
		return true;
	kind->length = 0;
	if (++kind->fill < 2)
		return true;
	kind->fill = 0;
	return ++kind->type < TYPES;
}

static UNUSED size_t make(const struct kind *kind, uint8_t room[BIG])
{
	const size_t exact = size_of(kind->type);
	const size_t length[] = { exact, sizeof(struct uw_head), exact - 1, exact + 8, BIG };
	size_t n = length[kind->length];
	struct uw_head *head = (struct uw_head *)room;

	memset(room, kind->fill ? 0xff : 0, BIG);
	head->type = kind->type;
	head->size = (uint32_t)n + kind->lie;
	return n;
}

static UNUSED void send_message(int fd, const void *message, size_t size)
{
	assert_int_equal(send(fd, message, size, MSG_NOSIGNAL), size);
}

static UNUSED void patience(int fd)
{
	const struct timeval limit = { PATIENCE / 1000, 0 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
}

static UNUSED void assert_ended(int fd)
{
	uint8_t room[sizeof(struct uw_reply)];
	ssize_t n;

	do
		n = recv(fd, room, sizeof(room), 0);
	while (n > 0);
	if (n < 0 && errno != ECONNRESET)
		fail_msg("it has not ended: %s", strerror(errno));
}

#endif
