/*
 * portal_gate - one thread for all portals: it hears what helpers answer and what descriptors say, and buries
 */
#include "mount/portal_i.h"

#include <stdio.h>
#include <sys/epoll.h>

#include "base/thread.h"

#define POOL_THREADS 8
#define ASK_THREADS 8
#define EVENTS_MAX 64
#define PORTALS_MAX 1024 /* of one user */
#define COMMANDS_MAX 256
#define CONF_DEFAULT "/etc/pipesfs/portal.conf"
#define FINISH 1000 /* ms for the pools' threads to end */

/* --- rules --------------------------------------------------------------------------------- */

struct pfs_portal_rules *pfs_gate_rules(struct pfs_gate *gate)
{
	struct pfs_portal_rules *rules;

	pthread_mutex_lock(&gate->lock);
	rules = pfs_portal_rules_ref(gate->rules);
	pthread_mutex_unlock(&gate->lock);
	return rules;
}

/* The file that was named; else the usual one, if root mounts and it is there; else portalfs's rules. */
static int rules_load(const struct pfs_mount_options *options, struct pfs_portal_rules **ret_rules,
		      struct pfs_diag *diag)
{
	int r;

	if (options->portals)
		return pfs_portal_rules_load(options->portals, ret_rules, NULL, diag);
	r = geteuid() == 0 ? pfs_portal_rules_load(CONF_DEFAULT, ret_rules, NULL, diag) : -ENOENT;
	return r == -ENOENT ? pfs_portal_rules_default(ret_rules) : r;
}

void pfs_gate_reload(struct pfs_mount *mount)
{
	struct pfs_gate *gate = mount->gate;
	struct pfs_portal_rules *rules, *old;
	struct pfs_diag diag = { "" };
	int r = gate ? rules_load(mount->options, &rules, &diag) : -ENODEV;

	if (r < 0) {
		pfs_log("the rules of portals stay as they are: %s",
			diag.text[0] ? diag.text : strerror(-r));
		return;
	}
	pthread_mutex_lock(&gate->lock);
	old = gate->rules;
	gate->rules = rules;
	pthread_mutex_unlock(&gate->lock);
	pfs_portal_rules_unref(old);
	pfs_log("the rules of portals were read again");
}

uint64_t pfs_gate_hash(const struct pfs_gate *gate, const char *text)
{
	return pfs_hash_bytes(&gate->seed, 0, (const uint8_t *)text, strlen(text));
}

/* --- the thread ------------------------------------------------------------------------------- */

void pfs_gate_bury(struct pfs_portal *portal)
{
	struct pfs_gate *gate = portal->gate;

	pthread_mutex_lock(&gate->lock);
	portal->next = gate->graves;
	gate->graves = portal;
	pthread_mutex_unlock(&gate->lock);
	eventfd_write(gate->wake_fd, 1);
}

static void graves_empty(struct pfs_gate *gate)
{
	struct pfs_portal *portal;
	eventfd_t value;

	eventfd_read(gate->wake_fd, &value);
	pthread_mutex_lock(&gate->lock);
	while ((portal = gate->graves)) {
		gate->graves = portal->next;
		pthread_mutex_unlock(&gate->lock);
		pfs_portal_free(portal);
		pthread_mutex_lock(&gate->lock);
	}
	pthread_mutex_unlock(&gate->lock);
}

static void *gate_thread(void *arg)
{
	struct pfs_gate *gate = arg;
	struct epoll_event events[EVENTS_MAX];

	while (!gate->ending) {
		int n = epoll_wait(gate->epoll_fd, events, EVENTS_MAX, -1);

		/* What is buried meanwhile is freed below, when none of these events can speak of it. */
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr == gate)
				pfs_helpers_run(gate->helpers);
			else if (events[i].data.ptr != &gate->wake_fd)
				pfs_portal_event(events[i].data.ptr, events[i].events);
		}
		graves_empty(gate);
	}
	return NULL;
}

/* --- life ----------------------------------------------------------------------------------------- */

static int watch(struct pfs_gate *gate, int fd, void *ptr)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = ptr };

	return epoll_ctl(gate->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int prepare(struct pfs_gate *gate, struct pfs_mount *mount)
{
	const struct pfs_helpers_options limits = {
		.portals_max = mount->options->user_portals ? (unsigned)mount->options->user_portals
							    : PORTALS_MAX,
		.commands_max = mount->options->user_commands ? (unsigned)mount->options->user_commands
							      : COMMANDS_MAX,
	};
	struct pfs_diag diag = { "" };
	int r = rules_load(mount->options, &gate->rules, &diag);

	if (r < 0) {
		pfs_log("%s; portals are as without a file", diag.text);
		r = pfs_portal_rules_default(&gate->rules);
	}
	if (r == 0)
		r = pfs_pool_init(&gate->pool, POOL_THREADS);
	if (r == 0)
		r = pfs_pool_init(&gate->asks, ASK_THREADS);
	if (r == 0)
		r = pfs_helpers_new(mount->spawner, &limits, &gate->helpers);
	if (r == 0)
		r = watch(gate, pfs_helpers_fd(gate->helpers), gate);
	if (r == 0)
		r = watch(gate, gate->wake_fd, &gate->wake_fd);
	return r;
}

int pfs_gate_new(struct pfs_mount *mount)
{
	struct pfs_gate *gate = pfs_zalloc(1, sizeof(*gate));
	int r;

	if (!gate)
		return -ENOMEM;
	mount->gate = gate;
	gate->mount = mount;
	pfs_seed_init(&gate->seed);
	pthread_mutex_init(&gate->lock, NULL);
	gate->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	gate->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = gate->epoll_fd < 0 || gate->wake_fd < 0 ? -errno : prepare(gate, mount);
	if (r < 0)
		return r;
	r = pfs_thread_start(gate_thread, gate, &gate->thread);
	gate->running = r == 0;
	return r;
}

int pfs_gate_free(struct pfs_mount *mount)
{
	struct pfs_gate *gate = mount->gate;
	uint64_t end = pfs_clock_mono() + FINISH * 1000000ULL;
	int r;

	if (!gate)
		return 0;
	r = pfs_pool_stop(&gate->asks, FINISH);
	/* What was given up or closed a moment ago is on its way to the grave. */
	while (r == 0 && gate->running && pfs_clock_mono() < end) {
		bool open;

		pthread_mutex_lock(&gate->lock);
		open = gate->open;
		pthread_mutex_unlock(&gate->lock);
		if (!open)
			break;
		usleep(1000);
	}
	gate->ending = true;
	eventfd_write(gate->wake_fd, 1);
	if (gate->running)
		pthread_join(gate->thread, NULL);
	if (r == 0)
		r = pfs_pool_stop(&gate->pool, FINISH);
	if (r < 0 || gate->open)
		return -ETIMEDOUT;
	pfs_helpers_free(gate->helpers);
	pfs_portal_rules_unref(gate->rules);
	pfs_pool_release(&gate->asks);
	pfs_pool_release(&gate->pool);
	close(gate->epoll_fd);
	close(gate->wake_fd);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
	mount->gate = NULL;
	return 0;
}
