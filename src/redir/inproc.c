#include "redir/inproc.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include "base/log.h"
#include "redir/args.h"
#include "urfs/filter.h"

#define COPY_STEP ((size_t)1 << 30)
#define PARTS_MAX 64 /* program headers */
#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

/* The code: goes when the module and the last thing that a filter keeps have gone. */
struct code {
	_Atomic unsigned refs;
	void *handle;
	int fd; /* its copy, by whose number it was loaded: dlopen(3) gives one name one object */
};

struct rd_module {
	struct urfs_link link;
	struct rd_config *config;
	struct code *code;
	struct pfs_diag *diag; /* while start() runs */
	const char *adopt; /* while start() runs: whose filter it is; NULL: it registers its own */
	bool adopted;
};

/* One filter. Outlives its registration as long as something is kept. */
struct peer {
	struct rd_hook hook;
	struct urfs_filter *filter; /* nobody asks after it has gone */
	struct code *code;
};

static void code_unref(struct code *code)
{
	if (atomic_fetch_sub(&code->refs, 1) > 1)
		return;
	if (code->handle)
		dlclose(code->handle);
	pfs_closep(&code->fd);
	free(code);
}

/* --- what a filter keeps: a pointer and who frees it ---------------------------------------------- */

struct kept {
	void *data;
	void (*free_cb)(void *);
};

struct context {
	struct urfs_context urfs;
	struct rd_ask *ask;
	sem_t done;
};

static void kept_free(struct rd_hook *hook, uint64_t value)
{
	struct kept *kept = (struct kept *)(uintptr_t)value;

	if (kept->free_cb)
		kept->free_cb(kept->data);
	free(kept);
}

static int context_attach(struct urfs_context *urfs, enum rfs_keep where, void *data,
			  void (*free_cb)(void *), void **exist)
{
	struct context *context = CONTAINER_OF(urfs, struct context, urfs);
	struct kept *kept = pfs_zalloc(1, sizeof(*kept));
	uint64_t there = 0;
	int r;

	if (!kept)
		return -ENOMEM;
	*kept = (struct kept){ data, free_cb };
	r = rd_ask_attach(context->ask, (enum rd_keep)where, (uintptr_t)kept, kept_free, &there);
	if (r < 0)
		free(kept);
	if (r == -EEXIST && exist)
		*exist = ((struct kept *)(uintptr_t)there)->data;
	return r;
}

static void *context_get(struct urfs_context *urfs, enum rfs_keep where, bool detach)
{
	struct context *context = CONTAINER_OF(urfs, struct context, urfs);
	struct kept *kept;
	uint64_t value;
	void *data;

	if (detach ? rd_ask_detach(context->ask, (enum rd_keep)where, &value) < 0
		   : !rd_ask_kept(context->ask, (enum rd_keep)where, &value))
		return NULL;
	kept = (struct kept *)(uintptr_t)value;
	data = kept->data;
	if (detach)
		free(kept);
	return data;
}

static void subcall_done(struct rd_ask *ask)
{
	sem_post(&((struct context *)ask->state)->done);
}

/* This thread is the filter's own for so long. */
static int context_subcall(struct urfs_context *urfs, struct rfs_args *args)
{
	struct context *context = CONTAINER_OF(urfs, struct context, urfs);
	int r = rd_args_take(context->ask, args);

	if (r < 0)
		return r;
	context->ask->state = context;
	sem_init(&context->done, 0, 0);
	rd_ask_subcall(context->ask, subcall_done);
	while (sem_wait(&context->done) < 0)
		;
	sem_destroy(&context->done);
	args->retv.rv_ssize = context->ask->call->result;
	return 0;
}

static int context_open_file(struct urfs_context *urfs)
{
	struct rd_call *call = CONTAINER_OF(urfs, struct context, urfs)->ask->call;

	return call->open_file ? call->open_file(call) : -ENOENT;
}

static const struct urfs_context_ops context_ops = {
	.attach = context_attach,
	.get = context_get,
	.subcall = context_subcall,
	.open_file = context_open_file,
};

/* --- the hook -------------------------------------------------------------------------------------- */

static bool peer_ask(struct rd_hook *hook, struct rd_ask *ask, enum rd_verdict *ret_verdict)
{
	struct peer *peer = CONTAINER_OF(hook, struct peer, hook);
	struct context context = { { peer->filter, &context_ops }, ask };
	struct rfs_args args;
	enum rfs_retv retv;

	rd_args_fill(ask, ask->call->data.bytes, &args);
	retv = urfs_filter_call(peer->filter, &context.urfs, &args);
	if (rd_args_take(ask, &args) < 0)
		*ret_verdict = RD_FAILED;
	else
		*ret_verdict = retv == RFS_STOP ? RD_STOP : RD_CONTINUE;
	return true;
}

static bool peer_own(struct rd_hook *hook, pid_t pid)
{
	return syscall(SYS_tgkill, getpid(), pid, 0) == 0;
}

static void peer_free(struct rd_hook *hook)
{
	struct peer *peer = CONTAINER_OF(hook, struct peer, hook);

	code_unref(peer->code);
	free(peer);
}

static const struct rd_hook_ops peer_ops = { .ask = peer_ask, .own = peer_own, .free = peer_free };

/* --- registration ------------------------------------------------------------------------------------ */

static struct rd_module *module_of(struct urfs_filter *filter)
{
	return CONTAINER_OF(filter->link, struct rd_module, link);
}

static int module_add(struct urfs_filter *filter, const struct rfs_filter_info *info)
{
	struct rd_module *module = module_of(filter);
	const struct rd_filter_desc desc = {
		.name = filter->name,
		.priority = info->priority,
		.active = info->active != 0,
		.policy = info->policy,
		.deadline = (uint64_t)info->deadline_ms * 1000000,
	};
	struct peer *peer;
	int r = 0;

	if (module->adopted)
		return pfs_diag_set(module->diag, E2BIG, "it registers more than one filter");
	peer = pfs_zalloc(1, sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	if (module->adopt)
		snprintf(filter->name, sizeof(filter->name), "%s", module->adopt);
	else
		r = rd_config_add(module->config, &desc, module->diag);
	if (r < 0) {
		free(peer);
		return r;
	}
	rd_hook_init(&peer->hook, &peer_ops);
	peer->filter = filter;
	peer->code = module->code;
	atomic_fetch_add(&module->code->refs, 1);
	filter->peer = peer;
	r = rd_config_hook(module->config, filter->name, &peer->hook);
	if (r == 0) {
		module->adopted = module->adopt;
		return 0;
	}
	filter->peer = NULL;
	rd_hook_unref(&peer->hook);
	return r;
}

static int module_remove(struct urfs_filter *filter)
{
	struct rd_module *module = module_of(filter);
	struct peer *peer = TAKE_PTR(filter->peer);

	rd_config_hook(module->config, filter->name, NULL);
	if (!module->adopted)
		rd_config_remove(module->config, filter->name);
	rd_hook_drain(&peer->hook);
	rd_hook_unref(&peer->hook);
	return 0;
}

static int module_activate(struct urfs_filter *filter, bool active)
{
	struct rd_module *module = module_of(filter);

	return module->adopted ? 0 : rd_config_activate(module->config, filter->name, active);
}

static int module_want(struct urfs_filter *filter, const struct urfs_wants *wants)
{
	struct rd_wants mine;

	memcpy(&mine, wants, sizeof(mine));
	rd_hook_set_wants(module_of(filter)->config, &((struct peer *)filter->peer)->hook, &mine);
	return 0;
}

static int module_set_path(struct urfs_filter *filter, const struct rfs_path_info *info)
{
	const struct rd_rule_desc rule = { info->path, (info->flags & RFS_PATH_INCLUDE) != 0,
					   (info->flags & RFS_PATH_SUBTREE) != 0 };
	struct rd_module *module = module_of(filter);

	return module->adopted
		       ? 0
		       : rd_config_add_rule(module->config, filter->name, &rule, module->diag);
}

static struct {
	void (*hear)(void *arg, const char *filter, const char *sentence);
	void *arg;
} hearer;

void rd_modules_hear(void (*hear)(void *arg, const char *filter, const char *sentence), void *arg)
{
	hearer.hear = hear;
	hearer.arg = arg;
}

static void module_say(struct urfs_link *link, const char *sentence)
{
	struct rd_module *module = CONTAINER_OF(link, struct rd_module, link);
	char name[URFS_NAME_MAX] = "";

	if (module->diag) {
		pfs_diag_set(module->diag, 0, "%.240s", sentence);
		return;
	}
	pthread_mutex_lock(&link->lock);
	if (link->filters)
		snprintf(name, sizeof(name), "%s", link->filters->name);
	pthread_mutex_unlock(&link->lock);
	if (hearer.hear && name[0])
		hearer.hear(hearer.arg, name, sentence);
	else
		pfs_log("%s", sentence);
}

static const struct urfs_link_ops module_ops = {
	.add = module_add,
	.remove = module_remove,
	.activate = module_activate,
	.want = module_want,
	.set_path = module_set_path,
	.say = module_say,
};

/* --- files -------------------------------------------------------------------------------------------- */

/* Opened and looked at: what is loaded is what was looked at. */
static int open_trusted(const char *file, uid_t user, struct pfs_diag *diag)
{
	PFS_CLOSE int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return pfs_diag_set(diag, errno, "%.120s: %s", file, strerror(errno));
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return pfs_diag_set(diag, EACCES, "%.120s is not a file", file);
	if (st.st_uid != 0 && st.st_uid != user)
		return pfs_diag_set(diag, EACCES,
				    "%.120s belongs to user %u, not to root or to user %u", file,
				    st.st_uid, user);
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return pfs_diag_set(diag, EACCES, "%.120s may be written by others than its owner",
				    file);
	return TAKE_FD(fd);
}

/*
 * A copy that is nobody else's: the file may be loaded twice, each with variables of its own, where dlopen(3) would
 * give the one that it has; and whoever writes to the file later does not write to code that runs.
 */
static int copy_private(int fd, const char *file)
{
	const char *name = strrchr(file, '/');
	PFS_CLOSE int copy = memfd_create(name ? name + 1 : file, MFD_CLOEXEC | MFD_EXEC);
	ssize_t n = 1;

	if (copy < 0 && errno == EINVAL) /* before Linux 6.3 */
		copy = memfd_create(name ? name + 1 : file, MFD_CLOEXEC);
	while (copy >= 0 && n > 0)
		n = sendfile(copy, fd, NULL, COPY_STEP);
	return copy < 0 || n < 0 ? -errno : TAKE_FD(copy);
}

/* Is all there that dlopen(3) would map? Of a file that was cut off it would make a SIGBUS. */
static bool is_whole(int fd)
{
	ElfW(Ehdr) head;
	ElfW(Phdr) part[PARTS_MAX];
	struct stat st;

	if (fstat(fd, &st) < 0 || pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof(part[0]) ||
	    head.e_phnum > PARTS_MAX || head.e_phoff > (uint64_t)st.st_size ||
	    pread(fd, part, head.e_phnum * sizeof(part[0]), (off_t)head.e_phoff) !=
		    (ssize_t)(head.e_phnum * sizeof(part[0])))
		return false;
	for (size_t i = 0; i < head.e_phnum; i++)
		if (part[i].p_filesz > (uint64_t)st.st_size ||
		    part[i].p_offset > (uint64_t)st.st_size - part[i].p_filesz)
			return false;
	return true;
}

static int module_start(struct rd_module *module, const char *file, int argc, char **argv,
			struct pfs_diag *diag)
{
	struct urfs_conn conn = { -1, &module->link };
	const struct rfs_module *entry;
	char path[32];
	int r;

	if (!is_whole(module->code->fd))
		return pfs_diag_set(diag, ENOEXEC, "%.120s is no shared object, or not all of one",
				    file);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", module->code->fd);
	module->code->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!module->code->handle)
		return pfs_diag_set(diag, ENOEXEC, "%.80s: %.160s", file, dlerror());
	entry = dlsym(module->code->handle, "rfs_module");
	if (!entry)
		return pfs_diag_set(diag, ENOEXEC,
				    "%.120s has no filter: it was not built with -DRFS_MODULE", file);
	if (entry->version != RFS_MODULE_VERSION)
		return pfs_diag_set(diag, ENOEXEC, "%.120s is for version %u, this is %u", file,
				    entry->version, RFS_MODULE_VERSION);
	module->diag = diag;
	r = entry->start(&conn, argc, argv);
	module->diag = NULL;
	if (r < 0 && diag && !diag->text[0])
		pfs_diag_set(diag, -r, "%.120s does not start: %s", file, strerror(-r));
	return r > 0 ? pfs_diag_set(diag, EINVAL, "%.120s does not start: status %d", file, r) : r;
}

static int load(struct rd_config *config, const char *adopt, const char *file, uid_t user, int argc,
		char **argv, struct rd_module **ret_module, struct pfs_diag *diag)
{
	PFS_CLOSE int fd = open_trusted(file, user, diag);
	struct rd_module *module;
	int r;

	if (fd < 0)
		return fd;
	module = pfs_zalloc(1, sizeof(*module));
	if (!module)
		return -ENOMEM;
	module->code = pfs_zalloc(1, sizeof(*module->code));
	if (!module->code) {
		free(module);
		return -ENOMEM;
	}
	module->code->refs = 1;
	module->code->fd = copy_private(fd, file);
	module->config = config;
	module->adopt = adopt;
	urfs_link_init(&module->link, &module_ops);
	r = module->code->fd < 0 ? pfs_diag_set(diag, -module->code->fd, "cannot copy %.120s: %s",
						file, strerror(-module->code->fd))
				 : module_start(module, file, argc, argv, diag);
	module->adopt = NULL;
	if (r == 0 && adopt && !module->adopted)
		r = pfs_diag_set(diag, ENOENT, "%.120s registers no filter", file);
	if (r < 0) {
		rd_module_unload(module);
		return r;
	}
	*ret_module = module;
	return 0;
}

int rd_module_load(struct rd_config *config, const char *file, uid_t user, int argc, char **argv,
		   struct rd_module **ret_module, struct pfs_diag *diag)
{
	return load(config, NULL, file, user, argc, argv, ret_module, diag);
}

int rd_module_adopt(struct rd_config *config, const char *name, const char *file, uid_t user,
		    int argc, char **argv, struct rd_module **ret_module, struct pfs_diag *diag)
{
	return load(config, name, file, user, argc, argv, ret_module, diag);
}

void rd_module_unload(struct rd_module *module)
{
	if (!module)
		return;
	urfs_link_release(&module->link);
	code_unref(module->code);
	free(module);
}

int rd_module_modify(struct rd_module *module, const char *name, union rfs_mod *mod)
{
	struct urfs_filter *filter;

	pthread_mutex_lock(&module->link.lock);
	filter = module->link.filters;
	while (filter && !(filter->registered && strcmp(filter->name, name) == 0))
		filter = filter->next;
	pthread_mutex_unlock(&module->link.lock);
	return filter ? urfs_filter_modify(filter, mod) : -ENOENT;
}
