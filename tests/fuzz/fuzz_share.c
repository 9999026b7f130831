/*
 * fuzz_share - clients that say what they like, as often as they like, with descriptors that nobody asked for
 *
 * Steps of one byte and what it needs: connections are begun and closed, messages sent, right tokens among them;
 * tickets are taken anew, the file is closed. Each first message is answered or its connection closed; a file is given
 * once for a ticket, let go as often as it was held, and no descriptor stays.
 */
#include <dirent.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/un.h>

#include "mount/share.h"

#define CONNECTIONS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pfs_mount mount;
static int memory = -1;
static _Atomic int held, given, muted;

static int give(struct pfs_file *file, struct pfs_gift *ret_gift, struct pfs_diag *diag)
{
	static const struct pfs_shared_lent hello = { .head.version = PFS_SHARED_VERSION };

	(void)file;
	if (atomic_fetch_add(&given, 1) % 3 == 2) {
		atomic_fetch_sub(&given, 1);
		return pfs_diag_set(diag, EBUSY, "not this time");
	}
	*ret_gift = (struct pfs_gift){
		.hello = &hello, .size = sizeof(hello), .fds = { memory }, .nfds = 1
	};
	return 0;
}

static void mute(struct pfs_file *file)
{
	(void)file;
	atomic_fetch_add(&muted, 1);
}

static void hold(struct pfs_file *file)
{
	(void)file;
	atomic_fetch_add(&held, 1);
}

static void drop(struct pfs_file *file)
{
	(void)file;
	atomic_fetch_sub(&held, 1);
}

static bool said(struct pfs_file *file, const void *message, size_t size)
{
	(void)file;
	return size > 0 && *(const uint8_t *)message & 1;
}

static const struct pfs_share_kind kind = {
	.give = give, .mute = mute, .said = said, .hold = hold, .drop = drop
};

struct client {
	struct pfs_file file;
	struct pfs_ticket ticket;
	bool has_ticket;
	int fd[CONNECTIONS];
	bool spoke[CONNECTIONS];
};

static int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		abort();
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void begin(struct client *client, size_t i)
{
	const struct timeval patience = { .tv_sec = 10 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(client->ticket.name);

	if (!client->has_ticket || client->fd[i] >= 0)
		return;
	client->fd[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	memcpy(address.sun_path + 1, client->ticket.name, len);
	if (connect(client->fd[i], (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) < 0)
		abort();
	setsockopt(client->fd[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	client->spoke[i] = false;
}

static void leave(struct client *client, size_t i)
{
	pfs_closep(&client->fd[i]);
}

/* Whatever comes first is answered, if only by a close. */
static void say(struct client *client, size_t i, const void *message, size_t size, size_t nfds)
{
	const int fds[2] = { memory, memory };
	struct iovec iov = { (void *)(uintptr_t)message, size };
	int got[PFS_SOCKET_FDS_MAX];
	uint8_t answer[1024];
	ssize_t n;

	if (client->fd[i] < 0)
		return;
	n = pfs_socket_send(client->fd[i], &iov, 1, 0, fds, nfds);
	if (n < 0 && n != -EPIPE && n != -ECONNRESET)
		abort();
	if (n >= 0 && !client->spoke[i]) {
		n = pfs_socket_receive(client->fd[i], answer, sizeof(answer), 0, got, ARRAY_SIZE(got));
		if (n == -EAGAIN)
			abort();
		for (size_t k = 0; k < ARRAY_SIZE(got) && n >= 0; k++)
			pfs_closep(&got[k]);
	}
	client->spoke[i] = true;
}

static void say_token(struct client *client, size_t i)
{
	struct pfs_shared_word word = { .version = PFS_SHARED_VERSION };

	memcpy(word.token, client->ticket.token, sizeof(word.token));
	say(client, i, &word, sizeof(word), 0);
}

static void ticket(struct client *client)
{
	int r = pfs_share_ticket(&client->file, &kind, geteuid(), &client->ticket);

	if (r < 0 && r != -EBUSY)
		abort();
	client->has_ticket |= r == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned inputs;
	static int before;
	struct client client = { .file.mount = &mount, .fd = { -1, -1, -1, -1 } };

	if (!mount.shares) {
		memory = memfd_create("fuzz", MFD_CLOEXEC);
		if (memory < 0 || pfs_shares_new(&mount) < 0)
			abort();
	}
	while (size >= 2) {
		size_t i = data[0] >> 3 & 3, len = data[1] < size - 2 ? data[1] : size - 2, used = 2;

		switch (data[0] & 7) {
		case 0:
			begin(&client, i);
			break;
		case 1:
			leave(&client, i);
			break;
		case 2:
			say(&client, i, data + 2, len, data[0] >> 5 & 1);
			used += len;
			break;
		case 3:
			say_token(&client, i);
			break;
		case 4:
			ticket(&client);
			break;
		case 5:
			pfs_share_end(&client.file);
			break;
		default:
			begin(&client, i);
			say_token(&client, i);
			break;
		}
		data += used;
		size -= used;
	}
	pfs_share_end(&client.file);
	for (size_t i = 0; i < CONNECTIONS; i++)
		leave(&client, i);
	while (atomic_load(&held))
		sched_yield();
	/* Connections are closed on the thread: a few may be on their way. */
	if (++inputs == 100)
		before = descriptors();
	if (inputs % 1000 == 0 && descriptors() > before + 64)
		abort();
	return 0;
}
