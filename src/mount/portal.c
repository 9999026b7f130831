/*
 * portal - names of portals
 */
#include "mount/portal_i.h"

#include <fcntl.h>
#include <stdio.h>

#include "mount/ops_i.h"

static void portal_dir_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	pfs_portal_stat(true, st);
	st->st_uid = getuid();
	st->st_gid = getgid();
}

static void portal_attr(struct pfs_mount *mount, struct pfs_entry *entry, struct stat *st)
{
	pfs_portal_stat(false, st);
	st->st_uid = getuid();
	st->st_gid = getgid();
}

/* Anything may be in it, so nothing is listed, as in portalfs. */
static int portal_list(struct pfs_mount *mount, struct pfs_entry *dir, struct pfs_listing *listing)
{
	return 0;
}

const struct pfs_kind pfs_kind_portal_dir = {
	.directory = true,
	.attr = portal_dir_attr,
	.list = portal_list,
};

const struct pfs_kind pfs_kind_portal = {
	.attr = portal_attr,
	.open = pfs_portal_open_request,
	.read = pfs_portal_read,
	.write = pfs_channel_write,
	.write_at = pfs_portal_write,
	.poll = pfs_channel_poll,
	.ioctl = pfs_portal_ioctl,
	.flush = pfs_portal_flush,
	.release = pfs_portal_release,
};

#define NAMED_INOS ((uint64_t)1 << 62)

/* --- entries ---------------------------------------------------------------------------- */

/* Takes over text and raw in any case. */
static void reply_name(struct pfs_mount *mount, fuse_req_t req, bool directory, char *text,
		       char *raw, int flags)
{
	struct pfs_entry like = {
		.kind = directory ? &pfs_kind_portal_dir : &pfs_kind_portal,
		.text = text,
		.raw = raw,
		.which = flags,
	};
	struct pfs_entry *entry;
	int r;

	/* The same each time: cp, rm and others compare what they saw with what they opened. */
	like.ino = NAMED_INOS | pfs_gate_hash(mount->gate, text) >> 4;
	r = directory ? pfs_inode_named(mount, &like, pfs_gate_hash(mount->gate, text), &entry)
		      : pfs_inode_file(mount, &like, &entry);
	if (r < 0) {
		free(text);
		free(raw);
		fuse_reply_err(req, -r);
		return;
	}
	pfs_reply_entry(mount, req, entry);
}

/* --- a name that the caller's path decides about -------------------------------------------- */

struct asking {
	struct pfs_task task;
	enum pfs_portal_shape shape;
	enum pfs_answer answer;
	char *text, *raw; /* owned */
	int flags;
};

static int ask_act(struct pfs_task *task)
{
	struct asking *asking = CONTAINER_OF(task, struct asking, task);

	asking->answer = pfs_portal_asked(task->mount->gate, task->cred.pid, asking->text,
					  &asking->raw, &asking->flags);
	return 0;
}

/* Was it opened as a file just now, by the same thread? Then it is one. */
static bool flipped(struct pfs_gate *gate, pid_t tid, const char *text)
{
	uint64_t hash = pfs_gate_hash(gate, text), now = pfs_clock_mono();
	bool found = false;

	pthread_mutex_lock(&gate->lock);
	for (size_t i = 0; i < PFS_FLIPS; i++)
		found |= gate->flips[i].tid == tid && gate->flips[i].hash == hash &&
			 now < gate->flips[i].at + 1000000000ULL;
	pthread_mutex_unlock(&gate->lock);
	return found;
}

static void ask_reply(struct pfs_task *task, fuse_req_t req, int result)
{
	struct asking *asking = CONTAINER_OF(task, struct asking, task);
	bool directory = asking->answer == PFS_ANSWER_DIR;

	if (asking->answer == PFS_ANSWER_UNKNOWN)
		directory = asking->shape == PFS_SHAPE_OPEN &&
			    !flipped(task->mount->gate, task->cred.pid, asking->text);
	reply_name(task->mount, req, directory, TAKE_PTR(asking->text), TAKE_PTR(asking->raw),
		   asking->flags);
}

static void ask_undo(struct pfs_task *task)
{
	(void)task;
}

static void ask_late(struct pfs_task *task, int error)
{
	struct pfs_diag diag;

	pfs_diag_set(&diag, error, "the memory that holds the path does not answer");
	pfs_refuse(task->mount, &task->cred, pfs_graph_root(task->mount->graph),
		   CONTAINER_OF(task, struct asking, task)->text, error, &diag);
}

static void ask_free(struct pfs_task *task)
{
	struct asking *asking = CONTAINER_OF(task, struct asking, task);

	free(asking->text);
	free(asking->raw);
	free(asking);
}

static void ask(struct pfs_mount *mount, fuse_req_t req, enum pfs_portal_shape shape, char *text)
{
	struct asking *asking = pfs_zalloc(1, sizeof(*asking));

	if (!asking) {
		free(text);
		fuse_reply_err(req, ENOMEM);
		return;
	}
	asking->task.act = ask_act;
	asking->task.reply = ask_reply;
	asking->task.undo = ask_undo;
	asking->task.late = ask_late;
	asking->task.free = ask_free;
	asking->task.pool = &mount->gate->asks;
	asking->shape = shape;
	asking->text = text;
	pfs_task_start(mount, &asking->task, req);
}

void pfs_portal_lookup(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *dir, const char *name)
{
	struct pfs_portal_rules *rules = mount->gate ? pfs_gate_rules(mount->gate) : NULL;
	enum pfs_portal_shape shape = PFS_SHAPE_NONE;
	PFS_BUF struct pfs_buf text = { 0 };

	if (dir->text)
		pfs_buf_printf(&text, "%s/", dir->text);
	pfs_buf_str(&text, name);
	if (rules && !text.failed)
		shape = pfs_portal_shape(rules, text.data);
	pfs_portal_rules_unref(rules);
	if (text.failed || text.len > PFS_PORTAL_TEXT_MAX)
		fuse_reply_err(req, text.failed ? ENOMEM : ENAMETOOLONG);
	else if (shape == PFS_SHAPE_NONE)
		fuse_reply_err(req, ENOENT);
	else if (shape == PFS_SHAPE_DIR || shape == PFS_SHAPE_FILE)
		reply_name(mount, req, shape == PFS_SHAPE_DIR, TAKE_PTR(text.data), NULL, 0);
	else
		ask(mount, req, shape, TAKE_PTR(text.data));
}

bool pfs_portal_flip(struct pfs_mount *mount, fuse_req_t req, struct pfs_entry *entry, int flags)
{
	struct pfs_gate *gate = mount->gate;
	struct pfs_portal_rules *rules;
	enum pfs_portal_shape shape;

	if (entry->kind != &pfs_kind_portal_dir || flags & O_DIRECTORY)
		return false;
	rules = pfs_gate_rules(gate);
	shape = pfs_portal_shape(rules, entry->text);
	pfs_portal_rules_unref(rules);
	if (shape != PFS_SHAPE_OPEN)
		return false;
	pthread_mutex_lock(&gate->lock);
	gate->flips[gate->next_flip].tid = fuse_req_ctx(req)->pid;
	gate->flips[gate->next_flip].hash = pfs_gate_hash(gate, entry->text);
	gate->flips[gate->next_flip].at = pfs_clock_mono();
	gate->next_flip = (gate->next_flip + 1) % PFS_FLIPS;
	pthread_mutex_unlock(&gate->lock);
	return true;
}

bool pfs_portal_is(struct pfs_mount *mount, const char *name)
{
	struct pfs_portal_rules *rules = mount->gate ? pfs_gate_rules(mount->gate) : NULL;
	bool is = rules && pfs_portal_shape(rules, name) != PFS_SHAPE_NONE;

	pfs_portal_rules_unref(rules);
	return is;
}

void pfs_portal_names(struct pfs_mount *mount, struct pfs_listing *listing)
{
	struct pfs_portal_rules *rules = mount->gate ? pfs_gate_rules(mount->gate) : NULL;

	for (size_t i = 0; rules && i < pfs_portal_rules_names(rules); i++)
		pfs_listing_add(listing, pfs_portal_rules_name(rules, i),
				atomic_fetch_add(&mount->inodes.next_ino, 1), S_IFDIR);
	pfs_portal_rules_unref(rules);
}
