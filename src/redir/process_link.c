/*
 * process_link - a redirect process that streams tells what to do
 *
 * A new configuration is brought about so that nobody meets a filter that is half there: shared objects are loaded
 * while their filters are inactive, then filters that others want to change are asked (the modifier callback), then all
 * of it is in force at once. Until then any refusal takes everything back.
 */
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/detach.h"
#include "base/until.h"
#include "redir/linked.h"
#include "redir/process_i.h"
#include "redir/tap.h"

static struct rd_linked_module *find_module(struct rd_process *process, const char *name)
{
	struct rd_linked_module *linked = process->linked;

	while (linked && strcmp(linked->name, name) != 0)
		linked = linked->next;
	return linked;
}

/* --- shared objects ---------------------------------------------------------------------- */

static int load(struct rd_process *process, const struct rd_link_filter *filter, struct pfs_diag *diag)
{
	struct rd_linked_module *linked = pfs_zalloc(1, sizeof(*linked));
	PFS_FREE char *file = strdup(filter->object), *args = strdup(filter->args ? filter->args : "");
	char *argv[RD_MODULE_ARGS + 1] = { file };
	int r = linked && file && args ? 0 : -ENOMEM;

	if (r == 0 && *args)
		r = rd_process_args(args, argv + 1, diag);
	if (r >= 0)
		r = rd_module_adopt(process->config, filter->desc.name, file, geteuid(), r + 1,
				    argv, &linked->module, diag);
	if (r < 0) {
		free(linked);
		return r;
	}
	snprintf(linked->name, sizeof(linked->name), "%s", filter->desc.name);
	linked->next = process->linked;
	process->linked = linked;
	return 0;
}

/* Those that no filter of that configuration is from. */
static void unload_others(struct rd_process *process, const struct rd_link_config *config)
{
	struct rd_linked_module **at = &process->linked;

	while (*at) {
		struct rd_linked_module *linked = *at;

		if (rd_link_config_find(config, linked->name)) {
			at = &linked->next;
			continue;
		}
		*at = linked->next;
		rd_module_unload(linked->module);
		free(linked);
	}
}

/* --- the modifier ------------------------------------------------------------------------ */

static int ask(struct rd_linked_module *linked, union rfs_mod *mod, struct pfs_diag *diag)
{
	int r = rd_module_modify(linked->module, linked->name, mod);

	if (r == -EOPNOTSUPP)
		return pfs_diag_set(diag, EPERM,
				    "the filter '%s' lets nobody change it: it has no modifier callback",
				    linked->name);
	if (r < 0)
		return pfs_diag_set(diag, -r, "the filter '%s' refuses: %s", linked->name,
				    strerror(-r));
	return r > 0 ? -EINVAL : 0;
}

static bool same_rule(const struct rd_rule_desc *a, const struct rd_rule_desc *b)
{
	return a->include == b->include && a->subtree == b->subtree && !strcmp(a->path, b->path);
}

/* Rules are taken away anywhere and added at the end. */
static int ask_rules(struct rd_linked_module *linked, const struct rd_filter_desc *old,
		     const struct rd_filter_desc *next, struct pfs_diag *diag)
{
	size_t at = 0;

	for (size_t i = 0; i < next->n_rules; i++) {
		const struct rd_rule_desc *rule = &next->rules[i];
		union rfs_mod mod = { .set_path = { RFS_SET_PATH, { rule->path, 0 } } };
		int r;

		while (at < old->n_rules && !same_rule(&old->rules[at], rule))
			at++;
		if (at < old->n_rules) {
			at++;
			continue;
		}
		mod.set_path.path_info.flags = (rule->include ? RFS_PATH_INCLUDE : RFS_PATH_EXCLUDE) |
					       (rule->subtree ? RFS_PATH_SUBTREE : RFS_PATH_SINGLE);
		r = ask(linked, &mod, diag);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Each filter whether it may become what config says. */
static int ask_all(struct rd_process *process, const struct rd_link_config *config,
		   struct pfs_diag *diag)
{
	static const struct rd_filter_desc none = { 0 };

	for (size_t i = 0; i < config->n; i++) {
		const struct rd_filter_desc *next = &config->filter[i].desc, *old = &none;
		struct rd_linked_module *linked = find_module(process, next->name);
		const struct rd_link_filter *had = rd_link_config_find(&process->have, next->name);
		union rfs_mod mod = { .id = next->active ? RFS_ACTIVATE : RFS_DEACTIVATE };
		int r;

		if (had)
			old = &had->desc;
		if (!linked)
			continue;
		r = ask_rules(linked, old, next, diag);
		if (r == 0 && next->active != old->active)
			r = ask(linked, &mod, diag);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- what streams asks for --------------------------------------------------------------- */

static int replace(struct rd_process *process, const struct rd_link_config *config,
		   struct pfs_diag *diag)
{
	struct rd_filter_desc *desc = pfs_zalloc(config->n + 1, sizeof(*desc));
	int r;

	if (!desc)
		return -ENOMEM;
	for (size_t i = 0; i < config->n; i++)
		desc[i] = config->filter[i].desc;
	r = rd_config_replace(process->config, desc, config->n, diag);
	free(desc);
	return r;
}

/* What is in force, as it is, and what config has besides, inactive. */
static int prepare(struct rd_process *process, const struct rd_link_config *config,
		   struct pfs_diag *diag)
{
	const struct rd_link_config *have = &process->have;
	struct rd_filter_desc *desc = pfs_zalloc(have->n + config->n + 1, sizeof(*desc));
	size_t n = 0;
	int r;

	if (!desc)
		return -ENOMEM;
	for (; n < have->n; n++)
		desc[n] = have->filter[n].desc;
	for (size_t i = 0; i < config->n; i++)
		if (!rd_link_config_find(have, config->filter[i].desc.name)) {
			desc[n] = config->filter[i].desc;
			desc[n++].active = false;
		}
	r = rd_config_replace(process->config, desc, n, diag);
	free(desc);
	return r;
}

static int load_new(struct rd_process *process, const struct rd_link_config *config,
		    struct pfs_diag *diag)
{
	for (size_t i = 0; i < config->n; i++) {
		const struct rd_link_filter *filter = &config->filter[i];
		int r = 0;

		if (filter->object && !find_module(process, filter->desc.name))
			r = load(process, filter, diag);
		if (r < 0)
			return r;
	}
	return 0;
}

/* --- who reads their operations ------------------------------------------------------------ */

#define WATCHES_MAX 64 /* of one filter; more see nothing */

static void tap_filter(struct rd_process *process, const char *name)
{
	struct rd_tap *taps[WATCHES_MAX];
	size_t n = 0;

	for (const struct rd_linked_watch *w = process->watches; w && n < WATCHES_MAX; w = w->next)
		if (!strcmp(w->name, name))
			taps[n++] = w->tap;
	/* One that is not there yet gets them when it comes. */
	(void)rd_config_tap(process->config, name, taps, n);
}

static void tap_all(struct rd_process *process)
{
	for (const struct rd_linked_watch *w = process->watches; w; w = w->next)
		tap_filter(process, w->name);
}

static int on_watch(void *arg, int64_t number, const char *name, int memory_fd, int wake_fd)
{
	struct rd_process *process = arg;
	struct rd_linked_watch *watch;
	int r;

	if (!process->layer)
		return -EIO;
	watch = pfs_zalloc(1, sizeof(*watch));
	if (!watch)
		return -ENOMEM;
	r = rd_tap_open(memory_fd, wake_fd, &watch->tap);
	if (r < 0) {
		free(watch);
		return r;
	}
	snprintf(watch->name, sizeof(watch->name), "%s", name);
	watch->number = number;
	watch->next = process->watches;
	process->watches = watch;
	tap_filter(process, name);
	return 0;
}

static void on_unwatch(void *arg, int64_t number)
{
	struct rd_process *process = arg;
	struct rd_linked_watch **at = &process->watches, *watch;

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	watch = *at;
	if (!watch)
		return;
	*at = watch->next;
	tap_filter(process, watch->name);
	rd_tap_unref(watch->tap);
	free(watch);
}

static int on_configure(void *arg, const struct rd_link_config *config, struct pfs_diag *diag)
{
	struct rd_process *process = arg;
	PFS_BUF struct pfs_buf bytes = { 0 };
	struct rd_link_config copy = { 0 };
	struct pfs_diag ignored;
	int r = 0;

	if (!process->layer)
		return pfs_diag_set(diag, EIO, "%s", process->failure.text);
	if (strcmp(config->tree, process->options->layer.dir) != 0)
		return pfs_diag_set(diag, EINVAL, "another tree is redirected here");
	rd_link_config_put(config, &bytes);
	r = bytes.failed ? -ENOMEM : rd_link_config_get((const uint8_t *)bytes.data, bytes.len, &copy);
	if (r == 0)
		r = prepare(process, &copy, diag);
	if (r == 0)
		r = load_new(process, &copy, diag);
	if (r == 0)
		r = ask_all(process, &copy, diag);
	if (r == 0)
		r = rd_process_peers_connect(process, &copy);
	if (r == 0)
		r = replace(process, &copy, diag);
	if (r < 0) {
		rd_link_config_release(&copy);
		(void)rd_process_peers_connect(process, &process->have);
		(void)replace(process, &process->have, &ignored);
		unload_others(process, &process->have);
		rd_process_peers_sweep(process, &process->have);
		return r;
	}
	rd_link_config_release(&process->have);
	process->have = copy;
	unload_others(process, &process->have);
	rd_process_peers_sweep(process, &process->have);
	tap_all(process);
	return 0;
}

/* The mount ends with the last file that is open; so does the process. */
static int on_end(void *arg)
{
	struct rd_process *process = arg;
	int r;

	if (!process->layer || pfs_mount_is_gone(process->kept.unique))
		return 0;
	r = pfs_mount_detach(process->kept.dev_major, process->kept.dev_minor, false);
	return r == -ENOENT ? 0 : r;
}

static bool on_number(void *arg, size_t index, struct rd_link_number *ret_number)
{
	struct rd_process *process = arg;
	struct rd_filter_stat stat = { 0 };
	const char *name;

	if (index >= process->have.n)
		return false;
	name = process->have.filter[index].desc.name;
	snprintf(ret_number->name, sizeof(ret_number->name), "%s", name);
	if (rd_config_stat(process->config, name, &stat) < 0)
		return true;
	ret_number->hooked = stat.hooked;
	ret_number->pres = stat.pres;
	ret_number->posts = stat.posts;
	ret_number->stops = stat.stops;
	ret_number->failures = stat.failures;
	ret_number->late = stat.late;
	ret_number->skipped = stat.skipped;
	ret_number->time_ns = stat.time_ns;
	return true;
}

static int on_join(void *arg, uint64_t peer, pid_t pid, int *ret_fd, int *ret_memory,
		   struct pfs_diag *diag)
{
	return rd_process_peer_join(arg, peer, pid, ret_fd, ret_memory, diag);
}

/* On any thread; what does not fit is said to nobody. */
static void on_say(void *arg, const char *filter, const char *sentence)
{
	const struct rd_process *process = arg;
	const struct rd_link_head head = { .type = RD_LINK_SAY };
	char body[RD_NAME_MAX + sizeof(((struct pfs_diag *)0)->text)];
	int n = snprintf(body, sizeof(body), "%.63s\n%.240s", filter, sentence);

	(void)rd_link_send(process->link_fd, &head, body, (size_t)n, NULL, 0);
}

static const struct rd_linked_ops ops = {
	.configure = on_configure,
	.end = on_end,
	.number = on_number,
	.watch = on_watch,
	.unwatch = on_unwatch,
	.join = on_join,
};

/* --- the thread -------------------------------------------------------------------------- */

bool rd_process_link_wait(const struct rd_process *process)
{
	struct pollfd fd = { .fd = process->link_fd, .events = POLLIN };

	while (poll(&fd, 1, -1) < 0 && errno == EINTR)
		;
	return fd.revents & POLLIN &&
	       recv(process->link_fd, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void rd_process_link_serve(struct rd_process *process)
{
	struct rd_linked linked = { .fd = process->link_fd, .ops = &ops, .arg = process };
	struct pollfd fds[2] = { { process->link_fd, POLLIN, 0 }, { process->empty_fd, POLLIN, 0 } };

	while (rd_linked_handle(&linked) == 1)
		if (poll(fds, 2, -1) > 0 && fds[1].revents)
			rd_process_peers_emptied(process);
	shutdown(process->link_fd, SHUT_RDWR);
}

static void *link_thread(void *arg)
{
	struct rd_process *process = arg;
	char byte;

	if (read(process->begin_fd, &byte, 1) == 1)
		rd_process_link_serve(process);
	return NULL;
}

int rd_process_link_start(struct rd_process *process)
{
	process->empty_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (process->empty_fd < 0)
		return -errno;
	rd_modules_hear(on_say, process);
	return -pthread_create(&process->link_thread, NULL, link_thread, process);
}

bool rd_process_link_join(struct rd_process *process, unsigned milliseconds)
{
	const struct timespec until = pfs_clock_in(milliseconds * 1000000ULL);

	shutdown(process->link_fd, SHUT_RDWR);
	return pthread_clockjoin_np(process->link_thread, NULL, CLOCK_MONOTONIC, &until) == 0;
}

void rd_process_link_release(struct rd_process *process)
{
	static const struct rd_link_config nothing = { 0 };

	rd_process_peers_sweep(process, &nothing); /* nobody is in them: the layer has gone */
	pfs_closep(&process->empty_fd);
	unload_others(process, &nothing);
	rd_link_config_release(&process->have);
	while (process->watches)
		on_unwatch(process, process->watches->number);
}
