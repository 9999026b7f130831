#include "redir/serve.h"

#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/socket.h"
#include "redir/remote.h"
#include "urfs/wire.h"

#define CONNECTIONS_MAX 256

struct served {
	struct rd_hook *hook; /* a reference; NULL: not registered */
	char name[RD_NAME_MAX];
};

struct connection {
	struct connection *next;
	struct rd_server *server;
	int fd;
	pthread_t thread;
	bool ended; /* under the server's lock: the thread may be joined */
	struct rd_remote *remote;
	struct served filters[URFS_FILTERS_MAX]; /* changed by its thread, under the server's lock */
	/* A question to its modifier; under the server's lock. */
	bool asking, answered;
	int answer;
};

struct rd_server {
	struct rd_config *config;
	int fd; /* -1: does not listen */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pthread_t thread;
	bool listening;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool stopping;
	unsigned n;
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

static int do_register(struct connection *connection, const struct uw_command *command,
		       struct pfs_diag *diag)
{
	const struct rd_filter_desc desc = {
		.name = command->text,
		.priority = command->value,
		.active = command->active != 0,
		.policy = command->policy,
		.deadline = (uint64_t)command->deadline_ms * 1000000,
	};
	struct served *served = &connection->filters[command->filter];
	struct rd_hook *hook;
	int r;

	if (served->hook)
		return -EEXIST;
	r = rd_config_add(connection->server->config, &desc, diag);
	if (r < 0)
		return r;
	r = rd_remote_hook(connection->remote, command->filter, &hook);
	if (r == 0)
		r = rd_config_hook(connection->server->config, desc.name, hook);
	if (r < 0)
		return r;
	pthread_mutex_lock(&connection->server->lock);
	served->hook = hook;
	snprintf(served->name, sizeof(served->name), "%s", desc.name);
	pthread_mutex_unlock(&connection->server->lock);
	return 0;
}

/* remove: it goes; else it stays, without a hook. */
static void leave(struct connection *connection, struct served *served, bool remove)
{
	struct rd_hook *hook;

	rd_config_hook(connection->server->config, served->name, NULL);
	if (remove)
		rd_config_remove(connection->server->config, served->name);
	pthread_mutex_lock(&connection->server->lock);
	hook = TAKE_PTR(served->hook);
	pthread_mutex_unlock(&connection->server->lock);
	rd_hook_drain(hook);
	rd_hook_unref(hook);
}

static int do_command(struct connection *connection, int type, const void *message,
		      struct pfs_diag *diag)
{
	struct rd_config *config = connection->server->config;
	const struct uw_command *command = message; /* of a WANT, too, the filter is in its place */
	struct served *served = &connection->filters[command->filter];
	struct rd_wants wants;

	if (type == UW_REGISTER)
		return do_register(connection, command, diag);
	if (type == UW_READY) {
		rd_remote_ready(connection->remote, command->value != 0);
		return 0;
	}
	if (!served->hook)
		return -ENODEV;
	switch (type) {
	case UW_UNREGISTER:
		leave(connection, served, true);
		return 0;
	case UW_ACTIVATE:
		return rd_config_activate(config, served->name, command->value != 0);
	case UW_PATH: {
		const struct rd_rule_desc rule = { command->text,
						   (command->value & RFS_PATH_INCLUDE) != 0,
						   (command->value & RFS_PATH_SUBTREE) != 0 };

		return rd_config_add_rule(config, served->name, &rule, diag);
	}
	default:
		memcpy(&wants, &((const struct uw_want *)message)->wants, sizeof(wants));
		rd_hook_set_wants(config, served->hook, &wants);
		return 0;
	}
}

static void on_modified(struct connection *connection, int answer)
{
	struct rd_server *server = connection->server;

	pthread_mutex_lock(&server->lock);
	if (connection->asking) {
		connection->answered = true;
		connection->answer = answer > 0 || answer < -4095 ? -EPROTO : answer;
		pthread_cond_broadcast(&server->changed);
	}
	pthread_mutex_unlock(&server->lock);
}

/* The first message, and what it gets: a reply, and its channel. */
static int greet(struct connection *connection)
{
	struct uw_hello hello;
	struct uw_channel channel = { { UW_CHANNEL, sizeof(channel) } };
	const struct iovec iov = { &channel, sizeof(channel) };
	PFS_CLOSE int fd = -1;
	PFS_CLOSE int memory = -1;
	struct ucred peer = { 0 };
	socklen_t size = sizeof(peer);
	ssize_t n = recv(connection->fd, &hello, sizeof(hello), 0);
	int r = 0;

	if (n <= 0 || uw_check(UW_CONTROL_FROM_FILTER, &hello, (size_t)n) != UW_HELLO ||
	    !uw_hello_same(&hello))
		r = -EPROTO;
	else if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
		r = -errno;
	else if (peer.uid != 0 && peer.uid != geteuid())
		r = -EACCES;
	if (r == 0)
		r = rd_remote_new(peer.pid, &connection->remote, &fd, &memory);
	if (r == 0) {
		ssize_t sent =
			pfs_socket_send(connection->fd, &iov, 1, 0, (const int[]){ fd, memory }, 2);

		r = sent < 0 ? (int)sent : 0;
	}
	reply(connection, r, NULL);
	return r;
}

static void *connection_run(void *arg)
{
	struct connection *connection = arg;
	_Alignas(8) uint8_t message[UW_FROM_FILTER_MAX + 8];
	int r = greet(connection);

	while (r >= 0) {
		struct pfs_diag diag = { "" };
		ssize_t n = recv(connection->fd, message, sizeof(message), MSG_TRUNC);
		int type;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (size_t)n > sizeof(message))
			break;
		type = uw_check(UW_CONTROL_FROM_FILTER, message, (size_t)n);
		if (type == UW_MODIFIED)
			on_modified(connection, ((const struct uw_command *)message)->value);
		else if (type < 0 || type == UW_HELLO)
			break;
		else
			r = reply(connection, do_command(connection, type, message, &diag), &diag);
	}
	rd_remote_free(TAKE_PTR(connection->remote));
	for (size_t i = 0; i < URFS_FILTERS_MAX; i++)
		if (connection->filters[i].hook)
			leave(connection, &connection->filters[i], false);
	shutdown(connection->fd, SHUT_RDWR);
	pthread_mutex_lock(&connection->server->lock);
	connection->ended = true;
	pthread_cond_broadcast(&connection->server->changed);
	pthread_mutex_unlock(&connection->server->lock);
	return NULL;
}

/* --- connections -------------------------------------------------------------------------------------- */

/* Those that have ended; all: the others, too, which are told to end. Locked. */
static void reap(struct rd_server *server, bool all)
{
	struct connection **at = &server->connections;

	while (*at) {
		struct connection *connection = *at;

		if ((!connection->ended && !all) || connection->asking) {
			at = &connection->next;
			continue;
		}
		*at = connection->next;
		server->n--;
		shutdown(connection->fd, SHUT_RDWR);
		pthread_mutex_unlock(&server->lock);
		pthread_join(connection->thread, NULL);
		close(connection->fd);
		free(connection);
		pthread_mutex_lock(&server->lock);
		at = &server->connections; /* it may have changed */
	}
}

int rd_server_connect(struct rd_server *server, int fd)
{
	struct connection *connection = pfs_zalloc(1, sizeof(*connection));
	int r = connection ? 0 : -ENOMEM;

	pthread_mutex_lock(&server->lock);
	reap(server, false);
	if (server->stopping || server->n >= CONNECTIONS_MAX)
		r = server->stopping ? -ESHUTDOWN : -EMFILE;
	if (r == 0) {
		connection->server = server;
		connection->fd = fd;
		r = -pthread_create(&connection->thread, NULL, connection_run, connection);
	}
	if (r == 0) {
		connection->next = server->connections;
		server->connections = connection;
		server->n++;
	}
	pthread_mutex_unlock(&server->lock);
	if (r < 0) {
		close(fd);
		free(connection);
	}
	return r;
}

static void *listen_run(void *arg)
{
	struct rd_server *server = arg;

	for (;;) {
		/* cppcheck-suppress nullPointer ; accept4(2) takes NULL, NULL: nobody asks who called */
		int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			rd_server_connect(server, fd);
		else if (errno != EINTR && errno != ECONNABORTED && errno != EMFILE && errno != ENFILE)
			return NULL; /* shut down */
	}
}

static int server_listen(struct rd_server *server, const char *path, struct pfs_diag *diag)
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
	snprintf(server->path, sizeof(server->path), "%s", path);
	server->fd = TAKE_FD(fd);
	r = -pthread_create(&server->thread, NULL, listen_run, server);
	server->listening = r == 0;
	return r;
}

int rd_server_new(struct rd_config *config, const char *path, struct rd_server **ret_server,
		  struct pfs_diag *diag)
{
	struct rd_server *server = pfs_zalloc(1, sizeof(*server));
	pthread_condattr_t attr;
	int r = 0;

	if (!server)
		return -ENOMEM;
	server->config = config;
	server->fd = -1;
	pthread_mutex_init(&server->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&server->changed, &attr);
	pthread_condattr_destroy(&attr);
	if (path)
		r = server_listen(server, path, diag);
	if (r < 0) {
		rd_server_free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

void rd_server_free(struct rd_server *server)
{
	if (!server)
		return;
	pthread_mutex_lock(&server->lock);
	server->stopping = true;
	pthread_mutex_unlock(&server->lock);
	if (server->listening) {
		shutdown(server->fd, SHUT_RDWR);
		pthread_join(server->thread, NULL);
	}
	pthread_mutex_lock(&server->lock);
	reap(server, true);
	pthread_mutex_unlock(&server->lock);
	if (server->fd >= 0)
		unlink(server->path);
	pfs_closep(&server->fd);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

/* --- the modifier --------------------------------------------------------------------------------------- */

static struct connection *find_connection(struct rd_server *server, const char *name, uint32_t *ret_id)
{
	for (struct connection *connection = server->connections; connection;
	     connection = connection->next)
		for (uint32_t i = 0; i < URFS_FILTERS_MAX && !connection->ended; i++)
			if (connection->filters[i].hook &&
			    strcmp(connection->filters[i].name, name) == 0) {
				*ret_id = i;
				return connection;
			}
	return NULL;
}

static int send_modify(struct connection *connection, uint32_t id, const union rfs_mod *mod)
{
	const char *path = mod->id == RFS_SET_PATH ? mod->set_path.path_info.path : NULL;
	struct uw_command command = { .head.type = UW_MODIFY, .filter = id, .value = (int)mod->id };
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

int rd_server_modify(struct rd_server *server, const char *name, const union rfs_mod *mod,
		     uint64_t deadline)
{
	uint64_t at = pfs_clock_mono() + deadline;
	const struct timespec until = { (time_t)(at / RD_SECOND), (long)(at % RD_SECOND) };
	struct connection *connection;
	uint32_t id;
	int r = -ENOENT;

	pthread_mutex_lock(&server->lock);
	connection = find_connection(server, name, &id);
	if (connection && connection->asking) {
		r = -EBUSY;
	} else if (connection) {
		connection->asking = true;
		connection->answered = false;
		r = send_modify(connection, id, mod);
		while (r == 0 && !connection->answered && !connection->ended)
			r = -pthread_cond_timedwait(&server->changed, &server->lock, &until);
		if (connection->answered)
			r = connection->answer;
		else if (r == 0)
			r = -ENODEV;
		connection->asking = false;
	}
	pthread_mutex_unlock(&server->lock);
	return r;
}
