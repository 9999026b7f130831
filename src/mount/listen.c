#include "mount/listen.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/hash.h"

#define NEW ".new" /* bound, but nobody listens yet, ... */
#define NEW_OLD 60 /* s after which nobody ever will */

/* len: of the name in it. */
static int listen_at(const struct sockaddr_un *address, size_t len)
{
	PFS_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 ||
	    bind(fd, (const struct sockaddr *)address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* Does nobody listen there any more? */
static bool is_deserted(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	PFS_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (strstr(path, NEW) && (stat(path, &st) < 0 || st.st_mtime + NEW_OLD > time(NULL)))
		return false;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 &&
	       errno == ECONNREFUSED;
}

static void sweep(void)
{
	DIR *dir = opendir(PFS_LISTEN_DIR);
	struct dirent *entry;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

	while (dir && (entry = readdir(dir))) {
		int n = snprintf(path, sizeof(path), PFS_LISTEN_DIR "/%s", entry->d_name);

		if (n > 0 && (size_t)n < sizeof(path) && entry->d_type == DT_SOCK && is_deserted(path))
			unlink(path);
	}
	if (dir)
		closedir(dir);
}

/* For all to search, whatever the umask. */
static void dir_make(const char *path)
{
	if (mkdir(path, 0755) == 0)
		(void)chmod(path, 0755);
}

/* Gets its name once it listens, so that nobody takes it for deserted. */
static int listen_file(struct pfs_listen *listen)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	PFS_CLOSE int fd = -1;

	dir_make("/run/pipesfs");
	dir_make(PFS_LISTEN_DIR);
	sweep();
	snprintf(listen->path, sizeof(listen->path), PFS_LISTEN_DIR "/%s", listen->name);
	snprintf(address.sun_path, sizeof(address.sun_path), PFS_LISTEN_DIR "/%s" NEW, listen->name);
	fd = listen_at(&address, sizeof(address.sun_path));
	if (fd < 0)
		return fd;
	if (chmod(address.sun_path, 0666) < 0 || rename(address.sun_path, listen->path) < 0) {
		int r = -errno;

		unlink(address.sun_path);
		return r;
	}
	return TAKE_FD(fd);
}

int pfs_listen_open(struct pfs_listen *listen)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pfs_seed seed;

	*listen = (struct pfs_listen){ .fd = -1, .file_fd = -1 };
	pfs_seed_init(&seed); /* a name that nobody guesses, and takes before us */
	snprintf(listen->name, sizeof(listen->name), "pipesfs-%016llx%016llx",
		 (unsigned long long)seed.a, (unsigned long long)seed.b);
	memcpy(address.sun_path + 1, listen->name, strlen(listen->name));
	listen->fd = listen_at(&address, 1 + strlen(listen->name));
	if (listen->fd < 0)
		return listen->fd;
	listen->file_fd = listen_file(listen);
	if (listen->file_fd < 0) {
		listen->file_fd = -1;
		listen->path[0] = '\0';
	}
	return 0;
}

void pfs_listen_close(struct pfs_listen *listen)
{
	if (listen->path[0])
		unlink(listen->path);
	pfs_closep(&listen->fd);
	pfs_closep(&listen->file_fd);
}
