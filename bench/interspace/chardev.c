/*
 * chardev - /dev/zero read, /dev/null written
 *
 * The thesis's device copied to and from a buffer of its module. /dev/zero clears the reader's buffer: one pass
 * over memory instead of a copy. /dev/null takes any number of bytes and does not look at them: that is the price
 * of the call alone, nothing arrives, and nothing can be checked. Its trip is an ioctl(2) that it does not know.
 */
#include "study.h"

#include <fcntl.h>
#include <sys/ioctl.h>

struct chardev {
	int zero, null;
	uint8_t *zeros;
};

static void *chardev_open(const struct mechanism *m)
{
	static struct chardev c;

	(void)m;
	c.zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	c.null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	c.zeros = study_shared(STUDY_MAX);
	return c.zero < 0 || c.null < 0 ? study_why(errno, "/dev/zero, /dev/null") : &c;
}

static void chardev_close(void *state)
{
	struct chardev *c = state;

	close(c->zero);
	close(c->null);
}

static const uint8_t *chardev_get(void *state, int end, uint8_t *into, size_t len)
{
	(void)end;
	if (read(((struct chardev *)state)->zero, into, len) != (ssize_t)len)
		study_die("/dev/zero");
	return into;
}

static void chardev_put(void *state, int end, const uint8_t *from, size_t len)
{
	(void)end;
	if (write(((struct chardev *)state)->null, from, len) != (ssize_t)len)
		study_die("/dev/null");
}

static void chardev_trip(void *state, int end)
{
	(void)end;
	if (ioctl(((struct chardev *)state)->null, 0x5a5a) >= 0)
		study_die("/dev/null knows that ioctl");
}

static const uint8_t *chardev_load(void *state, const uint8_t *pattern, size_t len)
{
	(void)pattern;
	(void)len;
	return ((struct chardev *)state)->zeros;
}

const struct mechanism mechanism_chardev = {
	.name = "chardev",
	.stands_for = "/dev/zero read (memory cleared, not copied), /dev/null written (not even "
		      "looked at: the call alone, "
		      "unchecked); the trip is an ioctl that /dev/null does not know",
	.thesis = true,
	.read = true,
	.write = true,
	.trips = true,
	.unchecked_write = true,
	.open = chardev_open,
	.close = chardev_close,
	.get = chardev_get,
	.put = chardev_put,
	.trip = chardev_trip,
	.load = chardev_load,
};
