/*
 * fanotify - a permission event: a read(2) of a marked file waits until another process has said yes
 *
 * Nothing but the question and the answer goes that way; who wants the file's bytes gets a descriptor with the
 * question, and reads, which is "syscall". So it has a round trip only: a read of 64 bytes, with the event. The
 * descriptor that comes with each is opened and closed for it: that is what fanotify costs besides.
 */
#include "study.h"

#include <fcntl.h>
#include <sys/fanotify.h>

struct asked {
	int group, file;
	char name[32];
};

static void *fanotify_open(const struct mechanism *m)
{
	static struct asked a = { .name = "/tmp/interspace-XXXXXX" };

	(void)m;
	if (!study_root())
		return study_why(0, "root is needed for permission events");
	a.group = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	if (a.group < 0)
		return study_why(errno, "fanotify");
	a.file = mkostemp(a.name, O_CLOEXEC);
	if (a.file < 0)
		return study_why(errno, "a file in /tmp");
	study_write_all(a.file, (const uint8_t *)a.name, sizeof(a.name));
	study_write_all(a.file, (const uint8_t *)a.name, sizeof(a.name));
	if (fanotify_mark(a.group, FAN_MARK_ADD, FAN_ACCESS_PERM, AT_FDCWD, a.name) < 0) {
		unlink(a.name);
		return study_why(errno, "a mark for permission events");
	}
	/* A file that was opened before anything was marked is never asked about (Linux 6.14). */
	close(a.file);
	a.file = open(a.name, O_RDONLY | O_CLOEXEC);
	return a.file < 0 ? study_why(errno, "a file in /tmp") : &a;
}

static void fanotify_close(void *state)
{
	struct asked *a = state;

	close(a->group);
	close(a->file);
	unlink(a->name);
}

static void decide(const struct asked *a)
{
	struct fanotify_event_metadata e;
	struct fanotify_response yes = { .response = FAN_ALLOW };

	if (read(a->group, &e, sizeof(e)) != (ssize_t)sizeof(e))
		study_die("reading an event");
	errno = EBADMSG;
	if (e.vers != FANOTIFY_METADATA_VERSION || e.mask != FAN_ACCESS_PERM || e.fd < 0)
		study_die("an event");
	yes.fd = e.fd;
	if (write(a->group, &yes, sizeof(yes)) < 0)
		study_die("answering an event");
	close(e.fd);
}

static void fanotify_trip(void *state, int end)
{
	const struct asked *a = state;
	char got[STUDY_TRIP];

	if (end == 1) {
		decide(a);
		return;
	}
	if (pread(a->file, got, sizeof(got), 0) != sizeof(got))
		study_die("reading the file");
	errno = EBADMSG;
	if (memcmp(got, a->name, sizeof(a->name)) != 0)
		study_die("what the file holds");
}

const struct mechanism mechanism_fanotify = {
	.name = "fanotify",
	.stands_for = "FAN_ACCESS_PERM: a read of 64 bytes that another process permits; a "
		      "descriptor is opened for each event; no "
		      "bytes go that way",
	.peer = true,
	.trips = true,
	.open = fanotify_open,
	.close = fanotify_close,
	.trip = fanotify_trip,
};
