#include "mount/share.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>

#include "base/thread.h"
#include "mount/listen.h"

#define EVENTS_MAX 64
#define SILENT UINT64_C(2000000000) /* ns in which who connects says its token */
#define SILENT_USER 16		    /* connections of one user that have not */
#define SILENT_ALL 256
#define DEAF \
	UINT64_C(100000000) /* ns after which who could not be taken in for want of descriptors is tried again */
#define SOCKET_BYTES 8192 /* a hello */

/* A file that has a ticket or a client. All of both structures: lock. */
struct shared {
	struct pfs_file *file;
	const struct pfs_share_kind *kind;
	uid_t uid;
	uint8_t token[PFS_TOKEN_SIZE];
	enum { TICKET, GIVING, GIVEN } state;
	bool ended; /* the file was closed while GIVING */
	struct connection *connection;
	struct shared *next;
};

struct connection {
	int fd;
	uid_t uid;
	struct shared *shared; /* NULL: it has said nothing yet, or its file is closed */
	uint64_t until;	       /* mono ns, for who says nothing */
	bool over;	       /* shut down, the thread closes it */
	struct connection *next;
};

struct pfs_shares {
	pthread_mutex_t lock;
	pthread_t thread;
	bool running;	      /* lock; from the first ticket on */
	uint64_t deaf_until;  /* the thread's: mono ns; nobody is taken in before. 0: all are */
	struct shared *files; /* lock */
	struct connection *others; /* lock; the newest first */
	struct pfs_listen listen;
	int epoll_fd, stop_fd;
};

/* --- connections ----------------------------------------------------------------------------- */

/* Lock held. The thread hears of it and closes. */
static void connection_end(struct connection *connection)
{
	connection->over = true;
	connection->shared = NULL;
	shutdown(connection->fd, SHUT_RDWR);
}

/* On the thread: nothing speaks of it any more. */
static void connection_close(struct pfs_shares *shares, struct connection *connection)
{
	struct shared *shared;

	pthread_mutex_lock(&shares->lock);
	shared = connection->shared;
	if (shared) { /* the client has gone; its file will be closed, too */
		shared->kind->mute(shared->file);
		shared->connection = NULL;
	}
	for (struct connection **at = &shares->others; *at; at = &(*at)->next) {
		if (*at == connection) {
			*at = connection->next;
			break;
		}
	}
	pthread_mutex_unlock(&shares->lock);
	/* A close alone takes it out only if nobody else has it open, as who looks at our descriptors in /proc may. */
	epoll_ctl(shares->epoll_fd, EPOLL_CTL_DEL, connection->fd, NULL);
	close(connection->fd);
	free(connection);
}

static bool is_silent(const struct connection *connection)
{
	return !connection->shared && !connection->over;
}

/* One more that has said nothing: is there room? Else the oldest of this user's goes. Lock held. */
static bool make_room(struct pfs_shares *shares, uid_t uid)
{
	struct connection *oldest = NULL;
	unsigned all = 0, his = 0;

	for (struct connection *c = shares->others; c; c = c->next) {
		if (!is_silent(c))
			continue;
		all++;
		if (c->uid != uid)
			continue;
		his++;
		oldest = c;
	}
	if (his >= SILENT_USER)
		connection_end(oldest);
	return all < SILENT_ALL || his >= SILENT_USER;
}

static void set_deaf(struct pfs_shares *shares, uint64_t until)
{
	int *const fds[] = { &shares->listen.fd, &shares->listen.file_fd };

	shares->deaf_until = until;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct epoll_event event = { .events = until ? 0 : EPOLLIN, .data.ptr = fds[i] };

		if (*fds[i] >= 0)
			epoll_ctl(shares->epoll_fd, EPOLL_CTL_MOD, *fds[i], &event);
	}
}

static void take_in(struct pfs_shares *shares, int listen_fd)
{
	/* cppcheck-suppress nullPointer ; accept4(2) takes NULL, NULL: who called is asked below */
	PFS_CLOSE int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *connection;
	int bytes = SOCKET_BYTES;
	struct ucred cred;
	socklen_t size = sizeof(cred);
	struct epoll_event event = { .events = EPOLLIN };

	/* They wait where they are: we would be called again at once, for nothing. */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
		set_deaf(shares, pfs_clock_mono() + DEAF);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	connection = pfs_zalloc(1, sizeof(*connection));
	if (!connection)
		return;
	connection->uid = cred.uid;
	connection->until = pfs_clock_mono() + SILENT;
	connection->fd = fd;
	event.data.ptr = connection;
	pthread_mutex_lock(&shares->lock);
	if (!make_room(shares, cred.uid) ||
	    epoll_ctl(shares->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		pthread_mutex_unlock(&shares->lock);
		free(connection);
		return;
	}
	connection->next = shares->others;
	shares->others = connection;
	pthread_mutex_unlock(&shares->lock);
	TAKE_FD(fd);
}

/* Ends those that have been silent for too long; ms until the next, -1: none. */
static int expire(struct pfs_shares *shares)
{
	uint64_t now = pfs_clock_mono(), next = UINT64_MAX;

	if (shares->deaf_until && shares->deaf_until <= now)
		set_deaf(shares, 0);
	if (shares->deaf_until)
		next = shares->deaf_until;
	pthread_mutex_lock(&shares->lock);
	for (struct connection *c = shares->others; c; c = c->next) {
		if (!is_silent(c))
			continue;
		if (c->until <= now)
			connection_end(c);
		else
			next = pfs_min64(next, c->until);
	}
	pthread_mutex_unlock(&shares->lock);
	return next == UINT64_MAX ? -1 : (int)((next - now) / 1000000) + 1;
}

/* --- tokens ------------------------------------------------------------------------------------ */

static void file_remove(struct pfs_shares *shares, struct shared *shared)
{
	struct shared **at = &shares->files;

	while (*at != shared)
		at = &(*at)->next;
	*at = shared->next;
	free(shared);
}

static void refuse(const struct connection *connection, int error, const char *why)
{
	struct pfs_shared_head head = { .version = PFS_SHARED_VERSION, .error = error };
	struct iovec iov = { &head, sizeof(head) };

	snprintf(head.why, sizeof(head.why), "%s", why);
	(void)pfs_socket_send(connection->fd, &iov, 1, MSG_DONTWAIT, NULL, 0);
}

/* Takes the ticket that this token is of, which nobody can use again. Lock held. NULL: there is none for him. */
static struct shared *find_ticket(struct pfs_shares *shares, const uint8_t token[PFS_TOKEN_SIZE],
				  uid_t uid)
{
	for (struct shared *s = shares->files; s; s = s->next)
		if (s->state == TICKET && s->uid == uid && !memcmp(s->token, token, PFS_TOKEN_SIZE))
			return s;
	return NULL;
}

static int send_gift(const struct connection *connection, const struct pfs_gift *gift)
{
	struct iovec iov = { (void *)(uintptr_t)gift->hello, gift->size };
	ssize_t n = pfs_socket_send(connection->fd, &iov, 1, MSG_DONTWAIT, gift->fds, gift->nfds);

	return n < 0 ? (int)n : 0;
}

/* False: refused, or the file was closed meanwhile. */
static bool give(struct pfs_shares *shares, struct connection *connection, struct shared *shared)
{
	const struct pfs_share_kind *kind = shared->kind;
	struct pfs_file *file = shared->file;
	struct pfs_diag diag = { "" };
	struct pfs_gift gift;
	int r = kind->give(file, &gift, &diag);
	bool given = r == 0, over;

	if (r < 0)
		refuse(connection, -r, diag.text[0] ? diag.text : strerror(-r));
	else
		r = send_gift(connection, &gift);
	pthread_mutex_lock(&shares->lock);
	over = r < 0 || shared->ended;
	if (given && over)
		kind->mute(file);
	if (over) {
		file_remove(shares, shared);
	} else {
		shared->state = GIVEN;
		shared->connection = connection;
		connection->shared = shared;
	}
	pthread_mutex_unlock(&shares->lock);
	kind->drop(file);
	return !over;
}

/* The first message. False: to be closed. */
static bool hear(struct pfs_shares *shares, struct connection *connection,
		 const struct pfs_shared_word *word, size_t size)
{
	struct shared *shared;

	if (size != sizeof(*word) || word->version != PFS_SHARED_VERSION) {
		refuse(connection, EPROTO, "this is no token, or one of another version");
		return false;
	}
	pthread_mutex_lock(&shares->lock);
	shared = find_ticket(shares, word->token, connection->uid);
	if (shared) {
		shared->state = GIVING;
		shared->kind->hold(shared->file);
	}
	pthread_mutex_unlock(&shares->lock);
	if (!shared) {
		refuse(connection, EACCES, "no open file has this token: it was used, or is another's");
		return false;
	}
	return give(shares, connection, shared);
}

/* A later one. */
static bool hear_more(struct pfs_shares *shares, struct connection *connection, const void *message,
		      size_t size)
{
	struct shared *shared;
	bool ok = false;

	pthread_mutex_lock(&shares->lock);
	shared = connection->shared;
	if (shared && shared->kind->said)
		ok = shared->kind->said(shared->file, message, size);
	pthread_mutex_unlock(&shares->lock);
	return ok;
}

static void look(struct pfs_shares *shares, struct connection *connection)
{
	int fds[PFS_SOCKET_FDS_MAX];
	union {
		struct pfs_shared_word word;
		uint8_t bytes[256];
	} message;
	ssize_t n = pfs_socket_receive(connection->fd, &message, sizeof(message), MSG_DONTWAIT, fds,
				       ARRAY_SIZE(fds));
	bool silent, ok;

	if (n == -EAGAIN)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(fds) && n >= 0; i++)
		pfs_closep(&fds[i]); /* nobody asked for any */
	pthread_mutex_lock(&shares->lock);
	silent = is_silent(connection);
	pthread_mutex_unlock(&shares->lock);
	if (n <= 0)
		ok = false;
	else if (silent)
		ok = hear(shares, connection, &message.word, (size_t)n);
	else
		ok = hear_more(shares, connection, &message, (size_t)n);
	if (!ok)
		connection_close(shares, connection);
}

static void *shares_thread(void *arg)
{
	struct pfs_shares *shares = arg;
	struct epoll_event events[EVENTS_MAX];

	for (;;) {
		int n = epoll_wait(shares->epoll_fd, events, EVENTS_MAX, expire(shares));

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == &shares->stop_fd)
				return NULL;
			if (events[i].data.ptr == &shares->listen.fd ||
			    events[i].data.ptr == &shares->listen.file_fd)
				take_in(shares, *(int *)events[i].data.ptr);
			else
				look(shares, events[i].data.ptr);
		}
	}
}

/* --- from outside --------------------------------------------------------------------------------- */

static struct shared *file_find(struct pfs_shares *shares, const struct pfs_file *file)
{
	for (struct shared *s = shares->files; s; s = s->next)
		if (s->file == file)
			return s;
	return NULL;
}

/* Lock held. */
static int thread_start(struct pfs_shares *shares)
{
	int r;

	if (shares->running)
		return 0;
	r = pfs_thread_start(shares_thread, shares, &shares->thread);
	shares->running = r == 0;
	return r;
}

/* The file's ticket, or a new one without a token. Lock held. */
static int ticket_of(struct pfs_shares *shares, struct pfs_file *file, uid_t uid,
		     struct shared **ret_shared)
{
	struct shared *shared = file_find(shares, file);

	*ret_shared = shared;
	if (shared)
		return shared->state == TICKET ? 0 : -EBUSY;
	shared = pfs_zalloc(1, sizeof(*shared));
	if (!shared)
		return -ENOMEM;
	shared->file = file;
	shared->uid = uid;
	shared->next = shares->files;
	shares->files = shared;
	file->shared = true;
	*ret_shared = shared;
	return 0;
}

int pfs_share_ticket(struct pfs_file *file, const struct pfs_share_kind *kind, uid_t uid,
		     struct pfs_ticket *ret_ticket)
{
	struct pfs_shares *shares = file->mount->shares;
	uint8_t token[PFS_TOKEN_SIZE];
	struct shared *shared;
	int r;

	if (!shares)
		return -ENOTCONN;
	if (getrandom(token, sizeof(token), GRND_NONBLOCK) != (ssize_t)sizeof(token))
		return -EAGAIN;
	pthread_mutex_lock(&shares->lock);
	r = thread_start(shares);
	if (r == 0)
		r = ticket_of(shares, file, uid, &shared);
	if (r == 0) {
		shared->kind = kind;
		memcpy(shared->token, token, sizeof(token));
	}
	pthread_mutex_unlock(&shares->lock);
	if (r < 0)
		return r;
	*ret_ticket = (struct pfs_ticket){ .version = PFS_SHARED_VERSION };
	memcpy(ret_ticket->token, token, sizeof(token));
	snprintf(ret_ticket->name, sizeof(ret_ticket->name), "%s", shares->listen.name);
	snprintf(ret_ticket->path, sizeof(ret_ticket->path), "%s", shares->listen.path);
	return 0;
}

void pfs_share_end(struct pfs_file *file)
{
	struct pfs_shares *shares = file->mount->shares;
	struct shared *shared;

	if (!file->shared)
		return;
	pthread_mutex_lock(&shares->lock);
	shared = file_find(shares, file);
	if (shared && shared->state == GIVING) {
		shared->ended = true; /* give() does the rest */
	} else if (shared) {
		if (shared->connection) {
			shared->kind->mute(file);
			connection_end(shared->connection);
		}
		file_remove(shares, shared);
	}
	file->shared = false;
	pthread_mutex_unlock(&shares->lock);
}

/* --- life --------------------------------------------------------------------------------------------- */

static int watch(const struct pfs_shares *shares, int fd, void *ptr)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = ptr };

	return epoll_ctl(shares->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int pfs_shares_new(struct pfs_mount *mount)
{
	struct pfs_shares *shares = pfs_zalloc(1, sizeof(*shares));
	int r;

	if (!shares)
		return -ENOMEM;
	shares->listen = (struct pfs_listen){ .fd = -1, .file_fd = -1 };
	pthread_mutex_init(&shares->lock, NULL);
	shares->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	shares->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = shares->epoll_fd < 0 || shares->stop_fd < 0 ? -errno : pfs_listen_open(&shares->listen);
	if (r == 0)
		r = watch(shares, shares->stop_fd, &shares->stop_fd);
	if (r == 0)
		r = watch(shares, shares->listen.fd, &shares->listen.fd);
	if (r == 0 && shares->listen.file_fd >= 0)
		r = watch(shares, shares->listen.file_fd, &shares->listen.file_fd);
	if (r < 0) {
		pfs_closep(&shares->epoll_fd);
		pfs_closep(&shares->stop_fd);
		pfs_listen_close(&shares->listen);
		free(shares);
		return r;
	}
	mount->shares = shares;
	return 0;
}

void pfs_shares_free(struct pfs_mount *mount)
{
	struct pfs_shares *shares = mount->shares;

	if (!shares)
		return;
	eventfd_write(shares->stop_fd, 1);
	if (shares->running)
		pthread_join(shares->thread, NULL);
	while (shares->others)
		connection_close(shares, shares->others);
	assert(!shares->files);
	close(shares->epoll_fd);
	pfs_listen_close(&shares->listen);
	close(shares->stop_fd);
	pthread_mutex_destroy(&shares->lock);
	free(shares);
	mount->shares = NULL;
}
