/*
 * layer_request - a request: done at once, or put on the heap and led through its chain
 */
#include "redir/layer_i.h"

#include <sys/syscall.h>

/*
 * What kills set-id bits when it is done by somebody without CAP_FSETID. Of chown(2) the kernel says so of everybody,
 * but one bit stays if he has the right: set-gid of a file that its group may not execute.
 */
static bool kills(const struct rd_req *r)
{
#ifdef HAVE_FUSE_PASSTHROUGH
	int valid = r->call.arg.attr.valid;

	/* Of these the kernel says nothing. */
	if (r->call.op == RD_FALLOCATE || r->call.op == RD_COPY_FILE_RANGE)
		return !rd_keeps_setid(r->layer, r->call.caller.pid);
	if (r->call.op != RD_SETATTR)
		return r->fi.kill_suidgid;
	if (valid & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		return !rd_keeps_setid(r->layer, r->call.caller.pid);
	return valid & (FUSE_SET_ATTR_KILL_SUID | FUSE_SET_ATTR_KILL_SGID);
#else
	(void)r;
	return false;
#endif
}

void rd_req_init(struct rd_req *r, fuse_req_t req, enum rd_op op, fuse_ino_t ino)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	rd_thread_own();
	memset(r, 0, sizeof(*r));
	r->layer = rd_layer_of(req);
	r->req = req;
	r->umask = ctx->umask & 0777;
	r->call.op = op;
	r->call.caller = (struct rd_caller){ .pid = ctx->pid, .uid = ctx->uid, .gid = ctx->gid };
	r->call.object = rd_object_of(r->layer, ino);
	r->call.type = r->call.object->type;
	atomic_fetch_add_explicit(&r->layer->requests, 1, memory_order_relaxed);
}

/* --- answering ------------------------------------------------------------------------ */

void rd_reply_ok(struct rd_req *r)
{
	fuse_reply_err(r->req, 0);
}

void rd_reply_entry(struct rd_req *r)
{
	if (!r->found) {
		/* A filter said that it is there, but nobody has looked. */
		fuse_reply_err(r->req, EIO);
		return;
	}
	r->found = NULL;
	if (fuse_reply_entry(r->req, &r->entry) == -ENOENT)
		rd_object_unref(r->layer, (struct rd_object *)r->entry.ino, 1);
}

static void answer(struct rd_req *r)
{
	/* Before it is said: who is told that it was refused finds nothing of it. */
	if (r->made && r->call.result < 0)
		rd_entry_undo(r);
	if (r->call.result < 0)
		fuse_reply_err(r->req, (int)-r->call.result);
	else
		r->reply(r);
	/* What was found or opened and told to nobody. */
	rd_entry_drop(r);
	if (r->opened)
		rd_file_free(r->layer, TAKE_PTR(r->opened));
	if (r->closing)
		rd_file_free(r->layer, TAKE_PTR(r->closing));
	free(TAKE_PTR(r->out));
}

/* Is it about a name in call.object, or about call.object itself? */
static bool by_name(const struct rd_req *r)
{
	switch (r->call.op) {
	case RD_LOOKUP:
	case RD_MKNOD:
	case RD_MKDIR:
	case RD_UNLINK:
	case RD_RMDIR:
	case RD_SYMLINK:
	case RD_RENAME:
		return true;
	case RD_CREATE:
		return r->name;
	default:
		return false;
	}
}

/* What a chain is told of an open file. */
static void tell_open(struct rd_req *r, const struct rd_file *file)
{
	const struct rd_object *object = file->object;
	uint64_t generation = object->btime;

	if (fstat(file->fd, &r->call.arg.open.stat) < 0)
		memset(&r->call.arg.open.stat, 0, sizeof(r->call.arg.open.stat));
	if (object->handle_len)
		generation = pfs_hash_bytes(&r->layer->seed, (uint64_t)object->handle_type,
					    object->handle, object->handle_len);
	r->call.arg.open.generation = generation;
}

static int open_file(struct rd_call *call)
{
	struct rd_req *r = CONTAINER_OF(call, struct rd_req, call);
	const struct rd_file *file = r->opened ? r->opened : call->file;
	int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, fd;
	char path[RD_PROC_SIZE];

	if (!S_ISREG(call->type) || (!file && by_name(r)))
		return -ENOENT;
	if (!file)
		return rd_object_open(r->layer, call->object, flags);
	fd = open(rd_proc(file->fd, path), flags);
	return fd < 0 ? -errno : fd;
}

static void perform(struct rd_call *call)
{
	struct rd_req *r = CONTAINER_OF(call, struct rd_req, call);

	rd_become(r->layer, call->caller.uid, call->caller.gid, r->umask, kills(r));
	call->result = 0;
	r->made = false;
	rd_entry_drop(r);
	if (r->opened)
		rd_file_free(r->layer, TAKE_PTR(r->opened));
	r->perform(r);
	call->performed = call->result >= 0;
	if (r->heap && call->performed && (r->opened || call->op == RD_RELEASE))
		tell_open(r, r->opened ? r->opened : call->file);
	rd_become_self(r->layer);
}

/* --- through a chain ------------------------------------------------------------------ */

static void req_free(struct rd_req *r)
{
	const struct rd_chains *chains = r->layer->chains;

	if (r->call.object2)
		rd_object_unref(r->layer, r->call.object2, 1);
	rd_object_unref(r->layer, r->call.object, 1);
	if (r->call.data.bytes)
		chains->data_put(&r->call.data);
	chains->unref(r->call.chain);
	free(r->call.path);
	free(r->call.path2);
	free((char *)r->name);
	free((char *)r->name2);
	free((void *)r->value);
	free(r);
}

static void complete(struct rd_call *call)
{
	struct rd_req *r = CONTAINER_OF(call, struct rd_req, call);

	answer(r);
	req_free(r);
}

static char *copy_of(const char *text, bool *failed)
{
	char *copy = text ? strdup(text) : NULL;

	*failed |= text && !copy;
	return copy;
}

/* A copy with everything its own. NULL: no memory. */
static struct rd_req *req_copy(const struct rd_req *from, const struct rd_chain *chain)
{
	struct rd_req *r = malloc(sizeof(*r));
	bool failed = false;

	if (!r) {
		from->layer->chains->unref(chain);
		return NULL;
	}
	*r = *from;
	r->heap = true;
	r->call.data = (struct rd_data){ 0 };
	r->call.chain = chain;
	rd_object_ref(r->call.object);
	if (r->call.object2)
		rd_object_ref(r->call.object2);
	r->name = copy_of(from->name, &failed);
	r->name2 = copy_of(from->name2, &failed);
	if (from->value) {
		void *value = malloc(from->value_size ? from->value_size : 1);

		failed |= !value;
		if (value)
			memcpy(value, from->value, from->value_size);
		r->value = value;
	}
	if (r->call.op == RD_SETXATTR || r->call.op == RD_GETXATTR || r->call.op == RD_REMOVEXATTR)
		r->call.arg.xattr.name = r->name;
	if (r->call.op == RD_READ || r->call.op == RD_WRITE)
		failed |= from->layer->chains->data_get(chain, r->call.arg.io.size, &r->call.data) < 0;
	if (!failed && r->call.op == RD_WRITE)
		memcpy(r->call.data.bytes, from->call.data.bytes, r->call.arg.io.size);
	if (failed) {
		req_free(r);
		return NULL;
	}
	return r;
}

/* With a reference; *ret_path: made on the way, owned. NULL: no memory. */
static const struct rd_chain *find_chain(const struct rd_req *r, char **ret_path)
{
	const struct rd_chains *chains = r->layer->chains;

	if (r->call.file && r->call.file->chain)
		return chains->ref(r->call.file->chain);
	if (!by_name(r))
		return rd_object_chain(r->layer, r->call.object);
	*ret_path = rd_object_path(r->layer, r->call.object, r->name);
	return *ret_path ? chains->find(r->layer->config, *ret_path) : NULL;
}

static bool paths_fill(struct rd_req *r)
{
	struct rd_call *call = &r->call;

	if (!call->path)
		call->path = rd_object_path(r->layer, call->object, NULL);
	if (call->op == RD_RENAME || call->op == RD_LINK)
		call->path2 = rd_object_path(r->layer, call->object2, r->name2);
	else if (call->object2)
		call->path2 = rd_object_path(r->layer, call->object2, NULL);
	else
		call->path2 = strdup("");
	return call->path && call->path2;
}

/*
 * Filters in shared objects are called on the layer's threads, and may use the tree themselves: if all
 * threads could be theirs, nobody would be left to answer them. So some never are. What comes meanwhile
 * waits in a list, and whoever is done goes on with it. What they do themselves asks none of them.
 */
static bool call_enter(struct rd_req *r, bool *ret_counted)
{
	struct rd_layer *layer = r->layer;
	pid_t caller = r->call.caller.pid;

	pthread_mutex_lock(&layer->calls.lock);
	*ret_counted = layer->calls.running < RD_CALLS_MAX;
	if (*ret_counted) {
		layer->calls.running++;
	} else if (caller <= 0 || syscall(SYS_tgkill, getpid(), caller, 0) < 0) {
		r->next = NULL;
		*layer->calls.end = r;
		layer->calls.end = &r->next;
		r = NULL;
	}
	pthread_mutex_unlock(&layer->calls.lock);
	return r;
}

/* This thread is done with one; the next that it is to go on with. */
static struct rd_req *call_next(struct rd_layer *layer)
{
	struct rd_req *r;

	pthread_mutex_lock(&layer->calls.lock);
	r = layer->calls.first;
	if (!r)
		layer->calls.running--;
	else if (!(layer->calls.first = r->next))
		layer->calls.end = &layer->calls.first;
	pthread_mutex_unlock(&layer->calls.lock);
	return r;
}

static void call_run(struct rd_req *r)
{
	struct rd_layer *layer = r->layer;
	bool counted;

	if (!call_enter(r, &counted))
		return;
	do
		layer->chains->run(&r->call);
	while (counted && (r = call_next(layer)));
}

/* True: the chain has it. */
static bool asked(struct rd_req *stack)
{
	const struct rd_chains *chains = stack->layer->chains;
	char *path = NULL;
	const struct rd_chain *chain = find_chain(stack, &path);
	struct rd_req *r;

	if (chain && !chains->wants(chain, stack->call.op, stack->call.type)) {
		chains->unref(chain);
		free(path);
		return false;
	}
	r = chain ? req_copy(stack, chain) : NULL;
	if (r)
		r->call.path = path;
	else
		free(path);
	if (!r || !paths_fill(r)) {
		fuse_reply_err(stack->req, ENOMEM);
		if (stack->closing)
			rd_file_free(stack->layer, stack->closing);
		if (r)
			req_free(r);
		return true;
	}
	r->call.slots = &r->call.object->slots;
	r->call.file_slots = r->call.file ? &r->call.file->slots : NULL;
	r->call.perform = perform;
	r->call.complete = complete;
	r->call.open_file = open_file;
	atomic_fetch_add_explicit(&r->layer->asked, 1, memory_order_relaxed);
	call_run(r);
	return true;
}

void rd_req_start(struct rd_req *r, void (*do_it)(struct rd_req *), void (*reply)(struct rd_req *))
{
	r->perform = do_it;
	r->reply = reply;
	if (r->layer->chains && !r->unasked && asked(r))
		return;
	perform(&r->call);
	answer(r);
}
