#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/twice.h"
#include "client/client_i.h"
#include "client/ticket.h"

/* --- the file ------------------------------------------------------------------------------ */

static const char *policy_word(uint32_t policy)
{
	switch (policy) {
	case PFS_POLICY_LOSSY:
		return ",policy=lossy";
	case PFS_POLICY_RELIABLE:
		return ",policy=reliable";
	default:
		return "";
	}
}

/*
 * As the path is, but where a link leads to the file: the name beside it is another. (What /proc says of a descriptor
 * may be "(deleted)": the kernel forgets names here whenever it asks again.)
 */
static int file_name(const char *path, uint32_t policy, char name[PATH_MAX])
{
	char real[PATH_MAX];
	struct stat st;
	int n;

	if (lstat(path, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) {
		if (!realpath(path, real))
			return -errno;
		path = real;
	}
	n = snprintf(name, PATH_MAX, "%s%s,client", path, policy_word(policy));
	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int file_open(struct pfs_client *client, const char *path, uint32_t policy,
		     struct pfs_ticket *ret_ticket)
{
	char name[PATH_MAX];
	int r = file_name(path, policy, name);

	if (r < 0)
		return r;
	client->file = open(name, O_RDONLY | O_CLOEXEC);
	if (client->file < 0)
		return errno == ENOENT ? -EINVAL : -errno; /* the path itself is there */
	if (ioctl(client->file, PFS_IOC_READER, ret_ticket) < 0)
		return errno == ENOTTY ? -EINVAL : -errno;
	return ret_ticket->version == PFS_SHARED_VERSION ? 0 : -EPROTO;
}

/* --- the mappings ------------------------------------------------------------------------------ */

static size_t queue_bytes(const struct pfs_client *client)
{
	return PFS_SHARED_PAGE +
	       (size_t)client->hello.slots * (sizeof(struct pfs_ref) + sizeof(uint32_t));
}

static int map_ring(struct pfs_client *client, int fd)
{
	size_t size = (size_t)client->hello.ring_size;
	uint8_t *data;
	void *page;
	int r = pfs_map_twice(fd, 0, size, PROT_READ, &data);

	if (r < 0)
		return r;
	client->data = data;
	page = mmap(NULL, PFS_SHARED_PAGE, PROT_READ, MAP_SHARED, fd, (off_t)size);
	if (page == MAP_FAILED)
		return -errno;
	client->ring = page;
	return 0;
}

static bool is_power(uint64_t n, uint64_t min, uint64_t max)
{
	return n >= min && n <= max && (n & (n - 1)) == 0;
}

int pfs_client_map(struct pfs_client *client, const int fds[PFS_GIVEN_COUNT])
{
	const struct pfs_shared_hello *hello = &client->hello;
	uint8_t *queue, *page;

	if (hello->head.version != PFS_SHARED_VERSION || !is_power(hello->slots, 512, 1u << 30) ||
	    !is_power(hello->ring_size, 4096, UINT64_C(1) << 40))
		return -EPROTO;
	for (size_t i = 0; i < PFS_GIVEN_COUNT; i++)
		if (fds[i] < 0)
			return -EPROTO;
	queue = mmap(NULL, queue_bytes(client), PROT_READ, MAP_SHARED, fds[PFS_GIVEN_QUEUE], 0);
	if (queue == MAP_FAILED)
		return -errno;
	client->queue = (struct pfs_shared_queue *)(void *)queue;
	client->slots = (const _Atomic uint64_t *)(void *)(queue + PFS_SHARED_PAGE);
	client->before = (const _Atomic uint32_t *)(void *)(queue + PFS_SHARED_PAGE +
							    hello->slots * sizeof(struct pfs_ref));
	page = mmap(NULL, PFS_SHARED_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[PFS_GIVEN_PAGE], 0);
	if (page == MAP_FAILED)
		return -errno;
	client->page = (struct pfs_shared_cursor *)(void *)page;
	client->next = client->first = atomic_load(&client->page->next);
	client->records = atomic_load(&client->page->records);
	return map_ring(client, fds[PFS_GIVEN_RING]);
}

/* --- open and close ------------------------------------------------------------------------------ */

void pfs_close(struct pfs_client *client)
{
	if (!client)
		return;
	if (client->ring)
		munmap((void *)(uintptr_t)client->ring, PFS_SHARED_PAGE);
	if (client->data)
		munmap((void *)(uintptr_t)client->data, 2 * (size_t)client->hello.ring_size);
	if (client->page)
		munmap(client->page, PFS_SHARED_PAGE);
	if (client->queue)
		munmap(client->queue, queue_bytes(client));
	pfs_closep(&client->socket);
	pfs_closep(&client->nudge_fd);
	pfs_closep(&client->file);
	free(client->copies);
	free(client);
}

static int client_open(struct pfs_client *client, const char *path, uint32_t policy, char *why,
		       size_t why_size)
{
	int fds[PFS_GIVEN_COUNT] = { -1, -1, -1, -1 };
	struct pfs_ticket ticket;
	int r = file_open(client, path, policy, &ticket);

	if (r == 0)
		r = pfs_ticket_redeem(&ticket, &client->hello.head, sizeof(client->hello), fds,
				      PFS_GIVEN_COUNT, &client->socket, why, why_size);
	if (r == 0)
		r = pfs_client_map(client, fds);
	if (r == 0)
		client->nudge_fd = TAKE_FD(fds[PFS_GIVEN_NUDGE]);
	for (size_t i = 0; i < PFS_GIVEN_COUNT; i++)
		pfs_closep(&fds[i]);
	return r;
}

int pfs_open(const char *path, const struct pfs_options *options, struct pfs_client **ret_client)
{
	static const struct pfs_options usual = { .size = sizeof(usual) };
	size_t why_size;
	struct pfs_client *client;
	uint32_t policy;
	int r;

	options = options ? options : &usual;
	policy = options->policy;
	if (options->size != sizeof(*options) || policy > PFS_POLICY_IN_PLACE)
		return -EINVAL;
	why_size = options->why ? options->why_size : 0;
	if (why_size)
		*options->why = '\0';
	client = pfs_zalloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	client->file = client->socket = client->nudge_fd = -1;
	client->in_place = policy == PFS_POLICY_IN_PLACE;
	r = client_open(client, path, client->in_place ? PFS_POLICY_LOSSY : policy, options->why,
			why_size);
	if (r < 0) {
		pfs_close(client);
		return r;
	}
	*ret_client = client;
	return 0;
}
