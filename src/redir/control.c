#include "redir/control.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/socket.h"
#include "base/until.h"
#include "redir/configured.h"
#include "urfs/wire.h"

struct connection {
	struct connection *next;
	struct rd_control *control;
	struct rd_peer peer;
	int fd;
	pthread_t thread;
	bool ended; /* under the control's lock: the thread may be joined */
	char name[URFS_FILTERS_MAX][RD_NAME_MAX]; /* changed by its thread, under the control's lock; "": none */
	/* A question to its modifier; under the control's lock. */
	bool asking, answered;
	uint32_t question; /* counts them: an answer that comes late is none to the next one */
	int answer;
};

struct rd_control {
	const struct rd_control_ops *ops;
	void *arg;
	int fd; /* -1: does not listen */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pthread_t thread;
	bool listening;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;
	unsigned n;
	uint64_t numbers;
	struct connection *connections;
};

/* --- what a connection says ------------------------------------------------------------------------ */

static int reply(struct connection *connection, int result, const struct pfs_diag *diag)
{
	struct uw_reply message = { .head = { UW_REPLY, sizeof(message) }, .result = result };
	const struct iovec iov = { &message, sizeof(message) };

	if (diag)
		snprintf(message.text, sizeof(message.text), "%.250s", diag->text);
	return (int)pfs_socket_send(connection->fd, &iov, 1, MSG_DONTWAIT, NULL, 0);
}

static void set_name(struct connection *connection, uint32_t filter, const char *name)
{
	pthread_mutex_lock(&connection->control->lock);
	snprintf(connection->name[filter], RD_NAME_MAX, "%s", name);
	pthread_mutex_unlock(&connection->control->lock);
}

static int do_command(struct connection *connection, int type, const void *message,
		      struct pfs_diag *diag)
{
	const struct rd_control *control = connection->control;
	const struct uw_command *command = message; /* of a WANT, too, the filter is in its place */
	char *name = connection->name[command->filter];
	int r;

	if (type == UW_REGISTER && name[0])
		return -EEXIST;
	if (type == UW_REGISTER && strlen(command->text) >= RD_NAME_MAX)
		return -EINVAL;
	if (type != UW_REGISTER && type != UW_READY && !name[0])
		return -ENODEV;
	r = control->ops->command(control->arg, &connection->peer, type,
				  type == UW_REGISTER ? command->text : name, message, diag);
	if (type == UW_REGISTER && r == 0)
		set_name(connection, command->filter, command->text);
	else if (type == UW_UNREGISTER)
		set_name(connection, command->filter, "");
	return r;
}

static void on_modified(struct connection *connection, const struct uw_command *said)
{
	struct rd_control *control = connection->control;

	pthread_mutex_lock(&control->lock);
	if (connection->asking && said->active == connection->question) {
		connection->answered = true;
		connection->answer = said->value > 0 || said->value < -4095 ? -EPROTO : said->value;
		pthread_cond_broadcast(&control->changed);
	}
	pthread_mutex_unlock(&control->lock);
}

static void wait_at_most(int fd, time_t seconds)
{
	const struct timeval limit = { .tv_sec = seconds };

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/* The first message, which must come soon, and what it gets. */
static int greet(struct connection *connection)
{
	const struct rd_control *control = connection->control;
	struct uw_hello hello;
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	ssize_t n;
	int r = 0;

	wait_at_most(connection->fd, RD_CONTROL_GREETING);
	n = recv(connection->fd, &hello, sizeof(hello), 0);
	wait_at_most(connection->fd, 0);
	if (n <= 0 || uw_check(UW_CONTROL_FROM_FILTER, &hello, (size_t)n) != UW_HELLO ||
	    !uw_hello_same(&hello))
		r = -EPROTO;
	else if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		r = -errno;
	/* Without a pid, of another namespace, its own accesses would wait for it. */
	else if ((peer.uid != 0 && peer.uid != geteuid()) || peer.pid <= 0)
		r = -EACCES;
	connection->peer.pid = peer.pid;
	connection->peer.uid = peer.uid;
	if (r == 0)
		r = control->ops->begin(control->arg, &connection->peer);
	if (reply(connection, r, NULL) < 0 && r == 0) {
		control->ops->end(control->arg, &connection->peer);
		return -EPIPE;
	}
	return r;
}

static void listen_to(struct connection *connection)
{
	_Alignas(8) uint8_t message[UW_FROM_FILTER_MAX + 8];
	int r = 0;

	while (r >= 0) {
		struct pfs_diag diag = { "" };
		ssize_t n = recv(connection->fd, message, sizeof(message), MSG_TRUNC);
		int type;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (size_t)n > sizeof(message))
			return;
		type = uw_check(UW_CONTROL_FROM_FILTER, message, (size_t)n);
		if (type == UW_MODIFIED)
			on_modified(connection, (const struct uw_command *)message);
		else if (type < 0 || type == UW_HELLO)
			return;
		else
			r = reply(connection, do_command(connection, type, message, &diag), &diag);
	}
}

static void *connection_run(void *arg)
{
	struct connection *connection = arg;
	struct rd_control *control = connection->control;

	if (greet(connection) == 0) {
		listen_to(connection);
		control->ops->end(control->arg, &connection->peer);
	}
	shutdown(connection->fd, SHUT_RDWR);
	pthread_mutex_lock(&control->lock);
	connection->ended = true;
	pthread_cond_broadcast(&control->changed);
	pthread_mutex_unlock(&control->lock);
	return NULL;
}

/* --- connections -------------------------------------------------------------------------------------- */

/* Those that have ended; all: the others, too, which are told to end. Locked. */
static void reap(struct rd_control *control, bool all)
{
	struct connection **at = &control->connections;

	while (*at) {
		struct connection *connection = *at;

		if ((!connection->ended && !all) || connection->asking) {
			at = &connection->next;
			continue;
		}
		*at = connection->next;
		control->n--;
		shutdown(connection->fd, SHUT_RDWR);
		pthread_mutex_unlock(&control->lock);
		pthread_join(connection->thread, NULL);
		close(connection->fd);
		free(connection);
		pthread_mutex_lock(&control->lock);
		at = &control->connections; /* it may have changed */
	}
}

int rd_control_connect(struct rd_control *control, int fd)
{
	struct connection *connection = pfs_zalloc(1, sizeof(*connection));
	int r = connection ? 0 : -ENOMEM;

	pthread_mutex_lock(&control->lock);
	reap(control, false);
	if (control->stopping || control->n >= RD_CONTROL_MAX)
		r = control->stopping ? -ESHUTDOWN : -EMFILE;
	if (r == 0) {
		connection->control = control;
		connection->peer.number = ++control->numbers;
		connection->fd = fd;
		r = -pthread_create(&connection->thread, NULL, connection_run, connection);
	}
	if (r == 0) {
		connection->next = control->connections;
		control->connections = connection;
		control->n++;
	}
	pthread_mutex_unlock(&control->lock);
	if (r < 0) {
		close(fd);
		free(connection);
	}
	return r;
}

static int next_caller(const struct rd_control *control)
{
	/* cppcheck-suppress nullPointer ; accept4(2) takes NULL, NULL: nobody asks who called */
	return accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
}

static void *listen_run(void *arg)
{
	struct rd_control *control = arg;
	/* For the caller for whom there is no descriptor any more: he is hung up on, and does not wait for one. */
	PFS_CLOSE int spare = open("/dev/null", O_RDONLY | O_CLOEXEC);

	for (;;) {
		int fd = next_caller(control);

		if (fd >= 0) {
			rd_control_connect(control, fd);
		} else if (errno == EMFILE || errno == ENFILE) {
			pfs_closep(&spare);
			fd = next_caller(control);
			pfs_closep(&fd);
			spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return NULL; /* shut down */
		}
	}
}

static int control_listen(struct rd_control *control, const char *path, struct pfs_diag *diag)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	PFS_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	mode_t mask;
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return pfs_diag_set(diag, ENAMETOOLONG, "%.120s... is too long for a socket", path);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return pfs_diag_set(diag, EADDRINUSE, "somebody listens at %s already", path);
	if (errno == ECONNREFUSED)
		unlink(path); /* of one that has died */
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 64) < 0 ? -errno
											     : 0;
	umask(mask);
	if (r < 0)
		return pfs_diag_set(diag, -r, "%s: %s", path, strerror(-r));
	snprintf(control->path, sizeof(control->path), "%s", path);
	control->fd = TAKE_FD(fd);
	r = -pthread_create(&control->thread, NULL, listen_run, control);
	control->listening = r == 0;
	return r;
}

int rd_control_new(const struct rd_control_ops *ops, void *arg, const char *path,
		   struct rd_control **ret_control, struct pfs_diag *diag)
{
	struct rd_control *control = pfs_zalloc(1, sizeof(*control));
	pthread_condattr_t attr;
	int r = 0;

	if (!control)
		return -ENOMEM;
	control->ops = ops;
	control->arg = arg;
	control->fd = -1;
	pthread_mutex_init(&control->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&control->changed, &attr);
	pthread_condattr_destroy(&attr);
	*ret_control = control; /* before anybody can connect */
	if (path)
		r = control_listen(control, path, diag);
	if (r < 0) {
		*ret_control = NULL;
		rd_control_free(control);
	}
	return r;
}

int rd_control_channel(struct rd_control *control, uint64_t number, int fd, int memory)
{
	struct uw_channel channel = { { UW_CHANNEL, sizeof(channel) } };
	const struct iovec iov = { &channel, sizeof(channel) };
	struct connection *connection;
	ssize_t n = -ENODEV;

	pthread_mutex_lock(&control->lock);
	connection = control->connections;
	while (connection && connection->peer.number != number)
		connection = connection->next;
	if (connection && !connection->ended)
		n = pfs_socket_send(connection->fd, &iov, 1, MSG_DONTWAIT,
				    (const int[]){ fd, memory }, 2);
	/* It does not read what it is told. */
	if (connection && n < 0)
		shutdown(connection->fd, SHUT_RDWR);
	pthread_mutex_unlock(&control->lock);
	return n < 0 ? (int)n : 0;
}

void rd_control_free(struct rd_control *control)
{
	if (!control)
		return;
	pthread_mutex_lock(&control->lock);
	control->stopping = true;
	pthread_mutex_unlock(&control->lock);
	if (control->listening) {
		shutdown(control->fd, SHUT_RDWR);
		pthread_join(control->thread, NULL);
	}
	pthread_mutex_lock(&control->lock);
	reap(control, true);
	pthread_mutex_unlock(&control->lock);
	if (control->fd >= 0)
		unlink(control->path);
	pfs_closep(&control->fd);
	pthread_cond_destroy(&control->changed);
	pthread_mutex_destroy(&control->lock);
	free(control);
}

/* --- the modifier --------------------------------------------------------------------------------------- */

static struct connection *find_connection(struct rd_control *control, uint64_t number,
					  const char *name, uint32_t *ret_id)
{
	for (struct connection *connection = control->connections; connection;
	     connection = connection->next)
		for (uint32_t i = 0; i < URFS_FILTERS_MAX && !connection->ended; i++)
			if ((!number || connection->peer.number == number) &&
			    strcmp(connection->name[i], name) == 0) {
				*ret_id = i;
				return connection;
			}
	return NULL;
}

static int send_modify(struct connection *connection, uint32_t id, const union rfs_mod *mod)
{
	const char *path = mod->id == RFS_SET_PATH ? mod->set_path.path_info.path : NULL;
	struct uw_command command = { .head.type = UW_MODIFY,
				      .filter = id,
				      .value = (int)mod->id,
				      .active = connection->question };
	struct iovec iov[2] = { { &command, sizeof(command) },
				{ (void *)path, path ? strlen(path) + 1 : 0 } };
	ssize_t n;

	if (iov[1].iov_len > PATH_MAX)
		return -ENAMETOOLONG;
	command.text_size = (uint32_t)iov[1].iov_len;
	command.head.size = (uint32_t)(sizeof(command) + iov[1].iov_len);
	command.policy = path ? mod->set_path.path_info.flags : 0;
	n = pfs_socket_send(connection->fd, iov, path ? 2 : 1, MSG_DONTWAIT, NULL, 0);
	return n < 0 ? (int)n : 0;
}

int rd_control_modify(struct rd_control *control, uint64_t number, const char *name,
		      const union rfs_mod *mod, uint64_t deadline)
{
	const struct timespec until = pfs_clock_in(deadline);
	struct connection *connection;
	uint32_t id;
	int r = -ENOENT;

	pthread_mutex_lock(&control->lock);
	connection = find_connection(control, number, name, &id);
	if (connection && connection->asking) {
		r = -EBUSY;
	} else if (connection) {
		connection->asking = true;
		connection->answered = false;
		connection->question++;
		r = send_modify(connection, id, mod);
		while (r == 0 && !connection->answered && !connection->ended)
			r = -pthread_cond_timedwait(&control->changed, &control->lock, &until);
		if (connection->answered)
			r = connection->answer;
		else if (r == 0)
			r = -ENODEV;
		connection->asking = false;
	}
	pthread_mutex_unlock(&control->lock);
	return r;
}
