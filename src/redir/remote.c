#include "redir/remote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/socket.h"
#include "redir/args.h"
#include "redir/own.h"
#include "urfs/wire.h"

#define READERS 3
#define PENDING_MAX 4096 /* at the same time; more fail */
#define STRANGE_MAX 1000

/* One ask that is out, or whose late answer is still awaited. */
struct pending {
	struct rd_ask *ask; /* NULL: it was late, or free */
	uint64_t key;	    /* index and a count; 0: free */
	uint32_t slot;
	bool borrowed; /* the slot is the call's own (rd_data_get()) */
	bool sent;
	bool sub; /* a sub-call is under way: nobody ends the ask before that has */
	uint64_t kept[3];
	uint32_t next; /* free ones, or those that wait to be sent */
};

struct slot {
	bool used; /* by a call, or for a copy */
	bool lent; /* the process may write into it */
};

struct rd_remote {
	_Atomic unsigned refs; /* the owner's, and one a hook */
	int fd, event;
	pid_t pid;
	struct rd_own own;
	uint8_t *memory;
	pthread_t threads[READERS + 1];
	size_t n_threads;
	_Atomic unsigned listening; /* readers that have not said yet which ask is theirs now */
	_Atomic bool dead;	    /* changed under lock; nobody is asked any more */

	pthread_mutex_t lock; /* of all below */
	bool ready, stopping, full;
	struct pending pending[PENDING_MAX];
	uint32_t free_pending, first_unsent, last_unsent; /* PENDING_MAX: none */
	struct slot slots[UW_SLOTS];
	uint64_t count, wake_at; /* wake_at: when the keeper looks next */
	struct rd_remote_stat stat;
};

struct peer {
	struct rd_hook hook;
	struct rd_remote *remote; /* a reference */
	uint32_t id;
};

static void remote_unref(struct rd_remote *remote)
{
	if (atomic_fetch_sub(&remote->refs, 1) > 1)
		return;
	if (remote->memory)
		munmap(remote->memory, UW_SLOTS * UW_SLOT_SIZE);
	pfs_closep(&remote->fd);
	pfs_closep(&remote->event);
	rd_own_release(&remote->own);
	pthread_mutex_destroy(&remote->lock);
	free(remote);
}

static void keeper_wake(struct rd_remote *remote)
{
	uint64_t one = 1;

	if (write(remote->event, &one, sizeof(one)) < 0)
		return; /* it is awake */
}

/* --- slots; locked ------------------------------------------------------------------------------ */

static uint8_t *slot_bytes(const struct rd_remote *remote, uint32_t slot)
{
	return remote->memory + (size_t)slot * UW_SLOT_SIZE;
}

static uint32_t slot_take(struct rd_remote *remote)
{
	for (uint32_t i = 0; i < UW_SLOTS; i++)
		if (!remote->slots[i].used && !remote->slots[i].lent) {
			remote->slots[i].used = true;
			return i;
		}
	return UW_NO_SLOT;
}

/* --- asks that are out; locked -------------------------------------------------------------------- */

static struct pending *pending_new(struct rd_remote *remote, struct rd_ask *ask)
{
	uint32_t i = remote->free_pending;
	struct pending *pending = &remote->pending[i];

	if (i == PENDING_MAX)
		return NULL;
	remote->free_pending = pending->next;
	*pending = (struct pending){
		.ask = ask, .key = ++remote->count << 16 | i, .slot = UW_NO_SLOT, .next = PENDING_MAX
	};
	remote->stat.pending++;
	return pending;
}

static void pending_free(struct rd_remote *remote, struct pending *pending)
{
	if (pending->slot != UW_NO_SLOT) {
		remote->slots[pending->slot].lent = false;
		if (!pending->borrowed)
			remote->slots[pending->slot].used = false;
	}
	pending->key = 0;
	pending->ask = NULL;
	pending->next = remote->free_pending;
	remote->free_pending = (uint32_t)(pending - remote->pending);
	remote->stat.pending--;
}

static struct pending *pending_find(struct rd_remote *remote, uint64_t key)
{
	struct pending *pending = &remote->pending[key & 0xffff & (PENDING_MAX - 1)];

	return key != 0 && pending->key == key ? pending : NULL;
}

static void unsent_add(struct rd_remote *remote, struct pending *pending)
{
	uint32_t i = (uint32_t)(pending - remote->pending);

	pending->next = PENDING_MAX;
	if (remote->first_unsent == PENDING_MAX)
		remote->first_unsent = i;
	else
		remote->pending[remote->last_unsent].next = i;
	remote->last_unsent = i;
}

static void unsent_remove(struct rd_remote *remote, struct pending *pending)
{
	uint32_t i = (uint32_t)(pending - remote->pending), *at = &remote->first_unsent,
		 before = PENDING_MAX;

	while (*at != PENDING_MAX && *at != i) {
		before = *at;
		at = &remote->pending[*at].next;
	}
	if (*at != i)
		return;
	*at = pending->next;
	if (remote->last_unsent == i)
		remote->last_unsent = before;
}

/* --- sending; locked -------------------------------------------------------------------------------- */

/* 0; -EAGAIN: it does not fit now; the end of the channel else. */
static int send_message(struct rd_remote *remote, const void *message, size_t size)
{
	ssize_t n;

	do
		n = send(remote->fd, message, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	if (errno != EAGAIN && errno != ENOBUFS)
		return -errno;
	remote->full = true;
	keeper_wake(remote);
	return -EAGAIN;
}

/* Gives the call's bytes a slot, with what the filter may read in it. -EAGAIN: none is free. */
static int pending_lend(struct rd_remote *remote, struct pending *pending, const struct peer *peer)
{
	const struct rd_call *call = pending->ask->call;
	size_t size = rd_args_data_size(pending->ask);

	if (size == 0)
		return 0;
	if (pending->slot == UW_NO_SLOT && call->data.home == &peer->hook) {
		pending->slot = call->data.slot;
		pending->borrowed = true;
	} else if (pending->slot == UW_NO_SLOT) {
		pending->slot = slot_take(remote);
		if (pending->slot == UW_NO_SLOT)
			return -EAGAIN;
		if (call->op == RD_WRITE || pending->ask->post)
			memcpy(slot_bytes(remote, pending->slot), call->data.bytes, size);
	}
	remote->slots[pending->slot].lent = true;
	return 0;
}

static int pending_send(struct rd_remote *remote, struct pending *pending)
{
	_Alignas(8) uint8_t room[UW_CALL_MAX];
	struct uw_call *call = (struct uw_call *)room;
	struct peer *peer = pending->ask->state;
	struct rfs_args args;
	int r = pending_lend(remote, pending, peer);

	if (r < 0)
		return r;
	rd_args_fill(pending->ask, NULL, &args);
	r = uw_call_put(&args, call);
	if (r < 0)
		return r;
	call->key = pending->key;
	call->filter = peer->id;
	call->slot = pending->slot;
	call->data_size = pending->slot == UW_NO_SLOT ? 0 : rd_args_data_size(pending->ask);
	memcpy(call->kept, pending->kept, sizeof(call->kept));
	r = send_message(remote, call, call->head.size);
	if (r == 0) {
		pending->sent = true;
		remote->stat.asked++;
	}
	return r;
}

static void unsent_send(struct rd_remote *remote)
{
	while (remote->first_unsent != PENDING_MAX) {
		struct pending *pending = &remote->pending[remote->first_unsent];

		if (pending_send(remote, pending) < 0)
			return; /* what cannot be sent at all ends by its deadline */
		unsent_remove(remote, pending);
	}
}

/* --- the end ------------------------------------------------------------------------------------------- */

/* Nobody is asked any more. Readers take what has come, and see the end then. */
static void remote_end(struct rd_remote *remote)
{
	pthread_mutex_lock(&remote->lock);
	if (!remote->dead) {
		remote->dead = true;
		shutdown(remote->fd, SHUT_RDWR);
	}
	pthread_mutex_unlock(&remote->lock);
	keeper_wake(remote);
}

/* Nothing comes any more. What is out has failed; what has a sub-call under way fails after it. */
static void remote_fail(struct rd_remote *remote)
{
	pthread_mutex_lock(&remote->lock);
	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending *pending = &remote->pending[i];
		struct rd_ask *ask = pending->ask;

		if (pending->key == 0 || pending->sub)
			continue;
		unsent_remove(remote, pending);
		pending_free(remote, pending);
		if (!ask)
			continue;
		pthread_mutex_unlock(&remote->lock);
		rd_ask_answer(ask, RD_FAILED);
		pthread_mutex_lock(&remote->lock);
	}
	pthread_mutex_unlock(&remote->lock);
}

/*
 * A reader has no answer in its hands that is not in the table. At the end the last one fails what is left: one sees
 * the end while another has the last answer, which counts.
 */
static void reader_heard(struct rd_remote *remote)
{
	if (atomic_fetch_sub(&remote->listening, 1) == 1 && remote->dead)
		remote_fail(remote);
}

/* --- what a filter keeps there --------------------------------------------------------------------------- */

static void kept_free(struct rd_hook *hook, uint64_t value)
{
	struct rd_remote *remote = CONTAINER_OF(hook, struct peer, hook)->remote;
	const struct uw_forget forget = { { UW_FORGET, sizeof(forget) }, value };

	/* When it does not fit, the process keeps it until it ends. */
	pthread_mutex_lock(&remote->lock);
	if (!remote->dead)
		send_message(remote, &forget, sizeof(forget));
	pthread_mutex_unlock(&remote->lock);
}

static void kept_load(struct rd_ask *ask, uint64_t kept[3])
{
	for (int i = 0; i < 3; i++)
		if (!rd_ask_kept(ask, (enum rd_keep)i, &kept[i]))
			kept[i] = 0;
}

/* As the process has left it. */
static void kept_store(struct rd_ask *ask, struct rd_hook *hook, const uint64_t had[3],
		       const uint64_t now[3])
{
	for (int i = 0; i < 3; i++) {
		uint64_t value;

		if (had[i] == now[i])
			continue;
		if (had[i] != 0)
			rd_ask_detach(ask, (enum rd_keep)i, &value);
		if (now[i] != 0 && rd_ask_attach(ask, (enum rd_keep)i, now[i], kept_free, NULL) < 0)
			kept_free(hook, now[i]); /* another call was quicker */
	}
}

/* --- answers ---------------------------------------------------------------------------------------------- */

/* The bytes that the filter has left, where they count. Not locked: the slot is ours until pending_free(). */
static void take_data(struct rd_remote *remote, const struct pending *pending, struct rd_ask *ask,
		      bool stop)
{
	struct rd_call *call = ask->call;
	size_t size = rd_args_data_size(ask);

	if (pending->slot == UW_NO_SLOT || pending->borrowed)
		return;
	if (call->op == RD_READ && !ask->post && !stop)
		return;
	memcpy(call->data.bytes, slot_bytes(remote, pending->slot), size);
}

static int take_answer(struct rd_remote *remote, struct pending *pending, struct rd_ask *ask,
		       const struct uw_answer *answer)
{
	struct rfs_args args;
	struct peer *peer = ask->state;

	rd_args_fill(ask, NULL, &args);
	args.retv.rv_ssize = answer->result;
	if ((unsigned)args.type.id / 16 == RFS_GETATTR || (unsigned)args.type.id / 16 == RFS_SETATTR)
		args.args.i_attr.stat = answer->stat;
	kept_store(ask, &peer->hook, pending->kept, answer->kept);
	memcpy(pending->kept, answer->kept, sizeof(pending->kept));
	take_data(remote, pending, ask, answer->verdict == RFS_STOP);
	return rd_args_take(ask, &args);
}

static void subcall_done(struct rd_ask *ask)
{
	struct rd_remote *remote = ((struct peer *)ask->state)->remote;
	struct uw_answer done = { { UW_SUBDONE, sizeof(done) },
				  .key = ask->key,
				  .result = ask->call->result };
	struct pending *pending;
	bool ended, dead;

	pthread_mutex_lock(&remote->lock);
	dead = remote->dead;
	pending = pending_find(remote, ask->key);
	assert(pending && pending->sub);
	pending->sub = false;
	if (pending->slot != UW_NO_SLOT && !pending->borrowed && ask->call->op == RD_READ &&
	    done.result > 0)
		memcpy(slot_bytes(remote, pending->slot), ask->call->data.bytes, (size_t)done.result);
	ended = dead || pfs_clock_mono() >= ask->deadline;
	if (!ended && send_message(remote, &done, sizeof(done)) < 0)
		ended = true; /* it does not listen */
	if (ended && dead)
		pending_free(remote, pending);
	else if (ended)
		pending->ask = NULL;
	pthread_mutex_unlock(&remote->lock);
	if (ended)
		rd_ask_answer(ask, dead ? RD_FAILED : RD_LATE);
}

/*
 * The filter asks for the file. Who has claimed the ask waits here for nothing but the filesystem
 * below; while he does, nobody else ends it.
 */
static void on_open(struct rd_remote *remote, struct pending *pending, struct rd_ask *ask)
{
	struct uw_answer opened = { { UW_OPENED, sizeof(opened) }, .key = pending->key };
	const struct iovec iov = { &opened, sizeof(opened) };
	PFS_CLOSE int fd = ask->call->open_file ? ask->call->open_file(ask->call) : -ENOENT;
	bool dead, late;

	opened.result = fd < 0 ? fd : 0;
	pthread_mutex_lock(&remote->lock);
	pending->sub = false;
	dead = remote->dead;
	/* It waits, so there is room; when there is none it does not listen, and is late. */
	late = !dead && pfs_socket_send(remote->fd, &iov, 1, MSG_DONTWAIT, &fd, fd >= 0) < 0;
	if (dead)
		pending_free(remote, pending);
	else if (late)
		pending->ask = NULL;
	else if (ask->deadline < remote->wake_at)
		keeper_wake(remote); /* it may have passed by while the ask was ours */
	pthread_mutex_unlock(&remote->lock);
	if (dead || late)
		rd_ask_answer(ask, dead ? RD_FAILED : RD_LATE);
}

/*
 * Takes what the answer is about out of the table, so that nobody else ends it. NULL: it was
 * late, or there is no such thing.
 */
static struct pending *answer_claim(struct rd_remote *remote, const struct uw_answer *answer,
				    struct rd_ask **ret_ask)
{
	struct pending *pending;

	pthread_mutex_lock(&remote->lock);
	pending = pending_find(remote, answer->key);
	if (!pending || !pending->sent || pending->sub) {
		remote->stat.strange++;
		pending = NULL;
	} else if (!pending->ask) {
		pending_free(remote, pending); /* late: its slot is free again */
		unsent_send(remote);
		pending = NULL;
	} else {
		*ret_ask = pending->ask;
		pending->sub = true; /* ours now */
	}
	pthread_mutex_unlock(&remote->lock);
	return pending;
}

static void on_answer(struct rd_remote *remote, struct pending *pending, struct rd_ask *ask,
		      const struct uw_answer *answer)
{
	enum rd_verdict verdict = answer->verdict == RFS_STOP ? RD_STOP : RD_CONTINUE;
	bool subcall = answer->head.type == UW_SUBCALL;

	if (answer->head.type == UW_OPEN) {
		on_open(remote, pending, ask);
		return;
	}
	if (take_answer(remote, pending, ask, answer) < 0)
		verdict = RD_FAILED;
	else if (subcall && !ask->post) {
		rd_ask_subcall(ask, subcall_done);
		return;
	} else if (subcall)
		verdict = RD_FAILED;
	pthread_mutex_lock(&remote->lock);
	if (verdict == RD_FAILED)
		remote->stat.strange++;
	remote->stat.answered++;
	pending_free(remote, pending);
	if (remote->first_unsent != PENDING_MAX)
		unsent_send(remote);
	pthread_mutex_unlock(&remote->lock);
	rd_ask_answer(ask, verdict);
}

/* A few answers to what nobody has asked are late ones; many are no filter's. */
static bool few_strange(struct rd_remote *remote)
{
	bool enough;

	pthread_mutex_lock(&remote->lock);
	enough = remote->stat.strange < STRANGE_MAX;
	pthread_mutex_unlock(&remote->lock);
	return enough;
}

static void *reader(void *arg)
{
	struct rd_remote *remote = arg;
	_Alignas(8) uint8_t message[sizeof(struct uw_answer) + 8];

	for (;;) {
		const struct uw_answer *answer = (const struct uw_answer *)message;
		struct pending *pending;
		struct rd_ask *ask;
		ssize_t n;

		remote->listening++;
		do /* of one that has died with questions unread, answers come after the first of these errors */
			n = recv(remote->fd, message, sizeof(message), MSG_TRUNC);
		while (n < 0 && (errno == EINTR || errno == ECONNRESET));
		if (n <= 0 || (size_t)n > sizeof(message) ||
		    uw_check(UW_CHANNEL_FROM_FILTER, message, (size_t)n) < 0 || !few_strange(remote))
			break; /* it does not speak our language: as if it had died */
		pending = answer_claim(remote, answer, &ask);
		reader_heard(remote);
		if (pending)
			on_answer(remote, pending, ask, answer);
	}
	remote_end(remote);
	reader_heard(remote);
	return NULL;
}

/*
 * --- deadlines
 * ---------------------------------------------------------------------------------------------
 */

/* Ends what is late. When the next one will be. Locked, but not while it ends one. */
static uint64_t end_late(struct rd_remote *remote)
{
	uint64_t next = UINT64_MAX, now = pfs_clock_mono();

	for (size_t i = 0; i < PENDING_MAX; i++) {
		struct pending *pending = &remote->pending[i];
		struct rd_ask *ask = pending->ask;

		if (pending->key == 0 || !ask || pending->sub)
			continue;
		if (ask->deadline > now) {
			next = pfs_min64(next, ask->deadline);
			continue;
		}
		pending->ask = NULL;
		if (!pending->sent) {
			unsent_remove(remote, pending);
			pending_free(remote, pending);
		}
		pthread_mutex_unlock(&remote->lock);
		rd_ask_answer(ask, RD_LATE);
		pthread_mutex_lock(&remote->lock);
	}
	return next;
}

static void *keeper(void *arg)
{
	struct rd_remote *remote = arg;
	uint64_t asked = 0;

	pthread_mutex_lock(&remote->lock);
	while (!remote->stopping) {
		struct pollfd poll_fds[2] = { { remote->event, POLLIN, 0 }, { -1, POLLOUT, 0 } };
		uint64_t next = end_late(remote), now = pfs_clock_mono(), count;
		int timeout = -1;

		if (next == UINT64_MAX && remote->stat.asked != asked)
			next = now + RD_DEADLINE; /* there will be more: they need not wake us */
		asked = remote->stat.asked;
		remote->wake_at = next;
		if (next != UINT64_MAX)
			timeout = next > now ? (int)pfs_min64((next - now) / 1000000 + 1, 1 << 30) : 0;
		if (remote->full && !remote->dead)
			poll_fds[1].fd = remote->fd;
		pthread_mutex_unlock(&remote->lock);
		poll(poll_fds, 2, timeout);
		if (poll_fds[0].revents && read(remote->event, &count, sizeof(count)) < 0)
			count = 0;
		pthread_mutex_lock(&remote->lock);
		if (poll_fds[1].revents) {
			remote->full = false;
			unsent_send(remote);
		}
	}
	pthread_mutex_unlock(&remote->lock);
	return NULL;
}

/*
 * --- the hook
 * ------------------------------------------------------------------------------------------------
 */

static bool peer_ask(struct rd_hook *hook, struct rd_ask *ask, enum rd_verdict *ret_verdict)
{
	struct peer *peer = CONTAINER_OF(hook, struct peer, hook);
	struct rd_remote *remote = peer->remote;
	struct pending *pending;
	uint64_t kept[3];
	int r;

	kept_load(ask, kept);
	ask->state = peer;
	pthread_mutex_lock(&remote->lock);
	if (remote->dead || !remote->ready) {
		*ret_verdict = remote->ready ? RD_FAILED : RD_CONTINUE;
		pthread_mutex_unlock(&remote->lock);
		return true;
	}
	pending = pending_new(remote, ask);
	if (!pending) {
		pthread_mutex_unlock(&remote->lock);
		*ret_verdict = RD_FAILED;
		return true;
	}
	memcpy(pending->kept, kept, sizeof(kept));
	ask->key = pending->key;
	r = remote->first_unsent == PENDING_MAX ? pending_send(remote, pending) : -EAGAIN;
	if (r == -EAGAIN) {
		unsent_add(remote, pending);
	} else if (r < 0) {
		pending_free(remote, pending);
		pthread_mutex_unlock(&remote->lock);
		*ret_verdict = RD_FAILED;
		return true;
	}
	if (ask->deadline < remote->wake_at) {
		remote->wake_at = ask->deadline;
		keeper_wake(remote);
	}
	pthread_mutex_unlock(&remote->lock);
	return false;
}

static bool peer_own(struct rd_hook *hook, pid_t pid)
{
	struct rd_remote *remote = CONTAINER_OF(hook, struct peer, hook)->remote;

	return rd_own_is(&remote->own, pid);
}

static bool peer_data_get(struct rd_hook *hook, size_t size, struct rd_data *ret_data)
{
	struct rd_remote *remote = CONTAINER_OF(hook, struct peer, hook)->remote;
	uint32_t slot;

	pthread_mutex_lock(&remote->lock);
	slot = remote->dead ? UW_NO_SLOT : slot_take(remote);
	pthread_mutex_unlock(&remote->lock);
	if (slot == UW_NO_SLOT)
		return false;
	*ret_data = (struct rd_data){ .bytes = slot_bytes(remote, slot), .size = size, .slot = slot };
	return true;
}

static void peer_data_put(struct rd_hook *hook, struct rd_data *data)
{
	struct rd_remote *remote = CONTAINER_OF(hook, struct peer, hook)->remote;

	pthread_mutex_lock(&remote->lock);
	remote->slots[data->slot].used = false;
	if (remote->first_unsent != PENDING_MAX)
		unsent_send(remote);
	pthread_mutex_unlock(&remote->lock);
}

static void peer_free(struct rd_hook *hook)
{
	struct peer *peer = CONTAINER_OF(hook, struct peer, hook);

	remote_unref(peer->remote);
	free(peer);
}

static const struct rd_hook_ops peer_ops = {
	.ask = peer_ask,
	.own = peer_own,
	.data_get = peer_data_get,
	.data_put = peer_data_put,
	.free = peer_free,
};

int rd_remote_hook(struct rd_remote *remote, uint32_t id, struct rd_hook **ret_hook)
{
	struct peer *peer = pfs_zalloc(1, sizeof(*peer));

	if (!peer)
		return -ENOMEM;
	rd_hook_init(&peer->hook, &peer_ops);
	atomic_fetch_add(&remote->refs, 1);
	peer->remote = remote;
	peer->id = id;
	*ret_hook = &peer->hook;
	return 0;
}

/*
 * --- beginning and end
 * ------------------------------------------------------------------------------------------
 */

/* Memory whose size neither side can change: no SIGBUS. */
static int memory_new(struct rd_remote *remote, int *ret_memory)
{
	PFS_CLOSE int fd = memfd_create("urfs", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *memory;

	if (fd < 0 || ftruncate(fd, (off_t)(UW_SLOTS * UW_SLOT_SIZE)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	memory = mmap(NULL, UW_SLOTS * UW_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	remote->memory = memory;
	*ret_memory = TAKE_FD(fd);
	return 0;
}

static int remote_start(struct rd_remote *remote)
{
	for (size_t i = 0; i <= READERS; i++) {
		int r = pthread_create(&remote->threads[i], NULL, i < READERS ? reader : keeper,
				       remote);

		if (r != 0)
			return -r;
		remote->n_threads++;
	}
	return 0;
}

int rd_remote_new(pid_t pid, struct rd_remote **ret_remote, int *ret_fd, int *ret_memory)
{
	struct rd_remote *remote = pfs_zalloc(1, sizeof(*remote));
	PFS_CLOSE int theirs = -1;
	PFS_CLOSE int memory = -1;
	int r, pair[2];

	if (!remote)
		return -ENOMEM;
	remote->refs = 1;
	remote->fd = remote->event = -1;
	remote->pid = pid;
	remote->wake_at = UINT64_MAX;
	remote->first_unsent = remote->last_unsent = PENDING_MAX;
	for (uint32_t i = 0; i < PENDING_MAX; i++)
		remote->pending[i].next = i + 1;
	pthread_mutex_init(&remote->lock, NULL);
	rd_own_init(&remote->own, pid);
	remote->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = remote->event < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0
		    ? -errno
		    : 0;
	if (r == 0) {
		remote->fd = pair[0];
		theirs = pair[1];
		r = memory_new(remote, &memory);
	}
	if (r == 0)
		r = remote_start(remote);
	if (r < 0) {
		rd_remote_free(remote);
		return r;
	}
	*ret_remote = remote;
	*ret_fd = TAKE_FD(theirs);
	*ret_memory = TAKE_FD(memory);
	return 0;
}

void rd_remote_free(struct rd_remote *remote)
{
	if (!remote)
		return;
	pthread_mutex_lock(&remote->lock);
	remote->stopping = true;
	pthread_mutex_unlock(&remote->lock);
	remote_end(remote);
	for (size_t i = 0; i < remote->n_threads; i++)
		pthread_join(remote->threads[i], NULL);
	remote_unref(remote);
}

void rd_remote_ready(struct rd_remote *remote, bool ready)
{
	pthread_mutex_lock(&remote->lock);
	remote->ready = ready;
	pthread_mutex_unlock(&remote->lock);
}

void rd_remote_stat(struct rd_remote *remote, struct rd_remote_stat *ret_stat)
{
	pthread_mutex_lock(&remote->lock);
	*ret_stat = remote->stat;
	ret_stat->alive = !remote->dead;
	pthread_mutex_unlock(&remote->lock);
}
