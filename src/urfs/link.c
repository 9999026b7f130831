/*
 * The library's end of the wire: one control socket, any number of channels, threads that wait
 * for all of them in one epoll.
 *
 * Who wants something of the other side holds `command` and reads the control socket until his
 * reply has come; what else comes there is put aside. Channels are read by whoever is free, and
 * by who waits for the end of his sub-call: calls that he gets meanwhile are put aside for the
 * others.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"
#include "base/socket.h"
#include "urfs/kept.h"
#include "urfs/wire.h"

/* One message, one thread: who has heard of a message takes it, and says then that others may hear of the next. */
#define CHANNEL_EVENTS (EPOLLIN | EPOLLONESHOT)

struct link;

/*
 * To one process that asks. When that ends, what it kept goes with the last thread that is in here; the struct stays
 * for the next one, since a thread may just have been told of it.
 */
struct channel {
	struct channel *next;
	struct link *link;
	int fd;
	uint8_t *memory;
	struct urfs_kept kept;
	unsigned users; /* threads, and calls put aside; this and ended under the link's lock */
	bool ended;
};

/* A message put aside. */
struct aside {
	struct aside *next;
	struct channel *channel; /* NULL: control */
	_Alignas(8) uint8_t message[];
};

/* Somebody waits for the end of a sub-call, or for a file. */
struct sub {
	struct sub *next;
	const struct channel *channel; /* whose key that is: each has its own */
	uint64_t key;
	int64_t result;
	int event; /* readable when it is done */
	int fd;	   /* that came with it, or -1 */
	bool done;
};

struct link {
	struct urfs_link urfs;
	int control, epoll, stop_event;
	_Atomic bool stopping, dead, ready;
	pthread_mutex_t command; /* who reads the control socket; before lock */
	pthread_mutex_t lock;	 /* of what follows */
	struct channel *channels;
	struct aside *aside, **aside_end;
	struct sub *subs;
};

struct context {
	struct urfs_context urfs;
	struct channel *channel;
	uint64_t key;
	uint64_t kept[3];
	struct rfs_args *args;
};

static struct link *link_of(struct urfs_link *urfs)
{
	return CONTAINER_OF(urfs, struct link, urfs);
}

/* Whoever waits looks again. */
static void link_wake(struct link *link)
{
	uint64_t one = 1;

	if (write(link->stop_event, &one, sizeof(one)) < 0)
		return; /* it is readable already */
}

static void link_died(struct link *link)
{
	link->dead = true;
	link_wake(link);
}

/* --- channels ----------------------------------------------------------------------------------------- */

/* Locked. */
static void channel_close(struct channel *channel)
{
	munmap(TAKE_PTR(channel->memory), UW_SLOTS * UW_SLOT_SIZE);
	pfs_closep(&channel->fd);
}

static bool channel_enter(struct channel *channel)
{
	bool there;

	pthread_mutex_lock(&channel->link->lock);
	there = !channel->ended;
	channel->users += there;
	pthread_mutex_unlock(&channel->link->lock);
	return there;
}

static void channel_leave(struct channel *channel)
{
	bool last;

	pthread_mutex_lock(&channel->link->lock);
	last = --channel->users == 0 && channel->ended;
	channel->users += last; /* nobody else takes it yet */
	pthread_mutex_unlock(&channel->link->lock);
	if (!last)
		return;
	urfs_kept_release(&channel->kept);
	pthread_mutex_lock(&channel->link->lock);
	channel_close(channel);
	channel->users--;
	pthread_mutex_unlock(&channel->link->lock);
}

/* By who is in it. */
static void channel_ended(struct channel *channel)
{
	epoll_ctl(channel->link->epoll, EPOLL_CTL_DEL, channel->fd, NULL);
	shutdown(channel->fd, SHUT_RDWR); /* who still asks there need not wait */
	pthread_mutex_lock(&channel->link->lock);
	channel->ended = true;
	pthread_mutex_unlock(&channel->link->lock);
}

/* One that nobody uses any more, or a new one. Locked. */
static struct channel *channel_new(struct link *link)
{
	struct channel *channel = link->channels;

	while (channel && !(channel->ended && channel->users == 0))
		channel = channel->next;
	if (channel)
		return channel;
	channel = calloc(1, sizeof(*channel));
	if (!channel)
		return NULL;
	channel->link = link;
	channel->fd = -1;
	channel->ended = true;
	channel->next = link->channels;
	link->channels = channel;
	return channel;
}

/* --- what is put aside ----------------------------------------------------------------------------- */

static void put_aside(struct link *link, struct channel *channel, const void *message, size_t size)
{
	struct aside *aside = malloc(sizeof(*aside) + size);

	if (!aside)
		return; /* it ends by its deadline */
	aside->next = NULL;
	aside->channel = channel;
	memcpy(aside->message, message, size);
	pthread_mutex_lock(&link->lock);
	if (channel)
		channel->users++;
	*link->aside_end = aside;
	link->aside_end = &aside->next;
	pthread_mutex_unlock(&link->lock);
	link_wake(link);
}

/* clear: there is nothing, and nobody needs to look for it again. */
static struct aside *take_aside(struct link *link, bool clear)
{
	struct aside *aside;
	uint64_t count;

	pthread_mutex_lock(&link->lock);
	aside = link->aside;
	if (aside) {
		link->aside = aside->next;
		if (!link->aside)
			link->aside_end = &link->aside;
	} else if (clear && !link->stopping && !link->dead &&
		   read(link->stop_event, &count, sizeof(count)) < 0) {
		count = 0;
	}
	pthread_mutex_unlock(&link->lock);
	return aside;
}

/* --- control ------------------------------------------------------------------------------------------ */

/* Memory whose size can change under us, or is another, is not what we were told of. */
static bool is_memory(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(fd, &st) == 0 &&
	       st.st_size == (off_t)(UW_SLOTS * UW_SLOT_SIZE);
}

/* *fd is taken. */
static int channel_add(struct link *link, int *fd, int memory)
{
	struct epoll_event event = { .events = CHANNEL_EVENTS };
	struct channel *channel;
	void *at;
	int r = 0;

	if (!is_memory(memory))
		return -EPROTO;
	at = mmap(NULL, UW_SLOTS * UW_SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (at == MAP_FAILED)
		return -EPROTO;
	pthread_mutex_lock(&link->lock);
	channel = channel_new(link);
	if (channel) {
		channel->fd = TAKE_FD(*fd);
		channel->memory = at;
		urfs_kept_init(&channel->kept);
		channel->ended = false;
		channel->users++;
	}
	pthread_mutex_unlock(&link->lock);
	if (!channel) {
		munmap(at, UW_SLOTS * UW_SLOT_SIZE);
		return -EPROTO;
	}
	event.data.ptr = channel;
	if (epoll_ctl(link->epoll, EPOLL_CTL_ADD, channel->fd, &event) < 0) {
		r = errno == EPERM ? -EPROTO : 0; /* no socket at all */
		channel_ended(channel); /* nobody would hear it: whoever asks there is told */
	}
	channel_leave(channel);
	return r;
}

/*
 * One message of the control socket, handled but for a reply, which is given back. 1: a reply; 0:
 * another; -errno. Who holds command.
 */
static int control_receive(struct link *link, int flags, struct uw_reply *ret_reply)
{
	_Alignas(8) uint8_t message[UW_FROM_FILTER_MAX];
	int fds[2] = { -1, -1 }, type, r;
	ssize_t n;

	do
		n = pfs_socket_receive(link->control, message, sizeof(message), flags, fds, 2);
	while (n == -EINTR);
	if (n <= 0)
		return n == 0 ? -ENODEV : (int)n;
	type = uw_check(UW_CONTROL_TO_FILTER, message, (size_t)n);
	if (type == UW_CHANNEL && fds[0] >= 0 && fds[1] >= 0) {
		r = channel_add(link, &fds[0], fds[1]);
		if (r < 0)
			type = r;
	} else if (type == UW_REPLY) {
		memcpy(ret_reply, message, sizeof(*ret_reply));
	} else if (type == UW_MODIFY) {
		put_aside(link, NULL, message, (size_t)n);
	} else {
		type = -EPROTO;
	}
	pfs_closep(&fds[0]);
	pfs_closep(&fds[1]);
	return type < 0 ? -EPROTO : type == UW_REPLY;
}

/* Says it, and what the other side says to that. */
static int link_command(struct link *link, const void *message, size_t size)
{
	const struct iovec iov = { (void *)message, size };
	struct uw_reply reply = { .result = -ENODEV };
	int r;

	pthread_mutex_lock(&link->command);
	r = link->dead ? -ENODEV : (int)pfs_socket_send(link->control, &iov, 1, 0, NULL, 0);
	while (r >= 0) {
		r = control_receive(link, 0, &reply);
		if (r == 1)
			break;
	}
	pthread_mutex_unlock(&link->command);
	if (r < 0) {
		link_died(link);
		return r == -EPROTO ? r : -ENODEV;
	}
	return reply.result;
}

static int command_text(struct urfs_filter *filter, uint32_t type, int value,
			const struct rfs_filter_info *info, const char *text)
{
	_Alignas(8) uint8_t room[sizeof(struct uw_command) + PATH_MAX] = { 0 };
	struct uw_command *command = (struct uw_command *)room;
	size_t size = text ? strlen(text) + 1 : 0;

	if (size > PATH_MAX)
		return -EINVAL;
	command->head.type = type;
	command->head.size = (uint32_t)(sizeof(*command) + size);
	command->filter = filter->id;
	command->value = value;
	if (info) {
		command->policy = info->policy;
		command->active = info->active != 0;
		command->deadline_ms = info->deadline_ms;
	}
	command->text_size = (uint32_t)size;
	if (size > 0)
		memcpy(command->text, text, size);
	return link_command(link_of(filter->link), command, command->head.size);
}

static int remote_add(struct urfs_filter *filter, const struct rfs_filter_info *info)
{
	return command_text(filter, UW_REGISTER, info->priority, info, info->name);
}

static int remote_remove(struct urfs_filter *filter)
{
	return command_text(filter, UW_UNREGISTER, 0, NULL, NULL);
}

static int remote_activate(struct urfs_filter *filter, bool active)
{
	return command_text(filter, UW_ACTIVATE, active, NULL, NULL);
}

static int remote_want(struct urfs_filter *filter, const struct urfs_wants *wants)
{
	struct uw_want want = { { UW_WANT, sizeof(want) }, filter->id, *wants };

	return link_command(link_of(filter->link), &want, sizeof(want));
}

static int remote_set_path(struct urfs_filter *filter, const struct rfs_path_info *info)
{
	return command_text(filter, UW_PATH, info->flags, NULL, info->path);
}

static int link_ready(struct link *link, bool ready)
{
	struct uw_command command = { .head = { UW_READY, sizeof(command) }, .value = ready };
	int r = link_command(link, &command, sizeof(command));

	if (r == 0)
		link->ready = ready;
	return r;
}

/* What redirctl would like; its answer needs no reply. */
static void on_modify(struct link *link, const struct uw_command *command)
{
	struct uw_command answer = { .head = { UW_MODIFIED, sizeof(answer) },
				     .filter = command->filter,
				     .active = command->active };
	const struct iovec iov = { &answer, sizeof(answer) };
	struct urfs_filter *filter = urfs_link_enter(&link->urfs, command->filter);
	union rfs_mod mod;

	memset(&mod, 0, sizeof(mod));
	mod.id = (enum rfs_mod_id)command->value;
	if (command->value == RFS_SET_PATH && command->text_size > 0) {
		mod.set_path.path_info.path = command->text;
		mod.set_path.path_info.flags = command->policy;
	}
	if (!filter)
		answer.value = -ENOENT;
	else if (command->value < RFS_ACTIVATE || command->value > RFS_SET_PATH)
		answer.value = -EINVAL;
	else
		answer.value = urfs_filter_modify(filter, &mod);
	if (filter)
		urfs_filter_leave(filter);
	pfs_socket_send(link->control, &iov, 1, 0, NULL, 0);
}

/* --- callbacks -------------------------------------------------------------------------------------------- */

static int context_attach(struct urfs_context *urfs, enum rfs_keep where, void *data,
			  void (*free_cb)(void *), void **exist)
{
	struct context *context = CONTAINER_OF(urfs, struct context, urfs);
	struct urfs_kept *table = &context->channel->kept;

	if (context->kept[where] != 0) {
		if (exist)
			*exist = urfs_kept_get(table, context->kept[where]);
		return -EEXIST;
	}
	return urfs_kept_add(table, data, free_cb, &context->kept[where]);
}

static void *context_get(struct urfs_context *urfs, enum rfs_keep where, bool detach)
{
	struct context *context = CONTAINER_OF(urfs, struct context, urfs);
	struct urfs_kept *table = &context->channel->kept;
	void *data;

	if (!detach)
		return urfs_kept_get(table, context->kept[where]);
	data = urfs_kept_remove(table, context->kept[where], false);
	context->kept[where] = 0;
	return data;
}

static int channel_send(struct channel *channel, const void *message, size_t size)
{
	const struct iovec iov = { (void *)message, size };

	return pfs_socket_send(channel->fd, &iov, 1, 0, NULL, 0) < 0 ? -ENODEV : 0;
}

static void answer_fill(const struct context *context, const struct rfs_args *args, uint32_t type,
			struct uw_answer *answer)
{
	unsigned operation = (unsigned)args->type.id / 16;

	memset(answer, 0, sizeof(*answer));
	answer->head.type = type;
	answer->head.size = sizeof(*answer);
	answer->key = context->key;
	answer->verdict = RFS_CONTINUE;
	answer->result = args->retv.rv_ssize;
	memcpy(answer->kept, context->kept, sizeof(answer->kept));
	if (operation == RFS_GETATTR || operation == RFS_SETATTR)
		answer->stat = args->args.i_attr.stat;
}

static void on_subdone(const struct channel *channel, const struct uw_answer *done, int *fd)
{
	struct link *link = channel->link;
	uint64_t one = 1;

	pthread_mutex_lock(&link->lock);
	for (struct sub *sub = link->subs; sub; sub = sub->next) {
		if (sub->channel != channel || sub->key != done->key || sub->done)
			continue;
		sub->result = done->result;
		sub->fd = TAKE_FD(*fd);
		sub->done = true;
		if (write(sub->event, &one, sizeof(one)) < 0)
			break;
	}
	pthread_mutex_unlock(&link->lock);
}

static const struct urfs_context_ops context_ops;

static void on_call(struct channel *channel, const struct uw_call *call)
{
	struct context context = { .urfs.ops = NULL, .channel = channel, .key = call->key };
	struct urfs_filter *filter = urfs_link_enter(&channel->link->urfs, call->filter);
	uint8_t *data = call->slot != UW_NO_SLOT ? channel->memory + (size_t)call->slot * UW_SLOT_SIZE
						 : NULL;
	enum rfs_retv retv = RFS_CONTINUE;
	struct uw_answer answer;
	struct rfs_args args;

	memcpy(context.kept, call->kept, sizeof(context.kept));
	uw_call_get(call, data, &args);
	context.args = &args;
	context.urfs = (struct urfs_context){ filter, &context_ops };
	if (filter) {
		retv = urfs_filter_call(filter, &context.urfs, &args);
		urfs_filter_leave(filter);
	}
	answer_fill(&context, &args, UW_ANSWER, &answer);
	answer.verdict = retv;
	channel_send(channel, &answer, sizeof(answer));
}

/* The next message is to be heard of. */
static void channel_rearm(struct channel *channel)
{
	struct epoll_event event = { .events = CHANNEL_EVENTS, .data.ptr = channel };

	epoll_ctl(channel->link->epoll, EPOLL_CTL_MOD, channel->fd, &event);
}

/*
 * One message of a channel, if there is one. 0; -EAGAIN; the end of it. aside: for who waits for something else, calls
 * are for others; nobody was told of it by epoll.
 */
static int channel_receive(struct channel *channel, bool aside)
{
	_Alignas(8) uint8_t message[UW_CALL_MAX];
	PFS_CLOSE int fd = -1;
	ssize_t n;

	n = pfs_socket_receive(channel->fd, message, sizeof(message), MSG_DONTWAIT, &fd, 1);
	/* Before what may take its time. */
	if (!aside && (n > 0 || n == -EAGAIN))
		channel_rearm(channel);
	if (n == -EAGAIN)
		return -EAGAIN;
	switch (n <= 0 ? -EPROTO : uw_check(UW_CHANNEL_TO_FILTER, message, (size_t)n)) {
	case UW_CALL:
		if (aside)
			put_aside(channel->link, channel, message, (size_t)n);
		else
			on_call(channel, (const struct uw_call *)message);
		return 0;
	case UW_SUBDONE:
	case UW_OPENED:
		on_subdone(channel, (const struct uw_answer *)message, &fd);
		return 0;
	case UW_FORGET:
		urfs_kept_remove(&channel->kept, ((const struct uw_forget *)message)->kept, true);
		return 0;
	default:
		return -ENODEV;
	}
}

/* Says it, and waits for what comes of it. */
static int sub_ask(struct context *context, const struct uw_answer *message, struct sub *sub)
{
	struct link *link = context->channel->link;
	struct sub **at;
	int r;

	*sub = (struct sub){ .channel = context->channel,
			     .key = context->key,
			     .fd = -1,
			     .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (sub->event < 0)
		return -errno;
	pthread_mutex_lock(&link->lock);
	sub->next = link->subs;
	link->subs = sub;
	pthread_mutex_unlock(&link->lock);
	r = channel_send(context->channel, message, sizeof(*message));
	while (r == 0) {
		struct pollfd fds[2] = { { sub->event, POLLIN, 0 },
					 { context->channel->fd, POLLIN, 0 } };

		poll(fds, 2, -1);
		if (fds[0].revents)
			break;
		r = channel_receive(context->channel, true);
		if (r == -EAGAIN)
			r = 0;
	}
	pthread_mutex_lock(&link->lock);
	for (at = &link->subs; *at != sub;)
		at = &(*at)->next;
	*at = sub->next;
	pthread_mutex_unlock(&link->lock);
	close(sub->event);
	return sub->done ? 0 : -ENODEV;
}

static int context_subcall(struct urfs_context *urfs, struct rfs_args *args)
{
	struct context *context = CONTAINER_OF(urfs, struct context, urfs);
	struct uw_answer message;
	struct sub sub;
	int r;

	answer_fill(context, args, UW_SUBCALL, &message);
	r = sub_ask(context, &message, &sub);
	if (r == 0)
		args->retv.rv_ssize = sub.result;
	pfs_closep(&sub.fd);
	return r;
}

static int context_open_file(struct urfs_context *urfs)
{
	struct context *context = CONTAINER_OF(urfs, struct context, urfs);
	struct uw_answer message;
	struct sub sub;
	int r;

	answer_fill(context, context->args, UW_OPEN, &message);
	r = sub_ask(context, &message, &sub);
	if (r < 0 || sub.result < 0 || sub.fd < 0) {
		pfs_closep(&sub.fd);
		return r < 0 ? r : sub.result < 0 && sub.result > -4096 ? (int)sub.result : -EPROTO;
	}
	return sub.fd;
}

static const struct urfs_context_ops context_ops = {
	.attach = context_attach,
	.get = context_get,
	.subcall = context_subcall,
	.open_file = context_open_file,
};

/* --- loops ------------------------------------------------------------------------------------------ */

static void on_control(struct link *link)
{
	struct uw_reply reply;
	int r;

	pthread_mutex_lock(&link->command);
	r = control_receive(link, MSG_DONTWAIT, &reply);
	pthread_mutex_unlock(&link->command);
	if (r < 0 && r != -EAGAIN)
		link_died(link);
}

static bool do_aside(struct link *link, bool clear)
{
	struct aside *aside = take_aside(link, clear);

	if (!aside)
		return false;
	if (aside->channel) {
		on_call(aside->channel, (const struct uw_call *)aside->message);
		channel_leave(aside->channel);
	} else {
		on_modify(link, (const struct uw_command *)aside->message);
	}
	free(aside);
	return true;
}

/* What has come. false: nothing had, within timeout ms. */
static bool link_step(struct link *link, int timeout)
{
	struct epoll_event event;
	int n;

	if (do_aside(link, false))
		return true;
	n = epoll_wait(link->epoll, &event, 1, timeout);
	if (n <= 0)
		return false;
	if (event.data.ptr == link) {
		on_control(link);
	} else if (event.data.ptr == &link->stop_event) {
		/* Who was woken for nothing looks for what else has come. */
		return do_aside(link, true) || (!link->stopping && !link->dead);
	} else if (event.data.ptr == &link->stopping) {
		link->stopping = true;
		link_wake(link);
	} else {
		struct channel *channel = event.data.ptr;
		int r;

		if (!channel_enter(channel))
			return true;
		r = channel_receive(channel, false);
		if (r < 0 && r != -EAGAIN)
			channel_ended(channel);
		channel_leave(channel);
	}
	return true;
}

static void *worker(void *arg)
{
	struct link *link = arg;

	while (!link->stopping && !link->dead)
		link_step(link, -1);
	return NULL;
}

/* No more callbacks; those that have come are still answered. */
static void link_pause(struct link *link)
{
	if (link->ready && link_ready(link, false) == 0)
		while (link_step(link, 0))
			;
}

static int remote_main(struct urfs_link *urfs)
{
	struct link *link = link_of(urfs);
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned wanted = urfs->threads ? urfs->threads : (unsigned)(cpus < 2 ? 2 : cpus), n = 0;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = &link->stopping };
	pthread_t threads[256];
	sigset_t set, old;
	int signals, r;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, &old);
	signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	r = signals < 0 || epoll_ctl(link->epoll, EPOLL_CTL_ADD, signals, &event) < 0
		    ? -errno
		    : link_ready(link, true);
	while (r == 0 && n + 1 < wanted && pthread_create(&threads[n], NULL, worker, link) == 0)
		n++;
	if (r == 0)
		worker(link);
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	if (signals >= 0) {
		struct signalfd_siginfo info;

		/* It has been heard, and must not be heard again when it is unblocked. */
		while (link->stopping && read(signals, &info, sizeof(info)) == sizeof(info))
			;
		epoll_ctl(link->epoll, EPOLL_CTL_DEL, signals, NULL);
		close(signals);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0 && link->dead)
		return -ENODEV;
	link->stopping = false;
	if (r == 0)
		link_pause(link);
	return r;
}

static int remote_dispatch(struct urfs_link *urfs)
{
	struct link *link = link_of(urfs);
	int r = link->ready ? 0 : link_ready(link, true);

	while (r == 0 && !link->dead && link_step(link, 0))
		;
	return link->dead ? -ENODEV : r;
}

static void remote_stop(struct urfs_link *urfs)
{
	struct link *link = link_of(urfs);
	link->stopping = true;
	link_wake(link);
}

static void remote_close(struct urfs_link *urfs)
{
	struct link *link = link_of(urfs);
	struct aside *aside;

	if (!link->dead)
		link_pause(link);
	urfs_link_release(urfs);
	while (link->channels) {
		struct channel *channel = link->channels;

		link->channels = channel->next;
		if (channel->memory) {
			urfs_kept_release(&channel->kept);
			channel_close(channel);
		}
		free(channel);
	}
	while ((aside = link->aside)) {
		link->aside = aside->next;
		free(aside);
	}
	pfs_closep(&link->control);
	pfs_closep(&link->epoll);
	pfs_closep(&link->stop_event);
	pthread_mutex_destroy(&link->command);
	pthread_mutex_destroy(&link->lock);
	free(link);
}

static const struct urfs_link_ops remote_ops = {
	.add = remote_add,
	.remove = remote_remove,
	.activate = remote_activate,
	.want = remote_want,
	.set_path = remote_set_path,
	.main = remote_main,
	.dispatch = remote_dispatch,
	.stop = remote_stop,
	.close = remote_close,
};

/*
 * --- beginning
 * ------------------------------------------------------------------------------------------------
 */

static int link_hello(struct link *link)
{
	struct epoll_event on_stop = { .events = EPOLLIN, .data.ptr = &link->stop_event };
	struct epoll_event on_message = { .events = EPOLLIN, .data.ptr = link };
	struct uw_hello hello;

	link->epoll = epoll_create1(EPOLL_CLOEXEC);
	link->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (link->epoll < 0 || link->stop_event < 0 ||
	    epoll_ctl(link->epoll, EPOLL_CTL_ADD, link->stop_event, &on_stop) < 0 ||
	    epoll_ctl(link->epoll, EPOLL_CTL_ADD, link->control, &on_message) < 0)
		return -errno;
	uw_hello_make(&hello);
	return link_command(link, &hello, sizeof(hello));
}

int urfs_open_fd(struct urfs_conn *conn, int fd)
{
	struct link *link = calloc(1, sizeof(*link));
	int r;

	*conn = (struct urfs_conn){ -1, NULL };
	if (!link) {
		close(fd);
		return -ENOMEM;
	}
	urfs_link_init(&link->urfs, &remote_ops);
	pthread_mutex_init(&link->command, NULL);
	pthread_mutex_init(&link->lock, NULL);
	link->aside_end = &link->aside;
	link->control = fd;
	link->epoll = link->stop_event = -1;
	r = link_hello(link);
	if (r < 0) {
		link->dead = true;
		remote_close(&link->urfs);
		return r;
	}
	*conn = (struct urfs_conn){ link->epoll, &link->urfs };
	return 0;
}

int urfs_open(struct urfs_conn *conn)
{
	const char *path = getenv("PIPESFS_URFS"), *runtime = getenv("XDG_RUNTIME_DIR");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, n;

	*conn = (struct urfs_conn){ -1, NULL };
	if (path && path[0])
		n = snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	else if (geteuid() != 0 && runtime && runtime[0])
		n = snprintf(address.sun_path, sizeof(address.sun_path), "%s/pipesfs/urfs", runtime);
	else
		n = snprintf(address.sun_path, sizeof(address.sun_path), "/run/pipesfs/urfs");
	if (n < 0 || (size_t)n >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return urfs_open_fd(conn, fd);
}

int urfs_run(int argc, char **argv, rfs_start start)
{
	struct urfs_conn conn;
	int r = urfs_open(&conn);

	if (r < 0) {
		fprintf(stderr, "%s: no pipesfs to connect to: %s\n", argv[0], strerror(-r));
		return 1;
	}
	r = start(&conn, argc, argv);
	if (r == 0) {
		r = urfs_main(&conn, NULL);
		if (r < 0)
			fprintf(stderr, "%s: %s\n", argv[0],
				r == -ENODEV ? "pipesfs has ended" : strerror(-r));
	} else {
		fprintf(stderr, "%s: does not start: %s\n", argv[0], r < 0 ? strerror(-r) : "refused");
	}
	urfs_close(&conn);
	return r != 0;
}
