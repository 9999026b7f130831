#include "redir/serve.h"

#include <stdio.h>

#include "redir/control.h"
#include "redir/remote.h"
#include "urfs/wire.h"

/* What a connection has registered. */
struct served {
	struct rd_hook *hook; /* a reference; NULL: not registered */
	char name[RD_NAME_MAX];
};

struct session {
	struct rd_remote *remote;
	struct served filters[URFS_FILTERS_MAX];
};

struct rd_server {
	struct rd_config *config;
	struct rd_control *control;
};

static int do_register(struct rd_server *server, struct session *session,
		       const struct uw_command *command, struct pfs_diag *diag)
{
	const struct rd_filter_desc desc = {
		.name = command->text,
		.priority = command->value,
		.active = command->active != 0,
		.policy = command->policy,
		.deadline = (uint64_t)command->deadline_ms * 1000000,
	};
	struct served *served = &session->filters[command->filter];
	struct rd_hook *hook;
	int r = rd_config_add(server->config, &desc, diag);

	if (r < 0)
		return r;
	r = rd_remote_hook(session->remote, command->filter, &hook);
	if (r == 0)
		r = rd_config_hook(server->config, desc.name, hook);
	if (r < 0)
		return r;
	served->hook = hook;
	snprintf(served->name, sizeof(served->name), "%s", desc.name);
	return 0;
}

/* remove: it goes; else it stays, without a hook. */
static void leave(struct rd_server *server, struct served *served, bool remove)
{
	struct rd_hook *hook = TAKE_PTR(served->hook);

	rd_config_hook(server->config, served->name, NULL);
	if (remove)
		rd_config_remove(server->config, served->name);
	rd_hook_unref(hook); /* who is in it holds it */
}

static int on_command(void *arg, struct rd_peer *peer, int type, const char *name,
		      const void *message, struct pfs_diag *diag)
{
	struct rd_server *server = arg;
	struct session *session = peer->session;
	const struct uw_command *command = message;
	struct rd_wants wants;

	switch (type) {
	case UW_REGISTER:
		return do_register(server, session, command, diag);
	case UW_READY:
		rd_remote_ready(session->remote, command->value != 0);
		return 0;
	case UW_UNREGISTER:
		leave(server, &session->filters[command->filter], true);
		return 0;
	case UW_ACTIVATE:
		return rd_config_activate(server->config, name, command->value != 0);
	case UW_PATH: {
		const struct rd_rule_desc rule = { command->text,
						   (command->value & RFS_PATH_INCLUDE) != 0,
						   (command->value & RFS_PATH_SUBTREE) != 0 };

		return rd_config_add_rule(server->config, name, &rule, diag);
	}
	default:
		memcpy(&wants, &((const struct uw_want *)message)->wants, sizeof(wants));
		rd_hook_set_wants(server->config, session->filters[command->filter].hook, &wants);
		return 0;
	}
}

/* One channel, for all that it registers. */
static int on_begin(void *arg, struct rd_peer *peer)
{
	struct rd_server *server = arg;
	struct session *session = pfs_zalloc(1, sizeof(*session));
	PFS_CLOSE int fd = -1;
	PFS_CLOSE int memory = -1;
	int r = session ? rd_remote_new(peer->pid, &session->remote, &fd, &memory) : -ENOMEM;

	if (r == 0)
		r = rd_control_channel(server->control, peer->number, fd, memory);
	if (r < 0) {
		if (session)
			rd_remote_free(session->remote);
		free(session);
		return r;
	}
	peer->session = session;
	return 0;
}

static void on_end(void *arg, struct rd_peer *peer)
{
	struct session *session = peer->session;

	rd_remote_free(TAKE_PTR(session->remote));
	for (size_t i = 0; i < URFS_FILTERS_MAX; i++)
		if (session->filters[i].hook)
			leave(arg, &session->filters[i], false);
	free(session);
}

static const struct rd_control_ops ops = { .begin = on_begin, .command = on_command, .end = on_end };

int rd_server_new(struct rd_config *config, const char *path, struct rd_server **ret_server,
		  struct pfs_diag *diag)
{
	struct rd_server *server = pfs_zalloc(1, sizeof(*server));
	int r;

	if (!server)
		return -ENOMEM;
	server->config = config;
	r = rd_control_new(&ops, server, path, &server->control, diag);
	if (r < 0) {
		free(server);
		return r;
	}
	*ret_server = server;
	return 0;
}

int rd_server_connect(struct rd_server *server, int fd)
{
	return rd_control_connect(server->control, fd);
}

void rd_server_free(struct rd_server *server)
{
	if (!server)
		return;
	rd_control_free(server->control);
	free(server);
}

int rd_server_modify(struct rd_server *server, const char *name, const union rfs_mod *mod,
		     uint64_t deadline)
{
	return rd_control_modify(server->control, 0, name, mod, deadline);
}
