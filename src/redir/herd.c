#include "redir/herd.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/mountinfo.h"
#include "base/spawn.h"
#include "base/until.h"
#include "redir/herd_config.h"
#include "redir/outer.h"

#define PROCESSES_MAX 256
#define WORDS_MAX 8

struct process {
	char *tree; /* owned */
	struct pfs_command *command;
	int fd;		       /* owned; -1: it is gone */
	unsigned major, minor; /* of its mount; 0, 0: it has none that we know of */
	uint64_t id;
	uint64_t serial;      /* of the configuration that it runs by */
	bool mounted;	      /* it has taken its first configuration: it may be told who watches */
	uint64_t told, heard; /* serials of WATCH: of the last, of the last that was taken */
	bool leaving;	      /* detached; it stays for what is open */
	uint64_t asked, answered; /* serials */
	int64_t result;		  /* of the last answer */
	struct pfs_diag diag;
	struct rd_link_number *number; /* owned */
	size_t n_numbers;
	int channel[2];	 /* lock, owned: of the last answer to JOIN; -1: none */
	uint64_t *peers; /* changes, owned: who has joined it */
	size_t n_peers;
	struct process *next;
};

struct rd_herd {
	struct rd_herd_options options;
	struct pfs_caller caller;
	pthread_mutex_t changes; /* one change at a time; outermost */
	pthread_mutex_t lock;
	pthread_cond_t news;
	struct rd_registry *now; /* lock */
	struct process *first; /* lock; added under changes, too, so who holds that may keep a pointer */
	uint64_t serial;       /* lock */
	struct rd_watch *watch; /* lock: those that there are */
	int wake_fd;		/* the list has changed, or the end */
	int (*hand)(void *arg, uint64_t peer, int fd, int memory); /* changes */
	void *hand_arg;
	bool closed; /* changes: there are no more */
	bool ending; /* lock */
	pthread_t thread;
};

static void wake(struct rd_herd *herd)
{
	eventfd_write(herd->wake_fd, 1);
}

static struct timespec patience(unsigned ms)
{
	return pfs_clock_in(ms * 1000000ULL);
}

/* --- what comes from a process -------------------------------------------------------------------- */

static void process_free(struct process *process)
{
	pfs_command_free(process->command);
	pfs_closep(&process->fd);
	pfs_closep(&process->channel[0]);
	pfs_closep(&process->channel[1]);
	free(process->peers);
	free(process->number);
	free(process->tree);
	free(process);
}

/*
 * On the herd's thread. The process has ended, or is not to be listened to any more. First what it has mounted is
 * detached, so that whoever finds it gone can begin anew; then who waits for its answer is told.
 */
static void process_lost(struct rd_herd *herd, struct process *process)
{
	PFS_BUF struct pfs_buf text = { 0 };
	unsigned major, minor;
	bool leaving;

	pthread_mutex_lock(&herd->lock);
	major = process->major;
	minor = process->minor;
	leaving = process->leaving;
	pthread_mutex_unlock(&herd->lock);
	if (major || minor)
		herd->options.detach(herd->options.arg, major, minor);
	if (!leaving) {
		pfs_buf_str(&text, "the process that redirected ");
		pfs_buf_clean(&text, process->tree, strlen(process->tree));
		pfs_buf_str(&text, " has ended; its files are as they are below");
		if (!text.failed)
			herd->options.say(herd->options.arg, text.data);
	}
	pthread_mutex_lock(&herd->lock);
	close(process->fd);
	process->fd = -1;
	for (struct rd_watch *w = herd->watch; w; w = w->next)
		rd_watch_gone(w, process->id);
	pthread_cond_broadcast(&herd->news);
	pthread_mutex_unlock(&herd->lock);
}

/* Lock held. */
static void numbers_take(struct process *process, const struct rd_link_message *message)
{
	struct rd_link_number *copy = malloc(message->len + 1);

	if (!copy)
		return;
	memcpy(copy, message->body, message->len);
	free(process->number);
	process->number = copy;
	process->n_numbers = message->len / sizeof(*copy);
}

static void hear(const struct rd_herd *herd, struct rd_link_message *message)
{
	char *end = strchr((char *)message->body, '\n');

	*end = '\0';
	if (herd->options.hear)
		herd->options.hear(herd->options.arg, (const char *)message->body, end + 1);
}

/* Returns false: hang up. */
static bool message_take(struct rd_herd *herd, struct process *process, struct rd_link_message *message)
{
	bool answer = message->head.type == RD_LINK_DONE || message->head.type == RD_LINK_NUMBERS ||
		      message->head.type == RD_LINK_CHANNEL;

	if (!answer) {
		rd_link_fds_close(message);
		if (message->head.type == RD_LINK_SAY)
			hear(herd, message);
		return message->head.type == RD_LINK_SAY;
	}
	pthread_mutex_lock(&herd->lock);
	/* An answer to a question that nobody waits for any more is as good as none. */
	if (message->head.serial == process->asked && process->answered != process->asked) {
		process->answered = message->head.serial;
		process->result = message->head.value;
		pfs_diag_set(&process->diag, 0, "%s",
			     message->head.type == RD_LINK_DONE ? (const char *)message->body : "");
		if (message->head.type == RD_LINK_NUMBERS)
			numbers_take(process, message);
		if (message->head.type == RD_LINK_CHANNEL)
			for (int i = 0; i < 2; i++) {
				pfs_closep(&process->channel[i]);
				process->channel[i] = TAKE_FD(message->fd[i]);
			}
		pthread_cond_broadcast(&herd->news);
	} else if (message->head.serial <= process->told && message->head.serial > process->heard) {
		process->heard = message->head.serial;
		pthread_cond_broadcast(&herd->news);
	}
	pthread_mutex_unlock(&herd->lock);
	rd_link_fds_close(message);
	return true;
}

static void process_read(struct rd_herd *herd, struct process *process, int fd)
{
	struct rd_link_message *message = malloc(sizeof(*message));
	int r = -ENOMEM;

	while (message && (r = rd_link_receive(fd, message)) == 1 &&
	       message_take(herd, process, message))
		;
	free(message);
	if (r != -EAGAIN && r != -EINTR)
		process_lost(herd, process);
}

static void *herd_thread(void *arg)
{
	struct rd_herd *herd = arg;
	struct pollfd fds[PROCESSES_MAX + 1];
	struct process *process[PROCESSES_MAX + 1];

	for (;;) {
		eventfd_t count;
		nfds_t n = 1;

		fds[0] = (struct pollfd){ .fd = herd->wake_fd, .events = POLLIN };
		pthread_mutex_lock(&herd->lock);
		if (herd->ending) {
			pthread_mutex_unlock(&herd->lock);
			return NULL;
		}
		for (struct process *p = herd->first; p && n <= PROCESSES_MAX; p = p->next)
			if (p->fd >= 0) {
				fds[n] = (struct pollfd){ .fd = p->fd, .events = POLLIN };
				process[n++] = p;
			}
		pthread_mutex_unlock(&herd->lock);
		if (poll(fds, n, -1) < 0)
			continue;
		if (fds[0].revents)
			eventfd_read(herd->wake_fd, &count);
		/* Only this thread closes a descriptor of a process that is listed, and only it frees one. */
		for (nfds_t i = 1; i < n; i++)
			if (fds[i].revents)
				process_read(herd, process[i], fds[i].fd);
	}
}

/* --- asking ------------------------------------------------------------------------------------------- */

/* Lock held. The thread sees the end of a process, and detaches; nobody is to ask it again meanwhile. */
static void await_end(struct rd_herd *herd, const struct process *process)
{
	struct timespec until = patience(herd->options.patience);

	while (process->fd >= 0 && pthread_cond_timedwait(&herd->news, &herd->lock, &until) == 0)
		;
}

/* changes held. Asks and waits for the answer. -EIO: the process has gone; -ETIMEDOUT: it was killed. */
static int ask_more(struct rd_herd *herd, struct process *process, struct rd_link_head head,
		    const void *body, size_t len, const int *fds, size_t nfds, struct pfs_diag *diag)
{
	struct timespec until = patience(herd->options.patience);
	int r = 0;

	pthread_mutex_lock(&herd->lock);
	head.serial = process->asked = ++herd->serial;
	if (process->fd >= 0)
		r = rd_link_send(process->fd, &head, body, len, fds, nfds);
	while (r == 0 && process->fd >= 0 && process->answered != head.serial)
		r = -pthread_cond_timedwait(&herd->news, &herd->lock, &until);
	if (r == -EPIPE || r == -ECONNRESET)
		await_end(herd, process);
	if (r == 0 && process->answered == head.serial) {
		r = (int)process->result;
		if (r < 0)
			pfs_diag_set(diag, -r, "%s", process->diag.text);
	} else if (process->fd >= 0) {
		/* It neither reads nor answers. */
		pfs_command_signal(process->command, SIGKILL);
		await_end(herd, process);
		r = pfs_diag_set(diag, ETIMEDOUT,
				 "the process that redirects %.150s does not answer; it was ended",
				 process->tree);
	} else {
		r = pfs_diag_set(diag, EIO, "the process that redirects %.150s has ended",
				 process->tree);
	}
	pthread_mutex_unlock(&herd->lock);
	return r;
}

static int ask(struct rd_herd *herd, struct process *process, enum rd_link_type type,
	       const int *fds, size_t nfds, struct pfs_diag *diag)
{
	return ask_more(herd, process, (struct rd_link_head){ .type = type }, NULL, 0, fds, nfds, diag);
}

static struct process *find(struct rd_herd *herd, const char *tree)
{
	struct process *p;

	pthread_mutex_lock(&herd->lock);
	for (p = herd->first; p && (p->leaving || p->fd < 0 || strcmp(p->tree, tree) != 0); p = p->next)
		;
	pthread_mutex_unlock(&herd->lock);
	return p;
}

/* --- filters in other processes ---------------------------------------------------------------------------- */

static bool has_joined(const struct process *process, uint64_t peer)
{
	for (size_t i = 0; i < process->n_peers; i++)
		if (process->peers[i] == peer)
			return true;
	return false;
}

/*
 * changes held. Whom the configuration has filters of is brought together with the process. One that does not take its
 * end has died, or will be held to have.
 */
static int join_all(struct rd_herd *herd, struct process *process, const struct rd_link_config *config,
		    const struct rd_registry *registry, struct pfs_diag *diag)
{
	uint64_t *peers = pfs_zalloc(process->n_peers + config->n + 1, sizeof(*peers));

	if (!peers)
		return -ENOMEM;
	if (process->n_peers)
		memcpy(peers, process->peers, process->n_peers * sizeof(*peers));
	free(process->peers);
	process->peers = peers;
	for (size_t i = 0; i < config->n; i++) {
		const struct rd_link_filter *filter = &config->filter[i];
		struct rd_link_head head = { .type = RD_LINK_JOIN, .value = (int64_t)filter->peer };
		struct rd_link_join body;
		int fds[2], r;

		if (!filter->peer || has_joined(process, filter->peer))
			continue;
		body.pid = rd_registry_find(registry, filter->desc.name)->pid;
		r = ask_more(herd, process, head, &body, sizeof(body), NULL, 0, diag);
		if (r < 0)
			return r;
		process->peers[process->n_peers++] = filter->peer;
		pthread_mutex_lock(&herd->lock);
		fds[0] = TAKE_FD(process->channel[0]);
		fds[1] = TAKE_FD(process->channel[1]);
		pthread_mutex_unlock(&herd->lock);
		if (herd->hand && fds[0] >= 0 && fds[1] >= 0)
			(void)herd->hand(herd->hand_arg, filter->peer, fds[0], fds[1]);
		pfs_closep(&fds[0]);
		pfs_closep(&fds[1]);
	}
	return 0;
}

/* changes held. The process runs by that configuration: it has forgotten whom it does not name. */
static void joined_remain(struct process *process, const struct rd_link_config *config)
{
	size_t n = 0;

	for (size_t i = 0; i < process->n_peers; i++) {
		size_t j = 0;

		while (j < config->n && config->filter[j].peer != process->peers[i])
			j++;
		if (j < config->n)
			process->peers[n++] = process->peers[i];
	}
	process->n_peers = n;
}

static int configure(struct rd_herd *herd, struct process *process,
		     const struct rd_registry *registry, struct pfs_diag *diag)
{
	struct rd_link_config config;
	PFS_CLOSE int fd = -1;
	size_t had;
	int r = rd_config_for(registry, process->tree, &config);

	if (r < 0)
		return r;
	r = rd_link_config_to_fd(&config, &fd);
	had = process->n_peers;
	if (r == 0)
		r = join_all(herd, process, &config, registry, diag);
	if (r < 0) {
		rd_link_config_release(&config);
		return r;
	}
	r = ask(herd, process, RD_LINK_CONFIGURE, &fd, 1, diag);
	if (r == 0) {
		process->serial = registry->serial;
		joined_remain(process, &config);
	} else {
		process->n_peers = had; /* it has taken all of it back */
	}
	rd_link_config_release(&config);
	return r;
}

/* --- who reads operations ---------------------------------------------------------------------------- */

/* Lock held. What a process that does not take it sees is lost, which is told. */
static void watch_tell(struct rd_herd *herd, struct process *process, struct rd_watch *watch)
{
	struct rd_link_head head = { .type = RD_LINK_WATCH, .value = (int64_t)watch->serial };
	PFS_CLOSE int memory_fd = -1;
	int fds[2] = { -1, rd_watch_fd(watch) };

	int r;

	if (process->fd < 0 || !process->mounted)
		return;
	head.serial = ++herd->serial;
	r = rd_watch_add(watch, process->id, &memory_fd);
	fds[0] = memory_fd;
	if (r == 0)
		r = rd_link_send(process->fd, &head, watch->name, strlen(watch->name), fds, 2);
	if (r < 0)
		rd_watch_fail(watch, process->id);
	else
		process->told = head.serial;
}

int rd_herd_watch(struct rd_herd *herd, const char *name, struct rd_watch **ret_watch)
{
	struct rd_watch *watch;
	int r = rd_watch_new(name, &watch);

	if (r < 0)
		return r;
	pthread_mutex_lock(&herd->lock);
	watch->serial = ++herd->serial;
	watch->next = herd->watch;
	herd->watch = watch;
	for (struct process *p = herd->first; p; p = p->next)
		watch_tell(herd, p, watch);
	pthread_mutex_unlock(&herd->lock);
	*ret_watch = watch;
	return 0;
}

void rd_herd_unwatch(struct rd_herd *herd, struct rd_watch *watch)
{
	struct rd_link_head head = { .type = RD_LINK_UNWATCH, .value = (int64_t)watch->serial };
	struct rd_watch **at = &herd->watch;

	pthread_mutex_lock(&herd->lock);
	while (*at != watch)
		at = &(*at)->next;
	*at = watch->next;
	for (struct process *p = herd->first; p; p = p->next) {
		head.serial = ++herd->serial;
		if (p->fd >= 0 && p->mounted)
			(void)rd_link_send(p->fd, &head, NULL, 0, NULL, 0);
	}
	pthread_mutex_unlock(&herd->lock);
	rd_watch_free(watch);
}

/* Lock held. Has every process, or this one, taken what it was told? */
static bool all_heard(const struct rd_herd *herd, const struct process *only)
{
	for (const struct process *p = herd->first; p; p = p->next)
		if ((!only || p == only) && p->fd >= 0 && p->heard != p->told)
			return false;
	return true;
}

static int await_heard(struct rd_herd *herd, const struct process *only, unsigned milliseconds)
{
	struct timespec until = patience(milliseconds);
	int r = 0;

	pthread_mutex_lock(&herd->lock);
	while (r == 0 && !all_heard(herd, only))
		r = -pthread_cond_timedwait(&herd->news, &herd->lock, &until);
	pthread_mutex_unlock(&herd->lock);
	return r;
}

int rd_herd_watched(struct rd_herd *herd, unsigned milliseconds)
{
	return await_heard(herd, NULL, milliseconds);
}

/* changes held. A process that has just taken its first configuration. */
static void watch_all(struct rd_herd *herd, struct process *process)
{
	pthread_mutex_lock(&herd->lock);
	process->mounted = true;
	for (struct rd_watch *w = herd->watch; w; w = w->next)
		watch_tell(herd, process, w);
	pthread_mutex_unlock(&herd->lock);
	(void)await_heard(herd, process, herd->options.patience);
}

/* --- beginning and ending ---------------------------------------------------------------------------- */

static int launch(struct rd_herd *herd, struct process *process, int fd, struct pfs_diag *diag)
{
	PFS_ARGV struct pfs_argv argv = { 0 };
	const char *words[WORDS_MAX];
	struct pfs_command_options options = {
		.argv = &argv,
		.caller = &herd->caller,
		.fd = { fd, STDERR_FILENO, STDERR_FILENO },
	};
	size_t n = 0;
	int r;

	while (n < WORDS_MAX - 3 && herd->options.program[n]) {
		words[n] = herd->options.program[n];
		n++;
	}
	words[n++] = "--link";
	words[n++] = "0";
	words[n++] = process->tree;
	r = pfs_argv_make(words, n, &argv);
	return r < 0 ? r : pfs_command_start(herd->options.spawner, &options, &process->command, diag);
}

/* Which mount that is, for when the process cannot say it any more. */
static void remember_mount(struct rd_herd *herd, struct process *process)
{
	struct pfs_mountinfo *info = malloc(sizeof(*info));

	if (info && pfs_mountinfo_at(process->tree, info) == 0) {
		pthread_mutex_lock(&herd->lock);
		process->major = info->major;
		process->minor = info->minor;
		pthread_mutex_unlock(&herd->lock);
	}
	free(info);
}

/* changes held. Told to go; stays until its files are closed. */
static void end(struct rd_herd *herd, struct process *process)
{
	struct pfs_diag diag;

	pthread_mutex_lock(&herd->lock);
	process->leaving = true;
	pthread_mutex_unlock(&herd->lock);
	if (ask(herd, process, RD_LINK_END, NULL, 0, &diag) < 0) {
		pthread_mutex_lock(&herd->lock);
		if (process->fd >= 0)
			pfs_command_signal(process->command, SIGKILL);
		pthread_mutex_unlock(&herd->lock);
	}
}

static int begin(struct rd_herd *herd, const char *tree, const struct rd_registry *registry,
		 struct pfs_diag *diag)
{
	struct process *process = pfs_zalloc(1, sizeof(*process));
	int fds[2], r;

	if (!process)
		return -ENOMEM;
	process->fd = process->channel[0] = process->channel[1] = -1;
	process->tree = strdup(tree);
	if (!process->tree || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		r = process->tree ? -errno : -ENOMEM;
		process_free(process);
		return r;
	}
	process->fd = fds[0];
	r = launch(herd, process, fds[1], diag);
	close(fds[1]);
	if (r < 0) {
		process_free(process);
		return r;
	}
	pthread_mutex_lock(&herd->lock);
	process->id = ++herd->serial;
	process->next = herd->first;
	herd->first = process;
	pthread_mutex_unlock(&herd->lock);
	wake(herd);
	r = configure(herd, process, registry, diag);
	if (r < 0) {
		end(herd, process);
		return r;
	}
	remember_mount(herd, process);
	watch_all(herd, process);
	return 0;
}

/* changes held. Those that have gone are forgotten. */
static void sweep(struct rd_herd *herd)
{
	struct process *gone = NULL;

	pthread_mutex_lock(&herd->lock);
	for (struct process **at = &herd->first; *at;) {
		struct process *process = *at;

		if (process->fd >= 0) {
			at = &process->next;
			continue;
		}
		*at = process->next;
		process->next = gone;
		gone = process;
	}
	pthread_mutex_unlock(&herd->lock);
	while (gone) {
		struct process *process = gone;

		gone = process->next;
		process_free(process);
	}
}

/* --- changes ----------------------------------------------------------------------------------------------- */

/* changes held. How many have begun and not ended. */
static size_t count(struct rd_herd *herd)
{
	size_t n = 0;

	pthread_mutex_lock(&herd->lock);
	for (struct process *p = herd->first; p; p = p->next)
		n++;
	pthread_mutex_unlock(&herd->lock);
	return n;
}

/* A process that dies meanwhile begins again below. */
static int configure_all(struct rd_herd *herd, const struct rd_registry *registry,
			 const struct rd_trees *trees, struct pfs_diag *diag)
{
	for (size_t i = 0; i < trees->n; i++) {
		struct process *process = find(herd, trees->path[i]);
		int r;

		if (!process || process->serial == registry->serial)
			continue;
		r = configure(herd, process, registry, diag);
		/* One that has gone is begun again; it is not given another chance to hang. */
		if (r == -ETIMEDOUT || (r < 0 && find(herd, trees->path[i])))
			return r;
	}
	return 0;
}

/* changes held. The trees that are redirected now. */
static int running(struct rd_herd *herd, struct rd_trees *ret_trees)
{
	const char *paths[PROCESSES_MAX];
	size_t n = 0;

	pthread_mutex_lock(&herd->lock);
	for (const struct process *p = herd->first; p && n < PROCESSES_MAX; p = p->next)
		if (p->fd >= 0 && !p->leaving)
			paths[n++] = p->tree;
	pthread_mutex_unlock(&herd->lock);
	return rd_trees_outermost(paths, n, ret_trees);
}

static int step(struct rd_herd *herd, const struct rd_step *step,
		const struct rd_registry *registry, struct pfs_diag *diag)
{
	struct process *process = find(herd, step->path);

	if (step->kind == RD_STEP_END) {
		if (process)
			end(herd, process);
		return 0;
	}
	if (count(herd) >= PROCESSES_MAX)
		return pfs_diag_set(diag, ENOSPC, "there are %d redirect processes: no more",
				    PROCESSES_MAX);
	return begin(herd, step->path, registry, diag);
}

/*
 * changes held. From whatever is there to what the registry says. Who stays is asked first, and may refuse before
 * anybody has gone.
 */
static int settle(struct rd_herd *herd, const struct rd_registry *registry, struct pfs_diag *diag)
{
	RD_TREES struct rd_trees next = { 0 }, old = { 0 };
	PFS_FREE struct rd_step *steps = NULL;
	size_t n = 0;
	int r = rd_trees_of(registry, &next);

	sweep(herd);
	if (r == 0)
		r = configure_all(herd, registry, &next, diag);
	if (r == 0)
		r = running(herd, &old);
	if (r == 0) {
		steps = pfs_zalloc(old.n + next.n, sizeof(*steps));
		r = steps ? 0 : -ENOMEM;
	}
	if (r == 0)
		n = rd_trees_plan(&old, &next, steps);
	for (size_t i = 0; i < n && r == 0; i++)
		r = step(herd, &steps[i], registry, diag);
	sweep(herd);
	return r;
}

int rd_herd_change(struct rd_herd *herd,
		   int (*change)(void *arg, struct rd_registry *next, struct pfs_diag *diag),
		   void *arg, struct pfs_diag *diag)
{
	RD_REGISTRY struct rd_registry *next = NULL;
	struct pfs_diag ignored;
	int r;

	pthread_mutex_lock(&herd->changes);
	r = herd->closed ? -ESHUTDOWN : rd_registry_copy(herd->now, &next);
	if (r == 0)
		r = change(arg, next, diag);
	if (r == 0) {
		r = settle(herd, next, diag);
		if (r < 0)
			(void)settle(herd, herd->now, &ignored);
	}
	if (r == 0) {
		struct rd_registry *old = herd->now;

		pthread_mutex_lock(&herd->lock);
		herd->now = next;
		pthread_mutex_unlock(&herd->lock);
		next = old;
	}
	pthread_mutex_unlock(&herd->changes);
	return r;
}

void rd_herd_hand(struct rd_herd *herd, int (*hand)(void *arg, uint64_t peer, int fd, int memory),
		  void *arg)
{
	pthread_mutex_lock(&herd->changes);
	herd->hand = hand;
	herd->hand_arg = arg;
	pthread_mutex_unlock(&herd->changes);
}

void rd_herd_lose(struct rd_herd *herd, uint64_t peer)
{
	struct rd_registry *next = NULL;
	struct pfs_diag ignored;

	pthread_mutex_lock(&herd->changes);
	if (!herd->closed && rd_registry_copy(herd->now, &next) == 0 &&
	    rd_registry_lose(next, peer) > 0) {
		struct rd_registry *old = herd->now;

		pthread_mutex_lock(&herd->lock);
		herd->now = next;
		pthread_mutex_unlock(&herd->lock);
		next = old;
		(void)settle(herd, herd->now, &ignored);
	}
	rd_registry_free(next);
	pthread_mutex_unlock(&herd->changes);
}

/* --- looking ------------------------------------------------------------------------------------------------- */

void rd_herd_look(struct rd_herd *herd, void (*look)(void *arg, const struct rd_registry *now),
		  void *arg)
{
	pthread_mutex_lock(&herd->lock);
	look(arg, herd->now);
	pthread_mutex_unlock(&herd->lock);
}

static void add_numbers(const struct process *process, const char *name, struct rd_link_number *sum)
{
	for (size_t i = 0; i < process->n_numbers; i++) {
		const struct rd_link_number *one = &process->number[i];

		if (strcmp(one->name, name) != 0)
			continue;
		sum->hooked += one->hooked;
		sum->pres += one->pres;
		sum->posts += one->posts;
		sum->stops += one->stops;
		sum->failures += one->failures;
		sum->late += one->late;
		sum->skipped += one->skipped;
		sum->time_ns += one->time_ns;
	}
}

int rd_herd_numbers(struct rd_herd *herd, const char *name, struct rd_link_number *ret_number)
{
	const struct rd_registered *filter;
	struct rd_link_number sum = { 0 };
	struct pfs_diag diag;
	int r = -ENODEV;

	pthread_mutex_lock(&herd->changes);
	filter = rd_registry_find(herd->now, name);
	for (struct process *p = herd->first; filter && p; p = p->next) {
		if (!rd_registered_concerns(filter, p->tree) ||
		    ask(herd, p, RD_LINK_ASK, NULL, 0, &diag) < 0)
			continue;
		pthread_mutex_lock(&herd->lock);
		add_numbers(p, name, &sum);
		pthread_mutex_unlock(&herd->lock);
	}
	if (filter) {
		memcpy(sum.name, filter->name, sizeof(sum.name));
		*ret_number = sum;
		r = 0;
	}
	pthread_mutex_unlock(&herd->changes);
	return r;
}

void rd_herd_list(struct rd_herd *herd, struct pfs_buf *out)
{
	pthread_mutex_lock(&herd->lock);
	for (const struct process *p = herd->first; p; p = p->next) {
		if (p->fd < 0)
			continue;
		rd_path_say(out, p->tree);
		pfs_buf_printf(out, " %ld %s\n", (long)pfs_command_pid(p->command),
			       p->leaving ? "leaving" : "running");
	}
	pthread_mutex_unlock(&herd->lock);
}

/* --- the herd -------------------------------------------------------------------------------------------------- */

static void news_init(struct rd_herd *herd)
{
	pthread_condattr_t attr;

	pthread_mutex_init(&herd->changes, NULL);
	pthread_mutex_init(&herd->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&herd->news, &attr);
	pthread_condattr_destroy(&attr);
}

static void herd_destroy(struct rd_herd *herd)
{
	rd_registry_free(herd->now);
	pfs_caller_release(&herd->caller);
	pfs_closep(&herd->wake_fd);
	pthread_cond_destroy(&herd->news);
	pthread_mutex_destroy(&herd->lock);
	pthread_mutex_destroy(&herd->changes);
	free(herd);
}

int rd_herd_new(const struct rd_herd_options *options, struct rd_herd **ret_herd)
{
	struct rd_herd *herd = pfs_zalloc(1, sizeof(*herd));
	int r;

	if (!herd)
		return -ENOMEM;
	herd->options = *options;
	if (!herd->options.patience)
		herd->options.patience = RD_HERD_PATIENCE;
	herd->caller.netns_fd = -1;
	news_init(herd);
	herd->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = herd->wake_fd < 0 ? -errno : rd_registry_new(&herd->now);
	if (r == 0)
		r = pfs_caller_self(&herd->caller);
	if (r == 0)
		r = -pthread_create(&herd->thread, NULL, herd_thread, herd);
	if (r < 0) {
		herd_destroy(herd);
		return r;
	}
	*ret_herd = herd;
	return 0;
}

static int forget_all(void *arg, struct rd_registry *next, struct pfs_diag *diag)
{
	(void)arg;
	while (next->n)
		(void)rd_registry_remove(next, next->filter[next->n - 1]->name, diag);
	return 0;
}

void rd_herd_end(struct rd_herd *herd)
{
	struct pfs_diag diag;

	(void)rd_herd_change(herd, forget_all, NULL, &diag);
	pthread_mutex_lock(&herd->changes);
	herd->closed = true;
	pthread_mutex_unlock(&herd->changes);
}

void rd_herd_free(struct rd_herd *herd)
{
	if (!herd)
		return;
	rd_herd_end(herd);
	pthread_mutex_lock(&herd->lock);
	herd->ending = true;
	pthread_mutex_unlock(&herd->lock);
	wake(herd);
	pthread_join(herd->thread, NULL);
	while (herd->first) {
		struct process *process = herd->first;

		herd->first = process->next;
		process_free(process);
	}
	herd_destroy(herd);
}
