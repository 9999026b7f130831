#include "redir/join.h"

#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "redir/control.h"
#include "urfs/wire.h"

struct rd_join {
	struct rd_join_options options;
	struct rd_control *control;
	_Atomic bool ending; /* the mount ends: filters go with the herd */
};

/* What a process asks for, as a change of the registry. */
struct change {
	int type;
	const char *name;
	const struct rd_peer *peer;
	const struct uw_command *command;
	const struct urfs_wants *wants;
	struct rd_rule_new rule;
};

static int do_register(const struct change *change, struct rd_registry *next, struct pfs_diag *diag)
{
	const struct uw_command *command = change->command;
	const struct rd_joining joining = {
		.name = change->name,
		.priority = command->value,
		.active = command->active != 0,
		.policy = command->policy,
		.deadline = (uint64_t)command->deadline_ms * 1000000,
		.peer = change->peer->number,
		.pid = change->peer->pid,
		.uid = change->peer->uid,
		.id = command->filter,
	};

	if (joining.policy > RD_FAIL_OPEN || joining.policy < -4095)
		return pfs_diag_set(diag, EINVAL, "there is no policy %d", joining.policy);
	if (joining.deadline > RD_DEADLINE_MAX)
		return pfs_diag_set(diag, EINVAL, "a deadline is not above an hour");
	return rd_registry_join(next, &joining, diag);
}

static int change_do(void *arg, struct rd_registry *next, struct pfs_diag *diag)
{
	const struct change *change = arg;
	struct rd_registered *filter = NULL;
	int r;

	if (change->type == UW_REGISTER)
		return do_register(change, next, diag);
	if (change->type == UW_READY)
		return rd_registry_ready(next, change->peer->number, change->command->value != 0);
	r = rd_registry_joined(next, change->peer->number, change->name, &filter, diag);
	if (r < 0)
		return r;
	switch (change->type) {
	case UW_UNREGISTER:
		return rd_registry_remove(next, change->name, diag);
	case UW_ACTIVATE:
		filter->active = change->command->value != 0;
		return 0;
	case UW_PATH:
		return rd_registered_rule_add(filter, &change->rule, diag);
	default:
		memcpy(&filter->wants, change->wants, sizeof(filter->wants));
		return 0;
	}
}

static int place(const struct rd_join *join, struct change *change, struct pfs_diag *diag)
{
	change->rule.desc = (struct rd_rule_desc){
		.path = strdup(change->command->text),
		.include = (change->command->value & RFS_PATH_INCLUDE) != 0,
		.subtree = (change->command->value & RFS_PATH_SUBTREE) != 0,
	};
	return change->rule.desc.path ? join->options.place(join->options.arg, &change->rule, diag)
				      : -ENOMEM;
}

static int on_command(void *arg, struct rd_peer *peer, int type, const char *name,
		      const void *message, struct pfs_diag *diag)
{
	struct rd_join *join = arg;
	struct change change = { .type = type, .name = name, .peer = peer, .command = message };
	int r = 0;

	if (type == UW_WANT)
		change.wants = &((const struct uw_want *)message)->wants;
	if (type == UW_PATH)
		r = place(join, &change, diag);
	if (r == 0)
		r = rd_herd_change(join->options.herd, change_do, &change, diag);
	if (r == 0 && type == UW_UNREGISTER)
		join->options.left(join->options.arg, name);
	free((char *)(uintptr_t)change.rule.desc.path);
	free((char *)(uintptr_t)change.rule.tree);
	return r;
}

static int on_begin(void *arg, struct rd_peer *peer)
{
	const struct rd_join *join = arg;

	(void)peer;
	return join->ending ? -ESHUTDOWN : 0;
}

/* --- its end --------------------------------------------------------------------------------- */

struct looked {
	uint64_t peer;
	struct pfs_buf names;
};

static void look_names(void *arg, const struct rd_registry *now)
{
	struct looked *looked = arg;

	for (size_t i = 0; i < now->n; i++)
		if (now->filter[i]->peer == looked->peer)
			pfs_buf_printf(&looked->names, "%s%s", looked->names.len ? ", " : "",
				       now->filter[i]->name);
}

static void on_end(void *arg, struct rd_peer *peer)
{
	struct rd_join *join = arg;
	struct looked looked = { .peer = peer->number };
	PFS_BUF struct pfs_buf text = { 0 };

	if (join->ending)
		return;
	rd_herd_look(join->options.herd, look_names, &looked);
	if (looked.names.len) {
		rd_herd_lose(join->options.herd, peer->number);
		pfs_buf_printf(&text,
			       "process %ld has ended without a word: its filters fail by their policy: ",
			       (long)peer->pid);
		pfs_buf_add(&text, looked.names.data, looked.names.len);
		if (!text.failed)
			join->options.say(join->options.arg, text.data);
	}
	pfs_buf_release(&looked.names);
}

static const struct rd_control_ops ops = { .begin = on_begin, .command = on_command, .end = on_end };

/* --- the modifier ------------------------------------------------------------------------------ */

struct asked {
	const char *name;
	uint64_t peer, deadline;
};

static void look_peer(void *arg, const struct rd_registry *now)
{
	struct asked *asked = arg;
	const struct rd_registered *filter = rd_registry_find(now, asked->name);

	asked->peer = filter ? filter->peer : 0;
	asked->deadline = filter ? filter->deadline : 0;
}

int rd_join_modify(struct rd_join *join, const char *name, const union rfs_mod *mod,
		   struct pfs_diag *diag)
{
	struct asked asked = { .name = name };
	int r;

	if (!join)
		return 0;
	rd_herd_look(join->options.herd, look_peer, &asked);
	if (!asked.peer)
		return 0;
	r = rd_control_modify(join->control, asked.peer, name, mod, asked.deadline);
	if (r == -EOPNOTSUPP)
		return pfs_diag_set(
			diag, EPERM,
			"the filter '%s' lets nobody change it: it has no modifier callback", name);
	if (r == -ETIMEDOUT)
		return pfs_diag_set(
			diag, ETIMEDOUT,
			"the process of the filter '%s' does not say whether it may be changed", name);
	/* It has died meanwhile. */
	if (r == -ENODEV || r == -ENOENT)
		return 0;
	return r < 0 ? pfs_diag_set(diag, -r, "the filter '%s' refuses: %s", name, strerror(-r)) : 0;
}

/* --- beginning and end --------------------------------------------------------------------------- */

static int hand(void *arg, uint64_t peer, int fd, int memory)
{
	struct rd_join *join = arg;

	return rd_control_channel(join->control, peer, fd, memory);
}

/* The directory that the socket is in, if it is not there; not those above it. */
static void make_directory(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash && slash > path && (size_t)(slash - path) < sizeof(dir)) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
		(void)mkdir(dir, 0755); /* what is wrong is said when it is bound */
	}
}

int rd_join_new(const struct rd_join_options *options, struct rd_join **ret_join, struct pfs_diag *diag)
{
	struct rd_join *join = pfs_zalloc(1, sizeof(*join));
	int r;

	if (!join)
		return -ENOMEM;
	join->options = *options;
	make_directory(options->path);
	/* Who connects at once finds everything. */
	rd_herd_hand(options->herd, hand, join);
	r = rd_control_new(&ops, join, options->path, &join->control, diag);
	if (r < 0) {
		rd_herd_hand(options->herd, NULL, NULL);
		free(join);
		return r;
	}
	*ret_join = join;
	return 0;
}

void rd_join_free(struct rd_join *join)
{
	if (!join)
		return;
	join->ending = true;
	rd_herd_hand(join->options.herd, NULL, NULL);
	rd_control_free(join->control);
	free(join);
}
